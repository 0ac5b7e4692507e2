//! The header fields that a message is named and recognised by.
//!
//! Fields are found by a scan of our own and decoded one at a time: a parser that is given a whole header can take a
//! strange field's neighbours for its continuation, and a long or hostile field must cost no more than its share.
//!
//! Invariants: no input is refused; what is found does not depend on how many bytes are given at first; at most
//! [`FIELD_CAP`] bytes of a field are decoded. What stands for a missing Message-ID is the same for a message wherever it is,
//! whatever its line ends are there.

use super::encoded_word::{Piece, guess, pieces};
use super::field::{BYTE_ORDER_MARK, is_visible};
use super::mailbox;
use memchr::memchr;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// Bytes of a field that are decoded; the rest is left off.
pub const FIELD_CAP: usize = 8 * 1024;

/// Longest sender and subject, in characters; the rest is left off.
pub const TEXT_CAP: usize = 512;

/// Bytes of a message without Message-ID that stand for it, a line end being one; of a longer header, all of that.
const STAND_IN: usize = 8 << 10;

/// Bytes of a message that have so many with any line ends.
pub const FIRST: usize = 2 * STAND_IN;

/// What a message's header says, in text for people: decoded, but neither folded nor safe as a file name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Display name of the first address in From, else the address; where From has neither, of Sender; else empty.
    pub sender: String,
    /// Empty if there is none, or nothing to be seen of it.
    pub subject: String,
    /// Stands for the Message-ID: first 16 bytes of the SHA-256 of the field's trimmed value. Where it is missing or
    /// blank, of the whole header and the beginning of the body, which then tell copies of a message as well; None if there is
    /// neither a From nor a Subject either.
    pub message_id: Option<u128>,
}

/// Outcome of [`scan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    Complete(Headers),
    /// These bytes do not tell it all: give more of them, or say that this is all.
    NeedMore,
}

/// Finds and decodes the fields in the first bytes of a message.
///
/// The lines may end in LF or CRLF and may start with a byte order mark or a From_ line. The first occurrence of a field counts. With
/// `at_eof` the bytes are taken for all there is, whether the message ends there or the caller wants to read no more
/// of it.
pub fn scan(bytes: &[u8], at_eof: bool) -> Scan {
    match Fields::find(bytes, at_eof) {
        Some((fields, end)) if at_eof || bytes.len() >= FIRST || fields.has_id() => {
            Scan::Complete(fields.decode(bytes, end))
        }
        _ => Scan::NeedMore,
    }
}

/// Values of fields as they stand in the message, folded.
#[derive(Default)]
struct Fields<'a> {
    from: Option<&'a [u8]>,
    sender: Option<&'a [u8]>,
    subject: Option<&'a [u8]>,
    message_id: Option<&'a [u8]>,
}

#[derive(Clone, Copy)]
enum Name {
    From,
    Sender,
    Subject,
    MessageId,
}

impl<'a> Fields<'a> {
    /// The fields, and where the search ended: with the header, if one is missing. None if there may be more of them after
    /// these bytes.
    fn find(bytes: &'a [u8], at_eof: bool) -> Option<(Self, usize)> {
        let mut fields = Self::default();
        // The field that the present line may belong to, and where its value starts.
        let mut open: Option<(Name, usize)> = None;
        let mut at = match bytes.starts_with(BYTE_ORDER_MARK) {
            true => BYTE_ORDER_MARK.len(),
            false => 0,
        };
        while at < bytes.len() {
            let end = match memchr(b'\n', &bytes[at..]) {
                Some(n) => at + n + 1,
                None if at_eof => bytes.len(),
                None => return None,
            };
            let line = &bytes[at..end];
            if !matches!(line, [b' ' | b'\t', ..]) {
                if let Some((name, start)) = open.take() {
                    *fields.slot(name) = Some(&bytes[start..at]);
                    if fields.all() {
                        return Some((fields, at));
                    }
                }
                if matches!(line, b"\n" | b"\r\n") {
                    return Some((fields, at));
                }
                open = field(line)
                    .filter(|&(name, _)| fields.slot(name).is_none())
                    .map(|(name, value)| (name, at + value));
            }
            at = end;
        }
        if !at_eof {
            return None;
        }
        if let Some((name, start)) = open {
            *fields.slot(name) = Some(&bytes[start..]);
        }
        Some((fields, bytes.len()))
    }

    fn slot(&mut self, name: Name) -> &mut Option<&'a [u8]> {
        match name {
            Name::From => &mut self.from,
            Name::Sender => &mut self.sender,
            Name::Subject => &mut self.subject,
            Name::MessageId => &mut self.message_id,
        }
    }

    /// Whether the rest of the header does not matter. A Message-ID that is blank makes it matter, and a From without a name.
    fn all(&self) -> bool {
        let is_named = |from| !sender(from).is_empty();
        self.subject.is_some() && self.has_id() && self.from.is_some_and(is_named)
    }

    fn has_id(&self) -> bool {
        self.message_id.is_some_and(|id| !is_blank(id))
    }

    /// `header`: where it ends in the message, if there is no Message-ID.
    fn decode(&self, message: &[u8], header: usize) -> Headers {
        let of = |field: Option<&[u8]>| field.map(sender).unwrap_or_default();
        let mut sender = of(self.from);
        let mut subject = self.subject.map(subject).unwrap_or_default();
        let message_id = match self.message_id.and_then(message_id) {
            Some(id) => Some(id),
            None => {
                let is_named = !sender.is_empty() || !subject.trim().is_empty();
                unnumbered(message, header, is_named)
            }
        };
        if sender.is_empty() {
            sender = of(self.sender);
        }
        if !is_visible(&subject) {
            subject.clear();
        }
        Headers {
            sender,
            subject,
            message_id,
        }
    }
}

/// Which of the fields a line starts, and where in it the value is. A From_ line has no colon after the name.
fn field(line: &[u8]) -> Option<(Name, usize)> {
    let (name, len) = match line.first()? {
        b'F' | b'f' => (Name::From, field_name(line, b"From")?),
        b'S' | b's' => match field_name(line, b"Subject") {
            Some(len) => (Name::Subject, len),
            None => (Name::Sender, field_name(line, b"Sender")?),
        },
        b'M' | b'm' => (Name::MessageId, field_name(line, b"Message-ID")?),
        _ => return None,
    };
    Some((name, len))
}

/// Length of a field's name with its colon and the blanks that may stand before it.
fn field_name(line: &[u8], name: &[u8]) -> Option<usize> {
    let (start, rest) = line.split_at_checked(name.len())?;
    let blanks = rest
        .iter()
        .take_while(|&&b| b == b' ' || b == b'\t')
        .count();
    let is = start.eq_ignore_ascii_case(name) && rest.get(blanks) == Some(&b':');
    is.then_some(name.len() + blanks + 1)
}

/// A field's value, trimmed and unfolded; at most [`FIELD_CAP`] bytes.
fn unfolded(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value[..value.len().min(FIELD_CAP)].trim_ascii();
    if memchr(b'\n', value).is_none() {
        return value.into();
    }
    let lines = value.split(|&b| b == b'\n');
    let lines: Vec<&[u8]> = lines
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .collect();
    lines.concat().into()
}

fn subject(value: &[u8]) -> String {
    let mut subject = String::new();
    for piece in pieces(&unfolded(value)) {
        match piece {
            Piece::Text(text) => subject.push_str(&text),
            Piece::Word(word) => subject.push_str(&word),
        }
    }
    cap(&subject)
}

fn sender(value: &[u8]) -> String {
    let value = unfolded(value);
    plain_mailbox(&guess(&value))
        .filter(|text| is_visible(text))
        .map(cap)
        .or_else(|| mailbox::called(&value).map(|called| cap(&called)))
        .unwrap_or_default()
}

/// The name or address in a From that has nothing to parse: `Name <address>` or `"Name" <address>`, or the address.
fn plain_mailbox(text: &str) -> Option<&str> {
    let plain = |text: &str| {
        let special = |b: u8| b"\"\\()<>,:;=[]".contains(&b) || b.is_ascii_control();
        !text.bytes().any(special)
    };
    let Some((name, address)) = text.split_once('<') else {
        let address = text.contains('@') && !text.contains(' ');
        return (address && plain(text)).then_some(text);
    };
    let address = address.strip_suffix('>')?;
    let name = name.trim();
    let unquoted = name.strip_prefix('"').and_then(|n| n.strip_suffix('"'));
    let name = unquoted.unwrap_or(name).trim();
    let name = if name.is_empty() { address } else { name };
    let single_spaced = !name.contains("  ");
    (plain(address) && plain(name) && single_spaced && !address.is_empty()).then_some(name)
}

fn cap(text: &str) -> String {
    let end = text
        .char_indices()
        .nth(TEXT_CAP)
        .map_or(text.len(), |c| c.0);
    text[..end].to_owned()
}

/// What stands for a Message-ID with this value; `None` if it is blank.
pub(super) fn message_id(value: &[u8]) -> Option<u128> {
    if is_blank(value) {
        return None;
    }
    hash(&[value.trim_ascii()])
}

/// What stands for the Message-ID of a message without one, which has a sender or a subject or `is_named` not. At least
/// [`FIRST`] bytes of it are to be given, if it has so many; the header is the first `header` ones.
pub(super) fn unnumbered(message: &[u8], header: usize, is_named: bool) -> Option<u128> {
    if !is_named {
        return None;
    }
    let (header, rest) = message.split_at_checked(header).unwrap_or((message, b""));
    let header = with_lf(header);
    let room = STAND_IN.saturating_sub(header.len());
    // A CR that is cut off from its LF here is beyond the room.
    let rest = with_lf(rest.get(..2 * room).unwrap_or(rest));
    let rest = rest.get(..room).unwrap_or(&rest);
    // No Message-ID begins like this.
    hash(&[b"\n", &header, rest])
}

/// Text with LF for CRLF.
fn with_lf(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&b| b == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(line) => {
                out.extend_from_slice(line);
                out.push(b'\n');
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}

fn is_blank(message_id: &[u8]) -> bool {
    let blank = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'<' | b'>' | 0);
    message_id.iter().all(blank)
}

fn hash(parts: &[&[u8]]) -> Option<u128> {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize()
        .first_chunk()
        .map(|first| u128::from_be_bytes(*first))
}

#[cfg(test)]
mod tests;
