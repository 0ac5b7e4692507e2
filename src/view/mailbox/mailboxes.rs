//! The mailboxes that one snapshot holds: each with a name of its own, none of them twice.

use super::name;
use super::template::Found;
use super::{Mailbox, is_for_all};
use crate::disk::{FileKind, Root};
use crate::error::{Error, Result};
use crate::time::Time;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The mailboxes of a snapshot, in byte order of their paths.
#[derive(Debug, Default)]
pub struct Mailboxes {
    pub(super) all: Vec<Mailbox>,
    by_name: HashMap<String, u32>,
    /// Directories that could not be read, in which there may be others.
    unread: u32,
    /// Positions of those whose name another one had already, so that they got an id behind it.
    renamed: Vec<u32>,
    /// What is no directory where mailboxes might be: where that is, and whether it is a link.
    pub(super) odd: BTreeMap<Place, bool>,
    /// What is said of them: the directory in which they are, and how many there are.
    not_shown: Vec<(Vec<u8>, String)>,
    /// A directory in a home where a hosting system has mailboxes. The owner of the home can make others there, so they are shown
    /// where the configuration says so.
    pub(super) hosted: Option<Vec<u8>>,
    /// Empty files where templates have mailboxes.
    pub(super) empty: Vec<(Vec<u8>, Found)>,
}

const HOSTED: &str = "mailboxes in it are not shown, since the owner of the home can make them: if they are a hosting system's, name \
                      that with mailboxes = \"directadmin\" or \"virtualmin\" under [source]";

/// What is no directory that is taken note of at most, and directories that have some.
const MOST_ODD: usize = 1 << 16;
const MOST_TOLD: usize = 1000;

/// Of these, so many are named.
const NAMED: usize = 5;

const LINKS: &str = "links where mailboxes might be are not followed, and nothing is shown of them";

const NO_DIRECTORIES: &str = "links, special files or files without mail are where mailboxes might be; they are not followed nor \
                              opened, and nothing is shown of them";

/// A directory, and a path below it: that of a mailbox below the directory of all users.
pub(super) type Place = (Vec<u8>, Vec<u8>);

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
    pub(super) fn do_without(&mut self, error: Error) -> Result<()> {
        if is_for_all(&error) {
            return Err(error);
        }
        tracing::warn!("mailboxes in a directory that cannot be read are not shown: {error}");
        self.unread += 1;
        Ok(())
    }

    /// Brings what was found into its order, each once, with its name.
    pub(super) fn settle(&mut self) {
        self.all.sort_by(|a, b| a.path.cmp(&b.path));
        self.all.dedup_by(|a, b| a.path == b.path);
        self.join_inboxes();
        self.part_nested();
        self.name();
    }

    /// Warns of what is not shown.
    pub(super) fn tell(&mut self, root: &Root) {
        self.sum_up();
        for (directory, what) in self.not_shown() {
            root.warn(directory, Time::default(), what);
        }
        if let Some((path, what)) = self.hosted() {
            root.warn(path, Time::default(), format_args!("{what}"));
        }
    }

    /// A directory in a home with mailboxes that are not shown, if there is one, and what can be done.
    pub fn hosted(&self) -> Option<(&[u8], &'static str)> {
        Some((self.hosted.as_deref()?, HOSTED))
    }

    /// What is no directory where mailboxes might be: the directory in which some are, and what is said of them.
    pub fn not_shown(&self) -> impl Iterator<Item = (&[u8], &str)> {
        let all = self.not_shown.iter();
        all.map(|(directory, what)| (directory.as_slice(), what.as_str()))
    }

    /// Takes note of a link, a special file, or a file without mail, where a mailbox might be. `above`: how many bytes of its
    /// path are that of the directory of all users.
    pub(super) fn add_odd(&mut self, path: &[u8], above: usize, kind: FileKind) {
        let (directory, below) = path.split_at_checked(above).unwrap_or((b"", path));
        let below = below.strip_prefix(b"/").unwrap_or(below);
        if self.odd.len() < MOST_ODD {
            let place = (directory.to_vec(), below.to_vec());
            self.odd.insert(place, kind == FileKind::Symlink);
        }
    }

    /// Says how much there is that is no directory where mailboxes might be: links may lead anywhere, and are not followed.
    fn sum_up(&mut self) {
        let mut by_directory: BTreeMap<Vec<u8>, (Vec<String>, usize, bool)> = BTreeMap::new();
        for ((directory, below), is_link) in std::mem::take(&mut self.odd) {
            if by_directory.len() >= MOST_TOLD && !by_directory.contains_key(&directory) {
                continue;
            }
            let (names, count, all_links) =
                by_directory
                    .entry(directory)
                    .or_insert((Vec::new(), 0, true));
            if names.len() < NAMED {
                names.push(String::from_utf8_lossy(&below).into_owned());
            }
            *count += 1;
            *all_links &= is_link;
        }
        let said = by_directory.into_iter();
        let said = said.map(|(directory, (names, count, all_links))| {
            let what = if all_links { LINKS } else { NO_DIRECTORIES };
            (directory, format!("{count} {what}: {names:?}"))
        });
        self.not_shown = said.collect();
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
        let mailboxes = self.all.iter();
        let mailboxes = mailboxes.map(|m| size_of::<Mailbox>() + m.path.len() + 3 * m.name.len());
        let said = self
            .not_shown
            .iter()
            .map(|(at, what)| at.len() + what.len());
        mailboxes.chain(said).map(|bytes| bytes + 64).sum()
    }
}
