//! Looking into directories in search of mailboxes: what cannot be read is told, and done without.

use super::super::{Layout, Mailboxes};
use crate::disk::{FileKind, Listing, Root};
use crate::error::{Kind, Result};
use crate::store::Format;
use crate::store::beside::is_store_name;

/// What is in a Maildir's folder, beside `tmp`.
pub(super) const PARTS: [&[u8]; 2] = [b"cur", b"new"];

impl Layout {
    /// What store a directory is; `None` if it is none, or that cannot be seen, which is told.
    pub(super) fn format_of(
        &self,
        root: &Root,
        path: &[u8],
        listing: &Listing,
        out: &mut Mailboxes,
    ) -> Result<Option<Format>> {
        match self.shown_by(root, path, listing) {
            Err(e) => out.do_without(e).map(|()| None),
            format => format,
        }
    }
}

/// What is in a directory; `None` if it is gone, or cannot be read, which is told.
pub(super) fn list(root: &Root, path: &[u8], out: &mut Mailboxes) -> Result<Option<Listing>> {
    or_none(root.list(path), out)
}

/// Whose a directory is.
pub(super) fn owner(root: &Root, path: &[u8], out: &mut Mailboxes) -> Result<Option<u32>> {
    or_none(root.stat(path).map(|stat| stat.uid), out)
}

/// Whether a name is that of a directory in a Maildir.
pub(super) fn is_part(name: &[u8]) -> bool {
    PARTS.contains(&name) || name == b"tmp"
}

pub(super) fn is_directory(root: &Root, path: &[u8], out: &mut Mailboxes) -> Result<bool> {
    let stat = or_none(root.stat(path), out)?;
    Ok(stat.is_some_and(|stat| stat.kind == FileKind::Directory))
}

pub(super) fn or_none<T>(found: Result<T>, out: &mut Mailboxes) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(e) if matches!(e.kind(), Kind::NotFound | Kind::NotADirectory) => Ok(None),
        Err(e) => out.do_without(e).map(|()| None),
    }
}

/// Directories that may be users', whatever they are called: those without a store's name.
pub(super) fn others(listing: &Listing) -> impl Iterator<Item = &[u8]> {
    directories(listing).filter(|name| !is_store_name(name) && !name.starts_with(b"."))
}

pub(super) fn directories(listing: &Listing) -> impl Iterator<Item = &[u8]> {
    let directories = listing.iter().filter(|e| e.kind == FileKind::Directory);
    directories.map(|e| e.name)
}
