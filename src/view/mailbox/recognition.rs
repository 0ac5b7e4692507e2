//! Mailboxes that are recognised by their content, where no template says where they are.
//!
//! A directory with the content of a mail store is a mailbox. Where it bears a store's name (`alice/Maildir`), the directory
//! that holds it is a home: the mailbox bears its name, and nothing else in it is a mailbox. The root of a snapshot is nobody's home, or
//! that of the only one: there, and in a domain's directory, what is beside a store is shown as well.
//!
//! The cast: `users` tells a user's directory from a store of the same name, `look` looks into directories.

mod look;
mod users;

use super::path::{above, below, levels, looks_like_domain, user_at, user_of};
use super::template::{Found, is_odd};
use super::{Layout, Mailboxes};
use crate::disk::{FileKind, Listing, Root};
use crate::error::Result;
use crate::store::Format;
use crate::store::beside::{STORE_NAMES, is_store_name};
use crate::store::dbox;
use look::{PARTS, directories, is_directory, list, others};
use std::collections::HashSet;
use users::{MOST_BESIDE, is_of_domain};

/// Directories between a snapshot's root and a mailbox at most.
const DEEPEST: usize = 8;

/// Directories looked into at most in search of mailboxes.
const MOST_DIRECTORIES: usize = 1_000_000;

/// Where hosting systems have mailboxes in a home: DirectAdmin, Virtualmin.
const HOSTED: [&[u8]; 2] = [b"imap", b"homes"];

/// Links and special files that are kept in mind at most until it is known which are beside mailboxes.
const MOST_ODD_SEEN: usize = 1 << 16;

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
        let mut odd = Vec::new();
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
                        ..Found::default()
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
            let room = MOST_ODD_SEEN.saturating_sub(odd.len());
            let no_directories = listing.iter().filter(|e| is_odd(e.kind));
            let of_mail = no_directories.filter(|e| {
                is_store_name(e.name)
                    || e.name == dbox::FOLDERS
                    || (e.kind == FileKind::Symlink && !e.name.starts_with(b"."))
            });
            odd.extend(of_mail.take(room).map(|e| (below(path, e.name), e.kind)));
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
        add_odd(odd, out);
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
                    ..Found::default()
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
}

/// Takes note of what is no directory where mailboxes might be. Links are everywhere; these are beside users' directories or
/// beside those of domains, or are where a user has a store who has no other.
fn add_odd(odd: Vec<(Vec<u8>, FileKind)>, out: &mut Mailboxes) {
    let with_mail: HashSet<Vec<u8>> = out.all.iter().map(|m| user_of(&m.path).to_vec()).collect();
    let of_users = with_mail.iter().filter_map(|user| above(user));
    let users: HashSet<Vec<u8>> = of_users.map(<[u8]>::to_vec).collect();
    let of_domains = users.iter().filter_map(|users| above(users));
    let domains: HashSet<Vec<u8>> = of_domains.map(<[u8]>::to_vec).collect();
    for (path, kind) in odd {
        let directory = above(&path).unwrap_or_default();
        let name = path.get(directory.len()..).unwrap_or_default();
        let name = name.strip_prefix(b"/").unwrap_or(name);
        // What would be a mailbox there, and the directory of its user.
        let user = match name {
            dbox::FOLDERS => user_of(directory),
            _ => user_of(&path),
        };
        let among = above(user).unwrap_or_default();
        let is_domain = || looks_like_domain(&String::from_utf8_lossy(name));
        if with_mail.contains(user) {
            continue;
        }
        if users.contains(among) {
            out.add_odd(&path, among.len(), kind);
        } else if domains.contains(directory) && is_domain() {
            out.add_odd(&path, directory.len(), kind);
        }
    }
}
