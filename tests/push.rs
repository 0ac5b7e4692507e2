//! Messages that are pushed to the kernel ahead of who reads one after the other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::trace::Trace;
use harness::{Config, Mount, Scratch, Store, able};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

const DAY: &str = "2026-11-20";
const ALICE: &str = "alice@example.com";

/// Reads forty messages in order, and then some of the next ones now and then; how many of those twenty the daemon was not
/// asked for. `is_new`: which are in `new`. `shown`: where the others are in the mount.
fn not_asked_for(push: &str, is_new: impl Fn(u32) -> bool, shown: &str) -> usize {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let mailbox = store.mailbox(DAY, ALICE);
    let mut stored = Vec::new();
    for number in 100..200 {
        let bytes = mailbox.number("cur", number);
        if is_new(number) {
            let cur = mailbox.folder("").join("cur");
            let name = format!("{}.M{number}P1.mx", 1_795_000_000 + number * 60);
            let from = cur.join(format!("{name}:2,S"));
            fs::rename(from, mailbox.folder("").join("new").join(name)).unwrap();
        } else {
            stored.push(bytes);
        }
    }
    let config = Config::new(&scratch, &store).set("push", push);
    let mount = Mount::new(&config);
    // With their attributes: the kernel takes pages only for what it knows.
    let names = harness::ls(mount.join(shown));
    let paths: Vec<_> = names
        .into_iter()
        .map(|name| mount.join(shown).join(name))
        .collect();
    assert!(paths.iter().all(|path| path.metadata().unwrap().len() > 0));
    assert_eq!(paths.len(), stored.len());
    let messages: Vec<(PathBuf, Vec<u8>)> = paths.into_iter().zip(stored).collect();
    for (path, stored) in &messages[..40] {
        assert_eq!(fs::read(path).unwrap(), *stored);
    }
    let trace = Trace::new(&mount, &scratch, &["-e", "trace=read"]);
    let mut spared = 0;
    for (path, stored) in &messages[65..85] {
        std::thread::sleep(Duration::from_millis(50));
        let before = trace.exchanges();
        assert_eq!(fs::read(path).unwrap(), *stored);
        std::thread::sleep(Duration::from_millis(50));
        spared += usize::from(trace.exchanges() == before);
    }
    spared
}

#[test]
fn who_reads_in_order_finds_the_next_ones_in_memory() {
    if able(&["strace"]) {
        let inbox = format!("{DAY}/{ALICE}/INBOX");
        assert!(not_asked_for("auto", |_| false, &inbox) > 0);
    }
}

/// Of those in `new` nobody has told the kernel, who are among the others in the folder's order.
#[test]
fn those_that_were_not_listed_stop_nothing() {
    if able(&["strace"]) {
        let cur = format!(".maildir/{DAY}/{ALICE}/cur");
        let spared = not_asked_for("auto", |number| number % 10 == 7, &cur);
        assert!(spared > 10, "{spared} of 20");
    }
}

#[test]
fn switched_off_every_message_is_asked_for() {
    if able(&["strace"]) {
        let inbox = format!("{DAY}/{ALICE}/INBOX");
        assert_eq!(not_asked_for("off", |_| false, &inbox), 0);
    }
}
