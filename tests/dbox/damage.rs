//! Indexes, maps and message files that are damaged or missing: only messages that there are come out, and all of them.

use crate::harness::dovecot::assert_shows;
use crate::harness::tree::messages;
use crate::harness::{Config, Mount, Scratch, sha256};
use crate::{ALICE, DATE, files, one_day, read};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

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
    let snapshot = store.path.join(DATE);
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
        let snapshot = store.path.join(DATE);
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
        let top = store.path.join(DATE).join("example.com/alice").join(driver);
        let log = top.join("mailboxes/Archive/2024/M&AOQ-rz/deeper/dbox-Mails/dovecot.index.log");
        fs::write(&log, "no log").unwrap();
        let inbox = top.join("mailboxes/INBOX/dbox-Mails");
        for file in files(&inbox, &|name| name.starts_with("dovecot.index")) {
            fs::remove_file(file).unwrap();
        }
        let mount = Mount::new(&Config::new(&scratch, &store).unset("source.mailboxes"))
            .expecting_warnings();
        let top = mount.join(DATE).join(ALICE);
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
        .join(DATE)
        .join("example.com/alice/mdbox/storage");
    fs::write(storage.join("dovecot.map.index.log"), "").unwrap();
    let mount =
        Mount::new(&Config::new(&scratch, &store).unset("source.mailboxes")).expecting_warnings();
    assert_shows(&mount.join(DATE).join(ALICE), &folders, &truth);
    mount.wait_for_warning(&["the map of a mailbox cannot be read"]);
}
