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

/// The versions of an index whose records are of different lengths.
const VERSIONS: [u32; 2] = [17, 20];

/// A directory by its id, whose index of a version was written beside another header.
fn by_id(version: u32, header: &str, beside: &str) -> (tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("uuid/a/b/abcd");
    fs::create_dir_all(&folder).unwrap();
    let encode = header::tests::encode;
    fs::write(folder.join("cyrus.header"), encode(header)).unwrap();
    let index = index::tests::encode_beside(version, &encode(beside), &[(1, 1000, 5, 0, 1, 1)]);
    fs::write(folder.join("cyrus.index"), index).unwrap();
    fs::write(folder.join("1."), "A: 1\n").unwrap();
    (dir, b"uuid/a/b/abcd".to_vec())
}

#[test]
fn a_header_that_the_index_does_not_know_gives_no_folder_to_another_user() {
    let before = "%(A %(ann lrs) I abcd N user.ann.Old U (project))\n";
    let cases = [
        (
            "%(A %(ann lrs) I abcd N user.ann.New U (project))\n",
            Ok("ann"),
        ),
        (
            "%(A %(bob lrs) I abcd N user.ann.New U (project))\n",
            Err(()),
        ),
        (
            "%(A %(anyone lrs) I abcd N lists.all U (project))\n",
            Ok("lists (shared)"),
        ),
        (
            "%(A %(ann lrs) I abcd N DELETED.user.ann.Old.6B02AD60)\n",
            Ok(""),
        ),
        (
            "%(A %(ann lrs) I abce N user.ann.New U (project))\n",
            Err(()),
        ),
    ];
    for version in VERSIONS {
        for (header, whose) in cases {
            let (dir, folder) = by_id(version, header, before);
            let root = Root::new(dir.path());
            let name = spool::name_of(&root, &folder);
            let user = name.map(|name| name.map(|name| name.user).unwrap_or_default());
            let user = user.map_err(|_| ());
            assert_eq!(user, whose.map(str::to_owned), "{version}: {header}");
        }
        // Without an index nothing vouches for it; with one that knows it, it needs not admit its user.
        let alone = "%(A %(bob lrs) I abcd N user.ann.Old)\n";
        let (dir, folder) = by_id(version, alone, alone);
        let root = Root::new(dir.path());
        assert!(spool::name_of(&root, &folder).is_ok(), "{version}");
        fs::remove_file(dir.path().join("uuid/a/b/abcd/cyrus.index")).unwrap();
        let error = spool::name_of(&root, &folder).unwrap_err();
        assert_eq!(error.kind(), Kind::Unreadable);
    }
}

#[test]
fn a_newer_header_keeps_its_keywords() {
    let (before, newer) = (
        "%(I abcd N user.ann)\n",
        "%(I abcd N user.ann U (project))\n",
    );
    for version in VERSIONS {
        let (dir, folder) = by_id(version, newer, before);
        let root = Root::new(dir.path());
        let store = (FORMAT.open)(&root, Place::new(&folder));
        let read = || {
            let messages = store.messages(b"", &Messages::default()).unwrap();
            let message = messages.iter().next().unwrap();
            let keywords: Vec<_> = messages.keywords(message).map(<[u8]>::to_vec).collect();
            (keywords, messages.damage.clone().unwrap_or_default())
        };
        let (keywords, damage) = read();
        assert_eq!(keywords, [b"project".to_vec()]);
        assert!(
            damage.contains("keywords may be wrong"),
            "{version}: {damage}"
        );
        // Another folder's.
        let another = header::tests::encode("%(I abce N user.ann U (project))\n");
        fs::write(dir.path().join("uuid/a/b/abcd/cyrus.header"), another).unwrap();
        let (keywords, damage) = read();
        let told = damage.contains("without keywords");
        assert!(keywords.is_empty() && told, "{version}: {damage}");
    }
}

#[test]
fn whose_header_it_is() {
    let is_of = |text: &str, mailbox: &str, folder: &str| {
        let header = header::parse(&header::tests::encode(text)).unwrap();
        let directory = join(mailbox.as_bytes(), folder.as_bytes());
        spool::is_of(&header, mailbox.as_bytes(), folder.as_bytes(), &directory)
    };
    let header = "%(I x N user.ann.Lists.a^b)\n";
    assert!(is_of(header, "mail/a/user/ann", "Lists/a^b"));
    assert!(!is_of(header, "mail/a/user/ann", "Lists"));
    assert!(!is_of(header, "mail/a/user/bob", "Lists/a^b"));
    let header = "%(I x N a.example!user.ann)\n";
    assert!(is_of(header, "mail/domain/a/a.example/a/user/ann", ""));
    assert!(!is_of("user.ann\t1a2b\nproject\n", "mail/user/ann", ""));
}
