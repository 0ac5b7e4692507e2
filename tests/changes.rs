//! What changes while the mount is in use, and what the kernel then has to forget.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::tree::{dates, messages};
use harness::{Config, Mount, Scratch, Store, Subject, able, eventually};
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

const ALICE: &str = "alice@example.com";
const BEFORE: u32 = 1_900_001;
const AFTER: u32 = 1_900_002;

#[test]
fn a_mailbox_given_to_somebody_else_is_closed_to_who_had_it() {
    if !able(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let mailbox = store.mailbox("2026-11-19", ALICE).owned_by(BEFORE, BEFORE);
    mailbox.number("cur", 1);
    mailbox.number("Archive/2024/cur", 2);
    let mount = Mount::new(&Config::new(&scratch, &store));
    let top = mount.join("2026-11-19").join(ALICE);
    let inbox = top.join("INBOX");
    let name = messages(&inbox)[0].clone();
    let (before, after) = (Subject::uid(BEFORE), Subject::uid(AFTER));
    before.read(inbox.join(&name)).unwrap();
    before.read(top.join("Archive/2024.mbox")).unwrap();
    after.refused(&top);
    // Its nodes are in use: the kernel can't drop them with their names.
    let held = fs::File::open(&inbox).unwrap();
    let message = fs::File::open(inbox.join(&name)).unwrap();

    store
        .mailbox("2026-11-20", ALICE)
        .owned_by(AFTER, AFTER)
        .number("cur", 1);
    eventually(Duration::from_secs(10), "the new owner gets in", || {
        after.list(&top).is_ok()
    });
    for path in [&top, &inbox, &inbox.join(&name), &top.join("INBOX.mbox")] {
        before.refused(path);
    }
    assert!(!after.read(inbox.join(&name)).unwrap().is_empty());
    use std::os::unix::fs::MetadataExt;
    for file in [held, message] {
        assert_eq!(file.metadata().unwrap().uid(), AFTER);
    }
}

#[test]
fn a_rotation_shows_each_date_what_it_showed_before() {
    if !able(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    store.mailbox("daily.0", ALICE).number("cur", 1);
    let root = store.path.join("daily.0");
    harness::store::set_time(&root, harness::utc("2026-11-19 23:00:00"));
    let mount = Mount::new(&Config::new(&scratch, &store)).expecting_warnings();
    let inbox = mount.join("2026-11-19").join(ALICE).join("INBOX");
    // Not looked at before: what it shows now is what the kernel keeps.
    fs::rename(&root, store.path.join("daily.1")).unwrap();
    let new = store.mailbox("daily.0", ALICE);
    new.number("cur", 1);
    new.number("cur", 2);
    harness::store::set_time(&root, harness::utc("2026-11-20 23:00:00"));
    let mut seen = BTreeSet::new();
    while dates(&mount.path).len() < 2 {
        for name in fs::read_dir(&inbox).into_iter().flatten().flatten() {
            seen.insert(name.file_name());
        }
    }
    assert!(seen.len() <= 1, "{seen:?}");
    eventually(Duration::from_secs(5), "the date is back", || {
        inbox.exists()
    });
    assert_eq!(messages(&inbox).len(), 1);
    let inbox = mount.join("2026-11-20").join(ALICE).join("INBOX");
    assert_eq!(messages(inbox).len(), 2);
}
