//! Days of copies, moves, expunges and purges: what is shown is what Dovecot says, on every date.

use crate::harness::dovecot::{Dovecot, Fetched, assert_shows, deliver, fill};
use crate::harness::tree::messages;
use crate::harness::{Config, Mount, Scratch, Store, able, run, sha256};
use crate::{ALICE, files, folder, mailbox};
use mailtm::disk::Root;
use mailtm::store::{Format, Messages, Place};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

const DAYS: [&str; 6] = [
    "2026-11-15",
    "2026-11-16",
    "2026-11-17",
    "2026-11-18",
    "2026-11-19",
    "2026-11-20",
];

/// What Dovecot said of a day.
struct Day {
    date: &'static str,
    folders: BTreeSet<String>,
    messages: Vec<Fetched>,
}

/// What happens on a day.
fn pass(dovecot: &Dovecot, scratch: &Scratch, day: usize, mdbox: bool) {
    if day == 0 {
        return fill(dovecot, scratch);
    }
    let from = 40 + 10 * i64::try_from(day).unwrap();
    deliver(dovecot, scratch, from..from + 10);
    let keyword = format!("day-{day}");
    let read = format!("1:{}", day * 4);
    let mut done: Vec<Vec<&str>> = vec![
        vec!["flags", "add", "\\Seen", "mailbox", "INBOX", &read],
        vec!["flags", "add", &keyword, "mailbox", "INBOX", "3:5"],
        vec![
            "flags",
            "remove",
            "\\Flagged project-x",
            "mailbox",
            "INBOX",
            "1:2",
        ],
        vec!["move", "Trash", "mailbox", "INBOX", "2:3"],
        vec!["copy", "Archive/2024/März", "mailbox", "INBOX", "5"],
        // A copy in its own folder.
        vec!["copy", "Sent", "mailbox", "Sent", "1"],
    ];
    match day {
        2 => {
            done.push(vec!["expunge", "mailbox", "Trash", "1:3"]);
            done.push(vec!["mailbox", "create", "New & other"]);
            done.push(vec!["copy", "New & other", "mailbox", "Sent", "1:2"]);
        }
        3 if mdbox => done.push(vec!["purge"]),
        4 => done.push(vec!["mailbox", "rename", "日本語", "日本"]),
        5 => done.push(vec!["mailbox", "delete", "Entwürfe"]),
        _ => {}
    }
    for args in done {
        dovecot.adm(&args);
    }
}

/// Some days in the life of a mailbox, with a snapshot of each; unchanged files are hard links to those of the day before.
fn live(scratch: &Scratch, store: &Store, location: &str, plugin: &str) -> Vec<Day> {
    let home = scratch.join("live/example.com/alice");
    let dovecot = Dovecot::new(scratch, &home, location, plugin);
    // Indexes and logs are written anew often.
    dovecot.set("mail_index_rewrite_min_log_bytes = 512");
    dovecot.set("mail_index_rewrite_max_log_bytes = 1024");
    dovecot.set("mail_index_log_rotate_min_size = 1024");
    dovecot.set("mail_index_log_rotate_max_size = 2048");
    dovecot.set("mail_index_log_rotate_min_age = 0");
    let mut days = Vec::new();
    for (number, date) in DAYS.into_iter().enumerate() {
        pass(&dovecot, scratch, number, location.starts_with("mdbox"));
        days.push(Day {
            date,
            folders: dovecot.selectable(),
            messages: dovecot.fetch(),
        });
        let mut copy = Command::new("rsync");
        copy.args(["-a", "--checksum"]);
        if number > 0 {
            copy.arg("--link-dest")
                .arg(store.path.join(DAYS[number - 1]));
        }
        run(copy
            .arg(format!("{}/", scratch.join("live").display()))
            .arg(store.path.join(date)));
    }
    days
}

/// What a listing itself tells: GUIDs and keywords.
fn assert_lists(snapshot: &Path, driver: &str, day: &Day) {
    let root = Root::new(snapshot);
    let path = mailbox(driver);
    let store = Format::named(driver)
        .unwrap()
        .open(&root, Place::new(&path));
    let folders = store.folders().unwrap().folders;
    for name in &day.folders {
        let stored = &folder(&folders, name).stored;
        let messages = store.messages(stored, &Messages::default()).unwrap();
        // A second copy in one folder has more than the GUID.
        let guid = |name: &[u8]| {
            let guid = name.split(|&b| b == b'/').next().unwrap();
            String::from_utf8(guid.to_vec()).unwrap()
        };
        let mut got: Vec<(String, BTreeSet<String>)> = messages
            .iter()
            .map(|m| {
                let keywords = messages.keywords(m);
                let keywords = keywords.map(|k| String::from_utf8(k.to_vec()).unwrap());
                (guid(messages.store_name(m)), keywords.collect())
            })
            .collect();
        let own = day.messages.iter().filter(|m| m.folder == *name);
        let mut expected: Vec<(String, BTreeSet<String>)> = own
            .map(|m| {
                let flags = m
                    .flags
                    .iter()
                    .filter(|f| !f.is_empty() && !f.starts_with('\\'));
                (m.guid.clone(), flags.cloned().collect())
            })
            .collect();
        got.sort();
        expected.sort();
        assert_eq!(got, expected, "{} {name}", day.date);
        // What is known from another date is the same.
        let again = store.messages(stored, &messages).unwrap();
        assert_eq!(again, messages, "{} {name}", day.date);
    }
}

fn compare(driver: &str, options: &str, plugin: &str) {
    if !able(&["doveadm", "rsync"]) {
        return;
    }
    let scratch = Scratch::new();
    let store = Store::new(scratch.join("snapshots"));
    let location = format!("{driver}:~/{driver}{options}");
    let days = live(&scratch, &store, &location, plugin);
    let indexes = files(&store.path, &|name| name == "dovecot.index");
    let older = files(&store.path, &|name| name.ends_with(".log.2"));
    assert!(
        !indexes.is_empty() && !older.is_empty(),
        "logs alone: {} {}",
        indexes.len(),
        older.len()
    );
    for day in &days {
        assert_lists(&store.path.join(day.date), driver, day);
    }
    let config = Config::new(&scratch, &store).unset("source.mailboxes");
    // Once to learn, once from the index.
    for _ in 0..2 {
        let mount = Mount::new(&config);
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        for day in &days {
            let top = mount.join(day.date).join(ALICE);
            assert_shows(&top, &day.folders, &day.messages);
            for name in messages(top.join("INBOX")) {
                let text = sha256(fs::read(top.join("INBOX").join(&name)).unwrap());
                let known = names.entry(text).or_insert_with(|| name.clone());
                assert_eq!(*known, name, "one name on all dates");
            }
        }
    }
}

#[test]
fn sdbox() {
    compare("sdbox", "", "");
}

#[test]
fn sdbox_by_guid_and_compressed() {
    compare("sdbox", ":LAYOUT=index", "zlib_save = zstd");
}

#[test]
fn mdbox() {
    compare("mdbox", "", "");
}

#[test]
fn mdbox_by_guid_and_compressed() {
    compare("mdbox", ":LAYOUT=index", "zlib_save = lz4");
}
