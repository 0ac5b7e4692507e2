//! Cyrus IMAP: a directory for each folder, with a file for each message and what is known of them beside.
//!
//! A mailbox is the directory of a user's INBOX. In a spool that is laid out by names (`user/ann`, or `a/user/ann` where
//! it is hashed) each other folder is a directory in it with a `cyrus.header`; in one by ids the folders of all users are
//! beside each other. [`spool`] knows which are whose. A message's file is its UID and a dot.
//!
//! - [`cyrus.index`](index) decides what is in a folder; a file that it does not know is debris. Where it cannot be read,
//!   or a part of it, the files themselves are the messages, without flags, and there is a warning.
//! - A message is known by its GUID, the SHA-1 of itself, with its UID behind it where the folder has it more than once.
//!   Without an index it is known by its folder and UID.
//! - The index knows the checksum of the folder's [`cyrus.header`](header). Where it is another one, the sizes of messages tell whether
//!   the index is another folder's. Else the header is newer, if it says that it is this folder's: its keywords are shown, and
//!   there is a warning; or damaged.
//! - INTERNALDATE is in the index, else the file's time.
//! - A message whose file is not in its folder may be in another partition, archived.
//!
//! Which of a user's folders others have seen messages in is in databases of their own and not looked at.
//!
//! Source: Cyrus IMAP's `imap/mailbox.h` and `doc/internal/mailbox-format`.

mod collector;
mod header;
mod index;
mod spool;

use super::bounds::{self, Room};
use super::{
    AskBefore, Definition, Files, Folder, Folders, Found, Message, Messages, Place, Stamp, Store,
    Stored, join,
};
use crate::disk::{File, FileKind, Listing, Root};
use crate::error::{Error, Kind, Result};
use crate::message::Flags;
use crate::time::Time;
use collector::{Collector, name_of};
use index::{Index, Record};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

const HEADER: &[u8] = b"cyrus.header";
const INDEX: &[u8] = b"cyrus.index";

/// A longer header is none.
const LONGEST_HEADER: u64 = 1 << 20;

/// Messages whose sizes are looked at, where it is in doubt whether an index is its folder's.
const LOOKS: usize = 16;

pub(super) static FORMAT: Definition = Definition {
    name: "cyrus",
    shown_by: |_, path, names| Ok(is_shown_by(names) && !spool::is_deleted(path)),
    is_at: |root, path| Ok(is_shown_by(&root.list(path)?)),
    open: |root, place| {
        Box::new(Cyrus {
            root,
            place,
            elsewhere: Mutex::default(),
        })
    },
    spool: spool::mailboxes,
    whose: |path| Some(spool::whose(path)),
    user: |name| spool::level(name.as_bytes()),
};

/// What a folder that is not below its mailbox's directory is known by: its path from the snapshot's root, behind this.
const PART: &[u8] = b"//";

fn is_shown_by(names: &Listing) -> bool {
    names
        .iter()
        .any(|e| e.kind == FileKind::File && matches!(e.name, HEADER | INDEX))
}

/// Directories, relative to the root.
type Paths = Arc<[Vec<u8>]>;

/// One mailbox in a snapshot.
struct Cyrus<'a> {
    root: &'a Root,
    place: Place<'a>,
    /// By folder: the directories in other partitions that have messages of it. Only of folders that need them.
    elsewhere: Mutex<HashMap<Vec<u8>, Paths>>,
}

impl Cyrus<'_> {
    /// The directory of a folder, relative to the root.
    fn at(&self, folder: &[u8]) -> Vec<u8> {
        match folder.strip_prefix(PART) {
            Some(part) => part.to_vec(),
            None => join(self.place.path, folder),
        }
    }

    /// The name of a folder that is by its id; INBOX has none.
    fn name_by_id(&self, directory: &[u8]) -> Result<Vec<String>> {
        let levels = match spool::name_of(self.root, directory) {
            Ok(name) => name.map(|name| name.levels).unwrap_or_default(),
            Err(e) if e.kind() == Kind::NotFound || bounds::is_of_one(&e) => {
                let id = directory.rsplit(|&b| b == b'/').next().unwrap_or_default();
                vec![String::from_utf8_lossy(id).into_owned()]
            }
            Err(e) => return Err(e),
        };
        Ok(match levels.is_empty() {
            true => vec!["INBOX".to_owned()],
            false => levels,
        })
    }

    /// The directories in other partitions that may have messages of a folder.
    fn elsewhere(&self, folder: &[u8]) -> Result<Paths> {
        let known = || {
            self.elsewhere
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(found) = known().get(folder) {
            return Ok(found.clone());
        }
        let found: Paths = spool::elsewhere(self.root, &self.at(folder))?.into();
        known().insert(folder.to_vec(), found.clone());
        Ok(found)
    }

    /// The file of a message, in whichever partition it is.
    fn file(&self, folder: &[u8], name: &[u8]) -> Result<File<'_>> {
        let missing = match self.root.open(&join(&self.at(folder), name)) {
            Err(e) if e.kind() == Kind::NotFound => e,
            other => return other,
        };
        for path in self.elsewhere(folder)?.iter() {
            match self.root.open(&join(path, name)) {
                Err(e) if e.kind() == Kind::NotFound => {}
                other => return other,
            }
        }
        Err(missing)
    }

    /// One of the files that say what is in a folder; `None` if it is not there.
    fn own(&self, folder: &[u8], name: &[u8]) -> Result<Option<File<'_>>> {
        match self.root.open(&join(&self.at(folder), name)) {
            Err(e) if e.kind() == Kind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// The records of a folder, as far as they are of use. `files` are the messages' files in its directory.
    fn index(
        &self,
        folder: &[u8],
        header: &Head,
        files: &BTreeSet<u32>,
        damage: &mut Vec<String>,
    ) -> Result<Option<Index>> {
        let index = match self.own(folder, INDEX) {
            Ok(Some(file)) => index::read(&file),
            Ok(None) => Err(Error::new(Kind::Undecodable, "there is none")),
            Err(e) => Err(e),
        };
        let why = match index {
            Ok(index) if !self.is_own(folder, header, &index, files)? => {
                "it is another folder's".to_owned()
            }
            Ok(index) => {
                if index.headless {
                    damage.push("the header of cyrus.index is damaged".to_owned());
                }
                if index.damaged > 0 {
                    let count = index.damaged;
                    damage.push(format!(
                        "{count} records of cyrus.index are damaged or missing"
                    ));
                }
                return Ok(Some(index));
            }
            Err(e) if bounds::is_of_one(&e) => e.to_string(),
            Err(e) => return Err(e),
        };
        damage.push(format!(
            "cyrus.index cannot be used ({why}): its messages are shown without flags"
        ));
        Ok(None)
    }

    /// Whether an index is this folder's: it knows the folder's header, or the sizes of its messages.
    fn is_own(
        &self,
        folder: &[u8],
        header: &Head,
        index: &Index,
        files: &BTreeSet<u32>,
    ) -> Result<bool> {
        if index.beside.is_some() && index.beside == header.sum {
            return Ok(true);
        }
        let dir = self.root.dir(&self.at(folder))?;
        let there = index.records.iter().filter(|r| files.contains(&r.uid));
        let (mut seen, mut same) = (0, 0);
        for record in there.take(LOOKS) {
            let size = match dir.stat(format!("{}.", record.uid).as_bytes()) {
                Ok(stat) => stat.size,
                Err(e) if e.kind() == Kind::NotFound => continue,
                Err(e) => return Err(e),
            };
            seen += 1;
            same += usize::from(size == record.size);
        }
        Ok(same * 2 >= seen)
    }

    /// What `cyrus.header` says.
    fn head(&self, folder: &[u8]) -> Result<Head> {
        let file = match self.own(folder, HEADER) {
            Err(e) if bounds::is_of_one(&e) => None,
            other => other?,
        };
        let Some(file) = file.filter(|file| file.stat().size <= LONGEST_HEADER) else {
            return Ok(Head::default());
        };
        let mut bytes = vec![0; file.stat().size as usize];
        let len = file.read_at(&mut bytes, 0)?;
        bytes.truncate(len);
        let header = header::parse(&bytes);
        let is_of = |h: &header::Header| spool::is_of(h, self.place.path, folder, &self.at(folder));
        Ok(Head {
            is_own: header.as_ref().is_some_and(is_of),
            keywords: header.map(|header| header.keywords),
            sum: Some(crc32fast::hash(&bytes)),
        })
    }
}

/// What `cyrus.header` says of a folder's messages.
#[derive(Default)]
struct Head {
    /// `None` if it cannot be read.
    keywords: Option<Vec<Vec<u8>>>,
    /// It says that it is this folder's.
    is_own: bool,
    /// Its CRC-32.
    sum: Option<u32>,
}

impl Store for Cyrus<'_> {
    fn root(&self) -> &Root {
        self.root
    }

    fn path(&self) -> &[u8] {
        self.place.path
    }

    fn folders(&self) -> Result<Folders> {
        let mut found = Folders::default();
        let mut room = Room::new(self.place.path);
        // A stack of its own: the depth is the mailbox owner's choice.
        let mut pending = vec![(Vec::new(), Vec::new())];
        while let Some((stored, path)) = pending.pop() {
            let listing = match self.root.list(&self.at(&stored)) {
                Ok(listing) => listing,
                Err(e) if !stored.is_empty() && bounds::is_of_one(&e) => {
                    let what = format_args!("a folder cannot be read: {e}");
                    self.root.warn(&self.at(&stored), Time::default(), what);
                    found.folders.push(Folder { stored, path });
                    continue;
                }
                Err(e) => return Err(e),
            };
            for entry in listing.iter().filter(|e| e.kind == FileKind::Directory) {
                let another =
                    stored.is_empty() && self.place.others.iter().any(|o| o == entry.name);
                if another || entry.name.starts_with(b".") {
                    continue;
                }
                if path.len() >= bounds::DEEPEST {
                    found.oddities += 1;
                    continue;
                }
                let mut path: Vec<String> = path.clone();
                path.push(spool::level(entry.name));
                room.take(path.len())?;
                pending.push((join(&stored, entry.name), path));
            }
            if is_shown_by(&listing) {
                let path = match path.is_empty() {
                    true if spool::is_by_id(self.place.path) => self.name_by_id(self.place.path)?,
                    true => vec!["INBOX".to_owned()],
                    false => path,
                };
                found.folders.push(Folder { stored, path });
            }
        }
        for part in self.place.parts {
            let path = self.name_by_id(part)?;
            room.take(path.len())?;
            let stored = [PART, part].concat();
            found.folders.push(Folder { stored, path });
        }
        Ok(found)
    }

    fn describe(&self, folders: &[Folder]) -> String {
        match folders.iter().any(|f| f.stored.starts_with(PART)) {
            true => "Cyrus, by ids",
            false => "Cyrus",
        }
        .to_owned()
    }

    fn stamp(&self, folder: &[u8]) -> Result<Stamp> {
        let dir = self.root.dir(&self.at(folder))?;
        let mut bytes = Vec::with_capacity(120);
        let mut changed = Time::default();
        for name in [b"".as_slice(), HEADER, INDEX] {
            let stat = match name {
                b"" => dir.stat_self(),
                name => dir.stat(name),
            };
            let stat = match stat {
                Err(e) if e.kind() == Kind::NotFound => {
                    bytes.push(0);
                    continue;
                }
                other => other?,
            };
            bytes.extend_from_slice(&stat.ino.to_le_bytes());
            bytes.extend_from_slice(&stat.size.to_le_bytes());
            for time in [stat.mtime, stat.ctime] {
                bytes.extend_from_slice(&time.secs.to_le_bytes());
                bytes.extend_from_slice(&time.nanos.to_le_bytes());
            }
            changed = changed.max(stat.mtime);
        }
        Ok(Stamp { bytes, changed })
    }

    fn touched(&self, folder: &[u8]) -> Result<Time> {
        let dir = self.root.dir(&self.at(folder))?;
        let own = dir.stat_self()?.touched();
        Ok(own.max(dir.touched(&[HEADER, INDEX])?))
    }

    fn messages_since(&self, folder: &[u8], _before: &AskBefore<'_>) -> Result<Found> {
        let dir = self.root.dir(&self.at(folder))?;
        let mut damage = Vec::new();
        let mut files = BTreeSet::new();
        let mut messages = Messages::default();
        for entry in dir.list()?.iter() {
            let Some(uid) = uid_of(entry.name) else {
                continue;
            };
            if entry.kind == FileKind::File {
                files.insert(uid);
            } else {
                odd(&mut messages, entry.name);
            }
        }
        let head = self.head(folder)?;
        let index = self.index(folder, &head, &files, &mut damage)?;
        let sound = index.is_some() && damage.is_empty();
        let beside = index.as_ref().and_then(|index| index.beside);
        let is_known = beside.is_none() || beside == head.sum;
        let known = head.keywords.filter(|_| is_known || head.is_own);
        if known.is_none() {
            damage.push(
                "cyrus.header is damaged: its messages are shown without keywords".to_owned(),
            );
        } else if !is_known {
            damage.push(
                "cyrus.header is not the one that the index knows: its keywords may be wrong"
                    .to_owned(),
            );
        }
        let names = known.unwrap_or_default();
        if !damage.is_empty() {
            let damage = damage.join("; ");
            let changed = self.stamp(folder)?.changed;
            self.root.warn(&self.at(folder), changed, &damage);
            messages.damage = Some(damage);
        }
        if !sound {
            for path in self.elsewhere(folder)?.iter() {
                let names = self.root.list(path)?;
                let known = names.iter().filter(|e| e.kind == FileKind::File);
                files.extend(known.filter_map(|e| uid_of(e.name)));
            }
        }
        let mut listing = Collector::new(names);
        for record in index.map(|index| index.records).unwrap_or_default() {
            files.remove(&record.uid);
            if !record.gone {
                // One without a file is shown, and cannot be read.
                listing.add(name_of(&record, folder), &record)?;
            }
        }
        for uid in files {
            let name = format!("{uid}.");
            if sound {
                odd(&mut messages, name.as_bytes());
                continue;
            }
            let stat = match self.file(folder, name.as_bytes()) {
                Ok(file) => *file.stat(),
                Err(e) if e.kind() == Kind::NotFound => continue,
                Err(e) => return Err(e),
            };
            let record = Record {
                uid,
                received: stat.mtime,
                size: stat.size,
                flags: Flags::default(),
                keywords: Default::default(),
                guid: [0; 20],
                gone: false,
            };
            listing.add(name_of(&record, folder), &record)?;
        }
        listing.finish(messages).map(Found::All)
    }

    fn claimed_size(&self, _messages: &Messages, message: &Message) -> Option<u64> {
        Some(message.size)
    }

    fn open(&self, folder: &[u8], messages: &Messages, message: &Message) -> Result<Stored<'_>> {
        let locator = messages.locator(message);
        let uid = locator.get(usize::from(message.base_len) + 1..);
        let name = [uid.unwrap_or_default(), b"."].concat();
        Ok(Stored::whole(self.file(folder, &name)?, None).plain())
    }

    fn files(&self, folder: &[u8]) -> Box<dyn Files + '_> {
        Box::new(InFolder {
            store: self,
            folder: folder.to_vec(),
        })
    }
}

/// The messages of a folder.
struct InFolder<'a> {
    store: &'a Cyrus<'a>,
    folder: Vec<u8>,
}

impl Files for InFolder<'_> {
    fn open(&self, messages: &Messages, message: &Message) -> Result<Stored<'_>> {
        self.store.open(&self.folder, messages, message)
    }
}

/// The UID that a message's file is named by.
fn uid_of(name: &[u8]) -> Option<u32> {
    let digits = name.strip_suffix(b".")?;
    let canonical = digits.first().is_some_and(|b| matches!(b, b'1'..=b'9'));
    let all = digits.iter().all(u8::is_ascii_digit);
    (canonical && all).then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

fn odd(messages: &mut Messages, name: &[u8]) {
    messages.oddities += 1;
    if messages.odd_names.len() < 5 {
        let name = String::from_utf8_lossy(name).into_owned();
        messages.odd_names.push(name);
    }
}

#[cfg(test)]
mod tests;
