//! What is put back into a Maildir is counted for its quota.

use crate::harness::able;
use crate::harness::imap_server::ALICE;
use crate::maildir::{World, comes_back_in, small};
use crate::{DAY, report};
use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::Path;

/// The bytes and the messages that a `maildirsize` says there are.
fn counted(file: &Path) -> (i64, i64) {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().skip(1).map(|line| {
        let mut numbers = line.split_whitespace().map(|n| n.parse::<i64>().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap())
    });
    lines.fold((0, 0), |(a, b), (bytes, messages)| {
        (a + bytes, b + messages)
    })
}

#[test]
fn what_is_put_back_and_taken_away_again_is_counted() {
    let (_scratch, config, mailbox) = small(|live| drop(live.number("cur", 9)));
    let file = mailbox.join("maildirsize");
    fs::write(&file, "1000000S\n        100 1\n").unwrap();
    let owner = fs::metadata(&mailbox).unwrap();
    lchown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
    let args = ["--date", DAY, "--mailbox", ALICE, "--apply"];
    let done = report(&config, &args, 0);
    assert_eq!(done["create"], 5, "{done}");
    let (bytes, messages) = counted(&file);
    assert_eq!(messages, 6);
    assert!(bytes > 500, "{bytes}");
    assert!(
        fs::read_to_string(&file)
            .unwrap()
            .starts_with("1000000S\n        100 1\n")
    );
    report(&config, &args, 0);
    assert_eq!(counted(&file), (bytes, messages), "nothing was added");
    report(
        &config,
        &["--undo", done["log"].as_str().unwrap(), "--apply"],
        0,
    );
    assert_eq!(counted(&file), (100, 1));
}

/// Dovecot's own quota says the same as when it counts again.
#[test]
fn dovecots_quota() {
    if !able(&["doveadm", "dovecot"]) {
        return;
    }
    let quota = "mail_plugins = quota\nplugin {\n  quota = maildir:User quota\n  quota_rule = *:storage=1G\n}";
    let world = World::new("maildir:~/Maildir", quota);
    let file = world.mailbox().join("Maildir/maildirsize");
    world.server.adm(&["quota", "recalc"]);
    let before = counted(&file);
    comes_back_in(&world);
    let after = counted(&file);
    assert!(after.1 > 0 && before.1 > 0, "{before:?} {after:?}");
    world.server.adm(&["quota", "recalc"]);
    assert_eq!(counted(&file), after);
}
