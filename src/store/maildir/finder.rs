//! Collects the messages of a folder, and tells one that is found twice from two.
//!
//! Beside a listing of another date whose files are still there and on the same device, a file that has the same name
//! and inode number as one there is that very file, and is not looked at again.

use super::{MOST_MESSAGES, split};
use crate::disk::{Entry, FileKind, Listing, Stat};
use crate::error::{Error, Kind, Result};
use crate::store::{Change, Found, Message, Messages};
use crate::time::Time;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::collections::HashSet;
use std::hash::BuildHasher;

#[derive(Default)]
pub(super) struct Finder<'b> {
    messages: Messages,
    /// ctime of each row.
    changed: Vec<Time>,
    before: Option<Before<'b>>,
}

/// The listing of another date, and what of it is found again.
struct Before<'b> {
    messages: &'b Messages,
    /// Positions by inode numbers.
    by_inode: HashTable<u32>,
    hash: RandomState,
    found: Vec<bool>,
}

impl<'b> Finder<'b> {
    pub fn beside(before: &'b Messages) -> Self {
        let hash = RandomState::default();
        let hash_of = |message: &Message| hash.hash_one(message.inode);
        let mut by_inode = HashTable::with_capacity(before.len());
        for (at, message) in (0..).zip(before.iter()) {
            // It is never full.
            by_inode.insert_unique(hash_of(message), at, |at| {
                before.get(*at as usize).map_or(0, hash_of)
            });
        }
        Self {
            messages: Messages::default(),
            changed: Vec::new(),
            before: Some(Before {
                messages: before,
                by_inode,
                hash,
                found: vec![false; before.len()],
            }),
        }
    }

    pub fn odd(&mut self, name: &[u8]) {
        self.messages.oddities += 1;
        if self.messages.odd_names.len() < 5 {
            let name = String::from_utf8_lossy(name).into_owned();
            self.messages.odd_names.push(name);
        }
    }

    /// Takes over those files of a directory that are in the listing beside; the others become `unknown`.
    pub fn take_over(&mut self, part: &Listing, new: bool, unknown: &mut Listing) -> Result<()> {
        let mut files = Vec::with_capacity(part.len());
        for entry in part.iter().filter(|e| !e.name.starts_with(b".")) {
            match entry.kind {
                FileKind::File => files.push(entry),
                _ => self.odd(entry.name),
            }
        }
        let mut before = self.before.as_mut();
        // A directory's order is none of a listing's: all that is looked at there is far apart. So one kind of look is taken
        // for all files before the next, and the processor need not wait for each.
        let place = |entry: &Entry<'_>| before.as_ref()?.place(entry.ino);
        let places: Vec<Option<u32>> = files.iter().map(place).collect();
        for (entry, place) in files.iter().zip(places) {
            let before = before.as_mut().zip(place);
            if !before.is_some_and(|(before, place)| before.has(entry, new, place)) {
                unknown.push(entry.name, entry.kind, entry.ino)?;
            }
        }
        Ok(())
    }

    pub fn add(&mut self, name: &[u8], new: bool, stat: &Stat) -> Result<()> {
        let start = u32::try_from(self.messages.names.len())
            .ok()
            .filter(|_| self.messages.rows.len() < MOST_MESSAGES)
            .ok_or_else(|| {
                let message = "a folder with more than 4 million messages or 4 GiB of file names";
                Error::new(Kind::Unreadable, message)
            })?;
        let (base_len, flags) = split(name);
        self.messages.names.extend_from_slice(name);
        self.messages.rows.push(Message {
            name: start,
            name_len: name.len() as u16,
            base_len: base_len as u16,
            new,
            twin: false,
            flags,
            keywords: 0,
            size: stat.size,
            received: stat.mtime,
            inode: stat.ino,
        });
        self.changed.push(stat.ctime);
        Ok(())
    }

    /// What there is; `None` if the listing beside is no help to tell which of several files of one base name counts.
    pub fn finish(self) -> Option<Found> {
        let news = untwinned(self.messages, &self.changed);
        match self.before {
            None => Some(Found::All(news)),
            Some(before) => before.with(news),
        }
    }
}

impl Before<'_> {
    /// Where a file with this inode number is; of several links to one file in the folder, one.
    fn place(&self, inode: u64) -> Option<u32> {
        let is_it = |at: &u32| {
            let message = self.messages.get(*at as usize);
            message.is_some_and(|message| message.inode == inode)
        };
        self.by_inode
            .find(self.hash.hash_one(inode), is_it)
            .copied()
    }

    /// Whether a file is the one at a place, and then takes it over. Other links to a file that is taken over are looked at
    /// again.
    fn has(&mut self, entry: &Entry<'_>, new: bool, place: u32) -> bool {
        let row = self.messages.get(place as usize);
        let is_same =
            row.is_some_and(|row| row.new == new && self.messages.locator(row) == entry.name);
        let found = self.found.get_mut(place as usize).filter(|_| is_same);
        found.map(|found| *found = true).is_some()
    }

    /// What was not found again, and what is new.
    fn with(&self, news: Messages) -> Option<Found> {
        // Only without twins are store names in order.
        if self
            .messages
            .iter()
            .chain(news.iter())
            .any(|message| message.twin)
        {
            return None;
        }
        let at = (0..).zip(&self.found);
        let gone: Vec<u32> = at.filter(|(_, found)| !**found).map(|(at, _)| at).collect();
        let mut came = Vec::with_capacity(news.len());
        for (new, message) in (0..).zip(news.iter()) {
            let name = news.store_name(message);
            let place = match self.messages.place(name) {
                Ok(at) if self.found.get(at) == Some(&true) => return None,
                Ok(at) | Err(at) => at as u32,
            };
            let gone_before = gone.partition_point(|&at| at < place) as u32;
            came.push(place - gone_before + new);
        }
        let change = Change { gone, came };
        Some(Found::Changed { change, news })
    }
}

/// The messages in the order of their identities, one that was found twice once. `changed`: the ctime of each.
fn untwinned(mut all: Messages, changed: &[Time]) -> Messages {
    let rows = std::mem::take(&mut all.rows);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    // By base name, the one to prefer first: in `cur`, then the one changed last, then by file name.
    order.sort_by(|&a, &b| {
        let key = |i: usize| rows.get(i).map(|m| (all.store_name(m), m.new));
        let changed = |i: usize| changed.get(i).copied();
        let file = |i: usize| rows.get(i).map(|m| all.locator(m));
        key(a)
            .cmp(&key(b))
            .then(changed(b).cmp(&changed(a)))
            .then(file(a).cmp(&file(b)))
    });
    let mut kept: Vec<Message> = Vec::with_capacity(rows.len());
    // Sizes seen for the base name at hand.
    let mut sizes: HashSet<u64> = HashSet::new();
    for message in order.into_iter().filter_map(|i| rows.get(i)) {
        let same = kept
            .last()
            .is_some_and(|last| all.store_name(last) == all.store_name(message));
        if !same {
            sizes.clear();
        }
        if !sizes.insert(message.size) {
            continue;
        }
        kept.push(Message {
            twin: same,
            ..*message
        });
    }
    // Only twins can be out of order.
    if kept.iter().any(|message| message.twin) {
        kept.sort_by_cached_key(|message| all.identity(message));
    }
    Messages { rows: kept, ..all }
}
