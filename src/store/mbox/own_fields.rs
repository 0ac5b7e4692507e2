//! The header fields in which an mbox keeps what it knows of a message.
//!
//! They belong to the store: they change whenever a message is read or answered, and a mail server does not give them
//! out. So they are no part of the message; flags and keywords are taken from them. Whoever sends a message can put
//! such fields in it; they are the store's all the same, as for the server.
//!
//! Source: Dovecot's `mbox_hide_headers`; c-client's `docs/formats.txt`.

use crate::message::Flags;

/// A header without the store's fields, and what they say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stripped {
    pub header: Vec<u8>,
    pub flags: Flags,
    /// Of X-Keywords, separated by blanks.
    pub keywords: Vec<u8>,
    /// Of X-IMAPbase or X-IMAP: the keywords that the folder knows, after two numbers.
    pub base: Vec<u8>,
    /// Has X-IMAP: in the first message of a folder, that is no message.
    pub internal: bool,
    /// Bytes of the body.
    pub content_length: Option<u64>,
}

/// A value is looked at no further than this.
const LONGEST_VALUE: usize = 16 << 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    ContentLength,
    Status,
    XImap,
    XImapBase,
    XKeywords,
    XStatus,
    XUid,
}

const FIELDS: [(&[u8], Field); 7] = [
    (b"content-length", Field::ContentLength),
    (b"status", Field::Status),
    (b"x-imap", Field::XImap),
    (b"x-imapbase", Field::XImapBase),
    (b"x-keywords", Field::XKeywords),
    (b"x-status", Field::XStatus),
    (b"x-uid", Field::XUid),
];

/// Takes the store's fields out of a header: the lines from the one after the From_ line to the empty one, which stays.
pub fn strip(header: &[u8]) -> Stripped {
    let mut stripped = Stripped::default();
    let mut open: Option<(Field, Vec<u8>)> = None;
    for line in header.split_inclusive(|&b| b == b'\n') {
        if matches!(line, [b' ' | b'\t', ..]) {
            match &mut open {
                Some((_, value)) => value.extend(capped(line)),
                None => stripped.header.extend_from_slice(line),
            }
            continue;
        }
        if let Some((field, value)) = open.take() {
            stripped.note(field, value);
        }
        open = own(line);
        if open.is_none() {
            stripped.header.extend_from_slice(line);
        }
    }
    if let Some((field, value)) = open {
        stripped.note(field, value);
    }
    stripped
}

/// The field that a line begins, if it is one of the store's, and the value in that line.
fn own(line: &[u8]) -> Option<(Field, Vec<u8>)> {
    let (name, value) = line.split_at(memchr::memchr(b':', line)?);
    let name = name.trim_ascii_end();
    let (_, field) = FIELDS
        .into_iter()
        .find(|(own, _)| name.eq_ignore_ascii_case(own))?;
    Some((field, capped(value.get(1..)?).to_vec()))
}

fn capped(line: &[u8]) -> &[u8] {
    line.get(..LONGEST_VALUE).unwrap_or(line)
}

impl Stripped {
    fn note(&mut self, field: Field, mut value: Vec<u8>) {
        value.truncate(LONGEST_VALUE);
        match field {
            Field::Status | Field::XStatus => {
                for byte in value {
                    self.flags = self.flags
                        | match (field, byte) {
                            (Field::Status, b'R') => Flags::SEEN,
                            (Field::XStatus, b'A') => Flags::ANSWERED,
                            (Field::XStatus, b'D') => Flags::DELETED,
                            (Field::XStatus, b'F') => Flags::FLAGGED,
                            (Field::XStatus, b'T') => Flags::DRAFT,
                            _ => Flags::default(),
                        };
                }
            }
            Field::XKeywords if self.keywords.is_empty() => self.keywords = value,
            Field::XImap | Field::XImapBase if self.base.is_empty() => {
                self.internal = field == Field::XImap;
                self.base = value;
            }
            Field::ContentLength if self.content_length.is_none() => {
                let digits = std::str::from_utf8(value.trim_ascii()).ok();
                self.content_length = digits.and_then(|digits| digits.parse().ok());
            }
            _ => {}
        }
    }

    /// The keywords that the folder of this message, which is its first, knows.
    pub fn known_keywords(&self) -> impl Iterator<Item = &[u8]> {
        words(&self.base).skip(2)
    }

    pub fn keywords(&self) -> impl Iterator<Item = &[u8]> {
        words(&self.keywords)
    }
}

fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_out() {
        let header = b"Received: x\n\tby y\nStatus: RO\nX-Status: AFx\n D\nSubject: s\nX-UID: 7\n\
            x-keywords : $Label1\n   project \nContent-Length: 12\nStatusx: s\nX-IMAPbase: 12 0000000009 $Label1 project\n\n";
        let stripped = strip(header);
        assert_eq!(
            stripped.header,
            b"Received: x\n\tby y\nSubject: s\nStatusx: s\n\n"
        );
        let flags = Flags::SEEN | Flags::ANSWERED | Flags::FLAGGED | Flags::DELETED;
        assert_eq!(stripped.flags, flags);
        let words: Vec<_> = stripped.keywords().collect();
        assert_eq!(words, [&b"$Label1"[..], b"project"]);
        assert!(stripped.known_keywords().eq(stripped.keywords()));
        assert_eq!(stripped.content_length, Some(12));
        assert!(!stripped.internal);
    }

    #[test]
    fn nothing_to_take_out() {
        for header in [
            &b""[..],
            b"\n",
            b" x\n",
            b"Subject: s",
            b":\n:",
            b"\xff\0\r\n\r\n",
        ] {
            assert_eq!(strip(header).header, header);
        }
    }
}
