//! A folder's messages: names, sizes, and how to read them.
//!
//! A folder that is unchanged since it was last listed (the same [`Stamp`](crate::store::Stamp), on whatever date) comes from the
//! index as a whole. Otherwise its names are listed, and only messages that the index does not know are opened, with
//! one `open` and mostly one read each. A message keeps what was learned of it in every folder of its mailbox and on
//! every date, as long as its identity, size and INTERNALDATE are the same.
//!
//! The cast: [`Listing`] is the result, `learning` finds out what is known of each message, `naming` names them.
//!
//! A message that cannot be read now (a bad disk) is listed all the same, under a name that says so; reading it is an
//! error, and nothing of that is kept.

mod learning;
mod naming;

use super::content::{Encoding, Learned};
use super::{View, name};
use crate::disk::lane;
use crate::error::{Error, Kind, Result};
use crate::index::FactKey;
use crate::message::mboxrd::BodySize;
use crate::store::{Message, Messages, Store, take};
use crate::time::Time;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::sync::OnceLock;

/// One message as it is shown.
#[derive(Clone, Copy, Debug)]
struct Shown {
    name: u32,
    name_len: u16,
    encoding: Encoding,
    body: BodyForm,
    size: u64,
}

/// What a message's body in an mbox is, as far as a byte can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyForm {
    /// Not measured, or to be looked up.
    Unknown,
    /// The stored bytes, whatever the flag lines.
    Verbatim,
    /// The stored bytes and a newline, whatever the flag lines.
    Newline,
}

impl BodyForm {
    const ALL: [Self; 3] = [Self::Unknown, Self::Verbatim, Self::Newline];

    fn of(body: Option<&BodySize>) -> Self {
        let Some(body) = body else {
            return Self::Unknown;
        };
        let of = |form: Self| form.size(body.stored).as_ref() == Some(body);
        Self::ALL
            .into_iter()
            .find(|form| of(*form))
            .unwrap_or(Self::Unknown)
    }

    /// The sizes of a body of this form.
    fn size(self, stored: u64) -> Option<BodySize> {
        let len = match self {
            Self::Unknown => return None,
            Self::Verbatim => stored,
            Self::Newline => stored + 1,
        };
        Some(BodySize {
            stored,
            none: len,
            status: len,
            verbatim_none: true,
            verbatim_status: true,
        })
    }
}

/// A folder's messages in the order of their identities.
#[derive(Debug, Default)]
pub struct Listing {
    messages: Messages,
    shown: Vec<Shown>,
    names: String,
    /// Positions in order of the shown names.
    by_name: OnceLock<Box<[u32]>>,
    complete: bool,
    /// The folder's last change.
    pub changed: Time,
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

impl Listing {
    pub fn len(&self) -> usize {
        self.shown.len()
    }

    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// Whether every message could be read.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    pub fn messages(&self) -> &Messages {
        &self.messages
    }

    pub fn get(&self, position: usize) -> Option<Item<'_>> {
        let (shown, stored) = (self.shown.get(position)?, self.messages.get(position)?);
        Some(Item {
            name: self.name(shown),
            size: shown.size,
            encoding: shown.encoding,
            body: shown.body.size(shown.size),
            stored,
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = Item<'_>> {
        (0..self.len()).filter_map(|position| self.get(position))
    }

    fn name(&self, shown: &Shown) -> &str {
        let start = shown.name as usize;
        self.names
            .get(start..start + usize::from(shown.name_len))
            .unwrap_or_default()
    }

    /// Whether a name was made of the message alone, and not longer for a clash.
    fn has_plain_name(&self, shown: &Shown) -> bool {
        name::id_in(self.name(shown)).is_some_and(|id| id.len() == name::ID_CHARS)
    }

    /// The position of the message with this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        let by_name = self.by_name.get_or_init(|| {
            let mut order: Vec<u32> = (0..self.shown.len() as u32).collect();
            order.sort_unstable_by_key(|&p| self.shown.get(p as usize).map(|s| self.name(s)));
            order.into_boxed_slice()
        });
        let at = |p: u32| {
            self.shown
                .get(p as usize)
                .map(|s| self.name(s))
                .unwrap_or_default()
        };
        by_name
            .binary_search_by(|&p| at(p).cmp(name))
            .ok()
            .and_then(|i| by_name.get(i))
            .map(|&p| p as usize)
    }

    /// Bytes of memory in use, with the order of names that a look-up makes.
    pub fn weight(&self) -> usize {
        self.messages.weight() + self.names.capacity() + self.shown.len() * (size_of::<Shown>() + 4)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.messages.encode(&mut bytes);
        for shown in &self.shown {
            bytes.extend_from_slice(&shown.name_len.to_le_bytes());
            bytes.push(shown.encoding.to_byte());
            bytes.push(shown.body as u8);
            bytes.extend_from_slice(&shown.size.to_le_bytes());
        }
        bytes.extend_from_slice(self.names.as_bytes());
        bytes
    }

    fn decode(mut bytes: &[u8], changed: Time) -> Option<Self> {
        let bytes = &mut bytes;
        let messages = Messages::decode(bytes)?;
        let mut shown = Vec::with_capacity(messages.len());
        let mut start = 0u32;
        for _ in 0..messages.len() {
            let name_len = u16::from_le_bytes(take(bytes)?);
            let [encoding, body] = take(bytes)?;
            let size = u64::from_le_bytes(take(bytes)?);
            shown.push(Shown {
                name: start,
                name_len,
                encoding: Encoding::from_byte(encoding)?,
                body: *BodyForm::ALL.get(usize::from(body))?,
                size,
            });
            start = start.checked_add(u32::from(name_len))?;
        }
        let names = String::from_utf8(bytes.to_vec())
            .ok()
            .filter(|names| names.len() == start as usize)?;
        Some(Self {
            messages,
            shown,
            names,
            by_name: OnceLock::new(),
            complete: true,
            changed,
        })
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

    /// Lists a folder. `taken`: the folded names of the directories and mboxes in it.
    pub fn list(
        &self,
        store: &dyn Store,
        folder: &[u8],
        taken: &HashSet<String>,
    ) -> Result<Listing> {
        self.list_as(store, folder, taken, Keep::Listing)
    }

    /// Lists a folder as it is for the moment: what is learned of its messages is kept, and the listing is not, which would take
    /// the place of one that is good for ever.
    pub fn list_live(
        &self,
        store: &dyn Store,
        folder: &[u8],
        taken: &HashSet<String>,
    ) -> Result<Listing> {
        self.list_as(store, folder, taken, Keep::Facts)
    }

    fn list_as(
        &self,
        store: &dyn Store,
        folder: &[u8],
        taken: &HashSet<String>,
        keep: Keep,
    ) -> Result<Listing> {
        let mailbox = store.path();
        let stamp = store.stamp(folder)?;
        let any_state = self.shape(taken);
        let key = [any_state.as_slice(), &stamp.bytes].concat();
        let pack = self.index.pack(mailbox, folder, &key);
        if let Some(listing) = pack.and_then(|pack| Listing::decode(&pack, stamp.changed)) {
            return Ok(listing);
        }
        // On another date the folder was nearly the same.
        let before = self.index.latest_pack(mailbox, folder, &any_state);
        let before = before.and_then(|pack| Listing::decode(&pack, stamp.changed));
        let before = before.unwrap_or_default();
        let messages = store.messages(folder, &before.messages)?;
        if messages.oddities > 0 {
            tracing::warn!(
                "{}: folder {:?} of {}: {} links, directories or special files where messages should be are not shown: {:?}",
                store.root().path().display(),
                String::from_utf8_lossy(folder),
                String::from_utf8_lossy(mailbox),
                messages.oddities,
                messages.odd_names
            );
        }
        let known = self.learn_all(store, folder, &messages, &before)?;
        let named = match self.name_all(&messages, &known, &before, taken) {
            Some(named) => Some((named, known)),
            None => {
                let before = Listing::default();
                let known = self.learn_all(store, folder, &messages, &before)?;
                let named = self.name_all(&messages, &known, &before, taken);
                named.map(|named| (named, known))
            }
        };
        let Some(((shown, names), known)) = named else {
            return Err(Error::new(
                Kind::Unreadable,
                "names that can't be told apart",
            ));
        };
        let listing = Listing {
            messages,
            shown,
            names,
            by_name: OnceLock::new(),
            complete: !known.iter().any(|known| matches!(known, Known::Unread)),
            changed: stamp.changed,
        };
        let locked = listing
            .shown
            .iter()
            .filter(|s| s.encoding == Encoding::Locked);
        let locked = locked.count();
        if locked > 0 {
            tracing::warn!(
                "{}: folder {:?} of {}: {locked} messages are encrypted (mail_crypt), and there is no key for them in \
                 [source] mail_crypt_keys: they are listed, and reading them is an error",
                store.root().path().display(),
                String::from_utf8_lossy(folder),
                String::from_utf8_lossy(mailbox)
            );
        }
        let settled = listing.is_complete() && !listing.messages.provisional;
        if settled && keep == Keep::Listing {
            self.index.put_pack(mailbox, folder, &key, listing.encode());
        }
        Ok(listing)
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
