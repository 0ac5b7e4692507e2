//! Messages of an mdbox that more folders have than the indexes tell of.
//!
//! The map counts how often folders have each message. What the index of a folder does not tell, since it cannot be read or its
//! log breaks off, is missing from the sum of all folders: so the message is known, though not its flags. Where only one
//! folder's index is such, the message is that folder's. Where there are several, a message that no other folder has is in
//! the one that it was saved to first, as its metadata say; any other may be in each of them, and is shown there, but if there are very
//! many: then in the one that it was saved to, and in the first.
//!
//! Folders that are not shown count too: a server may keep what was expunged (`lazy_expunge`) in folders over the same storage, which
//! are beside `mailboxes` (`MAILBOXDIR=`). Where one of their indexes does not tell all either, what nobody tells of may be there,
//! or in a folder that is shown: it is shown, and the warning says so.
//!
//! Where the map's own log breaks off, what was saved behind that is found in the storage files; who got copies then is
//! written nowhere. Without a map nothing is counted: then a folder has what was saved to it, some of which may have
//! been moved or deleted since.
//!
//! All indexes of the mailbox are read for this, so it is kept for its other folders. It holds as long as the map and the index of
//! the folder are as they were: no message comes or goes in any folder without a change of the map.

use super::index::{Index, IndexState, field};
use super::locator::Storage;
use super::mdbox::{Current, FOLDER, Map, Spot, Wanted, hash};
use super::{Dbox, INDEX, folders, is_of_one};
use crate::disk::Dir;
use crate::error::{Kind, Result};
use crate::message::Flags;
use crate::store::{Store, folder_name};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Folders with a damaged index at most that each show what any of them may have.
const FEW: usize = 8;

/// Bytes of all that is kept, at most.
const MOST_KEPT: usize = 16 << 20;

const IN_DOUBT: &str = "so is an index of folders that are not shown, where the server keeps what was expunged: some of them may be of there";

/// What was found of mailboxes lately, the newest last.
static KEPT: Mutex<VecDeque<Kept>> = Mutex::new(VecDeque::new());

struct Kept {
    /// Of the mailbox, and of what its storage is like.
    key: [u8; 32],
    found: Arc<Unaccounted>,
}

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
    /// The folders whose indexes do not tell all, by their stored names.
    torn: HashMap<Vec<u8>, Torn>,
    /// So it is with an index of folders that are not shown.
    in_doubt: bool,
    /// Messages of one of these folders, by the position of the folder.
    own: HashMap<usize, Vec<Message>>,
    /// Messages of any of them.
    anywhere: Vec<Message>,
}

/// A folder whose index does not tell all.
struct Torn {
    /// Among all such folders.
    position: usize,
    /// What the index was like.
    state: IndexState,
}

/// What the indexes of all folders tell.
#[derive(Default)]
struct Told {
    /// How often each message of the map is in a folder.
    counts: HashMap<u32, u32>,
    /// The hashes of their GUIDs.
    hashes: HashSet<[u8; 16]>,
    torn: HashMap<Vec<u8>, Torn>,
    in_doubt: bool,
    /// Decoded names of the torn ones, with `/` between their levels.
    positions: HashMap<String, usize>,
}

impl Dbox<'_> {
    /// The messages that a folder may have beyond those that its index, which is in `dir` and does not tell all, has `known`; they
    /// have no UIDs. And what to say if they may be none of the folder's.
    pub(super) fn untold(
        &self,
        folder: &[u8],
        dir: &Dir<'_>,
        map: &Map,
        known: &[Wanted],
    ) -> Result<(Vec<Wanted>, Option<&'static str>)> {
        let all = self.unaccounted(folder, dir, map)?;
        let position = all.torn.get(folder).map(|torn| torn.position);
        let own = position.and_then(|position| all.own.get(&position));
        let shared = match all.torn.len() <= FEW || position == Some(0) {
            true => all.anywhere.as_slice(),
            false => &[],
        };
        let shared = shared.iter().filter(|one| one.origin != position);
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
        Ok((
            untold.map(wanted).collect(),
            all.in_doubt.then_some(IN_DOUBT),
        ))
    }

    fn unaccounted<'s>(
        &self,
        folder: &[u8],
        dir: &Dir<'_>,
        map: &'s Map,
    ) -> Result<&'s Unaccounted> {
        if let Some(known) = map.unaccounted.get() {
            return Ok(known);
        }
        let key = self.key(map)?;
        let state = IndexState::of(dir, INDEX)?;
        let holds = |kept: &Unaccounted| kept.torn.get(folder).is_some_and(|t| t.state == state);
        let found = match kept(&key).filter(|kept| holds(kept)) {
            Some(found) => found,
            None => {
                let found = Arc::new(self.look_for_unaccounted(map)?);
                keep(key, &found);
                found
            }
        };
        Ok(map.unaccounted.get_or_init(|| found))
    }

    /// What tells the mailbox and its storage from all others, and from itself as it was before.
    fn key(&self, map: &Map) -> Result<[u8; 32]> {
        let mut hash = Sha256::new();
        for part in [self.root.path().as_os_str().as_encoded_bytes(), self.path] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        hash.update(&map.state.bytes);
        for (storage, files) in [Storage::Primary, Storage::Alternative]
            .into_iter()
            .zip(&map.files)
        {
            hash.update(files.len().to_le_bytes());
            files
                .iter()
                .for_each(|file| hash.update(file.to_le_bytes()));
            let path = self.storage(storage, b"")?;
            // Then the files tell more than the map.
            let Some(path) = path.filter(|_| !map.is_whole() && !files.is_empty()) else {
                continue;
            };
            let dir = self.root.dir(&path)?;
            for file in files {
                match dir.stat(format!("m.{file}").as_bytes()) {
                    Ok(stat) => {
                        hash.update(stat.ino.to_le_bytes());
                        hash.update(stat.size.to_le_bytes());
                        hash.update(stat.mtime.secs.to_le_bytes());
                        hash.update(stat.mtime.nanos.to_le_bytes());
                    }
                    Err(e) if e.kind() == Kind::NotFound => hash.update([0]),
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(hash.finalize().into())
    }

    fn look_for_unaccounted(&self, map: &Map) -> Result<Unaccounted> {
        let told = self.told()?;
        let mut found = Unaccounted::default();
        if let Some(index) = &map.index {
            self.count(map, index, &told, &mut found)?;
        }
        if !map.is_whole() {
            self.search(map, &told, &mut found)?;
        }
        (found.torn, found.in_doubt) = (told.torn, told.in_doubt);
        Ok(found)
    }

    /// Sums up what all folders' indexes tell.
    fn told(&self) -> Result<Told> {
        let mut told = Told::default();
        for folder in self.folders()?.folders {
            let dir = match self.folder(&folder.stored) {
                Err(e) if e.kind() == Kind::NotFound || is_of_one(&e) => None,
                dir => Some(dir?),
            };
            let (state, tells_all) = told.read(dir.as_ref())?;
            if !tells_all {
                let position = told.torn.len();
                told.positions.insert(folder.path.join("/"), position);
                told.torn.insert(folder.stored, Torn { position, state });
            }
        }
        let tops: Vec<&[u8]> = self.indexes()?.into_iter().chain([self.path]).collect();
        for path in folders::not_shown(self.root, &tops, self.own()?)? {
            let dir = match self.root.dir(&path) {
                Err(e) if e.kind() == Kind::NotFound || is_of_one(&e) => None,
                dir => Some(dir?),
            };
            let (_, tells_all) = told.read(dir.as_ref())?;
            told.in_doubt |= !tells_all;
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

fn kept(key: &[u8; 32]) -> Option<Arc<Unaccounted>> {
    let all = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let of_it = all.iter().find(|kept| kept.key == *key)?;
    Some(Arc::clone(&of_it.found))
}

fn keep(key: [u8; 32], found: &Arc<Unaccounted>) {
    let mut all = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|kept| kept.key != key);
    all.push_back(Kept {
        key,
        found: Arc::clone(found),
    });
    let mut weight: usize = all.iter().map(|kept| kept.found.weight()).sum();
    while weight > MOST_KEPT
        && let Some(oldest) = all.pop_front()
    {
        weight = weight.saturating_sub(oldest.found.weight());
    }
}

impl Unaccounted {
    /// Bytes that it takes in memory, about.
    fn weight(&self) -> usize {
        let messages = self.own.values().map(Vec::len).sum::<usize>() + self.anywhere.len();
        let names = self.torn.keys().map(Vec::len).sum::<usize>();
        messages * size_of::<Message>() + self.torn.len() * 256 + names + 256
    }
}

impl Told {
    /// Takes in the index in a directory: what it was like before, and whether it tells all.
    fn read(&mut self, dir: Option<&Dir<'_>>) -> Result<(IndexState, bool)> {
        let Some(dir) = dir else {
            return Ok((IndexState::default(), false));
        };
        let state = IndexState::of(dir, INDEX)?;
        let index = match Index::read(dir, INDEX, &FOLDER) {
            Ok(index) => index,
            Err(e) if e.kind() == Kind::NotFound || is_of_one(&e) => None,
            Err(e) => return Err(e),
        };
        if let Some(index) = &index {
            self.add(index);
        }
        let tells_all = index.is_some_and(|index| index.unknown_from().is_none());
        Ok((state, tells_all))
    }

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
