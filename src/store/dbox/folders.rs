//! The folders of a dbox mailbox.
//!
//! They are below `mailboxes`: either nested directories, each with its index and messages in a directory of [one name](super::own);
//! or, with `LAYOUT=index`, a directory for each folder that is called by its GUID and holds them itself, while the names are in
//! `dovecot.list.index`. Indexes that are kept elsewhere are below another `mailboxes`, mostly without that directory.
//!
//! Messages that are anywhere else below `mailboxes` are shown in a folder that is called as their directory is.

use super::index::{Index, IndexState, field};
use super::mdbox::STORAGE;
use super::own;
use crate::disk::{Entry, FileKind, Listing, Root};
use crate::error::{Kind, Result};
use crate::store::bounds::{DEEPEST, Room, is_of_one};
use crate::store::{Folder, Folders, beside, folder_name, join, take};
use crate::time::Time;
use std::collections::{BTreeMap, HashMap, HashSet};

pub const ALL: &[u8] = b"mailboxes";

/// The index of all folders is at the top, in the one or the other file.
const LIST: [&[u8]; 2] = [b"dovecot.list.index.log", b"dovecot.list.index"];

pub fn holds_messages(listing: &Listing) -> bool {
    listing
        .iter()
        .any(|e| is_index(&e) || (e.kind == FileKind::File && e.name.starts_with(b"u.")))
}

pub fn is_index(entry: &Entry<'_>) -> bool {
    entry.kind == FileKind::File && entry.name.starts_with(b"dovecot.index")
}

/// Whether a directory has the index of all folders: a file; something else is there, or nothing.
pub fn lists_folders(root: &Root, path: &[u8]) -> Result<Option<bool>> {
    let mut names = LIST.iter().map(|name| root.stat(&join(path, name)));
    let found = names.find_map(|stat| match stat {
        Ok(stat) => Some(Ok(stat.kind == FileKind::File)),
        Err(e) if e.kind() == Kind::NotFound => None,
        Err(e) => Some(Err(e)),
    });
    found.transpose()
}

/// The directory beside a mailbox that has its indexes, if the mailbox has none itself.
pub fn indexes_beside(root: &Root, mailbox: &[u8]) -> Result<Option<Vec<u8>>> {
    if lists_folders(root, mailbox)?.is_some() {
        return Ok(None);
    }
    for path in beside::directories(root, mailbox)? {
        let all = match root.stat(&join(&path, ALL)) {
            Ok(stat) => stat.kind == FileKind::Directory,
            Err(e) if e.kind() == Kind::NotFound => false,
            Err(e) => return Err(e),
        };
        if all && lists_folders(root, &path)? == Some(true) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// All folders of a mailbox. `indexes`: the directory of its indexes, if that is another one; `own`: the name of the
/// directory in each folder.
pub fn find(root: &Root, mailbox: &[u8], indexes: Option<&[u8]>, own: &[u8]) -> Result<Folders> {
    let here = find_in(root, mailbox, mailbox, own)?;
    let Some(indexes) = indexes else {
        return Ok(here);
    };
    // One without messages may have nothing but an index.
    let mut found = find_in(root, indexes, mailbox, own)?;
    let known: HashSet<Vec<u8>> = found.folders.iter().map(|f| f.stored.clone()).collect();
    let others = here.folders.into_iter();
    found
        .folders
        .extend(others.filter(|f| !known.contains(&f.stored)));
    found.oddities += here.oddities;
    Ok(found)
}

/// The folders of which there is something in a directory: in the mailbox itself, or in that of its indexes.
fn find_in(root: &Root, top: &[u8], mailbox: &[u8], own: &[u8]) -> Result<Folders> {
    let mut found = Folders::default();
    let mut room = Room::new(mailbox);
    root.dir(top)?;
    let mut names: Option<HashMap<[u8; 16], Vec<String>>> = None;
    let mut pending: Vec<(Vec<u8>, Vec<String>)> = vec![(ALL.to_vec(), Vec::new())];
    while let Some((stored, path)) = pending.pop() {
        let listing = match root.dir(&join(top, &stored)).and_then(|dir| dir.list()) {
            Ok(listing) => listing,
            // A mailbox that has not been used yet.
            Err(e) if path.is_empty() && e.kind() == Kind::NotFound => continue,
            Err(e) if !path.is_empty() && is_of_one(&e) => {
                let what = format_args!("a folder cannot be read: {e}");
                root.warn(&join(top, &stored), Time::default(), what);
                found.folders.push(Folder { stored, path });
                continue;
            }
            Err(e) => return Err(e),
        };
        if let ([_], Some(guid)) = (
            path.as_slice(),
            stored.rsplit(|&b| b == b'/').next().and_then(guid),
        ) && listing.iter().all(|e| e.name != own)
            && holds_messages(&listing)
        {
            if names.is_none() {
                names = Some(read_names(root, top)?);
            }
            let names = names.get_or_insert_default();
            let path = names.get(&guid).cloned().unwrap_or(path);
            room.take(path.len())?;
            found.folders.push(Folder { stored, path });
            continue;
        }
        if !path.is_empty() && listing.iter().all(|e| e.name != own) && holds_messages(&listing) {
            let stored = match top == mailbox {
                true => stored.clone(),
                false => join(&stored, own),
            };
            let path = path.clone();
            found.folders.push(Folder { stored, path });
        }
        for entry in listing.iter() {
            if entry.kind == FileKind::Symlink {
                found.oddities += 1;
            }
            if entry.kind != FileKind::Directory {
                continue;
            }
            let below = join(&stored, entry.name);
            if entry.name == own && !path.is_empty() {
                found.folders.push(Folder {
                    stored: below,
                    path: path.clone(),
                });
                continue;
            }
            if path.len() >= DEEPEST {
                found.oddities += 1;
                continue;
            }
            let mut path = path.clone();
            match entry.name.strip_prefix(b".").filter(|_| path.is_empty()) {
                // `LAYOUT=maildir++`
                Some(flat) => path.extend(flat.split(|&b| b == b'.').map(folder_name::decode)),
                None => path.push(folder_name::decode(entry.name)),
            }
            room.take(path.len())?;
            pending.push((below, path));
        }
    }
    Ok(found)
}

/// The directories of indexes outside of `mailboxes`: of folders that the server has below another name (`MAILBOXDIR=`) over
/// the same storage, such as those of expunged messages. They are not shown. `tops`: the mailbox, and where its indexes are if
/// that is elsewhere; what is in the first of them counts. `own`: the name of the directory in each folder.
pub fn not_shown(root: &Root, tops: &[&[u8]], own: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut found: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for top in tops {
        let mut room = Room::new(top);
        let mut pending = vec![(Vec::new(), 0)];
        while let Some((below, depth)) = pending.pop() {
            let path = join(top, &below);
            let is_own = below.rsplit(|&b| b == b'/').next() == Some(own);
            let mut keep = || {
                let known = found.entry(own::without(&below, own).to_vec());
                known.or_insert_with(|| path.clone());
            };
            let listing = match root.list(&path) {
                Ok(listing) => listing,
                Err(e) if e.kind() == Kind::NotFound => continue,
                // It may have been one.
                Err(e) if is_of_one(&e) => {
                    keep();
                    continue;
                }
                Err(e) => return Err(e),
            };
            let is_another = |e: Entry<'_>| matches!(e.name, ALL | STORAGE);
            if depth > 0 && listing.iter().any(is_another) {
                // Another mailbox, or slower disks of this one.
                continue;
            }
            if is_own || (depth > 0 && listing.iter().any(|e| is_index(&e))) {
                keep();
            }
            for entry in listing.iter() {
                let is_known = depth == 0 && is_another(entry);
                if entry.kind == FileKind::Directory && !is_known && depth < DEEPEST {
                    room.take(depth + 1)?;
                    pending.push((join(&below, entry.name), depth + 1));
                }
            }
        }
    }
    Ok(found.into_values().collect())
}

/// A GUID in hexadecimal digits.
pub fn guid(name: &[u8]) -> Option<[u8; 16]> {
    let text = std::str::from_utf8(name).ok()?;
    let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let number = digits.then(|| u128::from_str_radix(text, 16).ok())??;
    Some(number.to_be_bytes())
}

/// The names of folders by their GUIDs; empty, with a warning, if they cannot be had.
pub fn read_names(root: &Root, mailbox: &[u8]) -> Result<HashMap<[u8; 16], Vec<String>>> {
    let dir = root.dir(mailbox)?;
    match Index::read(&dir, "dovecot.list.index", &[(b"list", 24)]) {
        Ok(Some(index)) => Ok(names(&index)),
        Ok(None) => Ok(HashMap::new()),
        Err(e) if is_of_one(&e) => {
            let state = IndexState::of(&dir, "dovecot.list.index").unwrap_or_default();
            let changed = state.changed.unwrap_or_default();
            let what = "the names of folders cannot be read, and they are shown by their ids";
            root.warn(mailbox, changed, format_args!("{what}: {e}"));
            Ok(HashMap::new())
        }
        Err(e) => Err(e),
    }
}

/// The index of folders has a row for each level of a name. The row's extension is the number of the level's own name, the
/// UID of the row above, and the folder's GUID; the header is a byte, then numbers and names, each ended by a NUL.
fn names(index: &Index) -> HashMap<[u8; 16], Vec<String>> {
    let mut levels = BTreeMap::new();
    let mut header = index.header(0).get(1..).unwrap_or_default();
    while let Some(number) = take(&mut header)
        .map(u32::from_le_bytes)
        .filter(|&number| number > 0)
    {
        let end = header
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(header.len());
        levels.insert(
            number,
            folder_name::decode(header.get(..end).unwrap_or_default()),
        );
        header = header.get(end + 1..).unwrap_or_default();
    }
    let rows: HashMap<u32, &[u8]> = index
        .rows()
        .filter_map(|(position, row)| Some((row.uid, index.cell(0, position)?)))
        .collect();
    let mut names = HashMap::new();
    for cell in rows.values() {
        let guid = cell
            .get(8..24)
            .and_then(|guid| <[u8; 16]>::try_from(guid).ok());
        let Some(guid) = guid.filter(|guid| *guid != [0; 16]) else {
            continue;
        };
        // Rows may be above each other in a circle, and have no names either.
        let above = |cell: &&[u8]| rows.get(&field(cell, 4)).copied();
        let up = std::iter::successors(Some(*cell), above).take(DEEPEST);
        let named = up.filter_map(|cell| levels.get(&field(cell, 0)).cloned());
        let mut path: Vec<String> = named.collect();
        path.reverse();
        if !path.is_empty() {
            names.insert(guid, path);
        }
    }
    names
}
