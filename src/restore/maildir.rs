//! A live Maildir: what it has, and how a message is put into it by the format's rules.
//!
//! A message is written to `tmp`, gets owner, permissions and time, is on disk, and only then gets its name in `cur`,
//! which nobody has. A reader never sees half of it; of a run that was killed at most a file in `tmp` stays behind,
//! which the mail server clears away after a day and a half. Nothing that is there is changed, but files to which lines
//! are added, beside the messages or where Dovecot keeps such files (`CONTROL=`): under its locks a folder's keywords and the
//! list of subscriptions, and what the quota counts.
//!
//! While it is looked through, the mailbox may be in use: messages are renamed with every flag and moved from folder to
//! folder. So it is looked through again until nothing has changed meanwhile, and what was seen once is there.
//!
//! The cast: [`name`] makes file names, [`keywords`] and [`subscriptions`] know Dovecot's files, and `control` where they are; `quota` what counts messages;
//! [`Mailbox`] is the live mailbox.

mod control;
pub mod keywords;
pub mod name;
mod quota;
pub mod subscriptions;

use super::facts::{Fact, learn};
use super::gate::{Dir, Gate, Ownership};
use super::journal::{Place, escape, unescape};
use super::live::{
    Content, Identities, LONGEST_LEVEL, LONGEST_NAME, Live, NO_NAME, NewMessage, Patience, Present,
    Removal, Target, too_long,
};
use super::measure::{Basis, Measure};
use crate::disk::Root;
use crate::error::{Error, Kind, Result};
use crate::store::{Folder, Message, Messages, Stamp, Store, folder_name, join};
use crate::view::View;
use crate::view::content::{self, Encoding};
use keywords::Keywords;
use quota::Quota;
use std::collections::{HashMap, HashSet};

/// A Maildir that is in use.
pub struct Mailbox<'a> {
    root: &'a Root,
    store: Box<dyn Store + 'a>,
    view: &'a View,
    gate: Gate,
    path: &'a [u8],
    names: name::Names,
    folders: Vec<Folder>,
    /// By the store's name of the folder.
    seen: HashMap<Vec<u8>, Seen>,
    open: HashMap<Target, OpenFolder>,
    /// The files of the folder that was searched last.
    located: Option<(Vec<u8>, Files)>,
    keywords_lost: u64,
    quota: Quota,
}

/// What was seen of a folder.
#[derive(Default)]
struct Seen {
    stamp: Stamp,
    /// As it was when it was looked at last.
    messages: Messages,
    /// Of all messages that it had at any look.
    identities: HashSet<Vec<u8>>,
    /// Of those that were read, or told by the index.
    learned: HashSet<Vec<u8>>,
}

/// Files by the unique parts of their names: whether in `new`, and the whole name.
type Files = HashMap<Vec<u8>, (bool, Vec<u8>)>;

/// A folder that messages are put into.
struct OpenFolder {
    stored: Vec<u8>,
    tmp: Dir,
    cur: Dir,
    like: Ownership,
    /// `None` where it is not known where Dovecot keeps them.
    keywords: Option<Keywords>,
}

impl<'a> Mailbox<'a> {
    /// The Maildir at a path below the live store, which `root` is.
    pub fn open(
        root: &'a Root,
        store: Box<dyn Store + 'a>,
        path: &'a [u8],
        view: &'a View,
    ) -> Result<Self> {
        let gate = Gate::open(root.path())?;
        let folders = store.folders()?.folders;
        Ok(Self {
            root,
            store,
            view,
            gate,
            path,
            names: name::Names::now(),
            folders,
            seen: HashMap::new(),
            open: HashMap::new(),
            located: None,
            keywords_lost: 0,
            quota: Quota::default(),
        })
    }

    /// Looks through all folders until nothing has changed meanwhile.
    fn look(&mut self) -> Result<()> {
        let mut patience = Patience::begin();
        while patience.lasts() {
            let mut changed = false;
            self.folders = self.store.folders()?.folders;
            for folder in self.folders.clone() {
                changed |= self.look_at(&folder.stored)?;
            }
            if !changed {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Looks at a folder; whether it has changed since it was looked at last.
    fn look_at(&mut self, folder: &[u8]) -> Result<bool> {
        let stamp = match self.store.stamp(folder) {
            Ok(stamp) => stamp,
            Err(e) if e.kind() == Kind::NotFound => return Ok(false),
            Err(e) => return Err(unclear(e)),
        };
        if self
            .seen
            .get(folder)
            .is_some_and(|seen| seen.stamp == stamp)
        {
            return Ok(false);
        }
        match self.store.messages(folder, &Messages::default()) {
            Ok(messages) => {
                let seen = self.seen.entry(folder.to_vec()).or_default();
                let identities = messages.iter().map(|message| messages.identity(message));
                seen.identities.extend(identities);
                (seen.stamp, seen.messages) = (stamp, messages);
            }
            Err(e) if e.kind() == Kind::NotFound => {}
            Err(e) => return Err(unclear(e)),
        }
        Ok(true)
    }

    /// Takes note of messages of a folder that were not known yet; whether all of them were still there.
    fn note(
        &mut self,
        folder: &[u8],
        number: u32,
        wanted: (&HashSet<u128>, &HashSet<u64>),
        found: &mut Present,
    ) -> Result<bool> {
        let Some(seen) = self.seen.get_mut(folder) else {
            return Ok(true);
        };
        let Seen {
            messages, learned, ..
        } = seen;
        let news = messages.iter();
        let news = news.filter(|message| !learned.contains(&messages.identity(message)));
        let news: Vec<&Message> = news.collect();
        let facts = learn(
            self.view,
            &*self.store,
            folder,
            messages,
            news.iter().copied(),
        )?;
        let mut all_there = true;
        for (message, fact) in news.into_iter().zip(facts) {
            all_there &= !matches!(fact, Fact::Gone);
            let known = fact.known();
            let readable =
                known.filter(|l| matches!(l.encoding, Encoding::Plain | Encoding::Encoded));
            let Some(known) = readable else {
                continue;
            };
            match known.facts.message_id {
                Some(id) if wanted.0.contains(&id) => {
                    let places = found.by_id.entry(id).or_default();
                    places.push((number, known.size));
                }
                None if wanted.1.contains(&known.size) => {
                    let mut measure = Measure::new(Basis::Stored);
                    let stored = self.store.open(folder, messages, message);
                    let read = stored.and_then(|stored| {
                        content::read(&stored, known.encoding, &self.view.keys, |bytes| {
                            measure.feed(bytes);
                            true
                        })
                    });
                    match read {
                        Ok(()) => {
                            let digest = measure.finish().digest;
                            found.by_digest.entry(digest).or_default().push(number);
                        }
                        Err(e) if e.kind() == Kind::NotFound => {
                            all_there = false;
                            continue;
                        }
                        Err(e) => return Err(unclear(e)),
                    }
                }
                _ => {}
            }
            learned.insert(messages.identity(message));
        }
        Ok(all_there)
    }

    /// The folder of the mailbox that a target means.
    fn folder_of(&self, target: &Target) -> Option<&Folder> {
        let stored = |f: &&Folder| Some(&f.stored) == target.stored.as_ref();
        let named = |f: &&Folder| f.path == target.path;
        let inbox = |f: &&Folder| match (f.path.as_slice(), target.path.as_slice()) {
            ([a], [b]) => a.eq_ignore_ascii_case("INBOX") && b.eq_ignore_ascii_case("INBOX"),
            _ => false,
        };
        let folders = || self.folders.iter();
        folders()
            .find(stored)
            .or_else(|| folders().find(named))
            .or_else(|| folders().find(inbox))
    }

    /// Whether folders are nested directories.
    fn is_nested(&self) -> bool {
        let nested = |f: &Folder| !f.stored.is_empty() && !f.stored.starts_with(b".");
        self.folders.iter().any(nested)
    }

    /// The levels of a new folder's name, as this store writes them.
    fn levels(&self, target: &Target) -> Result<Vec<Vec<u8>>> {
        if let Some(stored) = &target.stored {
            let (levels, separator) = match stored.strip_prefix(b".") {
                Some(levels) => (levels, b'.'),
                None => (stored.as_slice(), b'/'),
            };
            let levels = levels.split(|&b| b == separator);
            return Ok(levels.map(<[u8]>::to_vec).collect());
        }
        let utf8 = self.folders.iter().any(|f| !f.stored.is_ascii());
        let separator = if self.is_nested() { '/' } else { '.' };
        let level = |name: &String| {
            let reserved = matches!(name.as_str(), "" | "." | ".." | "cur" | "new" | "tmp");
            if reserved || name.starts_with(['.', '~']) || name.contains([separator, '/', '\0']) {
                return Err(Error::new(
                    Kind::Config,
                    format!(
                        "\"{name}\" {NO_NAME} of this mailbox: choose another name, without \"{separator}\""
                    ),
                ));
            }
            let stored = match utf8 {
                true => name.clone().into_bytes(),
                false => folder_name::encode(name),
            };
            Ok(stored)
        };
        let levels: Vec<Vec<u8>> = target.path.iter().map(level).collect::<Result<_>>()?;
        let whole = levels.iter().map(|level| level.len() + 1).sum::<usize>();
        let is_long = separator == '.' && whole > LONGEST_NAME;
        if is_long || levels.iter().any(|level| level.len() > LONGEST_LEVEL) {
            return Err(too_long(target));
        }
        Ok(levels)
    }

    /// Makes a folder.
    fn make(&self, target: &Target) -> Result<Vec<u8>> {
        let levels = self.levels(target)?;
        let nested = match &target.stored {
            Some(stored) => !stored.is_empty() && !stored.starts_with(b"."),
            None => self.is_nested(),
        };
        let mailbox = self.gate.dir(self.path)?;
        let like = mailbox.ownership()?;
        let (stored, separator) = match nested {
            true => (levels.join(&b'/'), b'/'),
            false => ([b".", levels.join(&b'.').as_slice()].concat(), b'.'),
        };
        let mut dir = self.gate.dir(self.path)?;
        for level in stored.split(|&b| b == b'/') {
            dir = dir.make(level, like)?.0;
        }
        // `new` and `cur` are what makes it a folder, so they come last.
        if !nested
            && !dir.has(b"maildirfolder")?
            && let Some(mut file) = dir.create(b"maildirfolder.tmp")?
        {
            file.seal(like, None)?;
            file.publish(&dir, b"maildirfolder")?;
        }
        if let Err(e) = self.subscribe(&levels, separator) {
            tracing::warn!("the new folder {} is not subscribed to: {e}", target.name());
        }
        for sub in [b"tmp", b"new", b"cur"] {
            dir.make(sub, like)?;
        }
        dir.sync()?;
        mailbox.sync()?;
        Ok(stored)
    }

    fn path_of(&self, folder: &[u8]) -> Vec<u8> {
        join(self.path, folder)
    }

    fn open_folder(&self, stored: Vec<u8>) -> Result<OpenFolder> {
        let dir = self.gate.dir(&self.path_of(&stored))?;
        let around = dir.ownership()?;
        let tmp = dir.make(b"tmp", around)?.0;
        dir.make(b"new", around)?;
        let cur = dir.make(b"cur", around)?.0;
        let like = cur.ownership()?;
        let keywords = self.keywords_of(&stored, dir, like)?;
        Ok(OpenFolder {
            stored,
            tmp,
            cur,
            like,
            keywords,
        })
    }

    /// The files of a folder by the unique parts of their names: whether in `new`, and the whole name.
    fn files_of(&self, folder: &[u8]) -> Result<Files> {
        let mut files = Files::new();
        for (new, sub) in [(true, &b"new"[..]), (false, b"cur")] {
            let path = join(&self.path_of(folder), sub);
            let listing = match self.root.list(&path) {
                Ok(listing) => listing,
                Err(e) if e.kind() == Kind::NotFound => continue,
                Err(e) => return Err(e),
            };
            for entry in listing.iter() {
                let unique = name::unique(entry.name).to_vec();
                files.insert(unique, (new, entry.name.to_vec()));
            }
        }
        Ok(files)
    }

    /// Where the file of a unique name is now. What is known of the folder is looked up again if it is out of date.
    fn locate(&mut self, folder: &[u8], unique: &[u8]) -> Result<Option<(bool, Vec<u8>)>> {
        for fresh in [false, true] {
            let known = self.located.as_ref().filter(|(of, _)| of == folder);
            if fresh || known.is_none() {
                self.located = Some((folder.to_vec(), self.files_of(folder)?));
            }
            let files = self.located.as_ref().map(|(_, files)| files);
            let Some((new, file)) = files.and_then(|files| files.get(unique)) else {
                continue;
            };
            let sub: &[u8] = if *new { b"new" } else { b"cur" };
            let dir = self.gate.dir(&self.path_of(folder))?.sub(sub)?;
            if dir.has(file)? {
                return Ok(Some((*new, file.clone())));
            }
        }
        Ok(None)
    }

    /// The digest of a file's bytes.
    fn digest(&self, folder: &[u8], new: bool, file: &[u8]) -> Result<String> {
        let sub: &[u8] = if new { b"new" } else { b"cur" };
        let path = join(&join(&self.path_of(folder), sub), file);
        let opened = self.root.open(&path)?;
        let (mut measure, mut buffer, mut offset) =
            (Measure::new(Basis::Stored), vec![0; 64 << 10], 0);
        loop {
            let n = opened.read_at(&mut buffer, offset)?;
            if n == 0 {
                return Ok(hex(&measure.finish().digest));
            }
            measure.feed(buffer.get(..n).unwrap_or_default());
            offset += n as u64;
        }
    }
}

impl Live for Mailbox<'_> {
    fn basis(&self) -> Basis {
        Basis::Stored
    }

    fn identities(&mut self, names: &HashSet<String>) -> Result<Identities> {
        self.look()?;
        let mut found = Identities::default();
        for folder in &self.folders {
            let number = found.folders.len() as u32;
            found.folders.push(folder.path.join("/"));
            let seen = self.seen.get(&folder.stored);
            for identity in seen.into_iter().flat_map(|seen| &seen.identities) {
                let unique = std::str::from_utf8(name::unique(identity)).unwrap_or_default();
                if !names.is_empty() && names.contains(unique) {
                    found.by_name.insert(unique.to_owned(), number);
                }
                let folders = found.by_identity.entry(identity.clone()).or_default();
                folders.push(number);
            }
        }
        Ok(found)
    }

    fn find(&mut self, ids: &HashSet<u128>, sizes: &HashSet<u64>) -> Result<Present> {
        let mut found = Present::default();
        let mut numbers: HashMap<Vec<u8>, u32> = HashMap::new();
        let mut patience = Patience::begin();
        // A message that was moved before it was read is in another folder under another name.
        while patience.lasts() {
            let mut clear = true;
            for folder in self.folders.clone() {
                let number = *numbers.entry(folder.stored.clone()).or_insert_with(|| {
                    found.folders.push(folder.path.join("/"));
                    found.folders.len() as u32 - 1
                });
                clear &= !self.look_at(&folder.stored)?;
                clear &= self.note(&folder.stored, number, (ids, sizes), &mut found)?;
            }
            let folders = self.store.folders()?.folders;
            clear &= folders == self.folders;
            self.folders = folders;
            if clear {
                break;
            }
        }
        Ok(found)
    }

    fn new_name(&mut self) -> Option<String> {
        Some(self.names.draw())
    }

    fn would_take(&mut self, target: &Target) -> Result<()> {
        match self.folder_of(target) {
            Some(_) => Ok(()),
            None => self.levels(target).map(drop),
        }
    }

    fn prepare(&mut self, target: &Target) -> Result<bool> {
        if self.open.contains_key(target) {
            return Ok(false);
        }
        let known = self.folder_of(target).map(|folder| folder.stored.clone());
        let made = known.is_none();
        let stored = match known {
            Some(stored) => stored,
            None => self.make(target)?,
        };
        let folder = self.open_folder(stored)?;
        self.open.insert(target.clone(), folder);
        Ok(made)
    }

    fn put(
        &mut self,
        target: &Target,
        message: &NewMessage<'_>,
        content: &Content<'_>,
    ) -> Result<Place> {
        let missing = || Error::new(Kind::Failed, format!("{}: not prepared", target.name()));
        let folder = self.open.get_mut(target).ok_or_else(missing)?;
        let unique = message.name.ok_or_else(missing)?;
        let (numbers, lost) = match &mut folder.keywords {
            _ if message.keywords.is_empty() => (Vec::new(), 0),
            Some(keywords) => keywords.numbers(message.keywords)?,
            None => (Vec::new(), message.keywords.len()),
        };
        let flags = name::letters(message.flags, &numbers);
        let Some(mut file) = folder.tmp.create(unique.as_bytes())? else {
            let at = folder.tmp.path().display();
            let message = format!("{at}: somebody has the new name of a message: run this again");
            return Err(Error::new(Kind::Failed, message));
        };
        let mut measure = Measure::new(Basis::Stored);
        content(&mut |bytes| {
            measure.feed(bytes);
            file.write(bytes)
        })?;
        let measured = measure.finish();
        if measured.size != message.size {
            let message = format!("{} bytes were read of {}", measured.size, message.size);
            return Err(Error::new(Kind::Unreadable, message));
        }
        file.seal(folder.like, Some(message.received))?;
        let name = name::in_cur(unique, measured.size, measured.crlf_size, &flags);
        file.publish(&folder.cur, name.as_bytes())?;
        self.keywords_lost += lost as u64;
        let stored = escape(&folder.stored);
        self.count_in(measured.size);
        Ok(Place {
            folder: stored,
            file: Some(name),
            uid: None,
            digest: hex(&measured.digest),
            flags,
        })
    }

    fn sync(&mut self) -> Result<()> {
        self.quota.write();
        self.open.values().try_for_each(|folder| folder.cur.sync())
    }

    fn put_as(&mut self, target: &Target, name: &str) -> Result<Option<Place>> {
        let Some(folder) = self.folder_of(target).map(|folder| folder.stored.clone()) else {
            return Ok(None);
        };
        let Some((new, file)) = self.locate(&folder, name.as_bytes())? else {
            return Ok(None);
        };
        let digest = self.digest(&folder, new, &file)?;
        Ok(Some(Place {
            folder: escape(&folder),
            flags: flags_of(&file),
            file: String::from_utf8(file).ok(),
            uid: None,
            digest,
        }))
    }

    fn remove(&mut self, place: &Place, really: bool) -> Result<Removal> {
        let folder = unescape(&place.folder);
        let Some(file) = &place.file else {
            return Ok(Removal::Gone);
        };
        let unique = name::unique(file.as_bytes()).to_vec();
        let Some((new, found)) = self.locate(&folder, &unique)? else {
            return Ok(Removal::Gone);
        };
        if flags_of(&found) != place.flags || self.digest(&folder, new, &found)? != place.digest {
            return Ok(Removal::Changed);
        }
        if really {
            let sub: &[u8] = if new { b"new" } else { b"cur" };
            let path = join(&self.path_of(&folder), sub);
            let size = self.root.stat(&join(&path, &found))?.size;
            self.gate.dir(&path)?.remove(&found)?;
            self.count_out(&found, size);
        }
        Ok(Removal::Removed)
    }

    fn losses(&self) -> Vec<String> {
        match self.keywords_lost {
            0 => Vec::new(),
            lost => vec![format!(
                "{lost} keywords could not be kept: a Maildir has 26 to a folder, and none where it is not known where Dovecot \
                 keeps its files"
            )],
        }
    }
}

/// The letters behind a file name's base.
fn flags_of(file: &[u8]) -> String {
    let info = file.windows(3).rposition(|w| w == b":2,");
    let letters = info.and_then(|at| file.get(at + 3..)).unwrap_or_default();
    String::from_utf8_lossy(letters).into_owned()
}

pub(super) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

/// Without knowing what is there, nothing is put.
fn unclear(e: Error) -> Error {
    let cure = "what the mailbox has is not clear, so nothing is put into it";
    Error::new(Kind::Failed, format!("{e}: {cure}"))
}
