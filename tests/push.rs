//! Messages that are pushed to the kernel ahead of who reads one after the other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::trace::Trace;
use harness::tree::messages;
use harness::{Config, Mount, Scratch, Store, able};
use std::fs;
use std::time::Duration;

const DAY: &str = "2026-11-20";
const ALICE: &str = "alice@example.com";

/// Reads forty messages in order, and then some of the next ones now and then; how many of those the daemon was not
/// asked for.
fn not_asked_for(push: &str) -> usize {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let mailbox = store.mailbox(DAY, ALICE);
    let stored: Vec<Vec<u8>> = (100..200).map(|n| mailbox.number("cur", n)).collect();
    let config = Config::new(&scratch, &store).set("push", push);
    let mount = Mount::new(&config);
    let inbox = mount.join(DAY).join(ALICE).join("INBOX");
    // With their attributes: the kernel takes pages only for what it knows.
    let names: Vec<_> = messages(&inbox)
        .into_iter()
        .map(|n| inbox.join(n))
        .collect();
    assert!(names.iter().all(|name| name.metadata().unwrap().len() > 0));
    assert_eq!(names.len(), stored.len());
    for (name, stored) in names.iter().zip(&stored).take(40) {
        assert_eq!(fs::read(name).unwrap(), *stored);
    }
    let trace = Trace::new(&mount, &scratch, &["-e", "trace=read"]);
    let mut spared = 0;
    for at in 75..95 {
        std::thread::sleep(Duration::from_millis(50));
        let before = trace.exchanges();
        assert_eq!(fs::read(&names[at]).unwrap(), stored[at]);
        std::thread::sleep(Duration::from_millis(50));
        spared += usize::from(trace.exchanges() == before);
    }
    spared
}

#[test]
fn who_reads_in_order_finds_the_next_ones_in_memory() {
    if able(&["strace"]) {
        assert!(not_asked_for("auto") > 0);
    }
}

#[test]
fn switched_off_every_message_is_asked_for() {
    if able(&["strace"]) {
        assert_eq!(not_asked_for("off"), 0);
    }
}
