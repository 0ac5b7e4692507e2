//! Messages in dbox files: a line about the file, then for each message a header, its bytes, and its metadata.
//!
//! ```text
//! 2 M1e C5f3a1b2c\n                       version; size of a message header, time of creation (hexadecimal)
//! \x01\x02N                00000000000000CF4\n  header, of which the last 16 digits are the size in bytes
//! …                                        the message, as the store keeps it
//! \n\x01\x03\nR5f3a1b2c\nGc0ffee…\n\n      metadata: a letter and a value on each line, then an empty line
//! ```
//!
//! Source of the format: Dovecot's `dbox-file.h`.

use super::index::damaged;
use crate::disk::File;
use crate::error::Result;

/// Bytes of a message's metadata at most; names of folders and of attachments are in them.
const LONGEST_METADATA: usize = 64 << 10;

/// Bytes of metadata that are read at first: nearly always all of it.
const METADATA: usize = 512;

/// Bytes of a file's first line at most.
const LONGEST_LINE: usize = 128;

/// Bytes of a message header, as far as they are known.
const KNOWN_HEADER: usize = 30;

/// What the first line of a dbox file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// Of the line, in bytes: where the first message header begins.
    pub size: u64,
    /// Of each message header, in bytes.
    pub message: u64,
}

impl FileHeader {
    pub fn read(file: &File<'_>) -> Result<Self> {
        let mut bytes = [0; LONGEST_LINE];
        let len = file.read_at(&mut bytes, 0)?;
        let bytes = bytes.get(..len).unwrap_or_default();
        Self::parse(bytes).ok_or_else(|| damaged(format!("{}: no dbox file", file.name())))
    }

    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
        let end = bytes.iter().position(|&byte| byte == b'\n')?;
        let mut words = bytes.get(..end)?.split(|&byte| byte == b' ');
        let version = words.next()?;
        let size = words.find_map(|word| word.strip_prefix(b"M"))?;
        let message =
            hexadecimal(size).filter(|size| (KNOWN_HEADER as u64..=256).contains(size))?;
        (version == b"2").then_some(Self {
            size: end as u64 + 1,
            message,
        })
    }
}

/// One message in a dbox file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Where its bytes begin in the file.
    pub start: u64,
    /// How many there are.
    pub size: u64,
    /// How many they are once decoded, if that differs.
    pub plain: Option<u64>,
    /// INTERNALDATE, in seconds of Unix time.
    pub received: Option<i64>,
    /// What the message is called in all folders that have it.
    pub guid: Vec<u8>,
    /// The stored name of the folder that it was saved to first.
    pub origin: Vec<u8>,
    /// Parts of the message are in other files.
    pub external: bool,
    /// Where its metadata end.
    pub end: u64,
}

impl Record {
    /// Reads what is around a message whose header begins at `offset`.
    pub fn read(file: &File<'_>, header: FileHeader, offset: u64) -> Result<Self> {
        let at = |what: &str| damaged(format!("{}: {what} at {offset}", file.name()));
        let size = message_size(file, header, offset)?;
        let start = offset.saturating_add(header.message);
        let end = start
            .checked_add(size)
            .filter(|&end| end < file.stat().size);
        let end = end.ok_or_else(|| at("a message that is cut short"))?;
        let mut found = Self {
            start,
            size,
            ..Self::default()
        };
        let mut bytes = Vec::new();
        for limit in [METADATA, LONGEST_METADATA] {
            bytes.resize(limit, 0);
            let len = file.read_at(&mut bytes, end)?;
            bytes.truncate(len);
            if let Some(len) = found.take_metadata(&bytes) {
                found.end = end + len as u64;
                return Ok(found);
            }
        }
        Err(at("no metadata behind the message"))
    }

    /// Takes over what the metadata say; their length, or `None` if they are not whole.
    fn take_metadata(&mut self, bytes: &[u8]) -> Option<usize> {
        let lines = bytes.strip_prefix(b"\n\x01\x03\n")?;
        let mut len = bytes.len() - lines.len();
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            len += line.len();
            let line = line.strip_suffix(b"\n")?;
            let Some((key, value)) = line.split_first() else {
                return Some(len);
            };
            match key {
                b'Z' => self.plain = hexadecimal(value),
                b'R' => self.received = hexadecimal(value).and_then(|time| time.try_into().ok()),
                b'G' => self.guid = value.to_vec(),
                b'B' => self.origin = value.to_vec(),
                b'X' => self.external = true,
                _ => {}
            }
        }
        None
    }
}

/// The size that the message header at an offset tells.
pub fn message_size(file: &File<'_>, header: FileHeader, offset: u64) -> Result<u64> {
    let mut bytes = [0; KNOWN_HEADER];
    let len = file.read_at(&mut bytes, offset)?;
    let size = Some(&bytes)
        .filter(|bytes| len == bytes.len() && bytes.starts_with(b"\x01\x02N"))
        .and_then(|bytes| hexadecimal(bytes.get(13..29)?));
    let room = file
        .stat()
        .size
        .saturating_sub(offset)
        .saturating_sub(header.message);
    size.filter(|&size| size <= room)
        .ok_or_else(|| damaged(format!("{}: no message at {offset}", file.name())))
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    let digits = text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Root;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<Record> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("u.1"), bytes).unwrap();
        let root = Root::new(dir.path());
        let file = root.open(b"u.1").unwrap();
        let header = FileHeader::read(&file)?;
        Record::read(&file, header, header.size)
    }

    const FILE: &[u8] = b"2 M1e C6b0251de\n\x01\x02N          0000000000000005\nhello\n\x01\x03\nZff\nR3d64cf0a\nGabc\nBSent\nQ?\n\n";

    #[test]
    fn a_message_and_what_is_said_of_it() {
        let found = read(FILE).unwrap();
        assert_eq!((found.start, found.size, found.plain), (46, 5, Some(255)));
        assert_eq!((found.received, found.external), (Some(0x3d64_cf0a), false));
        assert_eq!(
            (found.guid.as_slice(), found.origin.as_slice()),
            (&b"abc"[..], &b"Sent"[..])
        );
        assert_eq!(found.end, FILE.len() as u64);
    }

    #[test]
    fn a_file_that_is_cut_short_has_no_message() {
        for end in 0..FILE.len() {
            assert!(read(&FILE[..end]).is_err(), "{end}");
        }
    }

    proptest! {
        #[test]
        fn any_damage(at in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = FILE.to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(found) = read(&bytes) {
                prop_assert!(found.start + found.size <= bytes.len() as u64);
            }
        }
    }
}
