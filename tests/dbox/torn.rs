//! Logs that break off, or have holes: no message is lost, and it is told.

use crate::harness::mount::mailtm;
use crate::harness::tree::messages;
use crate::harness::{Config, Mount, Scratch, Trace, able, mail, run, sha256};
use crate::{ALICE, DATE, files, one_day, read};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Damages the log of each of these folders in many places in all these ways: no message of it may be lost. Where its record was
/// hit itself, it is listed and cannot be read.
fn nothing_is_lost(driver: &str, names: &[&str], damages: impl Fn(&[u8], usize) -> Vec<Vec<u8>>) {
    let scratch = Scratch::new();
    let Some((store, ..)) = one_day(&scratch, &format!("{driver}:~/{driver}")) else {
        return;
    };
    let snapshot = store.path.join(DATE);
    for name in names {
        let log = log_of(&snapshot, driver, name);
        let read = || read(&snapshot, driver, name).unwrap();
        let (sound, whole) = (read(), fs::read(&log).unwrap());
        assert!(sound.len() >= 3 && sound.iter().all(Option::is_some));
        for at in (0..whole.len()).step_by(4 * (whole.len() / 900).max(1)) {
            for (way, bytes) in damages(&whole, at).into_iter().enumerate() {
                fs::write(&log, bytes).unwrap();
                let found = read();
                let lost: Vec<_> = sound.iter().filter(|text| !found.contains(text)).collect();
                let unreadable = found.iter().filter(|text| text.is_none()).count();
                assert!(
                    lost.len() <= unreadable.min(1),
                    "{name}, {way} at {at} of {}: {lost:?}",
                    whole.len()
                );
            }
        }
        fs::write(&log, whole).unwrap();
    }
}

/// The log of a folder's index.
fn log_of(snapshot: &Path, driver: &str, name: &str) -> PathBuf {
    let name = name.replace("März", "M&AOQ-rz");
    let log = format!("example.com/alice/{driver}/mailboxes/{name}/dbox-Mails/dovecot.index.log");
    snapshot.join(log)
}

/// A place near this one that is within a record: those are multiples of four.
fn amid(at: usize) -> usize {
    at | 1
}

fn cut(whole: &[u8], at: usize) -> Vec<u8> {
    whole[..at + 1].to_vec()
}

fn zeroed(whole: &[u8], at: usize) -> Vec<u8> {
    let mut zeroed = whole.to_vec();
    zeroed[at..].fill(0);
    zeroed
}

/// Zeros here and there, as of a block that was never written.
fn holed(whole: &[u8], at: usize) -> Vec<Vec<u8>> {
    let hole = |len: usize| {
        let mut holed = whole.to_vec();
        holed[at..(at + len).min(whole.len())].fill(0);
        holed
    };
    [4, 8, 24, 512].map(hole).into()
}

#[test]
fn a_log_that_is_cut_short_hides_no_file_of_an_sdbox() {
    nothing_is_lost("sdbox", &["Sent"], |whole, at| {
        vec![cut(whole, at), zeroed(whole, at)]
    });
}

#[test]
fn zeros_within_a_log_hide_no_file_of_an_sdbox() {
    nothing_is_lost("sdbox", &["Sent"], holed);
}

/// What was moved there, and what was copied there alone.
const NOT_SAVED_THERE: [&str; 2] = ["Sent", "Archive/2024/März/deeper"];

#[test]
fn a_log_that_is_cut_short_hides_no_message_of_an_mdbox() {
    let [moved, copied] = NOT_SAVED_THERE;
    nothing_is_lost("mdbox", &["INBOX", moved, copied], |whole, at| {
        vec![cut(whole, at), zeroed(whole, at)]
    });
}

#[test]
fn zeros_within_a_log_hide_no_message_of_an_mdbox() {
    nothing_is_lost("mdbox", &["INBOX", NOT_SAVED_THERE[1]], holed);
}

/// A crash of the server's may tear the logs of all.
#[test]
fn where_all_logs_of_an_mdbox_are_cut_short_every_message_is_somewhere() {
    for layout in ["", ":LAYOUT=index"] {
        let scratch = Scratch::new();
        let Some((store, _, truth)) = one_day(&scratch, &format!("mdbox:~/mdbox{layout}")) else {
            return;
        };
        let snapshot = store.path.join(DATE);
        let is_log = |name: &str| name == "dovecot.index.log";
        let logs = files(&snapshot.join("example.com/alice/mdbox/mailboxes"), &is_log);
        let sound: Vec<_> = logs.iter().map(|log| fs::read(log).unwrap()).collect();
        let map = snapshot.join("example.com/alice/mdbox/storage/dovecot.map.index.log");
        let whole_map = fs::read(&map).unwrap();
        let wanted: BTreeSet<String> = truth.iter().map(|m| sha256(&m.bytes)).collect();
        for eighth in 1..8 {
            for map_is_cut in [false, true] {
                for (log, whole) in logs.iter().zip(&sound) {
                    fs::write(log, &whole[..amid(whole.len() * eighth / 8)]).unwrap();
                }
                if map_is_cut {
                    fs::write(&map, &whole_map[..amid(whole_map.len() * eighth / 8)]).unwrap();
                }
                let names: BTreeSet<&String> = truth.iter().map(|m| &m.folder).collect();
                let shown = names
                    .iter()
                    .map(|name| read(&snapshot, "mdbox", name).unwrap());
                let shown: BTreeSet<String> = shown.flatten().flatten().collect();
                let lost = wanted.difference(&shown).count();
                assert_eq!(lost, 0, "{layout} {eighth}/8, and of the map: {map_is_cut}");
                fs::write(&map, &whole_map).unwrap();
            }
        }
    }
}

#[test]
fn a_log_that_is_cut_short_is_told_and_counted() {
    for (driver, name) in [("sdbox", "Sent"), ("mdbox", NOT_SAVED_THERE[1])] {
        let scratch = Scratch::new();
        let Some((store, ..)) = one_day(&scratch, &format!("{driver}:~/{driver}")) else {
            return;
        };
        let snapshot = store.path.join(DATE);
        let sound = read(&snapshot, driver, name).unwrap();
        let log = log_of(&snapshot, driver, name);
        let whole = fs::read(&log).unwrap();
        fs::write(&log, &whole[..amid(whole.len() / 3)]).unwrap();
        let sorted = |mut texts: Vec<Option<String>>| {
            texts.sort();
            texts
        };
        let now = read(&snapshot, driver, name).unwrap();
        assert_eq!(sorted(now), sorted(sound), "{driver}: none else, too");
        let config = Config::new(&scratch, &store).unset("source.mailboxes");
        let file = config.write().to_str().unwrap().to_owned();
        for deep in [&[][..], &["--deep"]] {
            let arguments = [&["check", "--json", "--config", &file], deep].concat();
            let check = mailtm(&arguments).output().unwrap();
            let report: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
            assert_eq!(check.status.code(), Some(3), "{report:#}");
            assert_eq!(report["unreadable_count"], 1, "{report:#}");
            let told = &report["unreadable"][0];
            assert_eq!(
                (&told["folder"], &told["mailbox"]),
                (&name.into(), &ALICE.into())
            );
            let error = told["error"].as_str().unwrap();
            assert!(error.starts_with("its index is cut short; "), "{error}");
        }
    }
}

/// How often one of these is in the warnings of a mount.
fn told(mount: &Mount, words: &str) -> usize {
    let warnings = mount.warnings();
    warnings.iter().filter(|line| line.contains(words)).count()
}

#[test]
fn a_torn_log_is_warned_of_once_for_each_state_that_it_is_in() {
    for (driver, name) in [("sdbox", "Sent"), ("mdbox", NOT_SAVED_THERE[1])] {
        let scratch = Scratch::new();
        let Some((store, ..)) = one_day(&scratch, &format!("{driver}:~/{driver}")) else {
            return;
        };
        let log = log_of(&store.path.join(DATE), driver, name);
        let whole = fs::read(&log).unwrap();
        fs::write(&log, &whole[..amid(whole.len() / 3)]).unwrap();
        let copy = |date: &str| {
            run(Command::new("cp")
                .arg("-al")
                .arg(store.path.join(DATE))
                .arg(store.path.join(date)));
        };
        (16..20).for_each(|day| copy(&format!("2026-11-{day}")));
        // On the last of these days it is torn elsewhere.
        let last = log_of(&store.path.join("2026-11-19"), driver, name);
        fs::remove_file(&last).unwrap();
        fs::write(&last, &whole[..amid(whole.len() / 2)]).unwrap();
        let config = Config::new(&scratch, &store)
            .unset("source.mailboxes")
            .set("index.warm", "off");
        let mount = Mount::new(&config).expecting_warnings();
        let list = |day: u32| messages(mount.join(format!("2026-11-{day}/{ALICE}/{name}"))).len();
        let counts: Vec<usize> = (15..19).map(list).collect();
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        assert_eq!(told(&mount, "its index is cut short"), 1, "{driver}");
        assert!(list(19) > 0);
        assert_eq!(told(&mount, "its index is cut short"), 2, "{driver}");
    }
}

/// Folders of one mdbox, with a message each, whose logs are all torn.
const MANY: usize = 120;

#[test]
fn many_torn_folders_of_an_mdbox_are_read_a_few_times_each() {
    let scratch = Scratch::new();
    let Some((store, dovecot, _)) = one_day(&scratch, "mdbox:~/mdbox") else {
        return;
    };
    if !able(&["strace"]) {
        return;
    }
    let source = scratch.join("many");
    for number in 0..MANY {
        let folder = source.join(format!(".many-{number}"));
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        let text = mail("Bob <b@example.com>", &format!("Many {number}"), "Text\r\n");
        fs::write(folder.join(format!("cur/{number}.M1P1.source:2,S")), text).unwrap();
    }
    dovecot.import(&source);
    let top = store
        .path
        .join(DATE)
        .join("example.com/alice/mdbox/mailboxes");
    for log in files(&top, &|name| name == "dovecot.index.log") {
        let whole = fs::read(&log).unwrap();
        fs::write(&log, &whole[..20]).unwrap();
    }
    let config = Config::new(&scratch, &store)
        .unset("source.mailboxes")
        .set("index.warm", "off");
    let mount = Mount::new(&config).expecting_warnings();
    let top = mount.join(DATE).join(ALICE);
    // What is read of the mailbox itself.
    assert!(fs::read_dir(&top).unwrap().count() > MANY);
    let trace = Trace::new(&mount, &scratch, &["-e", "trace=openat"]);
    let mut more = 0;
    for number in 0..MANY {
        // One of them has those, too, that may be of any.
        let count = messages(top.join(format!("many-{number}"))).len();
        assert!(count >= 1, "many-{number}");
        more += usize::from(count > 1);
    }
    assert!(more <= 1, "{more}");
    let trace = trace.finish();
    // Not the directories on the way, and not the snapshot.
    let in_a_directory = |line: &&str| !line.contains("O_PATH") && !line.contains("AT_FDCWD");
    let opened = trace.lines().filter(in_a_directory).count();
    assert!(opened > MANY, "{opened}: strace sees nothing");
    assert!(opened < 40 * MANY, "{opened} for {MANY} folders");
}
