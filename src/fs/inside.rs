//! A mailbox on a date and the directories in it, with their serials: what everything below a date is asked of.

use super::cache::Value;
use super::node::{NodeId, Place};
use super::{Fs, Open};
use crate::error::{Error, Kind, Result};
use crate::index::Table;
use crate::store::Store;
use crate::time::Time;
use crate::view::listing::is_for_all;
use crate::view::mailbox::{Mailbox, Mailboxes};
use crate::view::maildir;
use crate::view::tree::{Branch, Source, Tree};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError};

/// Directories of a mailbox that get their serials together.
const SERIALS_AT_ONCE: usize = 1 << 16;

/// The mailboxes of a snapshot with their serials.
pub struct Populated {
    pub mailboxes: Mailboxes,
    pub serials: Vec<u32>,
}

impl Value for Populated {
    fn is_settled(&self) -> bool {
        self.mailboxes.is_complete()
    }
}

impl Populated {
    pub fn serial(&self, mailbox: &Mailbox) -> Result<u32> {
        let serial = self
            .mailboxes
            .position(&mailbox.path)
            .and_then(|i| self.serials.get(i));
        serial
            .copied()
            .ok_or_else(|| Error::new(Kind::Stale, "the mailbox is no longer there"))
    }
}

/// The directories of a mailbox with their serials.
pub struct Nested {
    pub tree: Tree,
    pub serials: Vec<u32>,
    /// Positions in the tree.
    pub by_serial: HashMap<u32, u32>,
    /// The directories as `.maildir` has them.
    pub maildir: OnceLock<maildir::Folders>,
}

impl Value for Nested {}

/// A mailbox in a snapshot, and its directories.
#[derive(Clone)]
pub struct Inside {
    pub open: Arc<Open>,
    pub mailbox: Mailbox,
    /// The mailbox directory's.
    pub id: NodeId,
    pub nested: Arc<Nested>,
}

impl Inside {
    pub fn branch(&self, position: u32) -> Option<&Branch> {
        self.nested.tree.get(position)
    }

    pub fn store(&self) -> Box<dyn Store + '_> {
        self.mailbox.store(&self.open.root)
    }

    /// The stored folder that a directory is; `None` for a parent that is no folder.
    pub fn folder(&self, position: u32) -> Option<&[u8]> {
        match &self.branch(position)?.source {
            Source::Folder(stored) => Some(stored),
            Source::Parent(_) => None,
        }
    }
}

impl Fs {
    /// The key of a serial that the table has lost: everything in the snapshot is given its serial again. Once is enough,
    /// or a forged handle would have every mailbox read each time.
    pub(super) fn find_again(&self, open: &Arc<Open>, place: u32) -> Result<Arc<[u8]>> {
        let lost = || Error::new(Kind::Stale, format!("no directory has the serial {place}"));
        let searched = || self.searched.lock().unwrap_or_else(PoisonError::into_inner);
        if searched().contains(&open.serial) {
            return Err(lost());
        }
        let populated = self.populated(open)?;
        for mailbox in populated.mailboxes.iter() {
            if let Some(key) = self.index.key_of(Table::Folder, place) {
                return Ok(key);
            }
            match self.inside(open, &populated, mailbox) {
                Err(e) if is_for_all(&e) => return Err(e),
                // The others may have it.
                _ => {}
            }
        }
        searched().insert(open.serial);
        self.index.key_of(Table::Folder, place).ok_or_else(lost)
    }

    pub(super) fn populated(&self, open: &Arc<Open>) -> Result<Arc<Populated>> {
        open.filling.look();
        let good_for = open.is_believed_for();
        let mailboxes = &self.mailboxes;
        mailboxes.get_for(&open.serial, open.root.lane(), good_for, || {
            let _stay = crate::disk::trail::stay();
            let mailboxes = self.view.layout.find(&open.root).map_err(gone)?;
            let keys: Vec<Vec<u8>> = mailboxes
                .iter()
                .map(|mailbox| Place::encode(&mailbox.path, None))
                .collect();
            let serials = self.serials(&keys)?;
            let weight = mailboxes.weight() + serials.len() * 4;
            Ok((Populated { mailboxes, serials }, weight))
        })
    }

    pub(super) fn inside(
        &self,
        open: &Arc<Open>,
        populated: &Populated,
        mailbox: &Mailbox,
    ) -> Result<Inside> {
        let serial = populated.serial(mailbox)?;
        let good_for = open.is_believed_for();
        let key = (open.serial, serial);
        let nested = self.trees.get_for(&key, open.root.lane(), good_for, || {
            let tree = Tree::read(&*mailbox.store(&open.root)).map_err(gone)?;
            if tree.oddities > 0 {
                tracing::warn!(
                    "{}: {}: {} links, too deeply nested directories or files that hold no mail are among the folders and are not shown",
                    open.root.path().display(),
                    mailbox.name,
                    tree.oddities
                );
            }
            let keys: Vec<Vec<u8>> =
                tree.iter().map(|branch| Place::encode(&mailbox.path, Some(&branch.source))).collect();
            // There may be a million of them: each part is progress, and lets others in.
            let mut serials = Vec::with_capacity(keys.len());
            for keys in keys.chunks(SERIALS_AT_ONCE) {
                open.root.lane().enter()?;
                serials.extend(self.serials(keys)?);
            }
            let by_serial = serials.iter().copied().zip(0..).collect();
            let weight = tree.weight() + serials.len() * 32;
            Ok((Nested { tree, serials, by_serial, maildir: OnceLock::new() }, 2 * weight))
        })?;
        Ok(Inside {
            open: open.clone(),
            mailbox: mailbox.clone(),
            id: NodeId::new(open.serial, serial, 0),
            nested,
        })
    }

    pub(super) fn serials(&self, keys: &[Vec<u8>]) -> Result<Vec<u32>> {
        let keys: Vec<(&[u8], u64)> = keys
            .iter()
            .map(|key| (key.as_slice(), Place::seed(key)))
            .collect();
        self.index.serials(Table::Folder, &keys)
    }

    pub(super) fn cache_key(&self, inside: &Inside, position: u32) -> Result<(u32, u32)> {
        let parts = self.branch_id(inside, position)?.parts();
        Ok((parts.snapshot, parts.place))
    }

    pub(super) fn branch_id(&self, inside: &Inside, position: u32) -> Result<NodeId> {
        let serial = inside
            .nested
            .serials
            .get(position as usize)
            .ok_or_else(|| inside.id.stale())?;
        Ok(NodeId::new(inside.open.serial, *serial, 0))
    }

    /// A folder's last change; a parent that is no folder changes with its mailbox.
    pub(super) fn changed(&self, inside: &Inside, position: u32) -> Result<Time> {
        let Some(folder) = inside.folder(position) else {
            return Ok(inside.mailbox.changed);
        };
        if let Some(listing) = self.listings.peek(&self.cache_key(inside, position)?) {
            return Ok(listing.changed);
        }
        Ok(inside.store().stamp(folder).map_err(gone)?.changed)
    }
}

/// Below a date nothing comes or goes: what is not where it was found is stale, with its snapshot. It is no name that the
/// kernel might remember as one that is not there.
pub(super) fn gone(error: Error) -> Error {
    match error.kind() {
        Kind::NotFound => Error::new(Kind::Stale, error.to_string()),
        _ => error,
    }
}
