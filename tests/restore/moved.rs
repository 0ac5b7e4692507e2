//! What has moved since the backup: messages that look like others, and whole mailboxes.

use crate::harness::imap_server::ALICE;
use crate::harness::{Mailbox, Scratch, Store, store::Layout};
use crate::{DAY, configure, files, report, restore};
use serde_json::json;
use std::path::Path;

/// One header again and again, without a Message-ID: one is there, one was moved, and two are gone.
#[test]
fn messages_of_one_header_and_size_are_not_each_other() {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let backup = store.mailbox(DAY, ALICE);
    let path = scratch.subdirectory("live");
    let live = Mailbox::new(&path, ALICE, Layout::MaildirPlusPlus);
    let scan = |page: u32| format!("From: scanner@x\nSubject: Scan\n\npage {page}\n");
    for page in 1..=4 {
        backup.put(
            "cur",
            format!("1.M{page}P1.mx:2,S"),
            scan(page),
            1_795_000_000,
        );
    }
    live.put("cur", "1.M1P1.mx:2,S", scan(1), 1_795_000_000);
    live.put("Archive/cur", "2.M2P1.mx:2,S", scan(2), 1_795_000_000);
    let config = configure(&scratch, &store, &path);
    let apply = ["--date", DAY, "--mailbox", ALICE, "--apply"];
    let done = report(&config, &apply, 0);
    assert_eq!(done["created"], 2, "{done}");
    assert_eq!(done["moved_to"], json!({"Archive": 1}), "{done}");
    assert_eq!(report(&config, &apply, 0)["created"], 0);
}

/// A node of the mail server's storage: its directory is a level above that of the domain.
fn on_node(top: &Path, node: &str, uid: u32) -> Mailbox {
    Mailbox::new(&top.join(node), "al@x.org", Layout::Fs).owned_by(uid, uid)
}

#[test]
fn a_mailbox_that_has_moved_to_another_node_is_found_by_its_name() {
    for (nodes, found) in [
        (&[("b", 7001)][..], true),
        // Somebody else has made a directory of that name, or two are called so.
        (&[("b", 7002)], false),
        (&[("b", 7001), ("c", 7001)], false),
    ] {
        let scratch = Scratch::new();
        let store = Store::new(scratch.join("snapshots"));
        on_node(&store.snapshot(DAY), "a", 7001).number("cur", 1);
        let live = scratch.subdirectory("live");
        for (node, uid) in nodes {
            on_node(&live, node, *uid).number("cur", 2);
        }
        let config =
            configure(&scratch, &store, &live).set("source.mailboxes", "*/{domain}/{user}");
        let args = ["--date", DAY, "--mailbox", "al@x.org", "--apply"];
        let before = files(&live);
        if !found {
            let refused = restore(&config, &args);
            let said = String::from_utf8_lossy(&refused.stderr);
            assert_eq!(refused.status.code(), Some(1), "{nodes:?}: {said}");
            assert!(said.contains("no Maildir is there now"), "{said}");
            assert_eq!(files(&live), before, "{nodes:?}");
            continue;
        }
        let done = report(&config, &args, 0);
        assert_eq!(done["created"], 1, "{done}");
        assert_eq!(files(&live).len(), before.len() + 1);
        assert_eq!(report(&config, &args, 0)["created"], 0);
        let log = done["log"].as_str().unwrap();
        assert_eq!(report(&config, &["--undo", log, "--apply"], 0)["remove"], 1);
        assert_eq!(files(&live), before);
    }
}
