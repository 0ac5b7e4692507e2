//! The namespace: what each path below a date means.
//!
//! Here the snapshots, which know no mail, and the mail stores, which know no dates, meet. Everything is a pure
//! function of one snapshot: no state, no node ids; what it costs is paid once and remembered one floor above and in
//! the index.
//!
//! Invariants: nothing that a store holds is left out, and what cannot be read is shown as unreadable; names depend on
//! the thing itself, never on its neighbours, except where two would clash; a size that is told is exact.
//!
//! The cast: [`mailbox`] finds the mailboxes of a snapshot, [`tree`] nests a mailbox's folders, [`listing`] names a
//! folder's messages, [`content`] reads one message, [`mbox`] lays a folder out as one file, [`deleted`]
//! says what is gone since, [`maildir`] what a Maildir++ of it would be like, [`about`] is the text in each
//! mailbox, [`name`] makes names safe. [`View`] is what they share.

pub mod about;
pub mod content;
pub mod deleted;
pub mod listing;
pub mod mailbox;
pub mod maildir;
pub mod mbox;
pub mod name;
pub mod tree;

use crate::disk::Told;
use crate::index::Index;
use crate::message::mboxrd::FlagLines;
use crate::store::decode::Keys;
use crate::time::Zone;
use std::sync::Arc;

/// How messages are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// Date, sender and subject.
    #[default]
    Readable,
    /// The store's own name; opens no message to list a folder.
    Unique,
}

/// What shapes the namespace, the same for every snapshot.
pub struct View {
    pub zone: Zone,
    pub names: Names,
    pub flags: FlagLines,
    pub layout: mailbox::Layout,
    /// What opens encrypted messages.
    pub keys: Arc<Keys>,
    pub index: Arc<Index>,
    /// What was warned of.
    pub told: Arc<Told>,
}

impl View {
    /// The same without what the index keeps: every message is looked at, and nothing that is learned is kept.
    #[must_use]
    pub fn without_index(&self) -> Self {
        Self {
            zone: self.zone,
            names: self.names,
            flags: self.flags,
            layout: self.layout.clone(),
            keys: self.keys.clone(),
            index: Arc::new(Index::in_memory()),
            told: self.told.clone(),
        }
    }

    /// Changes whenever the names made from the same facts would; part of the key of what is kept.
    pub fn fingerprint(&self) -> Vec<u8> {
        const FORMAT: u8 = 4;
        let mut bytes = vec![FORMAT, self.names as u8];
        if self.names == Names::Readable {
            // What a zone does is all that matters of it, and an update of its rules must be noticed.
            let year = 365 * 86_400;
            let offsets = (0..80).map(|half| half * year / 2 + 15 * 86_400);
            bytes.extend(offsets.flat_map(|t| {
                let offset = self.zone.local(t).and_utc().timestamp() - t;
                ((offset / 60) as i16).to_le_bytes()
            }));
        }
        // What was locked may be open with another key.
        bytes.extend(self.keys.ids().flat_map(String::into_bytes));
        bytes
    }
}
