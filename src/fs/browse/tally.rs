//! How many messages a folder has, and how many of them are unread.
//!
//! Counting opens no message: a listing that is at hand or in the index tells it, or else the names in the store do. A
//! folder below a date never changes, so it is counted once.

use crate::error::Result;
use crate::fs::Fs;
use crate::fs::cache::Value;
use crate::fs::inside::{Inside, gone};
use crate::view::listing::{Tally, is_for_all};
use std::time::Instant;

impl Value for Tally {}

impl Fs {
    /// Counts a folder of a date, unless it is not counted yet and it is later than `until`; `None` also if it cannot be
    /// read, which is warned of.
    pub(super) fn tally(
        &self,
        inside: &Inside,
        position: u32,
        until: Instant,
    ) -> Result<Option<Tally>> {
        let parts = self.branch_id(inside, position)?.parts();
        let key = (parts.snapshot, parts.place);
        if let Some(known) = self.tallies.peek(&key) {
            return Ok(Some(*known));
        }
        if let Some(listing) = self.listings.peek(&key) {
            return Ok(Some(Tally::of(listing.messages())));
        }
        let Some(folder) = inside.folder(position).filter(|_| Instant::now() < until) else {
            return Ok(None);
        };
        let counted = self.tallies.get(&key, inside.open.root.lane(), || {
            let taken = inside.nested.tree.taken(position);
            let tally = self.view.tally(&*inside.store(), folder, &taken);
            Ok((tally.map_err(gone)?, size_of::<Tally>() + 64))
        });
        match counted {
            Ok(tally) => Ok(Some(*tally)),
            Err(e) if is_for_all(&e) => Err(e),
            Err(e) => {
                let path = inside.nested.tree.path(position);
                tracing::warn!("{}: {path}: not counted: {e}", inside.mailbox.name);
                Ok(None)
            }
        }
    }
}
