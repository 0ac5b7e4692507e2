//! A mail server with alice and bob, backups of their mail, and the portal that shows them.

use crate::harness::imap_server::{OWNER, PASSWORD, Server};
use crate::harness::mount::mailtm;
use crate::harness::{Config, Scratch, Store};
use crate::http::Browser;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::lchown;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub const ALICE: &str = "alice@example.com";
pub const BOB: &str = "bob@example.com";
pub const ADMIN: &str = "postmaster@example.com";

pub const DAYS: [&str; 2] = ["2026-11-20", "2026-11-21"];

/// A wrong password is answered at once.
const QUICK: &str = "auth_failure_delay = 0\n\
    service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}";

pub struct World {
    pub server: Server,
    pub config: Config,
    pub store: Store,
    pub live: PathBuf,
    // Declared last: it is removed when nothing uses it any more.
    pub scratch: Scratch,
}

impl World {
    pub fn new() -> Self {
        let scratch = Scratch::new();
        let live = scratch.subdirectory("live");
        for user in ["alice", "bob", "carol", "erin", "postmaster"] {
            let home = live.join("example.com").join(user);
            fs::create_dir_all(&home).unwrap();
            lchown(&home, Some(OWNER), Some(OWNER)).unwrap();
        }
        let server = Server::start(&scratch, &live, "maildir:~/Maildir", QUICK);
        let store = Store::new(scratch.join("snapshots"));
        for day in DAYS {
            store.mailbox(day, ALICE).greet(&["", "Sent"]);
            store.mailbox(day, BOB).greet(&[""]);
        }
        let config = Config::new(&scratch, &store)
            .unset("mountpoint")
            .set("source.live", live.to_str().unwrap())
            // What needs no program to be run: so the portal is confined, as it is as a service.
            .set("restore.method", "maildir")
            .set("portal.listen", "127.0.0.1:0")
            .set("portal.auth", format!("imap://127.0.0.1:{}", server.port))
            .set("portal.admins", vec![ADMIN.to_owned()])
            .set("portal.path", scratch.join("portal").to_str().unwrap());
        Self {
            server,
            config,
            store,
            live,
            scratch,
        }
    }

    pub fn portal(&self) -> Portal {
        Portal::start(&self.config)
    }
}

/// The portal while it runs.
pub struct Portal {
    child: Child,
    pub at: SocketAddr,
    /// The line that says that it is ready.
    pub line: String,
    log: PathBuf,
}

impl Portal {
    pub fn start(config: &Config) -> Self {
        let file = config.write();
        let log = file.with_extension("log");
        let mut command = mailtm(&["portal", "--config", file.to_str().unwrap()]);
        command
            .env("TZ", "UTC")
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap());
        Self::run(command, log)
    }

    /// Waits until the command says that it is ready.
    pub fn run(mut command: Command, log: PathBuf) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let at = line.split("http://").nth(1).and_then(|rest| {
            let end = rest.find([' ', ';', '\n'])?;
            rest[..end].parse().ok()
        });
        let at = at.unwrap_or_else(|| {
            let _ = child.kill();
            panic!("{line}{}", fs::read_to_string(&log).unwrap())
        });
        Self {
            child,
            at,
            line,
            log,
        }
    }

    pub fn browser(&self) -> Browser {
        Browser::new(self.at)
    }

    /// A browser in which somebody is signed in.
    pub fn signed_in(&self, address: &str) -> Browser {
        let mut browser = self.browser();
        browser.sign_in(address, PASSWORD);
        browser
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Ends it at once.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it; how long that took, and how it ended.
    pub fn stop(mut self) -> (Duration, ExitStatus) {
        let start = Instant::now();
        kill_process(self.pid(), Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        (start.elapsed(), status)
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            let log = self.log();
            assert!(!log.contains("panicked"), "{log}");
        }
    }
}
