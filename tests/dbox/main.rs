//! sdbox and mdbox: what is shown is what Dovecot says, on every date; and no damage of their indexes or files shows anything
//! else, or stops anything.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod damage;
mod days;
mod expunged;
#[path = "../harness/mod.rs"]
mod harness;
mod storage;
mod torn;

use harness::dovecot::{Dovecot, Fetched, fill};
use harness::{Scratch, Store, able, sha256};
use mailtm::disk::Root;
use mailtm::store::{Folder, Format, Messages, Place};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Whose mailbox it is.
const ALICE: &str = "alice@example.com";

/// The date of what [`one_day`] makes.
const DATE: &str = "2026-11-15";

fn folder<'a>(folders: &'a [Folder], name: &str) -> &'a Folder {
    folders.iter().find(|f| f.path.join("/") == name).unwrap()
}

/// Where the mailbox of a snapshot is.
fn mailbox(driver: &str) -> Vec<u8> {
    format!("example.com/alice/{driver}").into_bytes()
}

/// All files below a directory whose names are such.
fn files(root: &Path, is_one: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let named = |path: &PathBuf| is_one(path.file_name().unwrap().to_str().unwrap());
    let all = harness::tree::files(root)
        .into_iter()
        .map(|path| root.join(path));
    all.filter(named).collect()
}

/// Whether Dovecot is here; if so, a store on one date as [`fill`] makes it, and what it says of it.
fn one_day(scratch: &Scratch, location: &str) -> Option<(Store, Dovecot, Vec<Fetched>)> {
    if !able(&["doveadm"]) {
        return None;
    }
    let store = Store::new(scratch.join("snapshots"));
    let home = store.snapshot(DATE).join("example.com/alice");
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
