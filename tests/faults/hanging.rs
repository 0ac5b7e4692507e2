//! A store that hangs, and what must go on meanwhile.

use crate::harness::hanging::Hanging;
use crate::harness::mount::unmount_lazily;
use crate::harness::tree::{dates, messages, only};
use crate::harness::{Config, Mount, Scratch, Store, able, eventually, keeping_caches, within};
use crate::{ALICE, errno};
use rustix::process::Signal;
use std::fs;
use std::time::{Duration, Instant};

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
    // From the last one backwards: what may be read ahead of such a reader lies behind, and none of it hangs later.
    let known: Vec<_> = names[30..]
        .iter()
        .rev()
        .map(|name| (name.clone(), fs::read(hung.join(name)).unwrap()))
        .collect();

    hanging.signal(Signal::STOP);
    let message = hung.join(&names[9]);
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
    let waiting: Vec<_> = (10..29)
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
    // What is in memory answers as before: attributes, listings, pages; those that the system has not dropped by itself.
    let path = hung.clone();
    let cached = within(Duration::from_secs(40), "what is cached", move || {
        assert_eq!(messages(&path).len(), 40);
        let again = known.iter().filter_map(|(name, known)| {
            let again = fs::read(path.join(name)).ok()?;
            Some(again == *known)
        });
        again.collect::<Vec<bool>>()
    });
    drop(caches);
    assert!(
        !cached.is_empty() && cached.iter().all(|&same| same),
        "{cached:?}"
    );
    let errors = within(Duration::from_secs(60), "all that wait", move || {
        waiting
            .into_iter()
            .map(|t| t.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert!(errors.iter().all(|&e| e == Some(libc::EIO)), "{errors:?}");

    hanging.signal(Signal::CONT);
    let message = hung.join(&names[9]);
    eventually(Duration::from_secs(30), "the mail is back", || {
        fs::read(&message).is_ok()
    });
    for name in &names {
        let bytes = fs::read(hung.join(name)).unwrap();
        assert_eq!(bytes, fs::read(well.join(name)).unwrap(), "{name}");
    }
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
