//! Tests of `demo`.

use super::*;
use chrono::{NaiveDate, NaiveTime};
use mail_parser::MessageParser;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;

const ROME: Zone = Zone::Named(chrono_tz::Europe::Rome);

fn noon() -> i64 {
    let date = NaiveDate::from_ymd_opt(2026, 11, 21).unwrap();
    ROME.moment(date.and_time(NaiveTime::from_hms_opt(12, 0, 0).unwrap()))
}

fn made(now: i64) -> (tempfile::TempDir, Demo) {
    let dir = tempfile::tempdir().unwrap();
    let demo = make(dir.path(), ROME, now, None).unwrap();
    (dir, demo)
}

/// All files below a directory: relative path, inode, mtime.
fn files(root: &Path) -> BTreeMap<String, (u64, i64)> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let (path, metadata) = entry.map(|e| (e.path(), e.metadata().unwrap())).unwrap();
            if metadata.is_dir() {
                open.push(path);
            } else {
                let name = path
                    .strip_prefix(root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                found.insert(name, (metadata.ino(), metadata.mtime()));
            }
        }
    }
    found
}

fn messages(root: &Path) -> BTreeMap<String, (u64, i64)> {
    let is_message = |name: &str| name.contains("/cur/") || name.contains("/new/");
    files(root)
        .into_iter()
        .filter(|(name, _)| is_message(name))
        .collect()
}

#[test]
fn a_week_that_looks_like_one() {
    let (dir, demo) = made(noon());
    assert!((150..=300).contains(&demo.messages), "{}", demo.messages);
    assert!(demo.mailboxes >= 5);
    let days: Vec<_> = fs::read_dir(dir.path().join("snapshots"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    assert_eq!(
        (days.len(), days[0].as_str(), days[6].as_str()),
        (7, "2026-11-15_2359", "2026-11-21_1200")
    );

    let mut inodes = BTreeSet::new();
    for day in &days {
        let found = messages(&dir.path().join("snapshots").join(day));
        assert!(found.len() > 100, "{day}: {}", found.len());
        for (name, (inode, mtime)) in found {
            let base = name.rsplit('/').next().unwrap();
            // The time received is in the name, and none is later than the backup.
            assert_eq!(base.split('.').next().unwrap(), mtime.to_string());
            assert!(mtime <= noon(), "{name}");
            inodes.insert(inode);
        }
    }
    assert_eq!(inodes.len(), demo.messages, "one file for each message");
}

#[test]
fn things_happen_to_mail() {
    let (dir, demo) = made(noon());
    let day = |n: usize| {
        dir.path()
            .join("snapshots")
            .join(demo.days[n].snapshot(ROME))
    };
    let has = |n: usize, path: &str| day(n).join(path).exists();
    let emma = "harbour-logistics.example/emma.clarke/Maildir";
    assert!(has(2, &format!("{emma}/.Projects.Rotterdam/cur")));
    assert!(!has(3, &format!("{emma}/.Projects.Rotterdam")));
    let jonas = "harbour-logistics.example/jonas.weber/Maildir";
    assert!(has(1, &format!("{jonas}/.Kunden")) && has(2, &format!("{jonas}/.Kunden &- Partner")));
    assert!(has(6, &format!("{jonas}/.Entw&APw-rfe")));
    assert!(has(6, "studio-bianchi.example/scanner/Maildir/cur"));
    let empty = messages(&day(6).join("studio-bianchi.example/scanner"));
    assert!(empty.is_empty());

    // By inode: read, flagged, moved, deleted in the course of the week.
    let (first, last) = (messages(&day(0)), messages(&day(6)));
    let by_inode: BTreeMap<u64, &String> =
        last.iter().map(|(name, (ino, _))| (*ino, name)).collect();
    let (mut read, mut moved, mut gone) = (0, 0, 0);
    for (name, (inode, _)) in &first {
        match by_inode.get(inode) {
            None => gone += 1,
            Some(now) => {
                let folder = |name: &str| name.rsplitn(3, '/').nth(2).unwrap().to_owned();
                moved += usize::from(folder(now) != folder(name));
                read += usize::from(name.contains("/new/") && now.contains("/cur/"));
            }
        }
    }
    assert!(read > 3 && moved > 3 && gone > 8, "{read} {moved} {gone}");
    for flag in ["F", "R", "b"] {
        let flagged = |name: &String| {
            name.split_once(":2,")
                .is_some_and(|(_, f)| f.contains(flag))
        };
        assert!(last.keys().any(flagged), "{flag}");
    }
}

#[test]
fn the_missed_message_is_in_the_first_backups_and_nowhere_in_the_last() {
    let (dir, demo) = made(noon());
    let holders: Vec<bool> = demo
        .days
        .iter()
        .map(|day| {
            let root = dir.path().join("snapshots").join(day.snapshot(ROME));
            let is_missed = |name: &String| {
                let bytes = fs::read(root.join(name)).unwrap();
                let message = MessageParser::default().parse(&bytes).unwrap();
                message
                    .subject()
                    .is_some_and(|s| s.starts_with(letters::MISSED))
            };
            messages(&root).keys().any(is_missed)
        })
        .collect();
    assert_eq!(holders, [true, true, true, true, true, false, false]);
}

#[test]
fn mail_is_varied_and_well_formed() {
    let (dir, demo) = made(noon());
    let root = dir
        .path()
        .join("snapshots")
        .join(demo.days[6].snapshot(ROME));
    let (mut threads, mut lists, mut attachments) = (0, 0, 0);
    let mut charsets = BTreeSet::new();
    let mut subjects = BTreeSet::new();
    for name in messages(&root).keys() {
        let bytes = fs::read(root.join(name)).unwrap();
        let message = MessageParser::default().parse(&bytes).unwrap();
        assert!(
            message.date().is_some() && message.message_id().is_some(),
            "{name}"
        );
        assert!(
            !message.subject().unwrap().contains(['#', '%', '\u{fffd}']),
            "{name}"
        );
        threads += usize::from(message.in_reply_to().as_text().is_some());
        lists += usize::from(message.header_raw("List-Id").is_some());
        attachments += message.attachment_count();
        subjects.insert(message.subject().unwrap().to_owned());
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        for charset in [
            "=?utf-8?b?",
            "=?utf-8?q?",
            "=?iso-8859-1?q?",
            "=?iso-2022-jp?b?",
            "\nfrom ",
        ] {
            if text.contains(charset) {
                charsets.insert(charset);
            }
        }
    }
    assert!(
        threads > 10 && lists > 2 && attachments > 10,
        "{threads} {lists} {attachments}"
    );
    assert_eq!(charsets.len(), 5, "{charsets:?}");
    assert!(subjects.len() > 80, "{}", subjects.len());
}

#[test]
fn the_same_every_time() {
    let (a, _) = made(noon());
    let (b, _) = made(noon());
    let names = |dir: &tempfile::TempDir| -> Vec<String> {
        files(&dir.path().join("snapshots")).into_keys().collect()
    };
    assert_eq!(names(&a), names(&b));
}

#[test]
fn just_after_midnight_nothing_is_from_the_future() {
    let midnight = noon() - 12 * 3600;
    let (dir, _) = made(midnight + 5);
    for (name, (_, mtime)) in messages(&dir.path().join("snapshots/2026-11-21_0000")) {
        assert!(mtime <= midnight + 5, "{name}");
    }
}

#[test]
fn the_configuration_is_right() {
    let (dir, demo) = made(noon());
    let config = config::load(Some(&demo.config())).unwrap();
    assert_eq!(config.mountpoint, Some(dir.path().join("mountpoint")));
    assert_eq!(config.source.snapshots, [dir.path().join("snapshots")]);
    assert_eq!(config.access.admins, []);
}

#[test]
fn who_called_sudo_may_look_around() {
    let dir = tempfile::tempdir().unwrap();
    let visitor = Visitor {
        name: "anna".to_owned(),
        uid: 1000,
    };
    let demo = make(dir.path(), ROME, noon(), Some(visitor)).unwrap();
    let config = config::load(Some(&demo.config())).unwrap();
    assert_eq!(
        config.access.admins,
        [crate::access::Principal::User("1000".to_owned())]
    );
}

#[test]
fn a_directory_in_use_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mine"), "").unwrap();
    let arguments = Arguments {
        no_mount: true,
        dir: Some(dir.path().to_owned()),
    };
    assert_eq!(run(&arguments).unwrap_err().kind(), Kind::Config);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
