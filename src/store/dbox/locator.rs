//! Where the bytes of a dbox message are, as its locator says behind the store name.
//!
//! A locator is text, for it stands in warnings: `<guid>/u.12:6699.1700000000.0:p:46:-:w`. Its first two parts, the file
//! and what tells that file or message from another one at its place, are what the message is recognised by when its
//! folder is listed on another date; the others are then not read again.

use std::fmt::{self, Write as _};

/// Where a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    Primary,
    /// Where old messages are moved to.
    Alternative,
}

/// What can be had of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Whole,
    /// Parts of it are in files that are no part of the mailbox.
    External,
    /// There is no such file or message, or it is damaged.
    Damaged,
}

/// Where the bytes of a message are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locator {
    /// `u.<uid>` or `m.<number>`.
    pub file: String,
    /// Of the file: its size and mtime. Of a message in a file of several: its number in the map, and where it is.
    pub mark: String,
    pub storage: Storage,
    pub start: u64,
    /// How much in front of that the message header begins, in bytes.
    pub header: u64,
    /// Size once decoded, if that differs.
    pub plain: Option<u64>,
    pub state: State,
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key())?;
        f.write_char(if self.storage == Storage::Primary {
            'p'
        } else {
            'a'
        })?;
        write!(f, ":{}:{}:", self.start, self.header)?;
        match self.plain {
            Some(plain) => write!(f, "{plain}:")?,
            None => f.write_str("-:")?,
        }
        f.write_char(match self.state {
            State::Whole => 'w',
            State::External => 'x',
            State::Damaged => 'd',
        })
    }
}

impl Locator {
    /// What the message is recognised by: the front of the text, up to what is learned of it.
    pub fn key(&self) -> String {
        format!("/{}:{}:", self.file, self.mark)
    }

    /// Reads the part of a locator that is behind the store name.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.strip_prefix('/')?;
        let mut parts = text.split(':');
        let (file, mark) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let storage = match parts.next()? {
            "p" => Storage::Primary,
            "a" => Storage::Alternative,
            _ => return None,
        };
        let start = parts.next()?.parse().ok()?;
        let header = parts.next()?.parse().ok()?;
        let plain = match parts.next()? {
            "-" => None,
            size => Some(size.parse().ok()?),
        };
        let state = match parts.next()? {
            "w" => State::Whole,
            "x" => State::External,
            "d" => State::Damaged,
            _ => return None,
        };
        parts.next().is_none().then_some(Self {
            file,
            mark,
            storage,
            start,
            header,
            plain,
            state,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locator_comes_back_from_its_text() {
        let locator = Locator {
            file: "u.12".into(),
            mark: "6699.1700000000.5".into(),
            storage: Storage::Alternative,
            start: 46,
            header: 30,
            plain: Some(7),
            state: State::External,
        };
        let text = locator.to_string();
        assert!(text.starts_with(&locator.key()), "{text}");
        assert_eq!(Locator::parse(text.as_bytes()), Some(locator));
        for end in 0..text.len() {
            assert_eq!(Locator::parse(&text.as_bytes()[..end]), None, "{end}");
        }
    }
}
