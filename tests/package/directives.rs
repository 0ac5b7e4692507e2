//! What the units say, and that it lets the daemon do its work.

use crate::harness::tree::messages;
use crate::harness::{Config, Scratch, Store, able, eventually, run};
use crate::{ALICE, DAY, UNIT, harness, unit};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Their programs are tried by `tests/recipes.rs`.
#[test]
fn systemd_understands_the_timer_of_the_recipes() {
    if !able(&["systemd-analyze", "btrbk"]) {
        return;
    }
    let units = ["timer", "service"].map(|kind| {
        let root = env!("CARGO_MANIFEST_DIR");
        format!("{root}/packaging/snapshots/mail-snapshot.{kind}")
    });
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(units)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(
        verified.status.success() && !said.contains("mail-snapshot"),
        "{said}"
    );
}

/// It would not get the set-group-ID bit of the directories in which it makes others.
#[test]
fn no_directive_takes_away_what_puts_mail_back() {
    let portal = include_str!("../../packaging/systemd/mailtm-portal.service");
    for line in portal.lines() {
        assert!(!line.starts_with("RestrictSUIDSGID"), "{line}");
    }
}

#[test]
fn no_directive_of_the_unit_hides_the_mount() {
    for line in UNIT.lines().filter(|l| !l.starts_with('#')) {
        let key = line.split('=').next().unwrap();
        let makes_a_namespace = [
            "Protect",
            "Private",
            "ReadWrite",
            "ReadOnly",
            "Inaccessible",
            "NoExec",
            "Temporary",
            "Bind",
            "Root",
            "Mount",
            "DynamicUser",
            "ProcSubset",
            "LoadCredential",
            "SetCredential",
            "LogNamespace",
            "IPCNamespace",
            "NetworkNamespace",
            "ExtensionImages",
        ];
        assert!(
            !makes_a_namespace.iter().any(|start| key.starts_with(start)),
            "{line}"
        );
    }
}

#[test]
fn the_unit_allows_every_system_call_that_is_made() {
    if !able(&["strace", "systemd-analyze"]) {
        return;
    }
    let allowed = allowed_calls();
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let mailbox = store.mailbox(DAY, ALICE);
    for number in 0..40 {
        mailbox.number("cur", number);
    }
    let config = Config::new(&scratch, &store);
    let log = scratch.join("strace");
    let mut child = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&log)
        .args([env!("CARGO_BIN_EXE_mailtm"), "mount", "--config"])
        .arg(config.write())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually(Duration::from_secs(60), "mounted", || {
        harness::mount::is_mounted(&config.mountpoint)
    });
    let inbox = config.mountpoint.join(DAY).join(ALICE).join("INBOX");
    for name in messages(&inbox) {
        fs::read(inbox.join(name)).unwrap();
    }
    fs::read(inbox.with_extension("mbox")).unwrap();
    // A new snapshot is seen and learned; then it ends by itself.
    store.link(DAY, "2026-11-21");
    eventually(Duration::from_secs(30), "the new date", || {
        config.mountpoint.join("2026-11-21").exists()
    });
    run(Command::new("umount").arg(&config.mountpoint));
    assert!(child.wait().unwrap().success());
    let log = fs::read_to_string(log).unwrap();
    let made: BTreeSet<&str> = log
        .lines()
        .filter_map(|line| {
            let name = line.split_once(' ')?.1.trim_start().split_once('(')?.0;
            name.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_')
                .then_some(name)
        })
        .collect();
    assert!(
        made.contains("mount") && made.contains("openat"),
        "{made:?}"
    );
    // With RestrictSUIDSGID= systemd takes it away, since it cannot look into it.
    assert!(UNIT.contains("\nRestrictSUIDSGID=yes") && !made.contains("openat2"));
    let refused: Vec<_> = made
        .iter()
        .filter(|name| !allowed.contains(**name))
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
}

/// The system calls in the groups that the unit names.
fn allowed_calls() -> BTreeSet<String> {
    let said = run(Command::new("systemd-analyze").args(["syscall-filter", "--no-pager"]));
    let said = String::from_utf8(said).unwrap();
    // A group, and below it, indented, a description and its members.
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut group = "";
    for line in said.lines().filter(|l| !l.trim().is_empty()) {
        if line.starts_with(' ') {
            groups.entry(group).or_default().push(line.trim());
        } else {
            group = line;
        }
    }
    let mut allowed = BTreeSet::new();
    let mut wanted: Vec<&str> = unit("SystemCallFilter")[0].split(' ').collect();
    while let Some(name) = wanted.pop() {
        match groups.get(name) {
            Some(members) => wanted.extend(members.iter().filter(|m| !m.starts_with('#'))),
            None => drop(allowed.insert(name.to_owned())),
        }
    }
    allowed
}
