//! Makes a listing of an index's records, each known by its GUID.

use super::index::{self, Record};
use crate::error::{Error, Kind, Result};
use crate::store::messages::Keywords;
use crate::store::{Message, Messages, bounds};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// What a message is known by, but for its UID where that is needed.
pub(super) fn name_of(record: &Record, folder: &[u8]) -> String {
    if record.guid != [0; 20] {
        return record.guid.iter().map(|b| format!("{b:02x}")).collect();
    }
    let hash = Sha256::digest(folder);
    let hash: String = hash.iter().take(6).map(|b| format!("{b:02x}")).collect();
    format!("{}-{hash}", record.uid)
}

/// Makes a listing of records.
pub(super) struct Collector {
    rows: Vec<(String, u32, Message)>,
    keywords: Keywords,
    /// The bits of keywords that have a name.
    known: [u8; index::KEYWORD_BYTES],
    sets: HashMap<[u8; index::KEYWORD_BYTES], u32>,
}

impl Collector {
    pub fn new(names: Vec<Vec<u8>>) -> Self {
        let mut known = [0; index::KEYWORD_BYTES];
        for (at, _) in names.iter().enumerate().filter(|(_, n)| !n.is_empty()) {
            if let Some(byte) = known.get_mut(at / 8) {
                *byte |= 1 << (at % 8);
            }
        }
        Self {
            rows: Vec::new(),
            keywords: Keywords {
                names,
                ..Keywords::default()
            },
            known,
            sets: HashMap::new(),
        }
    }

    pub fn add(&mut self, name: String, record: &Record) -> Result<()> {
        if self.rows.len() >= bounds::MOST_MESSAGES {
            let message = "a folder with more than 4 million messages";
            return Err(Error::new(Kind::Unreadable, message));
        }
        let mut bits = record.keywords;
        for (bits, known) in bits.iter_mut().zip(&self.known) {
            *bits &= known;
        }
        let keywords = if bits == [0; index::KEYWORD_BYTES] {
            0
        } else {
            let next = self.keywords.sets.len() as u32 + 1;
            *self.sets.entry(bits).or_insert_with(|| {
                self.keywords.sets.push(bits.into());
                next
            })
        };
        let message = Message {
            name: 0,
            name_len: 0,
            base_len: 0,
            new: false,
            twin: false,
            flags: record.flags,
            keywords,
            size: record.size,
            received: record.received,
            inode: 0,
        };
        self.rows.push((name, record.uid, message));
        Ok(())
    }

    pub fn finish(mut self, messages: Messages) -> Result<Messages> {
        self.rows.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        let mut before: Option<String> = None;
        for (name, uid, _) in &mut self.rows {
            let again = before.as_ref() == Some(name);
            if again {
                // So long that the order of the bytes is that of the numbers.
                name.push_str(&format!(".{uid:010}"));
            } else {
                before = Some(name.clone());
            }
        }
        let mut listing = Messages {
            keywords: self.keywords,
            ..messages
        };
        for (name, uid, message) in self.rows {
            let locator = format!("{name}@{uid}");
            let start = u32::try_from(listing.names.len());
            let start = start
                .map_err(|_| Error::new(Kind::Unreadable, "a folder with too many messages"))?;
            listing.names.extend_from_slice(locator.as_bytes());
            listing.rows.push(Message {
                name: start,
                name_len: locator.len() as u16,
                base_len: name.len() as u16,
                ..message
            });
        }
        Ok(listing)
    }
}
