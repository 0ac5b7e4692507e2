//! The messages of a folder: listed once, with what is known of them on the dates beside it. One who goes through a large
//! folder that nobody has listed yet gets it in parts, so that he need not wait for all of it.

use super::cache::Value;
use super::inside::{Inside, gone};
use super::node;
use super::{Fs, Open};
use crate::disk::lane;
use crate::error::{Error, Kind, Result};
use crate::view::listing::{Begun, Draft, Listing, Neighbour, PART};
use std::collections::HashSet;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

/// A folder's messages, or some of them.
pub(super) struct Piece {
    pub listing: Arc<Listing>,
    /// Position of its first message in the folder.
    pub first: usize,
}

/// A folder that somebody goes through; nothing if it was listed as a whole.
pub(super) struct Drafted(Option<Arc<Draft>>);

impl Value for Drafted {}

impl Value for Listing {
    fn is_settled(&self) -> bool {
        self.is_complete()
    }
}

impl Value for Arc<Listing> {}

impl Fs {
    /// A folder's messages; `None` for a parent that is no folder.
    pub(super) fn listing(&self, inside: &Inside, position: u32) -> Result<Option<Arc<Listing>>> {
        self.listing_beside(inside, position, dates_are_reachable())
    }

    /// The same; who looks at the other dates as well may wait for their disks.
    pub(super) fn listing_beside(
        &self,
        inside: &Inside,
        position: u32,
        is_reachable: bool,
    ) -> Result<Option<Arc<Listing>>> {
        let Some(folder) = inside.folder(position) else {
            return Ok(None);
        };
        let draft = self.begin(inside, position, folder, is_reachable)?;
        self.whole(inside, position, folder, draft.as_deref(), is_reachable)
            .map(Some)
    }

    /// A piece of a folder with the message at `from`, if there is one; `None` for a parent that is no folder.
    pub(super) fn piece(
        &self,
        inside: &Inside,
        position: u32,
        from: usize,
    ) -> Result<Option<Piece>> {
        let Some(folder) = inside.folder(position) else {
            return Ok(None);
        };
        let is_reachable = dates_are_reachable();
        let draft = self.begin(inside, position, folder, is_reachable)?;
        let number = from / PART;
        // Who is at the last part has gone through the others.
        let draft_of_part = draft.as_ref().filter(|draft| number + 1 < draft.parts());
        let Some(draft) = draft_of_part else {
            let draft = draft.as_deref();
            let listing = self.whole(inside, position, folder, draft, is_reachable)?;
            return Ok(Some(Piece { listing, first: 0 }));
        };
        let (snapshot, place) = self.cache_key(inside, position)?;
        let key = (snapshot, place, number as u32);
        let part = self.parts.get(&key, inside.open.root.lane(), || {
            let taken = inside.nested.tree.taken(position);
            let store = inside.store();
            let part = self.view.part(&*store, folder, &taken, draft, number);
            let part = part.map_err(gone)?;
            let weight = part.weight();
            Ok((part, weight))
        })?;
        Ok(Some(Piece {
            listing: Arc::clone(&part),
            first: number * PART,
        }))
    }

    /// Makes the piece that comes after one, unless somebody is at it: who goes through a large folder finds it ready.
    pub(super) fn piece_after(&self, inside: &Inside, position: u32, piece: &Piece) -> Result<()> {
        let (snapshot, place) = self.cache_key(inside, position)?;
        let draft = self.drafts.peek(&(snapshot, place));
        let Some(draft) = draft.as_ref().and_then(|drafted| drafted.0.as_ref()) else {
            return Ok(());
        };
        let next = piece.first + piece.listing.len();
        let number = (next / PART) as u32;
        let is_at_hand = next >= draft.len()
            || self.listings.is_at_hand(&(snapshot, place))
            || self.parts.is_at_hand(&(snapshot, place, number));
        match is_at_hand {
            true => Ok(()),
            false => self.piece(inside, position, next).map(drop),
        }
    }

    /// A folder's listing as it is at hand, or else made, of the draft if there is one.
    fn whole(
        &self,
        inside: &Inside,
        position: u32,
        folder: &[u8],
        draft: Option<&Draft>,
        is_reachable: bool,
    ) -> Result<Arc<Listing>> {
        let key = self.cache_key(inside, position)?;
        self.listings.get(&key, inside.open.root.lane(), || {
            let store = inside.store();
            let listing = match draft {
                Some(draft) => {
                    let taken = inside.nested.tree.taken(position);
                    self.view.finish(&*store, folder, &taken, draft)
                }
                None if self.altered.has(&key) => {
                    let taken = inside.nested.tree.taken(position);
                    self.apart.list_apart(&*store, folder, &taken)
                }
                None => self.with_neighbours(inside, position, is_reachable, |taken, beside| {
                    self.view.list(&*store, folder, taken, beside)
                }),
            };
            let listing = listing.map_err(gone)?;
            bounded(inside, listing.len())?;
            self.drafts.forget(|other| *other == key);
            self.parts
                .forget(|(snapshot, place, _)| (*snapshot, *place) == key);
            let weight = listing.weight();
            Ok((listing, weight))
        })
    }

    /// Begins to list a folder whose listing is not at hand, for all who want it at this moment. Nothing, if it is listed as a
    /// whole: then the listing is at hand.
    fn begin(
        &self,
        inside: &Inside,
        position: u32,
        folder: &[u8],
        is_reachable: bool,
    ) -> Result<Option<Arc<Draft>>> {
        let key = self.cache_key(inside, position)?;
        if self.listings.peek(&key).is_some() || self.altered.has(&key) {
            return Ok(None);
        }
        let begun = self.drafts.get(&key, inside.open.root.lane(), || {
            // Another one who began has listed it meanwhile.
            if self.listings.peek(&key).is_some() {
                return Ok((Drafted(None), 0));
            }
            let store = inside.store();
            let begun = self.with_neighbours(inside, position, is_reachable, |taken, beside| {
                self.view.begin(&*store, folder, taken, beside)
            });
            match begun.map_err(gone)? {
                Begun::Draft(draft) => {
                    bounded(inside, draft.len())?;
                    let weight = draft.weight();
                    Ok((Drafted(Some(Arc::new(draft))), weight))
                }
                Begun::Whole(listing) => {
                    bounded(inside, listing.len())?;
                    let weight = listing.weight();
                    self.listings.put(&key, listing, weight);
                    Ok((Drafted(None), 0))
                }
            }
        })?;
        if begun.0.is_none() {
            self.drafts.forget(|other| *other == key);
        }
        Ok(begun.0.clone())
    }

    /// Calls `list` with the names that a folder's messages may not have, and with the dates beside.
    fn with_neighbours<T>(
        &self,
        inside: &Inside,
        position: u32,
        is_reachable: bool,
        list: impl FnOnce(&HashSet<String>, &[Neighbour<'_>]) -> Result<T>,
    ) -> Result<T> {
        let around = self.around(inside, self.cache_key(inside, position)?);
        let beside: Vec<Neighbour<'_>> = around
            .iter()
            .map(|(open, listing)| Neighbour {
                store: inside.mailbox.store(&open.root),
                listing: listing.clone(),
                is_reachable,
            })
            .collect();
        list(&inside.nested.tree.taken(position), &beside)
    }

    /// The dates after and before, with their listings of the same folder as far as those are at hand.
    fn around(
        &self,
        inside: &Inside,
        (_, place): (u32, u32),
    ) -> Vec<(Arc<Open>, Option<Arc<Listing>>)> {
        let shown = self.shown();
        let label = &inside.open.snapshot.label;
        let after = (Excluded(label), Unbounded);
        let after = shown.by_label.range::<String, _>(after).next();
        let before = (Unbounded, Excluded(label));
        let before = shown.by_label.range::<String, _>(before).next_back();
        [after, before]
            .into_iter()
            .flatten()
            .map(|(_, open)| (open.clone(), self.listings.peek(&(open.serial, place))))
            .collect()
    }
}

/// Whether other dates may be looked at: somebody who waits for one should not have to wait for the disk of another.
fn dates_are_reachable() -> bool {
    lane::current_beat().is_none()
}

/// An error for a folder with more messages than there are numbers for.
fn bounded(inside: &Inside, messages: usize) -> Result<()> {
    if messages <= node::MOST_MESSAGES {
        return Ok(());
    }
    let message = format!(
        "{}: a folder with more than {} messages",
        inside.mailbox.name,
        node::MOST_MESSAGES
    );
    Err(Error::new(Kind::Unreadable, message))
}

#[cfg(test)]
mod tests;
