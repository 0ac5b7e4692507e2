//! Files of mail stores: each input becomes one file of a small mailbox, which is then read whole.

use super::Target;
use mailtm::disk::Root;
use mailtm::store::decode::{Decoder, Keys, Terms, detect};
use mailtm::store::{Format, Messages, Place, Store};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const SDBOX_INDEX: &[u8] = include_bytes!("corpus/sdbox.index");
const SDBOX_LOG: &[u8] = include_bytes!("corpus/sdbox.index.log");
const SDBOX_MESSAGE: &[u8] = include_bytes!("corpus/sdbox.u");
const MDBOX_INDEX: &[u8] = include_bytes!("corpus/mdbox.index");
const MDBOX_LOG: &[u8] = include_bytes!("corpus/mdbox.index.log");
const MDBOX_MAP: &[u8] = include_bytes!("corpus/mdbox.map.log");
const MDBOX_MESSAGES: &[u8] = include_bytes!("corpus/mdbox.m");
const ENCRYPTED: &[u8] = include_bytes!("corpus/encrypted");
/// The key to that, which protects nothing else.
const KEY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fuzz/corpus/encrypted.pem"
);

const HEADER: &[u8] = b"\xa1\x02\x8b\x0dCyrus mailbox header\n\"The best thing about this system was that it had lots of goals.\"\n\t--Jim Morris on Andrew\n";
const UIDLIST: &[u8] = b"3 V1795338663 N4 G0123456789abcdef0123456789abcdef\n1 :1795.M1P1.mx\n2 W44 S40 :1795.M2P1.mx,S=40\n";

/// A mailbox to begin with: its format, and its files.
type Mailbox = (&'static str, &'static [(&'static str, &'static [u8])]);

const SDBOX: Mailbox = (
    "sdbox",
    &[
        ("mailboxes/INBOX/dbox-Mails/dovecot.index", SDBOX_INDEX),
        ("mailboxes/INBOX/dbox-Mails/dovecot.index.log", SDBOX_LOG),
        ("mailboxes/INBOX/dbox-Mails/u.1", SDBOX_MESSAGE),
        ("mailboxes/INBOX/dbox-Mails/u.3", SDBOX_MESSAGE),
    ],
);
const MDBOX: Mailbox = (
    "mdbox",
    &[
        ("mailboxes/INBOX/dbox-Mails/dovecot.index", MDBOX_INDEX),
        ("mailboxes/INBOX/dbox-Mails/dovecot.index.log", MDBOX_LOG),
        ("storage/dovecot.map.index.log", MDBOX_MAP),
        ("storage/m.1", MDBOX_MESSAGES),
    ],
);
const CYRUS: Mailbox = (
    "cyrus",
    &[
        ("cyrus.header", HEADER),
        ("cyrus.index", b""),
        ("1.", b"A: 1\n"),
        ("2.", b"A: 2\n"),
    ],
);
const MBOX: Mailbox = ("mbox", &[("INBOX", b""), ("A", b"")]);
const MAILDIR: Mailbox = (
    "maildir",
    &[
        ("cur/1795.M1P1.mx:2,Sa", b"A: 1\n\nHi\n"),
        ("new/1795.M2P1.mx,S=40", b"A: 2\n"),
        ("dovecot-uidlist", UIDLIST),
        ("dovecot-keywords", b"0 Work\n"),
    ],
);

thread_local! {
    /// One mailbox of each format; a target puts its file back.
    static MADE: RefCell<HashMap<&'static str, TempDir>> = RefCell::default();
}

/// The mailbox on disk, or in memory rather, with the input in place of one of its files.
fn with_file(mailbox: Mailbox, file: &str, input: &[u8]) {
    let (format, files) = mailbox;
    let snapshot: PathBuf = MADE.with_borrow_mut(|made| {
        let dir = made.entry(format).or_insert_with(|| {
            let dir = tempfile::tempdir_in("/dev/shm").unwrap();
            for (path, bytes) in files {
                put(dir.path(), path, bytes);
            }
            dir
        });
        dir.path().to_owned()
    });
    put(&snapshot, file, input);
    read_all(format, &snapshot);
    let before = files.iter().find(|(path, _)| *path == file);
    put(&snapshot, file, before.map_or(&[], |(_, bytes)| bytes));
}

fn put(snapshot: &Path, path: &str, bytes: &[u8]) {
    let path = snapshot.join("alice").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // A new file each time: what was read of one may be remembered by its inode.
    let _ = fs::remove_file(&path);
    fs::write(path, bytes).unwrap();
}

/// Lists and reads everything, twice.
fn read_all(format: &str, snapshot: &Path) {
    let root = Root::new(snapshot);
    let format = Format::named(format).unwrap();
    let _ = format.is_at(&root, b"alice");
    let store = format.open(&root, Place::new(b"alice"));
    let Ok(folders) = store.folders() else {
        return;
    };
    let _ = store.describe(&folders.folders);
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
        let decoded = Messages::decode(&mut encoded.as_slice()).unwrap();
        assert!(messages.equals(&decoded), "another one from the index");
        let again = store.messages(&folder.stored, &decoded).unwrap();
        assert!(messages.equals(&again), "another one with what is known");
    }
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

const DOVECOT_WORDS: &[&[u8]] = &[
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x00",
    b"\x01\x00\x00\x00",
    b"\xff\xff\xff\x7f",
    b"\x80\x80\x80\x88",
    b"\x08\x00\x00\x00",
    b"dbox-hdr",
    b"mdbox",
    b"mdbox-hdr",
    b"keywords",
    b"map",
    b"ref",
    b"guid",
    b"\x01\x02",
    b"\n\x01\x03\n",
    b"\nG",
    b"\nR",
    b"\nV",
    b"ffffffffffffffff",
    b" ",
];

macro_rules! target {
    ($name:ident, $mailbox:expr, $file:literal, $seeds:expr, $words:expr) => {
        pub fn $name() -> Target {
            Target {
                name: stringify!($name),
                seeds: $seeds,
                words: $words,
                run: |input| with_file($mailbox, $file, input),
            }
        }
    };
}

target!(
    dovecot_index,
    SDBOX,
    "mailboxes/INBOX/dbox-Mails/dovecot.index",
    &[SDBOX_INDEX, MDBOX_INDEX],
    DOVECOT_WORDS
);
target!(
    dovecot_index_log,
    SDBOX,
    "mailboxes/INBOX/dbox-Mails/dovecot.index.log",
    &[SDBOX_LOG, MDBOX_LOG],
    DOVECOT_WORDS
);
target!(
    sdbox_message,
    SDBOX,
    "mailboxes/INBOX/dbox-Mails/u.3",
    &[SDBOX_MESSAGE],
    DOVECOT_WORDS
);
target!(
    mdbox_folder,
    MDBOX,
    "mailboxes/INBOX/dbox-Mails/dovecot.index.log",
    &[MDBOX_LOG],
    DOVECOT_WORDS
);
target!(
    mdbox_map,
    MDBOX,
    "storage/dovecot.map.index.log",
    &[MDBOX_MAP],
    DOVECOT_WORDS
);
target!(
    mdbox_messages,
    MDBOX,
    "storage/m.1",
    &[MDBOX_MESSAGES],
    DOVECOT_WORDS
);
target!(
    cyrus_header,
    CYRUS,
    "cyrus.header",
    &[
        b"\xa1\x02\x8b\x0dCyrus mailbox header\n\"...\"\n\t--x\nuser.ann\t1a2b3c\n$Label1 project\nann\tlrs\t\n",
        b"\xa1\x02\x8b\x0dCyrus mailbox header\n\"...\"\n\t--x\n%(A %(ann lrs U x) I U N user.ann Q NIL T e U ($Label1 {7}\r\nproject))\n",
    ],
    &[b"%(", b"(", b")", b"NIL", b"{7+}\r\n", b"{99999999999}\r\n", b"\"", b"\\", b"U ", b"\n"]
);
target!(
    maildir_uidlist,
    MAILDIR,
    "dovecot-uidlist",
    &[UIDLIST],
    &[
        b"3 V",
        b" N",
        b" :",
        b"\n",
        b"4294967295 ",
        b"W",
        b"S",
        b"1795.M1P1.mx",
        b"\0"
    ]
);
target!(
    maildir_keywords,
    MAILDIR,
    "dovecot-keywords",
    &[b"0 Work\n1 $Label1\n25 last\n"],
    &[b"0 ", b"26 ", b"4294967296 ", b"\n", b" ", b"\xff"]
);
target!(
    mbox_folder,
    MBOX,
    "INBOX",
    &[
        b"From MAILER-DAEMON Sun Nov 22 09:11:03 2026\nX-IMAP: 1795338663 0000000003 Work\nStatus: RO\nX-UID: 1\nContent-Length: 3\n\nHi\n\nFrom x@y Sun Nov 22 09:11:03 +0100 2026\nSubject: two\n\n>From here\n",
        b"From MAILER-DAEMON Sun Nov 22 09:11:03 2026\r\nFrom: mailbox <x@y>\r\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\r\nX-IMAPbase: 1 2\r\n\r\ntext\r\n\r\n",
    ],
    &[
        b"\nFrom ", b"From ", b"\n\nFrom x Sun Nov 22 09:11:03 2026\n", b"Content-Length: 4294967296\n", b"X-UID: ",
        b"X-IMAP: ", b"X-IMAPbase: ", b"Status: ", b"X-Keywords: ", b"\r\n", b"\n\n", b" 99:99:99 ", b"\n\t", b"\0",
    ]
);

/// Random bytes have no valid checksums, and would all be refused at once: so the sums are put right.
fn seal(input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    let field = |bytes: &[u8], at: usize| {
        let field = bytes.get(at..at + 4).and_then(<[u8]>::first_chunk);
        field.map_or(0, |field| u32::from_be_bytes(*field)) as usize
    };
    let (start, size) = (field(&bytes, 12), field(&bytes, 16));
    let mut sum = |from: usize, to: usize| {
        if let Some((body, last)) = bytes
            .get_mut(from..to)
            .and_then(<[u8]>::split_last_chunk_mut::<4>)
        {
            *last = crc32fast::hash(body).to_be_bytes();
        }
    };
    sum(0, start);
    if size > 4 {
        (start..input.len())
            .step_by(size)
            .for_each(|at| sum(at, at.saturating_add(size)));
    }
    bytes
}

pub fn cyrus_index() -> Target {
    fn run(input: &[u8]) {
        with_file(CYRUS, "cyrus.index", &seal(input));
        with_file(CYRUS, "cyrus.index", input);
    }
    /// Version, length of the header, length of a record, number of records: of version 17, and of 20.
    const SHORT: [u8; 28 + 2 * 112] = index(17, 112);
    const LONG: [u8; 28 + 2 * 112] = index(20, 112);
    Target {
        name: "cyrus_index",
        seeds: &[&SHORT, &LONG],
        words: &[
            b"\0\0\0\x0c",
            b"\0\0\0\x14",
            b"\0\0\0\x02",
            b"\xff\xff\xff\xff",
            b"\0\0\0\0",
            b"\0\0\0\x1c",
        ],
        run,
    }
}

/// An index of two records, of UIDs 1 and 2, with a header as short as can be.
const fn index(version: u8, record: u8) -> [u8; 28 + 2 * 112] {
    let mut bytes = [0; 28 + 2 * 112];
    bytes[11] = version;
    bytes[15] = 28;
    bytes[19] = record;
    bytes[23] = 2;
    bytes[28 + 3] = 1;
    bytes[28 + 112 + 3] = 2;
    bytes[28 + 15] = 5;
    bytes[28 + 112 + 15] = 5;
    bytes
}

/// Encrypted by mail_crypt, and there is the key.
pub fn mail_crypt() -> Target {
    fn run(input: &[u8]) {
        thread_local! {
            static KEYS: Keys = Keys::read(&[KEY.into()]).unwrap();
        }
        KEYS.with(|keys| {
            let Some(encoding) = detect(input) else {
                return;
            };
            let terms = Terms {
                expected: None,
                limit: 1 << 20,
                keys,
                only_encrypted: false,
            };
            let Ok(mut decoder) = Decoder::new(encoding, input, &terms) else {
                return;
            };
            let (mut buffer, mut plain) = ([0; 4096], Vec::new());
            let whole = loop {
                match decoder.read(&mut buffer) {
                    Ok(0) => break true,
                    Ok(n) => plain.extend_from_slice(&buffer[..n]),
                    Err(_) => break false,
                }
            };
            // What is told to be whole is what was encrypted: nobody else can make such a message.
            let is_the_one = plain == b"From: bob@example.com\nSubject: number 3\n\nHi\n";
            assert!(
                is_the_one || !whole || !input.starts_with(b"CRYPTED"),
                "{plain:?}"
            );
        });
    }
    Target {
        name: "mail_crypt",
        seeds: &[ENCRYPTED],
        words: &[
            b"CRYPTED\x03\x07",
            b"\xff\xff\xff\xff",
            b"\x00\x00\x00\x00",
            b"\x00\x00\x00\x02",
            b"\x00\x01\x00\x00",
            b"\x01",
            b"\x02",
        ],
        run,
    }
}
