//! Mailboxes that are recognised by their content, where no template says where they are.
//!
//! A directory with the content of a mail store is a mailbox. Where it bears a store's name (`alice/Maildir`), the directory
//! that holds it is a home: the mailbox bears its name, and nothing else in it is a mailbox. But an address may begin like the
//! name of a store (`mail@example.com`): such a directory is a user's in a domain's directory, where it is itself a home
//! (`mail/Maildir`) or mailboxes of other users are beside it; and elsewhere where it is a home beside those of other owners. What
//! an owner can make in his own home decides nothing. The root of a snapshot is nobody's home, or that of the only one: there, and in
//! a domain's directory, what is beside a store is shown as well.

use super::template::Found;
use super::{Layout, Mailboxes, below, is_for_all, split_address};
use crate::disk::{FileKind, Listing, Root};
use crate::error::{Kind, Result};
use crate::store::Format;
use crate::store::beside::{STORE_NAMES, home};
use std::collections::HashSet;

/// Directories between a snapshot's root and a mailbox at most.
const DEEPEST: usize = 8;

/// Directories looked into at most in search of mailboxes.
const MOST_DIRECTORIES: usize = 1_000_000;

/// Directories at most that are looked at to see whether one beside them is a user's.
const MOST_BESIDE: usize = 32;

/// Where hosting systems have mailboxes in a home: DirectAdmin, Virtualmin.
const HOSTED: [&[u8]; 2] = [b"imap", b"homes"];

/// What is in a Maildir's folder, beside `tmp`.
const PARTS: [&[u8]; 2] = [b"cur", b"new"];

/// Links that are kept in mind at most until it is known which are beside mailboxes.
const MOST_LINKS_SEEN: usize = 1 << 16;

/// Names of stores with which an address may begin, though nothing but the name says so.
const LIKE_USERS: [&[u8]; 2] = [b"mail", b"maildir"];

/// A directory in which there may be mailboxes.
struct Pending {
    path: Vec<u8>,
    depth: usize,
    /// It is a user's, though it bears a store's name.
    is_user: bool,
}

impl Layout {
    /// Looks for directories with the content of a mail store.
    pub(super) fn recognise(&self, root: &Root, out: &mut Mailboxes) -> Result<()> {
        let mut pending = vec![Pending {
            path: Vec::new(),
            depth: 0,
            is_user: false,
        }];
        let mut seen = 0;
        let mut links = Vec::new();
        let mut hosted = Vec::new();
        while let Some(directory) = pending.pop() {
            let path = &directory.path;
            seen += 1;
            if seen > MOST_DIRECTORIES {
                tracing::warn!(
                    "{}: more than {MOST_DIRECTORIES} directories, not all of them searched for mailboxes: \
                     say where they are with [source] mailboxes",
                    root.path().display()
                );
                break;
            }
            let listing = match path.is_empty() {
                true => root.list(path)?,
                false => match list(root, path, out)? {
                    Some(listing) => listing,
                    None => continue,
                },
            };
            let found = || match directory.is_user {
                true => {
                    let (user, domain) = user_at(&levels(path));
                    Found {
                        user: Some(user),
                        domain,
                    }
                }
                false => Found::default(),
            };
            let format = match self.format_of(root, path, &listing, out)? {
                Some(_) if self.has_users_called_cur_or_new(root, path, &listing, out)? => None,
                format => format,
            };
            if let Some(format) = format {
                self.add(root, path.clone(), found(), format, out)?;
                continue;
            }
            let beside = listing.iter().filter(|e| e.kind == FileKind::Symlink);
            let room = MOST_LINKS_SEEN.saturating_sub(links.len());
            let beside = beside.filter(|e| !e.name.starts_with(b".")).take(room);
            links.extend(beside.map(|e| (path.clone(), e.name.to_vec())));
            let spool = self.add_spool(root, path, &listing, out)?;
            let before = out.all.len();
            let stores = self.stores_in(root, path, &listing)?;
            let holds_users = self.holds_users(root, path, &listing, &stores, out)?;
            for (name, format) in stores.iter().filter(|_| !holds_users) {
                self.add(root, below(path, name), found(), *format, out)?;
            }
            if out.all.len() > before && (path.is_empty() || is_of_domain(path, &listing)) {
                self.add_beside(root, path, &listing, out)?;
            } else if out.all.len() > before {
                let listing = directories(&listing).filter(|name| HOSTED.contains(name));
                hosted.extend(listing.map(|name| below(path, name)));
            }
            if out.all.len() == before
                && let Some(format) = self.format_of_folders(root, path, &listing, out)?
            {
                self.add(root, path.clone(), found(), format, out)?;
            }
            if out.all.len() == before && directory.depth < DEEPEST {
                let deeper = directories(&listing).filter(|name| !name.starts_with(b"."));
                let deeper = deeper.filter(|name| spool.as_deref() != Some(*name));
                pending.extend(deeper.map(|name| Pending {
                    path: below(path, name),
                    depth: directory.depth + 1,
                    is_user: holds_users && stores.iter().any(|(store, _)| *store == name),
                }));
            }
        }
        // Links are everywhere; these are beside users' directories, or beside those of domains.
        let users: HashSet<&[u8]> = out
            .all
            .iter()
            .filter_map(|m| above(user_of(&m.path)))
            .collect();
        let domains: HashSet<&[u8]> = users.iter().filter_map(|users| above(users)).collect();
        links.retain(|(directory, name)| {
            let name = String::from_utf8_lossy(name);
            users.contains(directory.as_slice())
                || (domains.contains(directory.as_slice()) && looks_like_domain(&name))
        });
        for (directory, name) in links {
            out.add_link(&directory, &name);
        }
        out.hosted = self.first_hosted(root, &hosted, out)?;
        Ok(())
    }

    /// Adds the mailboxes of a spool whose paths do not say whose they are; the name of the directory that they are in.
    fn add_spool(
        &self,
        root: &Root,
        path: &[u8],
        listing: &Listing,
        out: &mut Mailboxes,
    ) -> Result<Option<Vec<u8>>> {
        for format in self.formats() {
            let Some(spool) = format.spool(root, path, listing)? else {
                continue;
            };
            for error in spool.unread {
                out.do_without(error)?;
            }
            for mailbox in spool.mailboxes {
                let found = Found {
                    user: Some(mailbox.user),
                    domain: mailbox.domain,
                };
                let before = out.all.len();
                self.add(root, mailbox.path, found, format, out)?;
                if let Some(added) = out.all.get_mut(before) {
                    added.parts = mailbox.parts;
                }
            }
            return Ok(Some(spool.except));
        }
        Ok(None)
    }

    /// The directories in one that bear stores' names and hold mail.
    fn stores_in(
        &self,
        root: &Root,
        path: &[u8],
        listing: &Listing,
    ) -> Result<Vec<(&'static [u8], Format)>> {
        let mut found = Vec::new();
        for store in STORE_NAMES.map(str::as_bytes) {
            if directories(listing).any(|name| name == store)
                && let Some(format) = self.format_at(root, &below(path, store))?
                && !(format == Format::MAILDIR && self.holds_accounts(root, &below(path, store))?)
            {
                found.push((store, format));
            }
        }
        Ok(found)
    }

    /// Whether a directory with a store's name is none, but holds everybody's: `mail/example.com/ann`, `mail/ann@example.com`,
    /// `mail/mailboxes/example.com/ann`. What has an INBOX is a store, whatever its folders are called.
    fn holds_accounts(&self, root: &Root, path: &[u8]) -> Result<bool> {
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
    fn holds_users(
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
    fn has_users(
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

    /// Adds the mailboxes and homes that are in a directory beside a store.
    fn add_beside(
        &self,
        root: &Root,
        path: &[u8],
        listing: &Listing,
        out: &mut Mailboxes,
    ) -> Result<()> {
        for name in others(listing) {
            let at = below(path, name);
            let Some(listing) = list(root, &at, out)? else {
                continue;
            };
            if let Some(format) = self.format_of(root, &at, &listing, out)? {
                self.add(root, at, Found::default(), format, out)?;
                continue;
            }
            for (store, format) in self.stores_in(root, &at, &listing)? {
                self.add(root, below(&at, store), Found::default(), format, out)?;
            }
        }
        Ok(())
    }

    /// The first of these directories that holds mailboxes of a hosting system.
    fn first_hosted(
        &self,
        root: &Root,
        directories_of_homes: &[Vec<u8>],
        out: &mut Mailboxes,
    ) -> Result<Option<Vec<u8>>> {
        for path in directories_of_homes.iter().take(MOST_BESIDE) {
            let Some(listing) = list(root, path, out)? else {
                continue;
            };
            let mut names = directories(&listing);
            if names.any(|name| looks_like_domain(&String::from_utf8_lossy(name)))
                || self.has_users(root, path, &listing, out)?
            {
                return Ok(Some(path.clone()));
            }
        }
        Ok(None)
    }

    /// Whether what makes a directory look like a Maildir are users' directories: those of `new@` or `cur@` in a domain's
    /// directory, or in the root of a snapshot. In a Maildir, there are only messages in them.
    fn has_users_called_cur_or_new(
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

    /// The format of a mailbox that shows itself by its folders only: a Maildir whose INBOX is a folder like the others.
    fn format_of_folders(
        &self,
        root: &Root,
        path: &[u8],
        listing: &Listing,
        out: &mut Mailboxes,
    ) -> Result<Option<Format>> {
        if !self.formats().any(|format| format == Format::MAILDIR) || is_of_domain(path, listing) {
            return Ok(None);
        }
        let is_inbox = |name: &&[u8]| matches!(*name, b"INBOX" | b".INBOX");
        for name in directories(listing).filter(is_inbox) {
            for part in PARTS {
                if is_directory(root, &below(&below(path, name), part), out)? {
                    return Ok(Some(Format::MAILDIR));
                }
            }
        }
        Ok(None)
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

    /// What store a directory is; `None` if it is none, or that cannot be seen, which is told.
    fn format_of(
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
fn list(root: &Root, path: &[u8], out: &mut Mailboxes) -> Result<Option<Listing>> {
    or_none(root.list(path), out)
}

/// Whose a directory is.
fn owner(root: &Root, path: &[u8], out: &mut Mailboxes) -> Result<Option<u32>> {
    or_none(root.stat(path).map(|stat| stat.uid), out)
}

/// Whether a name is that of a directory in a Maildir.
fn is_part(name: &[u8]) -> bool {
    PARTS.contains(&name) || name == b"tmp"
}

fn is_directory(root: &Root, path: &[u8], out: &mut Mailboxes) -> Result<bool> {
    let stat = or_none(root.stat(path), out)?;
    Ok(stat.is_some_and(|stat| stat.kind == FileKind::Directory))
}

fn or_none<T>(found: Result<T>, out: &mut Mailboxes) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(e) if matches!(e.kind(), Kind::NotFound | Kind::NotADirectory) => Ok(None),
        Err(e) => out.do_without(e).map(|()| None),
    }
}

/// Whether a directory is that of a domain's users: called like one, below no other, with nothing but directories in it.
fn is_of_domain(path: &[u8], listing: &Listing) -> bool {
    let levels = levels(path);
    let Some((last, above)) = levels.split_last() else {
        return false;
    };
    looks_like_domain(last)
        && !above.iter().any(|level| looks_like_domain(level))
        && !listing.iter().any(|entry| entry.kind == FileKind::File)
}

fn is_store_name(name: &[u8]) -> bool {
    STORE_NAMES.iter().any(|store| store.as_bytes() == name)
}

/// Directories that may be users', whatever they are called: those without a store's name.
fn others(listing: &Listing) -> impl Iterator<Item = &[u8]> {
    directories(listing).filter(|name| !is_store_name(name) && !name.starts_with(b"."))
}

fn directories(listing: &Listing) -> impl Iterator<Item = &[u8]> {
    let directories = listing.iter().filter(|e| e.kind == FileKind::Directory);
    directories.map(|e| e.name)
}

/// What a mailbox that was recognised by content is called: its directory's name, or the name above a `Maildir`; and
/// the nearest directory above that looks like a domain.
pub(super) fn whose(path: &[u8]) -> (String, Option<String>) {
    let all = levels(path);
    let is_store = |level: &String| STORE_NAMES.contains(&level.as_str());
    let end = all.iter().rposition(|level| !is_store(level));
    user_at(all.get(..end.map_or(0, |end| end + 1)).unwrap_or_default())
}

/// The directory of the user whose mailbox is at a path: the home, where there is one.
fn user_of(mailbox: &[u8]) -> &[u8] {
    home(mailbox).unwrap_or(mailbox)
}

/// The directory in which something is.
fn above(path: &[u8]) -> Option<&[u8]> {
    match path.iter().rposition(|&b| b == b'/') {
        Some(end) => path.get(..end),
        None => (!path.is_empty()).then_some(b""),
    }
}

fn levels(path: &[u8]) -> Vec<String> {
    path.split(|&b| b == b'/')
        .map(|level| String::from_utf8_lossy(level).into_owned())
        .filter(|level| !level.is_empty())
        .collect()
}

/// The user whose directory is at the end of these levels.
fn user_at(levels: &[String]) -> (String, Option<String>) {
    match levels.split_last() {
        None => ("mailbox".into(), None),
        Some((user, _)) if user.contains('@') => split_address(user.clone(), None),
        Some((user, above)) => {
            let mut above = above.iter().rev();
            let domain = above.find(|level| looks_like_domain(level));
            (user.clone(), domain.cloned())
        }
    }
}

pub(super) fn looks_like_domain(level: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.chars()
                .all(|c| c.is_alphanumeric() || c == '-' || c == '_')
    };
    level.contains('.') && level.split('.').all(label)
}
