//! Mail is put back into live mailboxes, and real mail servers say what is in them then.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../harness/mod.rs"]
mod harness;
mod imap;
mod interrupted;
mod into;
mod keywords;
mod load;
mod maildir;
mod moved;
mod quota;

use harness::mount::mailtm;
use harness::{Config, Scratch, output};
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Output;

pub const DAY: &str = "2026-11-20";

/// Runs `mailtm restore` with these arguments.
pub fn restore(config: &Config, args: &[&str]) -> Output {
    let file = config.write().to_str().unwrap();
    let dovecot = config.path.with_file_name("dovecot").join("dovecot.conf");
    let mut command = mailtm(&[&["restore", "--config", file][..], args].concat());
    let output = output(command.env("CONFIG_FILE", dovecot));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("panicked"), "{args:?}: {said}");
    output
}

/// The same as JSON, with the exit code that is expected.
pub fn report(config: &Config, args: &[&str], code: i32) -> Value {
    let output = restore(config, &[args, &["--json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

pub fn configure(scratch: &Scratch, snapshots: &harness::Store, live: &Path) -> Config {
    Config::new(scratch, snapshots).set("source.live", live.to_str().unwrap())
}

/// Every file of a mailbox with its size, time, owner and permissions; Dovecot's own files are left out.
pub fn files(mailbox: &Path) -> BTreeMap<PathBuf, (u64, i64, u32, u32)> {
    let mut found = BTreeMap::new();
    harness::tree::walk(mailbox, &mut |path, meta| {
        let name = path.file_name().unwrap().to_str().unwrap();
        if meta.is_file() && !name.starts_with("dovecot") {
            let of = (meta.len(), meta.mtime(), meta.uid(), meta.mode() & 0o7777);
            found.insert(path.to_owned(), of);
        }
    });
    found
}
