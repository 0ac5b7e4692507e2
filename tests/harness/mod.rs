//! What the integration tests stand on: real stores on disk, real mounts, real users.
//!
//! Invariants: nothing outlives a test (mounts, daemons, users, directories all end in `Drop`); nothing sleeps in the
//! hope that something is ready by then; a test that can't run here says so, and fails where `CI=true`.
//!
//! The cast: [`dovecot`] has Dovecot fill stores and say what is in them, [`imap_server`] is one that runs; [`store`] writes mail stores and snapshots byte
//! for byte; [`certificate`] is one for TLS; [`mount`] writes a configuration and runs the daemon; [`hanging`] is a store that can be stopped;
//! [`subject`] does things as another user; [`trace`] sees the daemon's system calls; [`tree`] reads what a mount shows;
//! this file holds what all need.

// Each test program uses a part of the harness only.
#![allow(dead_code, unused_imports)]

pub mod certificate;
pub mod dovecot;
pub mod hanging;
pub mod imap_server;
pub mod mount;
pub mod sink;
pub mod store;
pub mod subject;
pub mod trace;
pub mod tree;

pub use mount::{Config, Mount, python};
pub use store::{Layout, Mailbox, Store, mail};
pub use subject::{Subject, Users};
pub use trace::Trace;
pub use tree::{ls, sha256};

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A directory of the test's own that every user can reach; removed at the end.
pub struct Scratch {
    dir: tempfile::TempDir,
}

impl Scratch {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("mailtm-test-")
            .tempdir()
            .unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A directory in it, made if it isn't there.
    pub fn subdirectory(&self, name: &str) -> PathBuf {
        let path = self.join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }
}

/// Whether this test can mount and has the programs it needs. If not, says why where nothing captures it.
#[must_use]
pub fn able(programs: &[&str]) -> bool {
    let mut missing: Vec<String> = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push("root".into());
    }
    if !Path::new("/dev/fuse").exists() {
        missing.push("/dev/fuse".into());
    }
    for program in programs.iter().chain(&["setpriv", "mount", "umount"]) {
        if !installed(program) {
            missing.push(format!("the program {program}"));
        }
    }
    if missing.is_empty() {
        return true;
    }
    skipped(&format!("needs {}", missing.join(", ")));
    false
}

/// Whether the system's Python has these modules; says so if it does not.
#[must_use]
pub fn able_to_import(modules: &str) -> bool {
    let script = format!("import {modules}");
    let has = installed("python3") && output(python().args(["-c", &script])).status.success();
    if !has {
        skipped(&format!("needs Python with {modules}"));
    }
    has
}

/// Says that the current test does not run, and why; fails it where `CI=true`.
pub fn skipped(reason: &str) {
    let line = loudly(
        "SKIPPED",
        &format!("{reason} (scripts/test installs what is missing)"),
    );
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{line}");
}

/// Says what the current test leaves out because the network does not give it; that fails nowhere.
pub fn untested(what: &str) {
    loudly("NOT TESTED", what);
}

fn loudly(word: &str, what: &str) -> String {
    let thread = std::thread::current();
    let line = format!("{word}: {}: {what}", thread.name().unwrap_or("a test"));
    // Not eprintln!, whose output is captured when the test passes.
    let _ = std::io::stderr().write_all(format!("\n{line}\n").as_bytes());
    line
}

/// Whether a program is there.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|dir| dir.join(program).is_file())
}

/// What `work` returns; fails when it takes longer. What blocks for ever is left behind on its thread.
pub fn within<T: Send + 'static>(
    limit: Duration,
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || send.send(work()));
    match receive.recv_timeout(limit) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: not done within {limit:?}"),
        Err(mpsc::RecvTimeoutError::Disconnected) => panic!("{what}: failed"),
    }
}

/// Asks again and again until `done` holds; fails after `limit`.
pub fn eventually(limit: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < end, "{what}: not so after {limit:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs a program that must succeed; its standard output.
pub fn run(command: &mut Command) -> Vec<u8> {
    let output = output(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

pub fn output(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

/// Makes the kernel forget every inode, name and page that nobody uses, of every file system; waits for the tests that
/// are [`keeping_caches`].
pub fn drop_caches() {
    let _alone = lock_caches(rustix::fs::FlockOperation::LockExclusive);
    rustix::fs::sync();
    for _ in 0..2 {
        std::fs::write("/proc/sys/vm/drop_caches", "3\n").unwrap();
    }
}

/// As long as the result lives, no other test of this machine drops the kernel's caches; nor may this one.
#[must_use]
pub fn keeping_caches() -> std::fs::File {
    lock_caches(rustix::fs::FlockOperation::LockShared)
}

fn lock_caches(operation: rustix::fs::FlockOperation) -> std::fs::File {
    let path = std::env::temp_dir().join("mailtm-test-caches.lock");
    let file = std::fs::File::create(path).unwrap();
    rustix::fs::flock(&file, operation).unwrap();
    file
}

/// Seconds since 1970 of `YYYY-MM-DD HH:MM:SS`, UTC.
pub fn utc(moment: &str) -> i64 {
    chrono::NaiveDateTime::parse_from_str(moment, "%Y-%m-%d %H:%M:%S")
        .unwrap()
        .and_utc()
        .timestamp()
}

/// A deterministic source of numbers (splitmix64); the same seed gives the same numbers everywhere.
pub struct Numbers(pub u64);

impl Numbers {
    /// The next number, below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }
}
