//! The same folder on another date: what a listing takes over from it, and how the two differ.
//!
//! Where a store tells what has changed since, only that is looked at, named and kept; the rest is taken over row by row.
//! That holds if nothing in the rest could be named otherwise today: [`View::learn_change`] says when.

use super::rows::Rows;
use super::{Keep, Known, Listing};
use crate::error::Result;
use crate::message::mboxrd::BodySize;
use crate::store::{Before, Change, Messages, Patchwork, Store};
use crate::time::Time;
use crate::view::content::Encoding;
use crate::view::{Names, View, name};
use foldhash::{HashSet as IdSet, HashSetExt};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The same mailbox on another date.
pub struct Neighbour<'a> {
    pub store: Box<dyn Store + 'a>,
    /// Its listing of the folder, if it is at hand.
    pub listing: Option<Arc<Listing>>,
    /// Whether its disk may be waited for, too.
    pub is_reachable: bool,
}

/// How a folder was on another date, as far as that is known.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    pub rows: Arc<Rows>,
    /// What the index keeps it under, if all of it could be read.
    pub key: Option<Vec<u8>>,
    device: Option<u64>,
}

impl Earlier {
    /// What a store makes use of.
    pub fn for_store(&self) -> Before<'_> {
        Before {
            messages: &self.rows.messages,
            device: self.device,
        }
    }

    /// How a change makes it differ; `None` if it was not read as a whole.
    fn difference(&self, change: &Change, news: &Rows) -> Option<Difference> {
        let gone = change.gone.iter().map(|&at| self.rows.trace(at as usize));
        let gone = gone.collect::<Option<Vec<Trace>>>()?;
        let from = self.key.clone()?;
        Some(Difference::new(from, gone, &change.came, news))
    }

    /// What a change adds to it; `None` if it is not kept.
    fn added(&self, change: &Change, news: &Rows) -> Option<Added> {
        let key = self.key.clone()?;
        let mut bytes = Vec::new();
        let written = news.encode_since((&key, &self.rows.messages), change, &mut bytes);
        written.ok().map(|()| (key, bytes))
    }
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
    /// As [`Item::body`](super::Item::body).
    pub body: Option<BodySize>,
}

impl Difference {
    /// `gone`: what was shown of the rows that are only there; `came`: the positions of those that are only here, which are
    /// `news`. What is only stored otherwise, as with other flags, is no difference.
    pub(super) fn new(from: Vec<u8>, mut gone: Vec<Trace>, came: &[u32], news: &Rows) -> Self {
        let shown = gone.iter().map(|trace| trace.identity.as_slice());
        let there: HashMap<&[u8], usize> = shown.zip(0..).collect();
        let mut is_kept = vec![false; gone.len()];
        let mut is_new = |at: usize| {
            let trace = news.trace(at);
            let other = trace.as_ref().and_then(|trace| there.get(&*trace.identity));
            let Some(&other) = other.filter(|other| gone.get(**other) == trace.as_ref()) else {
                return true;
            };
            if let Some(is_kept) = is_kept.get_mut(other) {
                *is_kept = true;
            }
            false
        };
        let came = (0..).zip(came).filter(|(at, _)| is_new(*at));
        let came = came.map(|(_, position)| *position).collect();
        let mut is_kept = is_kept.into_iter();
        gone.retain(|_| is_kept.next() != Some(true));
        Self { from, gone, came }
    }

    pub(super) fn weight(&self) -> usize {
        let of =
            |trace: &Trace| size_of::<Trace>() + trace.identity.capacity() + trace.name.capacity();
        let gone: usize = self.gone.iter().map(of).sum();
        self.from.capacity() + gone + 4 * self.came.capacity()
    }
}

/// What makes a listing of another one: what the index keeps that under, and the bytes that are added to it there.
pub(super) type Added = (Vec<u8>, Vec<u8>);

/// How a listing that is mostly another one differs from it.
pub(super) struct Since {
    pub difference: Option<Difference>,
    pub added: Option<Added>,
}

impl Since {
    /// How `rows` differ from those of another date, from which those come that are known to be the same; `None` if most do,
    /// or some of them are in another order.
    pub fn between(earlier: &Earlier, rows: &Rows, known: &[Known]) -> Option<Self> {
        let before = &earlier.rows;
        let mut change = Change::default();
        let mut next = 0;
        for (position, known) in (0..).zip(known) {
            match known {
                Known::Same(at) if *at < next => return None,
                Known::Same(at) if rows.has_row(position as usize, before, *at) => {
                    change.gone.extend(next as u32..*at as u32);
                    next = at + 1;
                }
                _ => change.came.push(position),
            }
        }
        change
            .gone
            .extend(next as u32..before.messages.len() as u32);
        if !change.is_small(known.len()) || rows.messages.has_other_keywords(&before.messages) {
            return None;
        }
        let mut news = rows.only(&change.came);
        news.messages.oddities = rows.messages.oddities;
        Some(Self {
            difference: earlier.difference(&change, &news),
            added: earlier.added(&change, &news),
        })
    }
}

impl View {
    /// How the folder was on another date, where it was nearly the same.
    pub(super) fn earlier(
        &self,
        mailbox: &[u8],
        folder: &[u8],
        any_state: &[u8],
        beside: &[Neighbour<'_>],
    ) -> Earlier {
        for other in beside {
            let device = || match other.is_reachable {
                true => other.store.device(folder).unwrap_or_default(),
                false => None,
            };
            if let Some(listing) = &other.listing
                && listing.holds_everywhere()
                && listing.key.starts_with(any_state)
            {
                return Earlier {
                    rows: listing.rows.clone(),
                    key: Some(listing.key.clone()),
                    device: device(),
                };
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
            if let Some((rows, _)) = pack.and_then(|pack| Rows::decode(&pack)) {
                return Earlier {
                    rows: Arc::new(rows),
                    key: Some(key),
                    device: device(),
                };
            }
        }
        let pack = self.index.latest_pack(mailbox, folder, any_state);
        let (rows, _) = pack
            .and_then(|pack| Rows::decode(&pack))
            .unwrap_or_default();
        Earlier {
            rows: Arc::new(rows),
            ..Earlier::default()
        }
    }

    /// Learns of the messages that are only here what is not known yet, names them, and takes over all others; answers what
    /// is known of them, too. `None` if one of the others might be shown otherwise than it was, or a name would clash.
    pub(super) fn learn_change(
        &self,
        store: &dyn Store,
        folder: &[u8],
        taken: &HashSet<String>,
        earlier: &mut Earlier,
        (change, news): (&Change, &Messages),
    ) -> Result<Option<(Rows, Since, Vec<Known>)>> {
        let before = &earlier.rows;
        if self.names != Names::Readable || taken.iter().any(|name| name.ends_with(".eml")) {
            return Ok(None);
        }
        let known = self.learn_all(store, folder, news, before)?;
        let Some((shown, names)) = self.name_all(news, &known, before, taken) else {
            return Ok(None);
        };
        let news = Rows {
            messages: news.clone(),
            shown,
            names,
        };
        let mut ids = IdSet::with_capacity(news.shown.len());
        for shown in &news.shown {
            match name::id_in(news.name(shown)) {
                Some(id) if id.len() == name::ID_CHARS => ids.insert(id),
                _ => return Ok(None),
            };
        }
        let mut gone = change.gone.iter().peekable();
        let others = (0..).zip(&before.shown);
        let mut others = others.filter(|(at, _)| gone.next_if_eq(&at).is_none());
        let is_as_it_was = others.all(|(_, shown)| {
            let id = name::id_in(before.name(shown));
            !shown.encoding.may_be_put_right()
                && id.is_some_and(|id| id.len() == name::ID_CHARS && !ids.contains(id))
        });
        let patchwork = Patchwork::whole(before.shown.len());
        let patchwork = patchwork.changed(1, change, news.shown.len());
        let Some(patchwork) = patchwork.filter(|_| is_as_it_was) else {
            return Ok(None);
        };
        let since = Since {
            difference: earlier.difference(change, &news),
            added: earlier.added(change, &news),
        };
        if let Some(rows) = Arc::get_mut(&mut earlier.rows)
            && rows.patch(&patchwork, &news)
        {
            return Ok(Some((std::mem::take(rows), since, known)));
        }
        let rows = Rows::assembled(&[&earlier.rows, &news], &patchwork);
        Ok(rows.map(|rows| (rows, since, known)))
    }

    /// Keeps a listing, if it is to be kept and holds for every date with this state of the folder: as what it adds to that of
    /// another date, if it does.
    pub(super) fn put_listing(
        &self,
        store: &dyn Store,
        folder: &[u8],
        listing: &Listing,
        added: Option<Added>,
        keep: Keep,
    ) {
        if keep != Keep::Listing || !listing.holds_everywhere() {
            return;
        }
        let rows = listing.rows.clone();
        let weight = rows.weight();
        let (mailbox, key) = (store.path(), &listing.key);
        let whole = move |out: &mut dyn std::io::Write| rows.encode(out);
        match added {
            Some((other, added)) => {
                let other = (other.as_slice(), added);
                self.index
                    .put_pack_since(mailbox, folder, key, other, weight, whole);
            }
            None => self
                .index
                .put_pack_with(mailbox, folder, key, weight, whole),
        }
    }
}

#[cfg(test)]
mod tests;
