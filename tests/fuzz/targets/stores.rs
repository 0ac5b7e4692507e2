//! Files of mail stores.

use super::mailbox::{CYRUS, LISTED, MAILDIR, MBOX, MDBOX, SDBOX, read_all, read_with};
use super::{scratch_directory, two};
use mailtm::disk::Root;
use mailtm::restore::maildir::keywords;
use mailtm::store::{Format, Messages, Place};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub fn dovecot_index(input: &[u8]) {
    read_with(&SDBOX, "mailboxes/INBOX/dbox-Mails/dovecot.index", input);
}

pub fn dovecot_index_log(input: &[u8]) {
    read_with(
        &SDBOX,
        "mailboxes/INBOX/dbox-Mails/dovecot.index.log",
        input,
    );
}

pub fn sdbox_message(input: &[u8]) {
    read_with(&SDBOX, "mailboxes/INBOX/dbox-Mails/u.3", input);
}

pub fn mdbox_folder(input: &[u8]) {
    read_with(
        &MDBOX,
        "mailboxes/INBOX/dbox-Mails/dovecot.index.log",
        input,
    );
}

pub fn mdbox_map(input: &[u8]) {
    read_with(&MDBOX, "storage/dovecot.map.index.log", input);
}

pub fn mdbox_messages(input: &[u8]) {
    read_with(&MDBOX, "storage/m.1", input);
}

pub fn cyrus_header(input: &[u8]) {
    read_with(&CYRUS, "cyrus.header", input);
}

pub fn maildir_uidlist(input: &[u8]) {
    read_with(&MAILDIR, "dovecot-uidlist", input);
}

pub fn mdbox_index(input: &[u8]) {
    read_with(&MDBOX, "mailboxes/INBOX/dbox-Mails/dovecot.index", input);
}

pub fn mdbox_map_index(input: &[u8]) {
    read_with(&MDBOX, "storage/dovecot.map.index", input);
}

/// The names of folders that are kept in an index: whatever it says, each folder is there.
pub fn dovecot_list_index(input: &[u8]) {
    let found = read_with(&LISTED, "dovecot.list.index.log", input);
    assert_eq!(found.folders, 2);
}

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

pub fn cyrus_index(input: &[u8]) {
    read_with(&CYRUS, "cyrus.index", &seal(input));
    read_with(&CYRUS, "cyrus.index", input);
}

/// `dovecot-keywords`, as the mount and as a restore read it.
pub fn maildir_keywords(input: &[u8]) {
    read_with(&MAILDIR, "dovecot-keywords", input);
    let keywords = keywords::parse(input);
    assert!(keywords.len() <= 26);
    let lines = keywords.iter().zip(0..);
    let lines = lines.map(|(keyword, number)| format!("{number} {keyword}\n"));
    let written: String = lines.collect();
    assert_eq!(keywords::parse(written.as_bytes()), keywords);
}

/// Names of files, a line each, in `cur` and behind the first NUL in `new`: each message is found once.
pub fn maildir_names(input: &[u8]) {
    let dir = scratch_directory();
    let mut wanted = BTreeSet::new();
    let (cur, new) = two(input);
    for (part, names) in [("cur", cur), ("new", new)] {
        let part = dir.path().join("alice").join(part);
        fs::create_dir_all(&part).unwrap();
        for name in names.split(|&b| b == b'\n').take(32) {
            // Two sizes, so that two files of one base name may be two messages.
            let bytes: &[u8] = if name.len() % 2 == 0 {
                b"A: 1\n"
            } else {
                b"A: 22\n"
            };
            let name = OsStr::from_bytes(name);
            if Path::new(name).file_name() != Some(name)
                || fs::write(part.join(name), bytes).is_err()
            {
                continue;
            }
            let name = name.as_bytes();
            let info = |w: &[u8]| matches!(w, b":2," | b";2," | b"!2,");
            let base = name.windows(3).rposition(info).unwrap_or(name.len());
            if !name.starts_with(b".") {
                wanted.insert((name[..base].to_vec(), bytes.len() as u64));
            }
        }
    }
    let found = read_all("maildir", dir.path());
    assert_eq!(found.messages, wanted.len(), "{wanted:?}");
}

/// An mbox: no byte of it is left out or shown twice, but for the From_ lines.
pub fn mbox_folder(input: &[u8]) {
    read_with(&MBOX, "INBOX", input);
    // c-client's first message is its own business.
    if input.windows(19).any(|text| text == b"DELETE THIS MESSAGE") {
        return;
    }
    let dir = scratch_directory();
    fs::create_dir(dir.path().join("alice")).unwrap();
    fs::write(dir.path().join("alice/INBOX"), input).unwrap();
    let root = Root::new(dir.path());
    let store = Format::named("mbox")
        .unwrap()
        .open(&root, Place::new(b"alice"));
    let Some(folder) = store.folders().unwrap().folders.pop() else {
        return;
    };
    let messages = store
        .messages(&folder.stored, &Messages::default())
        .unwrap();
    let mut parts: Vec<(usize, usize)> = messages
        .iter()
        .map(|message| {
            let locator = messages.locator(message);
            let offsets = &locator[messages.store_name(message).len() + 1..];
            let offsets = std::str::from_utf8(offsets).unwrap().split(',');
            let numbers: Vec<usize> = offsets
                .map(|n| usize::from_str_radix(n, 16).unwrap())
                .collect();
            (numbers[0], numbers[2])
        })
        .collect();
    parts.sort_unstable();
    let mut at = 0;
    for (start, end) in parts {
        let between = &input[at..start];
        let line = between.trim_ascii_start();
        // What stands before the first From_ line is a message, too.
        let is_from =
            line.starts_with(b"From ") && line.trim_ascii_end().iter().all(|&b| b != b'\n');
        assert!(is_from || line.is_empty(), "{}", between.escape_ascii());
        let newlines = between.len() - line.len();
        assert!(at == 0 || newlines <= 2, "{}", between.escape_ascii());
        at = end;
    }
    let rest = &input[at..];
    assert!(
        matches!(rest, b"" | b"\n" | b"\r\n"),
        "{}",
        rest.escape_ascii()
    );
}
