//! Maildir: Maildir++ and Dovecot's `LAYOUT=fs`.
//!
//! A folder is a directory with `cur` or `new`. In a Maildir++ the mailbox directory itself is INBOX and each other
//! folder is one directory `.A.B` in it; with `LAYOUT=fs` folders are nested directories `A/B`. Both may be there, so
//! both are looked for. With `LAYOUT=index` each folder, INBOX too, is a directory that is called by its GUID, and the names are
//! in an index, as in a [`dbox`]. `tmp` holds what is not delivered yet and is never looked at.
//!
//! A file name is `<base>[:2,<flags>]`. The base name, with any `,S=` in it, is what the message is called for life;
//! `;2,` and `!2,` stand for `:2,` on file systems that have no colon. Both `new` and `cur` may hold a name with or
//! without flags. The same base name may be found twice where a snapshot was not taken at one moment, or in a delivery
//! by hard link: then it is one message, the one in `cur` (the one whose inode changed last, if both are there); unless the sizes differ, which makes it
//! two.
//!
//! Source of the format: <https://cr.yp.to/proto/maildir.html>, Courier's Maildir++, Dovecot's `maildir-filename.c`.

mod finder;
mod keywords;

use super::bounds::{DEEPEST, MOST_MESSAGES, Room, is_of_one};
use super::{
    AskBefore, BY_PATHS, Definition, Files, Folder, Folders, Found, Message, Messages, Place,
    Stamp, Store, Stored, dbox, folder_name, join,
};
use crate::disk::{Dir, FileKind, Listing, Root, Stat, crew};
use crate::error::{Error, Kind, Result};
use crate::message::Flags;
use crate::time::Time;
use finder::Finder;
pub use keywords::{INBOX_CONTROLS, Indexed, indexed as indexed_keywords};
use std::cell::OnceCell;

/// Directories that Dovecot leaves behind while it deletes a folder.
const BEING_DELETED: &[u8] = b"..DOVECOT-TRASHED";

/// Files whose attributes are in memory at once.
const LOOKED_AT_TOGETHER: usize = 64 << 10;

/// Files that a thread takes at once to look at their attributes.
const LOOKED_AT_ONCE: usize = 64;

pub(super) static FORMAT: Definition = Definition {
    name: "maildir",
    shown_by: |_, _, names| Ok(is_shown_by(names)),
    is_at: |root, path| Maildir::is_at(root, path),
    open,
    ..BY_PATHS
};

pub(super) fn open<'a>(root: &'a Root, place: Place<'a>) -> Box<dyn Store + 'a> {
    Box::new(Maildir {
        others: place.others,
        ..Maildir::new(root, place.path)
    })
}

/// One mailbox in a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Maildir<'a> {
    root: &'a Root,
    /// The mailbox directory, relative to the root.
    path: &'a [u8],
    /// Directories in it that lead to other mailboxes.
    others: &'a [Vec<u8>],
}

impl<'a> Maildir<'a> {
    pub fn new(root: &'a Root, path: &'a [u8]) -> Self {
        Self {
            root,
            path,
            others: &[],
        }
    }

    /// Whether a directory holds a Maildir: a folder of its own or one below it.
    fn is_at(root: &'a Root, path: &'a [u8]) -> Result<bool> {
        let found = Self::new(root, path).search(true)?;
        Ok(!found.folders.is_empty())
    }

    /// `one`: any one folder is enough.
    fn search(&self, one: bool) -> Result<Folders> {
        let mut found = Folders::default();
        let mut room = Room::new(self.path);
        let dir = self.root.dir(self.path)?;
        if is_folder(&dir)? {
            found.folders.push(Folder {
                stored: Vec::new(),
                path: vec!["INBOX".into()],
            });
        }
        for entry in dir.list()?.iter() {
            if one && !found.folders.is_empty() {
                break;
            }
            let name = entry.name;
            match entry.kind {
                FileKind::Directory if name == BEING_DELETED => {}
                FileKind::Directory if name.starts_with(b".") => {
                    if !self.may_be_folder(name)? {
                        continue;
                    }
                    let path = name.get(1..).unwrap_or_default().split(|&b| b == b'.');
                    let path: Vec<String> = path.map(folder_name::decode).collect();
                    room.take(path.len())?;
                    found.folders.push(Folder {
                        stored: name.to_vec(),
                        path,
                    });
                }
                FileKind::Directory if self.others.iter().any(|other| other == name) => {}
                FileKind::Directory if !is_reserved(name) => {
                    self.nested(name, one, &mut room, &mut found)?;
                }
                FileKind::Symlink if name.starts_with(b".") => found.oddities += 1,
                _ => {}
            }
        }
        if !one && has_index_of_names(&found.folders) {
            let names = dbox::folder_names(self.root, self.path)?;
            for folder in &mut found.folders {
                if let Some(name) = dbox::guid(&folder.stored).and_then(|guid| names.get(&guid)) {
                    folder.path.clone_from(name);
                }
            }
        }
        Ok(found)
    }

    /// Adds the folder of a name and those below it, as `LAYOUT=fs` has them.
    fn nested(
        &self,
        name: &[u8],
        one: bool,
        room: &mut Room<'_>,
        found: &mut Folders,
    ) -> Result<()> {
        // A stack of its own: the depth is the mailbox owner's choice.
        let mut pending = vec![(name.to_vec(), vec![folder_name::decode(name)])];
        room.take(1)?;
        while let Some((stored, path)) = pending.pop() {
            if one && !found.folders.is_empty() {
                break;
            }
            let listing = match self.dir(&stored).and_then(|dir| dir.list()) {
                Ok(listing) => listing,
                // Whether it is a folder or only holds some, it is shown as one that cannot be read.
                Err(e) if is_of_one(&e) => {
                    self.warn_of(&stored, &e);
                    found.folders.push(Folder { stored, path });
                    continue;
                }
                Err(e) => return Err(e),
            };
            let mut is_folder = false;
            for entry in listing.iter().filter(|e| e.kind == FileKind::Directory) {
                is_folder |= matches!(entry.name, b"cur" | b"new");
                if entry.name.starts_with(b".") || is_reserved(entry.name) {
                    continue;
                }
                if path.len() >= DEEPEST {
                    found.oddities += 1;
                    continue;
                }
                let mut path = path.clone();
                path.push(folder_name::decode(entry.name));
                room.take(path.len())?;
                pending.push(([&stored, b"/".as_slice(), entry.name].concat(), path));
            }
            if is_folder {
                found.folders.push(Folder { stored, path });
            }
        }
        Ok(())
    }

    /// Whether a directory is a folder, or can't be read and might be one.
    fn may_be_folder(&self, name: &[u8]) -> Result<bool> {
        match self.dir(name).and_then(|dir| is_folder(&dir)) {
            Err(e) if is_of_one(&e) => {
                self.warn_of(name, &e);
                Ok(true)
            }
            other => other,
        }
    }

    /// All messages of a folder; `None` if the finder cannot tell without looking at each. What `begin` takes to make it, it
    /// takes while the names come.
    fn find<'b>(&self, folder: &[u8], begin: &dyn Fn() -> Finder<'b>) -> Result<Option<Found>> {
        let dir = self.dir(folder)?;
        let mut finder = None;
        for new in [false, true] {
            let sub = if new { b"new" } else { b"cur" };
            match dir.stat(sub) {
                Ok(stat) if stat.kind == FileKind::Directory => {}
                Ok(_) => {
                    finder.get_or_insert_with(begin).odd(sub);
                    continue;
                }
                Err(e) if e.kind() == Kind::NotFound => continue,
                Err(e) => return Err(e),
            }
            let dir = self.root.dir(&self.path_of(folder, sub))?;
            let mut unknown = Listing::default();
            dir.each_part(|part| {
                let found = finder.get_or_insert_with(begin);
                found.take_over(part, new, &mut unknown)
            })?;
            let found = finder.get_or_insert_with(begin);
            for names in in_order_of_inodes(&unknown).chunks(LOOKED_AT_TOGETHER) {
                for (name, stat) in look_at(&dir, names)? {
                    found.add(name, new, &stat)?;
                }
            }
        }
        Ok(finder.unwrap_or_else(begin).finish())
    }

    fn warn_of(&self, folder: &[u8], e: &Error) {
        let what = format_args!("a folder cannot be read: {e}");
        self.root
            .warn(&join(self.path, folder), Time::default(), what);
    }

    fn dir(&self, folder: &[u8]) -> Result<Dir<'a>> {
        self.root.dir(&join(self.path, folder))
    }

    fn path_of(&self, folder: &[u8], name: &[u8]) -> Vec<u8> {
        join(&join(self.path, folder), name)
    }
}

/// Whether a folder is called by its GUID, so that its name is in an index alone (`LAYOUT=index`).
pub fn is_named_in_index(folder: &[u8]) -> bool {
    dbox::guid(folder).is_some()
}

/// Whether folders of a mailbox have their names in an index.
pub fn has_index_of_names(folders: &[Folder]) -> bool {
    folders.iter().any(|f| is_named_in_index(&f.stored))
}

/// Names in the order in which a disk has their inodes.
fn in_order_of_inodes(listing: &Listing) -> Vec<&[u8]> {
    let mut entries: Vec<_> = listing.iter().map(|e| (e.ino, e.name)).collect();
    entries.sort_unstable_by_key(|(inode, _)| *inode);
    entries.into_iter().map(|(_, name)| name).collect()
}

/// The attributes of files in a directory; what is not there any more, as in a tree that is still being written, is left
/// out.
fn look_at<'n>(dir: &Dir<'_>, names: &[&'n [u8]]) -> Result<Vec<(&'n [u8], Stat)>> {
    let seen = crew::share(names.len(), LOOKED_AT_ONCE, |shares| {
        let mut seen = Vec::new();
        while let Some(some) = shares.next() {
            for &name in names.get(some).unwrap_or_default() {
                match dir.stat(name) {
                    Ok(stat) => seen.push((name, stat)),
                    Err(e) if e.kind() == Kind::NotFound => {}
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(seen)
    })?;
    Ok(seen.concat())
}

impl Store for Maildir<'_> {
    fn root(&self) -> &Root {
        self.root
    }

    fn path(&self) -> &[u8] {
        self.path
    }

    fn folders(&self) -> Result<Folders> {
        self.search(false)
    }

    fn describe(&self, folders: &[Folder]) -> String {
        let flat = folders.iter().any(|f| f.stored.starts_with(b"."));
        let nested = folders
            .iter()
            .any(|f| !f.stored.is_empty() && !f.stored.starts_with(b"."));
        match (flat, nested) {
            (_, true) if has_index_of_names(folders) => "Maildir, LAYOUT=index",
            (false, false) => "Maildir",
            (true, false) => "Maildir++",
            (false, true) => "Maildir, LAYOUT=fs",
            (true, true) => "Maildir++ and LAYOUT=fs",
        }
        .to_owned()
    }

    fn keyword_letters(&self, folder: &[u8]) -> Result<Option<Vec<u8>>> {
        keywords::letters(self.root, self.path, folder)
    }

    fn stamp(&self, folder: &[u8]) -> Result<Stamp> {
        let dir = self.dir(folder)?;
        let mut bytes = Vec::with_capacity(64);
        let mut changed = None;
        for sub in ["cur", "new"] {
            match dir.stat(sub.as_bytes()) {
                Ok(stat) => {
                    bytes.extend_from_slice(&stat.ino.to_le_bytes());
                    // Where it depends on the names (btrfs, ZFS), it tells apart what happened within one tick of the clock.
                    bytes.extend_from_slice(&stat.size.to_le_bytes());
                    for time in [stat.mtime, stat.ctime] {
                        bytes.extend_from_slice(&time.secs.to_le_bytes());
                        bytes.extend_from_slice(&time.nanos.to_le_bytes());
                    }
                    changed = changed.max(Some(stat.mtime));
                }
                Err(e) if e.kind() == Kind::NotFound => bytes.push(0),
                Err(e) => return Err(e),
            }
        }
        Ok(Stamp {
            bytes,
            changed: changed.unwrap_or_default(),
        })
    }

    fn touched(&self, folder: &[u8]) -> Result<Time> {
        self.dir(folder)?.touched(&[b"cur", b"new"])
    }

    fn device(&self, folder: &[u8]) -> Result<Option<u64>> {
        let dir = self.dir(folder)?;
        let device = dir.device()?;
        for sub in ["cur", "new"] {
            match dir.stat(sub.as_bytes()) {
                Ok(stat) if Some(stat.dev) == device => {}
                Ok(_) => return Ok(None),
                Err(e) if e.kind() == Kind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(device)
    }

    fn messages_since(&self, folder: &[u8], before: &AskBefore<'_>) -> Result<Found> {
        let device = self.device(folder)?;
        let beside = || {
            let before = before();
            match before.device.is_some() && before.device == device {
                true => Finder::beside(before.messages),
                false => Finder::default(),
            }
        };
        if let Some(found) = self.find(folder, &beside)? {
            return Ok(found);
        }
        let found = self.find(folder, &Finder::default)?;
        found.ok_or_else(|| Error::new(Kind::Unreadable, "messages that can't be told apart"))
    }

    fn claimed_size(&self, messages: &Messages, message: &Message) -> Option<u64> {
        claimed_size(messages.store_name(message))
    }

    fn open(&self, folder: &[u8], messages: &Messages, message: &Message) -> Result<Stored<'_>> {
        let path = [sub(message), b"/", messages.locator(message)].concat();
        let file = self.root.open(&self.path_of(folder, &path))?;
        Ok(Stored::whole(file, self.claimed_size(messages, message)))
    }

    fn files(&self, folder: &[u8]) -> Box<dyn Files + '_> {
        Box::new(Directories {
            root: self.root,
            path: join(self.path, folder),
            cur: OnceCell::new(),
            new: OnceCell::new(),
        })
    }
}

/// A folder's messages, opened through its directories, which stay open as long as this lives.
#[derive(Debug)]
struct Directories<'a> {
    root: &'a Root,
    path: Vec<u8>,
    cur: OnceCell<Dir<'a>>,
    new: OnceCell<Dir<'a>>,
}

impl Files for Directories<'_> {
    fn open(&self, messages: &Messages, message: &Message) -> Result<Stored<'_>> {
        let slot = if message.new { &self.new } else { &self.cur };
        let dir = match slot.get() {
            Some(dir) => dir,
            None => {
                let dir = self.root.dir(&join(&self.path, sub(message)))?;
                slot.get_or_init(|| dir)
            }
        };
        let claimed = claimed_size(messages.store_name(message));
        Ok(Stored::whole(dir.open(messages.locator(message))?, claimed))
    }
}

/// The directory that a message is in.
fn sub(message: &Message) -> &'static [u8] {
    if message.new { b"new" } else { b"cur" }
}

fn is_reserved(name: &[u8]) -> bool {
    matches!(name, b"cur" | b"new" | b"tmp")
}

/// Whether a directory with these names is a folder itself.
fn is_shown_by(names: &Listing) -> bool {
    let mut directories = names.iter().filter(|e| e.kind == FileKind::Directory);
    directories.any(|e| matches!(e.name, b"cur" | b"new"))
}

fn is_folder(dir: &Dir<'_>) -> Result<bool> {
    for sub in ["cur", "new"] {
        match dir.stat(sub.as_bytes()) {
            Ok(stat) if stat.kind == FileKind::Directory => return Ok(true),
            Ok(_) => {}
            Err(e) if e.kind() == Kind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(false)
}

/// Splits a file name into the length of its base name and its flags.
fn split(name: &[u8]) -> (usize, Flags) {
    let info = name
        .windows(3)
        .rposition(|w| matches!(w, b":2," | b";2," | b"!2,"));
    match info {
        // A second separator after the flags' comma would not be flags.
        Some(at) => (
            at,
            Flags::from_maildir_info(name.get(at + 1..).unwrap_or_default()),
        ),
        None => (name.len(), Flags::default()),
    }
}

/// The decoded size that a file name claims with `,S=<bytes>`.
fn claimed_size(store_name: &[u8]) -> Option<u64> {
    let mut fields = store_name.split(|&b| b == b',').skip(1);
    let digits = fields.find_map(|field| field.strip_prefix(b"S="))?;
    std::str::from_utf8(digits)
        .ok()
        .filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests;
