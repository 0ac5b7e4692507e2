//! What Cyrus says of a folder, damaged everywhere: whatever it is, every message that has a file is shown, the other folders are as
//! they were, nobody else gets anything, and what is not as it was is told.

use crate::cyrus;
use crate::harness::tree::files;
use crate::harness::{Scratch, able, sha256};
use mailtm::disk::Root;
use mailtm::store::{Format, Messages, Place, SpoolMailbox};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The digest of a message, if it can be read, and all that its listing tells.
type Row = (Option<String>, String);

/// The folders of the only user there may be, and of those that are nobody's.
#[derive(Debug, Default)]
struct Shown {
    folders: BTreeMap<String, Vec<Row>>,
    /// Folders that are said to be damaged.
    told: BTreeSet<String>,
    /// What could not be read of the spool.
    unread: usize,
}

fn read(snapshot: &Path) -> Shown {
    let root = Root::new(snapshot);
    let format = Format::named("cyrus").unwrap();
    let spool = format.spool(&root, b"mail", &root.list(b"mail").unwrap());
    let mut shown = Shown::default();
    let mut mailboxes = vec![SpoolMailbox {
        path: b"mail/user/alice".to_vec(),
        user: "alice".into(),
        domain: None,
        parts: Vec::new(),
    }];
    if let Some(spool) = spool.unwrap() {
        shown.unread = spool.unread.len();
        mailboxes = spool.mailboxes;
    }
    for mailbox in mailboxes {
        shown.add(&root, &format, &mailbox);
    }
    shown
}

impl Shown {
    fn digests(&self, folder: &str) -> BTreeSet<&String> {
        let rows = self.folders.get(folder).into_iter().flatten();
        rows.filter_map(|row| row.0.as_ref()).collect()
    }

    /// Adds the folders of a mailbox; a shared one is nobody's.
    fn add(&mut self, root: &Root, format: &Format, mailbox: &SpoolMailbox) {
        let owner = match mailbox.user.as_str() {
            "alice" => String::new(),
            shared if shared.ends_with(" (shared)") => format!("{shared}: "),
            _ => panic!("somebody else's: {mailbox:?}"),
        };
        let place = Place {
            parts: &mailbox.parts,
            ..Place::new(&mailbox.path)
        };
        let store = format.open(root, place);
        for folder in store.folders().unwrap().folders {
            store.stamp(&folder.stored).unwrap();
            let messages = store
                .messages(&folder.stored, &Messages::default())
                .unwrap();
            let opener = store.files(&folder.stored);
            let rows = messages.iter().map(|message| {
                let digest = opener.open(&messages, message).ok().map(|stored| {
                    let mut bytes = vec![0; usize::try_from(stored.size()).unwrap()];
                    assert_eq!(stored.read_at(&mut bytes, 0).unwrap(), bytes.len());
                    sha256(&bytes)
                });
                let keywords: Vec<_> = messages.keywords(message).map(<[u8]>::to_vec).collect();
                let told = (message.received, message.flags, message.size, keywords);
                let name = String::from_utf8_lossy(messages.store_name(message)).into_owned();
                (digest, format!("{name} {told:?}"))
            });
            let name = format!("{owner}{}", folder.path.join("/"));
            let mut rows: Vec<Row> = rows.collect();
            rows.sort();
            if messages.damage.is_some() {
                self.told.insert(name.clone());
            }
            assert!(self.folders.insert(name, rows).is_none(), "one name twice");
        }
    }
}

/// The directory of a folder, by the name that its header says.
fn folder(snapshot: &Path, name: &str) -> PathBuf {
    let wanted = format!("N user.alice.{name} ");
    let all = files(snapshot).into_iter().map(|path| snapshot.join(path));
    let mut headers = all.filter(|path| path.ends_with("cyrus.header"));
    let found = headers.find(|path| {
        let text = fs::read(path).unwrap();
        memchr::memmem::find(&text, wanted.as_bytes()).is_some()
    });
    found.unwrap().parent().unwrap().to_owned()
}

/// A file in all the ways in which it may have been damaged at a place.
fn damaged(sound: &[u8], at: usize) -> Vec<(&'static str, Vec<u8>)> {
    let changed = |change: fn(u8) -> u8, len: usize| {
        let mut bytes = sound.to_vec();
        let end = (at + len).min(bytes.len());
        bytes[at..end].iter_mut().for_each(|b| *b = change(*b));
        bytes
    };
    vec![
        ("cut", sound[..at].to_vec()),
        ("one bit", changed(|b| b ^ 1, 1)),
        ("another bit", changed(|b| b ^ 0x80, 1)),
        ("four bytes", changed(|b| b ^ 0xff, 4)),
        ("a hole", changed(|_| 0, 64)),
        ("zeros from there", changed(|_| 0, sound.len())),
    ]
}

fn damage(settings: &'static str) {
    if !able(&["rsync", "python3"]) {
        return;
    }
    let scratch = Scratch::new();
    let kind = cyrus::Kind {
        settings,
        archives: false,
    };
    let snapshot = scratch.join("snapshot");
    if cyrus::one_day(&kind, &scratch, &snapshot, 60).is_none() {
        return;
    }
    let sound = read(&snapshot);
    assert!(sound.told.is_empty() && sound.unread == 0, "{sound:?}");
    assert!(sound.digests("Sent").len() > 8);
    let by_ids = settings.is_empty();
    let (sent, other) = (
        folder(&snapshot, "Sent"),
        folder(&snapshot, "Archive.2024.M&AOQ-rz"),
    );
    for (name, every) in [
        ("cyrus.index", 23),
        ("cyrus.header", 1),
        ("cyrus.cache", 97),
    ] {
        let path = sent.join(name);
        let bytes = fs::read(&path).unwrap();
        let places = (0..bytes.len()).step_by(every);
        let mut damages: Vec<_> = places
            .flat_map(|at| {
                damaged(&bytes, at)
                    .into_iter()
                    .map(move |(way, b)| (way, at, b))
            })
            .collect();
        damages.push(("another's", 0, fs::read(other.join(name)).unwrap()));
        for (way, at, damaged) in damages {
            let what = format!("{name}: {way} at {at} of {}", bytes.len());
            fs::write(&path, damaged).unwrap();
            let now = read(&snapshot);
            for (folder, rows) in sound.folders.iter().filter(|(folder, _)| *folder != "Sent") {
                assert_eq!(now.folders.get(folder), Some(rows), "{what}: {folder}");
            }
            // A folder by its id is nobody's without a header, and another one's with another one.
            if by_ids && name == "cyrus.header" && !now.folders.contains_key("Sent") {
                let renamed = now.folders.len() == sound.folders.len() && !now.told.is_empty();
                assert!(now.unread > 0 || renamed, "{what}: nobody is told");
                continue;
            }
            let lost = sound
                .digests("Sent")
                .difference(&now.digests("Sent"))
                .count();
            assert_eq!(lost, 0, "{what}");
            let same = now.folders["Sent"] == sound.folders["Sent"];
            assert!(same || now.told.contains("Sent"), "{what}: nobody is told");
        }
        fs::write(&path, bytes).unwrap();
    }
    for name in ["cyrus.index", "cyrus.header"] {
        let bytes = fs::read(sent.join(name)).unwrap();
        fs::remove_file(sent.join(name)).unwrap();
        let now = read(&snapshot);
        let hidden = by_ids && name == "cyrus.header";
        assert!(
            hidden || now.digests("Sent") == sound.digests("Sent"),
            "no {name}"
        );
        assert!(
            now.told.contains("Sent") || hidden && now.unread == 1,
            "no {name}"
        );
        fs::write(sent.join(name), bytes).unwrap();
    }
}

#[test]
fn by_names() {
    damage("mailbox_legacy_dirs: yes\n");
}

#[test]
fn by_ids() {
    damage("");
}
