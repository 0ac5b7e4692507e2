//! A folder's messages: names, sizes, and how to read them.
//!
//! A folder that is unchanged since it was last listed (the same [`Stamp`](crate::store::Stamp), on whatever date) comes from the
//! index as a whole. Otherwise its names are listed, and only messages that the index does not know are opened, with
//! one `open` and mostly one read each. A message keeps what was learned of it in every folder of its mailbox and on
//! every date, as long as its identity, size and INTERNALDATE are the same.
//!
//! A message that cannot be read now (a bad disk) is listed all the same, under a name that says so; reading it is an
//! error, and nothing of that is kept.

use super::content::{self, Encoding, Learned};
use super::{Names, View, name};
use crate::disk::{Root, lane};
use crate::error::{Error, Kind, Result};
use crate::index::FactKey;
use crate::message::facts::Facts;
use crate::message::mboxrd::BodySize;
use crate::store::maildir::{Files, Maildir};
use crate::store::{Message, Messages, take};
use crate::time::Time;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Messages that a thread takes at once to learn of them.
const LEARNED_AT_ONCE: usize = 32;

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
    /// Lists a folder. `taken`: the folded names of the directories and mboxes in it.
    pub fn list(
        &self,
        root: &Root,
        mailbox: &[u8],
        folder: &[u8],
        taken: &HashSet<String>,
    ) -> Result<Listing> {
        let maildir = Maildir::new(root, mailbox);
        let stamp = maildir.stamp(folder)?;
        let mut key = self.fingerprint();
        // The names of folders decide nothing but a clash; there may be a million of them.
        let mut around: Vec<&String> = taken.iter().collect();
        around.sort();
        let mut names = Sha256::new();
        for name in around {
            names.update(name);
            names.update([0]);
        }
        key.extend_from_slice(&names.finalize());
        let any_state = key.clone();
        key.extend_from_slice(&stamp.bytes);
        let pack = self.index.pack(mailbox, folder, &key);
        if let Some(listing) = pack.and_then(|pack| Listing::decode(&pack, stamp.changed)) {
            return Ok(listing);
        }
        let messages = maildir.messages(folder)?;
        if messages.oddities > 0 {
            tracing::warn!(
                "{}: folder {:?} of {}: {} links, directories or special files where messages should be are not shown: {:?}",
                root.path().display(),
                String::from_utf8_lossy(folder),
                String::from_utf8_lossy(mailbox),
                messages.oddities,
                messages.odd_names
            );
        }
        // On another date the folder was nearly the same.
        let before = self.index.latest_pack(mailbox, folder, &any_state);
        let before = before.and_then(|pack| Listing::decode(&pack, stamp.changed));
        let before = before.unwrap_or_default();
        let known = self.learn_all(&maildir, mailbox, folder, &messages, &before)?;
        let named = match self.name_all(&messages, &known, &before, taken) {
            Some(named) => Some((named, known)),
            None => {
                let before = Listing::default();
                let known = self.learn_all(&maildir, mailbox, folder, &messages, &before)?;
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
        if listing.is_complete() {
            self.index.put_pack(mailbox, folder, &key, listing.encode());
        }
        Ok(listing)
    }

    fn learn_all(
        &self,
        maildir: &Maildir<'_>,
        mailbox: &[u8],
        folder: &[u8],
        messages: &Messages,
        before: &Listing,
    ) -> Result<Vec<Known>> {
        if self.names == Names::Unique {
            // Only what its own name makes suspect is opened.
            let files = maildir.files(folder);
            let learn = |m: &Message| {
                let plain = |size| Learned {
                    encoding: Encoding::Plain,
                    size,
                    facts: Facts::default(),
                };
                let plain = |size| Known::Learned(Box::new(plain(size)));
                match crate::store::maildir::claimed_size(messages.store_name(m)) {
                    Some(claimed) if claimed != m.size => learn_one(&files, messages, m),
                    _ => Ok(plain(m.size)),
                }
            };
            return messages.iter().map(learn).collect();
        }
        let mut known = same(messages, before);
        // What is kept of each message on its own.
        let news: Vec<usize> = (0..known.len())
            .filter(|&at| matches!(known.get(at), Some(Known::Unread)))
            .collect();
        let news: Vec<(usize, &Message, Vec<u8>)> = news
            .into_iter()
            .filter_map(|at| Some((at, messages.get(at)?)))
            .map(|(at, message)| (at, message, messages.identity(message)))
            .collect();
        let keys = news
            .iter()
            .map(|(_, message, identity)| key(message, identity));
        let keys: Vec<FactKey<'_>> = keys.collect();
        let mut unknown: Vec<usize> = Vec::new();
        for (i, kept) in self.index.facts(mailbox, &keys).into_iter().enumerate() {
            let learned = kept.as_deref().and_then(Learned::decode);
            match (learned, news.get(i).and_then(|(at, ..)| known.get_mut(*at))) {
                (Some(learned), Some(known)) => *known = Known::Learned(Box::new(learned)),
                _ => unknown.push(i),
            }
        }
        // The messages that nothing is known of, a few at a time to each thread. The thread of the request works too, so
        // that its progress is the progress of all.
        let (next, stop, beat) = (
            AtomicUsize::new(0),
            AtomicBool::new(false),
            lane::current_beat(),
        );
        let work = || -> Result<Vec<(usize, Known)>> {
            let files = maildir.files(folder);
            let mut learned = Vec::new();
            let mut fresh = Vec::new();
            loop {
                let from = next.fetch_add(LEARNED_AT_ONCE, Ordering::Relaxed);
                let some = unknown.iter().skip(from).take(LEARNED_AT_ONCE);
                let given_up = beat.as_ref().is_some_and(|beat| beat.is_expired());
                if from >= unknown.len() || given_up || stop.load(Ordering::Relaxed) {
                    self.keep(mailbox, &keys, &mut fresh);
                    return Ok(learned);
                }
                for &i in some {
                    let Some((at, message, _)) = news.get(i) else {
                        continue;
                    };
                    let one = learn_one(&files, messages, message)
                        .inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
                    if let Known::Learned(one) = &one {
                        fresh.push((i, one.encode()));
                    }
                    learned.push((*at, one));
                }
                if fresh.len() >= 1000 {
                    self.keep(mailbox, &keys, &mut fresh);
                }
            }
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let helpers = (unknown.len() / (4 * LEARNED_AT_ONCE)).min(cores - 1);
        let learned = std::thread::scope(|scope| {
            let helpers: Vec<_> = (0..helpers)
                .filter_map(|_| {
                    std::thread::Builder::new()
                        .name("mailtm-learn".into())
                        .spawn_scoped(scope, work)
                        .ok()
                })
                .collect();
            let mut all = vec![work()];
            all.extend(helpers.into_iter().map(|helper| {
                let fault = || Error::new(Kind::Unreadable, "a fault in mailtm itself");
                helper.join().unwrap_or_else(|_| Err(fault()))
            }));
            all
        });
        for part in learned {
            for (position, one) in part? {
                if let Some(known) = known.get_mut(position) {
                    *known = one;
                }
            }
        }
        if beat.is_some_and(|beat| beat.is_expired()) {
            return Err(Error::new(
                Kind::Unreadable,
                "given up waiting for the disk",
            ));
        }
        Ok(known)
    }

    fn keep(&self, mailbox: &[u8], keys: &[FactKey<'_>], fresh: &mut Vec<(usize, Vec<u8>)>) {
        let facts = fresh
            .iter()
            .filter_map(|(at, bytes)| Some((*keys.get(*at)?, bytes.as_slice())));
        self.index.put_facts(mailbox, facts);
        fresh.clear();
    }

    /// Gives every message its name. `None` if a name that was kept clashes now: what it was made of is not kept with it.
    fn name_all(
        &self,
        messages: &Messages,
        known: &[Known],
        before: &Listing,
        taken: &HashSet<String>,
    ) -> Option<(Vec<Shown>, String)> {
        let kept = |position: usize| match known.get(position) {
            Some(Known::Same(at)) => before.shown.get(*at).map(|shown| before.name(shown)),
            _ => None,
        };
        let mut names: Vec<Cow<'_, str>> = (0..messages.len())
            .map(|position| match kept(position) {
                Some(name) => Cow::Borrowed(name),
                None => Cow::Owned(self.label(messages, known, position, name::ID_CHARS)),
            })
            .collect();
        // All that clash get a longer id, until none does.
        for id_len in (2..=6).map(|n| n * name::ID_CHARS) {
            let clashing = clashes(&names, taken, self.names);
            if clashing.is_empty() {
                break;
            }
            for position in clashing {
                if matches!(known.get(position), Some(Known::Same(_))) {
                    return None;
                }
                if let Some(name) = names.get_mut(position) {
                    *name = Cow::Owned(self.label(messages, known, position, id_len));
                }
            }
        }
        let mut all = String::with_capacity(names.iter().map(|name| name.len()).sum());
        let mut shown = Vec::with_capacity(names.len());
        for ((name, message), known) in names.iter().zip(messages.iter()).zip(known) {
            let (encoding, size, body) = match known {
                Known::Learned(learned) => {
                    let body = learned.facts.body.as_ref();
                    let body = BodyForm::of(body.filter(|body| body.stored == learned.size));
                    (learned.encoding, learned.size, body)
                }
                Known::Same(at) => match before.shown.get(*at) {
                    Some(shown) => (shown.encoding, shown.size, shown.body),
                    None => (Encoding::Unread, message.size, BodyForm::Unknown),
                },
                Known::Unread => (Encoding::Unread, message.size, BodyForm::Unknown),
            };
            shown.push(Shown {
                name: all.len() as u32,
                name_len: name.len() as u16,
                encoding,
                body,
                size,
            });
            all.push_str(name);
        }
        Some((shown, all))
    }

    /// The name of a message with an ID of so many characters.
    fn label(
        &self,
        messages: &Messages,
        known: &[Known],
        position: usize,
        id_len: usize,
    ) -> String {
        let Some(message) = messages.get(position) else {
            return String::new();
        };
        if self.names == Names::Unique {
            return match id_len {
                name::ID_CHARS => name::store_name(messages.store_name(message)),
                _ => name::store_name_with_id(&messages.identity(message), id_len),
            };
        }
        let local = self.zone.local(message.mtime.secs);
        let id = name::id(&messages.identity(message), id_len);
        match known.get(position) {
            Some(Known::Learned(learned)) => {
                name::message_name(local, &learned.facts.sender, &learned.facts.subject, &id)
            }
            _ => name::message_name(local, "", "cannot be read", &id),
        }
    }
}

/// Which messages are the same as in a listing that was kept: the same identity, size and INTERNALDATE. Nothing is
/// known of the others yet.
fn same(messages: &Messages, before: &Listing) -> Vec<Known> {
    let mut at = 0;
    let old = |at: usize| Some((before.messages.get(at)?, before.shown.get(at)?));
    messages
        .iter()
        .map(|message| {
            let wanted = (messages.store_name(message), message.twin);
            while let Some((other, _)) = old(at)
                && (before.messages.store_name(other), other.twin) < wanted
            {
                at += 1;
            }
            match old(at) {
                Some((other, shown))
                    if (before.messages.store_name(other), other.twin) == wanted
                        && (other.size, other.mtime) == (message.size, message.mtime)
                        && shown.encoding != Encoding::Unread
                        && before.has_plain_name(shown) =>
                {
                    Known::Same(at)
                }
                _ => Known::Unread,
            }
        })
        .collect()
}

/// Learns of one message.
fn learn_one(files: &Files<'_>, messages: &Messages, message: &Message) -> Result<Known> {
    let learned = files
        .open(messages.file_name(message), message.new)
        .and_then(|file| content::learn(&file, messages.store_name(message)));
    match learned {
        Ok(learned) => Ok(Known::Learned(Box::new(learned))),
        Err(e) if is_for_all(&e) => Err(e),
        Err(e) => {
            tracing::warn!("a message cannot be read: {e}");
            Ok(Known::Unread)
        }
    }
}

/// Positions of names that equal another or one that is taken, ignoring case.
fn clashes(names: &[Cow<'_, str>], taken: &HashSet<String>, kind: Names) -> Vec<usize> {
    if kind == Names::Readable
        && ids_differ(names)
        && !taken.iter().any(|name| name.ends_with(".eml"))
    {
        return Vec::new();
    }
    let mut first: HashMap<String, usize> = HashMap::with_capacity(names.len());
    let mut clashing = HashSet::new();
    for (position, name) in names.iter().enumerate() {
        let folded = name::fold(name);
        if taken.contains(&folded) {
            clashing.insert(position);
        }
        if let Some(&other) = first.get(&folded) {
            clashing.extend([other, position]);
        } else {
            first.insert(folded, position);
        }
    }
    clashing.into_iter().collect()
}

/// Whether all names have an ID in them, each another one: then no two are the same.
fn ids_differ(names: &[Cow<'_, str>]) -> bool {
    let ids: Option<Vec<&str>> = names.iter().map(|name| name::id_in(name)).collect();
    ids.is_some_and(|mut ids| {
        ids.sort_unstable();
        !ids.windows(2).any(|pair| pair.first() == pair.last())
    })
}

/// What facts about a message are kept under.
pub fn key<'a>(message: &Message, identity: &'a [u8]) -> FactKey<'a> {
    FactKey {
        identity,
        size: message.size,
        mtime: message.mtime,
    }
}

/// Whether an error is not about one message but about the whole snapshot, or the request was given up.
pub fn is_for_all(error: &crate::Error) -> bool {
    matches!(error.kind(), Kind::Stale | Kind::WouldBlock)
        || lane::current_beat().is_some_and(|beat| beat.is_expired())
}
