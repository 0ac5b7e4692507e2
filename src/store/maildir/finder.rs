//! Collects the messages of a folder, and tells one that is found twice from two.
//!
//! Beside a listing of another date whose files are still there and on the same device, a file that has the same name
//! and inode number as one there is that very file, and is not looked at again.

use super::{MOST_MESSAGES, split};
use crate::disk::{Listing, Stat};
use crate::error::{Error, Kind, Result};
use crate::store::{Message, Messages};
use crate::time::Time;
use std::cmp::Ordering;
use std::collections::HashSet;

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
    /// Positions in order of the inode numbers.
    by_inode: Vec<u32>,
    found: Vec<bool>,
}

impl<'b> Finder<'b> {
    pub fn beside(before: &'b Messages) -> Self {
        let inode = |at: &u32| before.get(*at as usize).map(|message| message.inode);
        let mut by_inode: Vec<u32> = (0..before.len() as u32).collect();
        by_inode.sort_by_key(inode);
        let messages = Messages {
            device: before.device,
            ..Messages::default()
        };
        Self {
            messages,
            changed: Vec::new(),
            before: Some(Before {
                messages: before,
                by_inode,
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

    /// Takes over the files of a directory that are in the listing beside, and gives the names of the others, in the order in
    /// which a disk has their inodes. `files`: inode numbers, and positions in the directory's listing.
    pub fn unknown<'n>(
        &mut self,
        listing: &'n Listing,
        new: bool,
        mut files: Vec<(u64, u32)>,
    ) -> Vec<&'n [u8]> {
        files.sort_unstable();
        let name = |at: u32| listing.get(at as usize).map(|entry| entry.name);
        let mut walk = 0;
        let others = files.into_iter().filter_map(|(inode, at)| {
            let name = name(at)?;
            let before = self.before.as_mut();
            let is_known = before.is_some_and(|before| before.has(&mut walk, inode, new, name));
            (!is_known).then_some(name)
        });
        others.collect()
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

    /// All messages; `None` if the listing beside is no help to tell which of several files of one base name counts.
    pub fn finish(self) -> Option<Messages> {
        let news = untwinned(self.messages, &self.changed);
        match self.before {
            None => Some(news),
            Some(before) => before.with(news),
        }
    }
}

impl Before<'_> {
    /// Whether a file is there, and then takes it over. `walk` is how far along the inode numbers those that were asked for
    /// have come, in their order. Of several links to one file in the folder, one is found, and the others are looked at again.
    fn has(&mut self, walk: &mut usize, inode: u64, new: bool, name: &[u8]) -> bool {
        while let Some(&at) = self.by_inode.get(*walk)
            && let Some(there) = self.messages.get(at as usize)
            && there.inode <= inode
        {
            let is_same =
                (there.inode, there.new) == (inode, new) && self.messages.locator(there) == name;
            if is_same && let Some(found) = self.found.get_mut(at as usize) {
                *found = true;
                return true;
            }
            if there.inode == inode {
                return false;
            }
            *walk += 1;
        }
        false
    }

    /// What was found again and what is new, in one order.
    fn with(&self, news: Messages) -> Option<Messages> {
        let all = self.messages;
        let olds = || {
            let rows = all.iter().zip(&self.found);
            rows.filter(|(_, found)| **found)
                .map(|(message, _)| message)
        };
        if olds().chain(news.iter()).any(|message| message.twin) {
            return None;
        }
        let mut merged = Messages {
            oddities: news.oddities,
            odd_names: news.odd_names.clone(),
            device: news.device,
            ..Messages::default()
        };
        merged
            .names
            .reserve_exact(all.names.len() + news.names.len());
        merged.rows.reserve_exact(all.len() + news.len());
        let (mut olds, mut rest) = (olds().peekable(), news.iter().peekable());
        loop {
            let from_news = match (olds.peek(), rest.peek()) {
                (None, None) => return Some(merged),
                (Some(_), None) => false,
                (None, Some(_)) => true,
                (Some(old), Some(new)) => match all.store_name(old).cmp(news.store_name(new)) {
                    Ordering::Equal => return None,
                    order => order == Ordering::Greater,
                },
            };
            let (source, row) = match from_news {
                true => (&news, rest.next()?),
                false => (all, olds.next()?),
            };
            let name = u32::try_from(merged.names.len()).ok()?;
            merged.names.extend_from_slice(source.locator(row));
            merged.rows.push(Message { name, ..*row });
        }
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
