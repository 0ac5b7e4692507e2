//! Messages of an mdbox that more folders have than the indexes tell of.
//!
//! The map counts how often folders have each message. What the index of a folder does not tell, since it cannot be read or its
//! log breaks off, is missing from the sum of all folders: so the message is known, though not its flags. Where only one
//! folder's index is such, the message is that folder's. Where there are several, a message that no other folder has is in
//! the one that it was saved to first, as its metadata say; any other may be in each of them, and is shown there, but if there are very
//! many: then in the one that it was saved to, and in the first.
//!
//! Where the map's own log breaks off, what was saved behind that is found in the storage files; who got copies then is
//! written nowhere. Without a map nothing is counted: then a folder has what was saved to it, some of which may have
//! been moved or deleted since.

use super::index::{Index, field};
use super::mdbox::{Current, FOLDER, Map, Spot, Wanted, hash};
use super::{Dbox, is_of_one};
use crate::error::{Kind, Result};
use crate::message::Flags;
use crate::store::{Store, folder_name};
use std::collections::{HashMap, HashSet};

/// Folders with a damaged index at most that each show what any of them may have.
const FEW: usize = 8;

/// A message that some folder has and no index tells of.
#[derive(Clone)]
struct Message {
    /// The torn folder that it was saved to first, by its position.
    origin: Option<usize>,
    hash: [u8; 16],
    received: i64,
    spot: Spot,
}

/// All messages of a mailbox that no index tells of.
#[derive(Default)]
pub struct Unaccounted {
    /// The stored names of the folders whose indexes do not tell all.
    torn: Vec<Vec<u8>>,
    /// Messages of one of these folders, by the position of the folder.
    own: HashMap<usize, Vec<Message>>,
    /// Messages of any of them.
    anywhere: Vec<Message>,
}

/// What the indexes of all folders tell.
#[derive(Default)]
struct Told {
    /// How often each message of the map is in a folder.
    counts: HashMap<u32, u32>,
    /// The hashes of their GUIDs.
    hashes: HashSet<[u8; 16]>,
    torn: Vec<Vec<u8>>,
    /// Decoded names of the torn ones, with `/` between their levels.
    positions: HashMap<String, usize>,
}

impl Dbox<'_> {
    /// The messages that a folder may have beyond those that its index, which does not tell all, has `known`. They have no UIDs.
    pub(super) fn untold(&self, folder: &[u8], map: &Map, known: &[Wanted]) -> Result<Vec<Wanted>> {
        let all = self.unaccounted(map)?;
        let position = all.torn.iter().position(|torn| torn == folder);
        let own = position.and_then(|position| all.own.get(&position));
        let is_shown = all.torn.len() <= FEW || position == Some(0);
        let shared = all.anywhere.iter();
        let shared = shared.filter(|one| is_shown && one.origin != position);
        let hashes: HashSet<[u8; 16]> = known.iter().map(|one| one.hash).collect();
        let place = |spot: &Spot| (spot.file, spot.offset);
        let places = known.iter().filter_map(|one| one.spot.as_ref()).map(place);
        let places: HashSet<(u32, u64)> = places.collect();
        // Without a map it is the order in the storage that tells what came later.
        let last = places.iter().max().filter(|_| map.index.is_none());
        let untold = own.into_iter().flatten().chain(shared).filter(|one| {
            let place = place(&one.spot);
            let unknown = one.hash == [0; 16] || !hashes.contains(&one.hash);
            unknown && !places.contains(&place) && last.is_none_or(|last| place > *last)
        });
        let wanted = |one: &Message| Wanted {
            uid: 0,
            flags: Flags::default(),
            keywords: 0,
            saved: one.received,
            hash: one.hash,
            mapped: one.spot.mapped,
            spot: Some(one.spot.clone()),
        };
        Ok(untold.map(wanted).collect())
    }

    fn unaccounted<'s>(&self, map: &'s Map) -> Result<&'s Unaccounted> {
        if let Some(known) = map.unaccounted.get() {
            return Ok(known);
        }
        let told = self.told()?;
        let mut found = Unaccounted::default();
        if let Some(index) = &map.index {
            self.count(map, index, &told, &mut found)?;
        }
        if !map.is_whole() {
            self.search(map, &told, &mut found)?;
        }
        found.torn = told.torn;
        Ok(map.unaccounted.get_or_init(|| found))
    }

    /// Sums up what all folders' indexes tell.
    fn told(&self) -> Result<Told> {
        let mut told = Told::default();
        for folder in self.folders()?.folders {
            let index = self.folder(&folder.stored);
            let index = match index.and_then(|dir| Index::read(&dir, "dovecot.index", &FOLDER)) {
                Ok(index) => index,
                Err(e) if e.kind() == Kind::NotFound || is_of_one(&e) => None,
                Err(e) => return Err(e),
            };
            if let Some(index) = &index {
                told.add(index);
            }
            if index.is_none_or(|index| index.unknown_from().is_some()) {
                let name = folder.path.join("/");
                told.positions.insert(name, told.torn.len());
                told.torn.push(folder.stored);
            }
        }
        Ok(told)
    }

    /// Finds what the map counts more often than the folders tell.
    fn count(&self, map: &Map, index: &Index, told: &Told, found: &mut Unaccounted) -> Result<()> {
        let mut more: Vec<(Spot, u32, bool)> = Vec::new();
        for (position, row) in index.rows() {
            let count = index.cell(1, position).and_then(|cell| cell.first_chunk());
            let count = u32::from(count.copied().map_or(0, u16::from_le_bytes));
            let told = told.counts.get(&row.uid).copied().unwrap_or_default();
            if let Some(spot) = map.spot(row.uid).filter(|_| count > told) {
                more.push((spot, count - told, told > 0));
            }
        }
        more.sort_by_key(|(spot, ..)| (spot.storage as u8, spot.file, spot.offset));
        let mut current = Current::default();
        for (spot, times, elsewhere) in more {
            let (hash, received, origin) = match current.record(self, &spot) {
                Ok(record) => (
                    hash(&record.guid),
                    record.received.unwrap_or_default(),
                    told.position(&record.origin),
                ),
                // It has been moved since the map broke off.
                Err(e) if e.kind() == Kind::NotFound && !map.is_whole() => continue,
                Err(e) if e.kind() == Kind::NotFound || is_of_one(&e) => ([0; 16], 0, None),
                Err(e) => return Err(e),
            };
            let message = Message {
                origin,
                hash,
                received,
                spot,
            };
            if let Some(origin) = origin {
                found.own.entry(origin).or_default().push(message.clone());
            }
            if origin.is_none() || times > 1 || elsewhere {
                found.anywhere.push(message);
            }
        }
        Ok(())
    }

    /// Finds in the storage files what the map does not know.
    fn search(&self, map: &Map, told: &Told, found: &mut Unaccounted) -> Result<()> {
        let mapped = map.index.as_ref().map(|index| {
            let cells = index
                .rows()
                .filter_map(|(position, _)| index.cell(0, position));
            let places = cells.map(|cell| (field(cell, 0), u64::from(field(cell, 4))));
            places.collect::<HashSet<(u32, u64)>>()
        });
        for one in self.scanned(map)? {
            let origin = told.position(&one.record.origin);
            let message = Message {
                origin,
                hash: one.hash,
                received: one.record.received.unwrap_or_default(),
                spot: one.spot.clone(),
            };
            match (&mapped, origin) {
                (None, Some(origin)) => found.own.entry(origin).or_default().push(message),
                (None, None) => {}
                (Some(mapped), origin) => {
                    let is_mapped = mapped.contains(&(one.spot.file, one.spot.offset));
                    if is_mapped || told.hashes.contains(&one.hash) {
                        continue;
                    }
                    match origin {
                        Some(origin) => found.own.entry(origin).or_default().push(message),
                        None => found.anywhere.push(message),
                    }
                }
            }
        }
        Ok(())
    }
}

impl Told {
    fn add(&mut self, index: &Index) {
        for (position, _) in index.rows() {
            let mapped = field(index.cell(0, position).unwrap_or_default(), 0);
            *self.counts.entry(mapped).or_default() += 1;
            let hash = index.cell(1, position).map(<[u8; 16]>::try_from);
            self.hashes.extend(hash.and_then(std::result::Result::ok));
        }
    }

    /// The torn folder that the metadata of a message call so.
    fn position(&self, origin: &[u8]) -> Option<usize> {
        let levels = origin.split(|&b| b == b'/').map(folder_name::decode);
        let name = levels.collect::<Vec<_>>().join("/");
        self.positions.get(&name).copied()
    }
}
