//! One message's bytes.
//!
//! A stored message is hostile bytes, not text: it may have no header, lines of a gigabyte, or NULs for a body.
//! Everything here takes memory and time in proportion to what it is asked for, never to what a message claims, and
//! answers something for every input.
//!
//! The cast: [`header`] finds the fields that a name is made of, with `mailbox` for what a sender is called, [`encoded_word`] decodes their text, by [`charset`]; [`mboxrd`] sizes
//! and writes a message as an mbox entry; [`facts`] is what is learned once about a message and kept; [`field`] goes through a header; [`searchable`] is
//! what it is searched by, and [`words`] the form of that in which capitals and accents do not matter.

pub mod charset;
pub mod encoded_word;
pub mod facts;
pub mod field;
pub mod header;
mod mailbox;
pub mod mboxrd;
pub mod searchable;
pub mod words;

use std::ops::BitOr;

/// What a user did to a message, as a mail store keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u8);

impl Flags {
    pub const SEEN: Self = Self(1);
    pub const ANSWERED: Self = Self(2);
    pub const FLAGGED: Self = Self(4);
    pub const DRAFT: Self = Self(8);
    /// Marked for deletion, not yet expunged.
    pub const DELETED: Self = Self(16);
    /// Forwarded, bounced or resent: known to Maildir alone.
    pub const PASSED: Self = Self(32);

    /// Flags of a Maildir name's info, such as `2,FS`: they end at the next comma. Keywords (`a` to `z`) and unknown
    /// letters are no flags; an info of another kind has none.
    pub fn from_maildir_info(info: &[u8]) -> Self {
        let letters = info.strip_prefix(b"2,").unwrap_or_default();
        letters.iter().take_while(|&&letter| letter != b',').fold(
            Self::default(),
            |flags, letter| {
                flags
                    | match letter {
                        b'S' => Self::SEEN,
                        b'R' => Self::ANSWERED,
                        b'F' => Self::FLAGGED,
                        b'D' => Self::DRAFT,
                        b'T' => Self::DELETED,
                        b'P' => Self::PASSED,
                        _ => Self::default(),
                    }
            },
        )
    }

    pub fn seen(self) -> bool {
        self.contains(Self::SEEN)
    }

    pub fn answered(self) -> bool {
        self.contains(Self::ANSWERED)
    }

    pub fn flagged(self) -> bool {
        self.contains(Self::FLAGGED)
    }

    pub fn draft(self) -> bool {
        self.contains(Self::DRAFT)
    }

    pub fn deleted(self) -> bool {
        self.contains(Self::DELETED)
    }

    pub fn passed(self) -> bool {
        self.contains(Self::PASSED)
    }

    /// As one byte, to be kept.
    pub fn bits(self) -> u8 {
        self.0
    }

    pub fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    fn contains(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maildir_info() {
        assert_eq!(Flags::from_maildir_info(b""), Flags::default());
        assert_eq!(Flags::from_maildir_info(b"1,S"), Flags::default());
        assert_eq!(Flags::from_maildir_info(b"2,"), Flags::default());
        let flags = Flags::from_maildir_info(b"2,FSac\xff,T");
        assert_eq!(flags, Flags::FLAGGED | Flags::SEEN);
        assert!(flags.flagged() && flags.seen() && !flags.deleted());
        let all = Flags::from_maildir_info(b"2,DFPRST");
        assert!(all.draft() && all.flagged() && all.passed());
        assert!(all.answered() && all.seen() && all.deleted());
    }
}
