//! The harness: what the other tests take for granted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::mount::{OtherMount, is_mounted};
use harness::store::uid_of;
use harness::tree::{assert_safe, unix, without_id};
use harness::{Numbers, Scratch, Store, Subject, Users, able, within};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::panic::catch_unwind;
use std::time::Duration;

#[test]
fn a_store_has_the_names_bytes_times_and_owners_it_was_given() {
    if !able(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let mailbox = store.mailbox("2026-11-20", "alice@example.com");
    let path = mailbox.put("Archive/2024/cur", b"a\xff:2,S", "bytes", -5);
    let meta = fs::metadata(&path).unwrap();
    assert_eq!(
        (meta.mtime(), meta.uid()),
        (-5, uid_of("alice@example.com"))
    );
    assert!(
        path.starts_with(
            store
                .path
                .join("2026-11-20/example.com/alice/Maildir/.Archive.2024/cur")
        )
    );
    let linked = store.link("2026-11-20", "2026-11-21");
    let other = linked.join(path.strip_prefix(store.path.join("2026-11-20")).unwrap());
    assert_eq!(fs::metadata(&other).unwrap().ino(), meta.ino());
    store.mailbox("2026-11-21", "alice@example.com").put(
        "Archive/2024/cur",
        b"a\xff:2,S",
        "changed",
        7,
    );
    assert_eq!(
        fs::read(&path).unwrap(),
        b"bytes",
        "another snapshot is not changed"
    );
}

#[test]
fn users_exist_while_they_are_needed() {
    if !able(&["useradd", "groupadd"]) {
        return;
    }
    let mut users = Users::new();
    let group = users.group("staff");
    let user = users.user("harness", &[&group]);
    let id = user.run("id", &["-G"]);
    assert_eq!(
        String::from_utf8(id.stdout).unwrap().trim(),
        format!("{} {}", user.gid, group.1)
    );
    let scratch = Scratch::new();
    let secret = scratch.join("secret");
    fs::write(&secret, "x").unwrap();
    rustix::fs::chmod(&secret, rustix::fs::Mode::empty()).unwrap();
    assert!(
        user.read(&secret)
            .unwrap_err()
            .contains("Permission denied")
    );
    assert_eq!(Subject::root().read(&secret).unwrap(), b"x");
    let name = user.name.clone();
    drop(users);
    assert!(
        !harness::output(std::process::Command::new("id").arg(name))
            .status
            .success()
    );
}

#[test]
fn mounts_are_seen_and_undone() {
    if !able(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.join("with a space");
    let mount = OtherMount::new(&["-t", "tmpfs", "none"], path.clone());
    assert!(is_mounted(&path));
    drop(mount);
    assert!(!is_mounted(&path));
}

#[test]
fn the_rules_for_names_can_fail() {
    for bad in [
        "",
        "a/b",
        "a:b",
        "dot.",
        "space ",
        "CON",
        "nul.txt",
        "com1.mbox",
        "LPT¹",
        "x\u{202e}y",
        "tab\t",
        "e\u{301}",
    ] {
        assert!(catch_unwind(|| assert_safe(bad)).is_err(), "{bad:?}");
    }
    assert!(catch_unwind(|| assert_safe(&"x".repeat(121))).is_err());
    assert!(catch_unwind(|| assert_safe(&"日".repeat(81))).is_err());
    for good in [
        "CONTENT",
        "COM",
        "COM10",
        "a.b",
        "INBOX.mbox",
        "日本語",
        ".hidden",
    ] {
        assert_safe(good);
    }
    assert_eq!(
        without_id("2026-11-19 0932 Bob - x (y) (K7Q2M4XZ).eml"),
        "2026-11-19 0932 Bob - x (y)"
    );
    for bad in [
        "x.eml",
        "x (SHORT).eml",
        "x (k7q2m4xz).eml",
        "x (K7Q2M4XZ).txt",
        "x (IIIIIIII).eml",
    ] {
        assert!(catch_unwind(|| without_id(bad)).is_err(), "{bad:?}");
    }
}

#[test]
fn what_blocks_is_noticed() {
    assert_eq!(within(Duration::from_secs(5), "adding", || 1 + 1), 2);
    let stuck = || {
        within(Duration::from_millis(50), "waiting", || {
            std::thread::sleep(Duration::from_secs(5))
        })
    };
    assert!(catch_unwind(stuck).is_err());
}

#[test]
fn numbers_repeat_and_lines_end() {
    let draw = || {
        (0..100)
            .map({
                let mut n = Numbers(1);
                move |_| n.below(10)
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(draw(), draw());
    assert!((0..10).all(|n| draw().contains(&n)));
    assert_eq!(unix(b"a\r\nb\rc\r\r\nd"), b"a\nb\rc\r\nd\n");
    assert_eq!(unix(b""), b"");
}
