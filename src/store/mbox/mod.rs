//! mbox: a file for each folder, with all its messages one behind the other.
//!
//! A mailbox is a directory of such files, nested as the folders are, where `inbox` is INBOX (Dovecot, UW IMAP); or it
//! is one such file (`/var/mail/ann`), which is INBOX; or both. Indexes (`.imap`) and locks are no mail. A name that the server
//! or other programs give their own files (`dovecot-acl`, whatever begins with a dot) may be a folder's, too: a file is one
//! if there is mail in it or Dovecot keeps an index of it, and a directory has folders if Dovecot keeps indexes in it.
//!
//! - A message is what the server gives out: without the [fields](own_fields) in which the file keeps flags and the like.
//!   So it stays the same when it is read or answered. Its flags and keywords come from those fields, its INTERNALDATE
//!   from the [From_ line](from_line).
//! - It is known by a hash of itself, with a number behind it where it is in the folder more than once. That stays the
//!   same when others go and the file is written anew.
//! - A file is [split](split) once per change; the offsets are kept in the listing.
//! - A file without a From_ line at its beginning is no mail, unless Dovecot keeps an index of it: then it is a damaged folder,
//!   and what is in it is shown.
//! - c-client's first message, `DON'T DELETE THIS MESSAGE`, is its own business and not shown.
//!
//! Source: RFC 4155; c-client's `docs/formats.txt`; Dovecot's `lib-storage/index/mbox`.

mod from_line;
mod own_fields;
mod split;

use super::bounds::{self, Room};
use super::messages::Keywords;
use super::{
    AskBefore, BY_PATHS, Definition, Files, Folder, Folders, Found, Message, Messages, Place,
    Stamp, Store, Stored, dbox, folder_name, join,
};
use crate::disk::{FileKind, Listing, Root};
use crate::error::{Error, Kind, Result};
use crate::time::Time;
use from_line::Received;
use memchr::memmem;
use split::Part;
use std::collections::HashMap;
use std::rc::Rc;

/// Bytes at the beginning of a file in which there must be a From_ line.
const SNIFFED: usize = 64 << 10;

/// Keywords of a folder at most; Dovecot and c-client know 30.
const MOST_KEYWORDS: usize = 256;

pub(super) static FORMAT: Definition = Definition {
    name: "mbox",
    shown_by: is_shown_by,
    is_at,
    open: |root, place| Box::new(Mbox { root, place }),
    ..BY_PATHS
};

/// One mailbox in a snapshot.
struct Mbox<'a> {
    root: &'a Root,
    place: Place<'a>,
}

/// Dovecot keeps its indexes in `.imap`; and where there is an `inbox`, it is INBOX.
fn is_shown_by(root: &Root, path: &[u8], names: &Listing) -> Result<bool> {
    let imap = names
        .iter()
        .any(|e| e.kind == FileKind::Directory && e.name == INDEXES);
    if imap {
        return Ok(true);
    }
    for entry in names
        .iter()
        .filter(|e| e.kind == FileKind::File && is_inbox(e.name))
    {
        if sniff(root, &join(path, entry.name))? == Some(true) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_at(root: &Root, path: &[u8]) -> Result<bool> {
    if root.stat(path)?.kind == FileKind::File {
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        let is_folder = !is_reserved(name) && !is_doubtful(name);
        return Ok(is_folder && sniff(root, path)?.is_some());
    }
    let place = Place::new(path);
    let found = Mbox { root, place }.search(true)?;
    Ok(!found.folders.is_empty())
}

/// Whether a file is an mbox: with messages, or an empty one.
fn sniff(root: &Root, path: &[u8]) -> Result<Option<bool>> {
    let file = root.open(path)?;
    let mut start = vec![0; SNIFFED.min(usize::try_from(file.stat().size).unwrap_or(SNIFFED))];
    let len = file.read_at(&mut start, 0)?;
    let start = start.get(..len).unwrap_or_default();
    if dbox::begins_file(start) {
        // There may be From_ lines in its messages, but it is no mbox.
        return Ok(None);
    }
    Ok(split::is_mbox(start).then(|| !start.trim_ascii().is_empty()))
}

fn is_inbox(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"inbox")
}

/// The directory of Dovecot's indexes, beside the folders that it keeps them of.
const INDEXES: &[u8] = b".imap";

/// Whether a name is a server's and never a folder's.
fn is_reserved(name: &[u8]) -> bool {
    matches!(name, INDEXES | b".subscriptions")
        || name.ends_with(b".lock")
        || name.starts_with(b".nfs")
}

/// Whether a name may be a folder's, and is mostly not.
fn is_doubtful(name: &[u8]) -> bool {
    name.starts_with(b".")
        || name.starts_with(b"dovecot.")
        || name.starts_with(b"dovecot-")
        || matches!(name, b"subscriptions" | b"lost+found")
}

impl Mbox<'_> {
    /// The file of a folder. INBOX has an empty name where it is a file of its own outside the directory of the others.
    fn file(&self, folder: &[u8]) -> Vec<u8> {
        match (folder, self.place.inbox) {
            (b"", Some(inbox)) => inbox.to_vec(),
            _ => join(self.place.path, folder),
        }
    }

    /// `one`: any one folder is enough, and must have a message in it.
    fn search(&self, one: bool) -> Result<Folders> {
        let mut found = Folders::default();
        let inbox = || Folder {
            stored: Vec::new(),
            path: vec!["INBOX".into()],
        };
        if self.root.stat(self.place.path)?.kind == FileKind::File {
            found.folders.push(inbox());
            return Ok(found);
        }
        if self.place.inbox.is_some() {
            found.folders.push(inbox());
        }
        let mut room = Room::new(self.place.path);
        // A stack of its own: the depth is the mailbox owner's choice.
        let mut pending = vec![(Vec::new(), Vec::new())];
        while let Some((stored, path)) = pending.pop() {
            let listing = match self.root.list(&join(self.place.path, &stored)) {
                Ok(listing) => listing,
                Err(e) if !stored.is_empty() && bounds::is_of_one(&e) => {
                    let at = join(self.place.path, &stored);
                    let what = format_args!("folders cannot be read: {e}");
                    self.root.warn(&at, Time::default(), what);
                    found.folders.push(Folder { stored, path });
                    continue;
                }
                Err(e) => return Err(e),
            };
            let another = |name| stored.is_empty() && self.place.others.iter().any(|o| o == name);
            for entry in listing.iter().filter(|e| !is_reserved(e.name)) {
                let doubtful = is_doubtful(entry.name);
                if another(entry.name) || (one && doubtful) {
                    continue;
                }
                let below = join(&stored, entry.name);
                let mut name = path.clone();
                name.push(match path.is_empty() && is_inbox(entry.name) {
                    true => "INBOX".into(),
                    false => folder_name::decode(entry.name),
                });
                match entry.kind {
                    FileKind::Directory if doubtful && !self.has_indexes(&below, b"")? => {}
                    FileKind::Directory if path.len() < bounds::DEEPEST => {
                        room.take(name.len())?;
                        pending.push((below, name));
                    }
                    FileKind::File => {
                        let with_mail = match sniff(self.root, &join(self.place.path, &below)) {
                            Err(e)
                                if bounds::is_of_one(&e)
                                    && doubtful
                                    && !self.is_indexed(&stored, entry.name)? =>
                            {
                                None
                            }
                            Err(e) if bounds::is_of_one(&e) && !one => {
                                let at = join(self.place.path, &below);
                                let what = format_args!("a folder cannot be read: {e}");
                                self.root.warn(&at, Time::default(), what);
                                Some(true)
                            }
                            other => other?,
                        };
                        match with_mail {
                            None if doubtful => {}
                            Some(false) if doubtful && !self.is_indexed(&stored, entry.name)? => {}
                            Some(with_mail) if with_mail || !one => {
                                room.take(name.len())?;
                                found.folders.push(Folder {
                                    stored: below,
                                    path: name,
                                });
                            }
                            Some(_) => {}
                            None if !one && self.is_indexed(&stored, entry.name)? => {
                                let at = join(self.place.path, &below);
                                let what = "has no From_ line at its beginning, though Dovecot keeps an index of it: what is in \
                                            it is shown as it is";
                                self.root.warn(&at, Time::default(), what);
                                room.take(name.len())?;
                                found.folders.push(Folder {
                                    stored: below,
                                    path: name,
                                });
                            }
                            None => found.oddities += 1,
                        }
                    }
                    _ if doubtful => {}
                    _ => found.oddities += 1,
                }
                if one && !found.folders.is_empty() {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// Whether Dovecot keeps an index of a file, which was a folder then, however damaged it is now.
    fn is_indexed(&self, directory: &[u8], name: &[u8]) -> Result<bool> {
        let name = match directory.is_empty() && is_inbox(name) {
            true => b"INBOX",
            false => name,
        };
        self.has_indexes(directory, name)
    }

    /// Whether Dovecot keeps indexes for a directory of folders, or for one of these.
    fn has_indexes(&self, directory: &[u8], name: &[u8]) -> Result<bool> {
        let indexes = join(&join(&join(self.place.path, directory), INDEXES), name);
        match self.root.stat(&indexes) {
            Ok(stat) => Ok(stat.kind == FileKind::Directory),
            Err(e) if matches!(e.kind(), Kind::NotFound | Kind::NotADirectory) => Ok(false),
            Err(e) if bounds::is_of_one(&e) => Ok(true),
            Err(e) => Err(e),
        }
    }

    /// The bytes of a message.
    fn stored<'s>(
        file: &Rc<crate::disk::File<'s>>,
        messages: &Messages,
        message: &Message,
    ) -> Result<Stored<'s>> {
        let wrong = |what: &str| {
            let message = format!("{}: {what}", file.name());
            Error::new(Kind::Unreadable, message)
        };
        let offsets = offsets(messages.locator(message), message.base_len.into());
        let (start, body, end) =
            offsets.ok_or_else(|| wrong("it is not known where the message is"))?;
        let rest = end - body;
        if body == start || rest + (body - start) == message.size {
            return Ok(Stored::part(file.clone(), start, message.size, None)?.plain());
        }
        let len = usize::try_from(body - start).ok();
        let len = len.filter(|len| *len <= split::LONGEST_HEADER);
        let mut header = vec![0; len.ok_or_else(|| wrong("a header of an impossible size"))?];
        let len = file.read_at(&mut header, start)?;
        header.truncate(len);
        let header = own_fields::strip(&header).header;
        if header.len() as u64 + rest != message.size {
            return Err(wrong("a message in it is not what it was listed as"));
        }
        Stored::headed(header, file.clone(), body, rest)
    }
}

impl Store for Mbox<'_> {
    fn root(&self) -> &Root {
        self.root
    }

    fn path(&self) -> &[u8] {
        self.place.path
    }

    fn folders(&self) -> Result<Folders> {
        self.search(false)
    }

    fn describe(&self, _folders: &[Folder]) -> String {
        "mbox".to_owned()
    }

    fn stamp(&self, folder: &[u8]) -> Result<Stamp> {
        let stat = self.root.stat(&self.file(folder))?;
        let mut bytes = Vec::with_capacity(40);
        bytes.extend_from_slice(&stat.ino.to_le_bytes());
        bytes.extend_from_slice(&stat.size.to_le_bytes());
        for time in [stat.mtime, stat.ctime] {
            bytes.extend_from_slice(&time.secs.to_le_bytes());
            bytes.extend_from_slice(&time.nanos.to_le_bytes());
        }
        Ok(Stamp {
            bytes,
            changed: stat.mtime,
        })
    }

    fn touched(&self, folder: &[u8]) -> Result<Time> {
        Ok(self.root.stat(&self.file(folder))?.touched())
    }

    fn messages_since(&self, folder: &[u8], _before: &AskBefore<'_>) -> Result<Found> {
        let file = self.root.open(&self.file(folder))?;
        let mut collector = Collector::default();
        let mut torn = false;
        split::split(&file, |part| {
            let received = match part.received {
                Some(Received::Utc(secs)) => Time::from_secs(secs),
                Some(Received::Local(at)) => Time::from_secs(self.place.zone.moment(at)),
                None => {
                    torn = true;
                    file.stat().mtime
                }
            };
            collector.add(&part, received)
        })?;
        if torn {
            let what = "does not begin with a From_ line: what is before the first one is shown as a message of its own";
            self.root.warn(&self.file(folder), file.stat().mtime, what);
        }
        collector.finish().map(Found::All)
    }

    fn claimed_size(&self, _messages: &Messages, message: &Message) -> Option<u64> {
        Some(message.size)
    }

    fn open(&self, folder: &[u8], messages: &Messages, message: &Message) -> Result<Stored<'_>> {
        let file = Rc::new(self.root.open(&self.file(folder))?);
        Self::stored(&file, messages, message)
    }

    fn files(&self, folder: &[u8]) -> Box<dyn Files + '_> {
        Box::new(OneFile {
            root: self.root,
            path: self.file(folder),
            file: std::cell::OnceCell::new(),
        })
    }
}

/// The file of a folder, which stays open as long as this lives.
struct OneFile<'a> {
    root: &'a Root,
    path: Vec<u8>,
    file: std::cell::OnceCell<Rc<crate::disk::File<'a>>>,
}

impl Files for OneFile<'_> {
    fn open(&self, messages: &Messages, message: &Message) -> Result<Stored<'_>> {
        let file = match self.file.get() {
            Some(file) => file,
            None => {
                let file = Rc::new(self.root.open(&self.path)?);
                self.file.get_or_init(|| file)
            }
        };
        Mbox::stored(file, messages, message)
    }
}

/// Where a message's header, its body and its end are, out of its locator.
fn offsets(locator: &[u8], name_len: usize) -> Option<(u64, u64, u64)> {
    let text = std::str::from_utf8(locator.get(name_len..)?).ok()?;
    let mut numbers = text.strip_prefix('@')?.split(',');
    let mut number = || u64::from_str_radix(numbers.next()?, 16).ok();
    let (header, body, end) = (number()?, number()?, number()?);
    (header <= body && body <= end).then_some((header, body, end))
}

/// Collects the messages of a file.
#[derive(Default)]
struct Collector {
    rows: Vec<Row>,
    known: HashMap<Vec<u8>, usize>,
    keywords: Keywords,
    sets: HashMap<Box<[u8]>, u32>,
    first_seen: bool,
}

/// A message before it has a name.
struct Row {
    hash: [u8; 16],
    offsets: (u64, u64, u64),
    message: Message,
}

impl Collector {
    fn add(&mut self, part: &Part, received: Time) -> Result<()> {
        if self.rows.len() >= bounds::MOST_MESSAGES {
            let message = "a folder with more than 4 million messages";
            return Err(Error::new(Kind::Unreadable, message));
        }
        if !self.first_seen && part.received.is_some() {
            self.first_seen = true;
            self.know(&part.own);
            if part.own.internal && is_internal(&part.own.header) {
                return Ok(());
            }
        }
        let keywords = self.set(&part.own);
        self.rows.push(Row {
            hash: part.hash.first_chunk().copied().unwrap_or_default(),
            offsets: (part.header, part.body, part.end),
            message: Message {
                name: 0,
                name_len: 0,
                base_len: 0,
                new: false,
                twin: false,
                flags: part.own.flags,
                keywords,
                size: part.size,
                received,
                inode: 0,
            },
        });
        Ok(())
    }

    /// Only what the first message says that the folder knows is a keyword; the rest is the senders'.
    fn know(&mut self, first: &own_fields::Stripped) {
        for name in first.known_keywords().take(MOST_KEYWORDS) {
            let next = self.keywords.names.len();
            if !self.known.contains_key(name) {
                self.known.insert(name.to_vec(), next);
                self.keywords.names.push(name.to_vec());
            }
        }
    }

    fn set(&mut self, own: &own_fields::Stripped) -> u32 {
        let mut bits = vec![0u8; self.keywords.names.len().div_ceil(8)];
        for &at in own.keywords().filter_map(|name| self.known.get(name)) {
            if let Some(byte) = bits.get_mut(at / 8) {
                *byte |= 1 << (at % 8);
            }
        }
        if bits.iter().all(|byte| *byte == 0) {
            return 0;
        }
        let bits = bits.into_boxed_slice();
        let next = self.keywords.sets.len() as u32 + 1;
        *self.sets.entry(bits).or_insert_with_key(|bits| {
            self.keywords.sets.push(bits.clone());
            next
        })
    }

    fn finish(mut self) -> Result<Messages> {
        let mut messages = Messages {
            keywords: self.keywords,
            ..Messages::default()
        };
        // Stable: of those that are the same, the first is the one without a number.
        self.rows.sort_by_key(|row| row.hash);
        let mut named: Vec<(String, Row)> = Vec::with_capacity(self.rows.len());
        let mut before = None;
        let mut times = 1u32;
        for row in self.rows {
            times = if before == Some(row.hash) {
                times + 1
            } else {
                1
            };
            before = Some(row.hash);
            let mut name: String = row.hash.iter().map(|byte| format!("{byte:02x}")).collect();
            if times > 1 {
                // So long that the order of the bytes is that of the numbers.
                name.push_str(&format!(".{times:08}"));
            }
            named.push((name, row));
        }
        for (name, row) in named {
            let (header, body, end) = row.offsets;
            let locator = format!("{name}@{header:x},{body:x},{end:x}");
            let start = u32::try_from(messages.names.len())
                .map_err(|_| Error::new(Kind::Unreadable, "a folder with too many messages"))?;
            messages.names.extend_from_slice(locator.as_bytes());
            messages.rows.push(Message {
                name: start,
                name_len: locator.len() as u16,
                base_len: name.len() as u16,
                ..row.message
            });
        }
        Ok(messages)
    }
}

/// Whether a header is that of c-client's message about the folder.
fn is_internal(header: &[u8]) -> bool {
    memmem::find(header, b"DON'T DELETE THIS MESSAGE").is_some()
}

#[cfg(test)]
mod tests;
