//! The messages of an mdbox folder: in files `storage/m.<number>` that all folders of the mailbox share.
//!
//! A folder's index has for each message its number in the map and a hash of its GUID; the map, an index of its own, has
//! the file and the offset. Copies in several folders are one message of the map. A message moves to another file only
//! when a file is rewritten without what was deleted, and then the old file is gone.

use super::folders::guid;
use super::found::{Before, Found, assemble};
use super::index::{Column, Index, IndexState, field};
use super::locator::{Locator, State, Storage};
use super::record::{FileHeader, Record};
use super::refcount::Unaccounted;
use super::{Dbox, INDEX, at, damage, is_of_one};
use crate::disk::{File, FileKind, Listing, Root};
use crate::error::{Error, Kind, Result};
use crate::message::Flags;
use crate::store::bounds::MOST_MESSAGES;
use crate::store::{Messages, join};
use sha1::{Digest, Sha1};
use sha2::Sha256;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

pub const STORAGE: &[u8] = b"storage";

const MAP_NAME: &str = "dovecot.map.index";

const MAP_IS_DAMAGED: &str = "the map of the storage cannot be read to its end either: what was copied to the folder lately may be missing";

/// Of a folder's index: number in the map, and time of saving; hash of the GUID.
pub const FOLDER: [Column; 2] = [(b"mdbox", 8), (b"guid", 16)];

/// Of the map: file, offset, size with all that is around the message; number of folders that have it.
const MAP: [Column; 2] = [(b"map", 12), (b"ref", 2)];

/// Whether a directory has the storage of an mdbox, or a link in its place.
pub fn has_storage(root: &Root, path: &[u8]) -> Result<bool> {
    let storage = join(path, STORAGE);
    match root.list(&storage) {
        Ok(names) => {
            let map = names
                .iter()
                .any(|e| e.name.starts_with(b"dovecot.map.index"));
            Ok(map || numbers(&names).next().is_some())
        }
        Err(e) if e.kind() == Kind::NotFound => Ok(false),
        Err(e) if e.kind() == Kind::NotADirectory => match root.stat(&storage) {
            Ok(stat) => Ok(stat.kind == FileKind::Symlink),
            Err(e) if e.kind() == Kind::NotFound || is_of_one(&e) => Ok(false),
            Err(e) => Err(e),
        },
        Err(e) => Err(e),
    }
}

/// The numbers of storage files.
fn numbers(names: &Listing) -> impl Iterator<Item = u32> {
    let files = names.iter().filter(|entry| entry.kind == FileKind::File);
    files.filter_map(|entry| {
        let digits = entry.name.strip_prefix(b"m.")?;
        let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
        (entry.name == format!("m.{number}").as_bytes()).then_some(number)
    })
}

/// Where a message is.
#[derive(Clone, Debug)]
pub struct Spot {
    pub storage: Storage,
    /// The number of the file.
    pub file: u32,
    /// Where the message's header begins.
    pub offset: u64,
    /// Its number in the map; 0 if that is not known.
    pub mapped: u32,
}

impl Spot {
    fn locator(&self) -> Locator {
        Locator {
            file: format!("m.{}", self.file),
            mark: format!("{}.{}", self.mapped, self.offset),
            storage: self.storage,
            start: 0,
            header: 0,
            plain: None,
            state: State::Damaged,
        }
    }
}

/// Where the messages of a mailbox are.
pub struct Map {
    /// `None` if it cannot be read.
    pub index: Option<Index>,
    /// As it was before it was read.
    pub state: IndexState,
    /// The files in each storage.
    pub files: [Vec<u32>; 2],
    /// All messages that the files hold, read only if the map does not tell where one is.
    scanned: OnceLock<Vec<Scanned>>,
    /// What no folder's index tells of, looked for only if one of them does not tell all.
    pub unaccounted: OnceLock<Arc<Unaccounted>>,
}

/// A message that was found in a file.
pub struct Scanned {
    pub spot: Spot,
    pub hash: [u8; 16],
    pub record: Record,
}

/// A message that the folder should have.
pub struct Wanted {
    pub uid: u32,
    pub flags: Flags,
    pub keywords: u32,
    pub saved: i64,
    /// Of its GUID; zeros if that is not known.
    pub hash: [u8; 16],
    /// Its number in the map; 0 if that is not known.
    pub mapped: u32,
    pub spot: Option<Spot>,
}

impl<'a> Dbox<'a> {
    /// Which storage files are gone, as far as the numbers of the others tell.
    pub(super) fn gone(&self) -> Result<[u8; 32]> {
        let mut hash = Sha256::new();
        for storage in [Storage::Primary, Storage::Alternative] {
            let mut next = 0;
            for number in self.storage_files(storage)? {
                if number > next {
                    hash.update(next.to_le_bytes());
                    hash.update(number.to_le_bytes());
                }
                next = number.saturating_add(1);
            }
            hash.update(u32::MAX.to_le_bytes());
        }
        Ok(hash.finalize().into())
    }

    /// The numbers of the storage files, in order.
    fn storage_files(&self, storage: Storage) -> Result<Vec<u32>> {
        let Some(path) = self.storage(storage, b"")? else {
            return Ok(Vec::new());
        };
        match self.root.list(&path) {
            Ok(names) => {
                let mut files: Vec<u32> = numbers(&names).collect();
                files.sort_unstable();
                Ok(files)
            }
            Err(e) if e.kind() == Kind::NotFound => Ok(Vec::new()),
            Err(e) => Err(e),
        }
    }

    fn map(&self) -> Result<&Map> {
        if let Some(map) = self.map.get() {
            return Ok(map);
        }
        let files = [
            self.storage_files(Storage::Primary)?,
            self.storage_files(Storage::Alternative)?,
        ];
        let path = join(self.indexes()?.unwrap_or(self.path), STORAGE);
        let mut state = IndexState::default();
        let index = self.root.dir(&path).and_then(|dir| {
            state = IndexState::of(&dir, MAP_NAME)?;
            Index::read(&dir, MAP_NAME, &MAP)
        });
        let index = match index {
            Ok(index) => index,
            Err(e) if e.kind() == Kind::NotFound => None,
            Err(e) if is_of_one(&e) => {
                let what = "the map of a mailbox cannot be read; its messages are looked for in all its files";
                let changed = state.changed.unwrap_or_default();
                self.root.warn(&path, changed, format_args!("{what}: {e}"));
                None
            }
            Err(e) => return Err(e),
        };
        let map = Map {
            index,
            state,
            files,
            scanned: OnceLock::new(),
            unaccounted: OnceLock::new(),
        };
        Ok(self.map.get_or_init(|| map))
    }

    /// All messages in the storage files.
    pub(super) fn scanned<'s>(&self, map: &'s Map) -> Result<&'s [Scanned]> {
        if let Some(scanned) = map.scanned.get() {
            return Ok(scanned);
        }
        let mut found = Vec::new();
        for (storage, files) in [Storage::Primary, Storage::Alternative]
            .into_iter()
            .zip(&map.files)
        {
            let Some(path) = self.storage(storage, b"")?.filter(|_| !files.is_empty()) else {
                continue;
            };
            let dir = self.root.dir(&path)?;
            for &number in files {
                let scanned = dir.open(format!("m.{number}").as_bytes());
                let scanned = scanned.and_then(|file| scan(&file, storage, number, &mut found));
                match scanned {
                    Err(e) if is_of_one(&e) => {
                        let what = "what is behind this in its file is not found";
                        let changed = dir.stat_self()?.mtime;
                        self.root.warn(&path, changed, format_args!("{what}: {e}"));
                    }
                    other => other?,
                }
            }
        }
        Ok(map.scanned.get_or_init(|| found))
    }

    pub(super) fn mdbox_messages(&self, folder: &[u8], before: &Messages) -> Result<Messages> {
        let dir = self.folder(folder)?;
        let map = self.map()?;
        let index = match Index::read(&dir, INDEX, &FOLDER) {
            Err(e) if !is_of_one(&e) => return Err(e),
            index => index,
        };
        let told = index.as_ref().ok().and_then(Option::as_ref);
        let mut wanted = told.map_or_else(Vec::new, |index| of_index(index, map));
        let known = wanted.len();
        let mut notes = Vec::new();
        if let Some(first) = told.map_or(Some(1), Index::unknown_from) {
            let (untold, doubt) = self.untold(folder, &dir, map, &wanted)?;
            // A hostile index may say that the first is the last that there is.
            let uids = (0u32..).map(|n| first.wrapping_add(n));
            let untold = untold.into_iter().zip(uids);
            wanted.extend(untold.map(|(one, uid)| Wanted { uid, ..one }));
            if !map.is_whole() {
                notes.push(MAP_IS_DAMAGED);
            }
            notes.extend(doubt.filter(|_| wanted.len() > known));
        }
        let more = wanted.len() - known;
        let damage = damage::of_index(&index, more, map.is_whole());
        let damage = damage.map(|what| [&[what.as_str()], notes.as_slice()].concat().join("; "));
        // What a folder has got since its log broke off is not in its stamp.
        let breaks_off = told.is_some_and(|index| index.unknown_from().is_some());
        let mut provisional = damage.is_some() || breaks_off;
        let keywords = index.ok().flatten().map(Index::into_keywords);
        // What the map knew once has been purged since the folder's index was copied, and is in no file.
        let lacks = |one: &Wanted| one.spot.is_none() && map.may_lack(one.mapped);
        if wanted.iter().any(lacks) {
            provisional = true;
            let scanned = self.scanned(map)?.iter();
            let by_hash: HashMap<[u8; 16], &Spot> = scanned.map(|s| (s.hash, &s.spot)).collect();
            for one in wanted.iter_mut().filter(|one| one.spot.is_none()) {
                one.spot = by_hash.get(&one.hash).map(|spot| (*spot).clone());
            }
        }
        // In the order of the disk.
        let key = |one: &Wanted| {
            one.spot
                .as_ref()
                .map(|spot| (spot.storage as u8, spot.file, spot.offset))
        };
        wanted.sort_by_key(key);
        let before = Before::new(before);
        let mut current = Current::default();
        let mut troubles = Vec::new();
        let mut found = Vec::with_capacity(wanted.len());
        for one in &wanted {
            found.push(self.mdbox_message(one, &before, &mut current, &mut troubles)?);
        }
        self.tell(folder, &dir, damage.as_deref(), &troubles);
        let mut messages = assemble(found, keywords.unwrap_or_default())?;
        messages.provisional |= provisional;
        messages.damage = damage;
        Ok(messages)
    }

    fn mdbox_message(
        &self,
        wanted: &Wanted,
        before: &Before<'_>,
        current: &mut Current<'a>,
        troubles: &mut Vec<Error>,
    ) -> Result<Found> {
        let nowhere = Spot {
            storage: Storage::Primary,
            file: 0,
            offset: 0,
            mapped: 0,
        };
        let spot = wanted.spot.as_ref();
        let mut found = Found {
            guid: hexadecimal(&wanted.hash),
            uid: wanted.uid,
            flags: wanted.flags,
            keywords: wanted.keywords,
            size: 0,
            received: at(wanted.saved),
            locator: spot.unwrap_or(&nowhere).locator(),
        };
        let Some(spot) = spot else {
            let message = format!("message {} is in no storage file", wanted.uid);
            troubles.push(Error::new(Kind::Undecodable, message));
            return Ok(found);
        };
        if let Some((guid, message, locator)) = before.get(&found.locator.key()) {
            (found.guid, found.size, found.received) = (guid, message.size, message.received);
            found.locator = Locator {
                storage: spot.storage,
                ..locator
            };
            return Ok(found);
        }
        let read = current
            .file(self, spot)
            .and_then(|(file, header)| Ok((*header, Record::read(file, *header, spot.offset)?)));
        match read {
            Ok((_, record)) if wanted.hash != [0; 16] && hash(&record.guid) != wanted.hash => {
                let message = format!(
                    "message {} is another one in {}",
                    wanted.uid, found.locator.file
                );
                troubles.push(Error::new(Kind::Undecodable, message));
            }
            Ok((header, record)) => found.take(header, &record),
            Err(e) if is_of_one(&e) || e.kind() == Kind::NotFound => troubles.push(e),
            Err(e) => return Err(e),
        }
        Ok(found)
    }
}

impl Map {
    /// Where the map says that a message is.
    pub fn spot(&self, mapped: u32) -> Option<Spot> {
        let index = self.index.as_ref()?;
        let cell = index.cell(0, index.live_position(mapped)?)?;
        let file = field(cell, 0);
        let primary = self
            .files
            .first()
            .is_some_and(|files| files.binary_search(&file).is_ok());
        let alternative = self
            .files
            .get(1)
            .is_some_and(|files| files.binary_search(&file).is_ok());
        let storage = match alternative && !primary {
            true => Storage::Alternative,
            false => Storage::Primary,
        };
        Some(Spot {
            storage,
            file,
            offset: field(cell, 4).into(),
            mapped,
        })
    }

    /// Whether a message may be in the files though the map does not say where.
    fn may_lack(&self, mapped: u32) -> bool {
        match &self.index {
            Some(index) => mapped == 0 || mapped >= index.next_uid() || !self.is_whole(),
            None => true,
        }
    }

    /// Whether it knows of all messages.
    pub fn is_whole(&self) -> bool {
        let index = self.index.as_ref();
        index.is_some_and(|index| index.unknown_from().is_none())
    }
}

/// The messages that a folder's index tells of.
fn of_index(index: &Index, map: &Map) -> Vec<Wanted> {
    let wanted = index.rows().map(|(position, row)| {
        let own = index.cell(0, position).unwrap_or_default();
        let mapped = field(own, 0);
        let hash = index
            .cell(1, position)
            .and_then(|cell| cell.try_into().ok());
        Wanted {
            uid: row.uid,
            flags: row.flags(),
            keywords: row.keywords,
            saved: field(own, 4).into(),
            hash: hash.unwrap_or_default(),
            mapped,
            spot: map.spot(mapped),
        }
    });
    wanted.collect()
}

/// The storage file that messages are read from, with what its first line says.
type Open<'a> = Result<(File<'a>, FileHeader)>;

/// The storage file at hand, by where it is.
#[derive(Default)]
pub struct Current<'a> {
    open: Option<(Storage, u32, Open<'a>)>,
}

impl<'a> Current<'a> {
    /// What is around a message's bytes.
    pub fn record(&mut self, store: &Dbox<'a>, spot: &Spot) -> Result<Record> {
        let (file, header) = self.file(store, spot)?;
        Record::read(file, *header, spot.offset)
    }

    fn file(&mut self, store: &Dbox<'a>, spot: &Spot) -> Result<&(File<'a>, FileHeader)> {
        let is_it = |open: &(Storage, u32, _)| (open.0, open.1) == (spot.storage, spot.file);
        if !self.open.as_ref().is_some_and(is_it) {
            let open = || {
                let none = || Error::new(Kind::Unreadable, "no alternative storage");
                let path = store.storage(spot.storage, b"")?.ok_or_else(none)?;
                let name = format!("m.{}", spot.file);
                let file = store.root.open(&join(&path, name.as_bytes()))?;
                let header = FileHeader::read(&file)?;
                Ok((file, header))
            };
            self.open = Some((spot.storage, spot.file, open()));
        }
        match &self.open {
            Some((_, _, Ok(open))) => Ok(open),
            Some((_, _, Err(e))) => Err(e.clone()),
            None => Err(Error::new(Kind::Unreadable, "no file")),
        }
    }
}

/// Adds all messages of a storage file.
fn scan(file: &File<'_>, storage: Storage, number: u32, found: &mut Vec<Scanned>) -> Result<()> {
    let header = FileHeader::read(file)?;
    let mut offset = header.size;
    while offset < file.stat().size {
        let record = Record::read(file, header, offset)?;
        let spot = Spot {
            storage,
            file: number,
            offset,
            mapped: 0,
        };
        if found.len() >= MOST_MESSAGES {
            return Err(Error::new(Kind::Unreadable, "more than 4 million messages"));
        }
        offset = record.end;
        found.push(Scanned {
            spot,
            hash: hash(&record.guid),
            record,
        });
    }
    Ok(())
}

/// What an index has of a GUID: the GUID itself, or, if it is not of 128 bits, the end of its SHA-1 hash.
pub fn hash(text: &[u8]) -> [u8; 16] {
    guid(text).unwrap_or_else(|| {
        let hash: [u8; 20] = Sha1::digest(text).into();
        hash.last_chunk().copied().unwrap_or_default()
    })
}

fn hexadecimal(bytes: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>()
        .into_bytes()
}
