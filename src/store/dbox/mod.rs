//! Dovecot's own formats: sdbox, a file for each message, and mdbox, files of many messages.
//!
//! Which messages a folder has, their flags and keywords are in its index and nowhere else; files without a message in the
//! index are what expunging has left behind. When a message was received, what it is called in all folders that have it
//! (its GUID), and its size are beside its bytes. So listing a folder for the first time looks into the file of each
//! message, and later only into those that are new: a [`Locator`] in each locator says which file it was.
//!
//! Invariants:
//!
//! 1. An index that cannot be read makes no folder vanish: then the messages that the files hold are shown, with one warning,
//!    without flags, and what was deleted lately may be among them. Where its log breaks off, what the folder has got
//!    since is shown, too.
//! 2. A message of the index whose file is missing or damaged is listed; reading it is an error.
//! 3. Such a listing is [`provisional`](Messages::provisional): on a date that has the files it is made anew.
//! 4. Indexes that are kept elsewhere (`INDEX=`) are looked for [`beside`](super::beside) the mailbox.
//! 5. Alternative storage is looked for inside the snapshot alone, and must belong to the owner of the mailbox.
//!
//! A folder's stamp are its index and its log, by inode, size and mtime: not by ctime, which changes as other snapshots
//! get hard links to a file. An mdbox stamp also says which storage files are gone, since that is when messages move.
//!
//! The cast: [`folders`] finds folders, [`own`] what in each of them holds its messages; [`index`] reads an index, [`log`] what
//! has changed since, [`keywords`] keeps their keywords; [`record`] reads what is around a message's bytes; [`sdbox`] and
//! [`mdbox`] list a folder's messages, [`found`] puts them together; [`refcount`]
//! finds those of an mdbox that no index tells of; [`damage`] says what is wrong with a folder.

mod damage;
mod folders;
mod found;
mod index;
mod keywords;
mod locator;
mod log;
mod mdbox;
mod own;
mod record;
mod refcount;
mod sdbox;

pub use folders::ALL as FOLDERS;
pub(super) use folders::{guid, read_names as folder_names};

use super::bounds::is_of_one;
use super::{
    AskBefore, BY_PATHS, Definition, Files, Folder, Folders, Message, Messages, Stamp, Store,
    Stored, join,
};
use crate::disk::{Dir, File, FileKind, Listing, Root};
use crate::error::{Error, Kind, Result};
use crate::time::Time;
use index::{Index, IndexState};
use locator::{Locator, State, Storage};
use record::FileHeader;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::OnceLock;

pub(super) static SDBOX: Definition = Definition {
    name: "sdbox",
    shown_by: |root, path, names| Ok(has_mailboxes(names) && is_sdbox(root, path)?),
    is_at: is_sdbox,
    open: |root, place| Box::new(Dbox::new(root, place.path, Driver::Sdbox)),
    ..BY_PATHS
};

pub(super) static MDBOX: Definition = Definition {
    name: "mdbox",
    shown_by: |root, path, names| Ok(has_mailboxes(names) && is_mdbox(root, path)?),
    is_at: is_mdbox,
    open: |root, place| Box::new(Dbox::new(root, place.path, Driver::Mdbox)),
    ..BY_PATHS
};

/// What the index of a folder is called.
const INDEX: &str = "dovecot.index";

/// A link to the directory that has the alternative storage.
const ALTERNATIVE: &[u8] = b"dbox-alt-root";

/// Storage files that stay open while one message after the other is read.
const OPEN_FILES: usize = 8;

/// The keywords of a folder's messages by their UIDs, as the index in a directory has them; `None` if there is no index.
pub(super) fn keywords_by_uid(dir: &Dir<'_>) -> Result<Option<HashMap<u32, Vec<Vec<u8>>>>> {
    let Some(index) = Index::read(dir, INDEX, &[])? else {
        return Ok(None);
    };
    let rows: Vec<_> = index
        .rows()
        .map(|(_, row)| (row.uid, row.keywords))
        .collect();
    let keywords = index.into_keywords();
    let of = |set| keywords.of(set).map(<[u8]>::to_vec).collect();
    let rows = rows.into_iter().filter(|(_, set)| *set > 0);
    Ok(Some(rows.map(|(uid, set)| (uid, of(set))).collect()))
}

/// Whether these are the first bytes of a file of messages.
pub(super) fn begins_file(bytes: &[u8]) -> bool {
    FileHeader::parse(bytes).is_some()
}

fn has_mailboxes(names: &Listing) -> bool {
    let mut directories = names.iter().filter(|e| e.kind == FileKind::Directory);
    directories.any(|e| e.name == b"mailboxes")
}

fn is_sdbox(root: &Root, path: &[u8]) -> Result<bool> {
    Ok(!mdbox::has_storage(root, path)? && own::name(root, path)?.is_some())
}

fn is_mdbox(root: &Root, path: &[u8]) -> Result<bool> {
    Ok(mdbox::has_storage(root, path)?
        && (own::name(root, path)?.is_some() || folders::indexes_beside(root, path)?.is_some()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    Sdbox,
    Mdbox,
}

/// Where messages are that were moved away to slower disks.
enum Alternative {
    None,
    /// Relative to the root.
    Here(Vec<u8>),
    /// The link leads to a place that is not in the snapshot, or is not the owner's.
    Elsewhere(Vec<u8>),
}

/// One mailbox in a snapshot.
struct Dbox<'a> {
    root: &'a Root,
    path: &'a [u8],
    driver: Driver,
    alternative: OnceLock<Alternative>,
    /// The directory of all indexes, if it is another one than the mailbox.
    indexes: OnceLock<Option<Vec<u8>>>,
    /// What the directory in each folder is called.
    own: OnceLock<Vec<u8>>,
    /// Where the messages of an mdbox are.
    map: OnceLock<mdbox::Map>,
}

impl<'a> Dbox<'a> {
    fn new(root: &'a Root, path: &'a [u8], driver: Driver) -> Self {
        Self {
            root,
            path,
            driver,
            alternative: OnceLock::new(),
            indexes: OnceLock::new(),
            own: OnceLock::new(),
            map: OnceLock::new(),
        }
    }

    /// The directory of a folder's index.
    fn folder(&self, folder: &[u8]) -> Result<Dir<'a>> {
        if let Some(indexes) = self.indexes()? {
            // With `FULLDIRNAME=` it is there as well.
            for below in [folder, own::without(folder, self.own()?)] {
                match self.root.dir(&join(indexes, below)) {
                    Err(e) if e.kind() == Kind::NotFound => {}
                    other => return other,
                }
            }
        }
        self.root.dir(&join(self.path, folder))
    }

    /// The directory of all indexes, if it is another one than the mailbox.
    fn indexes(&self) -> Result<Option<&[u8]>> {
        let found = match self.indexes.get() {
            Some(found) => found,
            None => {
                let found = folders::indexes_beside(self.root, self.path)?;
                self.indexes.get_or_init(|| found)
            }
        };
        Ok(found.as_deref())
    }

    /// What the directory in each folder is called that has its messages.
    fn own(&self) -> Result<&[u8]> {
        let found = match self.own.get() {
            Some(found) => found,
            None => {
                let found = own::name(self.root, self.path)?;
                let found = found.unwrap_or_else(|| own::OWN.to_vec());
                self.own.get_or_init(|| found)
            }
        };
        Ok(found)
    }

    /// The directory that has a folder's files; `None` if there is no such storage.
    fn storage(&self, storage: Storage, folder: &[u8]) -> Result<Option<Vec<u8>>> {
        let top = match storage {
            Storage::Primary => Some(self.path),
            Storage::Alternative => self.alternative()?,
        };
        let below = match self.driver {
            Driver::Sdbox => folder,
            Driver::Mdbox => mdbox::STORAGE,
        };
        Ok(top.map(|top| join(top, below)))
    }

    /// The directory of the alternative storage, relative to the root.
    fn alternative(&self) -> Result<Option<&[u8]>> {
        let found = match self.alternative.get() {
            Some(found) => found,
            None => {
                let found = self.look_for_alternative()?;
                self.alternative.get_or_init(|| found)
            }
        };
        Ok(match found {
            Alternative::Here(path) => Some(path),
            Alternative::None | Alternative::Elsewhere(_) => None,
        })
    }

    /// What the link to the alternative storage means. The link was made on the mail server: of its path only the end may
    /// be in the snapshot.
    fn look_for_alternative(&self) -> Result<Alternative> {
        let dir = self.root.dir(self.path);
        match dir.and_then(|dir| dir.link(ALTERNATIVE)) {
            Ok(target) => Ok(match self.find_alternative(&target)? {
                Some(path) => Alternative::Here(path),
                None => Alternative::Elsewhere(target),
            }),
            // Nor anything else that bears the name.
            Err(e) if e.kind() == Kind::NotFound || is_of_one(&e) => Ok(Alternative::None),
            Err(e) => Err(e),
        }
    }

    fn find_alternative(&self, target: &[u8]) -> Result<Option<Vec<u8>>> {
        let owner = self.root.stat(self.path)?.uid;
        let absolute = target.starts_with(b"/");
        let levels: Vec<&[u8]> = target
            .split(|&b| b == b'/')
            .filter(|level| !level.is_empty() && *level != b".")
            .collect();
        let ends = match levels.iter().any(|level| *level == b"..") {
            true => 0,
            false if absolute => levels.len(),
            false => 1,
        };
        for from in 0..ends {
            let end = levels.get(from..).unwrap_or_default().join(&b'/');
            let path = if absolute { end } else { join(self.path, &end) };
            let stat = match self.root.stat(&path) {
                Ok(stat) => stat,
                Err(e) if matches!(e.kind(), Kind::NotFound | Kind::NotADirectory) => continue,
                Err(e) if is_of_one(&e) => continue,
                Err(e) => return Err(e),
            };
            if stat.kind == FileKind::Directory && stat.uid == owner && path != self.path {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Opens the file of a message.
    fn file(&self, locator: &Locator, dirs: &Dirs<'a>, folder: &[u8]) -> Result<Rc<File<'a>>> {
        let known = dirs.files.borrow();
        let known = known
            .iter()
            .find(|(storage, name, _)| *storage == locator.storage && *name == locator.file);
        if let Some((_, _, file)) = known {
            return Ok(Rc::clone(file));
        }
        let slot = match locator.storage {
            Storage::Primary => &dirs.primary,
            Storage::Alternative => &dirs.alternative,
        };
        let missing = || {
            let message = format!(
                "{}: in alternative storage that is not in the snapshot",
                locator.file
            );
            Error::new(Kind::Unreadable, message)
        };
        let mut dir = slot.borrow_mut();
        let dir = match &mut *dir {
            Some(dir) => dir,
            none => {
                let path = self.storage(locator.storage, folder)?.ok_or_else(missing)?;
                none.insert(self.root.dir(&path)?)
            }
        };
        Ok(Rc::new(dir.open(locator.file.as_bytes())?))
    }

    fn open_at<'s>(
        &'s self,
        dirs: &Dirs<'a>,
        folder: &[u8],
        messages: &Messages,
        message: &Message,
    ) -> Result<Stored<'s>> {
        let text = messages.locator(message);
        let error = |kind, what: &str| {
            let message = format!("{}: {what}", String::from_utf8_lossy(text));
            Error::new(kind, message)
        };
        let locator = text.get(messages.store_name(message).len()..);
        let locator = locator.and_then(Locator::parse);
        let locator = locator.ok_or_else(|| error(Kind::Unreadable, "not known where this is"))?;
        match locator.state {
            State::Whole => {}
            State::External => {
                let what = "its attachments are kept elsewhere (mail_attachment_dir), and are not in the snapshot";
                return Err(error(Kind::Undecodable, what));
            }
            State::Damaged => {
                let what = "its file is missing or damaged";
                return Err(error(Kind::Undecodable, what));
            }
        }
        let file = self.file(&locator, dirs, folder)?;
        let header = FileHeader {
            size: 0,
            message: locator.header,
        };
        let at = locator.start.saturating_sub(locator.header);
        let same = match self.driver {
            Driver::Sdbox => locator.mark == sdbox::mark(file.stat()),
            Driver::Mdbox => match record::message_size(&file, header, at) {
                Ok(size) => size == message.size,
                // It was whole when it was listed, so it is this file alone that is damaged.
                Err(e) if e.kind() == Kind::Undecodable => false,
                Err(e) => return Err(e),
            },
        };
        if !same {
            return Err(error(Kind::Unreadable, "is not what it was listed as"));
        }
        if self.driver == Driver::Mdbox {
            dirs.remember(locator.storage, &locator.file, &file);
        }
        Stored::part(
            file,
            locator.start,
            message.size,
            Some(locator.plain.unwrap_or(message.size)),
        )
    }
}

impl Store for Dbox<'_> {
    fn root(&self) -> &Root {
        self.root
    }

    fn path(&self) -> &[u8] {
        self.path
    }

    fn folders(&self) -> Result<Folders> {
        folders::find(self.root, self.path, self.indexes()?, self.own()?)
    }

    fn describe(&self, folders: &[Folder]) -> String {
        let name = match self.driver {
            Driver::Sdbox => "sdbox",
            Driver::Mdbox => "mdbox",
        };
        let by_guid = |f: &Folder| {
            f.stored
                .rsplit(|&b| b == b'/')
                .next()
                .and_then(folders::guid)
        };
        let layout = match folders.iter().any(|folder| by_guid(folder).is_some()) {
            true => ", LAYOUT=index",
            false => "",
        };
        let alternative = match self.alternative().ok().flatten() {
            Some(_) => ", alternative storage",
            None => "",
        };
        format!("{name}{layout}{alternative}")
    }

    fn stamp(&self, folder: &[u8]) -> Result<Stamp> {
        let dir = self.folder(folder)?;
        let IndexState { bytes, changed } = IndexState::of(&dir, INDEX)?;
        let mut bytes = [&[self.driver as u8], bytes.as_slice()].concat();
        match self.driver {
            // Without an index the files are all there is.
            Driver::Sdbox if changed.is_none() => {
                let stat = dir.stat_self()?;
                bytes.extend_from_slice(&stat.mtime.secs.to_le_bytes());
                bytes.extend_from_slice(&stat.mtime.nanos.to_le_bytes());
                bytes.extend_from_slice(&stat.ino.to_le_bytes());
            }
            Driver::Sdbox => {}
            Driver::Mdbox => bytes.extend_from_slice(&self.gone()?),
        }
        let changed = match changed {
            Some(changed) => changed,
            None => dir.stat_self()?.mtime,
        };
        Ok(Stamp { bytes, changed })
    }

    fn touched(&self, folder: &[u8]) -> Result<Time> {
        let dir = self.folder(folder)?;
        let own = dir.stat_self()?.touched();
        // Both are written without a new name.
        let log = format!("{INDEX}.log");
        let indexes = dir.touched(&[INDEX.as_bytes(), log.as_bytes()])?;
        let storage = match self.driver {
            Driver::Sdbox => None,
            Driver::Mdbox => self.storage(Storage::Primary, b"")?,
        };
        let storage = match storage {
            Some(storage) => self.root.dir(b"")?.touched(&[&storage])?,
            None => Time::default(),
        };
        Ok(own.max(indexes).max(storage))
    }

    fn messages_since(&self, folder: &[u8], before: &AskBefore<'_>) -> Result<super::Found> {
        let before = before().messages;
        let messages = match self.driver {
            Driver::Sdbox => self.sdbox_messages(folder, before),
            Driver::Mdbox => self.mdbox_messages(folder, before),
        };
        messages.map(super::Found::All)
    }

    fn claimed_size(&self, messages: &Messages, message: &Message) -> Option<u64> {
        let locator = messages.locator(message);
        let text = locator.get(messages.store_name(message).len()..);
        let plain = text
            .and_then(Locator::parse)
            .and_then(|locator| locator.plain);
        Some(plain.unwrap_or(message.size))
    }

    fn open(&self, folder: &[u8], messages: &Messages, message: &Message) -> Result<Stored<'_>> {
        self.open_at(&Dirs::default(), folder, messages, message)
    }

    fn files(&self, folder: &[u8]) -> Box<dyn Files + '_> {
        Box::new(Opener {
            store: self,
            folder: folder.to_vec(),
            dirs: Dirs::default(),
        })
    }
}

/// Directories and files that stay open while one message after the other is opened.
#[derive(Default)]
struct Dirs<'a> {
    primary: RefCell<Option<Dir<'a>>>,
    alternative: RefCell<Option<Dir<'a>>>,
    /// Files of several messages, those opened last at the end.
    files: RefCell<Vec<(Storage, String, Rc<File<'a>>)>>,
}

impl<'a> Dirs<'a> {
    fn remember(&self, storage: Storage, name: &str, file: &Rc<File<'a>>) {
        let mut files = self.files.borrow_mut();
        if files.iter().any(|(_, _, known)| Rc::ptr_eq(known, file)) {
            return;
        }
        if files.len() >= OPEN_FILES {
            files.remove(0);
        }
        files.push((storage, name.to_owned(), Rc::clone(file)));
    }
}

/// Opens messages of one folder.
struct Opener<'a, 'b> {
    store: &'b Dbox<'a>,
    folder: Vec<u8>,
    dirs: Dirs<'a>,
}

impl Files for Opener<'_, '_> {
    fn open(&self, messages: &Messages, message: &Message) -> Result<Stored<'_>> {
        self.store
            .open_at(&self.dirs, &self.folder, messages, message)
    }
}

fn at(secs: i64) -> Time {
    Time { secs, nanos: 0 }
}
