//! sdbox and mdbox over days of copies, moves, expunges and purges: what is shown is what Dovecot says, on every date;
//! and no damage of their indexes or files shows anything else, or stops anything.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::dovecot::{Dovecot, Fetched, assert_shows, deliver, fill};
use harness::mount::mailtm;
use harness::tree::messages;
use harness::{Config, Mount, Scratch, Store, able, run, sha256};
use mailtm::disk::Root;
use mailtm::store::{Folder, Format, Messages, Place};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ALICE: &str = "alice@example.com";
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

fn folder<'a>(folders: &'a [Folder], name: &str) -> &'a Folder {
    folders.iter().find(|f| f.path.join("/") == name).unwrap()
}

/// Where the mailbox of a snapshot is.
fn mailbox(driver: &str) -> Vec<u8> {
    format!("example.com/alice/{driver}").into_bytes()
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

/// All files below a directory whose names are such.
fn files(root: &Path, is_one: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let named = |path: &PathBuf| is_one(path.file_name().unwrap().to_str().unwrap());
    let all = harness::tree::files(root)
        .into_iter()
        .map(|path| root.join(path));
    all.filter(named).collect()
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

/// Whether Dovecot is here; if so, a store on one date as [`fill`] makes it, and what it says of it.
fn one_day(scratch: &Scratch, location: &str) -> Option<(Store, Dovecot, Vec<Fetched>)> {
    if !able(&["doveadm"]) {
        return None;
    }
    let store = Store::new(scratch.join("snapshots"));
    let home = store.snapshot(DAYS[0]).join("example.com/alice");
    let dovecot = Dovecot::new(scratch, &home, location, "");
    fill(&dovecot, scratch);
    let truth = dovecot.fetch();
    Some((store, dovecot, truth))
}

/// The digests of a folder's messages as they are stored; none for one that cannot be read.
fn read(snapshot: &Path, driver: &str, name: &str) -> Result<Vec<Option<String>>, mailtm::Error> {
    let root = Root::new(snapshot);
    let path = mailbox(driver);
    let store = Format::named(driver)
        .unwrap()
        .open(&root, Place::new(&path));
    let folders = store.folders()?.folders;
    let stored = &folder(&folders, name).stored;
    store.stamp(stored)?;
    let messages = store.messages(stored, &Messages::default())?;
    let files = store.files(stored);
    let mut identities = BTreeSet::new();
    let digests = messages.iter().map(|message| {
        assert!(
            identities.insert(messages.identity(message)),
            "{name}: one identity twice"
        );
        let opened = files.open(&messages, message).ok()?;
        let mut bytes = vec![0; usize::try_from(opened.size()).unwrap()];
        let len = opened.read_at(&mut bytes, 0).ok()?;
        (len == bytes.len()).then(|| sha256(&bytes))
    });
    let digests = digests.collect();
    Ok(digests)
}

/// Damages a file in every way in turn: cut short, and with each byte (or one of some) changed; `check` looks what comes
/// of it.
fn damage(path: &Path, every: usize, mut check: impl FnMut(&str)) {
    let sound = fs::read(path).unwrap();
    for at in (0..sound.len()).step_by(every) {
        fs::write(path, &sound[..at]).unwrap();
        check(&format!("{}: cut at {at}", path.display()));
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = sound.clone();
            bytes[at] ^= change;
            fs::write(path, bytes).unwrap();
            check(&format!("{}: {at} changed by {change:#x}", path.display()));
        }
    }
    fs::write(path, sound).unwrap();
}

/// Whatever an index says, only messages that there are come out, and other folders are as they were.
fn damaged_indexes(driver: &str, index: &str, every: usize) {
    let scratch = Scratch::new();
    let Some((store, _, truth)) = one_day(&scratch, &format!("{driver}:~/{driver}")) else {
        return;
    };
    let snapshot = store.path.join(DAYS[0]);
    let texts: BTreeSet<String> = truth.iter().map(|m| sha256(&m.bytes)).collect();
    let index = snapshot.join("example.com/alice").join(driver).join(index);
    let other = read(&snapshot, driver, "A & B").unwrap();
    let mut answers = 0;
    damage(&index, every, |what| {
        if let Ok(found) = read(&snapshot, driver, "Sent") {
            answers += usize::from(!found.is_empty());
            for text in found.into_iter().flatten() {
                assert!(texts.contains(&text), "{what}: a message that there is not");
            }
        }
        let unaffected = index.parent().unwrap().ends_with("dbox-Mails");
        let now = read(&snapshot, driver, "A & B").unwrap();
        assert!(!unaffected || now == other, "{what}: another folder");
        // A map that says something wrong makes messages unreadable, and none vanish.
        assert_eq!(now.len(), other.len(), "{what}: another folder");
    });
    assert!(answers > 20, "{answers}");
}

#[test]
fn damaged_index_of_an_sdbox_folder() {
    damaged_indexes("sdbox", "mailboxes/Sent/dbox-Mails/dovecot.index.log", 7);
}

/// Damages the log of each of these folders in many places in all these ways: no message of it may be lost. Where its record was
/// hit itself, it is listed and cannot be read.
fn nothing_is_lost(driver: &str, names: &[&str], damages: impl Fn(&[u8], usize) -> Vec<Vec<u8>>) {
    let scratch = Scratch::new();
    let Some((store, ..)) = one_day(&scratch, &format!("{driver}:~/{driver}")) else {
        return;
    };
    let snapshot = store.path.join(DAYS[0]);
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
        let snapshot = store.path.join(DAYS[0]);
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
        let snapshot = store.path.join(DAYS[0]);
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

#[test]
fn damaged_index_of_an_mdbox_folder() {
    damaged_indexes("mdbox", "mailboxes/Sent/dbox-Mails/dovecot.index.log", 11);
}

#[test]
fn damaged_map_of_an_mdbox() {
    damaged_indexes("mdbox", "storage/dovecot.map.index.log", 61);
}

#[test]
fn damaged_message_files() {
    for (driver, file, every) in [
        ("sdbox", "mailboxes/Sent/dbox-Mails/u.1", 17),
        ("mdbox", "storage/m.1", 4001),
    ] {
        let scratch = Scratch::new();
        let Some((store, _, _)) = one_day(&scratch, &format!("{driver}:~/{driver}")) else {
            return;
        };
        let snapshot = store.path.join(DAYS[0]);
        let sound = read(&snapshot, driver, "Sent").unwrap();
        let path = snapshot.join("example.com/alice").join(driver).join(file);
        damage(&path, every, |what| {
            let now = read(&snapshot, driver, "Sent").unwrap();
            assert_eq!(now.len(), sound.len(), "{what}");
            let same = now.iter().filter(|text| sound.contains(text)).count();
            assert!(
                driver == "mdbox" || same >= sound.len() - 1,
                "{what}: {same}"
            );
        });
        fs::remove_file(&path).unwrap();
        let now = read(&snapshot, driver, "Sent").unwrap();
        assert_eq!(now.len(), sound.len());
        assert!(now.iter().any(Option::is_none));
    }
}

#[test]
fn without_an_index_the_files_are_shown_with_a_warning() {
    for driver in ["sdbox", "mdbox"] {
        let scratch = Scratch::new();
        let Some((store, _, truth)) = one_day(&scratch, &format!("{driver}:~/{driver}")) else {
            return;
        };
        let top = store
            .path
            .join(DAYS[0])
            .join("example.com/alice")
            .join(driver);
        let log = top.join("mailboxes/Archive/2024/M&AOQ-rz/deeper/dbox-Mails/dovecot.index.log");
        fs::write(&log, "no log").unwrap();
        let inbox = top.join("mailboxes/INBOX/dbox-Mails");
        for file in files(&inbox, &|name| name.starts_with("dovecot.index")) {
            fs::remove_file(file).unwrap();
        }
        let mount = Mount::new(&Config::new(&scratch, &store).unset("source.mailboxes"))
            .expecting_warnings();
        let top = mount.join(DAYS[0]).join(ALICE);
        let got: BTreeSet<String> = messages(top.join("INBOX"))
            .iter()
            .map(|name| sha256(fs::read(top.join("INBOX").join(name)).unwrap()))
            .collect();
        let own = truth.iter().filter(|m| m.folder == "INBOX");
        let own: BTreeSet<String> = own.map(|m| sha256(&m.bytes)).collect();
        assert!(
            got.is_superset(&own),
            "{driver}: {} of {}",
            got.len(),
            own.len()
        );
        let listed = messages(top.join("Archive/2024/März/deeper"));
        // Of an mdbox, it may have what was copied to Entwürfe, too: that may have been INBOX or this.
        assert_eq!(listed.len(), if driver == "sdbox" { 3 } else { 4 });
        mount.wait_for_warning(&["its index cannot be read"]);
        mount.wait_for_warning(&["it has no index"]);
        let others = messages(top.join("Sent"));
        assert_eq!(
            others.len(),
            truth.iter().filter(|m| m.folder == "Sent").count()
        );
    }
}

#[test]
fn a_map_that_cannot_be_read_is_done_without() {
    let scratch = Scratch::new();
    let Some((store, dovecot, truth)) = one_day(&scratch, "mdbox:~/mdbox") else {
        return;
    };
    let folders = dovecot.selectable();
    let storage = store
        .path
        .join(DAYS[0])
        .join("example.com/alice/mdbox/storage");
    fs::write(storage.join("dovecot.map.index.log"), "").unwrap();
    let mount =
        Mount::new(&Config::new(&scratch, &store).unset("source.mailboxes")).expecting_warnings();
    assert_shows(&mount.join(DAYS[0]).join(ALICE), &folders, &truth);
    mount.wait_for_warning(&["the map of a mailbox cannot be read"]);
}

#[test]
fn what_was_purged_while_the_mailbox_was_copied_is_not_looked_for_in_all_files() {
    let scratch = Scratch::new();
    let Some((store, dovecot, _)) = one_day(&scratch, "mdbox:~/mdbox") else {
        return;
    };
    let snapshot = store.path.join(DAYS[0]);
    let top = snapshot.join("example.com/alice/mdbox");
    let before = read(&snapshot, "mdbox", "Sent").unwrap();
    assert!(before.iter().all(Option::is_some));
    let copied = scratch.join("mailboxes");
    run(Command::new("cp")
        .arg("-a")
        .arg(top.join("mailboxes"))
        .arg(&copied));
    let file = fs::read(top.join("storage/m.1")).unwrap();
    dovecot.adm(&["expunge", "mailbox", "Sent", "1:*"]);
    dovecot.adm(&["purge"]);
    fs::remove_dir_all(top.join("mailboxes")).unwrap();
    fs::rename(copied, top.join("mailboxes")).unwrap();
    // Who looks into all files finds the messages in this one.
    fs::write(top.join("storage/m.999"), file).unwrap();
    let now = read(&snapshot, "mdbox", "Sent").unwrap();
    assert_eq!(now.len(), before.len());
    assert!(now.iter().any(Option::is_none));
    let others = now.iter().flatten();
    assert!(
        others
            .map(|text| Some(text.clone()))
            .all(|text| before.contains(&text))
    );
}

#[test]
fn alternative_storage() {
    for driver in ["sdbox", "mdbox"] {
        let scratch = Scratch::new();
        let location = format!("{driver}:~/{driver}:ALT=~/old");
        let Some((store, dovecot, truth)) = one_day(&scratch, &location) else {
            return;
        };
        dovecot.adm(&[
            "altmove", "mailbox", "Sent", "or", "(", "mailbox", "INBOX", "flagged", ")",
        ]);
        let home = store.path.join(DAYS[0]).join("example.com/alice");
        let moved = files(&home.join("old"), &|name| {
            name.starts_with("m.") || name.starts_with("u.")
        });
        assert!(!moved.is_empty());
        let folders = dovecot.selectable();
        let config = Config::new(&scratch, &store).set("source.mailboxes", "{domain}/{user}");
        let mount = Mount::new(&config);
        assert_shows(&mount.join(DAYS[0]).join(ALICE), &folders, &truth);
        drop(mount);
        // Somebody else's directory is nobody's alternative storage.
        std::os::unix::fs::lchown(home.join("old"), Some(1_700_002), None).unwrap();
        let mount =
            Mount::new(&config.set("index.path", scratch.join("another").to_str().unwrap()))
                .expecting_warnings();
        let sent = mount.join(DAYS[0]).join(ALICE).join("Sent");
        let names = messages(&sent);
        assert_eq!(
            names.len(),
            truth.iter().filter(|m| m.folder == "Sent").count()
        );
        // What is in another folder too has stayed where it was.
        let unreadable = names
            .iter()
            .filter(|name| fs::read(sent.join(name)).is_err());
        assert!(unreadable.count() >= 3, "{driver}");
        mount.wait_for_warning(&["alternative storage"]);
    }
}
