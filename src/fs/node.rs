//! Node ids: what a number means, and which number a thing has.
//!
//! ```text
//!  63 62            47 46                        22 21                    0
//! ┌──┬────────────────┬────────────────────────────┬──────────────────────┐
//! │ 0│ snapshot serial│        place serial        │        ordinal       │
//! └──┴────────────────┴────────────────────────────┴──────────────────────┘
//! ```
//!
//! | snapshot | place | ordinal | |
//! | --- | --- | --- | --- |
//! | 0 | 0 | 1, 2, 3, 4 | the root, the link `latest`, `deleted`, `.maildir` |
//! | 0 | p | 0 | a directory in `deleted`: a mailbox, a folder, or a parent that is no folder |
//! | s | 0 | 0, 1 | a date, the same date in `.maildir` |
//! | s | p | 0 | a directory: a mailbox, a folder, or a parent that is no folder |
//! | s | p | 1 | beside it: a folder's mbox; in a mailbox, the text about it |
//! | s | p | 2… | a folder's messages in byte order of their identities |
//! | s | p | the last 16 | in `.maildir`: the mailbox's or folder's directory, what is in it besides messages |
//!
//! Messages in `deleted` and `.maildir` are the same nodes as on their dates.
//!
//! Invariants: an id can be turned back into what it means with the serial tables and the snapshot alone, so it is good
//! after a restart and for file handles of years ago; no id is ever used for two things. Serials derive from the
//! thing itself, so that two servers which show the same snapshots nearly always agree.

use crate::error::{Error, Kind, Result};
use crate::view::tree::Source;
use sha2::{Digest, Sha256};

const ORDINAL_BITS: u32 = 22;
const PLACE_BITS: u32 = 25;
const SNAPSHOT_BITS: u32 = 16;

/// The ordinal of a folder's first message.
pub const FIRST_MESSAGE: u32 = 2;
/// The ordinal of a date in `.maildir`.
pub const MAILDIR_DATE: u32 = 1;
/// The first ordinal of what a mailbox or folder is in `.maildir`.
pub const MAILDIR: u32 = (1 << ORDINAL_BITS) - 16;
/// A folder shows no more messages than there are ordinals.
pub const MOST_MESSAGES: usize = (MAILDIR - FIRST_MESSAGE) as usize;

/// A node id, as the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

pub const ROOT: NodeId = NodeId(1);
pub const LATEST: NodeId = NodeId(2);
/// The directory of what is gone.
pub const DELETED: NodeId = NodeId(3);
/// The directory of the dates as mail programs have their mail.
pub const MAILDIRS: NodeId = NodeId(4);

/// The parts of a node id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    pub snapshot: u32,
    pub place: u32,
    pub ordinal: u32,
}

impl NodeId {
    pub fn new(snapshot: u32, place: u32, ordinal: u32) -> Self {
        debug_assert!(
            snapshot < 1 << SNAPSHOT_BITS && place < 1 << PLACE_BITS && ordinal < 1 << ORDINAL_BITS
        );
        Self(
            u64::from(snapshot) << (PLACE_BITS + ORDINAL_BITS)
                | u64::from(place) << ORDINAL_BITS
                | u64::from(ordinal),
        )
    }

    /// Whether the bit is 0 that is so in all: with it, every thing would have two ids.
    pub fn is_possible(self) -> bool {
        self.0 >> (SNAPSHOT_BITS + PLACE_BITS + ORDINAL_BITS) == 0
    }

    pub fn parts(self) -> Parts {
        let field = |shift: u32, bits: u32| (self.0 >> shift) as u32 & ((1 << bits) - 1);
        Parts {
            snapshot: field(PLACE_BITS + ORDINAL_BITS, SNAPSHOT_BITS),
            place: field(ORDINAL_BITS, PLACE_BITS),
            ordinal: field(0, ORDINAL_BITS),
        }
    }

    /// The same directory's node with another ordinal.
    pub fn with_ordinal(self, ordinal: u32) -> Self {
        let parts = self.parts();
        Self::new(parts.snapshot, parts.place, ordinal)
    }

    /// The snapshot that a node is in for ever; `None` for the root, `deleted` and what is in it but the messages, all of which
    /// may change.
    pub fn snapshot(self) -> Option<u32> {
        Some(self.parts().snapshot).filter(|&serial| serial != 0)
    }

    pub fn stale(self) -> Error {
        Error::new(
            Kind::Stale,
            format!("node {:#x} is no longer there", self.0),
        )
    }
}

/// A directory in a mailbox, whatever the date: what a place serial stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The mailbox's path in the snapshot.
    pub mailbox: Vec<u8>,
    /// `None`: the mailbox itself.
    pub source: Option<Source>,
}

impl Place {
    /// The key in the table of serials.
    pub fn encode(mailbox: &[u8], source: Option<&Source>) -> Vec<u8> {
        let mut key = (mailbox.len() as u32).to_le_bytes().to_vec();
        key.extend_from_slice(mailbox);
        match source {
            None => key.push(b'M'),
            Some(Source::Folder(stored)) => {
                key.push(b'F');
                key.extend_from_slice(stored);
            }
            Some(Source::Parent(path)) => {
                key.push(b'P');
                key.extend_from_slice(path.join("\0").as_bytes());
            }
        }
        key
    }

    pub fn decode(key: &[u8]) -> Result<Self> {
        let broken = || {
            Error::new(
                Kind::Stale,
                "a key in the table of serials is not one of ours",
            )
        };
        let (len, rest) = key.split_first_chunk::<4>().ok_or_else(broken)?;
        let (mailbox, rest) = rest
            .split_at_checked(u32::from_le_bytes(*len) as usize)
            .ok_or_else(broken)?;
        let (kind, rest) = rest.split_first().ok_or_else(broken)?;
        let source = match kind {
            b'M' if rest.is_empty() => None,
            b'F' => Some(Source::Folder(rest.to_vec())),
            b'P' => {
                let path = std::str::from_utf8(rest).map_err(|_| broken())?;
                Some(Source::Parent(
                    path.split('\0').map(str::to_owned).collect(),
                ))
            }
            _ => return Err(broken()),
        };
        Ok(Self {
            mailbox: mailbox.to_vec(),
            source,
        })
    }

    /// The seed of the serial: a hash of the key.
    pub fn seed(key: &[u8]) -> u64 {
        let hash = Sha256::digest(key);
        hash.first_chunk::<8>()
            .map(|bytes| u64::from_le_bytes(*bytes))
            .unwrap_or_default()
    }
}

/// Where the listing of a directory goes on. For an immutable directory it is the position of the next entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cookie(pub u64);

impl Cookie {
    /// Position of the entry at which it goes on, behind `.` and `..`.
    pub fn index(self) -> usize {
        usize::try_from(self.0.saturating_sub(2)).unwrap_or(usize::MAX)
    }

    pub fn after(position: usize) -> Self {
        Self(position as u64 + 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_turn_back(snapshot in 0u32..1 << 16, place in 0u32..1 << 25, ordinal in 0u32..1 << 22) {
            let id = NodeId::new(snapshot, place, ordinal);
            prop_assert_eq!(id.parts(), Parts { snapshot, place, ordinal });
            prop_assert!(id.is_possible());
            prop_assert!(!NodeId(id.0 | 1 << 63).is_possible());
        }

        #[test]
        fn places_turn_back(mailbox: Vec<u8>, stored: Vec<u8>, path in proptest::collection::vec("[^\0]{0,5}", 1..4)) {
            for source in [None, Some(Source::Folder(stored)), Some(Source::Parent(path))] {
                let key = Place::encode(&mailbox, source.as_ref());
                prop_assert_eq!(Place::decode(&key).unwrap(), Place { mailbox: mailbox.clone(), source });
            }
        }
    }

    #[test]
    fn what_is_no_key_means_nothing() {
        for key in [
            &b""[..],
            b"\x01\0\0",
            b"\x02\0\0\0aM",
            b"\x01\0\0\0aX",
            b"\x01\0\0\0aMM",
            b"\x01\0\0\0aP\xff",
        ] {
            assert_eq!(Place::decode(key).unwrap_err().kind(), Kind::Stale);
        }
    }

    #[test]
    fn the_root_is_what_the_kernel_says() {
        assert_eq!(
            ROOT.parts(),
            Parts {
                snapshot: 0,
                place: 0,
                ordinal: 1
            }
        );
        assert_eq!(
            LATEST.parts(),
            Parts {
                snapshot: 0,
                place: 0,
                ordinal: 2
            }
        );
    }
}
