//! What is below a date: mailboxes, folders, messages and their attributes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::tree::{ABOUT, assert_safe, messages, only, walk, without_id};
use harness::{
    Config, Layout, Mailbox, Mount, Scratch, Store, able, eventually, ls, mail, utc, within,
};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
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
    store.mailbox(DAY, ALICE).greet(&names);
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
    store.mailbox(DAY, ALICE).greet(&names);
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
    Mailbox::new(&store.snapshot(DAY), ALICE, Layout::Fs).greet(&names);
    check_folders(&Mount::new(&Config::new(&scratch, &store)));
}

#[test]
fn a_folder_with_folders_below_it_has_its_own_mbox() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    store
        .mailbox(DAY, ALICE)
        .greet(&["Archive", "Archive/2024"]);
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
fn the_administrator_says_it_in_other_words() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    store.mailbox(DAY, ALICE).greet(&["Sent"]);
    let file = scratch.join("about.txt");
    let config = Config::new(&scratch, &store)
        .set("about.template", file.to_str().unwrap())
        .set("language", "it");
    let check = |config: &Config| {
        let path = config.write().to_str().unwrap().to_owned();
        harness::output(&mut harness::mount::mailtm(&["check", "--config", &path]))
    };
    for (text, wrong) in [
        (&b"{mailbox}\n{nobody}\n"[..], "line 2"),
        (b"ok\n\xff", "line 2"),
        (b"", "line 1"),
    ] {
        fs::write(&file, text).unwrap();
        let refused = check(&config);
        let said = String::from_utf8_lossy(&refused.stdout);
        assert_eq!(refused.status.code(), Some(2), "{said}");
        let file = file.to_str().unwrap();
        assert!(said.contains(file) && said.contains(wrong), "{said}");
        let failure = Mount::start(&config).err().unwrap();
        assert_eq!(failure.code(), 2, "{}", failure.stderr);
        assert!(failure.stderr.contains(wrong), "{}", failure.stderr);
    }
    let text = "Studio Rossi\n\n{mailbox}, {date}\n{folders} cartelle\nFino a {expires}\n\n{standard}\n\nInt. 12\n";
    fs::write(&file, text).unwrap();
    assert_eq!(check(&config).status.code(), Some(0));
    let mount = Mount::new(&config);
    let path = mount.join(DAY).join(ALICE).join(ABOUT);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.len() as u64, fs::metadata(&path).unwrap().len());
    let start = "Studio Rossi\r\n\r\nalice@example.com, venerdì 20 novembre 2026\r\n2 cartelle\r\n\r\nCHE COS'È";
    assert!(text.starts_with(start), "{text}");
    assert!(text.ends_with("\r\n\r\nInt. 12\r\n"), "{text}");
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
fn a_message_that_cannot_be_decoded_is_warned_of_once() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    for day in ["2026-11-19", DAY] {
        let torn = b"\x1f\x8b\x08\0\0\0\0\0\0\x03 torn";
        let mailbox = store.mailbox(day, ALICE);
        mailbox.put("cur", "1795.M1P1.mx,S=5000:2,S", torn, utc(RECEIVED));
    }
    let config = Config::new(&scratch, &store);
    // Neither what was found now nor what is known from before is told of again and again.
    for _ in 0..2 {
        let mount = Mount::new(&config).expecting_warnings();
        for day in ["2026-11-19", DAY] {
            let mailbox = mount.join(day).join(ALICE);
            let inbox = mailbox.join("INBOX");
            for _ in 0..2 {
                let read = fs::read(inbox.join(only(&inbox)));
                assert_eq!(read.unwrap_err().raw_os_error(), Some(5));
            }
            fs::read(mailbox.join("INBOX.mbox")).unwrap();
        }
        mount.wait_for_warning(&["1795.M1P1.mx"]);
        let warnings = mount.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }
}

#[test]
fn links_are_warned_of_once_for_all_dates() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    for day in ["2026-11-19", DAY] {
        let mailbox = store.mailbox(day, ALICE);
        symlink("/etc/passwd", mailbox.path.join("cur/1795.M2P1.mx:2,S")).unwrap();
    }
    let mount = Mount::new(&Config::new(&scratch, &store)).expecting_warnings();
    for day in ["2026-11-19", DAY] {
        let inbox = mount.join(day).join(ALICE).join("INBOX");
        assert_eq!(messages(&inbox), Vec::<String>::new());
    }
    mount.wait_for_warning(&["1795.M2P1.mx"]);
    let warnings = mount.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn looking_for_holes_is_no_warning() {
    if !able(&[]) {
        return;
    }
    let (scratch, store) = setup();
    store.mailbox(DAY, ALICE).number("cur", 1);
    let mount = Mount::new(&Config::new(&scratch, &store));
    let inbox = mount.join(DAY).join(ALICE).join("INBOX");
    let file = fs::File::open(inbox.join(only(&inbox))).unwrap();
    let size = file.metadata().unwrap().len();
    let hole = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(0)).unwrap();
    assert_eq!(hole, size);
    assert_eq!(mount.warnings(), Vec::<String>::new());
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
    assert_eq!(ls(&top), [ABOUT, "INBOX"]);
    let size = fs::metadata(top.join("INBOX.mbox")).unwrap().len();
    assert_eq!(fs::read(top.join("INBOX.mbox")).unwrap().len() as u64, size);
    eventually(
        Duration::from_secs(5),
        "listed once its size is known",
        || ls(&top).contains(&"INBOX.mbox".to_owned()),
    );
}
