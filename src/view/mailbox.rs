//! Which mailboxes a snapshot holds, and what they are called.
//!
//! A mailbox is where a template says (`{domain}/{user}/Maildir`), or, without one, where a directory has the content
//! of a mail store. It is known by its path in the snapshot, which is the same on every date; its name is only shown.
//! So a user who plants a directory that *looks* like another's mailbox gets a mailbox of his own with a similar name,
//! never a share in the other one.
//!
//! The cast: [`Layout`] is what is configured, [`Template`] one pattern, [`hosting`] knows those of hosting systems,
//! [`recognition`] finds mailboxes by their content, [`Mailboxes`] is what one snapshot holds.

pub mod hosting;
mod recognition;
mod template;

pub use template::Template;

use super::listing::is_for_all;
use super::name;
use crate::disk::{FileKind, Listing, Root};
use crate::error::{Error, Kind, Result};
use crate::store::beside::{STORE_NAMES, home};
use crate::store::{Format, Place, Store};
use crate::time::{Time, Zone};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use template::Found;

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

/// The mailboxes of a snapshot, in byte order of their paths.
#[derive(Debug, Default)]
pub struct Mailboxes {
    all: Vec<Mailbox>,
    by_name: HashMap<String, u32>,
    /// Directories that could not be read, in which there may be others.
    unread: u32,
    /// Positions of those whose name another one had already, so that they got an id behind it.
    renamed: Vec<u32>,
    /// Links where mailboxes might be: the directory and the name of each.
    links: BTreeSet<(Vec<u8>, Vec<u8>)>,
    /// A directory in a home where a hosting system has mailboxes. The owner of the home can make others there, so they are shown
    /// where the configuration says so.
    hosted: Option<Vec<u8>>,
    /// Empty files where templates have mailboxes.
    empty: Vec<(Vec<u8>, Found)>,
}

const HOSTED: &str = "mailboxes in it are not shown, since the owner of the home can make them: if they are a hosting system's, name \
                      that with mailboxes = \"directadmin\" or \"virtualmin\" under [source]";

/// Links that are taken note of at most.
const MOST_LINKS: usize = 1000;

impl Mailboxes {
    /// Whether all directories could be read in which there may be mailboxes.
    pub fn is_complete(&self) -> bool {
        self.unread == 0
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Mailbox> {
        self.all.iter()
    }

    pub fn get(&self, position: usize) -> Option<&Mailbox> {
        self.all.get(position)
    }

    /// Those whose name was another one's already, so that it has an id behind it.
    pub fn renamed(&self) -> impl Iterator<Item = &Mailbox> {
        self.renamed
            .iter()
            .filter_map(|&i| self.all.get(i as usize))
    }

    pub fn named(&self, name: &str) -> Option<&Mailbox> {
        self.by_name
            .get(name)
            .and_then(|&i| self.all.get(i as usize))
    }

    pub fn at(&self, path: &[u8]) -> Option<&Mailbox> {
        self.position(path).and_then(|i| self.all.get(i))
    }

    /// The mailboxes of the same user and domain as one of another snapshot.
    pub fn namesakes(&self, mailbox: &Mailbox) -> impl Iterator<Item = &Mailbox> {
        let same =
            |other: &&Mailbox| (&other.user, &other.domain) == (&mailbox.user, &mailbox.domain);
        self.all.iter().filter(same)
    }

    /// Where the mailbox with this path is among all.
    pub fn position(&self, path: &[u8]) -> Option<usize> {
        self.all
            .binary_search_by(|mailbox| mailbox.path.as_slice().cmp(path))
            .ok()
    }

    /// Goes on without a directory that cannot be read, unless that is not its own fault.
    fn do_without(&mut self, error: Error) -> Result<()> {
        if is_for_all(&error) {
            return Err(error);
        }
        tracing::warn!("mailboxes in a directory that cannot be read are not shown: {error}");
        self.unread += 1;
        Ok(())
    }

    /// A directory in a home with mailboxes that are not shown, if there is one, and what can be done.
    pub fn hosted(&self) -> Option<(&[u8], &'static str)> {
        Some((self.hosted.as_deref()?, HOSTED))
    }

    /// Takes note of a link where a mailbox might be.
    fn add_link(&mut self, directory: &[u8], name: &[u8]) {
        if self.links.len() < MOST_LINKS {
            self.links.insert((directory.to_vec(), name.to_vec()));
        }
    }

    /// Warns of the links where mailboxes might be: they may lead anywhere, and are not followed.
    fn tell_links(&mut self, root: &Root) {
        let mut by_directory: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
        for (directory, name) in std::mem::take(&mut self.links) {
            let name = String::from_utf8_lossy(&name).into_owned();
            by_directory.entry(directory).or_default().push(name);
        }
        for (directory, mut names) in by_directory {
            let count = names.len();
            names.truncate(5);
            let what =
                "links where mailboxes might be are not followed, and nothing is shown of them";
            let what = format_args!("{count} {what}: {names:?}");
            root.warn(&directory, Time::default(), what);
        }
    }

    /// Makes one mailbox of a directory with folders and a file with INBOX, which templates found in two places for the
    /// same user, if he owns both.
    fn join_inboxes(&mut self) {
        let is_file = |mailbox: &Mailbox| mailbox.inbox.as_ref() == Some(&mailbox.path);
        if !self.all.iter().any(is_file) {
            return;
        }
        let key = |m: &Mailbox| (m.user.clone(), m.domain.clone(), m.uid, m.format.name());
        let mut directories: HashMap<_, Vec<usize>> = HashMap::new();
        for (i, mailbox) in self.all.iter().enumerate() {
            if !is_file(mailbox) {
                directories.entry(key(mailbox)).or_default().push(i);
            }
        }
        let mut joined = HashSet::new();
        for i in 0..self.all.len() {
            let Some(file) = self.all.get(i).filter(|m| is_file(m)).cloned() else {
                continue;
            };
            if let Some([directory]) = directories.get(&key(&file)).map(Vec::as_slice)
                && let Some(directory) = self.all.get_mut(*directory)
                && directory.inbox.is_none()
            {
                directory.inbox = Some(file.path.clone());
                directory.changed = directory.changed.max(file.changed);
                joined.insert(file.path);
            }
        }
        self.all.retain(|m| !joined.contains(&m.path));
    }

    /// Sees to it that mailboxes in the directory of another one are not its folders as well.
    fn part_nested(&mut self) {
        let mut others: Vec<(usize, Vec<u8>)> = Vec::new();
        for mailbox in &self.all {
            let slashes = memchr::memchr_iter(b'/', &mailbox.path);
            for at in slashes {
                let (above, below) = mailbox.path.split_at(at);
                let name = below.split(|&b| b == b'/').nth(1).unwrap_or_default();
                if let Some(outer) = self.position(above) {
                    others.push((outer, name.to_vec()));
                }
            }
        }
        for (outer, name) in others {
            if let Some(outer) = self.all.get_mut(outer)
                && outer.others.last() != Some(&name)
            {
                outer.others.push(name);
            }
        }
    }

    /// Makes the names unique: where some clash, the first in order of paths keeps its own.
    fn name(&mut self) {
        let mut taken = HashSet::new();
        for (i, mailbox) in self.all.iter_mut().enumerate() {
            let plain = mailbox.name.clone();
            let mut chars = name::ID_CHARS;
            while !taken.insert(name::fold(&mailbox.name)) && chars <= name::MAX_ID_CHARS {
                let id = name::id(&mailbox.path, chars);
                mailbox.name = name::component(&format!("{plain} ({id})"));
                chars += name::ID_CHARS;
            }
            if mailbox.name != plain {
                self.renamed.push(i as u32);
            }
            self.by_name.insert(mailbox.name.clone(), i as u32);
        }
    }

    /// Bytes of memory in use.
    pub fn weight(&self) -> usize {
        self.all
            .iter()
            .map(|m| size_of::<Mailbox>() + m.path.len() + 3 * m.name.len() + 64)
            .sum()
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
        found.all.sort_by(|a, b| a.path.cmp(&b.path));
        found.all.dedup_by(|a, b| a.path == b.path);
        found.join_inboxes();
        found.part_nested();
        found.name();
        found.tell_links(root);
        if let Some((path, what)) = found.hosted() {
            root.warn(path, Time::default(), format_args!("{what}"));
        }
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
                if self.format.is_none()
                    && root
                        .stat(&path)
                        .is_ok_and(|stat| stat.kind == FileKind::File && stat.size == 0)
                {
                    out.empty.push((path, found));
                }
                Ok(())
            }
            Err(e) if is_for_all(&e) => Err(e),
            Err(e) => {
                tracing::warn!("a mailbox cannot be read: {e}");
                self.add(root, path, found, self.presumed(), out)
            }
        }
    }

    /// Adds those of the empty files that are mailboxes: such as are beside an mbox, in a spool.
    fn add_empty(&self, root: &Root, out: &mut Mailboxes) -> Result<()> {
        let directory = |path: &[u8]| path.iter().rposition(|&b| b == b'/');
        let directory = |path: &[u8]| path.get(..directory(path).unwrap_or(0)).map(<[u8]>::to_vec);
        let files = out.all.iter().filter_map(|m| m.inbox.as_ref());
        let spools: HashSet<_> = files.filter_map(|file| directory(file)).collect();
        for (path, found) in std::mem::take(&mut out.empty) {
            if directory(&path).is_none_or(|directory| !spools.contains(&directory)) {
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
            None => format
                .whose(&path)
                .unwrap_or_else(|| recognition::whose(&path)),
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

    /// The mailbox in the live mail store: at the same path; or, as one of another format may be, elsewhere in the same home
    /// directory; or else the one of the same user and domain among `all`, of the same owner if there are several. `None` if there
    /// is none.
    ///
    /// # Errors
    /// [`Kind::Unreadable`] also if there is no mailbox at all: then this is hardly the live store.
    pub fn counterpart(
        &self,
        root: &Root,
        mailbox: &Mailbox,
        all: impl FnOnce() -> Result<Arc<Mailboxes>>,
    ) -> Result<Option<Mailbox>> {
        let missing = |e: &Error| matches!(e.kind(), Kind::NotFound | Kind::NotADirectory);
        let at_path = match mailbox.parts.is_empty() {
            true => self.store_at(root, &mailbox.path),
            // Its folders may have become others.
            false => Err(Error::new(Kind::NotFound, "a mailbox of many places")),
        };
        let store = match at_path {
            // A spool that somebody has emptied is a file as before.
            Ok(None) if mailbox.inbox.as_ref() == Some(&mailbox.path) => {
                Some((mailbox.path.clone(), mailbox.format))
            }
            Ok(None) => Some((mailbox.path.clone(), self.presumed())),
            Err(e) if missing(&e) => {
                match home(&mailbox.path).map(|home| self.store_at(root, home)) {
                    Some(Err(e)) if missing(&e) => None,
                    found => found.transpose()?.flatten(),
                }
            }
            found => found?,
        };
        if let Some((path, format)) = store {
            let changed = root.stat(&path)?.mtime;
            let there = |inbox: &Vec<u8>| !root.stat(inbox).is_err_and(|e| missing(&e));
            let inbox = mailbox.inbox.clone();
            return Ok(Some(Mailbox {
                path,
                format,
                changed,
                inbox: inbox.filter(there),
                ..mailbox.clone()
            }));
        }
        let all = all()?;
        let found = all.namesakes(mailbox).min_by_key(|m| m.uid != mailbox.uid);
        let found = found.cloned();
        if found.is_none() && (all.iter().len() == 0 || !all.is_complete()) {
            let message = format!(
                "{}: holds no mailbox, or not all of it can be read: see whether it is mounted, and whether it is \
                 the live mail store",
                root.path().display()
            );
            return Err(Error::new(Kind::Unreadable, message));
        }
        Ok(found)
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

/// The first format for which something is true.
fn first(
    mut formats: impl Iterator<Item = Format>,
    is: impl Fn(Format) -> Result<bool>,
) -> Result<Option<Format>> {
    formats
        .find_map(|format| is(format).map(|is| is.then_some(format)).transpose())
        .transpose()
}

/// `user@domain` in one level is both.
fn split_address(user: String, domain: Option<String>) -> (String, Option<String>) {
    match (domain, user.rsplit_once('@')) {
        (None, Some((local, domain))) if !local.is_empty() && !domain.is_empty() => {
            (local.to_owned(), Some(domain.to_owned()))
        }
        (domain, _) => (user, domain),
    }
}

fn below(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() {
        name.to_vec()
    } else {
        [path, b"/", name].concat()
    }
}

#[cfg(test)]
mod tests;
