//! A folder's messages: names, sizes, and how to read them.
//!
//! A folder that is unchanged since it was last listed (the same [`Stamp`](crate::store::Stamp), on whatever date) comes from the
//! index as a whole. Otherwise its names are listed, and only messages that the index does not know are opened, with
//! one `open` and mostly one read each. A message keeps what was learned of it in every folder of its mailbox and on
//! every date, as long as its identity, size and INTERNALDATE are the same. (No server gives one identity to two messages;
//! somebody who makes such files by hand in his own Maildir, of one size and time, can give one of them the other's name.) That it is
//! damaged is no such thing: a copy may be whole.
//!
//! The cast: [`Listing`] is the result, `rows` what it and the index keep, `beside` takes over what is as on another date, `learning` finds out what is known of each
//! message, `naming` names them; a large folder is a [`Draft`] first.
//!
//! A message that cannot be read now (a bad disk) is listed all the same, under a name that says so; reading it is an
//! error, and nothing of that is kept.

mod beside;
mod draft;
mod learning;
mod naming;
mod rows;

pub use beside::{Difference, Neighbour, Trace};
pub use draft::{Draft, PART};

use super::View;
use super::content::{Encoding, Learned};
use crate::disk::lane;
use crate::error::{Error, Kind, Result};
use crate::index::FactKey;
use crate::message::mboxrd::BodySize;
use crate::store::{Found, Message, Messages, Store};
use crate::time::Time;
use beside::{Added, Earlier, Since};
use rows::Rows;
use sha2::{Digest, Sha256};
use std::cell::OnceCell;
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

/// A folder that the index has no listing of.
#[derive(Debug)]
struct Unlisted {
    /// Only the change, if most of it is as on another date.
    found: Found,
    earlier: Earlier,
    key: Vec<u8>,
    /// The folder's last change.
    changed: Time,
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

    /// Looks for a listing of the folder as it is; where there is none, lists what the store has.
    fn look(
        &self,
        store: &dyn Store,
        folder: &[u8],
        taken: &HashSet<String>,
        keep: Keep,
        beside: &[Neighbour<'_>],
    ) -> Result<std::result::Result<Listing, Unlisted>> {
        let mailbox = store.path();
        let stamp = store.stamp(folder)?;
        let any_state = self.shape(taken);
        let key = [any_state.as_slice(), &stamp.bytes].concat();
        let cached = beside.iter().filter_map(|other| other.listing.as_ref());
        if let Some(same) = cached
            .into_iter()
            .find(|other| other.key == key && other.holds_everywhere())
        {
            return Ok(Ok(Listing::of(same.rows.clone(), key, stamp.changed)));
        }
        let pack = self.index.pack(mailbox, folder, &key);
        if let Some((rows, difference)) = pack.and_then(|pack| Rows::decode(&pack)) {
            let mut listing = Listing::of(Arc::new(rows), key, stamp.changed);
            listing.difference = difference;
            return Ok(Ok(listing));
        }
        let earlier = OnceCell::new();
        let ask = || earlier.get_or_init(|| self.earlier(mailbox, folder, &any_state, beside));
        let found = store.messages_since(folder, &|| ask().for_store())?;
        // Not every store has asked for it.
        ask();
        let earlier = earlier.into_inner().unwrap_or_default();
        let before = &earlier.rows.messages;
        let is_as_before = match &found {
            Found::All(messages) => messages.equals(before),
            Found::Changed { change, news } => {
                change.is_empty() && news.oddities == before.oddities
            }
        };
        if let Some(other) = &earlier.key
            && !found.told().provisional
            && is_as_before
        {
            if keep == Keep::Listing {
                self.index.put_pack_as(mailbox, folder, &key, other);
            }
            return Ok(Ok(Listing::of(earlier.rows, key, stamp.changed)));
        }
        let is_small = match &found {
            Found::All(_) => true,
            Found::Changed { change, .. } => change.is_small(before.len()),
        };
        let found = match is_small {
            true => found,
            false => Found::All(found.all(before).ok_or_else(of_another)?),
        };
        let messages = found.told();
        // Once for all dates.
        let oddities = || format!("oddities {folder:?} {:?}", messages.odd_names);
        if messages.oddities > 0 && self.told.is_news(mailbox, oddities().as_bytes()) {
            tracing::warn!(
                "{}: folder {} of {}: {} links, directories or special files where messages should be are not shown: {:?}",
                store.root().path().display(),
                for_people(folder),
                String::from_utf8_lossy(mailbox),
                messages.oddities,
                messages.odd_names
            );
        }
        Ok(Err(Unlisted {
            found,
            earlier,
            key,
            changed: stamp.changed,
        }))
    }

    /// Learns of each message of a folder what is not known yet, and names it.
    fn learn_and_name(
        &self,
        store: &dyn Store,
        folder: &[u8],
        taken: &HashSet<String>,
        keep: Keep,
        unlisted: Unlisted,
    ) -> Result<Listing> {
        let Unlisted {
            found,
            mut earlier,
            key,
            changed,
        } = unlisted;
        let learned = match &found {
            Found::Changed { change, news } => {
                self.learn_change(store, folder, taken, &mut earlier, (change, news))?
            }
            Found::All(_) => None,
        };
        let (rows, since, known) = match learned {
            Some((rows, since, known)) => (rows, Some(since), known),
            None => {
                let messages = found.all(&earlier.rows.messages).ok_or_else(of_another)?;
                self.learn_anew(store, folder, taken, &earlier, messages)?
            }
        };
        let mut listing = Listing::of(Arc::new(rows), key, changed);
        listing.complete = is_complete(&known);
        let mut added = None;
        if let Some(since) = since {
            (listing.difference, added) = (since.difference, since.added);
        }
        self.keep_listing(store, folder, &listing, added, keep);
        Ok(listing)
    }

    /// Learns of all messages what is not known yet, and names them; answers what they add to another date, if that is little,
    /// and what is known of each.
    fn learn_anew(
        &self,
        store: &dyn Store,
        folder: &[u8],
        taken: &HashSet<String>,
        earlier: &Earlier,
        messages: Messages,
    ) -> Result<(Rows, Option<Since>, Vec<Known>)> {
        let before = &earlier.rows;
        let known = self.learn_all(store, folder, &messages, before)?;
        let ((shown, names), known) = match self.name_all(&messages, &known, before, taken) {
            Some(named) => (named, known),
            None => {
                let known = self.learn_all(store, folder, &messages, &Rows::default())?;
                (self.name_alone(&messages, &known, taken)?, known)
            }
        };
        let rows = Rows {
            messages,
            shown,
            names,
        };
        let since = Since::between(earlier, &rows, &known);
        Ok((rows, since, known))
    }

    /// Keeps a listing that was made, if it is to be kept and holds for every date with this state of the folder; and says
    /// what is locked in it.
    fn keep_listing(
        &self,
        store: &dyn Store,
        folder: &[u8],
        listing: &Listing,
        added: Option<Added>,
        keep: Keep,
    ) {
        let mailbox = store.path();
        let shown = listing.rows.shown.iter();
        let locked = shown
            .filter(|shown| shown.encoding == Encoding::Locked)
            .count();
        let told = || format!("locked {folder:?}");
        if locked > 0 && self.told.is_news(mailbox, told().as_bytes()) {
            let why = match self.keys.is_empty() {
                true => "[source] mail_crypt_keys names no key",
                false => {
                    "none of [source] mail_crypt_keys opens them; they may be for another global key, or for keys of users or \
                     folders, which only the server can open"
                }
            };
            tracing::warn!(
                "{}: folder {} of {}: {locked} messages are encrypted (mail_crypt), and {why}: they are listed, and \
                 reading them is an error",
                store.root().path().display(),
                for_people(folder),
                String::from_utf8_lossy(mailbox)
            );
        }
        self.put_listing(store, folder, listing, added, keep);
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

/// Never so: a store tells a change of what it was asked beside.
fn of_another() -> Error {
    Error::new(
        Kind::Failed,
        "what has changed is not of the listing beside",
    )
}

/// Whether every message could be read.
fn is_complete(known: &[Known]) -> bool {
    !known.iter().any(|known| matches!(known, Known::Unread))
}

/// A folder's stored name, for a warning.
fn for_people(folder: &[u8]) -> String {
    match folder {
        // What many stores call it that have no name for it.
        b"" => "INBOX".into(),
        name => format!("{:?}", String::from_utf8_lossy(name)),
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
        || lane::current_beat().is_some_and(|beat| beat.is_expired())
}
