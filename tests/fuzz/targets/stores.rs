//! Files of mail stores.

use super::mailbox::{CYRUS, MAILDIR, MBOX, MDBOX, SDBOX, read_with};

pub fn dovecot_index(input: &[u8]) {
    read_with(SDBOX, "mailboxes/INBOX/dbox-Mails/dovecot.index", input);
}

pub fn dovecot_index_log(input: &[u8]) {
    read_with(SDBOX, "mailboxes/INBOX/dbox-Mails/dovecot.index.log", input);
}

pub fn sdbox_message(input: &[u8]) {
    read_with(SDBOX, "mailboxes/INBOX/dbox-Mails/u.3", input);
}

pub fn mdbox_folder(input: &[u8]) {
    read_with(MDBOX, "mailboxes/INBOX/dbox-Mails/dovecot.index.log", input);
}

pub fn mdbox_map(input: &[u8]) {
    read_with(MDBOX, "storage/dovecot.map.index.log", input);
}

pub fn mdbox_messages(input: &[u8]) {
    read_with(MDBOX, "storage/m.1", input);
}

pub fn cyrus_header(input: &[u8]) {
    read_with(CYRUS, "cyrus.header", input);
}

pub fn maildir_uidlist(input: &[u8]) {
    read_with(MAILDIR, "dovecot-uidlist", input);
}

pub fn maildir_keywords(input: &[u8]) {
    read_with(MAILDIR, "dovecot-keywords", input);
}

pub fn mbox_folder(input: &[u8]) {
    read_with(MBOX, "INBOX", input);
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
    read_with(CYRUS, "cyrus.index", &seal(input));
    read_with(CYRUS, "cyrus.index", input);
}
