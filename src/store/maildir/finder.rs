//! Collects the messages of a folder, and tells one that is found twice from two.
//!
//! Beside a listing of another date whose files are still there and on the same device, a file that has the same name
//! and inode number as one there is that very file, and is not looked at again.

use super::{MOST_MESSAGES, split};
use crate::disk::Stat;
use crate::error::{Error, Kind, Result};
use crate::store::{Message, Messages};
use crate::time::Time;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

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
    /// Positions by inode number. Of several links to one file in the folder, one is here, and the others are looked at again.
    files: HashMap<u64, u32>,
    found: Vec<bool>,
}

impl<'b> Finder<'b> {
    pub fn beside(before: &'b Messages) -> Self {
        let files = before.iter().zip(0..);
        let files = files.map(|(message, at)| (message.inode, at));
        let messages = Messages {
            device: before.device,
            ..Messages::default()
        };
        Self {
            messages,
            changed: Vec::new(),
            before: Some(Before {
                messages: before,
                files: files.collect(),
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

    /// Whether a file is one of the listing beside; then it is taken over from there.
    pub fn knows(&mut self, name: &[u8], new: bool, inode: u64) -> bool {
        let Some(before) = &mut self.before else {
            return false;
        };
        let Some(&at) = before.files.get(&inode) else {
            return false;
        };
        let is_same = before
            .messages
            .get(at as usize)
            .is_some_and(|there| there.new == new && before.messages.locator(there) == name);
        match before.found.get_mut(at as usize) {
            Some(found) if is_same => {
                *found = true;
                true
            }
            _ => false,
        }
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
