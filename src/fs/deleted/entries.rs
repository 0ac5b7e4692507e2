//! The directories of a mailbox in `deleted`: looking names up, and listing.

use super::{Kept, Somebody};
use crate::access::Permissions;
use crate::error::{Error, Kind, Result};
use crate::fs::attr::{message_attr, private, public};
use crate::fs::inside::Inside;
use crate::fs::node::{self, NodeId, Place};
use crate::fs::{Attr, Cookie, Entry, Fs, NodeKind};
use crate::index::Table;
use crate::time::Time;
use crate::view::deleted::Part;
use crate::view::listing::Item;
use std::sync::Arc;

/// Messages that are made ready for one request: more than a reply has room for.
const ENOUGH: usize = 1024;

/// A mailbox, and the position of a directory in it.
type InDeleted = (Arc<Somebody>, Option<(Arc<Kept>, u32)>);

/// Where messages that are gone were last: a folder of a date.
struct Source {
    folder: NodeId,
    permissions: Arc<Permissions>,
}

impl Source {
    fn attr(&self, ordinal: u32, item: &Item<'_>) -> Attr {
        let id = self.folder.with_ordinal(node::FIRST_MESSAGE + ordinal);
        message_attr(id, item, &self.permissions)
    }
}

/// The messages of a directory in `deleted`, as far as they were made ready.
pub(in crate::fs) struct LostMessages {
    kept: Arc<Kept>,
    branch: u32,
    /// Position in the directory of the first one.
    first: usize,
    /// Of the part that is to be listed next and those behind it.
    sources: Vec<Source>,
}

impl LostMessages {
    pub fn entries(&self, from: Cookie, mut add: impl FnMut(Entry) -> bool) {
        let Some(folder) = self.kept.lost.folder(self.branch) else {
            return;
        };
        let start = from.index().saturating_sub(self.first) as u32;
        for (part, source) in folder.parts_from(start).zip(&self.sources) {
            let passed = start.saturating_sub(part.first);
            let items = part.ordinals.iter().zip(part.listing.iter());
            for (position, (&ordinal, item)) in (part.first..).zip(items).skip(passed as usize) {
                let entry = Entry {
                    name: folder.name(position, item.name).into(),
                    next: Cookie::after(self.first + position as usize),
                    attr: source.attr(ordinal, &item),
                };
                if add(entry) {
                    return;
                }
            }
        }
    }
}

impl Fs {
    pub(in crate::fs) fn deleted_attr(&self) -> Attr {
        public(node::DELETED, self.shown().changed, self.options.refresh)
    }

    pub(in crate::fs) fn somebody_attr(&self, somebody: &Arc<Somebody>) -> Result<Attr> {
        let (_, changed) = self.present(&self.shown(), somebody)?;
        self.directory_attr(somebody, somebody.id(), changed)
    }

    pub(in crate::fs) fn lost_folder_attr(
        &self,
        somebody: &Arc<Somebody>,
        kept: &Kept,
        position: u32,
    ) -> Result<Attr> {
        self.directory_attr(somebody, kept.id(position)?, kept.changed)
    }

    pub(super) fn directory_attr(
        &self,
        somebody: &Somebody,
        id: NodeId,
        changed: Time,
    ) -> Result<Attr> {
        let permissions = self.permissions_of(&somebody.open, &somebody.mailbox)?;
        let attr = private(id, NodeKind::Directory, 0, changed, &permissions);
        let ttl = attr.ttl.min(self.options.refresh);
        Ok(Attr { ttl, ..attr })
    }

    /// What a place is in `deleted`: a mailbox's directory, or one in it at this position.
    pub(in crate::fs) fn in_deleted(&self, id: NodeId, place: u32) -> Result<InDeleted> {
        let key = match self.index.key_of(Table::Folder, place) {
            Some(key) => key,
            None => self.find_on_dates(id, place)?,
        };
        let Place { mailbox, source } = Place::decode(&key)?;
        let somebody = self.somebody_at(&mailbox)?.ok_or_else(|| id.stale())?;
        if source.is_none() {
            return Ok((somebody, None));
        }
        let kept = self.lost(&somebody)?;
        let position = kept.by_serial.get(&place).copied();
        let position = position.ok_or_else(|| id.stale())?;
        Ok((somebody, Some((kept, position))))
    }

    /// The key of a serial that the table has lost.
    fn find_on_dates(&self, id: NodeId, place: u32) -> Result<Arc<[u8]>> {
        for open in self.shown().by_time.iter().rev() {
            match self.find_again(open, place) {
                Err(e) if e.kind() == Kind::Stale => {}
                found => return found,
            }
        }
        Err(id.stale())
    }

    pub(in crate::fs) fn above_lost(
        &self,
        somebody: &Somebody,
        kept: &Kept,
        position: u32,
    ) -> Result<NodeId> {
        match kept.lost.tree.get(position).and_then(|branch| branch.above) {
            Some(above) => kept.id(above),
            None => Ok(somebody.id()),
        }
    }

    /// A name in a mailbox's directory in `deleted`, or in one further down.
    pub(in crate::fs) fn lookup_lost(
        &self,
        somebody: &Arc<Somebody>,
        kept: &Arc<Kept>,
        above: Option<u32>,
        name: &str,
    ) -> Result<Option<Attr>> {
        if let Some(position) = kept.lost.tree.named(above, name) {
            return self.lost_folder_attr(somebody, kept, position).map(Some);
        }
        let Some(folder) = above.and_then(|position| kept.lost.folder(position)) else {
            return Ok(None);
        };
        for position in folder.named(name) {
            let Some((part, place)) = folder.at(position) else {
                continue;
            };
            let item = part.listing.get(place).zip(part.ordinals.get(place));
            if let Some((item, &ordinal)) = item
                && folder.name(position, item.name) == name
            {
                let source = self.lost_source(somebody, kept, part)?;
                return Ok(Some(source.attr(ordinal, &item)));
            }
        }
        Ok(None)
    }

    /// Where messages that are gone were last.
    fn lost_source(&self, somebody: &Somebody, kept: &Kept, part: &Part) -> Result<Source> {
        let inside = self.last_inside(somebody, kept, part)?;
        Ok(Source {
            folder: self.branch_id(&inside, part.folder)?,
            permissions: self.permissions(&inside)?,
        })
    }

    /// The mailbox on the date that has messages last which are gone.
    pub(in crate::fs) fn last_inside(
        &self,
        somebody: &Somebody,
        kept: &Kept,
        part: &Part,
    ) -> Result<Inside> {
        let vanished = || Error::new(Kind::Stale, "the date is no longer there");
        let open = kept.dates.get(part.date as usize).ok_or_else(vanished)?;
        let populated = self.populated(open)?;
        let mailbox = populated.mailboxes.at(&somebody.mailbox.path);
        self.inside(open, &populated, mailbox.ok_or_else(vanished)?)
    }

    /// The directories right below one in `deleted`; returns the messages behind them, or `None` if `add` was full.
    pub(in crate::fs) fn lost_entries(
        &self,
        somebody: &Arc<Somebody>,
        kept: &Arc<Kept>,
        above: Option<u32>,
        from: Cookie,
        add: &mut impl FnMut(Entry) -> bool,
    ) -> Result<Option<LostMessages>> {
        let below = kept.lost.tree.below(above);
        for (position, &branch) in below.iter().enumerate().skip(from.index()) {
            let Some(name) = kept.lost.tree.get(branch).map(|branch| &branch.name) else {
                continue;
            };
            let attr = self.lost_folder_attr(somebody, kept, branch)?;
            let next = Cookie::after(position);
            if add(Entry {
                name: name.into(),
                next,
                attr,
            }) {
                return Ok(None);
            }
        }
        let Some((branch, folder)) = above.and_then(|b| Some((b, kept.lost.folder(b)?))) else {
            return Ok(None);
        };
        let start = from.index().saturating_sub(below.len()) as u32;
        let mut sources = Vec::new();
        let mut ready = 0;
        for part in folder.parts_from(start) {
            if ready >= ENOUGH {
                break;
            }
            ready += part.ordinals.len() - start.saturating_sub(part.first) as usize;
            sources.push(self.lost_source(somebody, kept, part)?);
        }
        Ok(Some(LostMessages {
            kept: kept.clone(),
            branch,
            first: below.len(),
            sources,
        }))
    }
}
