//! The tree: dates, mailboxes, folders, messages, their names and attributes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::tree::{ABOUT, assert_all_safe, assert_safe, dates, messages, walk, without_id};
use harness::{
    Config, Layout, Mailbox, Mount, Numbers, Scratch, Store, able, eventually, ls, mail, utc,
    within,
};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const ALICE: &str = "alice@example.com";
const DAY: &str = "2026-11-20";
const RECEIVED: &str = "2026-11-19 09:32:10";

fn setup() -> (Scratch, Store) {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    (scratch, store)
}

/// A folder's one message.
fn only(directory: impl AsRef<Path>) -> String {
    let mut names = messages(&directory);
    assert_eq!(
        names.len(),
        1,
        "{}: {names:?}",
        directory.as_ref().display()
    );
    names.remove(0)
}

#[test]
fn a_date_for_each_snapshot_and_a_link_to_the_latest() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    for (day, number) in [("2026-11-19", 1), (DAY, 2), ("2026-11-21", 3)] {
        store.mailbox(day, ALICE).number("cur", number);
    }
    let mount = Mount::new(&Config::new(&scratch, &store));
    assert_eq!(dates(&mount.path), ["2026-11-19", DAY, "2026-11-21"]);
    assert_eq!(
        fs::read_link(mount.join("latest")).unwrap(),
        Path::new("2026-11-21")
    );
    assert!(ls(&mount.path).contains(&"latest".to_owned()));
    for day in dates(&mount.path) {
        assert_eq!(ls(mount.join(&day)), [ALICE]);
        assert_eq!(
            messages(mount.join(&day).join(ALICE).join("INBOX")).len(),
            1
        );
    }
    assert_eq!(
        fs::metadata(mount.join("2026-11-22")).unwrap_err().kind(),
        std::io::ErrorKind::NotFound
    );
}

#[test]
fn a_date_is_its_last_snapshot() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    let first = store
        .mailbox("auto-2026-11-20_0300", ALICE)
        .number("cur", 1);
    let last = store
        .mailbox("auto-2026-11-20_2300", ALICE)
        .number("cur", 2);
    store.snapshot("manual-before-upgrade");
    let config = Config::new(&scratch, &store).set("source.name", "auto-%Y-%m-%d_%H%M");
    {
        let mount = Mount::new(&config);
        assert_eq!(dates(&mount.path), [DAY]);
        let inbox = mount.join("2026-11-20/alice@example.com/INBOX");
        assert_eq!(fs::read(inbox.join(only(&inbox))).unwrap(), last);
        assert_eq!(
            fs::metadata(mount.join(DAY)).unwrap().mtime(),
            utc("2026-11-20 23:00:00")
        );
    }
    let mount = Mount::new(&config.set("granularity", "snapshot"));
    assert_eq!(dates(&mount.path), ["2026-11-20_0300", "2026-11-20_2300"]);
    assert_eq!(
        fs::read_link(mount.join("latest")).unwrap(),
        Path::new("2026-11-20_2300")
    );
    let inbox = mount.join("2026-11-20_0300/alice@example.com/INBOX");
    assert_eq!(fs::read(inbox.join(only(&inbox))).unwrap(), first);
    assert_eq!(
        fs::metadata(mount.join("2026-11-20_0300")).unwrap().mtime(),
        utc("2026-11-20 03:00:00")
    );
}

#[test]
fn a_time_that_says_utc_is_shown_in_the_time_zone() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    store
        .mailbox("2026-11-20T23:30:00Z", ALICE)
        .number("cur", 1);
    let config = Config::new(&scratch, &store)
        .set("timezone", "Europe/Rome")
        .set("granularity", "snapshot");
    let mount = Mount::new(&config);
    assert_eq!(dates(&mount.path), ["2026-11-21_0030"]);
    let name = only(mount.join("2026-11-21_0030/alice@example.com/INBOX"));
    let rome = chrono::DateTime::from_timestamp(1_795_000_060 + 3600, 0).unwrap();
    assert_eq!(
        without_id(&name),
        format!("{} Bob Rossi - Message 1", rome.format("%Y-%m-%d %H%M"))
    );
}

#[test]
fn keep_days_shows_today_and_the_days_before() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    let today = || chrono::Utc::now().date_naive();
    // Again if midnight falls into it.
    loop {
        let start = today();
        let day = |back: i64| (start - chrono::Duration::days(back)).to_string();
        for back in 0..5 {
            store.mailbox(&day(back), ALICE);
        }
        let mount = Mount::new(&Config::new(&scratch, &store).set("keep_days", 2));
        let shown = dates(&mount.path);
        let hidden = fs::metadata(mount.join(day(3))).map(|_| ());
        if today() == start {
            assert_eq!(shown, [day(2), day(1), day(0)]);
            assert_eq!(hidden.unwrap_err().kind(), std::io::ErrorKind::NotFound);
            return;
        }
    }
}

#[test]
fn snapshots_come_and_go_without_a_remount() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    store.mailbox("2026-11-19", ALICE).number("cur", 1);
    store.mailbox(DAY, ALICE).number("cur", 2);
    let staging = Store::new(scratch.join("staging"));
    staging.mailbox("2026-11-21", ALICE).number("cur", 3);
    let mount = Mount::new(&Config::new(&scratch, &store));
    assert_eq!(dates(&mount.path), ["2026-11-19", DAY]);
    let gone = fs::metadata(mount.join("2026-11-21"));
    assert!(gone.is_err(), "asked for before it is there");

    fs::rename(
        staging.path.join("2026-11-21"),
        store.path.join("2026-11-21"),
    )
    .unwrap();
    eventually(Duration::from_secs(5), "a new date", || {
        dates(&mount.path) == ["2026-11-19", DAY, "2026-11-21"]
    });
    assert_eq!(
        fs::read_link(mount.join("latest")).unwrap(),
        Path::new("2026-11-21")
    );
    let inbox = mount.join("latest/alice@example.com/INBOX");
    assert!(without_id(&only(&inbox)).ends_with("Message 3"));

    for day in ["2026-11-21", "2026-11-19"] {
        fs::rename(store.path.join(day), staging.path.join(day)).unwrap();
    }
    eventually(Duration::from_secs(5), "removed dates", || {
        dates(&mount.path) == [DAY]
    });
    assert_eq!(fs::read_link(mount.join("latest")).unwrap(), Path::new(DAY));
    assert_eq!(
        fs::metadata(mount.join("2026-11-19")).unwrap_err().kind(),
        std::io::ErrorKind::NotFound
    );
}

const FOLDERS: [&str; 14] = [
    "A&B",
    "A&B.mbox",
    ABOUT,
    "Archive",
    "Entwürfe",
    "Entwürfe.mbox",
    "INBOX",
    "INBOX.mbox",
    "Sent",
    "Sent.mbox",
    "Two words",
    "Two words.mbox",
    "日本語",
    "日本語.mbox",
];

fn check_folders(mount: &Mount) {
    let mailbox = mount.join(DAY).join(ALICE);
    assert_eq!(ls(&mailbox), FOLDERS);
    // Neither Archive nor Archive/2024 is a folder; they are on the way to one.
    assert_eq!(ls(mailbox.join("Archive")), ["2024"]);
    assert_eq!(ls(mailbox.join("Archive/2024")), ["März", "März.mbox"]);
    assert_eq!(messages(mailbox.join("Archive/2024/März")).len(), 1);
    for folder in ["Sent", "Entwürfe", "日本語", "A&B", "Two words"] {
        assert!(without_id(&only(mailbox.join(folder))).ends_with("Bob Rossi - Hello"));
    }
    assert_eq!(messages(mailbox.join("INBOX")).len(), 0);
    assert_eq!(fs::metadata(mailbox.join("INBOX.mbox")).unwrap().len(), 0);
}

fn fill(mailbox: &Mailbox, folders: &[&str]) {
    let bytes = mail("Bob Rossi <bob@example.com>", "Hello", "Hi\n");
    for folder in folders {
        mailbox.put(
            &format!("{folder}/cur"),
            "1795.M1P1.mx:2,S",
            &bytes,
            utc(RECEIVED),
        );
    }
}

#[test]
fn folders_in_modified_utf7() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    let names = [
        "Sent",
        "Entw&APw-rfe",
        "&ZeVnLIqe-",
        "A&-B",
        "Two words",
        "Archive/2024/M&AOQ-rz",
    ];
    fill(&store.mailbox(DAY, ALICE), &names);
    check_folders(&Mount::new(&Config::new(&scratch, &store)));
}

#[test]
fn folders_in_utf8() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    let names = [
        "Sent",
        "Entwürfe",
        "日本語",
        "A&B",
        "Two words",
        "Archive/2024/März",
    ];
    fill(&store.mailbox(DAY, ALICE), &names);
    check_folders(&Mount::new(&Config::new(&scratch, &store)));
}

#[test]
fn folders_of_layout_fs() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    let names = [
        "Sent",
        "Entw&APw-rfe",
        "&ZeVnLIqe-",
        "A&-B",
        "Two words",
        "Archive/2024/M&AOQ-rz",
    ];
    fill(
        &Mailbox::new(&store.snapshot(DAY), ALICE, Layout::Fs),
        &names,
    );
    check_folders(&Mount::new(&Config::new(&scratch, &store)));
}

#[test]
fn a_folder_with_folders_below_it_has_its_own_mbox() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    fill(&store.mailbox(DAY, ALICE), &["Archive", "Archive/2024"]);
    let mount = Mount::new(&Config::new(&scratch, &store));
    let mailbox = mount.join(DAY).join(ALICE);
    assert_eq!(
        ls(&mailbox),
        [ABOUT, "Archive", "Archive.mbox", "INBOX", "INBOX.mbox"]
    );
    let inside = ls(mailbox.join("Archive"));
    assert_eq!(inside.len(), 3, "{inside:?}");
    assert!(inside.contains(&"2024".to_owned()) && inside.contains(&"2024.mbox".to_owned()));
}

#[test]
fn an_empty_mailbox_is_shown_and_says_why() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    store.mailbox(DAY, ALICE);
    store.mailbox(DAY, "bob@example.com").number("cur", 1);
    let mount = Mount::new(&Config::new(&scratch, &store));
    assert_eq!(ls(mount.join(DAY)), [ALICE, "bob@example.com"]);
    assert_eq!(
        ls(mount.join(DAY).join(ALICE)),
        [ABOUT, "INBOX", "INBOX.mbox"]
    );
    let about = |mailbox: &str| {
        let path = mount.join(DAY).join(mailbox).join(ABOUT);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.len() as u64, fs::metadata(&path).unwrap().len());
        text
    };
    assert!(about(ALICE).contains("POP3"), "{}", about(ALICE));
    for mailbox in [ALICE, "bob@example.com"] {
        assert!(about(mailbox).contains(mailbox), "{}", about(mailbox));
        assert!(about(mailbox).contains(DAY), "{}", about(mailbox));
    }
}

#[test]
fn names_say_when_who_and_what() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    let mailbox = store.mailbox(DAY, ALICE);
    let cases: &[(&[u8], &str)] = &[
        (b"From: Bob Rossi <bob@x.org>\nSubject: Preventivo\n\n", "Bob Rossi - Preventivo"),
        (b"From: \"Rossi, Bob\" <bob@x.org>\nSubject: a\n b\n\tc\n\n", "Rossi, Bob - a b c"),
        (b"From: bob@x.org\nSubject:   \n\n", "bob@x.org - no subject"),
        (b"From: <bob@x.org>\n\n", "bob@x.org - no subject"),
        (b"Subject: x\n\n", "unknown - x"),
        (b"", "unknown - no subject"),
        (b"From: =?utf-8?q?J=C3=B6rg?= <j@x.org>\nSubject: =?iso-8859-1?Q?=C4rger?= =?utf-8?B?8J+Yig==?=\n\n", "Jörg - Ärger😊"),
        (b"From: Bob <b@x>\r\nSubject: AW: a/b\\c:d*e?f\"g<h>i|j\r\n\r\n", "Bob - AW_ a_b_c_d_e_f_g_h_i_j"),
        ("From: Bob <b@x>\nSubject: abc\u{202e}gpj.exe\n\n".as_bytes(), "Bob - abc_gpj.exe"),
        ("From: Bob <b@x>\nSubject: e\u{301}t\u{e9}\n\n".as_bytes(), "Bob - \u{e9}t\u{e9}"),
        (b"From: Bob <b@x>\nSubject: dots...\n\n", "Bob - dots..."),
    ];
    for (number, (bytes, _)) in cases.iter().enumerate() {
        mailbox.put(
            "cur",
            format!("1795.M{number}P1.mx:2,S"),
            bytes,
            utc(RECEIVED),
        );
    }
    let mount = Mount::new(&Config::new(&scratch, &store));
    let inbox = mount.join(DAY).join(ALICE).join("INBOX");
    let mut shown: Vec<String> = messages(&inbox)
        .iter()
        .map(|n| without_id(n).to_owned())
        .collect();
    let mut expected: Vec<String> = cases
        .iter()
        .map(|(_, name)| format!("2026-11-19 0932 {name}"))
        .collect();
    shown.sort();
    expected.sort();
    assert_eq!(shown, expected);
    assert_all_safe(&mount.join(DAY));
}

#[test]
fn hostile_names_become_safe_ones() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    let mailbox = store.mailbox(DAY, ALICE);
    let family = "👨‍👩‍👧‍👦";
    let mut subjects = vec![
        "x".repeat(5000),
        "日".repeat(500),
        family.repeat(60),
        "e\u{301}".repeat(400),
        "\u{301}".repeat(400),
        "NUL\0and\u{7f}and\u{85}".to_owned(),
        "../../../etc/passwd".to_owned(),
        "CON".to_owned(),
        "\u{2066}isolated\u{2069}".to_owned(),
        "=?utf-8?Q?line=0Abreak=00?=".to_owned(),
        " . . . ".to_owned(),
    ];
    let mut numbers = Numbers(7);
    for _ in 0..50 {
        let length = numbers.below(200);
        subjects.push(
            (0..length)
                .filter_map(|_| char::from_u32(u32::try_from(numbers.below(0x3000)).unwrap()))
                .filter(|c| !matches!(c, '\n' | '\r'))
                .collect(),
        );
    }
    let mut bytes = Vec::new();
    for (number, subject) in subjects.iter().enumerate() {
        let sender = if number % 3 == 0 {
            subject.as_str()
        } else {
            "Bob"
        };
        let message = mail(&format!("{sender} <b@x>"), subject, "body\n");
        mailbox.put(
            "cur",
            format!("1795.M{number}P1.mx:2,"),
            &message,
            utc(RECEIVED),
        );
        bytes.push(message);
    }
    // Headers that are no text in any character set.
    mailbox.put(
        "cur",
        "1795.M900P1.mx:2,",
        b"From: \xff\xfe\x80 <\xc3\x28>\nSubject: \xf0\x28\x8c\n\n",
        utc(RECEIVED),
    );
    for folder in [
        "CON",
        "aux",
        "NUL",
        "com1",
        "a<b>:c*",
        "trailing ",
        "x\u{202e}y",
        "&AAA-",
        "tab\there",
        "LPT9",
    ] {
        fill(&mailbox, &[folder]);
    }
    mailbox.folder([b"invalid\xff\xfe".as_slice(), b"end"].concat());
    mailbox.folder("long".repeat(60));
    let mount = Mount::new(&Config::new(&scratch, &store));
    assert_all_safe(&mount.join(DAY));
    let top = mount.join(DAY).join(ALICE);
    let shown = messages(top.join("INBOX"));
    assert_eq!(shown.len(), subjects.len() + 1);
    for name in shown
        .iter()
        .filter(|n| n.contains("xxxxxxxxxxxx") || n.contains("日日"))
    {
        assert!(name.contains('…'), "cut without saying so: {name}");
    }
    let folders = ls(&top).iter().filter(|n| n.ends_with(".mbox")).count();
    assert_eq!(folders, 1 + 10 + 2, "{:?}", ls(&top));
    let found: BTreeSet<Vec<u8>> = shown
        .iter()
        .map(|n| fs::read(top.join("INBOX").join(n)).unwrap())
        .collect();
    assert!(bytes.iter().all(|b| found.contains(b)));
}

#[test]
fn the_sender_is_cut_at_forty_units() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    let message = mail(&format!("{} <b@x>", "s".repeat(90)), "subject", "");
    store
        .mailbox(DAY, ALICE)
        .put("cur", "1795.M1P1.mx:2,", message, utc(RECEIVED));
    let mount = Mount::new(&Config::new(&scratch, &store));
    let name = only(mount.join(DAY).join(ALICE).join("INBOX"));
    let rest = without_id(&name).strip_prefix("2026-11-19 0932 ").unwrap();
    let (sender, subject) = rest.rsplit_once(" - ").unwrap();
    assert_eq!(subject, "subject");
    assert!(
        sender.ends_with('…') && sender.starts_with("sssssssssssssssssssssssssssssssssssss"),
        "{sender}"
    );
    assert!(sender.encode_utf16().count() <= 40, "{sender}");
}

#[test]
fn no_two_names_are_the_same_ignoring_case() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    let mailbox = Mailbox::new(&store.snapshot(DAY), ALICE, Layout::Fs);
    // A folder `a.mbox` stands where the mbox of `a` would; `a` and `A` are one directory for Windows.
    fill(
        &mailbox,
        &[
            "sent", "Sent", "SENT", "a", "a.mbox", "A", "Straße", "STRASSE",
        ],
    );
    for number in 0..300 {
        let bytes = mail("Bob <b@x>", "The same", &format!("{number}\n"));
        mailbox.put(
            "cur",
            format!("1795.M{number}P1.mx:2,S"),
            &bytes,
            utc(RECEIVED),
        );
    }
    let config = Config::new(&scratch, &store);
    let mount = Mount::new(&config);
    assert_all_safe(&mount.join(DAY));
    let top = mount.join(DAY).join(ALICE);
    assert_eq!(messages(top.join("INBOX")).len(), 300);
    let (mut folders, mut boxes) = (0, 0);
    walk(&top, &mut |path, meta| {
        if path.components().count() == 1
            && path != Path::new("INBOX")
            && path != Path::new("INBOX.mbox")
        {
            folders += usize::from(meta.is_dir());
            boxes += usize::from(meta.is_file() && path != Path::new(ABOUT));
        }
    });
    assert_eq!((folders, boxes), (8, 8), "{:?}", ls(&top));
}

#[test]
fn unique_names_are_the_store_s() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    let mailbox = store.mailbox(DAY, ALICE);
    for name in ["1795.M1P1.mx:2,S", "1795.M2P1.mx", "1795.m2p1.mx:2,FS"] {
        mailbox.put("cur", name, mail("Bob <b@x>", "Hello", name), utc(RECEIVED));
    }
    mailbox.put(
        "new",
        "1795.M4P1.mx",
        mail("Bob <b@x>", "Hello", "4\n"),
        utc(RECEIVED),
    );
    let mount = Mount::new(&Config::new(&scratch, &store).set("names", "unique"));
    let inbox = mount.join(DAY).join(ALICE).join("INBOX");
    let shown = messages(&inbox);
    assert_eq!(shown.len(), 4);
    for name in ["1795.M1P1.mx.eml", "1795.M4P1.mx.eml"] {
        assert!(shown.contains(&name.to_owned()), "{shown:?}");
    }
    assert_all_safe(&inbox);
    assert_eq!(
        fs::read(inbox.join("1795.M1P1.mx.eml")).unwrap(),
        mail("Bob <b@x>", "Hello", "1795.M1P1.mx:2,S")
    );
}

#[test]
fn a_name_in_new_and_cur_is_one_message() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    let mailbox = store.mailbox(DAY, ALICE);
    let message = |body: &str| mail("Bob <b@x>", "Hello", body);
    mailbox.put("new", "1795.M1P1.mx", message("new\n"), utc(RECEIVED));
    mailbox.put("cur", "1795.M1P1.mx:2,S", message("cur\n"), utc(RECEIVED));
    mailbox.put(
        "Sent/new",
        "1795.M2P1.mx",
        message("of another size\n"),
        utc(RECEIVED),
    );
    mailbox.put(
        "Sent/cur",
        "1795.M2P1.mx:2,S",
        message("cur\n"),
        utc(RECEIVED),
    );
    mailbox.put(
        "tmp",
        "1795.M3P1.mx",
        message("never delivered\n"),
        utc(RECEIVED),
    );
    let mount = Mount::new(&Config::new(&scratch, &store));
    let top = mount.join(DAY).join(ALICE);
    let inbox = top.join("INBOX");
    assert_eq!(
        fs::read(inbox.join(only(&inbox))).unwrap(),
        message("cur\n")
    );
    let sent: BTreeSet<Vec<u8>> = messages(top.join("Sent"))
        .iter()
        .map(|n| fs::read(top.join("Sent").join(n)).unwrap())
        .collect();
    assert_eq!(
        sent,
        [message("cur\n"), message("of another size\n")].into()
    );
}

#[test]
fn what_is_no_regular_file_is_not_mail() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    let mailbox = store.mailbox(DAY, ALICE);
    let expected = mailbox.number("cur", 1);
    let secret = scratch.join("secret");
    fs::write(&secret, "not yours").unwrap();
    let cur = mailbox.path.join("cur");
    symlink(&secret, cur.join("1795.M2P1.mx:2,S")).unwrap();
    symlink("/", cur.join("1795.M3P1.mx:2,S")).unwrap();
    harness::run(Command::new("mkfifo").arg(cur.join("1795.M4P1.mx:2,S")));
    harness::run(
        Command::new("mknod")
            .arg(cur.join("1795.M5P1.mx:2,S"))
            .args(["c", "1", "3"]),
    );
    fs::create_dir(cur.join("1795.M6P1.mx:2,S")).unwrap();
    // Folders and mailboxes that are links lead nowhere either.
    symlink("/etc", mailbox.path.join(".Etc")).unwrap();
    symlink(&mailbox.path, mailbox.path.join(".Loop")).unwrap();
    symlink("alice", store.path.join(DAY).join("example.com/mallory")).unwrap();
    let folder = mailbox.folder("Hollow");
    fs::remove_dir(folder.join("cur")).unwrap();
    symlink("/etc", folder.join("cur")).unwrap();
    let mount = Mount::new(&Config::new(&scratch, &store)).expecting_warnings();
    let top = mount.join(DAY);
    let shown = within(
        Duration::from_secs(30),
        "listing a folder with a FIFO",
        move || {
            let inbox = top.join(ALICE).join("INBOX");
            let contents: Vec<Vec<u8>> = messages(&inbox)
                .iter()
                .map(|n| fs::read(inbox.join(n)).unwrap())
                .collect();
            (
                contents,
                ls(&top),
                ls(top.join(ALICE)),
                fs::read(top.join(ALICE).join("INBOX.mbox")).unwrap(),
            )
        },
    );
    assert_eq!(shown.0, [expected]);
    assert_eq!(shown.1, [ALICE]);
    assert!(
        !shown
            .2
            .iter()
            .any(|n| n.starts_with("Etc") || n.starts_with("Loop")),
        "{:?}",
        shown.2
    );
    assert!(!String::from_utf8_lossy(&shown.3).contains("not yours"));
    let hollow = mount.join(DAY).join(ALICE).join("Hollow");
    if hollow.exists() {
        assert_eq!(messages(hollow).len(), 0);
    }
    mount.wait_for_warning(&["1795.M4P1.mx"]);
}

#[test]
fn torn_and_empty_files_are_shown_as_they_are() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    let mailbox = store.mailbox(DAY, ALICE);
    let torn = b"From: Bob <b@x>\nSubject: Torn\n\nhalf a".to_vec();
    let zeros = vec![0; 4096];
    mailbox.put(
        "cur",
        "1795.M1P1.mx,S=5000,W=5100:2,S",
        &torn,
        utc(RECEIVED),
    );
    mailbox.put("cur", "1795.M2P1.mx,S=5000:2,S", b"", utc(RECEIVED));
    mailbox.put("cur", "1795.M3P1.mx,S=5000:2,S", &zeros, utc(RECEIVED));
    // The name is of bytes, not of text.
    mailbox.put(
        "cur",
        b"1795.M4\xff\xfeP1.mx:2,S",
        b"Subject: Bytes\n\n",
        utc(RECEIVED),
    );
    mailbox.put(
        "cur",
        b"1795.M4\xff\xfdP1.mx:2,S",
        b"Subject: Others\n\n",
        utc(RECEIVED),
    );
    mailbox.put("cur", "no dots at all", b"Subject: Odd\n\n", utc(RECEIVED));
    let mount = Mount::new(&Config::new(&scratch, &store)).expecting_warnings();
    let inbox = mount.join(DAY).join(ALICE).join("INBOX");
    let mut contents = Vec::new();
    for name in messages(&inbox) {
        assert_safe(&name);
        let size = fs::metadata(inbox.join(&name)).unwrap().len();
        let bytes = fs::read(inbox.join(&name)).unwrap();
        assert_eq!(bytes.len() as u64, size, "{name}");
        contents.push(bytes);
    }
    contents.sort();
    let mut expected = vec![
        Vec::new(),
        zeros,
        torn,
        b"Subject: Bytes\n\n".to_vec(),
        b"Subject: Others\n\n".to_vec(),
        b"Subject: Odd\n\n".to_vec(),
    ];
    expected.sort();
    assert_eq!(contents, expected);
}

#[test]
fn attributes() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    let mailbox = store.mailbox(DAY, ALICE);
    for (number, size) in [(1, 0), (2, 1), (3, 512), (4, 513), (5, 100_000)] {
        let received = utc(RECEIVED) + number * 3600;
        mailbox.put(
            "cur",
            format!("1795.M{number}P1.mx:2,S"),
            vec![b'x'; size],
            received,
        );
    }
    mailbox.number("Archive/2024/cur", 9);
    let mount = Mount::new(&Config::new(&scratch, &store));
    let owner = harness::store::uid_of(ALICE);
    // Compares d_ino with st_ino on its way.
    walk(&mount.join(DAY), &mut |path, meta| {
        assert_eq!(
            meta.nlink(),
            if meta.is_dir() { 2 } else { 1 },
            "{}",
            path.display()
        );
        assert_eq!(meta.uid(), owner, "{}", path.display());
        assert_eq!(meta.mode() & 0o222, 0, "{}", path.display());
        if meta.is_file() {
            assert_eq!(
                meta.blocks(),
                meta.len().div_ceil(512),
                "{}",
                path.display()
            );
            assert_eq!(meta.mode() & 0o111, 0, "{}", path.display());
        }
    });
    let inbox = mount.join(DAY).join(ALICE).join("INBOX");
    let mut times: Vec<(u64, i64)> = messages(&inbox)
        .iter()
        .map(|n| fs::metadata(inbox.join(n)).unwrap())
        .map(|m| (m.len(), m.mtime()))
        .collect();
    times.sort_unstable();
    let at = |hours: i64| utc(RECEIVED) + hours * 3600;
    assert_eq!(
        times,
        [
            (0, at(1)),
            (1, at(2)),
            (512, at(3)),
            (513, at(4)),
            (100_000, at(5))
        ]
    );
    let space = rustix::fs::statvfs(&mount.path).unwrap();
    assert!(space.f_blocks > 0);
    assert_eq!((space.f_bfree, space.f_bavail), (0, 0));
}

#[test]
fn a_message_has_one_name_on_every_date() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    let bytes = mail("Bob <b@x>", "Hello", "text\n");
    for (day, place, name) in [
        ("2026-11-17", "new", "1795.M1P1.mx"),
        ("2026-11-18", "cur", "1795.M1P1.mx:2,"),
        ("2026-11-19", "cur", "1795.M1P1.mx:2,S"),
        ("2026-11-20", "cur", "1795.M1P1.mx:2,FRSab"),
        ("2026-11-21", "Archive/cur", "1795.M1P1.mx:2,FRST"),
    ] {
        store
            .mailbox(day, ALICE)
            .put(place, name, &bytes, utc(RECEIVED));
    }
    let mount = Mount::new(&Config::new(&scratch, &store));
    let names: BTreeSet<String> = dates(&mount.path)
        .iter()
        .map(|day| {
            let folder = if day == "2026-11-21" {
                "Archive"
            } else {
                "INBOX"
            };
            only(mount.join(day).join(ALICE).join(folder))
        })
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(
        without_id(names.first().unwrap()),
        "2026-11-19 0932 Bob - Hello"
    );
}

#[test]
fn an_empty_directory_of_snapshots_mounts_empty_with_a_warning() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    let mount = Mount::new(&Config::new(&scratch, &store)).expecting_warnings();
    assert_eq!(dates(&mount.path), Vec::<String>::new());
    assert!(fs::read_link(mount.join("latest")).is_err());
    mount.wait_for_warning(&[store.path.to_str().unwrap()]);
}

#[test]
fn mboxes_can_be_left_out_of_listings() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    store.mailbox(DAY, ALICE).number("cur", 1);
    let config = Config::new(&scratch, &store).set("index.warm", "off");
    {
        let mount = Mount::new(&config.clone().set("mbox.listed", "never"));
        let top = mount.join(DAY).join(ALICE);
        assert_eq!(ls(&top), [ABOUT, "INBOX"]);
    }
    let mount = Mount::new(&config.set("mbox.listed", "when-sized"));
    let top = mount.join(DAY).join(ALICE);
    let size = fs::metadata(top.join("INBOX.mbox")).unwrap().len();
    assert_eq!(fs::read(top.join("INBOX.mbox")).unwrap().len() as u64, size);
    eventually(
        Duration::from_secs(5),
        "listed once its size is known",
        || ls(&top).contains(&"INBOX.mbox".to_owned()),
    );
}
