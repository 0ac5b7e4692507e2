//! Maildirs on a real disk.

use super::*;
use crate::disk::Stat;
use crate::store::Before;
use std::fs;
use std::path::Path;

fn store(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        write(dir.path(), name, content);
    }
    dir
}

fn write(dir: &Path, name: &str, content: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    if !name.ends_with('/') {
        fs::write(path, content).unwrap();
    } else {
        fs::create_dir_all(path).unwrap();
    }
}

fn identities(dir: &Path, folder: &str) -> Vec<(String, bool, u64)> {
    let root = Root::new(dir);
    let messages = Maildir::new(&root, b"")
        .messages(folder.as_bytes(), &Messages::default())
        .unwrap();
    messages
        .iter()
        .map(|m| {
            (
                String::from_utf8_lossy(&messages.identity(m)).into_owned(),
                m.new,
                m.size,
            )
        })
        .collect()
}

#[test]
fn folders_of_both_layouts() {
    let dir = store(&[
        ("cur/", ""),
        (".Sent/new/", ""),
        (".Archiv.2024.M&AOQ-rz/cur/", ""),
        (".no-folder/x", ""),
        ("..DOVECOT-TRASHED/cur/", ""),
        ("Lists/rust/cur/", ""),
        ("tmp/not/cur/", ""),
    ]);
    let root = Root::new(dir.path());
    let mut paths: Vec<String> = Maildir::new(&root, b"")
        .folders()
        .unwrap()
        .folders
        .iter()
        .map(|f| f.path.join("/"))
        .collect();
    paths.sort();
    assert_eq!(paths, ["Archiv/2024/März", "INBOX", "Lists/rust", "Sent"]);
}

#[test]
fn a_path_too_long_to_open_is_a_folder_that_cannot_be_read() {
    let dir = store(&[("cur/", ""), ("Lists/cur/", "")]);
    let name = "x".repeat(200);
    let mut at = std::fs::File::open(dir.path()).unwrap();
    for _ in 0..30 {
        rustix::fs::mkdirat(&at, &name, rustix::fs::Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::DIRECTORY;
        at = rustix::fs::openat(&at, &name, flags, rustix::fs::Mode::empty())
            .unwrap()
            .into();
    }
    let root = Root::new(dir.path());
    let found = Maildir::new(&root, b"").folders().unwrap();
    let mut depths: Vec<usize> = found.folders.iter().map(|f| f.path.len()).collect();
    depths.sort_unstable();
    assert_eq!(depths[..2], [1, 1]);
    assert!(depths.len() == 3 && depths[2] > 15, "{depths:?}");
}

#[test]
fn folders_whose_names_alone_would_fill_the_memory_are_refused() {
    let dir = store(&[("cur/", "")]);
    let deep = ".a".repeat(120);
    for i in 0..300 {
        fs::create_dir_all(dir.path().join(format!("{deep}.{i}/cur"))).unwrap();
    }
    let root = Root::new(dir.path());
    let error = Maildir::new(&root, b"").folders().unwrap_err();
    assert_eq!(error.kind(), Kind::Unreadable);
    assert!(Maildir::is_at(&root, b"").unwrap());
}

#[test]
fn a_base_name_found_a_great_many_times() {
    let dir = store(&[]);
    let root = Root::new(dir.path());
    let stat = root.stat(b"").unwrap();
    let mut finder = Finder::default();
    let start = std::time::Instant::now();
    for size in 0..200_000 {
        let name = format!("1.same:2,{size}");
        finder
            .add(name.as_bytes(), false, &Stat { size, ..stat })
            .unwrap();
    }
    assert_eq!(finder.finish().unwrap().told().len(), 200_000);
    assert!(start.elapsed().as_secs() < 20);
}

#[test]
fn a_base_name_found_twice() {
    let dir = store(&[
        ("cur/1.same:2,S", "abc"),
        ("new/1.same", "abc"),
        ("cur/2.differs:2,", "abc"),
        ("new/2.differs", "abcd"),
        ("cur/3.flags:2,S", "x"),
        ("cur/3.flags:2,FS", "x"),
        ("tmp/4.tmp", "x"),
        ("cur/.hidden", "x"),
    ]);
    assert_eq!(
        identities(dir.path(), ""),
        [
            ("1.same".into(), false, 3),
            ("2.differs".into(), false, 3),
            ("2.differs/4".into(), true, 4),
            ("3.flags".into(), false, 1),
        ]
    );
}

#[test]
fn what_is_no_message_is_counted_and_left_out() {
    let dir = store(&[("cur/1:2,", "x"), ("cur/dir/", "")]);
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("cur/link")).unwrap();
    let root = Root::new(dir.path());
    let messages = Maildir::new(&root, b"")
        .messages(b"", &Messages::default())
        .unwrap();
    assert_eq!((messages.len(), messages.oddities), (1, 2));
}

#[test]
fn file_names() {
    assert_eq!(split(b"1.M2P3.host,S=5:2,FS").0, b"1.M2P3.host,S=5".len());
    assert_eq!(split(b"1.host;2,S").0, b"1.host".len());
    assert_eq!(split(b"1.host:1,x").0, b"1.host:1,x".len());
    assert_eq!(claimed_size(b"1.host,S=123,W=130"), Some(123));
    assert_eq!(claimed_size(b"1.host,S=12x"), None);
    assert_eq!(claimed_size(b"S=12"), None);
}

/// A hard-linked copy of a folder, as rsnapshot makes one, with a few changes.
#[test]
fn a_folder_beside_that_of_another_date_is_the_same_as_looked_at_alone() {
    let days = tempfile::tempdir().unwrap();
    let (old, new) = (days.path().join("old"), days.path().join("new"));
    for (name, content) in [
        ("cur/1.a:2,S", "one"),
        ("cur/2.a:2,", "two"),
        ("cur/3.a:2,", "three"),
        ("new/4.a", "four"),
        ("cur/5.a:2,", "fives"),
        ("new/5.a", "five"),
        ("cur/6.a:2,", "six"),
        ("new/6.a", "six"),
    ] {
        write(&old, name, content);
    }
    let changes: [&[&dyn Fn()]; 8] = [
        &[],
        // Read, answered, moved out of new, deleted.
        &[&|| fs::rename(new.join("cur/2.a:2,"), new.join("cur/2.a:2,RS")).unwrap()],
        &[&|| fs::rename(new.join("new/4.a"), new.join("cur/4.a:2,S")).unwrap()],
        &[&|| fs::remove_file(new.join("cur/3.a:2,")).unwrap()],
        // Another message under the same name.
        &[
            &|| fs::remove_file(new.join("cur/3.a:2,")).unwrap(),
            &|| write(&new, "cur/3.a:2,", "another"),
        ],
        // A second file of a base name; and one of two is gone.
        &[&|| write(&new, "new/1.a", "uno, due")],
        &[&|| fs::remove_file(new.join("cur/5.a:2,")).unwrap()],
        &[&|| write(&new, "cur/0.b:2,F", "first"), &|| {
            write(&new, "new/9.b", "last")
        }],
    ];
    for (number, changes) in changes.into_iter().enumerate() {
        if new.exists() {
            fs::remove_dir_all(&new).unwrap();
        }
        for sub in ["cur", "new"] {
            fs::create_dir_all(new.join(sub)).unwrap();
            for file in fs::read_dir(old.join(sub)).unwrap() {
                let file = file.unwrap();
                fs::hard_link(file.path(), new.join(sub).join(file.file_name())).unwrap();
            }
        }
        for change in changes {
            change();
        }
        let root = Root::new(days.path());
        let maildir = Maildir::new(&root, b"old");
        let before = maildir.messages(b"", &Messages::default()).unwrap();
        let ask = || Before {
            messages: &before,
            device: maildir.device(b"").unwrap(),
        };
        assert!(ask().device.is_some(), "run this on a local disk");
        let maildir = Maildir::new(&root, b"new");
        let alone = maildir.messages(b"", &Messages::default()).unwrap();
        let found = maildir.messages_since(b"", &ask).unwrap();
        let beside = found.all(&before).unwrap();
        assert!(beside.equals(&alone), "{number}: {beside:?}\n{alone:?}");
        assert_eq!(beside.equals(&before), number == 0, "{number}");
    }
}

#[test]
fn beside_another_date_only_what_has_changed_is_told() {
    let days = tempfile::tempdir().unwrap();
    let (old, new) = (days.path().join("old"), days.path().join("new"));
    for number in 0..30 {
        write(&old, &format!("cur/{number:02}.a:2,"), &"x".repeat(number));
        let name = format!("{number:02}.a:2,");
        fs::create_dir_all(new.join("cur")).unwrap();
        fs::hard_link(old.join("cur").join(&name), new.join("cur").join(&name)).unwrap();
    }
    let (one, other) = (new.join("cur/03.a:2,"), new.join("cur/20.a:2,"));
    fs::remove_file(one).unwrap();
    fs::rename(other, new.join("cur/20.a:2,S")).unwrap();
    fs::hard_link(old.join("cur/07.a:2,"), new.join("cur/07.b:2,")).unwrap();
    write(&new, "cur/00.0:2,", "first");
    write(&new, "new/99", "last");
    let root = Root::new(days.path());
    let store = Maildir::new(&root, b"old");
    let before = store.messages(b"", &Messages::default()).unwrap();
    let ask = || Before {
        messages: &before,
        device: store.device(b"").unwrap(),
    };
    let store = Maildir::new(&root, b"new");
    let found = store.messages_since(b"", &ask).unwrap();
    let Found::Changed { change, news } = &found else {
        panic!("{found:?}");
    };
    assert_eq!(change.gone, [3, 20]);
    assert_eq!(change.came, [0, 8, 21, 31]);
    assert_eq!(news.len(), 4);
    let alone = store.messages(b"", &Messages::default()).unwrap();
    assert!(found.all(&before).unwrap().equals(&alone));
}
