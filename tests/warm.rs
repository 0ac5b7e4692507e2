//! `mailtm warm`: what it learns is not learned again, it can be stopped at any point, and nothing looks otherwise for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::mount::mailtm;
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
        strace.args(["-f", "-s", "512", "-e", "trace=openat2", "-o"]);
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
fn stopped_at_any_point_it_goes_on_from_there() {
    if !able(&[]) {
        return;
    }
    let (_scratch, _store, config) = setup(3000);
    let cold = shown(&config);
    fs::remove_dir_all(&config.index).unwrap();
    let mut in_the_middle = 0;
    for millis in [2, 5, 10, 20, 40, 60, 80, 120, 160, 240] {
        for signal in ["KILL", "INT"] {
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
            if done.status.code() == Some(1) {
                assert!(told.contains("another run goes on from there"), "{told}");
                in_the_middle += 1;
            }
            assert!(!told.contains("panicked"), "{told}");
        }
    }
    assert!(in_the_middle > 0, "no signal came in time");
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
