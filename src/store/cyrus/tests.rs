//! Tests of `cyrus`.

use super::*;
use std::fs;
use std::path::Path;

/// A spool with a user's INBOX of four messages, of which the third is expunged, and a folder.
fn spool() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let inbox = dir.path().join("user/ann");
    let header = header::tests::encode("%(I x N user.ann U ($Label1 project))\n");
    for folder in ["", "Sent", "Lists/a^b/M&AOQ-rz"] {
        let folder = inbox.join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("cyrus.header"), &header).unwrap();
        fs::write(folder.join("cyrus.index"), index::tests::encode(&[])).unwrap();
    }
    let rows = [
        (1, 1000, 5, 16, 2, 1),
        (2, 2000, 5, 2, 1 << 9, 2),
        (3, 3000, 5, 1 << 31, 0, 3),
        (4, 4000, 5, 0, 3, 2),
    ];
    fs::write(inbox.join("cyrus.index"), index::tests::encode(&rows)).unwrap();
    for uid in 1..=4 {
        fs::write(inbox.join(format!("{uid}.")), format!("A: {uid}\n")).unwrap();
    }
    fs::write(inbox.join("9."), "debris").unwrap();
    fs::write(inbox.join("cyrus.cache"), "x").unwrap();
    dir
}

type Row = (String, i64, u8, Vec<String>, Option<String>);

/// The messages of INBOX: name, INTERNALDATE, flags, keywords, text.
fn read(dir: &Path) -> (Vec<Row>, u64) {
    let root = Root::new(dir);
    let store = (FORMAT.open)(&root, Place::new(b"user/ann"));
    let messages = store.messages(b"", &Messages::default()).unwrap();
    let files = store.files(b"");
    let one = |m: &Message| {
        let text = files.open(&messages, m).ok().map(|stored| {
            let mut bytes = vec![0; 99];
            let n = stored.read_at(&mut bytes, 0).unwrap();
            String::from_utf8(bytes[..n].to_vec()).unwrap()
        });
        let keywords = messages
            .keywords(m)
            .map(|k| String::from_utf8_lossy(k).into());
        let name = String::from_utf8(messages.identity(m)).unwrap();
        (
            name,
            m.received.secs,
            m.flags.bits(),
            keywords.collect(),
            text,
        )
    };
    (messages.iter().map(one).collect(), messages.oddities)
}

#[test]
fn folders() {
    let dir = spool();
    let root = Root::new(dir.path());
    let store = (FORMAT.open)(&root, Place::new(b"user/ann"));
    let found = store.folders().unwrap();
    let mut paths: Vec<String> = found.folders.iter().map(|f| f.path.join("/")).collect();
    paths.sort();
    assert_eq!(paths, ["INBOX", "Lists/a.b/März", "Sent"]);
    assert!((FORMAT.is_at)(&root, b"user/ann").unwrap());
    assert!(!(FORMAT.is_at)(&root, b"user").unwrap());
    let before = store.stamp(b"").unwrap();
    fs::write(dir.path().join("user/ann/cyrus.index"), "").unwrap();
    assert_ne!(store.stamp(b"").unwrap(), before);
}

#[test]
fn the_index_decides() {
    let dir = spool();
    let (rows, oddities) = read(dir.path());
    let seen = Flags::SEEN.bits();
    let (one, two) = ("01".repeat(20), "02".repeat(20));
    let text = |uid: u32| Some(format!("A: {uid}\n"));
    let wanted: [Row; 3] = [
        (one, 1000, seen, vec!["project".into()], text(1)),
        (two.clone(), 2000, Flags::FLAGGED.bits(), vec![], text(2)),
        (
            format!("{two}.0000000004"),
            4000,
            0,
            vec!["$Label1".into(), "project".into()],
            text(4),
        ),
    ];
    assert_eq!(rows, wanted);
    assert_eq!(oddities, 1, "the file that it does not know");
    fs::remove_file(dir.path().join("user/ann/2.")).unwrap();
    let (rows, _) = read(dir.path());
    assert_eq!((rows.len(), &rows[1].4), (3, &None));
}

#[test]
fn without_an_index_the_files_are_the_messages() {
    let dir = spool();
    let path = dir.path().join("user/ann/cyrus.index");
    let sound = fs::read(&path).unwrap();
    for bytes in [&b""[..], &sound[..100], b"garbage that is no index at all"] {
        fs::write(&path, bytes).unwrap();
        let (rows, _) = read(dir.path());
        let texts: Vec<_> = rows.iter().filter_map(|row| row.4.clone()).collect();
        assert_eq!(texts, ["A: 1\n", "A: 2\n", "A: 3\n", "A: 4\n", "debris"]);
        assert!(rows.iter().all(|row| row.1 > 1_000_000_000 && row.2 == 0));
    }
    // One record is damaged: all others are as before.
    let mut bytes = sound.clone();
    bytes[160 + 112 + 50] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (rows, _) = read(dir.path());
    let mut texts: Vec<_> = rows.iter().filter_map(|row| row.4.clone()).collect();
    texts.sort();
    assert_eq!(texts, ["A: 1\n", "A: 2\n", "A: 4\n", "debris"]);
    fs::write(dir.path().join("user/ann/cyrus.header"), "").unwrap();
    assert!(read(dir.path()).0.iter().all(|row| row.3.is_empty()));
}

#[test]
fn what_is_no_message() {
    assert_eq!(uid_of(b"12."), Some(12));
    for name in [
        &b""[..],
        b".",
        b"0.",
        b"012.",
        b"12",
        b"1x.",
        b"99999999999.",
        b"cyrus.index",
    ] {
        assert_eq!(uid_of(name), None);
    }
    let dir = spool();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("user/ann/7.")).unwrap();
    assert_eq!(read(dir.path()).1, 2);
}
