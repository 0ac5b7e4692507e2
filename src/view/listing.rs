//! A folder's messages: names, sizes, and how to read them.
//!
//! A folder that is unchanged since it was last listed (the same [`Stamp`](crate::store::Stamp), on whatever date) comes from the
//! index as a whole. Otherwise its names are listed, and only messages that the index does not know are opened, with
//! one `open` and mostly one read each. A message keeps what was learned of it in every folder of its mailbox and on
//! every date, as long as its identity, size and INTERNALDATE are the same. (No server gives one identity to two messages;
//! somebody who makes such files by hand in his own Maildir, of one size and time, can give one of them the other's name.) That it is
//! damaged is no such thing: a copy may be whole.
//!
//! The cast: [`Listing`] is the result, `rows` what it and the index keep, `learning` finds out what is known of each
//! message, `naming` names them; a large folder is a [`Draft`] first.
//!
//! A message that cannot be read now (a bad disk) is listed all the same, under a name that says so; reading it is an
//! error, and nothing of that is kept.

mod draft;
mod learning;
mod naming;
mod rows;

pub use draft::{Draft, PART};

use super::View;
use super::content::{Encoding, Learned};
use crate::disk::lane;
use crate::error::{Kind, Result};
use crate::index::FactKey;
use crate::message::mboxrd::BodySize;
use crate::store::{Message, Messages, Store};
use crate::time::Time;
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
    /// What the index keeps it under.
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
    messages: Messages,
    /// How it was on another date, as far as that is known; and what the index keeps that under, if all of it could be read.
    before: Arc<Rows>,
    before_key: Option<Vec<u8>>,
    key: Vec<u8>,
    /// The folder's last change.
    changed: Time,
}

/// How a listing differs from that of another state of the folder, where most of it is the same.
#[derive(Debug)]
pub struct Difference {
    /// That state: what [`View::shape`] says, and the stamp.
    pub from: Vec<u8>,
    /// Messages that are only there.
    pub gone: Vec<Trace>,
    /// Positions of the messages that are only here.
    pub came: Vec<u32>,
}

/// What another listing showed of a message.
#[derive(Debug, PartialEq, Eq)]
pub struct Trace {
    pub identity: Vec<u8>,
    pub name: String,
    /// Of what reading gives.
    pub size: u64,
    /// Of what is stored.
    pub stored: u64,
    pub received: Time,
    pub encoding: Encoding,
    /// As [`Item::body`].
    pub body: Option<BodySize>,
}

/// The same mailbox on another date.
pub struct Neighbour<'a> {
    pub store: Box<dyn Store + 'a>,
    /// Its listing of the folder, if it is at hand.
    pub listing: Option<Arc<Listing>>,
    /// Whether its disk may be waited for, too.
    pub is_reachable: bool,
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

impl Difference {
    /// `None` if more than a quarter of the messages differ.
    fn between(from: Vec<u8>, before: &Rows, known: &[Known]) -> Option<Self> {
        let mut same = vec![false; before.messages.len()];
        let mut came = Vec::new();
        for (position, known) in (0..).zip(known) {
            match known {
                Known::Same(at) => {
                    if let Some(same) = same.get_mut(*at) {
                        *same = true;
                    }
                }
                _ => came.push(position),
            }
        }
        let gone = same.iter().filter(|same| !**same).count();
        if 4 * (gone + came.len()) > known.len() {
            return None;
        }
        let gone = (0..before.messages.len()).filter(|&at| same.get(at) == Some(&false));
        let gone = gone.filter_map(|at| before.trace(at)).collect();
        Some(Self { from, gone, came })
    }

    fn weight(&self) -> usize {
        let of =
            |trace: &Trace| size_of::<Trace>() + trace.identity.capacity() + trace.name.capacity();
        let gone: usize = self.gone.iter().map(of).sum();
        self.from.capacity() + gone + 4 * self.came.capacity()
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
        if let Some(rows) = pack.and_then(|pack| Rows::decode(&pack)) {
            return Ok(Ok(Listing::of(Arc::new(rows), key, stamp.changed)));
        }
        let before = OnceCell::new();
        let known = || before.get_or_init(|| self.before(mailbox, folder, &any_state, beside));
        let messages = store.messages_since(folder, &|| &known().0.messages)?;
        // Not every store has asked for it.
        known();
        let (before, before_key) = before.into_inner().unwrap_or_default();
        if let Some(before_key) = &before_key
            && !messages.provisional
            && messages.equals(&before.messages)
        {
            if keep == Keep::Listing {
                self.index.put_pack_as(mailbox, folder, &key, before_key);
            }
            return Ok(Ok(Listing::of(before, key, stamp.changed)));
        }
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
            messages,
            before,
            before_key,
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
            messages,
            before,
            before_key,
            key,
            changed,
        } = unlisted;
        let known = self.learn_all(store, folder, &messages, &before)?;
        let ((shown, names), known) = match self.name_all(&messages, &known, &before, taken) {
            Some(named) => (named, known),
            None => {
                let known = self.learn_all(store, folder, &messages, &Rows::default())?;
                (self.name_alone(&messages, &known, taken)?, known)
            }
        };
        let difference = before_key.and_then(|from| Difference::between(from, &before, &known));
        drop(before);
        let rows = Arc::new(Rows {
            messages,
            shown,
            names,
        });
        let mut listing = Listing::of(rows, key, changed);
        listing.complete = is_complete(&known);
        listing.difference = difference;
        self.keep_listing(store, folder, &listing, keep);
        Ok(listing)
    }

    /// Keeps a listing that was made, if it is to be kept and holds for every date with this state of the folder; and says
    /// what is locked in it.
    fn keep_listing(&self, store: &dyn Store, folder: &[u8], listing: &Listing, keep: Keep) {
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
        if listing.holds_everywhere() && keep == Keep::Listing {
            let rows = listing.rows.clone();
            let weight = rows.weight();
            self.index
                .put_pack_with(mailbox, folder, &listing.key, weight, move |out| {
                    rows.encode(out)
                });
        }
    }

    /// How the folder was on another date, where it was nearly the same; and the key of that, if all of it could be
    /// read.
    fn before(
        &self,
        mailbox: &[u8],
        folder: &[u8],
        any_state: &[u8],
        beside: &[Neighbour<'_>],
    ) -> (Arc<Rows>, Option<Vec<u8>>) {
        for other in beside {
            if let Some(listing) = &other.listing
                && listing.holds_everywhere()
                && listing.key.starts_with(any_state)
            {
                let mut rows = listing.rows.clone();
                // To copy it costs less than to look at each file again.
                if other.is_reachable
                    && rows.messages.device.is_none()
                    && let Ok(Some(device)) = other.store.device(folder)
                {
                    Arc::make_mut(&mut rows).messages.device = Some(device);
                }
                return (rows, Some(listing.key.clone()));
            }
            if !other.is_reachable {
                continue;
            }
            // That date may be gone, or have no such folder.
            let Ok(stamp) = other.store.stamp(folder) else {
                continue;
            };
            let key = [any_state, &stamp.bytes].concat();
            let pack = self.index.pack(mailbox, folder, &key);
            if let Some(mut rows) = pack.and_then(|pack| Rows::decode(&pack)) {
                rows.messages.device = other.store.device(folder).unwrap_or_default();
                return (Arc::new(rows), Some(key));
            }
        }
        let pack = self.index.latest_pack(mailbox, folder, any_state);
        let rows = pack.and_then(|pack| Rows::decode(&pack));
        (Arc::new(rows.unwrap_or_default()), None)
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
        if let Some(rows) = pack.and_then(|pack| Rows::decode(&pack)) {
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
