//! Finds what is missing: folder by folder from the newest date back, and then what of it is elsewhere under another name.

use super::{Gone, Lost, Moment, arrange};
use crate::error::{Error, Kind, Result};
use crate::view::listing::{Listing, is_for_all};
use crate::view::tree::{Source, Tree};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// What is gone since: what one of `dates`, newest first, has and `present` has not.
///
/// # Errors
/// The present state could not be read, or the request was given up.
pub fn lost(present: &dyn Moment, dates: &[&dyn Moment]) -> Result<Lost> {
    let mut search = Search {
        present,
        folders: folders(present.tree())
            .map(|(folder, stored)| (stored.as_slice(), folder))
            .collect(),
        dates,
        here: None,
        failed: None,
        missing: Vec::new(),
        complete: true,
    };
    let places = search.places();
    for (stored, places) in &places {
        search.folder(stored, places)?;
    }
    search.forgive_copies()?;
    let gone = search.last_seen();
    Ok(arrange(dates, &gone, search.complete))
}

/// Stands for a store identity.
type Mark = u128;

fn mark(parts: &[&[u8]]) -> Mark {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    let hash = hash.finalize();
    hash.first_chunk()
        .map(|first| Mark::from_le_bytes(*first))
        .unwrap_or_default()
}

struct Search<'a> {
    present: &'a dyn Moment,
    /// Its folders, by stored name.
    folders: HashMap<&'a [u8], u32>,
    dates: &'a [&'a dyn Moment],
    /// Made when the first message is missing where it was.
    here: Option<Here>,
    missing: Vec<Missing>,
    complete: bool,
    /// Why the present state could not be read.
    failed: Option<Error>,
}

/// A message whose identity is not in the present state.
struct Missing {
    mark: Mark,
    message_id: Option<u128>,
    size: u64,
    gone: Gone,
}

/// The store names of the present state. Of one that occurs twice in a folder, the second stands with its size, as its
/// identity has it.
#[derive(Default)]
struct Here {
    sizes: HashMap<Mark, u64>,
}

impl Here {
    fn read(present: &dyn Moment, complete: &mut bool) -> Result<Self> {
        let mut here = Self::default();
        for folder in folders(present.tree()).map(|(folder, _)| folder) {
            let listing = present.listing(folder)?;
            *complete &= listing.is_complete();
            let messages = listing.messages();
            for message in messages.iter() {
                here.sizes
                    .insert(mark(&[&messages.identity(message)]), message.size);
            }
        }
        Ok(here)
    }

    /// `doubled`: the store name occurs twice where the message was, so that its size decides.
    fn has(&self, store_name: &[u8], size: u64, doubled: bool) -> bool {
        let first = self.sizes.get(&mark(&[store_name]));
        if !doubled {
            return first.is_some();
        }
        let second = format!("/{size}");
        first == Some(&size)
            || self
                .sizes
                .contains_key(&mark(&[store_name, second.as_bytes()]))
    }
}

/// The folders of a tree with their stored names.
fn folders(tree: &Tree) -> impl Iterator<Item = (u32, &Vec<u8>)> {
    let branches = (0..).zip(tree.iter());
    branches.filter_map(|(position, branch)| match &branch.source {
        Source::Folder(stored) => Some((position, stored)),
        Source::Parent(_) => None,
    })
}

/// A folder as it was last looked at.
struct Newer<'a> {
    moment: &'a dyn Moment,
    folder: u32,
    stamp: Vec<u8>,
    listing: Option<Arc<Listing>>,
}

impl<'a> Search<'a> {
    /// Where each folder is: the date's number, newest first, and its position there.
    fn places(&self) -> BTreeMap<Vec<u8>, Vec<(u32, u32)>> {
        let mut places: BTreeMap<Vec<u8>, Vec<(u32, u32)>> = BTreeMap::new();
        for (date, moment) in (0..).zip(self.dates) {
            for (folder, stored) in folders(moment.tree()) {
                places
                    .entry(stored.clone())
                    .or_default()
                    .push((date, folder));
            }
        }
        places
    }

    fn folder(&mut self, stored: &[u8], places: &[(u32, u32)]) -> Result<()> {
        let present = self.present;
        let mut newer = match self.folders.get(stored) {
            Some(&folder) => Some(Newer {
                moment: present,
                folder,
                stamp: present.stamp(folder)?,
                listing: None,
            }),
            None => None,
        };
        for &(date, folder) in places {
            let Some(&moment) = self.dates.get(date as usize) else {
                continue;
            };
            let compared = self.compare(&mut newer, date, moment, folder);
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            match compared {
                Err(e) if e.kind() == Kind::Stale => {
                    // Removed a moment ago: the catalogue will notice.
                    tracing::debug!("{e}");
                    self.complete = false;
                }
                Err(e) if !is_for_all(&e) => {
                    tracing::warn!("what is gone since is not known of a folder: {e}");
                    self.complete = false;
                }
                compared => compared?,
            }
        }
        Ok(())
    }

    /// Takes note of what a date's folder has that neither the newer state of it nor the present state has.
    fn compare(
        &mut self,
        newer: &mut Option<Newer<'a>>,
        date: u32,
        moment: &'a dyn Moment,
        folder: u32,
    ) -> Result<()> {
        let stamp = moment.stamp(folder)?;
        if newer.as_ref().is_some_and(|newer| newer.stamp == stamp) {
            return Ok(());
        }
        let listing = moment.listing(folder)?;
        self.complete &= listing.is_complete();
        let known = match newer {
            Some(newer) => match &newer.listing {
                Some(listing) => Some(listing.clone()),
                None => Some(self.listing_of(newer)?),
            },
            None => None,
        };
        let others = not_in(&listing, known.as_deref());
        if !others.is_empty() {
            self.note_missing(date, moment, folder, &listing, others)?;
        }
        *newer = Some(Newer {
            moment,
            folder,
            stamp,
            listing: Some(listing),
        });
        Ok(())
    }

    fn listing_of(&mut self, newer: &Newer<'_>) -> Result<Arc<Listing>> {
        let listing = newer.moment.listing(newer.folder);
        // Only the present state is not listed yet.
        listing.inspect_err(|e| self.failed = Some(e.clone()))
    }

    fn note_missing(
        &mut self,
        date: u32,
        moment: &dyn Moment,
        folder: u32,
        listing: &Arc<Listing>,
        mut ordinals: Vec<u32>,
    ) -> Result<()> {
        let here = match &mut self.here {
            Some(here) => here,
            none => {
                let here = Here::read(self.present, &mut self.complete);
                none.insert(here.inspect_err(|e| self.failed = Some(e.clone()))?)
            }
        };
        let messages = listing.messages();
        let twins = messages.iter().filter(|message| message.twin);
        let doubled: HashSet<&[u8]> = twins.map(|twin| messages.store_name(twin)).collect();
        ordinals.retain(|&ordinal| {
            messages.get(ordinal as usize).is_some_and(|message| {
                let name = messages.store_name(message);
                !here.has(name, message.size, doubled.contains(name))
            })
        });
        if ordinals.is_empty() {
            return Ok(());
        }
        let ids = moment.message_ids(folder, listing, &ordinals)?;
        let found = match ordinals.len() == listing.len() {
            true => listing.clone(),
            false => Arc::new(listing.only(&ordinals)),
        };
        for ((place, ordinal), message_id) in (0u32..).zip(ordinals).zip(ids) {
            let Some(item) = found.get(place as usize) else {
                continue;
            };
            self.missing.push(Missing {
                mark: mark(&[&found.messages().identity(item.stored)]),
                message_id,
                size: item.size,
                gone: Gone {
                    date,
                    folder,
                    ordinal,
                    found: found.clone(),
                    place,
                },
            });
        }
        Ok(())
    }

    /// What is in the present state under another store name is not missing.
    fn forgive_copies(&mut self) -> Result<()> {
        let with_id = self
            .missing
            .iter()
            .filter(|missing| missing.message_id.is_some());
        let sizes: HashSet<u64> = with_id.map(|missing| missing.size).collect();
        if sizes.is_empty() {
            return Ok(());
        }
        let mut here = HashSet::new();
        for (folder, _) in folders(self.present.tree()) {
            let listing = self.present.listing(folder)?;
            let same_size = (0..)
                .zip(listing.iter())
                .filter(|(_, item)| sizes.contains(&item.size));
            let ordinals: Vec<u32> = same_size.map(|(ordinal, _)| ordinal).collect();
            let ids = self.present.message_ids(folder, &listing, &ordinals)?;
            for (ordinal, id) in ordinals.into_iter().zip(ids) {
                let size = listing.get(ordinal as usize).map(|item| item.size);
                here.extend(id.zip(size));
            }
        }
        self.missing.retain(|missing| {
            missing
                .message_id
                .is_none_or(|id| !here.contains(&(id, missing.size)))
        });
        Ok(())
    }

    /// Each message once, where it was last seen.
    fn last_seen(&mut self) -> Vec<Gone> {
        let ranks: Vec<HashMap<u32, u32>> = self
            .dates
            .iter()
            .map(|moment| moment.tree().in_order().into_iter().zip(0..).collect())
            .collect();
        let rank = |gone: &Gone| {
            ranks
                .get(gone.date as usize)
                .and_then(|ranks| ranks.get(&gone.folder))
        };
        self.missing.sort_by_key(|missing| {
            let gone = &missing.gone;
            (gone.date, rank(gone), gone.ordinal)
        });
        let (mut marks, mut letters) = (HashSet::new(), HashSet::new());
        let missing = std::mem::take(&mut self.missing);
        let firsts = missing.into_iter().filter(|missing| {
            let new = marks.insert(missing.mark);
            let letter = missing.message_id.map(|id| (id, missing.size));
            letter.is_none_or(|letter| letters.insert(letter)) && new
        });
        firsts.map(|missing| missing.gone).collect()
    }
}

/// The positions in a listing of messages that another state of the folder has not. It may name some that it has.
fn not_in(listing: &Listing, other: Option<&Listing>) -> Vec<u32> {
    let Some(other) = other else {
        return (0..listing.len() as u32).collect();
    };
    let (messages, others) = (listing.messages(), other.messages());
    let mut rest = others.iter().peekable();
    let mut missing = Vec::new();
    for (ordinal, message) in (0..).zip(messages.iter()) {
        let wanted = (messages.store_name(message), message.twin);
        let is =
            |other: &&crate::store::Message| (others.store_name(other), other.twin).cmp(&wanted);
        while rest.next_if(|other| is(other).is_lt()).is_some() {}
        if !rest.peek().is_some_and(|other| is(other).is_eq()) {
            missing.push(ordinal);
        }
    }
    missing
}
