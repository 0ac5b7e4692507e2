//! When things go wrong: removed snapshots; a [`daemon`] that is killed or cannot begin; stores that are [`hanging`]; and an
//! [`index`] that is damaged, foreign, locked or read-only.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod daemon;
mod hanging;
#[path = "../harness/mod.rs"]
mod harness;
mod index;

use harness::mount::OtherMount;
use harness::tree::{dates, manifest, messages, same};
use harness::{Config, Mount, Scratch, Store, able, drop_caches, eventually, output};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const ALICE: &str = "alice@example.com";

fn setup() -> (Scratch, Store, Config) {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    for day in ["2026-11-19", "2026-11-20"] {
        let mailbox = store.mailbox(day, ALICE);
        for number in 0..10 {
            mailbox.number("cur", number);
            mailbox.number("Archive/2024/cur", 100 + number);
        }
    }
    let config = Config::new(&scratch, &store);
    (scratch, store, config)
}

fn errno<T>(result: std::io::Result<T>) -> Option<i32> {
    result.err().and_then(|e| e.raw_os_error())
}

#[test]
fn a_snapshot_removed_while_in_use() {
    if !able(&[]) {
        return;
    }
    let (scratch, store, config) = setup();
    let mount = Mount::new(&config).expecting_warnings();
    let inbox = mount.join("2026-11-19").join(ALICE).join("INBOX");
    let names = messages(&inbox);
    let read = inbox.join(&names[0]);
    let bytes = fs::read(&read).unwrap();
    let cached = File::open(&read).unwrap();
    let unread = File::open(inbox.join(&names[1])).unwrap();
    let directory = rustix::fs::open(
        &inbox,
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    fs::rename(store.path.join("2026-11-19"), scratch.join("removed")).unwrap();
    fs::remove_dir_all(scratch.join("removed")).unwrap();
    eventually(Duration::from_secs(5), "the date is gone", || {
        dates(&mount.path) == ["2026-11-20"]
    });
    assert_eq!(errno(fs::metadata(&inbox)), Some(libc::ENOENT));
    assert_eq!(errno(fs::read(&read)), Some(libc::ENOENT));
    let mut buffer = vec![0; bytes.len()];
    assert!(matches!(
        errno(unread.read_at(&mut buffer, 0)),
        Some(libc::EIO | libc::ESTALE)
    ));
    match cached.read_at(&mut buffer, 0) {
        Ok(n) => assert_eq!(buffer[..n], bytes[..n]),
        Err(e) => assert_eq!(e.raw_os_error(), Some(libc::EIO)),
    }
    drop_caches();
    let below = rustix::fs::openat(
        &directory,
        names[2].as_str(),
        rustix::fs::OFlags::RDONLY,
        rustix::fs::Mode::empty(),
    );
    assert!(
        matches!(
            below,
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::STALE)
        ),
        "{below:?}"
    );
    // Nothing else notices.
    let other = mount.join("2026-11-20").join(ALICE).join("INBOX");
    for name in messages(&other) {
        fs::read(other.join(name)).unwrap();
    }
}

#[test]
fn a_handle_to_a_removed_snapshot_is_stale() {
    if !able(&["python3"]) {
        return;
    }
    let (scratch, store, config) = setup();
    let mount = Mount::new(&config).expecting_warnings();
    let script = include_str!("../harness/handles.py");
    let day = mount.join("2026-11-19");
    let table = harness::run(harness::python().args(["-c", script, "take"]).arg(&day));
    fs::rename(store.path.join("2026-11-19"), scratch.join("removed")).unwrap();
    eventually(Duration::from_secs(5), "the date is gone", || {
        dates(&mount.path) == ["2026-11-20"]
    });
    let file = scratch.join("table");
    fs::write(&file, &table).unwrap();
    for _ in 0..2 {
        let wrong = harness::run(
            harness::python()
                .args(["-c", script, "open"])
                .arg(&mount.path)
                .stdin(File::open(&file).unwrap()),
        );
        let wrong = String::from_utf8(wrong).unwrap();
        assert_eq!(
            wrong.lines().count(),
            table.iter().filter(|&&b| b == b'\n').count()
        );
        for line in wrong.lines() {
            assert!(line.ends_with("ESTALE"), "{line}");
        }
        drop_caches();
    }
}

#[test]
fn an_index_that_was_lost_is_warned_of_once_and_a_first_one_is_not() {
    if !able(&[]) {
        return;
    }
    let (scratch, store, config) = setup();
    let begun = |mount: &Mount| mount.stderr().matches("a new one is begun").count();
    // The directory may be there, made by whoever sets the server up.
    fs::create_dir(&config.index).unwrap();
    let mount = Mount::new(&config);
    let truth = manifest(&mount.path);
    assert_eq!(begun(&mount), 1);
    drop(mount);
    let mount = Mount::new(&config);
    assert_eq!(begun(&mount), 0);
    drop(mount);

    // Cleared, gone with its directory, on a disk that is not mounted, and half of it.
    type Loss = fn(&Path);
    let losses: [(&str, Loss); 4] = [
        ("cleared", |index| {
            fs::remove_dir_all(index).unwrap();
            fs::create_dir(index).unwrap();
        }),
        ("gone", |index| fs::remove_dir_all(index).unwrap()),
        ("emptied", |index| {
            for file in fs::read_dir(index).unwrap() {
                fs::write(file.unwrap().path(), "").unwrap();
            }
        }),
        ("no facts", |index| {
            fs::remove_file(index.join("facts.sqlite")).unwrap();
        }),
    ];
    let lost_once = |what: &str| {
        let mount = Mount::new(&config).expecting_warnings();
        same(what, &truth, &manifest(&mount.path));
        let warnings = mount.warnings();
        assert_eq!(warnings.len(), 1, "{what}: {warnings:?}");
        let index = config.index.to_str().unwrap();
        for words in ["index", index, "made anew", "see that"] {
            assert!(warnings[0].contains(words), "{what}: {warnings:?}");
        }
        assert_eq!(begun(&mount), 0);
        drop(mount);
    };
    for (what, lose) in losses {
        lose(&config.index);
        lost_once(what);
        // It is there again.
        same(what, &truth, &manifest(&Mount::new(&config).path));
    }
    let covered = OtherMount::new(&["-t", "tmpfs", "none"], config.index.clone());
    lost_once("another disk");
    drop(covered);
    let mount = Mount::new(&config);
    assert_eq!(begun(&mount), 0);
    drop(mount);

    // Another place, another beginning; and one that cannot be is warned of once, and never taken for lost.
    let mut other = Config::new(&scratch, &store);
    assert_eq!(begun(&Mount::new(&other)), 1);
    fs::write(scratch.join("plain-file"), "x").unwrap();
    other.index = scratch.join("plain-file/index");
    let other = other.set(
        "index.path",
        scratch.join("plain-file/index").to_str().unwrap(),
    );
    let mount = Mount::new(&other).expecting_warnings();
    same("below a file", &truth, &manifest(&mount.path));
    let warnings = mount.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("done without"), "{warnings:?}");
}

#[test]
fn a_snapshot_is_not_kept_busy() {
    if !able(&["mkfs.btrfs"]) {
        return;
    }
    let (scratch, store, _) = setup();
    let image = scratch.join("image");
    File::create(&image).unwrap().set_len(256 << 20).unwrap();
    harness::run(Command::new("mkfs.btrfs").arg("-q").arg(&image));
    let volume = OtherMount::new(
        &["-o", "loop", image.to_str().unwrap()],
        scratch.join("volume"),
    );
    let day = volume.0.join("2026-11-20");
    harness::run(
        Command::new("cp")
            .arg("-a")
            .arg(store.path.join("2026-11-20"))
            .arg(&day),
    );
    let mount = Mount::new(&Config::new(
        &scratch,
        &Store {
            path: volume.0.clone(),
        },
    ))
    .expecting_warnings();
    let inbox = mount.join("2026-11-20").join(ALICE).join("INBOX");
    let open = File::open(inbox.join(&messages(&inbox)[0])).unwrap();
    open.read_at(&mut [0; 10], 0).unwrap();
    let kept = Duration::from_secs(35);
    eventually(
        kept,
        "the store can be unmounted while a message is open",
        || {
            output(Command::new("umount").arg(&volume.0))
                .status
                .success()
        },
    );
    drop(open);
}
