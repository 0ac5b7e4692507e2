//! A small mailbox of each format; a target has it read with its input in place of one of the files.

use super::scratch_directory;
use mailtm::disk::Root;
use mailtm::store::{Format, Messages, Place, Source, Store};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const SDBOX_INDEX: &[u8] = include_bytes!("../mailboxes/sdbox.index");
const SDBOX_LOG: &[u8] = include_bytes!("../mailboxes/sdbox.index.log");
const SDBOX_MESSAGE: &[u8] = include_bytes!("../mailboxes/sdbox.u");
const MDBOX_INDEX: &[u8] = include_bytes!("../mailboxes/mdbox.index");
const MDBOX_LOG: &[u8] = include_bytes!("../mailboxes/mdbox.index.log");
const MDBOX_MAP: &[u8] = include_bytes!("../mailboxes/mdbox.map.log");
const MDBOX_MESSAGES: &[u8] = include_bytes!("../mailboxes/mdbox.m");

const LISTED_LOG: &[u8] = include_bytes!("../mailboxes/listed.list.index.log");
const LISTED_FOLDER: &[u8] = include_bytes!("../mailboxes/listed.index.log");

const HEADER: &[u8] = b"\xa1\x02\x8b\x0dCyrus mailbox header\n\"The best thing about this system was that it had lots of goals.\"\n\t--Jim Morris on Andrew\n";
const UIDLIST: &[u8] = b"3 V1795338663 N4 G0123456789abcdef0123456789abcdef\n1 :1795.M1P1.mx\n2 W44 S40 :1795.M2P1.mx,S=40\n";

/// A mailbox to begin with.
pub struct Mailbox {
    format: &'static str,
    files: &'static [(&'static str, &'static [u8])],
}

/// How much there is in a mailbox.
#[derive(Debug, Default)]
pub struct Found {
    pub folders: usize,
    pub messages: usize,
}

pub const SDBOX: Mailbox = Mailbox {
    format: "sdbox",
    files: &[
        ("mailboxes/INBOX/dbox-Mails/dovecot.index", SDBOX_INDEX),
        ("mailboxes/INBOX/dbox-Mails/dovecot.index.log", SDBOX_LOG),
        ("mailboxes/INBOX/dbox-Mails/u.1", SDBOX_MESSAGE),
        ("mailboxes/INBOX/dbox-Mails/u.3", SDBOX_MESSAGE),
    ],
};
pub const MDBOX: Mailbox = Mailbox {
    format: "mdbox",
    files: &[
        ("mailboxes/INBOX/dbox-Mails/dovecot.index", MDBOX_INDEX),
        ("mailboxes/INBOX/dbox-Mails/dovecot.index.log", MDBOX_LOG),
        ("storage/dovecot.map.index.log", MDBOX_MAP),
        ("storage/m.1", MDBOX_MESSAGES),
    ],
};
/// Folders known by their GUIDs, with their names in an index.
pub const LISTED: Mailbox = Mailbox {
    format: "sdbox",
    files: &[
        ("dovecot.list.index.log", LISTED_LOG),
        (
            "mailboxes/18e5c12c863a036b516a000083ecc375/dovecot.index.log",
            LISTED_FOLDER,
        ),
        (
            "mailboxes/d5ce6d2f863a036b536a000083ecc375/dovecot.index.log",
            LISTED_FOLDER,
        ),
    ],
};
pub const CYRUS: Mailbox = Mailbox {
    format: "cyrus",
    files: &[
        ("cyrus.header", HEADER),
        ("cyrus.index", b""),
        ("1.", b"A: 1\n"),
        ("2.", b"A: 2\n"),
    ],
};
pub const MBOX: Mailbox = Mailbox {
    format: "mbox",
    files: &[("INBOX", b""), ("A", b"")],
};
pub const MAILDIR: Mailbox = Mailbox {
    format: "maildir",
    files: &[
        ("cur/1795.M1P1.mx:2,Sa", b"A: 1\n\nHi\n"),
        ("new/1795.M2P1.mx,S=40", b"A: 2\n"),
        ("dovecot-uidlist", UIDLIST),
        ("dovecot-keywords", b"0 Work\n"),
    ],
};

thread_local! {
    /// Each of those mailboxes, by its format and first file; a target puts its file back.
    static MADE: RefCell<HashMap<(&'static str, &'static str), TempDir>> = RefCell::default();
}

/// The mailbox on disk, or in memory rather, with the input in place of one of its files.
pub fn read_with(mailbox: &Mailbox, file: &str, input: &[u8]) -> Found {
    let files = mailbox.files;
    let snapshot: PathBuf = MADE.with_borrow_mut(|made| {
        let made = made.entry((mailbox.format, files[0].0));
        let dir = made.or_insert_with(|| {
            let dir = scratch_directory();
            for (path, bytes) in files {
                put(dir.path(), path, bytes);
            }
            dir
        });
        dir.path().to_owned()
    });
    put(&snapshot, file, input);
    let found = read_all(mailbox.format, &snapshot);
    match files.iter().find(|(path, _)| *path == file) {
        Some((path, bytes)) => put(&snapshot, path, bytes),
        None => fs::remove_file(snapshot.join("alice").join(file)).unwrap(),
    }
    found
}

fn put(snapshot: &Path, path: &str, bytes: &[u8]) {
    let path = snapshot.join("alice").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // A new file each time: what was read of one may be remembered by its inode.
    let _ = fs::remove_file(&path);
    fs::write(path, bytes).unwrap();
}

/// Lists and reads everything, twice.
pub fn read_all(format: &str, snapshot: &Path) -> Found {
    let root = Root::new(snapshot);
    let format = Format::named(format).unwrap();
    let _ = format.is_at(&root, b"alice");
    let store = format.open(&root, Place::new(b"alice"));
    let Ok(folders) = store.folders() else {
        return Found::default();
    };
    let _ = store.describe(&folders.folders);
    let mut found = Found {
        folders: folders.folders.len(),
        messages: 0,
    };
    for folder in &folders.folders {
        assert!(!folder.path.is_empty());
        let _ = (
            store.stamp(&folder.stored),
            store.keyword_letters(&folder.stored),
        );
        let Ok(messages) = store.messages(&folder.stored, &Messages::default()) else {
            continue;
        };
        read_messages(store.as_ref(), &folder.stored, &messages);
        let mut encoded = Vec::new();
        messages.encode(&mut encoded).unwrap();
        let source = &mut Source::new(encoded.as_slice(), encoded.len());
        let decoded = Messages::decode(source).unwrap();
        assert!(messages.equals(&decoded), "another one from the index");
        let again = store.messages(&folder.stored, &decoded).unwrap();
        assert!(messages.equals(&again), "another one with what is known");
        found.messages += messages.len();
    }
    found
}

fn read_messages(store: &dyn Store, folder: &[u8], messages: &Messages) {
    let files = store.files(folder);
    let identities: Vec<Vec<u8>> = messages.iter().map(|m| messages.identity(m)).collect();
    assert!(identities.is_sorted_by(|a, b| a < b), "{identities:?}");
    for message in messages.iter() {
        let _ = store.claimed_size(messages, message);
        let _ = messages.keywords(message).count();
        let Ok(stored) = files.open(messages, message) else {
            continue;
        };
        let mut bytes = vec![0; 70_000];
        if let Ok(n) = stored.read_at(&mut bytes, 0) {
            assert!(n as u64 <= stored.size());
        }
        let _ = stored.read_at(&mut bytes[..10], stored.size().saturating_sub(5));
        let _ = stored.read_at(&mut bytes[..10], u64::MAX);
    }
}
