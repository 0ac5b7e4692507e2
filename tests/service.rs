//! The daemon as a service: the policy that SIGHUP takes over, what systemd is told, and the watchdog.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::tree::{self, messages};
use harness::{Config, Mount, Scratch, Store, Subject, able, eventually};
use rustix::process::Signal;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const DAYS: [&str; 2] = ["2026-11-19", "2026-11-20"];
const ALICE: &str = "alice@example.com";
/// Named like a user that every system has.
const DAEMON: &str = "daemon@sales.example.com";
const SOON: Duration = Duration::from_secs(20);

/// Uids that nobody has.
const FIRST: u32 = 1_900_011;
const SECOND: u32 = 1_900_012;

fn setup() -> (Scratch, Store, Config) {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    for day in DAYS {
        for address in [ALICE, DAEMON] {
            for number in 0..3 {
                store.mailbox(day, address).number("cur", number);
            }
        }
    }
    let config = Config::new(&scratch, &store);
    (scratch, store, config)
}

/// A message, the mbox and the folder of each date.
fn everything(mount: &Mount, address: &str) -> Vec<PathBuf> {
    let of_day = |day: &&str| {
        let inbox = mount.join(day).join(address).join("INBOX");
        let message = inbox.join(&messages(&inbox)[0]);
        [message, inbox.with_extension("mbox"), inbox]
    };
    DAYS.iter().flat_map(of_day).collect()
}

/// Whether a user may enter a mailbox and all that is in it; not while that is true of a part.
fn may(uid: u32, mount: &Mount, address: &str) -> bool {
    let mut known = None;
    eventually(SOON, "the same for all of a mailbox", || {
        known = enters(uid, mount, address);
        known.is_some()
    });
    known == Some(true)
}

/// `None` if it differs within the mailbox.
fn enters(uid: u32, mount: &Mount, address: &str) -> Option<bool> {
    let answers: Vec<bool> = everything(mount, address)
        .iter()
        .map(|path| {
            let path = path.to_str().unwrap();
            // Opened as a directory or as a file, and read.
            let line = "test -d \"$0\" && ls \"$0\" || cat \"$0\"";
            let status = Subject::uid(uid).run("sh", &["-c", line, path]).status;
            status.success()
        })
        .collect();
    answers
        .iter()
        .all(|a| *a == answers[0])
        .then_some(answers[0])
}

fn reload(mount: &Mount, config: &Config) {
    config.write();
    mount.signal(Signal::HUP);
}

#[test]
fn another_policy_is_taken_over_while_everything_is_cached() {
    if !able(&[]) {
        return;
    }
    let (_scratch, _store, config) = setup();
    let with = |admins: &[u32]| {
        let admins: Vec<String> = admins.iter().map(u32::to_string).collect();
        config.clone().set("access.admins", admins)
    };
    let mount = Mount::new(&with(&[FIRST]));
    let truth = tree::manifest(&mount.path);
    assert!(may(FIRST, &mount, ALICE) && !may(SECOND, &mount, ALICE));
    // One of them stands in a folder and keeps it in use: what is in use can't be dropped, only told anew.
    let inbox = mount.join(DAYS[0]).join(ALICE).join("INBOX");
    let mut standing = Command::new("setpriv")
        .args(["--reuid=1900011", "--regid=1900011", "--clear-groups", "sh"])
        .args([
            "-c",
            "while read -r _; do ls . > /dev/null && echo in || echo out; done",
        ])
        .current_dir(&inbox)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut answers = std::io::BufReader::new(standing.stdout.take().unwrap());
    let mut ask = || {
        use std::io::{BufRead, Write};
        standing.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    };
    assert_eq!(ask(), "in");

    reload(&mount, &with(&[SECOND]));
    eventually(SOON, "the new policy", || may(SECOND, &mount, ALICE));
    mount.wait_for_line(&["policy", "in force"]);
    assert!(!may(FIRST, &mount, ALICE) && !may(FIRST, &mount, DAEMON));
    assert_eq!(ask(), "out", "from within a folder in use");
    assert!(may(SECOND, &mount, DAEMON));

    // Grants by pattern, and an owner by template.
    reload(
        &mount,
        &config.clone().grant(&["*@sales.*"], &[&FIRST.to_string()]),
    );
    eventually(SOON, "a grant", || may(FIRST, &mount, DAEMON));
    assert!(!may(FIRST, &mount, ALICE) && !may(SECOND, &mount, DAEMON));
    reload(&mount, &config.clone().set("access.owner", "{user}"));
    eventually(SOON, "another owner", || may(1, &mount, DAEMON));
    assert!(!may(FIRST, &mount, DAEMON) && !may(1, &mount, ALICE));

    // What is shown is the same, and so are the node ids.
    drop(standing.stdin.take());
    standing.wait().unwrap();
    reload(&mount, &with(&[FIRST]));
    eventually(SOON, "the first policy", || may(FIRST, &mount, ALICE));
    tree::same("after all that", &truth, &tree::manifest(&mount.path));
}

#[test]
fn a_configuration_with_a_mistake_changes_nothing() {
    if !able(&[]) {
        return;
    }
    let (_scratch, _store, config) = setup();
    let config = config.set("access.admins", vec![FIRST.to_string()]);
    let mount = Mount::new(&config).expecting_warnings();
    assert!(may(FIRST, &mount, ALICE));
    let text = fs::read_to_string(&config.path).unwrap();

    for (broken, words) in [
        (
            format!("colour = 1\n{}", text.replace("1900011", "1900012")),
            &[":1:", "colour"][..],
        ),
        ("[access\n".to_owned(), &["not TOML"]),
    ] {
        fs::write(&config.path, broken).unwrap();
        mount.signal(Signal::HUP);
        let words = [&["ERROR", "mailtm-"], words].concat();
        mount.wait_for_line(&words);
        assert!(may(FIRST, &mount, ALICE) && !may(SECOND, &mount, ALICE));
    }
    // What can only change with a restart is said.
    let other = config
        .clone()
        .set("names", "unique")
        .set("access.audit", true);
    reload(&mount, &other);
    mount.wait_for_line(&["WARN", "restart", "names"]);
    mount.wait_for_line(&["WARN", "restart", "access.audit"]);
    assert!(may(FIRST, &mount, ALICE));

    fs::remove_file(&config.path).unwrap();
    mount.signal(Signal::HUP);
    mount.wait_for_line(&["ERROR", "cannot be read"]);
    // Another file under its name is another file, to the sandbox; but for those below /etc.
    config.write();
    mount.signal(Signal::HUP);
    mount.wait_for_line(&["ERROR", "outside /etc", "restart"]);
    assert!(may(FIRST, &mount, ALICE) && !may(SECOND, &mount, ALICE));
}

/// The socket that systemd would listen on, and its path.
fn systemd(scratch: &Scratch) -> (UnixDatagram, String) {
    let path = scratch.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    (socket, path.to_str().unwrap().to_owned())
}

fn hear(socket: &UnixDatagram) -> String {
    let mut message = [0; 1024];
    let length = socket.recv(&mut message).expect("a message for systemd");
    String::from_utf8_lossy(&message[..length]).into_owned()
}

#[test]
fn systemd_is_told_of_a_reload_and_of_its_end() {
    if !able(&[]) {
        return;
    }
    let (scratch, _store, config) = setup();
    let (socket, path) = systemd(&scratch);
    let mount = Mount::start_with(&config, &[("NOTIFY_SOCKET", &path)]).unwrap();
    assert!(hear(&socket).starts_with("READY=1\n"));
    mount.signal(Signal::HUP);
    let begun = hear(&socket);
    assert!(
        begun.starts_with("RELOADING=1\nMONOTONIC_USEC="),
        "{begun:?}"
    );
    assert!(hear(&socket).starts_with("READY=1\n"));
    let mount = mount.expecting_warnings();
    fs::write(&config.path, "nonsense").unwrap();
    mount.signal(Signal::HUP);
    assert!(hear(&socket).starts_with("RELOADING=1\n"));
    let ended = hear(&socket);
    assert!(
        ended.starts_with("READY=1\n") && ended.contains("broken"),
        "{ended:?}"
    );
}

#[test]
fn the_watchdog_hears_of_a_mount_that_answers_and_of_no_other() {
    if !able(&["strace"]) {
        return;
    }
    let (scratch, _store, config) = setup();
    let (socket, path) = systemd(&scratch);
    let variables = [
        ("NOTIFY_SOCKET", path.as_str()),
        ("WATCHDOG_USEC", "600000"),
    ];
    let mount = Mount::start_with(&config, &variables).unwrap();
    assert!(hear(&socket).starts_with("READY=1\n"));
    for _ in 0..3 {
        assert_eq!(hear(&socket).trim(), "WATCHDOG=1");
    }
    // The threads that take requests are held up, and nothing else.
    let tasks = fs::read_dir(format!("/proc/{}/task", mount.pid())).unwrap();
    let mut hold = Command::new("strace");
    let inject = "inject=read,readv,ppoll,poll,recvfrom:delay_exit=4000000";
    hold.args(["-qq", "-o", "/dev/null", "-e", inject]);
    for task in tasks {
        let path = task.unwrap().path();
        let name = fs::read_to_string(path.join("comm")).unwrap();
        if name.starts_with("fuser") || name.starts_with("mailtm-session") {
            hold.arg("-p").arg(path.file_name().unwrap());
        }
    }
    assert!(hold.get_args().count() > 6, "no threads found");
    let mut hold = hold.spawn().unwrap();
    // A sign of life may have been under way.
    let begun = Instant::now();
    socket
        .set_read_timeout(Some(Duration::from_millis(1200)))
        .unwrap();
    let mut message = [0; 64];
    while socket.recv(&mut message).is_ok() {
        assert!(
            begun.elapsed() < Duration::from_secs(3),
            "signs of life of a mount that does not answer"
        );
    }
    hold.kill().unwrap();
    hold.wait().unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(hear(&socket).trim(), "WATCHDOG=1");
}

#[test]
fn snapshots_that_stay_away_are_warned_of_once() {
    if !able(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    for day in ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"] {
        store.mailbox(day, ALICE).number("cur", 1);
    }
    let mount = Mount::new(&Config::new(&scratch, &store));
    mount.wait_for_line(&["WARN", "the newest snapshot is", "24.0 h"]);
    assert_eq!(mount.stderr().matches("the newest snapshot").count(), 1);
}
