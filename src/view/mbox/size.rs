//! How large a folder's mbox is.
//!
//! The size is that of all bodies and of what frames each: an envelope line, lines for the flags, an empty line. What
//! frames them, the listing tells. The bodies' sizes are in the listing or among the facts of the messages; where the
//! folder is nearly as it was on another date, only those of the messages that have come and gone since are looked up.

use super::REASON;
use crate::disk::stop;
use crate::error::{Error, Result};
use crate::index::FactKey;
use crate::message::mboxrd::{self, BodySize, Measure, TAIL};
use crate::store::{ReadAhead, Store, Stored, take};
use crate::view::View;
use crate::view::content::{self, Encoding, Learned};
use crate::view::listing::{Item, Listing, Trace, is_for_all, key};
use std::collections::HashMap;

/// What is known of an mbox that was worked out before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownMbox {
    /// In bytes.
    pub size: u64,
    pub messages: u64,
    /// Bytes of all bodies, those among them that stand for a message which cannot be had, and how many of these there are.
    bodies: u64,
    lost: u64,
}

impl KnownMbox {
    fn encode(&self) -> Vec<u8> {
        [self.size, self.messages, self.bodies, self.lost]
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect()
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut number = || Some(u64::from_le_bytes(take(&mut bytes)?));
        Some(Self {
            size: number()?,
            messages: number()?,
            bodies: number()?,
            lost: number()?,
        })
    }
}

impl View {
    /// What was worked out before of a folder's mbox, for the state that the folder is in.
    pub fn known_mbox(&self, store: &dyn Store, folder: &[u8]) -> Result<Option<KnownMbox>> {
        let stamp = store.stamp(folder)?;
        Ok(self.known_mbox_at(store.path(), folder, &stamp.bytes))
    }

    /// The same for the state that has this stamp.
    pub(in crate::view) fn known_mbox_at(
        &self,
        mailbox: &[u8],
        folder: &[u8],
        stamp: &[u8],
    ) -> Option<KnownMbox> {
        let pack = self.index.pack(mailbox, folder, &self.size_key(stamp));
        pack.and_then(|pack| KnownMbox::decode(&pack.whole.plain()?))
    }

    /// Works out the size of a folder's mbox; `None` if there are messages that have never been measured, or that may be
    /// readable on another date. Where most of it is known from another date, what has come since is measured.
    pub fn size_mbox(
        &self,
        store: &dyn Store,
        folder: &[u8],
        listing: &Listing,
    ) -> Result<Option<u64>> {
        if listing.messages().provisional {
            return Ok(None);
        }
        let bodies = match self.bodies_by_difference(store, folder, listing)? {
            None => self.bodies(store.path(), listing),
            known => known,
        };
        let Some(bodies) = bodies else {
            return Ok(None);
        };
        let size = self.frames(listing) + bodies;
        self.keep_size(store, folder, size, listing)?;
        Ok(Some(size))
    }

    /// Bytes of the bodies of a folder; `None` if one has never been measured.
    fn bodies(&self, mailbox: &[u8], listing: &Listing) -> Option<u64> {
        let mut kept = self.kept_sizes(mailbox, listing);
        let mut bodies = 0;
        for (item, position) in listing.iter().zip(0..) {
            let body = item.body.or_else(|| kept.remove(&position));
            bodies += self.told_len(item.encoding, body.as_ref())?;
        }
        Some(bodies)
    }

    /// The same from those on another date; `None` if they are not known, or that of a message that has come or gone cannot
    /// be found out.
    fn bodies_by_difference(
        &self,
        store: &dyn Store,
        folder: &[u8],
        listing: &Listing,
    ) -> Result<Option<u64>> {
        let Some(difference) = listing.difference() else {
            return Ok(None);
        };
        let (gone, came) = (&difference.gone, &difference.came);
        let stamp = self.stamp_in(&difference.from);
        let before = stamp.and_then(|stamp| self.known_mbox_at(store.path(), folder, stamp));
        let came_lost = came.iter().filter_map(|&at| listing.get(at as usize));
        let came_lost = lost(came_lost.map(|item| item.encoding));
        let gone_lost = lost(gone.iter().map(|trace| trace.encoding));
        // What was kept may be of a time when other messages could be had.
        let fits = |before: &KnownMbox| {
            before.messages + came.len() as u64 == (listing.len() + gone.len()) as u64
                && before.lost + came_lost == lost_in(listing) + gone_lost
        };
        let Some(before) = before.filter(fits) else {
            return Ok(None);
        };
        let gone = self.bodies_of_gone(store.path(), gone);
        let Some(bodies) = gone.and_then(|gone| before.bodies.checked_sub(gone)) else {
            return Ok(None);
        };
        let came = self.bodies_of_new(store, folder, listing, came)?;
        Ok(came.map(|came| bodies + came))
    }

    fn bodies_of_gone(&self, mailbox: &[u8], gone: &[Trace]) -> Option<u64> {
        let told = |trace: &Trace| self.told_len(trace.encoding, trace.body.as_ref());
        let mut bodies: u64 = gone.iter().filter_map(told).sum();
        let others = gone.iter().filter(|trace| told(trace).is_none());
        let others: Vec<&Trace> = others.collect();
        let keys = others.iter().map(|trace| FactKey {
            identity: &trace.identity,
            size: trace.stored,
            mtime: trace.received,
        });
        let keys: Vec<FactKey<'_>> = keys.collect();
        for (trace, kept) in others.iter().zip(self.index.facts(mailbox, &keys)) {
            let body = measured(kept.as_deref(), trace.encoding, trace.size)?;
            bodies += self.body_len(Some(&body));
        }
        Some(bodies)
    }

    /// Measures those that have never been measured.
    fn bodies_of_new(
        &self,
        store: &dyn Store,
        folder: &[u8],
        listing: &Listing,
        came: &[u32],
    ) -> Result<Option<u64>> {
        let files = store.files(folder);
        let mut ahead = ReadAhead::new(&*files, listing.messages(), super::REACH);
        let mut kept = self.kept_sizes_of(store.path(), listing, came.iter().copied());
        let (stop, mut bodies) = (stop::current(), 0);
        for (i, &position) in came.iter().enumerate() {
            super::go_on(&stop)?;
            let Some(item) = listing.get(position as usize) else {
                return Ok(None);
            };
            let body = item.body.or_else(|| kept.remove(&position));
            bodies += match self.told_len(item.encoding, body.as_ref()) {
                Some(len) => len,
                None => {
                    let next = came.iter().skip(i + 1).take(super::MOST_LOOKED_AT);
                    let next = next.filter(|&&at| !is_measured(listing, at, &kept));
                    let stored = ahead.open(position as usize, next.map(|&at| at as usize));
                    match self.measure(stored, store.path(), listing, position as usize)? {
                        None => return Ok(None),
                        body => self.body_len(body.as_ref()),
                    }
                }
            };
        }
        Ok(Some(bodies))
    }

    /// Sizes that the listing itself does not tell, as far as they are kept; by position.
    pub(super) fn kept_sizes(&self, mailbox: &[u8], listing: &Listing) -> HashMap<u32, BodySize> {
        if listing.iter().all(|item| is_told(&item)) {
            return HashMap::new();
        }
        // What listing this folder has learned a moment ago may still be on its way to the disk.
        self.index.flush();
        self.kept_sizes_of(mailbox, listing, 0..listing.len() as u32)
    }

    fn kept_sizes_of(
        &self,
        mailbox: &[u8],
        listing: &Listing,
        positions: impl Iterator<Item = u32>,
    ) -> HashMap<u32, BodySize> {
        let messages = listing.messages();
        let items = positions.filter_map(|at| Some((at, listing.get(at as usize)?)));
        let wanted: Vec<(u32, Item<'_>, Vec<u8>)> = items
            .filter(|(_, item)| !is_told(item))
            .map(|(position, item)| (position, item, messages.identity(item.stored)))
            .collect();
        let keys = wanted
            .iter()
            .map(|(_, item, identity)| key(item.stored, identity));
        let keys: Vec<FactKey<'_>> = keys.collect();
        let kept = self.index.facts(mailbox, &keys);
        let sizes = wanted
            .iter()
            .zip(kept)
            .filter_map(|((position, item, _), kept)| {
                let body = measured(kept.as_deref(), item.encoding, item.size)?;
                Some((*position, body))
            });
        sizes.collect()
    }

    /// What a message takes in the mbox, its envelope line and all; without a body, what stands in its place.
    pub(super) fn entry_len(&self, item: &Item<'_>, body: Option<&BodySize>) -> u64 {
        self.frame_len(item) + self.body_len(body)
    }

    fn frame_len(&self, item: &Item<'_>) -> u64 {
        mboxrd::head_len(self.flags, item.stored.flags) + TAIL.len() as u64
    }

    fn frames(&self, listing: &Listing) -> u64 {
        listing.iter().map(|item| self.frame_len(&item)).sum()
    }

    /// Bytes of a body as far as a listing tells them.
    fn told_len(&self, encoding: Encoding, body: Option<&BodySize>) -> Option<u64> {
        match encoding.is_lost() {
            true => Some(self.body_len(None)),
            false => body.map(|body| self.body_len(Some(body))),
        }
    }

    fn body_len(&self, body: Option<&BodySize>) -> u64 {
        match body {
            Some(body) => body.len(self.flags),
            None => mboxrd::placeholder(REASON).len() as u64,
        }
    }

    pub(super) fn keep_size(
        &self,
        store: &dyn Store,
        folder: &[u8],
        size: u64,
        listing: &Listing,
    ) -> Result<()> {
        let known = KnownMbox {
            size,
            messages: listing.len() as u64,
            bodies: size - self.frames(listing),
            lost: lost_in(listing),
        };
        let key = match self.stamp_of(listing) {
            Some(stamp) => self.size_key(stamp),
            None => self.size_key(&store.stamp(folder)?.bytes),
        };
        let known = known.encode();
        self.index.put_pack(store.path(), folder, &key, known);
        Ok(())
    }

    /// Other keys open other messages.
    fn size_key(&self, stamp: &[u8]) -> Vec<u8> {
        let mut key = [b"mbox", [self.flags as u8].as_slice()].concat();
        for id in self.keys.ids() {
            key.extend_from_slice(id.as_bytes());
            key.push(b',');
        }
        [key.as_slice(), b";", stamp].concat()
    }

    /// Measures one message and keeps the result; `None` if it cannot be decoded.
    pub(super) fn measure(
        &self,
        stored: Result<Stored<'_>>,
        mailbox: &[u8],
        listing: &Listing,
        position: usize,
    ) -> Result<Option<BodySize>> {
        let messages = listing.messages();
        let Some(item) = listing.get(position) else {
            return Ok(None);
        };
        let store_name = messages.store_name(item.stored);
        let result = stored.and_then(|stored| {
            let damaged = |e: &Error| self.tell_damaged(mailbox, store_name, e);
            let mut learned = content::learn(&stored, &self.keys, damaged)?;
            if learned.facts.body.is_none() && learned.encoding == Encoding::Plain {
                let mut measure = Measure::new();
                content::stream(&stored, 0, |chunk| {
                    measure.feed(chunk);
                    true
                })?;
                learned.facts.body = Some(measure.finish());
            }
            Ok(learned)
        });
        match result {
            // Nothing of it may be kept for the dates on which it is as it is listed.
            Ok(learned)
                if (learned.encoding, item.encoding) == (Encoding::Plain, Encoding::Plain)
                    && learned.size != item.size =>
            {
                Err(super::changed(&String::from_utf8_lossy(store_name)))
            }
            Ok(learned) => {
                let identity = messages.identity(item.stored);
                let value = learned.encode();
                self.index
                    .put_facts(mailbox, [(key(item.stored, &identity), value.as_slice())]);
                // What was taken for plain unseen may prove to be encoded.
                let same = learned.encoding == item.encoding;
                let body = learned.facts.body.filter(|body| body.stored == item.size);
                Ok(body.filter(|_| same))
            }
            Err(e) if is_for_all(&e) => Err(e),
            Err(e) => {
                tracing::warn!(
                    "a message's place in the mbox is taken by a note that says so: {e}"
                );
                Ok(None)
            }
        }
    }
}

/// Whether a message need not be read to know its size in the mbox.
pub(super) fn is_measured(listing: &Listing, position: u32, kept: &HashMap<u32, BodySize>) -> bool {
    let item = listing.get(position as usize);
    item.is_none_or(|item| is_told(&item)) || kept.contains_key(&position)
}

/// Whether the listing itself says what a message takes.
fn is_told(item: &Item<'_>) -> bool {
    item.body.is_some() || item.encoding.is_lost()
}

fn lost_in(listing: &Listing) -> u64 {
    lost(listing.iter().map(|item| item.encoding))
}

fn lost(encodings: impl Iterator<Item = Encoding>) -> u64 {
    encodings.filter(|encoding| encoding.is_lost()).count() as u64
}

/// The size that was measured of a message which is shown in this way, if the kept facts tell it.
fn measured(kept: Option<&[u8]>, encoding: Encoding, size: u64) -> Option<BodySize> {
    let learned = kept.and_then(Learned::decode)?;
    let body = learned.facts.body.filter(|body| body.stored == size)?;
    (learned.encoding == encoding).then_some(body)
}
