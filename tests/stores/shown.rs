//! What a mount shows of a day, beside what Dovecot said of it.

use crate::harness::dovecot::{Fetched, assert_same, assert_shows};
use crate::harness::mount::mailtm;
use crate::harness::tree::{ls, messages};
use crate::harness::{Config, Mount, sha256};
use crate::life::Day;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const ALICE: &str = "alice@example.com";

/// How much was compared.
#[derive(Default)]
pub struct Sum {
    pub messages: u64,
    pub bytes: u64,
}

/// The messages of each folder by their names, with their digests.
pub type Names = BTreeMap<(String, String), String>;

pub fn names(mount: &Mount, day: &Day) -> Names {
    let mut names = Names::new();
    for folder in &day.folders {
        let directory = mount.join(day.date).join(ALICE).join(folder);
        for name in messages(&directory) {
            let digest = sha256(fs::read(directory.join(&name)).unwrap());
            names.insert((folder.clone(), name), digest);
        }
    }
    names
}

/// Folders, messages, bytes, sizes, INTERNALDATE, flags and keywords of a day, as messages, as mboxes and as a Maildir.
pub fn compare(mount: &Mount, day: &Day, sum: &mut Sum) {
    assert_shows(
        &mount.join(day.date).join(ALICE),
        &day.folders,
        &day.messages,
    );
    let top = mount.join(".maildir").join(day.date).join(ALICE);
    let mut wanted: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for folder in &day.folders {
        let directory = match folder.as_str() {
            "INBOX" => String::new(),
            _ => format!(".{}", day.encoded[folder].replace('/', ".")),
        };
        let own = day.messages.iter().filter(|m| m.folder == *folder);
        wanted.insert(directory, own.map(row).collect());
    }
    let known: BTreeSet<String> = ls(&top)
        .into_iter()
        .filter(|n| n.starts_with('.'))
        .collect();
    let directories = wanted.keys().filter(|name| !name.is_empty()).cloned();
    assert_eq!(
        known,
        directories.collect(),
        "{}: folders of the Maildir",
        day.date
    );
    for (directory, mut wanted) in wanted {
        let mut got = in_maildir(&top.join(&directory));
        let what = format!("{} {directory}: flags and keywords", day.date);
        assert_same(&what, &mut got, &mut wanted);
        sum.messages += got.len() as u64;
        sum.bytes += got.iter().map(|row| row.1).sum::<u64>();
    }
}

/// Digest, size, INTERNALDATE, flags and keywords of a message.
type Row = (String, u64, i64, BTreeSet<String>);

fn row(message: &Fetched) -> Row {
    let mut flags = message.flags.clone();
    flags.retain(|flag| !flag.is_empty() && flag != "\\Recent");
    let size = message.bytes.len() as u64;
    (sha256(&message.bytes), size, message.received, flags)
}

/// The messages of a folder of `.maildir`.
fn in_maildir(directory: &Path) -> Vec<Row> {
    let keywords = fs::read_to_string(directory.join("dovecot-keywords")).unwrap_or_default();
    let keywords: BTreeMap<u8, &str> = keywords
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(number, name)| (b'a' + number.parse::<u8>().unwrap(), name))
        .collect();
    let mut rows = Vec::new();
    for part in ["cur", "new"] {
        let part = directory.join(part);
        for name in ls(&part) {
            let letters = name.rsplit_once(":2,").map_or("", |(_, letters)| letters);
            let flag = |letter: u8| match letter {
                b'D' => "\\Draft",
                b'F' => "\\Flagged",
                b'R' => "\\Answered",
                b'S' => "\\Seen",
                b'T' => "\\Deleted",
                letter => keywords
                    .get(&letter)
                    .unwrap_or_else(|| panic!("{}: {name}", part.display())),
            };
            let flags = letters
                .bytes()
                .map(|letter| flag(letter).to_owned())
                .collect();
            let path = part.join(&name);
            let (bytes, stat) = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap());
            assert_eq!(bytes.len() as u64, stat.len(), "{}", path.display());
            rows.push((sha256(&bytes), stat.len(), stat.mtime(), flags));
        }
    }
    rows
}

/// A message that is once in a folder has the same name there on every day.
pub fn assert_one_name_on_all_days(days: &[Day], names: &[Names]) {
    let mut known: BTreeMap<(String, String), (String, &str)> = BTreeMap::new();
    let mut same = 0;
    for (day, names) in days.iter().zip(names) {
        let mut by_digest: BTreeMap<(&String, &String), Vec<&String>> = BTreeMap::new();
        for ((folder, name), digest) in names {
            by_digest.entry((folder, digest)).or_default().push(name);
        }
        for ((folder, digest), names) in by_digest {
            let [name] = names[..] else { continue };
            let key = (folder.clone(), digest.clone());
            if let Some((before, date)) = known.get(&key) {
                assert_eq!(before, name, "{folder} on {date} and {}", day.date);
                same += 1;
            }
            known.insert(key, (name.clone(), day.date));
        }
    }
    assert!(same > 300, "{same}");
}

/// `mailtm check --deep` counts what Dovecot does, and finds all of it sound.
pub fn assert_checked(config: &Config, days: &[Day], described: &str) {
    let file = config.write().to_str().unwrap().to_owned();
    let said = mailtm(&["check", "--deep", "--json", "--config", &file])
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(said.status.code(), Some(0), "{report:#}");
    let newest = days.last().unwrap();
    let contents = &report["contents"];
    assert_eq!(contents["messages"], newest.messages.len(), "{contents:#}");
    assert_eq!(contents["folders"], newest.folders.len(), "{contents:#}");
    assert_eq!(contents["formats"][0]["name"], described);
    assert_eq!(report["unreadable_count"], 0);
    assert_eq!(report["deep"]["dates"], days.len());
    let distinct: BTreeSet<_> = days
        .iter()
        .flat_map(|d| &d.messages)
        .map(|m| &m.guid)
        .collect();
    let read = report["deep"]["messages"].as_u64().unwrap();
    assert!(
        read >= distinct.len() as u64,
        "{read} of {}",
        distinct.len()
    );
}
