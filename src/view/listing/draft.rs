//! A large folder of which nothing was known, listed part by part: its first names are told before its last message is
//! opened.
//!
//! Invariants:
//!
//! 1. A name of a part is the one that the whole listing gives. So there is a draft only where every name is final when its
//!    message was looked at: no two messages of the folder have the same short ID, and nothing else in it is called like one.
//! 2. The whole listing is made of the parts, so what was told stays so, also of a message that could not be read.
//!
//! Who goes through a folder asks for its parts one after the other, and may have each made while he looks at the one before;
//! who needs all of it has the rest made at once.

use super::beside::Earlier;
use super::making::{Unlisted, is_complete};
use super::rows::Rows;
use super::{Begun, Keep, Listing};
use crate::error::{Error, Kind, Result};
use crate::store::{Found, Messages, Store, behind};
use crate::time::Time;
use crate::view::{Names, View, name};
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

/// Messages of a part: some milliseconds of work for those that are in memory, a second or two for a slow disk.
pub const PART: usize = 2048;

/// Smaller folders are listed as a whole.
const LARGE: usize = 2 * PART;

/// A folder that is being listed part by part.
#[derive(Debug)]
pub struct Draft {
    messages: Messages,
    key: Vec<u8>,
    changed: Time,
    parts: Box<[OnceLock<Arc<Listing>>]>,
}

impl Draft {
    /// How many parts the folder has.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Messages of the folder.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Never so: such a folder is listed as a whole.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory in use when all parts are made.
    pub fn weight(&self) -> usize {
        // The parts have the messages again, and their names, which are about as long.
        3 * self.messages.weight()
    }

    fn positions(&self, part: usize) -> Vec<u32> {
        let end = ((part + 1) * PART).min(self.len());
        (part * PART..end).map(|position| position as u32).collect()
    }
}

impl View {
    /// Begins to list a folder, with the arguments of [`list`](View::list).
    pub fn begin(
        &self,
        store: &dyn Store,
        folder: &[u8],
        taken: &HashSet<String>,
        beside: &[super::Neighbour<'_>],
    ) -> Result<Begun> {
        let unlisted = match self.look(store, folder, taken, Keep::Listing, beside)? {
            Ok(listing) => return Ok(Begun::Whole(listing)),
            Err(unlisted) => unlisted,
        };
        let unlisted = match unlisted {
            Unlisted {
                found: Found::All(messages),
                earlier,
                key,
                changed,
            } if self.names_are_final(&messages, &earlier, taken) => {
                let parts = messages.len().div_ceil(PART);
                return Ok(Begun::Draft(Draft {
                    messages,
                    key,
                    changed,
                    parts: std::iter::repeat_with(OnceLock::new).take(parts).collect(),
                }));
            }
            other => other,
        };
        self.learn_and_name(store, folder, taken, Keep::Listing, unlisted)
            .map(Begun::Whole)
    }

    /// Whether the folder is large, nothing is known of it, and each name will be what its own message makes it.
    fn names_are_final(
        &self,
        messages: &Messages,
        earlier: &Earlier,
        taken: &HashSet<String>,
    ) -> bool {
        let may_be = self.names == Names::Readable
            && messages.len() > LARGE
            && earlier.rows.messages.is_empty()
            && !taken.iter().any(|name| name.ends_with(".eml"));
        if !may_be {
            return false;
        }
        let ids = messages
            .iter()
            .map(|message| name::short_id(&messages.identity(message)));
        let mut ids: Vec<[u8; 5]> = ids.collect();
        ids.sort_unstable();
        ids.windows(2).all(|pair| pair.first() != pair.last())
    }

    /// A part of a folder, as a listing of its own.
    pub fn part(
        &self,
        store: &dyn Store,
        folder: &[u8],
        taken: &HashSet<String>,
        draft: &Draft,
        part: usize,
    ) -> Result<Arc<Listing>> {
        let none = || Error::new(Kind::Stale, "no such part of the folder");
        let place = draft.parts.get(part).ok_or_else(none)?;
        if let Some(made) = place.get() {
            return Ok(made.clone());
        }
        let messages = draft.messages.only(&draft.positions(part));
        let known = self.learn_all(store, folder, &messages, &Rows::default())?;
        let (shown, names) = self.name_alone(&messages, &known, taken)?;
        let rows = Rows {
            messages,
            shown,
            names,
        };
        let mut listing = Listing::of(Arc::new(rows), Vec::new(), draft.changed);
        listing.complete = is_complete(&known);
        // Somebody may have been faster; he has told names already.
        Ok(place.get_or_init(|| Arc::new(listing)).clone())
    }

    /// The whole folder: what is missing is made now.
    pub fn finish(
        &self,
        store: &dyn Store,
        folder: &[u8],
        taken: &HashSet<String>,
        draft: &Draft,
    ) -> Result<Listing> {
        let parts = (0..draft.parts()).map(|part| self.part(store, folder, taken, draft, part));
        let parts = parts.collect::<Result<Vec<Arc<Listing>>>>()?;
        let mut names = String::with_capacity(parts.iter().map(|part| part.rows.names.len()).sum());
        let mut shown = Vec::with_capacity(draft.len());
        let mut complete = true;
        for part in parts {
            complete &= part.complete;
            let start = names.len() as u32;
            names.push_str(&part.rows.names);
            shown.extend(behind(&part.rows.shown, start));
        }
        let rows = Rows {
            messages: draft.messages.clone(),
            shown,
            names,
        };
        let (key, changed) = (draft.key.clone(), draft.changed);
        let mut listing = Listing::of(Arc::new(rows), key, changed);
        listing.complete = complete;
        self.keep_listing(store, folder, &listing, None, Keep::Listing);
        Ok(listing)
    }
}
