//! The messages of an sdbox folder: a file `u.<uid>` for each.

use super::found::{Before, Found, assemble, name_of};
use super::index::{Index, Row};
use super::locator::{Locator, State, Storage};
use super::record::{FileHeader, Record};
use super::{Dbox, INDEX, at, damage, is_of_one};
use crate::disk::{Dir, FileKind, Stat};
use crate::error::{Error, Kind, Result};
use crate::message::Flags;
use crate::store::Messages;
use crate::store::bounds::MOST_MESSAGES;

/// What tells a message's file from another one of its name.
pub fn mark(stat: &Stat) -> String {
    let time = stat.mtime;
    format!("{}.{}.{}", stat.size, time.secs, time.nanos)
}

/// A message that the folder should have.
#[derive(Default)]
struct Wanted {
    uid: u32,
    flags: Flags,
    keywords: u32,
}

impl From<Row> for Wanted {
    fn from(row: Row) -> Self {
        Self {
            uid: row.uid,
            flags: row.flags(),
            keywords: row.keywords,
        }
    }
}

impl Dbox<'_> {
    pub(super) fn sdbox_messages(&self, folder: &[u8], before: &Messages) -> Result<Messages> {
        let dir = self.folder(folder)?;
        let mut dirs = Vec::new();
        for storage in [Storage::Primary, Storage::Alternative] {
            let path = self.storage(storage, folder)?;
            match path.map(|path| self.root.dir(&path)) {
                None => {}
                Some(Err(e)) if e.kind() == Kind::NotFound => {}
                Some(dir) => dirs.push((storage, dir?)),
            }
        }
        let index = match Index::read(&dir, INDEX, &[]) {
            Err(e) if !is_of_one(&e) => return Err(e),
            index => index,
        };
        let told = index.as_ref().ok().and_then(Option::as_ref);
        let rows = told.into_iter().flat_map(Index::rows);
        let mut wanted: Vec<_> = rows.map(|(_, row)| Wanted::from(row)).collect();
        let known = wanted.len();
        if let Some(first) = told.map_or(Some(0), Index::unknown_from) {
            let files = from_files(&dirs)?.into_iter();
            wanted.extend(files.filter(|file| file.uid >= first));
        }
        let damage = damage::of_index(&index, wanted.len() - known, true);
        let keywords = index.ok().flatten().map(Index::into_keywords);
        let before = Before::new(before);
        let mut found = Vec::with_capacity(wanted.len());
        let (mut odd, mut troubles) = (Vec::new(), Vec::new());
        for one in wanted {
            match self.sdbox_message(&dirs, &one, &before, &mut troubles)? {
                Some(message) => found.push(message),
                None => odd.push(format!("u.{}", one.uid)),
            }
        }
        self.tell(folder, &dir, damage.as_deref(), &troubles);
        let mut messages = assemble(found, keywords.unwrap_or_default())?;
        messages.provisional |= damage.is_some();
        messages.damage = damage;
        messages.oddities = odd.len() as u64;
        odd.truncate(5);
        messages.odd_names = odd;
        Ok(messages)
    }

    /// What is known of one message; `None` if what bears its name is no file.
    fn sdbox_message(
        &self,
        dirs: &[(Storage, Dir<'_>)],
        wanted: &Wanted,
        before: &Before<'_>,
        troubles: &mut Vec<Error>,
    ) -> Result<Option<Found>> {
        let name = format!("u.{}", wanted.uid);
        let mut found = Found {
            guid: name.clone().into_bytes(),
            uid: wanted.uid,
            flags: wanted.flags,
            keywords: wanted.keywords,
            size: 0,
            received: at(0),
            locator: Locator {
                file: name.clone(),
                mark: String::new(),
                storage: Storage::Primary,
                start: 0,
                header: 0,
                plain: None,
                state: State::Damaged,
            },
        };
        for (storage, dir) in dirs {
            let storage = *storage;
            let stat = match dir.stat(name.as_bytes()) {
                Ok(stat) => stat,
                Err(e) if e.kind() == Kind::NotFound => continue,
                Err(e) => return Err(e),
            };
            if stat.kind != FileKind::File {
                return Ok(None);
            }
            (found.locator.storage, found.locator.mark) = (storage, mark(&stat));
            (found.size, found.received) = (stat.size, stat.mtime);
            if let Some((guid, message, locator)) = before.get(&found.locator.key()) {
                (found.guid, found.size, found.received) = (guid, message.size, message.received);
                found.locator = Locator { storage, ..locator };
                return Ok(Some(found));
            }
            let read = dir.open(name.as_bytes()).and_then(|file| {
                let header = FileHeader::read(&file)?;
                Ok((header, Record::read(&file, header, header.size)?))
            });
            match read {
                Ok((header, record)) => found.take(header, &record),
                Err(e) if is_of_one(&e) => troubles.push(e),
                Err(e) => return Err(e),
            }
            return Ok(Some(found));
        }
        let missing = format!("message {} of the index has no file {name}", wanted.uid);
        troubles.push(Error::new(Kind::Undecodable, missing));
        Ok(Some(found))
    }
}

impl Found {
    /// Takes over what is said around the message's bytes.
    pub(super) fn take(&mut self, header: FileHeader, record: &Record) {
        if !record.guid.is_empty() {
            self.guid = name_of(&record.guid);
        }
        self.size = record.size;
        if let Some(received) = record.received {
            self.received = at(received);
        }
        self.locator.start = record.start;
        self.locator.header = header.message;
        self.locator.plain = record.plain.filter(|plain| *plain != record.size);
        self.locator.state = match record.external {
            true => State::External,
            false => State::Whole,
        };
    }
}

/// The messages that there are files of.
fn from_files(dirs: &[(Storage, Dir<'_>)]) -> Result<Vec<Wanted>> {
    let mut uids = Vec::new();
    for (_, dir) in dirs {
        let listing = dir.list()?;
        let names = listing
            .iter()
            .filter_map(|entry| entry.name.strip_prefix(b"u."));
        uids.extend(
            names.filter_map(|digits| std::str::from_utf8(digits).ok()?.parse::<u32>().ok()),
        );
    }
    uids.sort_unstable();
    uids.dedup();
    if uids.len() > MOST_MESSAGES {
        return Err(Error::new(
            Kind::Unreadable,
            "a folder with more than 4 million messages",
        ));
    }
    let wanted = |uid| Wanted {
        uid,
        ..Wanted::default()
    };
    Ok(uids.into_iter().map(wanted).collect())
}
