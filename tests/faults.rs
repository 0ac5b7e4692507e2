//! When things go wrong: removed snapshots, a killed daemon, stores that hang, mount points that are no good, and an
//! index that is damaged, foreign, locked or read-only.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::hanging::Hanging;
use harness::mount::{OtherMount, is_mounted, unmount_lazily};
use harness::tree::{dates, manifest, messages, only, same};
use harness::{
    Config, Mount, Scratch, Store, able, drop_caches, eventually, keeping_caches, ls, output,
    within,
};
use rustix::process::Signal;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

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
    let script = include_str!("harness/handles.py");
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
fn a_new_daemon_mounts_over_a_dead_one() {
    if !able(&[]) {
        return;
    }
    let (_scratch, _store, config) = setup();
    let mount = Mount::new(&config);
    let before = manifest(&mount.path);
    let held = File::open(mount.join("2026-11-20")).unwrap();
    mount.kill();
    assert_eq!(
        errno(fs::metadata(
            config.mountpoint.join("nobody asked for this yet")
        )),
        Some(libc::ENOTCONN)
    );
    assert!(is_mounted(&config.mountpoint));
    {
        let mount = Mount::new(&config).expecting_warnings();
        same("after the restart", &before, &manifest(&mount.path));
    }
    drop(held);
    unmount_lazily(&config.mountpoint);
}

/// A configuration that shows a store and, as another source, one that can be made to hang.
fn beside_one_that_hangs(
    scratch: &Scratch,
    plain: &Store,
    behind: &Store,
    timeout: &str,
) -> (Hanging, Config) {
    let hanging = Hanging::new(&behind.path, scratch.join("hanging"));
    let sources = [&hanging.path, &plain.path].map(|path| path.to_str().unwrap().to_owned());
    let config = Config::new(scratch, plain)
        .set("source.snapshots", sources.to_vec())
        .set("source.timeout", timeout);
    (hanging, config)
}

#[test]
fn a_store_that_hangs_takes_nothing_else_with_it() {
    if !able(&["bindfs"]) {
        return;
    }
    let scratch = Scratch::new();
    let behind = Store::new(scratch.join("behind"));
    let plain = Store::new(scratch.join("plain"));
    for number in 0..40 {
        behind.mailbox("2026-11-19", ALICE).number("cur", number);
        plain.mailbox("2026-11-20", ALICE).number("cur", number);
    }
    let (hanging, config) = beside_one_that_hangs(&scratch, &plain, &behind, "2s");
    let mount = Mount::new(&config).expecting_warnings();
    let inbox = |day: &str| mount.join(day).join(ALICE).join("INBOX");
    let (hung, well) = (inbox("2026-11-19"), inbox("2026-11-20"));
    // From here on no other test drops what is read.
    let caches = keeping_caches();
    let names = messages(&hung);
    assert_eq!((names.len(), messages(&well).len()), (40, 40));
    let known = fs::read(hung.join(&names[0])).unwrap();

    hanging.signal(Signal::STOP);
    let message = hung.join(&names[20]);
    let error = within(
        Duration::from_secs(20),
        "a read of a store that hangs",
        move || {
            let start = Instant::now();
            let error = errno(fs::read(message));
            assert!(
                start.elapsed() < Duration::from_secs(8),
                "{:?}",
                start.elapsed()
            );
            error
        },
    );
    assert_eq!(error, Some(libc::EIO));
    // Four at once that wait, and more work than there are threads.
    let waiting: Vec<_> = (21..40)
        .map(|n| hung.join(&names[n]))
        .map(|path| std::thread::spawn(move || errno(fs::read(path))))
        .collect();
    let (path, list) = (well.clone(), mount.path.clone());
    let took = within(Duration::from_secs(20), "the other snapshot", move || {
        let start = Instant::now();
        for name in messages(&path) {
            fs::read(path.join(name)).unwrap();
        }
        assert_eq!(dates(&list).len(), 2);
        start.elapsed()
    });
    assert!(
        took < Duration::from_secs(3),
        "the other snapshot took {took:?}"
    );
    // What is in memory answers as before: attributes, listings, pages.
    let (path, first) = (hung.clone(), names[0].clone());
    let again = within(Duration::from_secs(5), "what is cached", move || {
        assert_eq!(messages(&path).len(), 40);
        fs::read(path.join(first)).unwrap()
    });
    drop(caches);
    assert_eq!(again, known);
    let errors = within(Duration::from_secs(60), "all that wait", move || {
        waiting
            .into_iter()
            .map(|t| t.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert!(errors.iter().all(|&e| e == Some(libc::EIO)), "{errors:?}");

    hanging.signal(Signal::CONT);
    let message = hung.join(&names[20]);
    eventually(Duration::from_secs(30), "the mail is back", || {
        fs::read(&message).is_ok()
    });
    for name in &names {
        let bytes = fs::read(hung.join(name)).unwrap();
        assert_eq!(bytes, fs::read(well.join(name)).unwrap(), "{name}");
    }
}

fn refused(config: &Config, words: &[&str]) {
    let failure = match Mount::start(config) {
        Ok(_) => panic!("mounted on {}", config.mountpoint.display()),
        Err(failure) => failure,
    };
    assert!(matches!(failure.code(), 1 | 2), "{failure:?}");
    for word in words {
        assert!(
            failure.stderr.contains(word),
            "no {word:?} in:\n{}",
            failure.stderr
        );
    }
    assert!(!failure.stderr.contains("panicked"), "{}", failure.stderr);
}

#[test]
fn mount_points_that_are_no_good() {
    if !able(&[]) {
        return;
    }
    let (scratch, store, config) = setup();
    let absent = scratch.join("absent");
    let mut bad = config.clone().set("mountpoint", absent.to_str().unwrap());
    bad.mountpoint = absent.clone();
    refused(&bad, &[absent.to_str().unwrap()]);
    assert!(!absent.exists());

    let file = scratch.join("file");
    fs::write(&file, "x").unwrap();
    let mut bad = config.clone().set("mountpoint", file.to_str().unwrap());
    bad.mountpoint = file.clone();
    refused(&bad, &[file.to_str().unwrap()]);

    let full = scratch.subdirectory("full");
    fs::write(full.join("precious"), "x").unwrap();
    let mut bad = config.clone().set("mountpoint", full.to_str().unwrap());
    bad.mountpoint = full.clone();
    refused(&bad, &[full.to_str().unwrap()]);
    assert_eq!(ls(&full), ["precious"]);

    let mount = Mount::new(&config);
    let second = Config::new(&scratch, &store);
    let mut second = second.set("mountpoint", config.mountpoint.to_str().unwrap());
    second.mountpoint = config.mountpoint.clone();
    refused(&second, &[config.mountpoint.to_str().unwrap()]);
    assert_eq!(
        dates(&mount.path).len(),
        2,
        "the first one is not disturbed"
    );
}

#[test]
fn sources_that_are_no_good() {
    if !able(&[]) {
        return;
    }
    let (scratch, _store, config) = setup();
    let missing = scratch.join("no-such-directory");
    let bad = config.set(
        "source.snapshots",
        vec![missing.to_str().unwrap().to_owned()],
    );
    refused(&bad, &[missing.to_str().unwrap()]);
    assert!(!is_mounted(&bad.mountpoint));
}

/// Everything below the index path, files and their bytes.
fn index_files(config: &Config) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![config.index.clone()];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        } else if path.is_file() {
            found.push(path);
        }
    }
    assert!(!found.is_empty(), "no index at {}", config.index.display());
    found
}

#[test]
fn an_index_that_is_no_good_changes_nothing_that_is_shown() {
    if !able(&[]) {
        return;
    }
    let (_scratch, _store, config) = setup();
    let truth = manifest(&Mount::new(&config).path);
    type Damage = fn(&Path, Vec<u8>);
    let damages: [(&str, Damage); 5] = [
        ("random bytes", |path, bytes| {
            let mut numbers = harness::Numbers(9);
            let noise =
                (0..bytes.len().max(10_000)).map(|_| u8::try_from(numbers.below(256)).unwrap());
            fs::write(path, noise.collect::<Vec<u8>>()).unwrap();
        }),
        ("the middle overwritten", |path, mut bytes| {
            let (start, end) = (bytes.len() / 4, bytes.len() * 3 / 4);
            bytes[start..end].fill(0xa5);
            fs::write(path, bytes).unwrap();
        }),
        ("torn", |path, bytes| {
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap()
        }),
        ("emptied", |path, _| fs::write(path, "").unwrap()),
        ("another program's", |path, _| {
            fs::write(path, "key = value\n".repeat(1000)).unwrap()
        }),
    ];
    for (what, damage) in damages {
        for path in index_files(&config) {
            let bytes = fs::read(&path).unwrap();
            damage(&path, bytes);
        }
        let mount = Mount::new(&config).expecting_warnings();
        same(what, &truth, &manifest(&mount.path));
        mount.wait_for_warning(&["index"]);
        drop(mount);
        let mount = Mount::new(&config);
        same(&format!("{what}, rebuilt"), &truth, &manifest(&mount.path));
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
fn an_index_that_vanishes_changes_nothing_that_is_shown() {
    if !able(&[]) {
        return;
    }
    // What is cleared away while it is in use: the files alone, or the directory too.
    for whole in [false, true] {
        let (scratch, store, config) = setup();
        let mount = Mount::new(&config).expecting_warnings();
        let truth = manifest(&mount.path);
        if whole {
            fs::remove_dir_all(&config.index).unwrap();
        } else {
            index_files(&config)
                .iter()
                .for_each(|file| fs::remove_file(file).unwrap());
        }
        same("in use", &truth, &manifest(&mount.path));
        // What is new is learned, and gets numbers.
        store.link("2026-11-20", "2026-11-21");
        let hers = store.mailbox("2026-11-21", ALICE);
        hers.number("cur", 50);
        hers.number("New/cur", 51);
        eventually(Duration::from_secs(10), "the new date", || {
            dates(&mount.path).contains(&"2026-11-21".to_owned())
        });
        let newer = manifest(&mount.path);
        mount.wait_for_warning(&["index", "removed while it was in use"]);
        same(
            "another index",
            &newer,
            &manifest(&Mount::new(&Config::new(&scratch, &store)).path),
        );
        assert_eq!(mount.warnings().len(), 1, "{:?}", mount.warnings());
        if !whole {
            for file in ["facts.sqlite", "serials.sqlite"] {
                assert!(
                    config.index.join(file).is_file(),
                    "{file} was not made anew"
                );
            }
        }
        drop(mount);
        // Numbers and all come out the same. The sandbox cannot make a directory beside it anew: that is for the next one.
        let mount = Mount::new(&config).expecting_warnings();
        same("after a restart", &newer, &manifest(&mount.path));
        assert_eq!(mount.warnings().len(), usize::from(whole));
    }
}

#[test]
fn an_index_that_is_in_use_or_cannot_be_written_is_done_without() {
    if !able(&[]) {
        return;
    }
    let (scratch, store, config) = setup();
    let first = Mount::new(&config);
    let truth = manifest(&first.path);
    let index = |path: &Path| {
        let mut config = Config::new(&scratch, &store).set("index.path", path.to_str().unwrap());
        config.index = path.to_owned();
        config
    };
    {
        // Several daemons may use one index.
        let second = Mount::new(&index(&config.index));
        same("an index in use", &truth, &manifest(&second.path));
    }
    drop(first);

    let read_only = OtherMount::new(
        &["-t", "tmpfs", "-o", "ro", "none"],
        scratch.join("read-only"),
    );
    {
        let mount = Mount::new(&index(&read_only.0.join("index"))).expecting_warnings();
        same("a read-only directory", &truth, &manifest(&mount.path));
        mount.wait_for_warning(&["index"]);
    }
    let full = OtherMount::new(
        &["-t", "tmpfs", "-o", "size=8k", "none"],
        scratch.join("disk-full"),
    );
    fs::write(full.0.join("ballast"), vec![0; 4096]).unwrap();
    {
        let mount = Mount::new(&index(&full.0.join("index"))).expecting_warnings();
        same("a full disk", &truth, &manifest(&mount.path));
        mount.wait_for_warning(&["index"]);
    }
    fs::write(scratch.join("plain-file"), "x").unwrap();
    let mount = Mount::new(&index(&scratch.join("plain-file/index"))).expecting_warnings();
    same("below a file", &truth, &manifest(&mount.path));
    mount.wait_for_warning(&["index"]);
}

#[test]
fn the_daemon_ends_in_order() {
    if !able(&[]) {
        return;
    }
    let (_scratch, _store, config) = setup();
    let mount = Mount::new(&config);
    manifest(&mount.path);
    let descriptors = || {
        fs::read_dir(format!("/proc/{}/fd", mount.pid()))
            .unwrap()
            .count()
    };
    let before = descriptors();
    for _ in 0..3 {
        manifest(&mount.path);
        drop_caches();
    }
    eventually(
        Duration::from_secs(40),
        "no descriptor is left over",
        || descriptors() <= before,
    );
    assert!(mount.stop().success());
    assert!(!is_mounted(&config.mountpoint));
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

#[test]
fn a_newest_store_that_hangs_keeps_no_date_from_showing_and_no_listing_waiting() {
    if !able(&["bindfs"]) {
        return;
    }
    let scratch = Scratch::new();
    let behind = Store::new(scratch.join("behind"));
    let plain = Store::new(scratch.join("plain"));
    behind.mailbox("2026-11-20", ALICE).number("cur", 1);
    behind.mailbox("2026-11-20", ALICE).number("Archive/cur", 2);
    plain.mailbox("2026-11-19", ALICE).number("cur", 1);
    let (hanging, config) = beside_one_that_hangs(&scratch, &plain, &behind, "2s");
    let mount = Mount::new(&config).expecting_warnings();
    let mailbox = mount.join("2026-11-20").join(ALICE);
    // Which folders there are is known then, and no more of them.
    assert!(errno(fs::metadata(mailbox.join("no such"))).is_some());

    hanging.signal(Signal::STOP);
    let error = within(Duration::from_secs(20), "a listing", move || {
        errno(fs::read_dir(&mailbox).and_then(Iterator::collect::<Result<Vec<_>, _>>))
    });
    assert_eq!(error, Some(libc::EIO));
    plain.mailbox("2026-11-18", ALICE).number("cur", 1);
    let root = mount.path.clone();
    within(Duration::from_secs(20), "an older date", move || {
        eventually(Duration::from_secs(15), "an older date", || {
            dates(&root) == ["2026-11-18", "2026-11-19", "2026-11-20"]
        });
    });
}

#[test]
fn a_new_policy_waits_for_no_reader_and_a_daemon_killed_meanwhile_ends() {
    if !able(&["bindfs"]) {
        return;
    }
    let scratch = Scratch::new();
    let behind = Store::new(scratch.join("behind"));
    let plain = Store::new(scratch.join("plain"));
    behind.mailbox("2026-11-19", ALICE).number("cur", 1);
    plain.mailbox("2026-11-20", ALICE).number("cur", 1);
    let (hanging, config) = beside_one_that_hangs(&scratch, &plain, &behind, "60s");
    let mount = Mount::new(&config).expecting_warnings();
    let inbox = mount.join("2026-11-19").join(ALICE).join("INBOX");
    let name = only(&inbox);
    assert!(fs::metadata(inbox.join(&name)).unwrap().len() > 0);
    // Its page is locked until it is answered.
    hanging.signal(Signal::STOP);
    let reader = std::thread::spawn(move || errno(fs::read(inbox.join(&name))));
    std::thread::sleep(Duration::from_millis(500));

    config.set("access.admins", vec!["1".to_owned()]).write();
    let begun = Instant::now();
    mount.signal(Signal::HUP);
    mount.wait_for_line(&["policy", "in force"]);
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "waited for a reader"
    );
    let dead = mount.path.clone();
    within(Duration::from_secs(20), "a killed daemon", move || {
        mount.kill()
    });
    assert!(reader.join().unwrap().is_some());
    unmount_lazily(&dead);
    hanging.signal(Signal::CONT);
}
