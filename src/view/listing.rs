//! A folder's messages: names, sizes, and how to read them.
//!
//! A folder that is unchanged since it was last listed (the same [`Stamp`](crate::store::Stamp), on whatever date) comes from the
//! index as a whole. Otherwise its names are listed, and only messages that the index does not know are opened, with
//! one `open` and mostly one read each. A message keeps what was learned of it in every folder of its mailbox and on
//! every date, as long as its identity, size and INTERNALDATE are the same. (No server gives one identity to two messages;
//! somebody who makes such files by hand in his own Maildir, of one size and time, can give one of them the other's name.) That it is
//! damaged is no such thing: a copy may be whole.
//!
//! The cast: [`Listing`] is the result, `making` makes it, `rows` what it and the index keep, `beside` takes over what is as on another date, `learning` finds out what is known of each
//! message, `naming` names them; a large folder is a [`Draft`] first.
//!
//! A message that cannot be read now (a bad disk) is listed all the same, under a name that says so; reading it is an
//! error, and nothing of that is kept.

mod beside;
mod draft;
mod learning;
mod making;
mod naming;
mod rows;

pub use beside::{Difference, Neighbour, Trace};
pub use draft::{Draft, PART};

use super::View;
use super::content::{Encoding, Learned};
use crate::disk::{lane, stop};
use crate::error::{Kind, Result};
use crate::index::FactKey;
use crate::message::mboxrd::BodySize;
use crate::store::{Message, Messages, Store};
use crate::time::Time;
use rows::Rows;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

/// A folder's messages in the order of their identities.
#[derive(Debug, Default)]
pub struct Listing {
    /// Shared with the index until that has written them, and with the same folder on other dates.
    rows: Arc<Rows>,
    /// What the index keeps it under; empty for what it does not keep.
    key: Vec<u8>,
    /// Positions in order of the shown names.
    by_name: OnceLock<Box<[u32]>>,
    complete: bool,
    difference: Option<Difference>,
    /// The folder's last change.
    pub changed: Time,
}

/// A folder that somebody begins to list.
#[derive(Debug)]
pub enum Begun {
    Whole(Listing),
    Draft(Draft),
}

/// One message of a listing.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    pub name: &'a str,
    /// Exact size of what reading gives.
    pub size: u64,
    pub encoding: Encoding,
    /// What it takes in an mbox, if that is known without looking it up.
    pub body: Option<BodySize>,
    pub stored: &'a Message,
}

/// How many messages a folder has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub messages: u64,
    /// Without the flag that says that it was seen.
    pub unread: u64,
}

impl Tally {
    pub fn of(messages: &Messages) -> Self {
        let unread = messages.iter().filter(|message| !message.flags.seen());
        Self {
            messages: messages.len() as u64,
            unread: unread.count() as u64,
        }
    }
}

impl Listing {
    pub fn len(&self) -> usize {
        self.rows.shown.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.shown.is_empty()
    }

    /// Whether it is of its date's files alone: as good as it can be, and of no use to other dates.
    pub fn is_apart(&self) -> bool {
        self.key.is_empty()
    }

    /// Whether every message could be read.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    pub fn messages(&self) -> &Messages {
        &self.rows.messages
    }

    pub fn get(&self, position: usize) -> Option<Item<'_>> {
        let (shown, stored) = (
            self.rows.shown.get(position)?,
            self.rows.messages.get(position)?,
        );
        Some(Item {
            name: self.rows.name(shown),
            size: shown.size,
            encoding: shown.encoding,
            body: shown.body.size(shown.size),
            stored,
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = Item<'_>> {
        (0..self.len()).filter_map(|position| self.get(position))
    }

    /// The messages at these positions alone: what may be kept where all of them would take too much memory.
    pub fn only(&self, positions: &[u32]) -> Self {
        let rows = Arc::new(self.rows.only(positions));
        Self {
            complete: self.complete,
            ..Self::of(rows, Vec::new(), self.changed)
        }
    }

    /// The position of the message with this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        let by_name = self.by_name.get_or_init(|| {
            let mut order: Vec<u32> = (0..self.rows.shown.len() as u32).collect();
            order.sort_unstable_by_key(|&p| {
                self.rows.shown.get(p as usize).map(|s| self.rows.name(s))
            });
            order.into_boxed_slice()
        });
        let at = |p: u32| {
            self.rows
                .shown
                .get(p as usize)
                .map(|s| self.rows.name(s))
                .unwrap_or_default()
        };
        by_name
            .binary_search_by(|&p| at(p).cmp(name))
            .ok()
            .and_then(|i| by_name.get(i))
            .map(|&p| p as usize)
    }

    /// How it differs from another one; `None` if that was not worked out, or most of it does.
    pub fn difference(&self) -> Option<&Difference> {
        self.difference.as_ref()
    }

    /// Bytes of memory in use, with the order of names that a look-up makes.
    pub fn weight(&self) -> usize {
        let difference = self.difference.as_ref().map_or(0, Difference::weight);
        self.rows.weight() + 4 * self.len() + difference
    }

    fn holds_everywhere(&self) -> bool {
        self.complete && self.rows.is_settled()
    }

    fn of(rows: Arc<Rows>, key: Vec<u8>, changed: Time) -> Self {
        Self {
            rows,
            key,
            by_name: OnceLock::new(),
            complete: true,
            difference: None,
            changed,
        }
    }
}

/// What of a listing is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// All of it, and what was learned of its messages.
    Listing,
    /// What was learned of its messages.
    Facts,
}

/// What is known of a message of a folder.
#[derive(Clone, Debug)]
enum Known {
    /// The same as the message at this position of a listing that was kept.
    Same(usize),
    Learned(Box<Learned>),
    /// It can't be read now.
    Unread,
}

impl View {
    /// What a folder's listing depends on besides the state of the folder. `taken` as for [`list`](Self::list).
    pub fn shape(&self, taken: &HashSet<String>) -> Vec<u8> {
        let mut shape = self.fingerprint();
        // The names of folders decide nothing but a clash; there may be a million of them.
        let mut around: Vec<&String> = taken.iter().collect();
        around.sort();
        let mut names = Sha256::new();
        for name in around {
            names.update(name);
            names.update([0]);
        }
        shape.extend_from_slice(&names.finalize());
        shape
    }

    /// Lists a folder. `taken`: the folded names of the directories and mboxes in it. `beside`: the same mailbox on
    /// other dates, the nearest first; what they have in common is not read again.
    pub fn list(
        &self,
        store: &dyn Store,
        folder: &[u8],
        taken: &HashSet<String>,
        beside: &[Neighbour<'_>],
    ) -> Result<Listing> {
        self.list_as(store, folder, taken, Keep::Listing, beside)
    }

    /// Lists a folder as it is for the moment: what is learned of its messages is kept, and the listing is not, which would take
    /// the place of one that is good for ever.
    pub fn list_live(
        &self,
        store: &dyn Store,
        folder: &[u8],
        taken: &HashSet<String>,
    ) -> Result<Listing> {
        self.list_as(store, folder, taken, Keep::Facts, &[])
    }

    /// Lists a folder that is not what its stamp and the index say: each of its files is looked at. To be asked of a view
    /// [without an index](View::without_index).
    pub fn list_apart(
        &self,
        store: &dyn Store,
        folder: &[u8],
        taken: &HashSet<String>,
    ) -> Result<Listing> {
        let listing = self.list_live(store, folder, taken)?;
        let key = Vec::new();
        Ok(Listing { key, ..listing })
    }

    fn list_as(
        &self,
        store: &dyn Store,
        folder: &[u8],
        taken: &HashSet<String>,
        keep: Keep,
        beside: &[Neighbour<'_>],
    ) -> Result<Listing> {
        match self.look(store, folder, taken, keep, beside)? {
            Ok(listing) => Ok(listing),
            Err(unlisted) => self.learn_and_name(store, folder, taken, keep, unlisted),
        }
    }

    /// Counts the messages of a folder, from the index or else by their names in the store; opens none, but where the store
    /// must to list them. `taken` as for [`list`](Self::list).
    pub fn tally(
        &self,
        store: &dyn Store,
        folder: &[u8],
        taken: &HashSet<String>,
    ) -> Result<Tally> {
        let key = [self.shape(taken), store.stamp(folder)?.bytes].concat();
        let pack = self.index.pack(store.path(), folder, &key);
        if let Some((rows, _)) = pack.and_then(|pack| Rows::decode(&pack)) {
            return Ok(Tally::of(&rows.messages));
        }
        let messages = store.messages(folder, &Messages::default())?;
        Ok(Tally::of(&messages))
    }

    /// How many messages a folder has, if the index has its listing and the size of its mbox already.
    pub fn known(
        &self,
        store: &dyn Store,
        folder: &[u8],
        taken: &HashSet<String>,
    ) -> Result<Option<u64>> {
        let stamp = store.stamp(folder)?.bytes;
        let key = [self.shape(taken).as_slice(), &stamp].concat();
        if !self.index.has_pack(store.path(), folder, &key) {
            return Ok(None);
        }
        let mbox = self.known_mbox_at(store.path(), folder, &stamp);
        Ok(mbox.map(|mbox| mbox.messages))
    }

    /// The folder's stamp when it was listed; `None` of a part of a listing.
    pub(super) fn stamp_of<'l>(&self, listing: &'l Listing) -> Option<&'l [u8]> {
        self.stamp_in(&listing.key)
    }

    /// The stamp in what a listing is kept under.
    pub(super) fn stamp_in<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        key.get(self.shape(&HashSet::new()).len()..)
    }
}

/// What facts about a message are kept under.
pub fn key<'a>(message: &Message, identity: &'a [u8]) -> FactKey<'a> {
    FactKey {
        identity,
        size: message.size,
        mtime: message.received,
    }
}

/// Whether an error is not about one message but about the whole snapshot, or the request was given up.
pub fn is_for_all(error: &crate::Error) -> bool {
    matches!(error.kind(), Kind::Stale | Kind::WouldBlock)
        || stop::is_set()
        || lane::current_beat().is_some_and(|beat| beat.is_expired())
}
