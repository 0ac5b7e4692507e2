//! A folder's mbox: where each message is in it, how large it is, what is in a part of it.
//!
//! Invariant: the size that was told is the size of what is read, while the kernel may remember it.

use super::altered::under_way;
use super::attr::private;
use super::cache::Value;
use super::inside::{Inside, gone};
use super::node::{self, NodeId};
use super::{Attr, Fs, NodeKind};
use crate::error::{Error, Kind, Result};
use crate::view::mbox::Layout;
use std::sync::{Arc, PoisonError};

impl Value for Layout {}

impl Fs {
    /// Where each message is in a folder's mbox; `None` for a parent that is no folder.
    pub(super) fn layout(&self, inside: &Inside, position: u32) -> Result<Option<Arc<Layout>>> {
        let (Some(folder), Some(listing)) =
            (inside.folder(position), self.listing(inside, position)?)
        else {
            return Ok(None);
        };
        let key = self.cache_key(inside, position)?;
        if let Some(layout) = self.layouts.peek(&key) {
            return Ok(Some(layout));
        }
        let lane = inside.open.root.lane();
        // Who waits for another to lay it out takes a thread as well.
        let _turn = lane.turn(inside.id.0)?;
        let layout = self.layouts.get(&key, lane, || {
            let layout = self
                .view_of(&listing)
                .lay_out(&*inside.store(), folder, &listing)
                .map_err(gone)?;
            let weight = layout.weight();
            Ok((layout, weight))
        });
        let layout = layout.map_err(|e| self.heed(inside, position, &listing, e))?;
        Ok(Some(layout))
    }

    pub(super) fn mbox_attr(&self, inside: &Inside, position: u32) -> Result<Attr> {
        let id = self.branch_id(inside, position)?.with_ordinal(1);
        let key = self.cache_key(inside, position)?;
        let was_altered = self.altered.has(&key);
        let size = match self.known_mbox_size(inside, position, id)? {
            Some(size) => size,
            None => self
                .layout(inside, position)?
                .ok_or_else(|| id.stale())?
                .size(),
        };
        self.tell_mbox_size(&key, was_altered, id, size)?;
        let permissions = self.permissions(inside)?;
        Ok(private(
            id,
            NodeKind::File,
            size,
            self.changed(inside, position)?,
            &permissions,
        ))
    }

    /// Keeps in mind what is told of an mbox, unless its folder was found to be another one since that was worked out.
    fn tell_mbox_size(
        &self,
        key: &(u32, u32),
        was_altered: bool,
        id: NodeId,
        size: u64,
    ) -> Result<()> {
        let mut sizes = self
            .mbox_sizes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Under the lock under which such a folder's size is forgotten, after it was noted.
        if self.altered.has(key) != was_altered {
            return Err(under_way());
        }
        sizes.insert(id, size);
        Ok(())
    }

    /// The size that the kernel may remember.
    fn told_mbox_size(&self, id: NodeId) -> Option<u64> {
        let sizes = self.mbox_sizes.lock();
        let sizes = sizes.unwrap_or_else(PoisonError::into_inner);
        sizes.get(&id).copied()
    }

    /// Reads no message.
    pub(super) fn known_mbox_size(
        &self,
        inside: &Inside,
        position: u32,
        id: NodeId,
    ) -> Result<Option<u64>> {
        let told = self.told_mbox_size(id);
        let Some(folder) = inside.folder(position) else {
            return Ok(None);
        };
        match told {
            Some(size) => Ok(Some(size)),
            None if self.altered.has(&self.cache_key(inside, position)?) => Ok(None),
            None => {
                let known = self.view.known_mbox(&*inside.store(), folder);
                Ok(known.map_err(gone)?.map(|known| known.size))
            }
        }
    }

    /// Reads up to `len` bytes from `offset` on.
    pub(super) fn read_mbox(
        &self,
        inside: &Inside,
        position: u32,
        id: NodeId,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>> {
        let folder = inside.folder(position).ok_or_else(|| id.stale())?;
        let listing = self.listing(inside, position)?.ok_or_else(|| id.stale())?;
        self.require_told(inside, position, None, &listing)?;
        let layout = self.layout(inside, position)?.ok_or_else(|| id.stale())?;
        let told = self.told_mbox_size(id);
        if told.is_some_and(|told| told != layout.size()) {
            return Err(Error::new(
                Kind::Unreadable,
                "the mbox is not what it was when it was sized",
            ));
        }
        let store = inside.store();
        let decoded = |message: u32| {
            let item = listing.get(message as usize).ok_or_else(|| id.stale())?;
            let id = id.with_ordinal(node::FIRST_MESSAGE + message);
            self.decoded(&*store, folder, id, &listing, &item)
        };
        self.view
            .read_mbox(&*store, folder, &listing, &layout, &decoded, offset, len)
            .map_err(|e| self.heed(inside, position, &listing, e))
    }
}
