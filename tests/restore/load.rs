//! While mail is delivered and a client changes flags and moves messages: what is missing comes back once, with all that it
//! had, and nothing else is other than the client has made it; also when the restore is killed under way.

use crate::harness::imap_server::{ALICE, Fetched, PASSWORD};
use crate::harness::mount::python;
use crate::harness::{able, output};
use crate::imap::behind_tls;
use crate::maildir::{World, damage};
use crate::{DAY, report};
use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What `load.py` has done.
#[derive(Deserialize)]
struct Done {
    delivered: Vec<Fetched>,
    /// By UID in INBOX.
    flags: BTreeMap<u32, BTreeSet<String>>,
}

struct Load {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Load {
    fn start(world: &World) -> Self {
        let mut child = python()
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/restore/load.py"
            ))
            .arg(world.server.port.to_string())
            .args([ALICE, PASSWORD, "Trash", "Archive/2024"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "under way\n");
        Self {
            child,
            input,
            output,
        }
    }

    fn stop(mut self) -> Done {
        self.input = None;
        let mut said = String::new();
        self.output.read_to_string(&mut said).unwrap();
        assert!(self.child.wait().unwrap().success());
        serde_json::from_str(&said).unwrap()
    }
}

/// Restores under load, killed at the calls that are named, and compares.
fn under_load(world: &World, call: &str, killed_at: &[u32]) {
    damage(&world.server);
    let just_before = world.server.fetch();
    let load = Load::start(world);
    let apply = ["--date", DAY, "--mailbox", ALICE, "--apply"];
    let dovecot = world.server.conf();
    let mut killed = 0;
    for time in killed_at {
        let inject = format!("inject={call}:signal=KILL:when={time}");
        let trace = format!("trace={call}");
        let ended = output(
            Command::new("strace")
                .args(["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject])
                .arg(env!("CARGO_BIN_EXE_mailtm"))
                .args(["restore", "--config"])
                .arg(world.config.write())
                .args(apply)
                .env("CONFIG_FILE", dovecot),
        );
        killed += usize::from(ended.status.code() != Some(0));
    }
    assert_eq!(killed, killed_at.len());
    let done = report(&world.config, &apply, 0);
    assert_eq!(done["losses"], json!([]), "{done}");
    assert_eq!(report(&world.config, &apply, 0)["created"], json!(0));
    let did = load.stop();
    assert!(did.delivered.len() > 5 && did.flags.len() > 1);

    let had: BTreeSet<&str> = just_before.iter().map(|m| m.digest.as_str()).collect();
    let missing = world.before.iter();
    let missing = missing.filter(|m| !had.contains(m.digest.as_str()));
    let mut wanted: Vec<Fetched> = missing.map(Fetched::same).collect();
    assert!(wanted.len() > 15, "{}", wanted.len());
    wanted.extend(did.delivered);
    for message in &just_before {
        let mut message = message.clone();
        if message.folder == "INBOX"
            && let Some(flags) = did.flags.get(&message.uid)
        {
            message.flags = flags.clone();
        }
        wanted.push(message.same());
    }
    let after = world.server.fetch();
    let mut surplus: Vec<Fetched> = after.iter().map(Fetched::same).collect();
    wanted.retain(|message| match surplus.iter().position(|m| m == message) {
        Some(at) => {
            surplus.remove(at);
            false
        }
        None => true,
    });
    assert!(
        wanted.is_empty() && surplus.is_empty(),
        "missing: {wanted:#?}, surplus: {surplus:#?}"
    );
    assert_eq!(world.server.complaints(), "");
}

#[test]
fn files() {
    if able(&["doveadm", "dovecot"]) {
        under_load(&World::new("maildir:~/Maildir", ""), "renameat2", &[]);
    }
}

#[test]
fn files_killed() {
    if able(&["doveadm", "dovecot", "strace"]) {
        let world = World::new("maildir:~/Maildir", "");
        under_load(&world, "renameat2", &[1, 4, 3]);
        let world = World::new("maildir:~/Maildir", "");
        under_load(&world, "fsync", &[9, 6]);
    }
}

fn dbox(location: &str, place: &str) -> World {
    let mut world = World::new(location, "");
    let template = format!("{{domain}}/{{user}}/{place}");
    world.config = world.config.clone().set("source.mailboxes", template);
    world
}

#[test]
fn doveadm() {
    if able(&["doveadm", "dovecot"]) {
        under_load(&dbox("mdbox:~/mdbox", "mdbox"), "write", &[]);
    }
}

#[test]
fn doveadm_killed() {
    if able(&["doveadm", "dovecot", "strace"]) {
        under_load(&dbox("sdbox:~/sdbox", "sdbox"), "write", &[40, 52, 47]);
    }
}

#[test]
fn imap_killed() {
    if able(&["doveadm", "dovecot", "openssl", "strace"]) {
        let (_scratch, world) = behind_tls();
        under_load(&world, "write", &[4, 9, 7]);
    }
}
