//! The mailbox as it is now: what it has, and how something is put into it.
//!
//! Two kinds of mailbox are known: a Maildir, which is written as files ([`super::maildir`]), and any mailbox of an
//! IMAP server ([`super::imap`]).

use super::journal::Place;
use super::measure::{Basis, Digest};
use crate::error::{Error, Kind, Result};
use crate::message::Flags;
use crate::time::Time;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// A folder to put messages into.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Its decoded name, one component for each level.
    pub path: Vec<String>,
    /// What the backup's store calls it, if it is a folder of the backup and that tells its name.
    pub stored: Option<Vec<u8>>,
}

impl Target {
    /// The folder of a name as [`name`](Self::name) gives it.
    pub fn named(name: &str) -> Self {
        Self {
            path: name.split('/').map(str::to_owned).collect(),
            stored: None,
        }
    }

    /// Its name with `/` between the levels.
    pub fn name(&self) -> String {
        self.path.join("/")
    }
}

/// Longest name of one level of a new folder that somebody asks for, in bytes, as the store writes it.
pub const LONGEST_LEVEL: usize = 200;

/// Longest name of such a folder, in bytes, where all its levels are, or may be, the name of one directory.
pub const LONGEST_NAME: usize = 240;

/// What is said behind a name in quotes that somebody wants a folder to have, and none can.
pub const NO_NAME: &str = "cannot name a folder";

/// What the message of an error says of such a name, if it is about one.
pub fn about_name(message: &str) -> Option<&str> {
    let at = message.find(&format!("\" {NO_NAME}"))?;
    let start = message.get(..at)?.rfind('"')?;
    message.get(start..)
}

/// The error about a name that is longer.
pub fn too_long(target: &Target) -> Error {
    let name = target.name();
    let message = format!("\"{name}\" {NO_NAME}, as it is too long: choose a shorter one");
    Error::new(Kind::Config, message)
}

/// A message to be put.
#[derive(Clone, Debug)]
pub struct NewMessage<'a> {
    /// The unique part of its new name, where the store has such names.
    pub name: Option<&'a str>,
    /// Size of its bytes, which must be what there is to read.
    pub size: u64,
    pub received: Time,
    pub flags: Flags,
    pub keywords: &'a [String],
}

/// A message's bytes; reading them gives them to the function, piece by piece, again from the start each time.
pub type Content<'a> = dyn Fn(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> + 'a;

/// What a mailbox has of what was asked for. Folders are numbers in `folders`.
#[derive(Debug, Default)]
pub struct Present {
    /// The decoded names, with `/` between the levels.
    pub folders: Vec<String>,
    /// By Message-ID (as in [`Headers`](crate::message::header::Headers)): folder and size of each message that has it.
    pub by_id: HashMap<u128, Vec<(u32, u64)>>,
    /// Messages without Message-ID.
    pub by_digest: HashMap<Digest, Vec<u32>>,
}

/// What becomes of a message that is to be taken away again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    Removed,
    /// It is not where it was put.
    Gone,
    /// It has other flags or other bytes than it was put with.
    Changed,
}

/// How long a mailbox is looked through that does not stop changing: so long, at most so often, but twice at least. A message that
/// is moved all the time is met at most looks; in the end what was seen once counts as there.
#[derive(Debug)]
pub struct Patience {
    end: Instant,
    looks: usize,
}

impl Patience {
    const LOOKS: usize = 60;
    const LONGEST: Duration = Duration::from_secs(10);

    pub fn begin() -> Self {
        Self {
            end: Instant::now() + Self::LONGEST,
            looks: 0,
        }
    }

    /// Whether to look once more.
    pub fn lasts(&mut self) -> bool {
        self.looks += 1;
        let lasts = self.looks <= 2 || self.looks <= Self::LOOKS && Instant::now() < self.end;
        if !lasts {
            tracing::info!(
                "the mailbox does not stop changing; what was seen once in it counts as there"
            );
        }
        lasts
    }
}

/// A mailbox that something can be put into.
pub trait Live {
    /// How sizes and digests are counted here.
    fn basis(&self) -> Basis;

    /// Where messages are, by store identity, or by the unique part of a name among `names`. Empty where the mailbox
    /// does not tell identities.
    fn identities(&mut self, names: &HashSet<String>) -> Result<Identities>;

    /// Where messages are that have one of these Message-IDs; and those without any that have one of these sizes.
    fn find(&mut self, ids: &HashSet<u128>, sizes: &HashSet<u64>) -> Result<Present>;

    /// A new name for a message, where the store has such names.
    fn new_name(&mut self) -> Option<String>;

    /// Whether there is such a folder or it could be made, as far as its name tells. Makes nothing.
    ///
    /// # Errors
    /// [`Kind::Config`], saying why not.
    fn would_take(&mut self, target: &Target) -> Result<()>;

    /// Makes a folder ready to be put into; whether it had to be made.
    fn prepare(&mut self, target: &Target) -> Result<bool>;

    /// Puts a message into a folder that was prepared.
    ///
    /// # Errors
    /// Those of reading it, and then nothing has been put; [`Kind::Failed`](crate::Kind::Failed) and others if it
    /// could not be put.
    fn put(
        &mut self,
        target: &Target,
        message: &NewMessage<'_>,
        content: &Content<'_>,
    ) -> Result<Place>;

    /// What was put outlives a power failure.
    fn sync(&mut self) -> Result<()>;

    /// Where a message is that may have been put, though nothing tells so, by its new name.
    fn put_as(&mut self, target: &Target, name: &str) -> Result<Option<Place>>;

    /// Takes away what was put, if it has not changed since; without `really`, only says what would happen.
    fn remove(&mut self, place: &Place, really: bool) -> Result<Removal>;

    /// What could not be kept, for people; told once at the end.
    fn losses(&self) -> Vec<String>;
}

/// Where messages are, by what the store calls them. Folders are numbers in `folders`.
#[derive(Debug, Default)]
pub struct Identities {
    pub folders: Vec<String>,
    pub by_identity: HashMap<Vec<u8>, Vec<u32>>,
    pub by_name: HashMap<String, u32>,
}
