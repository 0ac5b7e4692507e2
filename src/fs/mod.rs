//! Operations on node ids: what the kernel asks, answered from the snapshots.
//!
//! Nothing is kept but caches: every answer is worked out from the node id, the serial tables and the snapshot, so it
//! is the same after a restart. Everything below a date is immutable, and the kernel is told that it may keep it for
//! ever; only the root's listing and the link `latest` age, and what changes there is pushed.
//!
//! Who may read is decided by the kernel, on the owner, mode and ACL reported here, which are the same for every
//! caller; leaving out of a date's listing what the caller cannot enter is only courtesy.
//!
//! The cast: [`node`] turns ids into places and back, [`cache`] keeps what was read, `shown` are the snapshots there are, `inside` is a
//! mailbox on a date, `listing` a folder's messages and `mbox` the file beside it, `attr` makes what stat(2) tells. `deleted` is the
//! directory of that name, `maildir` is `.maildir`, `owner` says who may enter and what changes in that, `altered` which folders are not what they seem, `growth`
//! which dates are still being filled. `resolve` finds what an id
//! means; then `lookup` finds a name, `directory` lists, `read` reads. [`warm`] learns what there is to learn, [`search`] finds messages
//! on all dates, [`browse`] is what people are shown who have no file manager, [`reader`] says which mailboxes are theirs. [`Fs`] has
//! one method for each operation.

pub mod browse;
pub mod cache;
pub mod node;
pub mod reader;
pub mod search;
pub mod warm;

mod altered;
mod attr;
mod deleted;
mod directory;
mod growth;
mod inside;
mod listing;
mod lookup;
mod maildir;
mod mbox;
mod owner;
mod read;
mod resolve;
mod shown;

pub use altered::Folder as AlteredFolder;
pub use attr::{Attr, NodeKind};
pub use directory::{Directory, Entry};
pub use growth::Found as FoundGrowth;
pub use node::{Cookie, NodeId};
pub use shown::Open;

use crate::access::Policy;
use crate::disk::Space;
use crate::error::Result;
use crate::index::Index;
use crate::language::Language;
use crate::snapshot::{Catalogue, Changes};
use crate::view::listing::Listing;
use crate::view::mbox::Layout;
use crate::view::tree::Source;
use crate::view::{View, about};
use altered::Altered;
use browse::{SortBy, Tally};
use cache::Cache;
use deleted::Deleted;
use growth::Growth;
use inside::{Inside, Nested, Populated};
use listing::Drafted;
use owner::Owners;
use reader::Strangers;
use shown::Shown;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// Whether a folder's mbox is in listings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MboxListed {
    #[default]
    Always,
    /// Once its size is known; by name it is found at once.
    WhenSized,
    Never,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub uid: u32,
    pub gid: u32,
    /// The thread, which waits for the answer; 0 if it has no number here.
    pub thread: u32,
}

/// What the kernel should forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalidation {
    /// A name in a directory, and what is below it.
    Name(NodeId, String),
    /// A node's attributes and contents. The kernel waits for what is being read of it.
    Node(NodeId),
    /// A node's attributes, and who may enter or read it.
    Attributes(NodeId),
}

/// What shapes the tree, besides what shapes the namespace of a date.
pub struct Options {
    pub mbox_listed: MboxListed,
    pub keep_days: Option<u32>,
    pub zone_name: String,
    /// How long the root's listing is good.
    pub refresh: Duration,
    /// Bytes for folder listings, which take most of the memory.
    pub listing_bytes: usize,
    /// Whether the text of messages is searched, besides what their headers say.
    pub bodies: bool,
    /// Of the text in each mailbox.
    pub language: Language,
    /// The administrator's words for it.
    pub about: Option<about::Template>,
    /// The root of the live mail store.
    pub live: Option<PathBuf>,
}

/// The file system.
pub struct Fs {
    view: View,
    /// The same without the index, for what is `altered`.
    apart: View,
    catalogue: Catalogue,
    options: Options,
    index: Arc<Index>,
    shown: RwLock<Arc<Shown>>,
    /// Held while `shown` is replaced, so that the newest state wins.
    replacing: Mutex<()>,
    owners: Owners,
    mailboxes: Cache<u32, Populated>,
    trees: Cache<(u32, u32), Nested>,
    listings: Cache<(u32, u32), Listing>,
    /// Folders that somebody goes through who has not come to the end.
    drafts: Cache<(u32, u32), Drafted>,
    /// Their parts, by number.
    parts: Cache<(u32, u32, u32), Arc<Listing>>,
    layouts: Cache<(u32, u32), Layout>,
    decoded: Cache<NodeId, Vec<u8>>,
    /// Positions in a listing, sorted.
    orders: Cache<(u32, u32, SortBy), Vec<u32>>,
    tallies: Cache<(u32, u32), Tally>,
    deleted: Deleted,
    strangers: Mutex<Strangers>,
    /// Sizes of mboxes that were told: they must be told the same again while the kernel may remember them.
    mbox_sizes: Mutex<HashMap<NodeId, u64>>,
    /// Snapshots of which everything has its serial.
    searched: Mutex<HashSet<u32>>,
    /// Snapshots of which everything was learned.
    warmed: Mutex<HashSet<u32>>,
    altered: Altered,
    growth: Growth,
    /// Of the snapshot with this serial.
    space: Mutex<Option<(u32, Space)>>,
}

impl Fs {
    pub fn new(view: View, policy: Policy, catalogue: Catalogue, options: Options) -> Result<Self> {
        let fs = Self {
            index: view.index.clone(),
            shown: RwLock::new(Arc::new(Shown::nothing(policy))),
            replacing: Mutex::new(()),
            owners: Owners::default(),
            mailboxes: Cache::new(48 << 20),
            trees: Cache::new(16 << 20),
            listings: Cache::new(options.listing_bytes),
            drafts: Cache::new(16 << 20),
            parts: Cache::new(16 << 20),
            layouts: Cache::new(16 << 20),
            decoded: Cache::new(32 << 20),
            orders: Cache::new(16 << 20),
            tallies: Cache::new(4 << 20),
            deleted: Deleted::new(options.live.clone(), &view.layout),
            strangers: Mutex::default(),
            mbox_sizes: Mutex::default(),
            searched: Mutex::default(),
            warmed: Mutex::default(),
            altered: Altered::default(),
            growth: Growth::default(),
            space: Mutex::default(),
            apart: view.without_index(),
            view,
            catalogue,
            options,
        };
        fs.update(&Changes::default())?;
        Ok(fs)
    }

    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Who may see what, at this moment.
    pub fn policy(&self) -> Arc<Policy> {
        self.shown().policy.clone()
    }

    /// Whether listings are the same for every caller and stay as they are.
    pub fn listings_stay(&self) -> bool {
        !self.shown().policy.hide_unreadable && self.options.mbox_listed != MboxListed::WhenSized
    }

    /// Finds out what the first who asks would have to wait for: the mailboxes of the newest snapshot, and how much room
    /// the store takes. May hang with the store.
    pub fn prepare(&self) {
        let shown = self.shown();
        let Some(open) = shown.by_time.last() else {
            return;
        };
        if let Err(e) = self.space() {
            tracing::debug!("the room that the store takes: {e}");
        }
        if let Err(e) = self.populated(open) {
            tracing::warn!("looking for mailboxes: {e}");
        }
    }

    /// The room that the store of the newest snapshot takes; none of it is free. While that store does not answer, what
    /// it was before.
    pub fn space(&self) -> Result<Space> {
        let lock = || self.space.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = self.shown();
        let Some(newest) = shown.by_time.last() else {
            return Ok(Space::default());
        };
        let known = *lock();
        match known {
            Some((serial, space)) if serial == newest.serial => Ok(space),
            _ => match newest.root.space() {
                Ok(space) => {
                    *lock() = Some((newest.serial, space));
                    Ok(space)
                }
                Err(e) => known.map(|(_, space)| space).ok_or(e),
            },
        }
    }

    fn about(&self, inside: &Inside) -> String {
        let snapshot = &inside.open.snapshot;
        let taken = self.view.zone.local(snapshot.time);
        let days = self
            .options
            .keep_days
            .map(|days| chrono::Days::new(u64::from(days)));
        let expires = days.and_then(|days| taken.date().checked_add_days(days));
        let branches = inside.nested.tree.iter();
        let backup = about::Backup {
            mailbox: &inside.mailbox.name,
            label: &snapshot.label,
            taken_local: taken,
            zone_name: &self.options.zone_name,
            expires,
            folders: branches
                .filter(|branch| matches!(branch.source, Source::Folder(_)))
                .count(),
        };
        about::text(self.options.language, self.options.about.as_ref(), &backup)
    }
}

#[cfg(test)]
mod tests;
