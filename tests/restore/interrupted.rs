//! Killed at every step: nothing is lost, nothing is there twice.

use crate::harness::imap_server::ALICE;
use crate::harness::{Config, Mailbox, Scratch, Store, able, mail, output, store::Layout};
use crate::{DAY, configure, files, report};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A backup with the same message in two folders and twice in one, one without Message-ID, and an empty live mailbox.
fn world() -> (Scratch, Config, PathBuf) {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let backup = store.mailbox(DAY, ALICE);
    let copy = mail("Bob <b@example.com>", "Copied", "the same\n");
    let nameless = b"Subject: no id\n\nhello\n";
    for (place, name, bytes) in [
        ("cur", "1.copied:2,S", copy.as_slice()),
        ("Work/cur", "2.copied:2,FS", &copy),
        ("Work/cur", "3.copied:2,", &copy),
        ("cur", "4.nameless:2,S", nameless),
        ("Work/cur", "5.nameless:2,", nameless),
        (
            "cur",
            "6.other:2,R",
            &mail("Bob <b@example.com>", "Other", "x\n"),
        ),
    ] {
        backup.put(place, name, bytes, 1_795_000_000);
    }
    let live = scratch.subdirectory("live");
    Mailbox::new(&live, ALICE, Layout::MaildirPlusPlus);
    let config = configure(&scratch, &store, &live);
    (scratch, config, live.join("example.com/alice/Maildir"))
}

/// How often each content is in each folder, with its flags.
fn contents(mailbox: &Path) -> BTreeMap<(String, String, Vec<u8>), usize> {
    let mut found = BTreeMap::new();
    for path in files(mailbox).into_keys() {
        let place = path.parent().unwrap().to_str().unwrap().to_owned();
        if !place.ends_with("cur") && !place.ends_with("new") {
            continue;
        }
        let name = path.to_str().unwrap();
        let flags = name.rsplit_once(":2,").unwrap().1.to_owned();
        let bytes = std::fs::read(mailbox.join(&path)).unwrap();
        *found.entry((place, flags, bytes)).or_default() += 1;
    }
    found
}

#[test]
fn killed_at_every_step() {
    if !able(&["strace"]) {
        return;
    }
    let (_scratch, config, mailbox) = world();
    let apply = ["--date", DAY, "--mailbox", ALICE, "--apply"];
    assert_eq!(report(&config, &apply, 0)["created"], 6);
    let wanted = contents(&mailbox);
    assert_eq!(wanted.values().sum::<usize>(), 6);

    let mut killed = 0;
    for (call, times) in [
        ("mkdirat", 4),
        ("fchmod", 9),
        ("utimensat", 6),
        ("renameat2", 6),
        ("fsync", 14),
        ("write", 30),
    ] {
        for time in 1..=times {
            let (_scratch, config, mailbox) = world();
            let inject = format!("inject={call}:signal=KILL:when={time}");
            let ended = output(
                Command::new("strace")
                    .args([
                        "-f",
                        "-qq",
                        "-o",
                        "/dev/null",
                        "-e",
                        &format!("trace={call}"),
                        "-e",
                        &inject,
                    ])
                    .arg(env!("CARGO_BIN_EXE_mailtm"))
                    .args(["restore", "--config", config.write().to_str().unwrap()])
                    .args(apply),
            );
            if ended.status.code() == Some(0) {
                break;
            }
            killed += 1;
            let had = contents(&mailbox);
            for (what, count) in &had {
                assert!(wanted.get(what) >= Some(count), "{call} {time}: {what:?}");
            }
            let rest = report(&config, &apply, 0);
            let missing = 6 - had.values().sum::<usize>();
            assert_eq!(rest["created"], missing, "{call} {time}");
            assert_eq!(contents(&mailbox), wanted, "{call} {time}");
            assert_eq!(report(&config, &apply, 0)["created"], 0, "{call} {time}");
        }
    }
    assert!(killed > 20, "{killed}");
}
