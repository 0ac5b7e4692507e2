//! Tests of `mbox`. What Dovecot itself has written is compared in `tests/dovecot.rs`.

use super::*;
use crate::message::Flags;
use proptest::prelude::*;
use std::fs;
use std::path::Path;

const FROM: &str = "From b Thu Nov  9 22:33:52 2001\n";

fn world(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}

/// Names of all messages of a folder with their text, flags and keywords.
fn read(dir: &Path, folder: &str) -> Vec<(String, String, u8, Vec<String>)> {
    let root = Root::new(dir);
    let place = Place {
        zone: crate::time::Zone::parse("Europe/Rome").unwrap(),
        ..Place::new(b"mail")
    };
    let store = FORMAT.open;
    let store = store(&root, place);
    let messages = store
        .messages(folder.as_bytes(), &Messages::default())
        .unwrap();
    let files = store.files(folder.as_bytes());
    let one = |m: &Message| {
        let text = |stored: Stored<'_>| {
            assert_eq!(stored.size(), m.size);
            let mut bytes = vec![0; m.size as usize + 9];
            let n = stored.read_at(&mut bytes, 0).unwrap();
            // And in pieces.
            for at in 0..n {
                let mut piece = [0; 3];
                let len = stored.read_at(&mut piece, at as u64).unwrap();
                assert_eq!(piece[..len], bytes[at..n.min(at + 3)]);
            }
            bytes.truncate(n);
            bytes
        };
        let bytes = text(files.open(&messages, m).unwrap());
        assert_eq!(
            bytes,
            text(store.open(folder.as_bytes(), &messages, m).unwrap())
        );
        let keywords = messages
            .keywords(m)
            .map(|k| String::from_utf8_lossy(k).into());
        (
            String::from_utf8(messages.identity(m)).unwrap(),
            String::from_utf8_lossy(&bytes).into_owned(),
            m.flags.bits(),
            keywords.collect(),
        )
    };
    messages.iter().map(one).collect()
}

#[test]
fn folders() {
    let some = format!("{FROM}A: 1\n\none\n");
    let dir = world(&[
        ("mail/inbox", &some),
        ("mail/Sent", &some),
        ("mail/Archive/2024/M&AOQ-rz", &some),
        ("mail/Empty", ""),
        ("mail/Sent.lock", ""),
        ("mail/.imap/Sent/dovecot.index.log", "x"),
        ("mail/dovecot.mailbox.log", "x"),
        ("mail/.subscriptions", "Sent\n"),
        ("mail/notes.txt", "From now on\n"),
        ("home/inbox", "no mail"),
        ("spool/ann", &some),
        ("spool/ann.lock", &some),
    ]);
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("mail/link")).unwrap();
    let root = Root::new(dir.path());
    let store = (FORMAT.open)(&root, Place::new(b"mail"));
    let found = store.folders().unwrap();
    let mut paths: Vec<String> = found.folders.iter().map(|f| f.path.join("/")).collect();
    paths.sort();
    assert_eq!(paths, ["Archive/2024/März", "Empty", "INBOX", "Sent"]);
    assert_eq!(found.oddities, 2);
    let shown = |path: &str| {
        let names = root.list(path.as_bytes()).unwrap();
        is_shown_by(&root, path.as_bytes(), &names).unwrap()
    };
    assert!(shown("mail") && !shown("home") && !shown("spool"));
    let is = |path: &str| is_at(&root, path.as_bytes()).unwrap();
    assert!(is("mail") && !is("home") && is("spool") && is("spool/ann"));
    assert!(!is("home/inbox") && !is("spool/ann.lock"));
}

#[test]
fn a_damaged_folder_is_one() {
    let zeros = "\0".repeat(100);
    let dir = world(&[
        ("mail/inbox", &zeros),
        ("mail/Sent", "no mail"),
        ("mail/Archive/2024", "no mail"),
        ("mail/Archive/2025", "no mail"),
        ("mail/.imap/INBOX/dovecot.index.log", "x"),
        ("mail/Archive/.imap/2024/dovecot.index.log", "x"),
    ]);
    let root = Root::new(dir.path());
    let store = (FORMAT.open)(&root, Place::new(b"mail"));
    let found = store.folders().unwrap();
    let mut paths: Vec<String> = found.folders.iter().map(|f| f.path.join("/")).collect();
    paths.sort();
    assert_eq!(
        (paths, found.oddities),
        (vec!["Archive/2024".into(), "INBOX".into()], 2)
    );
    let text = |folder| read(dir.path(), folder).pop().unwrap().1;
    assert_eq!(
        (text("inbox"), text("Archive/2024")),
        (zeros, "no mail".into())
    );
}

#[test]
fn an_inbox_elsewhere() {
    let some = format!("{FROM}A: 1\n\none\n");
    let dir = world(&[("mail/Sent", &some), ("spool/ann", &some)]);
    let root = Root::new(dir.path());
    for path in ["mail", "spool/ann"] {
        let place = Place {
            inbox: Some(b"spool/ann"),
            ..Place::new(path.as_bytes())
        };
        let store = (FORMAT.open)(&root, place);
        let found = store.folders().unwrap().folders;
        assert_eq!(
            (&found[0].stored[..], &found[0].path[0][..]),
            (&b""[..], "INBOX")
        );
        assert_eq!(found.len(), if path == "mail" { 2 } else { 1 });
        let listed = |folder: &[u8]| store.messages(folder, &Messages::default()).unwrap().len();
        assert_eq!(listed(b""), 1);
        assert!(store.stamp(b"").is_ok());
    }
}

/// What happens to an mbox in a week: the store's fields change, a message goes, others come.
#[test]
fn a_message_is_the_same_whatever_happens_to_the_file() {
    let (one, two) = ("A: 1\n\none\n", "A: 2\n\ntwo\n");
    let dir = world(&[(
        "mail/inbox",
        &format!("{FROM}{one}\n{FROM}{two}\n{FROM}{one}\n"),
    )]);
    let before = read(dir.path(), "inbox");
    let mut texts: Vec<&str> = before.iter().map(|(_, text, ..)| text.as_str()).collect();
    texts.sort_unstable();
    assert_eq!(texts, [one, one, two]);
    let changed = "X-IMAPbase: 12 0000000003 $Label1 project\nA: 1\nStatus: RO\nX-Status: AF\n\
        X-Keywords: project forged          \nX-UID: 1\n\none\n";
    let mbox = format!("{FROM}{changed}\n{FROM}{two}\n{FROM}A: 3\n\nthree\n");
    fs::write(dir.path().join("mail/inbox"), mbox).unwrap();
    let after = read(dir.path(), "inbox");
    assert_eq!(after.len(), 3);
    let find = |text: &str| after.iter().find(|m| m.1 == text).unwrap();
    assert_eq!(find(one).0, before.iter().find(|m| m.1 == one).unwrap().0);
    assert_eq!(find(two).0, before.iter().find(|m| m.1 == two).unwrap().0);
    let flags = Flags::SEEN | Flags::ANSWERED | Flags::FLAGGED;
    assert_eq!(
        (find(one).2, &find(one).3[..]),
        (flags.bits(), &["project".to_owned()][..])
    );
    assert_eq!((find(two).2, find(two).3.len()), (0, 0));
}

#[test]
fn the_same_message_many_times() {
    let one = format!("{FROM}A: 1\n\none\n\n");
    let dir = world(&[("mail/inbox", &one.repeat(1200))]);
    let names: Vec<String> = read(dir.path(), "inbox").into_iter().map(|m| m.0).collect();
    assert_eq!(names.len(), 1200);
    assert!(names.is_sorted() && names.iter().all(|n| n.starts_with(&names[0])));
    assert!(names[1199].ends_with(".00001200"));
}

#[test]
fn received() {
    let at = |line: &str| {
        let dir = world(&[("mail/inbox", &format!("{line}\n\nx\n"))]);
        let root = Root::new(dir.path());
        let place = Place {
            zone: crate::time::Zone::parse("Europe/Rome").unwrap(),
            ..Place::new(b"mail")
        };
        let store = (FORMAT.open)(&root, place);
        let messages = store.messages(b"inbox", &Messages::default()).unwrap();
        messages.get(0).unwrap().received.secs
    };
    assert_eq!(at("From b Thu Nov  9 23:33:52 2001"), 1_005_345_232);
    assert_eq!(at("From b Thu Nov  9 22:33:52 2001 +0000"), 1_005_345_232);
}

#[test]
fn the_message_of_c_client_is_no_mail() {
    let internal = "Date: x\nFrom: Mail System Internal Data <MAILER-DAEMON@host>\n\
        Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1012345678 0000000009 project\n\
        Status: RO\n\nThis text is part of the internal format of your mail folder.\n";
    let mbox = format!("{FROM}{internal}\n{FROM}A: 1\nX-Keywords: project\n\none\n");
    let dir = world(&[("mail/inbox", &mbox)]);
    let found = read(dir.path(), "inbox");
    assert_eq!(
        (found.len(), &found[0].3[..]),
        (1, &["project".to_owned()][..])
    );
    // Only the first one.
    let mbox = format!("{FROM}A: 1\n\none\n\n{FROM}{internal}");
    let dir = world(&[("mail/inbox", &mbox)]);
    assert_eq!(read(dir.path(), "inbox").len(), 2);
}

#[test]
fn a_file_that_has_changed_since_it_was_listed() {
    let own = format!("{FROM}A: 1\nStatus: RO\n\none\n");
    let dir = world(&[("mail/inbox", &format!("{own}\n{FROM}A: 2\n\ntwo\n"))]);
    let root = Root::new(dir.path());
    let store = (FORMAT.open)(&root, Place::new(b"mail"));
    let messages = store.messages(b"inbox", &Messages::default()).unwrap();
    for changed in [String::new(), own.replace("Status: RO", "Subject: s")] {
        fs::write(dir.path().join("mail/inbox"), changed).unwrap();
        let failed = messages
            .iter()
            .filter(|m| store.open(b"inbox", &messages, m).is_err());
        assert!(failed.count() > 0);
    }
}

proptest! {
    #[test]
    fn any_file(
        lines in prop::collection::vec(prop_oneof![
            Just(FROM.to_owned()),
            "(Status|X-IMAP|X-UID|Content-Length|X-Keywords): [0-9a-z]{0,3}\n",
            "[ A-F:\0]{0,9}(\r)?\n",
        ], 0..40),
        cut: prop::sample::Index,
        flip: (prop::sample::Index, u8),
    ) {
        let mut bytes = lines.concat().into_bytes();
        if !bytes.is_empty() {
            let at = flip.0.index(bytes.len());
            bytes[at] ^= 1 << (flip.1 % 8);
            bytes.truncate(cut.index(bytes.len()) + 1);
        }
        let dir = world(&[("mail/other", "")]);
        fs::write(dir.path().join("mail/inbox"), &bytes).unwrap();
        let read = read(dir.path(), "inbox");
        let sum: usize = read.iter().map(|(_, text, ..)| text.len()).sum();
        // What is no UTF-8 is longer as text.
        prop_assert!(sum <= 3 * bytes.len());
    }
}

#[test]
fn a_file_of_a_dbox_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let from = "From a@b Mon Nov 23 11:55:59 2026\n";
    let message = format!("Subject: x\n\n{from}Subject: y\n\n");
    let dbox = format!("2 M1e C6a042a2c\n\x01\x02N{:27}\n{message}", "");
    std::fs::write(dir.path().join("u.1"), dbox).unwrap();
    let root = Root::new(dir.path());
    assert!(!is_at(&root, b"").unwrap());
    assert!(!is_at(&root, b"u.1").unwrap());
    std::fs::write(dir.path().join("sent"), format!("{from}{message}")).unwrap();
    assert!(is_at(&root, b"").unwrap());
}
