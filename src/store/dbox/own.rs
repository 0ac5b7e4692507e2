//! The directory in each folder that holds its messages and its index: `dbox-Mails`, or what the server was told to call it
//! (`DIRNAME=`, `FULLDIRNAME=`).
//!
//! The name is nowhere written down, so it is that of the first directory below a folder that holds what a dbox folder
//! does: a message's file that begins as one, or an index, where the mailbox has what else Dovecot writes for a dbox.

use super::folders::{ALL, guid, holds_messages, is_index, lists_folders};
use super::mdbox;
use super::record::FileHeader;
use crate::disk::{Entry, FileKind, Listing, Root};
use crate::error::{Kind, Result};
use crate::store::bounds::is_of_one;
use crate::store::join;
use std::collections::VecDeque;

/// What it is called unless the server was told otherwise.
pub const OWN: &[u8] = b"dbox-Mails";

/// Directories that are looked into at most to see whether there is a folder at all.
const MOST_LOOKS: usize = 1000;

/// Files that are opened at most to see whether one is a message's.
const MOST_OPENED: usize = 8;

/// What the directory is called in a mailbox; `None` if the mailbox has no dbox folder. With `LAYOUT=index` folders are such
/// directories themselves, and it is [`OWN`].
pub fn name(root: &Root, mailbox: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut pending = VecDeque::from([(join(mailbox, ALL), 0)]);
    let mut looks = 0;
    let mut is_dbox = None;
    let mut found = None;
    while let Some((path, depth)) = pending.pop_front() {
        looks += 1;
        let listing = match root.list(&path) {
            Ok(listing) => listing,
            Err(e) if matches!(e.kind(), Kind::NotFound | Kind::NotADirectory) => continue,
            Err(e) => return Err(e),
        };
        let directories = || listing.iter().filter(|e| e.kind == FileKind::Directory);
        if directories().any(|entry| entry.name == OWN) {
            return Ok(Some(OWN.to_vec()));
        }
        if depth > 0 && is_folders(root, mailbox, &path, &listing, &mut is_dbox)? {
            if depth > 1 {
                // No folder above this one has the usual directory.
                let name = path.rsplit(|&b| b == b'/').next();
                return Ok(name.map(<[u8]>::to_vec));
            }
            found = Some(OWN.to_vec());
        }
        // Indexes of mbox files are in such a directory.
        for entry in directories().filter(|e| e.name != b".imap") {
            let below = join(&path, entry.name);
            if depth == 0 && is_named_by_guid(root, &below, entry.name)? {
                return Ok(Some(OWN.to_vec()));
            }
            if looks + pending.len() < MOST_LOOKS {
                pending.push_back((below, depth + 1));
            }
        }
    }
    Ok(found)
}

/// Whether a directory is a folder of `LAYOUT=index`.
fn is_named_by_guid(root: &Root, path: &[u8], name: &[u8]) -> Result<bool> {
    if guid(name).is_none() {
        return Ok(false);
    }
    Ok(holds_messages(&root.dir(path)?.list()?))
}

/// Whether what is in a directory is what a dbox folder has. `is_dbox`: whether the mailbox shows that it is a dbox, once that
/// is known.
fn is_folders(
    root: &Root,
    mailbox: &[u8],
    path: &[u8],
    listing: &Listing,
    is_dbox: &mut Option<bool>,
) -> Result<bool> {
    let is_maildir =
        |e: Entry<'_>| e.kind == FileKind::Directory && matches!(e.name, b"cur" | b"new");
    if listing.iter().any(is_maildir) {
        return Ok(false);
    }
    let files = listing.iter().filter(|e| e.kind == FileKind::File);
    let messages = files.filter(|e| e.name.strip_prefix(b"u.").is_some_and(is_number));
    for entry in messages.take(MOST_OPENED) {
        let file = root.open(&join(path, entry.name));
        match file.and_then(|file| FileHeader::read(&file)) {
            Ok(_) => return Ok(true),
            Err(e) if matches!(e.kind(), Kind::NotFound | Kind::NotADirectory) || is_of_one(&e) => {
            }
            Err(e) => return Err(e),
        }
    }
    if !listing.iter().any(|e| is_index(&e)) {
        return Ok(false);
    }
    let known = match *is_dbox {
        Some(known) => known,
        None => lists_folders(root, mailbox)? == Some(true) || mdbox::has_storage(root, mailbox)?,
    };
    *is_dbox = Some(known);
    Ok(known)
}

fn is_number(digits: &[u8]) -> bool {
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// Where a folder's index is below a directory of indexes alone.
pub fn without<'f>(folder: &'f [u8], own: &[u8]) -> &'f [u8] {
    folder
        .strip_suffix(own)
        .and_then(|folder| folder.strip_suffix(b"/"))
        .unwrap_or(folder)
}
