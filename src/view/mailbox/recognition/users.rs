//! Which directories are users', though they are called like a mail store or like a part of one.
//!
//! An address may begin like the name of a store (`mail@example.com`): such a directory is a user's in a domain's directory, where it is
//! itself a home (`mail/Maildir`) or mailboxes of other users are beside it; and elsewhere where it is a home beside those of other
//! owners. What an owner can make in his own home decides nothing.

use super::super::path::{below, levels, looks_like_domain};
use super::super::{Layout, Mailboxes, is_for_all};
use super::look::{PARTS, directories, is_directory, is_part, list, others, owner};
use crate::disk::{FileKind, Listing, Root};
use crate::error::Result;
use crate::store::Format;
use crate::store::beside::{STORE_NAMES, is_store_name};

/// Directories at most that are looked at to see whether one beside them is a user's.
pub(super) const MOST_BESIDE: usize = 32;

/// Names of stores with which an address may begin, though nothing but the name says so.
const LIKE_USERS: [&[u8]; 2] = [b"mail", b"maildir"];

impl Layout {
    /// Whether a directory with a store's name is none, but holds everybody's: `mail/example.com/ann`, `mail/ann@example.com`,
    /// `mail/mailboxes/example.com/ann`. What has an INBOX is a store, whatever its folders are called.
    pub(super) fn holds_accounts(&self, root: &Root, path: &[u8]) -> Result<bool> {
        let listing = match root.list(path) {
            Err(e) if !is_for_all(&e) => return Ok(false),
            listing => listing?,
        };
        if directories(&listing).any(|name| name == b"INBOX")
            || self.shown_by(root, path, &listing)?.is_some()
        {
            return Ok(false);
        }
        let is_account = |name: &[u8]| {
            let name = String::from_utf8_lossy(name);
            name.contains('@') || looks_like_domain(&name)
        };
        for name in others(&listing).take(MOST_BESIDE) {
            match root.list(&below(path, name)) {
                Err(e) if is_for_all(&e) => return Err(e),
                Err(_) => {}
                Ok(below) => {
                    let is_folder = directories(&below).any(|name| PARTS.contains(&name));
                    // A folder of mailing lists may be called like a domain.
                    let is_one = is_account(name) && (!is_folder || name.contains(&b'@'));
                    if is_one || (!is_folder && directories(&below).any(is_account)) {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    /// Whether a directory, in which there are stores by their names, is no home: then they are users' directories.
    ///
    /// A home's owner can make in it what he likes. So what counts is what he cannot make: that the directory is a domain's, or
    /// that the homes in it are different users'.
    pub(super) fn holds_users(
        &self,
        root: &Root,
        path: &[u8],
        listing: &Listing,
        stores: &[(&'static [u8], Format)],
        out: &mut Mailboxes,
    ) -> Result<bool> {
        let is_of_domain = is_of_domain(path, listing);
        // Addresses are in small letters.
        let may_be_users = stores
            .iter()
            .filter(|(name, _)| name.iter().all(u8::is_ascii_lowercase));
        for (name, _) in may_be_users {
            let at = below(path, name);
            let is_home = self.is_home(root, &at, out)?;
            let is_like_user = LIKE_USERS.contains(name);
            let is_user = if path.is_empty() || is_of_domain {
                (is_of_domain && is_home)
                    || (is_like_user && self.has_users(root, path, listing, out)?)
            } else {
                is_home && self.has_other_home(root, path, listing, &at, out)?
            };
            if is_user {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a directory that is no store by its own names holds one in a directory of a store's name, and no other.
    fn is_home(&self, root: &Root, path: &[u8], out: &mut Mailboxes) -> Result<bool> {
        let Some(listing) = list(root, path, out)? else {
            return Ok(false);
        };
        if self.format_of(root, path, &listing, out)?.is_some() {
            return Ok(false);
        }
        let mut found = false;
        for name in directories(&listing).take(MOST_BESIDE) {
            let at = below(path, name);
            if let Some(listing) = list(root, &at, out)?
                && self.format_of(root, &at, &listing, out)?.is_some()
            {
                if !is_store_name(name) {
                    return Ok(false);
                }
                found = true;
            }
        }
        Ok(found)
    }

    /// Whether a directory holds directories of users: mailboxes or homes.
    pub(super) fn has_users(
        &self,
        root: &Root,
        path: &[u8],
        listing: &Listing,
        out: &mut Mailboxes,
    ) -> Result<bool> {
        for name in others(listing).take(MOST_BESIDE) {
            let at = below(path, name);
            let Some(listing) = list(root, &at, out)? else {
                continue;
            };
            let format = self.format_of(root, &at, &listing, out)?;
            if format.is_some() || self.is_home(root, &at, out)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether what makes a directory look like a Maildir are users' directories: those of `new@` or `cur@` in a domain's
    /// directory, or in the root of a snapshot. In a Maildir, there are only messages in them.
    pub(super) fn has_users_called_cur_or_new(
        &self,
        root: &Root,
        path: &[u8],
        listing: &Listing,
        out: &mut Mailboxes,
    ) -> Result<bool> {
        if !path.is_empty() && !is_of_domain(path, listing) {
            return Ok(false);
        }
        let mut parts = directories(listing).filter(|name| PARTS.contains(name));
        let mut is_users = |part| -> Result<bool> {
            for name in PARTS.into_iter().chain(STORE_NAMES.map(str::as_bytes)) {
                if is_directory(root, &below(&below(path, part), name), out)? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let all_are = match (parts.next(), parts.next()) {
            (Some(one), None) => is_users(one)?,
            (Some(one), Some(other)) => is_users(one)? && is_users(other)?,
            // It is a store of another format.
            (None, _) => return Ok(false),
        };
        // One who has no mail yet, beside others.
        let is_whole = directories(listing).filter(|n| is_part(n)).count() == 3;
        Ok(all_are
            || (!is_whole
                && !self.has_messages(root, path, listing, out)?
                && self.has_users(root, path, listing, out)?))
    }

    /// Whether there are files in what may be a Maildir's `cur` and `new`.
    fn has_messages(
        &self,
        root: &Root,
        path: &[u8],
        listing: &Listing,
        out: &mut Mailboxes,
    ) -> Result<bool> {
        for part in directories(listing).filter(|name| PARTS.contains(name)) {
            let within = list(root, &below(path, part), out)?;
            if within.is_some_and(|l| l.iter().any(|entry| entry.kind == FileKind::File)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a directory holds, beside this home, one of somebody else's.
    fn has_other_home(
        &self,
        root: &Root,
        path: &[u8],
        listing: &Listing,
        home: &[u8],
        out: &mut Mailboxes,
    ) -> Result<bool> {
        let Some(owner) = owner(root, home, out)? else {
            return Ok(false);
        };
        for name in others(listing).take(MOST_BESIDE) {
            let at = below(path, name);
            if self::owner(root, &at, out)?.is_some_and(|other| other != owner)
                && self.is_home(root, &at, out)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether a directory is that of a domain's users: called like one, below no other, with nothing but directories in it.
pub(super) fn is_of_domain(path: &[u8], listing: &Listing) -> bool {
    let levels = levels(path);
    let Some((last, above)) = levels.split_last() else {
        return false;
    };
    looks_like_domain(last)
        && !above.iter().any(|level| looks_like_domain(level))
        && !listing.iter().any(|entry| entry.kind == FileKind::File)
}
