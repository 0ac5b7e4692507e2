//! A store that hangs, and what must go on meanwhile.

use crate::harness::hanging::Hanging;
use crate::harness::mount::mailtm;
use crate::harness::mount::unmount_lazily;
use crate::harness::tree::{dates, messages, only};
use crate::harness::{
    Config, Mount, Scratch, Store, able, eventually, keeping_caches, output, within,
};
use crate::{ALICE, errno};
use rustix::process::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
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

/// What the mount tells of a metric without labels.
fn told(mount: &Mount, name: &str) -> String {
    mount.wait_for_line(&["metrics: http://"]);
    let log = mount.stderr();
    let at = log.split("metrics: http://").nth(1).unwrap();
    let mut socket = TcpStream::connect(at.split('/').next().unwrap()).unwrap();
    socket.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{text}")).trim().to_owned()
}

#[test]
fn a_mount_begins_beside_a_store_that_hangs_and_shows_it_when_it_answers() {
    if !able(&["bindfs"]) {
        return;
    }
    let scratch = Scratch::new();
    let behind = Store::new(scratch.join("behind/snapshots"));
    let plain = Store::new(scratch.join("plain"));
    let live = Store::new(scratch.join("behind"));
    live.mailbox("live", ALICE).number("cur", 0);
    for number in 0..3 {
        behind.mailbox("2026-11-19", ALICE).number("cur", number);
        plain.mailbox("2026-11-20", ALICE).number("cur", number);
    }
    let hanging = Hanging::new(&scratch.join("behind"), scratch.join("hanging"));
    let snapshots = hanging.path.join("snapshots");
    let sources = [&snapshots, &plain.path].map(|path| path.to_str().unwrap().to_owned());
    let config = Config::new(&scratch, &plain)
        .set("source.snapshots", sources.to_vec())
        .set("source.live", hanging.path.join("live").to_str().unwrap())
        .set("source.timeout", "2s")
        .set("metrics.listen", "127.0.0.1:0");
    let inbox = |day: &str| config.mountpoint.join(day).join(ALICE).join("INBOX");

    hanging.signal(Signal::STOP);
    let begun = Instant::now();
    let mount = Mount::new(&config).expecting_warnings();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    let (root, well) = (mount.path.clone(), inbox("2026-11-20"));
    let read = within(Duration::from_secs(20), "the other source", move || {
        assert_eq!(dates(&root), ["2026-11-20"]);
        let names = messages(&well);
        names
            .iter()
            .map(|n| fs::read(well.join(n)).unwrap())
            .collect::<Vec<_>>()
    });
    assert_eq!(read.len(), 3);
    let words = [sources[0].as_str(), "does not answer", "once it answers"];
    mount.wait_for_warning(&words);
    mount.wait_for_warning(&["source.live", "does not answer"]);
    assert_eq!(told(&mount, "mailtm_mount_unreadable_directories "), "1");
    // It is confined all the same, and the store in its reach.
    assert!(
        mount.stderr().contains("sandbox: rights, files"),
        "{}",
        mount.stderr()
    );

    hanging.signal(Signal::CONT);
    eventually(Duration::from_secs(20), "its date", || {
        dates(&mount.path) == ["2026-11-19", "2026-11-20"]
    });
    let names = messages(inbox("2026-11-19"));
    let again = names
        .iter()
        .map(|n| fs::read(inbox("2026-11-19").join(n)).unwrap());
    assert_eq!(again.collect::<Vec<_>>(), read);
    mount.wait_for_line(&[sources[0].as_str(), "can be read again"]);
    assert_eq!(told(&mount, "mailtm_mount_unreadable_directories "), "0");
    // What the live store lacks is deleted.
    eventually(Duration::from_secs(20), "the live store", || {
        fs::read_dir(mount.join("deleted").join(ALICE).join("INBOX")).is_ok_and(|d| d.count() == 2)
    });
}

#[test]
fn where_no_source_answers_nothing_is_mounted_and_check_says_which() {
    if !able(&["bindfs"]) {
        return;
    }
    let scratch = Scratch::new();
    let behind = Store::new(scratch.join("behind"));
    behind.mailbox("2026-11-19", ALICE).number("cur", 1);
    let hanging = Hanging::new(&behind.path, scratch.join("hanging"));
    let path = hanging.path.to_str().unwrap().to_owned();
    let config = Config::new(&scratch, &behind)
        .set("source.snapshots", vec![path.clone()])
        .set("source.timeout", "1s");
    let file = config.write().to_str().unwrap().to_owned();
    hanging.signal(Signal::STOP);
    within(Duration::from_secs(30), "a mount and a check", move || {
        let Err(failure) = Mount::start(&config) else {
            panic!("it is mounted");
        };
        assert_eq!(failure.code(), 1, "{failure:?}");
        assert!(failure.stderr.contains(&path), "{failure:?}");
        assert!(failure.stderr.contains("does not answer"), "{failure:?}");
        let checked = output(&mut mailtm(&["check", "--config", &file]));
        let said = String::from_utf8_lossy(&checked.stderr);
        assert_eq!(checked.status.code(), Some(1), "{said}");
        assert!(
            said.contains(&path) && said.contains("does not answer"),
            "{said}"
        );
    });
}

/// Runs a command to its end; returns its exit code, what it answered, and what else it said.
fn run(words: &[&str]) -> (Option<i32>, String, String) {
    let done = output(&mut mailtm(words));
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (done.status.code(), text(&done.stdout), text(&done.stderr))
}

#[test]
fn commands_go_on_with_the_sources_that_answer_and_say_which_does_not() {
    if !able(&["bindfs"]) {
        return;
    }
    let scratch = Scratch::new();
    let behind = Store::new(scratch.join("behind"));
    let plain = Store::new(scratch.join("plain"));
    let live = Store::new(scratch.join("live"));
    for number in 0..3 {
        behind.mailbox("2026-11-19", ALICE).number("cur", number);
        plain.mailbox("2026-11-20", ALICE).number("cur", number);
    }
    live.mailbox("now", ALICE).number("cur", 0);
    let (hanging, config) = beside_one_that_hangs(&scratch, &plain, &behind, "1s");
    let live = live.path.join("now");
    let config = config.set("source.live", live.to_str().unwrap());
    let silent = hanging.path.to_str().unwrap().to_owned();
    let file = config.write().to_str().unwrap().to_owned();
    let with = |first: &str, more: &[&str]| {
        let mut words = vec![first, "--config", &file];
        words.extend(more);
        run(&words)
    };
    let all = || {
        [
            with("check", &["--json"]),
            with("warm", &[]),
            with("find", &["--json", "--mailbox", ALICE]),
            with(
                "restore",
                &["--json", "--date", "2026-11-20", "--mailbox", ALICE],
            ),
        ]
    };
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();

    // What was learned of a source stays while it is away.
    assert_eq!(with("warm", &[]).0, Some(0));
    hanging.signal(Signal::STOP);
    let begun = Instant::now();
    let [checked, warmed, found, planned] = all();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(40), "{took:?}");
    for (code, answer, said) in [&checked, &warmed, &found] {
        assert_eq!(*code, Some(3), "{answer}{said}");
        let lines: Vec<&str> = said.lines().filter(|line| line.contains(&silent)).collect();
        assert!(
            matches!(lines.as_slice(), [line] if line.contains("does not answer")),
            "{said}"
        );
    }
    let report = json(&checked.1);
    let trouble = report["directories"][0]["trouble"].as_str().unwrap();
    assert!(trouble.contains(&silent), "{trouble}");
    assert!(report["directories"][1]["trouble"].is_null());
    assert_eq!(report["contents"]["messages"], 3);
    assert_eq!(json(&found.1)["found"].as_array().unwrap().len(), 3);
    assert_eq!(json(&found.1)["silent"][0], silent.as_str());
    // What is asked for was found: nothing of it is missing.
    assert_eq!(planned.0, Some(0), "{}", planned.2);
    assert_eq!(json(&planned.1)["create"], 2);
    let (code, _, said) = with("restore", &["--date", "2026-11-19", "--mailbox", ALICE]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("or does not answer"), "{said}");

    // The live store is another that may be dead.
    let dead = config.clone().set(
        "source.live",
        hanging.path.join("2026-11-19").to_str().unwrap(),
    );
    dead.write();
    let (code, found, said) = with("find", &["--json", "--mailbox", ALICE]);
    assert_eq!(code, Some(3), "{said}");
    assert_eq!(json(&found)["found"].as_array().unwrap().len(), 3);
    assert!(said.contains("source.live"), "{said}");
    let (code, _, said) = with("restore", &["--date", "2026-11-20", "--mailbox", ALICE]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("source.live"), "{said}");
    config.write();

    hanging.signal(Signal::CONT);
    for (code, answer, said) in all() {
        assert_eq!(code, Some(0), "{answer}{said}");
    }
    let (_, found, _) = with("find", &["--json", "--mailbox", ALICE]);
    let found = json(&found);
    let first = &found["found"][0];
    assert_eq!(first["first_date"], "2026-11-19", "{found}");
    assert!(found["silent"].as_array().unwrap().is_empty());
}
