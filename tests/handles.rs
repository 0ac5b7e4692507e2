//! Node ids and file handles: what NFS servers, open directories and other file servers rely on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::mount::unmount_lazily;
use harness::tree::{manifest, same};
use harness::{Config, Mount, Scratch, Store, able, drop_caches, ls, python, run};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const ALICE: &str = "alice@example.com";
const SCRIPT: &str = include_str!("harness/handles.py");

fn setup() -> (Scratch, Store, Config) {
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let mailbox = store.mailbox("2026-11-19", ALICE);
    for number in 0..20 {
        mailbox.number("cur", number);
        mailbox.number("Archive/2024/cur", 100 + number);
    }
    store
        .mailbox("2026-11-19", "bob@example.com")
        .number("cur", 200);
    store.link("2026-11-19", "2026-11-20");
    let mailbox = store.mailbox("2026-11-20", ALICE);
    // Gone since, so that it is in the directory of what is gone.
    std::fs::remove_file(mailbox.path.join("cur/1795000000.M0P1.mx:2,S")).unwrap();
    // Sorts before all that was there, so that it moves every ordinal.
    mailbox.put("cur", "1000.M0P1.mx:2,", "Subject: new\n\n", 1_795_100_000);
    let config = Config::new(&scratch, &store);
    (scratch, store, config)
}

/// Handles of everything that is mounted.
fn take(root: &Path) -> Vec<u8> {
    let table = run(python().args(["-c", SCRIPT, "take"]).arg(root));
    // A message has other names in the directories beside the dates.
    let beside = ["/.maildir/", "/deleted/"].map(|name| format!("{}{name}", root.display()));
    let is_beside = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        beside.iter().any(|name| line.contains(name))
    };
    let handles = table
        .split(|&b| b == b'\n')
        .filter(|l| !l.is_empty() && !is_beside(l));
    let distinct: std::collections::BTreeSet<&[u8]> = handles
        .clone()
        .map(|l| l.split(|&b| b == b'\t').next().unwrap())
        .collect();
    assert_eq!(
        distinct.len(),
        handles.count(),
        "two things with one handle"
    );
    table
}

/// What does not open by its handle as it did when the handle was taken.
fn wrong(root: &Path, table: &[u8]) -> String {
    let mut child = python()
        .args(["-c", SCRIPT, "open"])
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(table).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn handles_outlive_the_kernel_s_caches_and_the_daemon() {
    if !able(&["python3"]) {
        return;
    }
    let (_scratch, _store, config) = setup();
    let mount = Mount::new(&config);
    let table = take(&mount.path);
    assert!(table.iter().filter(|&&b| b == b'\n').count() > 80);
    assert_eq!(wrong(&mount.path, &table), "", "at once");
    drop_caches();
    assert_eq!(
        wrong(&mount.path, &table),
        "",
        "after the kernel forgot everything"
    );
    mount.kill();
    let mount = Mount::new(&config).expecting_warnings();
    // Nothing has been looked up by name in this daemon's life.
    assert_eq!(
        wrong(&mount.path, &table),
        "",
        "after kill -9 and a restart"
    );
    drop(mount);
    unmount_lazily(&config.mountpoint);
}

#[test]
fn handles_work_without_the_index_they_were_taken_with() {
    if !able(&["python3"]) {
        return;
    }
    let (_scratch, _store, config) = setup();
    let mount = Mount::new(&config);
    let table = take(&mount.path);
    drop(mount);
    std::fs::remove_dir_all(&config.index)
        .or_else(|_| std::fs::remove_file(&config.index))
        .unwrap();
    let mount = Mount::new(&config).expecting_warnings();
    // The new index knows none of the ids; what they mean is found again.
    assert_eq!(wrong(&mount.path, &table), "");
}

#[test]
fn node_ids_are_the_same_after_a_restart_and_on_another_server() {
    if !able(&[]) {
        return;
    }
    let (scratch, store, config) = setup();
    let first = manifest(&Mount::new(&config).path);
    same(
        "after a restart",
        &first,
        &manifest(&Mount::new(&config).path),
    );
    // Another index, and everything asked for in another order: newest date first, names before listings.
    let second = Mount::new(&Config::new(&scratch, &store));
    let mut paths: Vec<_> = first.keys().collect();
    paths.reverse();
    for path in paths {
        std::fs::symlink_metadata(second.join(path)).unwrap();
    }
    same("on another server", &first, &manifest(&second.path));
}

#[test]
fn a_message_s_id_is_its_own_on_each_date() {
    if !able(&[]) {
        return;
    }
    use std::collections::BTreeMap;
    use std::os::unix::fs::MetadataExt;
    let (_scratch, _store, config) = setup();
    let mount = Mount::new(&config);
    let mut owners: BTreeMap<u64, std::path::PathBuf> = BTreeMap::new();
    for day in ["2026-11-19", "2026-11-20"] {
        harness::tree::walk(&mount.join(day), &mut |path, meta| {
            let path = Path::new(day).join(path);
            if let Some(other) = owners.insert(meta.ino(), path.clone()) {
                panic!(
                    "{} and {} have one inode number",
                    path.display(),
                    other.display()
                );
            }
        });
    }
}

#[test]
fn open_directories_and_the_current_directory_survive() {
    if !able(&[]) {
        return;
    }
    let (_scratch, _store, config) = setup();
    let mount = Mount::new(&config);
    let inbox = mount.join("2026-11-19").join(ALICE).join("INBOX");
    let before = ls(&inbox);
    // A shell whose current directory is in the mount, and that has it open as well.
    let mut shell = Command::new("sh")
        .arg("-c")
        .arg("exec 3<. && echo ready && read go && ls -1 && ls -1 .. >/dev/null && pwd -P && cat -- *.eml | wc -c")
        .current_dir(&inbox)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = std::io::BufReader::new(shell.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    assert_eq!(line, "ready\n");
    let directory = std::fs::File::open(&inbox).unwrap();
    drop_caches();
    shell.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut output, &mut rest).unwrap();
    assert!(shell.wait().unwrap().success());
    let lines: Vec<&str> = rest.lines().collect();
    assert_eq!(
        lines[..20],
        before.iter().map(String::as_str).collect::<Vec<_>>()
    );
    assert_eq!(lines[20], inbox.to_str().unwrap());
    let listed = rustix::fs::Dir::read_from(&directory).unwrap().count();
    assert_eq!(listed, before.len() + 2, "with . and ..");
}
