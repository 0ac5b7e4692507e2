//! Mail stores: which folders a mailbox has, which messages a folder has, and where their bytes are.
//!
//! The files of a store are somebody else's and any of them may be a trap; what is no mail is left out, counted and
//! warned of, never followed. Invariants:
//!
//! 1. A message's [`identity`](Messages::identity) is what the store itself calls it (the base name in a Maildir), so
//!    it is the same in every snapshot, whatever the message's flags. Two messages of a folder never share one.
//! 2. [`Messages`] are in byte order of their identities: their position is part of a node id.
//! 3. To list a folder opens no message, but where a format keeps a message's identity or its INTERNALDATE in the
//!    message's own file; then what an earlier listing tells is not read again.
//!
//! Who is above knows no format: it has a [`Format`], which recognises mailboxes and opens one as a [`Store`]. A new
//! format is a module that implements [`Store`] and has a [`Definition`], and a line in `FORMATS`.
//!
//! The cast: [`Format`] and [`Store`], whose messages are [`Messages`] and whose bytes are [`Stored`]; [`maildir`] reads
//! Maildir++ and `LAYOUT=fs`, [`dbox`] Dovecot's sdbox and mdbox, [`mbox`] a file for each folder, [`cyrus`] what
//! Cyrus IMAP keeps; a [`Change`] is what differs from another date, a [`Patchwork`] what becomes of both; [`ReadAhead`] opens
//! what will be wanted next; `bounds` says how much is looked at, [`beside`] what is kept outside of a mailbox; [`folder_name`] decodes folder names; [`decode`] undoes compression and encryption.

pub mod beside;
mod bounds;
mod change;
pub mod cyrus;
pub mod dbox;
pub mod decode;
pub mod folder_name;
pub mod maildir;
pub mod mbox;
mod messages;
mod read_ahead;
mod stored;

pub use change::{Change, Found, Patchwork, Placed, assemble, behind, patch, side_by_side};
pub use messages::{Message, Messages, Source, take};
pub use read_ahead::ReadAhead;
pub use stored::Stored;

use crate::disk::{Listing, Root};
use crate::error::{Error, Kind, Result};
use crate::time::{Time, Zone};
use std::fmt;

/// The formats there are. Where a directory might be of several, the first is taken.
static FORMATS: [&Definition; 5] = [
    &maildir::FORMAT,
    &dbox::MDBOX,
    &dbox::SDBOX,
    &cyrus::FORMAT,
    &mbox::FORMAT,
];

/// What a format says of itself.
pub struct Definition {
    /// As in the configuration.
    name: &'static str,
    /// Whether the names in a directory show a mailbox of this format, with a few looks more at most.
    shown_by: fn(&Root, &[u8], &Listing) -> Result<bool>,
    /// Whether a directory is a mailbox of this format: one with at least one folder, wherever that is.
    is_at: fn(&Root, &[u8]) -> Result<bool>,
    open: for<'a> fn(&'a Root, Place<'a>) -> Box<dyn Store + 'a>,
    /// The mailboxes below a directory, where their paths do not say whose they are; `None` if it is no such spool.
    spool: fn(&Root, &[u8], &Listing) -> Result<Option<SpoolMailboxes>>,
    /// The user and domain whose mailbox is at a path, where the format says more of that than any path does.
    whose: fn(&[u8]) -> Option<Whose>,
    /// The user whom the name of a directory means.
    user: fn(&str) -> String,
}

/// A user, and his domain if that is known.
pub type Whose = (String, Option<String>);

/// What holds for formats whose mailboxes are each at a path of its own, which says whose they are.
const BY_PATHS: Definition = Definition {
    name: "",
    shown_by: |_, _, _| Ok(false),
    is_at: |_, _| Ok(false),
    open: |root, place| maildir::open(root, place),
    spool: |_, _, _| Ok(None),
    whose: |_| None,
    user: str::to_owned,
};

/// A mailbox whose path does not say whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolMailbox {
    /// As of any mailbox.
    pub path: Vec<u8>,
    pub user: String,
    pub domain: Option<String>,
    /// As in [`Place`].
    pub parts: Vec<Vec<u8>>,
}

/// What a spool was found to hold.
#[derive(Debug, Default)]
pub struct SpoolMailboxes {
    pub mailboxes: Vec<SpoolMailbox>,
    /// The name of the directory in which they are: what else is beside it may be mailboxes by their paths.
    pub except: Vec<u8>,
    /// What could not be read.
    pub unread: Vec<Error>,
}

/// A format of mail stores.
#[derive(Clone, Copy)]
pub struct Format(&'static Definition);

impl Format {
    /// The one that an empty directory is taken for, and one that cannot be read.
    pub const MAILDIR: Self = Self(&maildir::FORMAT);

    pub fn all() -> impl Iterator<Item = Self> {
        FORMATS.into_iter().map(Self)
    }

    /// The format that the configuration calls so.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|format| format.name() == name)
    }

    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Whether the names in a directory, which are its listing, show a mailbox of this format at once.
    pub fn shown_by(self, root: &Root, path: &[u8], names: &Listing) -> Result<bool> {
        (self.0.shown_by)(root, path, names)
    }

    /// Whether the directory at a path is a mailbox of this format: one with at least one folder.
    pub fn is_at(self, root: &Root, path: &[u8]) -> Result<bool> {
        (self.0.is_at)(root, path)
    }

    /// The mailboxes below a directory, where their paths do not say whose they are; `None` if it is no such spool.
    pub fn spool(
        self,
        root: &Root,
        path: &[u8],
        names: &Listing,
    ) -> Result<Option<SpoolMailboxes>> {
        (self.0.spool)(root, path, names)
    }

    /// The user and domain whose mailbox is at a path, where the format says more of that than any path does.
    pub fn whose(self, path: &[u8]) -> Option<Whose> {
        (self.0.whose)(path)
    }

    /// The user whom the name of a directory means.
    pub fn user(self, name: &str) -> String {
        (self.0.user)(name)
    }

    /// The mailbox at a place, which need not be there; nothing is read yet.
    pub fn open<'a>(self, root: &'a Root, place: Place<'a>) -> Box<dyn Store + 'a> {
        (self.0.open)(root, place)
    }
}

/// Where a mailbox is in a snapshot, and what must be known to read it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Relative to the snapshot's root: the mailbox directory, or the only file of a mailbox.
    pub path: &'a [u8],
    /// The file with INBOX, if that is elsewhere, relative to the snapshot's root.
    pub inbox: Option<&'a [u8]>,
    /// Where the server's clock is, for times that say no zone.
    pub zone: Zone,
    /// Names of directories in the mailbox directory that lead to other mailboxes.
    pub others: &'a [Vec<u8>],
    /// Directories of folders that are not in the mailbox directory, relative to the snapshot's root.
    pub parts: &'a [Vec<u8>],
}

impl<'a> Place<'a> {
    /// A mailbox that is all in one place.
    pub fn new(path: &'a [u8]) -> Self {
        Self {
            path,
            inbox: None,
            zone: Zone::System,
            others: &[],
            parts: &[],
        }
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Format {}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A folder as it was on another date.
#[derive(Clone, Copy, Debug)]
pub struct Before<'b> {
    pub messages: &'b Messages,
    /// The [device](Store::device) that it is on, if its files are known to be there still.
    pub device: Option<u64>,
}

/// Gives a folder as it was on another date, the same each time it is asked.
pub type AskBefore<'b> = dyn Fn() -> Before<'b> + 'b;

/// One mailbox in a snapshot.
///
/// Folders are named as their [`Folder::stored`]. A store may keep in memory what it has read, as long as it lives:
/// that is one request, or one walk through the mailbox.
pub trait Store: Sync {
    fn root(&self) -> &Root;

    /// The mailbox directory, relative to the root.
    fn path(&self) -> &[u8];

    /// All folders, subscribed or not. One that cannot be read is among them.
    ///
    /// # Errors
    /// [`Kind::Unreadable`](crate::Kind::Unreadable) also if there are more of them than there is room for.
    fn folders(&self) -> Result<Folders>;

    /// What the mailbox is, for people, such as `Maildir++`; `folders` are its own.
    fn describe(&self, folders: &[Folder]) -> String;

    /// The file of a folder that says which letter in its messages' names is which keyword, where the format has one:
    /// Dovecot's `dovecot-keywords`.
    fn keyword_letters(&self, _folder: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    /// What changes whenever a message comes, goes, changes its flags, or is found elsewhere.
    fn stamp(&self, folder: &[u8]) -> Result<Stamp>;

    /// When something was last done where a folder's messages are, as [`Stat::touched`](crate::disk::Stat::touched) tells.
    fn touched(&self, folder: &[u8]) -> Result<Time>;

    /// The device that a folder's files are on, if they can be told apart by their inode numbers.
    fn device(&self, _folder: &[u8]) -> Result<Option<u64>> {
        Ok(None)
    }

    /// The messages of a folder. `before` is how it was on another date, or nothing: what cannot have changed since need
    /// not be read again.
    fn messages(&self, folder: &[u8], before: &Messages) -> Result<Messages> {
        let beside = Before {
            messages: before,
            device: None,
        };
        let found = self.messages_since(folder, &|| beside)?.all(before);
        found.ok_or_else(|| Error::new(Kind::Failed, "a change of another listing"))
    }

    /// The same with what may take long to get, while the folder is looked at.
    fn messages_since(&self, folder: &[u8], before: &AskBefore<'_>) -> Result<Found>;

    /// The size that the store claims for a message of a folder once it is decoded, in bytes; reads nothing.
    fn claimed_size(&self, messages: &Messages, message: &Message) -> Option<u64>;

    /// Opens one message of a folder.
    fn open(&self, folder: &[u8], messages: &Messages, message: &Message) -> Result<Stored<'_>>;

    /// Opens one message of a folder after the other.
    fn files(&self, folder: &[u8]) -> Box<dyn Files + '_>;
}

/// Opens messages of one folder; what many of them need stays open as long as this lives.
pub trait Files {
    fn open(&self, messages: &Messages, message: &Message) -> Result<Stored<'_>>;
}

/// A folder of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// What the folder is known by on every date; mostly its directory relative to the mailbox, empty for a Maildir's
    /// own INBOX.
    pub stored: Vec<u8>,
    /// The decoded name, one component for each level; never empty.
    pub path: Vec<String>,
}

/// The folders of a mailbox, and how many things among them are no mail.
#[derive(Debug, Default)]
pub struct Folders {
    pub folders: Vec<Folder>,
    /// Symbolic links, and directories nested too deep to be folders.
    pub oddities: u64,
}

/// What says that a folder has not changed, such as inode, size, mtime and ctime of each of its directories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    pub bytes: Vec<u8>,
    /// The folder's last change.
    pub changed: Time,
}

/// A path of a directory and a path below it; either may be empty.
pub fn join(dir: &[u8], below: &[u8]) -> Vec<u8> {
    match (dir, below) {
        (b"", _) => below.to_vec(),
        (_, b"") => dir.to_vec(),
        _ => [dir, b"/", below].concat(),
    }
}
