//! Requests: asked for, decided on, carried out into a live mailbox, and told of through a mail server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod decided;
#[path = "../harness/mod.rs"]
mod harness;
mod killed;
mod letters;

use harness::mount::mailtm;
use harness::sink::Sink;
use harness::store::Layout;
use harness::{Config, Mailbox, Scratch, Store as Snapshots, mail, output};
use mailtm::language::Language;
use mailtm::requests::{Id, New, Options, Store};
use mailtm::time::Zone;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};

pub const DAY: &str = "2026-11-20";
pub const ALICE: &str = "alice@example.com";
pub const ADMINS: [&str; 2] = ["carla@example.com", "post@example.com"];

/// So many messages are in the backup.
pub const MESSAGES: u64 = 12;

/// A backup, an empty live mailbox, and a mail server.
pub struct World {
    pub scratch: Scratch,
    pub snapshots: Snapshots,
    pub config: Config,
    pub sink: Sink,
}

impl World {
    fn new() -> Self {
        Self::with(|_| Sink::start())
    }

    /// With a mail server that is started in the scratch directory.
    fn with(start: impl FnOnce(&Scratch) -> Sink) -> Self {
        let scratch = Scratch::new();
        let snapshots = Snapshots::new(scratch.join("snapshots"));
        let backup = snapshots.mailbox(DAY, ALICE);
        for number in 0..MESSAGES {
            let place = ["cur", "Work/cur", "Work/2024/cur"][number as usize % 3];
            let bytes = mail("Bob <b@example.com>", &format!("Number {number}"), "x\n");
            backup.put(place, format!("{number}.m:2,S"), bytes, 1_795_000_000);
        }
        let live = scratch.subdirectory("live");
        Mailbox::new(&live, ALICE, Layout::MaildirPlusPlus);
        let sink = start(&scratch);
        let config = Config::new(&scratch, &snapshots)
            .set("source.live", live.to_str().unwrap())
            .set("portal.smtp", format!("smtp://127.0.0.1:{}", sink.port))
            .set("portal.from", "Mail Time Machine <mtm@example.com>")
            .set("portal.url", "https://mtm.example.com")
            .set("portal.cost", "80 EUR + VAT")
            .set("portal.admins", ADMINS.map(str::to_owned).to_vec());
        config.write();
        Self {
            scratch,
            snapshots,
            config,
            sink,
        }
    }

    /// Another configuration from here on.
    pub fn configure(&mut self, change: impl FnOnce(Config) -> Config) {
        self.config = change(self.config.clone());
        self.config.write();
    }

    /// The database, as another process has it.
    pub fn store(&self) -> Store {
        Store::open(Options {
            dir: self.scratch.join("portal"),
            admins: ADMINS.map(str::to_owned).to_vec(),
            zone: Zone::parse("UTC").unwrap(),
            cost: Some("80 EUR + VAT".into()),
            ..Options::default()
        })
        .unwrap()
    }

    /// What Alice asks for.
    pub fn asked(&self, token: &str) -> New {
        New {
            token: token.into(),
            mailbox: ALICE.into(),
            asked_by: ALICE.into(),
            date: DAY.into(),
            snapshot_time: self.snapshot_time(),
            note: "please".into(),
            language: Language::Italian,
            ..New::default()
        }
    }

    pub fn snapshot_time(&self) -> i64 {
        harness::utc(&format!("{DAY} 00:00:00"))
    }

    pub fn ask(&self) -> Id {
        self.store().make(self.asked("1")).unwrap()
    }

    /// Runs `mailtm requests` with these arguments.
    pub fn run(&self, args: &[&str]) -> Output {
        let file = self.config.path.to_str().unwrap();
        let output = output(&mut mailtm(
            &[&["requests", "--config", file][..], args].concat(),
        ));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked"), "{args:?}: {said}");
        output
    }

    /// The same, with the exit code that is expected; what it printed.
    pub fn says(&self, args: &[&str], code: i32) -> String {
        let output = self.run(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn json(&self, args: &[&str], code: i32) -> Value {
        let text = self.says(&[args, &["--json"]].concat(), code);
        serde_json::from_str(&text).unwrap()
    }

    /// The same in the background.
    pub fn start(&self, args: &[&str]) -> Child {
        let file = self.config.path.to_str().unwrap();
        mailtm(&[&["requests", "--config", file][..], args].concat())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// The live mailbox.
    pub fn mailbox(&self) -> PathBuf {
        self.scratch.join("live/example.com/alice/Maildir")
    }

    /// The contents of its messages, sorted.
    pub fn restored(&self) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        harness::tree::walk(&self.mailbox(), &mut |path, meta| {
            let place = path.parent().unwrap();
            if meta.is_file() && (place.ends_with("cur") || place.ends_with("new")) {
                found.push(std::fs::read(self.mailbox().join(path)).unwrap());
            }
        });
        found.sort();
        found
    }
}
