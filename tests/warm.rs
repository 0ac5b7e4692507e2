//! `mailtm warm`: what it learns is not learned again, it can be stopped at any point, and nothing looks otherwise for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::mount::{OtherMount, mailtm};
use harness::tree::{manifest, same};
use harness::{Config, Mount, Scratch, Store, able, output};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const DAY: &str = "2026-11-19";
const NEXT: &str = "2026-11-20";

/// One date; Alice's INBOX has so many messages, Bob's a few.
fn setup(messages: u32) -> (Scratch, Store, Config) {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let alice = store.mailbox(DAY, ALICE);
    for number in 0..messages {
        alice.number("cur", number);
    }
    let bob = store.mailbox(DAY, BOB);
    for number in 0..30 {
        bob.number(["cur", "Sent/cur"][number as usize % 2], number);
    }
    let config = Config::new(&scratch, &store).set("index.warm", "off");
    (scratch, store, config)
}

fn warm(config: &Config) -> Command {
    mailtm(&["warm", "--config", config.write().to_str().unwrap()])
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a mount shows, and what its files hold.
fn shown(config: &Config) -> BTreeMap<PathBuf, String> {
    manifest(&Mount::new(config).path)
}

#[test]
fn a_second_run_reads_nothing_and_a_second_day_what_is_new() {
    if !able(&["strace"]) {
        return;
    }
    let (scratch, store, config) = setup(300);
    let opened = || {
        let trace = scratch.join("trace");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-s", "512", "-e", "trace=openat", "-o"]);
        strace.arg(&trace).arg(env!("CARGO_BIN_EXE_mailtm"));
        let done = output(strace.args(["warm", "--config", config.write().to_str().unwrap()]));
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        let mut opened = BTreeMap::new();
        for line in fs::read_to_string(&trace).unwrap().lines() {
            if let Some((before, _)) = line.split_once("P1.mx") {
                let name = before.rsplit(['"', '/']).next().unwrap().to_owned();
                *opened.entry(name).or_insert(0) += 1;
            }
        }
        opened
    };
    assert_eq!(
        opened().len(),
        300,
        "the numbers of Bob's are among Alice's"
    );
    assert!(opened().is_empty());
    store.link(DAY, NEXT);
    for number in 500..503 {
        store.mailbox(NEXT, ALICE).number("cur", number);
    }
    let opened = opened();
    assert_eq!(opened.len(), 3, "{opened:?}");
    // Once for what is listed, once for what is found.
    assert!(opened.values().all(|&times| times <= 2), "{opened:?}");
}

#[test]
fn where_nothing_can_be_kept_nothing_is_learned() {
    if !able(&[]) {
        return;
    }
    let (scratch, _store, config) = setup(3);
    let file = scratch.join("file");
    fs::write(&file, "").unwrap();
    let other = OtherMount::new(&["-t", "tmpfs", "none"], scratch.join("read-only"));
    harness::run(
        Command::new("mount")
            .args(["-o", "remount,ro"])
            .arg(&other.0),
    );
    for path in [
        file.clone(),
        file.join("below/it"),
        other.0.clone(),
        other.0.join("index"),
        "/proc/nope/idx".into(),
    ] {
        let config = config.clone().set("index.path", path.to_str().unwrap());
        let done = output(&mut warm(&config));
        assert_eq!(done.status.code(), Some(1), "{done:?}");
        let told = String::from_utf8_lossy(&done.stderr);
        let told = told.lines().last().unwrap();
        for part in [
            path.to_str().unwrap(),
            "nothing can be learned",
            "os error",
            "set another [index] path",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let find = [
            "find",
            "--config",
            config.write().to_str().unwrap(),
            "number",
        ]
        .map(str::to_owned);
        let found = output(mailtm(&[]).args(find));
        assert_ne!(found.status.code(), Some(1), "{found:?}");
    }
}

#[test]
fn stopped_at_any_point_it_goes_on_from_there() {
    if !able(&[]) {
        return;
    }
    let (_scratch, _store, config) = setup(3000);
    let cold = shown(&config);
    fs::remove_dir_all(&config.index).unwrap();
    // Whether it was stopped in the middle.
    let signalled = |signal: &str, millis: u64| {
        let run = warm(&config)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        let pid = run.id().to_string();
        harness::run(Command::new("kill").args(["-s", signal, &pid]));
        let done = run.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&done.stderr);
        assert!(!told.contains("panicked"), "{told}");
        let stopped = done.status.code() == Some(1);
        assert!(
            !stopped || told.contains("another run goes on from there"),
            "{told}"
        );
        stopped
    };
    for millis in [2, 5, 10, 20, 40, 60, 80, 120, 160, 240] {
        signalled("KILL", millis);
        signalled("INT", millis);
    }
    let in_the_middle = (1..60).any(|tries| {
        let _ = fs::remove_dir_all(&config.index);
        signalled("INT", tries * 10)
    });
    assert!(in_the_middle, "no signal came in time");
    let done = output(&mut warm(&config));
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert_eq!(
        said(&done),
        "3030 messages in 3 folders of 2 mailboxes, each counted on each of its dates\n"
    );
    same("after warming", &cold, &shown(&config));
}

#[test]
fn told_to_stop_it_does_not_finish_the_folder() {
    if !able(&[]) {
        return;
    }
    let (_scratch, _store, config) = setup(8000);
    // Alice's folder is the first and takes the longest by far; Bob's two small ones are done beside it.
    let stopped_in_it = (1..40).any(|tries| {
        let _ = fs::remove_dir_all(&config.index);
        let run = warm(&config).stdout(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(tries * 10));
        harness::run(Command::new("kill").arg(run.id().to_string()));
        let done = run.wait_with_output().unwrap();
        let has_begun = fs::metadata(config.index.join("facts.sqlite-wal"))
            .is_ok_and(|wal| wal.len() > 100_000);
        let said = said(&done);
        has_begun && (said.starts_with("0 messages in 0") || said.starts_with("30 messages in 2"))
    });
    assert!(stopped_in_it);
}

#[test]
fn a_damaged_message_is_told_every_time() {
    let (_scratch, store, config) = setup(3);
    let torn = [0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    let alice = store.mailbox(DAY, ALICE);
    alice.put("cur", "9.torn:2,", torn, 1_795_000_000);
    for _ in 0..2 {
        let output = output(&mut warm(&config));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(
            said.contains("1 messages cannot be read, such as 2026"),
            "{said}"
        );
    }
}

#[test]
fn the_index_changes_nothing_that_is_shown() {
    if !able(&[]) {
        return;
    }
    let (scratch, store, config) = setup(200);
    store.link(DAY, NEXT);
    let alice = store.mailbox(NEXT, ALICE);
    alice.number("cur", 900);
    fs::remove_file(alice.folder("").join("cur/1795000000.M0P1.mx:2,S")).unwrap();
    let done = output(&mut warm(&config));
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let warmed = shown(&config);
    let cold = config.set("index.path", scratch.join("cold").to_str().unwrap());
    same("without an index", &warmed, &shown(&cold));
    same("with what that has left", &warmed, &shown(&cold));
    fs::write(scratch.join("file"), "").unwrap();
    let unusable = cold.set("index.path", scratch.join("file/index").to_str().unwrap());
    let mount = Mount::new(&unusable).expecting_warnings();
    same("where none can be", &warmed, &manifest(&mount.path));
}

/// Mail that is longer than what is read to list it, and in an mbox longer than it is.
fn quoted(number: u32) -> String {
    let lines = "From the beginning of a line\nStatus: none\r\n".repeat(600 + number as usize);
    format!("From: <a@example.org>\nSubject: Long {number}\n\n{lines}")
}

#[test]
fn the_size_of_an_mbox_is_exact_when_it_is_told_by_what_came_and_went() {
    if !able(&[]) {
        return;
    }
    for flags in ["status", "none"] {
        let (scratch, store, config) = setup(40);
        let config = config.set("mbox.flags", flags);
        let warm = || {
            let done = output(&mut warm(&config));
            assert_eq!(done.status.code(), Some(0), "{done:?}");
        };
        let cur = |date| store.mailbox(date, ALICE).folder("").join("cur");
        let write = |date, number: u32| {
            let path = cur(date).join(format!("18000000{number:02}.M0P1.mx:2,"));
            fs::write(path, quoted(number)).unwrap();
        };
        let long = 0..8;
        long.clone().for_each(|number| write(DAY, number));
        warm();
        store.link(DAY, NEXT);
        let short = |number: u32, flags: &str| {
            let name = format!("{}.M{number}P1.mx:2,{flags}", 1_795_000_000 + 60 * number);
            cur(NEXT).join(name)
        };
        // Gone: a short one and a long one. New: one of each. Other flags: a short one.
        fs::remove_file(short(3, "S")).unwrap();
        fs::remove_file(cur(NEXT).join("1800000002.M0P1.mx:2,")).unwrap();
        write(NEXT, 77);
        store.mailbox(NEXT, ALICE).number("cur", 900);
        fs::rename(short(5, "S"), short(5, "FRS")).unwrap();
        warm();
        // Every size that is told is that of what is read.
        let warmed = shown(&config);
        let cold = config.set("index.path", scratch.join("cold").to_str().unwrap());
        same("without what was learned", &warmed, &shown(&cold));
    }
}

#[test]
fn a_terminal_shows_how_far_it_is_and_nothing_else_does() {
    if !able(&["script"]) {
        return;
    }
    let (_scratch, _store, config) = setup(2000);
    let command = format!(
        "{} warm --config {}",
        env!("CARGO_BIN_EXE_mailtm"),
        config.write().display()
    );
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]);
    let terminal = output(script.env("TERM", "xterm"));
    let text = said(&terminal);
    assert!(text.contains(" mailboxes found so far, "), "{text}");
    assert!(
        text.contains(" messages/s, ") && text.contains(" left"),
        "{text}"
    );
    fs::remove_dir_all(&config.index).unwrap();
    let file = output(&mut warm(&config));
    let text = String::from_utf8_lossy(&file.stderr);
    assert!(
        !text.contains("messages/s") && !text.contains(" left"),
        "{text}"
    );
}

#[test]
fn told_to_stop_it_does_not_finish_a_message_of_terabytes() {
    if !able(&[]) {
        return;
    }
    let (_scratch, store, config) = setup(3);
    let sparse = store
        .mailbox(DAY, ALICE)
        .put("cur", "1795.sparse:2,", "Subject: x\n\n", 1795);
    let file = fs::File::options().write(true).open(&sparse).unwrap();
    file.set_len(4 << 40).unwrap();
    let mut run = warm(&config).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(run.try_wait().unwrap(), None);
    harness::run(Command::new("kill").arg(run.id().to_string()));
    let begun = std::time::Instant::now();
    while run.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(10) {
            run.kill().unwrap();
            panic!("it goes on");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let done = run.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{told}");
    assert!(
        told.contains("another run goes on from there") && !told.contains("given up"),
        "{told}"
    );
}
