//! The names of messages and folders: what they say, and that they are safe and unique everywhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::tree::{ABOUT, assert_all_safe, dates, messages, only, walk, without_id};
use harness::{Config, Layout, Mailbox, Mount, Numbers, Scratch, Store, able, ls, mail, utc};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const ALICE: &str = "alice@example.com";
const DAY: &str = "2026-11-20";
const RECEIVED: &str = "2026-11-19 09:32:10";

fn setup() -> (Scratch, Store) {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    (scratch, store)
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
        mailbox.greet(&[folder]);
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
    mailbox.greet(&[
        "sent", "Sent", "SENT", "a", "a.mbox", "A", "Straße", "STRASSE",
    ]);
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
