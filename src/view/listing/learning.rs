//! What is known of each message of a folder: from a listing on another date, from the index, or learned now.

use super::rows::Rows;
use super::{Known, is_for_all, key};
use crate::disk::{crew, trail};
use crate::error::{Error, Kind, Result};
use crate::index::FactKey;
use crate::message::facts::Facts;
use crate::store::{Message, Messages, ReadAhead, Store, Stored};
use crate::view::content::{self, Encoding, Learned};
use crate::view::{Names, View};

/// Messages that a thread takes at once to learn of them.
const LEARNED_AT_ONCE: usize = 32;

/// In a listing with more than so many times the messages, each is looked up, instead of going through all of it.
const LOOKED_UP: usize = 16;

/// Messages that the index is asked for at once.
const ASKED_AT_ONCE: usize = 4096;

impl View {
    pub(super) fn learn_all(
        &self,
        store: &dyn Store,
        folder: &[u8],
        messages: &Messages,
        before: &Rows,
    ) -> Result<Vec<Known>> {
        let mailbox = store.path();
        let mut known = same(messages, before);
        if self.names == Names::Unique {
            leave_unseen(store, messages, &mut known);
        }
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
            // There may be a key now for what was locked; and what is damaged in one place may be whole in another.
            let learned = kept
                .as_deref()
                .and_then(Learned::decode)
                .filter(|l| l.encoding != Encoding::Locked || self.keys.is_empty())
                .filter(|l| l.encoding != Encoding::Damaged);
            match (learned, news.get(i).and_then(|(at, ..)| known.get_mut(*at))) {
                (Some(learned), Some(known)) => *known = Known::Learned(Box::new(learned)),
                _ => unknown.push(i),
            }
        }
        // The messages that nothing is known of, a few at a time to each thread; that may take long.
        trail::let_go();
        let learned = crew::share(unknown.len(), LEARNED_AT_ONCE, |shares| {
            let files = store.files(folder);
            let mut ahead = ReadAhead::new(&*files, messages, content::FIRST_READ);
            let mut learned = Vec::new();
            let mut fresh = Vec::new();
            while let Some(some) = shares.next() {
                let some = unknown.get(some).unwrap_or_default();
                for (k, &i) in some.iter().enumerate() {
                    let Some((at, message, _)) = news.get(i) else {
                        continue;
                    };
                    let next = some.iter().skip(k + 1);
                    let next = next.filter_map(|&i| news.get(i).map(|(at, ..)| *at));
                    let stored = ahead.open(*at, next);
                    let one = self.learn_one(mailbox, stored, messages, message)?;
                    if let Known::Learned(one) = &one {
                        fresh.push((i, one.encode()));
                    }
                    learned.push((*at, one));
                }
                if fresh.len() >= 1000 {
                    self.keep(mailbox, &keys, &mut fresh);
                }
            }
            self.keep(mailbox, &keys, &mut fresh);
            Ok(learned)
        })?;
        for (position, one) in learned.into_iter().flatten() {
            if let Some(known) = known.get_mut(position) {
                *known = one;
            }
        }
        Ok(known)
    }

    /// What stands for the Message-ID of some messages of a folder that has been listed; `None` for one that has none or
    /// cannot be read. Those that nothing is known of are opened.
    pub fn message_ids(
        &self,
        store: &dyn Store,
        folder: &[u8],
        listing: &super::Listing,
        ordinals: &[u32],
    ) -> Result<Vec<Option<u128>>> {
        let mut ids = Vec::with_capacity(ordinals.len());
        self.each_learned(store, folder, listing, ordinals, |learned| {
            ids.push(learned.and_then(|learned| learned.facts.message_id));
        })?;
        Ok(ids)
    }

    /// Gives what is known of some messages of a folder that has been listed, in their order; `None` for one that cannot be
    /// read. Those that nothing is known of are opened.
    pub fn each_learned(
        &self,
        store: &dyn Store,
        folder: &[u8],
        listing: &super::Listing,
        ordinals: &[u32],
        mut each: impl FnMut(Option<Learned>),
    ) -> Result<()> {
        let (messages, mailbox) = (listing.messages(), store.path());
        let files = store.files(folder);
        for ordinals in ordinals.chunks(ASKED_AT_ONCE) {
            let asked = ordinals.iter().filter_map(|&at| messages.get(at as usize));
            let asked: Vec<(&Message, Vec<u8>)> = asked
                .map(|message| (message, messages.identity(message)))
                .collect();
            let keys: Vec<FactKey<'_>> = asked
                .iter()
                .map(|(message, identity)| key(message, identity))
                .collect();
            let kept = self.index.facts(mailbox, &keys);
            let mut fresh = Vec::new();
            for (i, ((message, _), kept)) in asked.iter().zip(kept).enumerate() {
                if let Some(learned) = kept.as_deref().and_then(Learned::decode) {
                    each(Some(learned));
                } else if let Known::Learned(learned) =
                    self.learn_one(mailbox, files.open(messages, message), messages, message)?
                {
                    fresh.push((i, learned.encode()));
                    each(Some(*learned));
                } else {
                    each(None);
                }
            }
            self.keep(mailbox, &keys, &mut fresh);
        }
        Ok(())
    }

    /// Warns, once for each message, that it cannot be decoded.
    pub fn tell_damaged(&self, mailbox: &[u8], name: &[u8], why: &Error) {
        if self.told.is_news(mailbox, name) {
            let (mailbox, name) = (
                String::from_utf8_lossy(mailbox),
                String::from_utf8_lossy(name),
            );
            tracing::warn!("{mailbox}: {name}: {why}; it is listed, and reading it is an error");
        }
    }

    /// Learns of one message.
    fn learn_one(
        &self,
        mailbox: &[u8],
        stored: Result<Stored<'_>>,
        messages: &Messages,
        message: &Message,
    ) -> Result<Known> {
        let damaged = |e: &Error| self.tell_damaged(mailbox, messages.store_name(message), e);
        let learned = stored.and_then(|stored| content::learn(&stored, &self.keys, damaged));
        match learned {
            Ok(learned) => Ok(Known::Learned(Box::new(learned))),
            Err(e) if is_for_all(&e) => Err(e),
            // The store says so of the message itself: it will be no different another time.
            Err(e) if e.kind() == Kind::Undecodable => {
                damaged(&e);
                Ok(Known::Learned(Box::new(Learned {
                    encoding: Encoding::Damaged,
                    size: message.size,
                    facts: Facts::default(),
                })))
            }
            Err(e) => {
                tracing::warn!("a message cannot be read: {e}");
                Ok(Known::Unread)
            }
        }
    }

    fn keep(&self, mailbox: &[u8], keys: &[FactKey<'_>], fresh: &mut Vec<(usize, Vec<u8>)>) {
        let facts = fresh
            .iter()
            .filter_map(|(at, bytes)| Some((*keys.get(*at)?, bytes.as_slice())));
        self.index.put_facts(mailbox, facts);
        fresh.clear();
    }
}

/// Takes messages for plain, unseen, whose names leave no doubt: of the others the size is not known. A name that tells no size
/// leaves none where no other one does.
fn leave_unseen(store: &dyn Store, messages: &Messages, known: &mut [Known]) {
    let claims = |message: &Message| {
        let claimed = store.claimed_size(messages, message);
        claimed.map(|size| size == message.size)
    };
    let any_is_encoded = messages
        .iter()
        .any(|message| claims(message) == Some(false));
    for (message, known) in messages.iter().zip(known) {
        if matches!(known, Known::Unread) && claims(message).unwrap_or(!any_is_encoded) {
            *known = Known::Learned(Box::new(Learned {
                encoding: Encoding::Plain,
                size: message.size,
                facts: Facts::default(),
            }));
        }
    }
}

/// Which messages are the same as in a listing that was kept: the same identity, size and INTERNALDATE. Nothing is
/// known of the others yet, nor of those that were damaged: they may have been put right since.
fn same(messages: &Messages, before: &Rows) -> Vec<Known> {
    let is_same = |message: &Message, at: usize| {
        let (Some(other), Some(shown)) = (before.messages.get(at), before.shown.get(at)) else {
            return false;
        };
        before.messages.store_name(other) == messages.store_name(message)
            && (other.twin, other.size, other.received)
                == (message.twin, message.size, message.received)
            && !shown.encoding.may_be_put_right()
            && before.has_plain_name(shown)
    };
    let known = |message: &Message, at: usize| match is_same(message, at) {
        true => Known::Same(at),
        false => Known::Unread,
    };
    if messages.len() < before.messages.len() / LOOKED_UP {
        let place = |message| before.messages.position(&messages.identity(message));
        let looked_up = messages
            .iter()
            .map(|m| place(m).map_or(Known::Unread, |at| known(m, at)));
        return looked_up.collect();
    }
    let mut at = 0;
    let walked = messages.iter().map(|message| {
        let wanted = (messages.store_name(message), message.twin);
        while let Some(other) = before.messages.get(at)
            && (before.messages.store_name(other), other.twin) < wanted
        {
            at += 1;
        }
        known(message, at)
    });
    walked.collect()
}
