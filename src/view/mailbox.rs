//! Which mailboxes a snapshot holds, and what they are called.
//!
//! A mailbox is where a template says (`{domain}/{user}/Maildir`), or, without one, where a directory has the content
//! of a mail store. It is known by its path in the snapshot, which is the same on every date; its name is only shown.
//! So a user who plants a directory that *looks* like another's mailbox gets a mailbox of his own with a similar name,
//! never a share in the other one.
//!
//! The cast: [`Layout`] is what is configured, [`Template`] one pattern, [`hosting`] knows those of hosting systems,
//! [`recognition`] finds mailboxes by their content, `path` tells whose they are; [`Mailboxes`] is what one snapshot holds, and
//! `counterpart` the same mailbox in the live store.

mod counterpart;
pub mod hosting;
mod mailboxes;
mod path;
mod recognition;
mod template;

pub use mailboxes::Mailboxes;
pub use template::Template;

use super::listing::is_for_all;
use super::name;
use crate::disk::{FileKind, Listing, Root};
use crate::error::{Kind, Result};
use crate::store::beside::{STORE_NAMES, is_store_name};
use crate::store::dbox;
use crate::store::{Format, Place, Store};
use crate::time::{Time, Zone};
use path::{below, split_address};
use std::collections::HashSet;
use template::{Found, is_odd};

/// One mailbox in one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Its path relative to the snapshot's root: what it is known by on every date.
    pub path: Vec<u8>,
    /// The name of its directory in the tree; safe, and unique in the snapshot.
    pub name: String,
    pub user: String,
    pub domain: Option<String>,
    /// Who owns the mailbox directory.
    pub uid: u32,
    pub changed: Time,
    pub format: Format,
    /// The file with INBOX, relative to the snapshot's root, where it is none of the mailbox directory's.
    pub inbox: Option<Vec<u8>>,
    /// Where the clock of the mail server is.
    pub zone: Zone,
    /// Names of directories in the mailbox directory that lead to other mailboxes, and to no folders of this one.
    pub others: Vec<Vec<u8>>,
    /// Directories of its folders that are not in the mailbox directory, relative to the snapshot's root.
    pub parts: Vec<Vec<u8>>,
}

impl Mailbox {
    /// The mailbox in a snapshot, which `root` is.
    pub fn store<'a>(&'a self, root: &'a Root) -> Box<dyn Store + 'a> {
        let place = Place {
            path: &self.path,
            inbox: self.inbox.as_deref(),
            zone: self.zone,
            others: &self.others,
            parts: &self.parts,
        };
        self.format.open(root, place)
    }
}

/// Where mailboxes are, and what they are called.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// None: recognised by content.
    pub templates: Vec<Template>,
    /// Such as `{user}@{domain}`; the default is that, or `{user}` where no domain is known.
    pub name: Option<String>,
    /// None: recognised by content.
    pub format: Option<Format>,
    /// Where the clock of the mail server is.
    pub zone: Zone,
}

impl Layout {
    /// All mailboxes of a snapshot.
    pub fn find(&self, root: &Root) -> Result<Mailboxes> {
        let mut found = Mailboxes::default();
        self.look(root, &mut found)?;
        found.settle();
        found.tell(root);
        Ok(found)
    }

    /// Looks for mailboxes, as they are and without their order.
    fn look(&self, root: &Root, out: &mut Mailboxes) -> Result<()> {
        if self.templates.is_empty() {
            self.recognise(root, out)?;
        }
        for template in &self.templates {
            template.find(root, out, self)?;
        }
        self.add_empty(root, out)
    }

    /// Adds the mailbox at a template's path, unless what is there is no mail store. A template may end at the home
    /// directory of the store.
    fn add_found(
        &self,
        root: &Root,
        path: Vec<u8>,
        found: Found,
        out: &mut Mailboxes,
    ) -> Result<()> {
        match self.store_at(root, &path) {
            Ok(Some((path, format))) => self.add(root, path, found, format, out),
            Ok(None) => {
                tracing::debug!("{}: no mail store", String::from_utf8_lossy(&path));
                self.add_no_store(root, path, found, out)
            }
            Err(e) if is_for_all(&e) => Err(e),
            Err(e) => {
                tracing::warn!("a mailbox cannot be read: {e}");
                self.add(root, path, found, self.presumed(), out)
            }
        }
    }

    /// Takes note of what is no mail store at a template's path: an empty file, which may be one; and what is no
    /// directory where a directory should be. A user who has no mailbox is nothing to tell.
    fn add_no_store(
        &self,
        root: &Root,
        path: Vec<u8>,
        found: Found,
        out: &mut Mailboxes,
    ) -> Result<()> {
        let stat = match root.stat(&path) {
            Ok(stat) => stat,
            Err(e) => return out.do_without(e),
        };
        if stat.kind == FileKind::File {
            if stat.size == 0 && self.format.is_none() {
                out.empty.push((path, found));
            } else if found.is_named(&path) {
                // Any file may be among users' directories; this one is called as a mailbox is.
                out.add_odd(&path, found.listed, stat.kind);
            }
            return Ok(());
        }
        match odd_store(root, &path) {
            Ok(Some((odd, kind))) => out.add_odd(&odd, found.listed, kind),
            Ok(None) => {}
            Err(e) => out.do_without(e)?,
        }
        Ok(())
    }

    /// Adds those of the empty files that are mailboxes: such as are beside an mbox, in a spool.
    fn add_empty(&self, root: &Root, out: &mut Mailboxes) -> Result<()> {
        let directory = |path: &[u8]| path.iter().rposition(|&b| b == b'/');
        let directory = |path: &[u8]| path.get(..directory(path).unwrap_or(0)).map(<[u8]>::to_vec);
        let files = out.all.iter().filter_map(|m| m.inbox.as_ref());
        let spools: HashSet<_> = files.filter_map(|file| directory(file)).collect();
        for (path, found) in std::mem::take(&mut out.empty) {
            if directory(&path).is_none_or(|directory| !spools.contains(&directory)) {
                if found.is_named(&path) {
                    out.add_odd(&path, found.listed, FileKind::File);
                }
                continue;
            }
            match self.format_of_file(root, &path) {
                Ok(Some(format)) => self.add(root, path, found, format, out)?,
                Ok(None) => {}
                Err(e) => out.do_without(e)?,
            }
        }
        Ok(())
    }

    /// Adds the mailbox at a path.
    fn add(
        &self,
        root: &Root,
        path: Vec<u8>,
        found: Found,
        format: Format,
        out: &mut Mailboxes,
    ) -> Result<()> {
        let stat = match root.stat(&path) {
            Ok(stat) => stat,
            Err(e) => return out.do_without(e),
        };
        let (user, domain) = match found.user {
            Some(user) => split_address(format.user(&user), found.domain),
            None => format.whose(&path).unwrap_or_else(|| path::whose(&path)),
        };
        let name = name::component(&self.address(&user, domain.as_deref()));
        let inbox = (stat.kind == FileKind::File).then(|| path.clone());
        out.all.push(Mailbox {
            path,
            name,
            user,
            domain,
            uid: stat.uid,
            changed: stat.mtime,
            format,
            inbox,
            zone: self.zone,
            others: Vec::new(),
            parts: Vec::new(),
        });
        Ok(())
    }

    /// The mail store that a template's directory is or holds; a directory with nothing in it is a mailbox that has
    /// not been used yet.
    fn store_at(&self, root: &Root, path: &[u8]) -> Result<Option<(Vec<u8>, Format)>> {
        let stat = root.stat(path)?;
        if stat.kind == FileKind::File {
            // That an empty one is a mailbox must be said, or shown by what is beside it.
            if stat.size == 0 && self.format.is_none() {
                return Ok(None);
            }
            let format = self.format_of_file(root, path)?;
            return Ok(format.map(|format| (path.to_vec(), format)));
        }
        let listing = root.list(path)?;
        let has = |name: &str| {
            let mut directories = listing.iter().filter(|e| e.kind == FileKind::Directory);
            directories.any(|e| e.name == name.as_bytes())
        };
        if let Some(format) = self.shown_by(root, path, &listing)? {
            return Ok(Some((path.to_vec(), format)));
        }
        for name in STORE_NAMES.iter().filter(|name| has(name)) {
            let at = below(path, name.as_bytes());
            if let Some(format) = self.format_at(root, &at)? {
                return Ok(Some((at, format)));
            }
        }
        if listing.is_empty() {
            return Ok(Some((path.to_vec(), self.presumed())));
        }
        let format = first(self.formats(), |format| format.is_at(root, path))?;
        Ok(format.map(|format| (path.to_vec(), format)))
    }

    /// The formats that mailboxes may have.
    fn formats(&self) -> impl Iterator<Item = Format> {
        Format::all().filter(|format| self.format.is_none_or(|only| only == *format))
    }

    /// The format of what cannot be recognised.
    fn presumed(&self) -> Format {
        self.format.unwrap_or(Format::MAILDIR)
    }

    /// The format that the names in a directory show.
    fn shown_by(&self, root: &Root, path: &[u8], names: &Listing) -> Result<Option<Format>> {
        first(self.formats(), |format| format.shown_by(root, path, names))
    }

    /// The format of a file, if it is a mailbox: most are directories only.
    fn format_of_file(&self, root: &Root, path: &[u8]) -> Result<Option<Format>> {
        first(self.formats(), |format| match format.is_at(root, path) {
            Err(e) if e.kind() == Kind::NotADirectory => Ok(false),
            other => other,
        })
    }

    /// The format of a directory with a store's name, if it holds mail. One that cannot be read is taken for a store,
    /// which then is shown and cannot be read.
    fn format_at(&self, root: &Root, path: &[u8]) -> Result<Option<Format>> {
        match first(self.formats(), |format| format.is_at(root, path)) {
            Err(e) if !is_for_all(&e) => {
                tracing::warn!("a mailbox cannot be read: {e}");
                Ok(Some(self.presumed()))
            }
            other => other,
        }
    }

    /// What a mailbox is called before that is made safe as the name of a directory: the address that its owner signs in by.
    pub fn address(&self, user: &str, domain: Option<&str>) -> String {
        match (&self.name, domain) {
            (Some(template), Some(domain)) => {
                template.replace("{user}", user).replace("{domain}", domain)
            }
            (Some(template), None) if !template.contains("{domain}") => {
                template.replace("{user}", user)
            }
            (_, None) => user.to_owned(),
            (None, Some(domain)) => format!("{user}@{domain}"),
        }
    }
}

/// What is no directory in the place of a store, or of all its folders, in a directory.
fn odd_store(root: &Root, path: &[u8]) -> Result<Option<(Vec<u8>, FileKind)>> {
    for entry in root.list(path)?.iter() {
        let at = below(path, entry.name);
        let is_store = is_store_name(entry.name);
        if is_odd(entry.kind) && (is_store || entry.name == dbox::FOLDERS) {
            return Ok(Some((at, entry.kind)));
        }
        if entry.kind != FileKind::Directory || !is_store {
            continue;
        }
        let folders = below(&at, dbox::FOLDERS);
        match root.stat(&folders) {
            Ok(stat) if is_odd(stat.kind) => return Ok(Some((folders, stat.kind))),
            Ok(_) => {}
            Err(e) if matches!(e.kind(), Kind::NotFound | Kind::NotADirectory) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

/// The first format for which something is true.
fn first(
    mut formats: impl Iterator<Item = Format>,
    is: impl Fn(Format) -> Result<bool>,
) -> Result<Option<Format>> {
    formats
        .find_map(|format| is(format).map(|is| is.then_some(format)).transpose())
        .transpose()
}

#[cfg(test)]
mod tests;
