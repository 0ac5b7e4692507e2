//! What changes while the mount is in use, and what the kernel then has to forget.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::mount::mailtm;
use harness::tree::{self, dates, messages};
use harness::{Config, Mount, Scratch, Store, Subject, able, eventually, run, store};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const ALICE: &str = "alice@example.com";
const DAY: &str = "2026-11-19";
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

/// As on snapshots that share their inodes: the directories say that nothing has changed.
#[test]
fn messages_changed_in_place_are_found_out_by_who_reads_them() {
    if !able(&["gzip"]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let mailbox = store.mailbox(DAY, ALICE);
    for number in 0..20 {
        mailbox.number("cur", number);
    }
    let plain = store::mail("bob@example.com", "Hello", &"lines\n".repeat(90));
    let name = format!("1795.M1P1.mx,S={}:2,S", plain.len());
    let put = |place: &str, bytes: &[u8]| mailbox.put(place, &name, bytes, 1795);
    let packed = put("Packed/cur", &gzip(&plain));
    let [torn, grown, emptied, other] =
        ["Torn/cur", "Grown/cur", "Emptied/cur", "Other/cur"].map(|place| put(place, &plain));
    let config = Config::new(&scratch, &store).set("index.warm", "off");
    run(&mut mailtm(&[
        "warm",
        "--config",
        config.write().to_str().unwrap(),
    ]));

    let cut = |path: &Path, len: usize| {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(len as u64).unwrap();
    };
    cut(&packed, 60);
    cut(&torn, 300);
    cut(&emptied, 0);
    fs::write(&grown, [&plain[..], b"and more\nFrom here on\n"].concat()).unwrap();
    fs::write(&other, store::mail("eve@example.com", "Changed", "x\n")).unwrap();
    for path in [&grown, &other] {
        store::set_time(path, 1795);
    }

    let mount = Mount::new(&config).expecting_warnings();
    let top = mount.join(DAY).join(ALICE);
    let limit = Duration::from_secs(10);
    let at_first = |folder: &str, path: &Path, is_true: &dyn Fn(&[u8]) -> bool| {
        path.metadata().unwrap();
        let only = || top.join(folder).join(tree::only(top.join(folder)));
        // The kernel asks twice by itself, at times: an error or the truth, and nothing between.
        eventually(limit, folder, || match fs::read(path) {
            Ok(bytes) => {
                assert!(is_true(&bytes), "{folder}: {}", bytes.escape_ascii());
                true
            }
            // It has another name, by the time at which it was written to.
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => is_true(&fs::read(only()).unwrap()),
            Err(e) => {
                assert_eq!(e.raw_os_error(), Some(libc::EIO), "{folder}");
                false
            }
        });
        if path.exists() {
            let read = fs::read(path).unwrap();
            assert_eq!(
                path.metadata().unwrap().len(),
                read.len() as u64,
                "{folder}"
            );
        }
    };
    for (folder, stored) in [("Torn", &torn), ("Grown", &grown), ("Emptied", &emptied)] {
        let message = top.join(folder).join(tree::only(top.join(folder)));
        let stored = fs::read(stored).unwrap();
        at_first(folder, &message, &|bytes| bytes == stored);
    }
    // The mbox is another way to come across it.
    at_first("Other", &top.join("Other.mbox"), &|mbox| {
        mbox.windows(7).any(|text| text == b"Changed")
    });
    at_first("Packed", &top.join("Packed.mbox"), &|mbox| {
        String::from_utf8_lossy(mbox).contains("X-Mailtm-Unreadable:")
    });
    mount.wait_for_warning(&["was changed in place", "Torn"]);
    let seen = tree::manifest(&mount.path);
    let anew = Mount::new(&Config::new(&scratch, &store)).expecting_warnings();
    tree::same(
        "listed with nothing known",
        &seen,
        &tree::manifest(&anew.path),
    );
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = Command::new("gzip");
    let mut child = gzip
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap().stdout
}
