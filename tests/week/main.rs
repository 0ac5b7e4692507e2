//! A week of a real mail server, whose client keeps account of what it does: on every day `deleted` is what that account says
//! is lost, no more and no less, and what is put back is lost no longer.
//!
//! `MAILTM_WEEKS` sets how many weeks of each format are lived through.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../harness/mod.rs"]
mod harness;

use harness::imap_server::{ALICE, PASSWORD, Server, home};
use harness::mount::{mailtm, python};
use harness::tree::try_walk;
use harness::{Config, Mount, Scratch, Store, able, eventually, output, run, sha256};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// What the client says of the mailbox.
#[derive(Clone, Debug, Deserialize)]
struct Account {
    /// Decoded names; the messages by number, one for each copy.
    folders: BTreeMap<String, Vec<u64>>,
    digests: BTreeMap<u64, String>,
}

impl Account {
    /// The folders that have a message.
    fn having(&self, message: u64) -> BTreeSet<String> {
        let having = self.folders.iter().filter(|(_, m)| m.contains(&message));
        having.map(|(folder, _)| folder.clone()).collect()
    }

    fn messages(&self) -> BTreeSet<u64> {
        self.folders.values().flatten().copied().collect()
    }
}

/// `client.py` at work.
struct Client {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Client {
    fn start(server: &Server, seed: u64, folders: &str) -> Self {
        let mut child = python()
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/week/client.py"))
            .arg(server.port.to_string())
            .args([ALICE, PASSWORD, &seed.to_string(), folders])
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    fn ask(&mut self, line: &str) -> Account {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{line}: {e}: {answer}"))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

/// What is lost: each message with the folders that had it when a date last had it.
fn truth(days: &[Account], now: &Account) -> BTreeMap<u64, BTreeSet<String>> {
    let present = now.messages();
    let all: BTreeSet<u64> = days.iter().flat_map(Account::messages).collect();
    let lost = all.difference(&present).map(|&message| {
        let seen = days.iter().rev().map(|day| day.having(message));
        (message, seen.into_iter().find(|f| !f.is_empty()).unwrap())
    });
    lost.collect()
}

/// What is wrong with a mailbox of `deleted`; empty if nothing is.
fn wrong(root: &Path, truth: &BTreeMap<u64, BTreeSet<String>>, account: &Account) -> String {
    let mut shown = Vec::new();
    let walked = try_walk(root, &mut |path, meta| {
        if meta.is_file() {
            shown.push(path.to_owned());
        }
    });
    if let Err(changed) = walked {
        return changed;
    }
    let mut missing = truth.clone();
    let mut wrong = String::new();
    for path in shown {
        let name = path.to_str().unwrap();
        let number = name.split("number ").nth(1).and_then(|n| n.get(..6));
        let number: u64 = number.unwrap_or_default().parse().unwrap_or_default();
        let folder = path.parent().unwrap().to_str().unwrap();
        let bytes = fs::read(root.join(&path)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
        let same = account.digests.get(&number) == Some(&sha256(text));
        match missing.remove(&number) {
            Some(folders) if folders.contains(folder) && same => {}
            other => wrong += &format!("{name}: expected in {other:?}, its bytes: {same}\n"),
        }
    }
    if !missing.is_empty() {
        wrong += &format!("missing: {missing:?}");
    }
    wrong
}

fn right(root: &Path, days: &[Account], now: &Account, what: &str) {
    let truth = truth(days, now);
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let last = wrong(root, &truth, now);
        if last.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "{what}: {last}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A format of Dovecot's: where mailboxes are in it, where mailtm finds them, the names of folders, and how mail is put back.
struct Kind {
    location: &'static str,
    template: &'static str,
    folders: &'static str,
    method: &'static str,
}

const NESTED: &str = "Archive,Archive/2024,Sent,Trash,Lists/rust,Entw&APw-rfe,A &- B";

#[test]
fn maildir() {
    weeks(&Kind {
        location: "maildir:~/Maildir",
        template: "{domain}/{user}/Maildir",
        folders: NESTED,
        method: "maildir",
    });
}

#[test]
fn sdbox() {
    weeks(&Kind {
        location: "sdbox:~/sdbox",
        template: "{domain}/{user}/sdbox",
        folders: NESTED,
        method: "doveadm",
    });
}

#[test]
fn mdbox() {
    weeks(&Kind {
        location: "mdbox:~/mdbox",
        template: "{domain}/{user}/mdbox",
        folders: NESTED,
        method: "doveadm",
    });
}

#[test]
fn mbox() {
    weeks(&Kind {
        location: "mbox:~/mail:INBOX=~/mail/inbox",
        template: "{domain}/{user}",
        folders: "Archive,Sent,Trash,Entw&APw-rfe,A &- B",
        method: "doveadm",
    });
}

fn weeks(kind: &Kind) {
    if !able(&["doveadm", "dovecot", "python3"]) {
        return;
    }
    let weeks = std::env::var("MAILTM_WEEKS").map_or(1, |n| n.parse().unwrap());
    for seed in 0..weeks {
        // Shown when the test fails, whatever the failure is.
        println!("{}, seed {seed}", kind.location);
        week(kind, seed);
    }
}

fn week(kind: &Kind, seed: u64) {
    let scratch = Scratch::new();
    let live = scratch.subdirectory("live");
    let home = home(&live);
    let server = Server::start(&scratch, &live, kind.location, "");
    let mut client = Client::start(&server, seed, kind.folders);
    let store = Store::new(scratch.join("snapshots"));
    let config = || {
        Config::new(&scratch, &store)
            .set("source.mailboxes", kind.template)
            .set("index.warm", "off")
    };
    let of_snapshots = config();
    let of_live = config()
        .set("source.live", live.to_str().unwrap())
        .set("restore.method", kind.method);
    let mut mounts: Option<[Mount; 2]> = None;
    let mut days: Vec<Account> = Vec::new();
    for day in 15..22 {
        let mut now = client.ask("day");
        if let Some([_, live]) = &mounts {
            let root = live.join("deleted").join(ALICE);
            right(&root, &days, &now, &format!("during day {day}"));
        }
        if let (Some(before), 17 | 20) = (days.last(), day) {
            now = come_back(&of_live, &mut client, &server, before, &now, day - 1);
        }
        if day == 19 {
            let lost = truth(&days, &now);
            let taken: Vec<String> = lost.keys().take(2).map(u64::to_string).collect();
            now = client.ask(&format!("take {}", taken.join(" ")));
        }
        let snapshot = store
            .snapshot(&format!("2026-11-{day}"))
            .join("example.com");
        fs::create_dir_all(&snapshot).unwrap();
        run(Command::new("cp").arg("-a").arg(&home).arg(&snapshot));
        days.push(now.clone());
        let mounts =
            mounts.get_or_insert_with(|| [Mount::new(&of_snapshots), Mount::new(&of_live)]);
        for mount in mounts.iter() {
            let shown = mount.join(format!("2026-11-{day}"));
            eventually(Duration::from_secs(10), "the day is there", || {
                shown.exists()
            });
            let root = mount.join("deleted").join(ALICE);
            right(&root, &days, &now, &format!("day {day}"));
        }
    }
    let lost = truth(&days, days.last().unwrap());
    assert!(lost.len() > 3, "{lost:?}");
    // A mount that has seen nothing of it says the same.
    let mount = Mount::new(&config());
    let root = mount.join("deleted").join(ALICE);
    right(&root, &days, days.last().unwrap(), "the whole week");
    assert_eq!(server.complaints(), "");
}

/// Puts back what a day had and the mailbox has no longer; the account of the mailbox then.
fn come_back(
    config: &Config,
    client: &mut Client,
    server: &Server,
    before: &Account,
    now: &Account,
    day: u32,
) -> Account {
    let present = now.messages();
    let mut missing: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (folder, messages) in &before.folders {
        let lost = messages.iter().filter(|m| !present.contains(m)).copied();
        let lost: Vec<u64> = lost.collect();
        if !lost.is_empty() {
            missing.insert(folder.clone(), lost);
        }
    }
    let file = config.write().to_str().unwrap();
    let date = format!("2026-11-{day}");
    let args = ["restore", "--config", file, "--date", &date];
    let more = ["--mailbox", ALICE, "--apply", "--json"];
    let mut command = mailtm(&[&args[..], &more].concat());
    let done = output(command.env("CONFIG_FILE", server.conf()));
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{said}");
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    let count: usize = missing.values().map(Vec::len).sum();
    assert_eq!(report["created"], json!(count), "{report}");
    client.ask(&format!("note {}", json!(missing)))
}
