//! What is gone: the messages that some date has and the mailbox's present state has not.
//!
//! A message is the same wherever its store identity is, in whatever folder and with whatever flags; so neither a change of
//! flags nor a move that keeps the store's name nor a renamed folder deletes anything. A copy has a store name of its own:
//! where the identity is nowhere, a message of the same Message-ID and size is the message.
//!
//! Invariants:
//!
//! 1. A message stands once, where it was last seen: on the newest date that has it, there in the first folder in order.
//! 2. The cost follows the change. A folder that is as on the next newer date is not looked at, of another only the messages
//!    that the newer date has not; and a Message-ID is asked for only where an identity is missing, and of those in the
//!    present state that have the size of one that is missing.
//! 3. The present state is known or the answer is an error: what cannot be read is never taken for deleted. A folder of a
//!    date that cannot be read is done without, with a warning, and the answer says that it is not complete.
//!
//! The cast: a [`Moment`] is a mailbox as it is or was, [`lost`] compares one with others, [`Lost`] is the answer;
//! `search` finds what is missing.

mod search;

use super::listing::Listing;
use super::name;
use super::tree::{Source, Tree};
use crate::error::Result;
use crate::store::Folder;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

pub use search::lost;

/// A mailbox at one moment. Folders are positions in its tree.
pub trait Moment {
    fn tree(&self) -> &Tree;

    /// What changes whenever the folder does; the same for a folder that is the same at another moment.
    fn stamp(&self, folder: u32) -> Result<Vec<u8>>;

    fn listing(&self, folder: u32) -> Result<Arc<Listing>>;

    /// What stands for the Message-ID of messages of a folder; `None` for one that has none or cannot be read.
    fn message_ids(
        &self,
        folder: u32,
        listing: &Listing,
        ordinals: &[u32],
    ) -> Result<Vec<Option<u128>>>;
}

/// A mailbox's messages that are gone, in the folders where they were last seen.
#[derive(Debug, Default)]
pub struct Lost {
    /// The folders that something is gone from, and the directories above them.
    pub tree: Tree,
    /// By position in the tree.
    folders: HashMap<u32, LostFolder>,
    /// Whether everything could be read that the answer is made of.
    pub complete: bool,
}

/// What is gone from one folder: newest date first, then in the order of that date's listing.
#[derive(Debug, Default)]
pub struct LostFolder {
    parts: Vec<Part>,
    /// Hash of the folded name and position, in this order.
    by_name: Vec<(u64, u32)>,
    /// Positions of those whose name is another one's, ignoring case, and the names that they have instead.
    renamed: BTreeMap<u32, String>,
}

/// Messages of one listing. That is not at hand any more: a few messages may be gone from each of many dates that have many.
#[derive(Debug)]
pub struct Part {
    /// Which of the dates that were compared, and the folder's position in its tree.
    pub date: u32,
    pub folder: u32,
    /// Position of the first in the whole.
    pub first: u32,
    /// Positions in the listing, in order.
    pub ordinals: Vec<u32>,
    /// What the listing says of these messages alone, in the same order.
    pub listing: Arc<Listing>,
}

impl Part {
    fn weight(&self) -> usize {
        self.ordinals.len() * 4 + self.listing.weight() + size_of::<Self>()
    }
}

impl Lost {
    /// What is gone from a directory of the tree; `None` for a parent that is no folder.
    pub fn folder(&self, position: u32) -> Option<&LostFolder> {
        self.folders.get(&position)
    }

    pub fn folders(&self) -> impl Iterator<Item = (u32, &LostFolder)> {
        self.folders
            .iter()
            .map(|(position, folder)| (*position, folder))
    }

    /// Bytes of memory in use.
    pub fn weight(&self) -> usize {
        let folders = self.folders.values().map(|folder| {
            folder.by_name.len() * size_of::<(u64, u32)>()
                + folder.parts.iter().map(Part::weight).sum::<usize>()
                + folder
                    .renamed
                    .values()
                    .map(|name| name.len() + 64)
                    .sum::<usize>()
                + size_of::<LostFolder>()
        });
        self.tree.weight() + folders.sum::<usize>()
    }
}

impl LostFolder {
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The parts from the one on that has this position.
    pub fn parts_from(&self, position: u32) -> impl Iterator<Item = &Part> {
        let passed = self
            .parts
            .partition_point(|part| part.first + part.ordinals.len() as u32 <= position);
        self.parts.iter().skip(passed)
    }

    /// The part that has a position, and the message's place in it.
    pub fn at(&self, position: u32) -> Option<(&Part, usize)> {
        let part = self.parts_from(position).next()?;
        let place = position.checked_sub(part.first)? as usize;
        Some((part, place))
    }

    /// The positions that a name may stand for; there is one mostly.
    pub fn named(&self, name: &str) -> impl Iterator<Item = u32> {
        let hash = hash(name);
        let first = self.by_name.partition_point(|(other, _)| *other < hash);
        let same = self
            .by_name
            .iter()
            .skip(first)
            .take_while(move |(other, _)| *other == hash);
        same.map(|(_, position)| *position)
    }

    /// The name of the message at a position, whose date calls it `listed`.
    pub fn name<'a>(&'a self, position: u32, listed: &'a str) -> &'a str {
        self.renamed.get(&position).map_or(listed, String::as_str)
    }
}

/// Stands for a name, ignoring case.
fn hash(name: &str) -> u64 {
    let hash = Sha256::digest(name::fold(name));
    hash.first_chunk()
        .map(|first| u64::from_le_bytes(*first))
        .unwrap_or_default()
}

/// A message that is gone.
struct Gone {
    date: u32,
    folder: u32,
    ordinal: u32,
    /// Messages of its listing, and its place among them.
    found: Arc<Listing>,
    place: u32,
}

/// Arranges what is gone, which is in the order of invariant 1, in the folders where it was.
fn arrange(dates: &[&dyn Moment], gone: &[Gone], complete: bool) -> Lost {
    let source = |gone: &Gone| {
        let tree = dates.get(gone.date as usize)?.tree();
        match &tree.get(gone.folder)?.source {
            Source::Folder(stored) => Some((stored, tree, gone.folder)),
            Source::Parent(_) => None,
        }
    };
    let mut found: BTreeMap<&Vec<u8>, Vec<&Gone>> = BTreeMap::new();
    let mut folders = Vec::new();
    for gone in gone {
        let Some((stored, tree, folder)) = source(gone) else {
            continue;
        };
        let all = found.entry(stored).or_default();
        if all.is_empty() {
            folders.push(Folder {
                stored: stored.clone(),
                path: tree.decoded_path(folder),
            });
        }
        all.push(gone);
    }
    let tree = Tree::of(folders);
    let mut lost = Lost {
        tree,
        complete,
        ..Lost::default()
    };
    for position in 0..lost.tree.iter().len() as u32 {
        let Some(Source::Folder(stored)) = lost.tree.get(position).map(|branch| &branch.source)
        else {
            continue;
        };
        let gone = found.remove(stored).unwrap_or_default();
        let folder = fill(&gone, &lost.tree.taken(position));
        lost.folders.insert(position, folder);
    }
    lost
}

fn fill(gone: &[&Gone], taken: &HashSet<String>) -> LostFolder {
    let mut folder = LostFolder::default();
    let mut hashes: HashSet<u64> = taken.iter().map(|name| hash(name)).collect();
    for part in gone.chunk_by(|a, b| (a.date, a.folder) == (b.date, b.folder)) {
        let Some(one) = part.first() else {
            continue;
        };
        let listing = match one.found.len() == part.len() {
            true => one.found.clone(),
            false => {
                let places: Vec<u32> = part.iter().map(|gone| gone.place).collect();
                Arc::new(one.found.only(&places))
            }
        };
        let first = folder.by_name.len() as u32;
        for (position, item) in (first..).zip(listing.iter()) {
            let mut known = hash(item.name);
            let mut chars = 2 * name::ID_CHARS;
            while !hashes.insert(known) && chars <= name::MAX_ID_CHARS {
                let identity = listing.messages().identity(item.stored);
                let longer = name::with_id(item.name, &identity, chars);
                known = hash(&longer);
                folder.renamed.insert(position, longer);
                chars += name::ID_CHARS;
            }
            folder.by_name.push((known, position));
        }
        folder.parts.push(Part {
            date: one.date,
            folder: one.folder,
            first,
            ordinals: part.iter().map(|gone| gone.ordinal).collect(),
            listing,
        });
    }
    folder.by_name.sort_unstable();
    folder
}
