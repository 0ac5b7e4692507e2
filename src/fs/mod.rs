//! Operations on node ids: what the kernel asks, answered from the snapshots.
//!
//! Nothing is kept but caches: every answer is worked out from the node id, the serial tables and the snapshot, so it
//! is the same after a restart. Everything below a date is immutable, and the kernel is told that it may keep it for
//! ever; only the root's listing and the link `latest` age, and what changes there is pushed.
//!
//! Who may read is decided by the kernel, on the owner, mode and ACL reported here, which are the same for every
//! caller; leaving out of a date's listing what the caller cannot enter is only courtesy.
//!
//! The cast: [`node`] turns ids into places and back, [`cache`] keeps what was read, `resolve` finds what an id means,
//! `attr` tells what stat(2) tells, `deleted` is the directory of that name, `maildir` is `.maildir`,
//! `directory` lists, `read` reads, `owner` says who may
//! enter and what changes in that, `warm` learns what there is to learn, [`search`] finds messages on all dates, [`browse`] is what
//! people are shown who have no file manager, [`reader`] says which mailboxes are theirs; [`Fs`] has one method for each operation.

pub mod browse;
pub mod cache;
pub mod node;
pub mod reader;
pub mod search;
pub mod warm;

mod attr;
mod deleted;
mod directory;
mod listing;
mod maildir;
mod owner;
mod read;
mod resolve;

pub use attr::{Attr, NodeKind};
pub use directory::{Directory, Entry};
pub use node::{Cookie, NodeId};

use crate::access::Policy;
use crate::disk::{Root, Space};
use crate::error::{Error, Kind, Result};
use crate::index::{Index, Table};
use crate::language::Language;
use crate::snapshot::{Catalogue, Changes, Snapshot};
use crate::time::Time;
use crate::view::listing::Listing;
use crate::view::mbox::Layout;
use crate::view::tree::Source;
use crate::view::{View, about};
use attr::message_attr;
use browse::{SortBy, Tally};
use cache::Cache;
use deleted::{Deleted, Somebody};
use listing::Drafted;
use maildir::Part;
use owner::Owners;
use reader::Strangers;
use resolve::{Meaning, Nested, Populated};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc};
use std::time::Duration;

/// How long new roots are waited for; a store that hangs is gone on without.
const SETTLING: Duration = Duration::from_secs(1);

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

/// A snapshot that is shown, or hidden behind a later one of its date.
#[derive(Debug)]
pub struct Open {
    pub snapshot: Arc<Snapshot>,
    pub serial: u32,
    pub root: Root,
}

/// The snapshots there are, with their serials, and who may see what of them.
struct Shown {
    /// Grows by one with every change.
    generation: u64,
    policy: Arc<Policy>,
    by_serial: HashMap<u32, Arc<Open>>,
    by_label: BTreeMap<String, Arc<Open>>,
    /// The same, oldest first: labels need not be in that order.
    by_time: Vec<Arc<Open>>,
    /// The mtime of what lists the dates: another one for other dates, since an NFS client keeps its listing until that
    /// changes, and the same after a restart.
    changed: Time,
}

/// The newest date's time to the second, and behind that a number which is another one for other dates.
fn changed(by_time: &[Arc<Open>]) -> Time {
    let mut dates = Sha256::new();
    for open in by_time {
        dates.update(&open.snapshot.label);
        dates.update([0]);
        dates.update(&open.snapshot.key);
        dates.update([0]);
    }
    let [a, b, c, d, ..] = <[u8; 32]>::from(dates.finalize());
    let newest = by_time.last();
    Time {
        secs: newest.map_or(0, |open| open.snapshot.time),
        nanos: u32::from_le_bytes([a, b, c, d]) % 1_000_000_000,
    }
}

impl Shown {
    fn newest_is(&self, open: &Open) -> bool {
        let newest = self.by_time.last();
        newest.is_some_and(|newest| newest.serial == open.serial)
    }
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
    /// Of the snapshot with this serial.
    space: Mutex<Option<(u32, Space)>>,
}

impl Fs {
    pub fn new(view: View, policy: Policy, catalogue: Catalogue, options: Options) -> Result<Self> {
        let nothing = Shown {
            generation: 0,
            policy: Arc::new(policy),
            by_serial: HashMap::new(),
            by_label: BTreeMap::new(),
            by_time: Vec::new(),
            changed: Time::default(),
        };
        let fs = Self {
            index: view.index.clone(),
            shown: RwLock::new(Arc::new(nothing)),
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
            space: Mutex::default(),
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

    /// Lets another policy decide from now on. What the kernel was told by the old one is found and pushed by a
    /// [`review`](Self::review), which is to follow.
    pub fn set_policy(&self, policy: Policy) {
        let _guard = self
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = self.shown();
        let shown = Arc::new(Shown {
            generation: before.generation + 1,
            policy: Arc::new(policy),
            by_serial: before.by_serial.clone(),
            by_label: before.by_label.clone(),
            by_time: before.by_time.clone(),
            changed: before.changed,
        });
        self.owners.keep(shown.generation, || {
            *self.shown.write().unwrap_or_else(PoisonError::into_inner) = shown.clone();
        });
    }

    /// Takes over what the catalogue has found; says what the kernel should forget. Waits for the disk a second at most. It is to be
    /// followed by [`review`](Self::review).
    pub fn update(&self, changes: &Changes) -> Result<Vec<Invalidation>> {
        let _guard = self
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let dates = self.catalogue.dates();
        let before = self.shown();
        let keys: Vec<(&[u8], u64)> = dates
            .all
            .iter()
            .map(|s| (s.key.as_slice(), s.seed))
            .collect();
        let serials = self.index.serials(Table::Snapshot, &keys)?;
        let mut by_serial = HashMap::with_capacity(serials.len());
        let mut by_label = BTreeMap::new();
        let mut by_time = Vec::new();
        let mut fresh = Vec::new();
        for (snapshot, serial) in dates.all.iter().zip(serials) {
            let kept = before
                .by_serial
                .get(&serial)
                .filter(|open| open.snapshot.root == snapshot.root);
            let root = match kept {
                Some(open) => open.root.clone(),
                None => {
                    let told = Arc::clone(&self.view.told);
                    let root = Root::new(&snapshot.root).telling(told);
                    fresh.push(root.clone());
                    root
                }
            };
            let open = Arc::new(Open {
                snapshot: snapshot.clone(),
                serial,
                root,
            });
            by_serial.insert(serial, open);
        }
        for snapshot in dates.newest_first().rev() {
            if let Some(open) = by_serial
                .values()
                .find(|open| open.snapshot.key == snapshot.key)
            {
                by_label.insert(snapshot.label.clone(), open.clone());
                by_time.push(open.clone());
            }
        }
        let gone: Vec<u32> = before
            .by_serial
            .keys()
            .filter(|serial| !by_serial.contains_key(serial))
            .copied()
            .collect();
        let moved = changes
            .appeared
            .iter()
            .chain(&changes.vanished)
            .chain(&changes.replaced);
        let mut forget = Vec::new();
        for label in moved {
            for above in [node::ROOT, node::MAILDIRS] {
                forget.push(Invalidation::Name(above, label.clone()));
            }
        }
        for &serial in &gone {
            for ordinal in [0, node::MAILDIR_DATE] {
                forget.push(Invalidation::Node(NodeId::new(serial, 0, ordinal)));
            }
        }
        let label = |open: Option<&Arc<Open>>| open.map(|open| open.snapshot.label.clone());
        if label(by_time.last()) != label(before.by_time.last()) {
            forget.extend([
                Invalidation::Name(node::ROOT, "latest".into()),
                Invalidation::Node(node::LATEST),
            ]);
        }
        forget.push(Invalidation::Node(node::ROOT));
        forget.push(Invalidation::Node(node::MAILDIRS));
        settle(fresh);
        let generation = before.generation + 1;
        let shown = Arc::new(Shown {
            generation,
            policy: before.policy.clone(),
            changed: changed(&by_time),
            by_serial,
            by_label,
            by_time,
        });
        self.owners.replace(generation, || {
            *self.shown.write().unwrap_or_else(PoisonError::into_inner) = shown;
        });
        forget.extend(self.deleted.renew(generation));
        if !gone.is_empty() {
            self.mailboxes.forget(|serial| gone.contains(serial));
            self.trees.forget(|(serial, _)| gone.contains(serial));
            self.listings.forget(|(serial, _)| gone.contains(serial));
            self.drafts.forget(|(serial, _)| gone.contains(serial));
            self.parts.forget(|(serial, ..)| gone.contains(serial));
            self.layouts.forget(|(serial, _)| gone.contains(serial));
            self.orders.forget(|(serial, ..)| gone.contains(serial));
            self.tallies.forget(|(serial, _)| gone.contains(serial));
            self.decoded
                .forget(|id| gone.contains(&id.parts().snapshot));
            let mut sizes = self
                .mbox_sizes
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            sizes.retain(|id, _| !gone.contains(&id.parts().snapshot));
            self.warmed().retain(|serial| !gone.contains(serial));
        }
        Ok(forget)
    }

    fn shown(&self) -> Arc<Shown> {
        self.shown
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
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

    /// The node that a name in a directory stands for; `.` and `..` too, as NFS servers ask.
    ///
    /// `None`: there is no such name; below a date there never will be.
    pub fn lookup(&self, parent: NodeId, name: &[u8]) -> Result<Option<Attr>> {
        if name == b"." {
            return self.getattr(parent).map(Some);
        }
        if name == b".." {
            return self.getattr(self.parent(parent)?).map(Some);
        }
        let parent = self.resolve(parent)?;
        if let Meaning::Maildir(inside, folder, part) = &parent {
            return self.lookup_maildir(inside, *folder, *part, name);
        }
        let Ok(name) = std::str::from_utf8(name) else {
            return Ok(None);
        };
        match parent {
            Meaning::Root if name == "latest" => Ok(self.latest_attr()),
            Meaning::Root if name == ".maildir" => Ok(Some(self.maildirs_attr())),
            Meaning::Maildirs => {
                let shown = self.shown();
                let found = shown.by_label.get(name);
                Ok(found.map(|open| self.maildir_date_attr(open)))
            }
            Meaning::Root if name == "deleted" => Ok(Some(self.deleted_attr())),
            Meaning::Root => {
                let shown = self.shown();
                Ok(shown.by_label.get(name).map(|open| self.date_attr(open)))
            }
            Meaning::Date(open) => self.lookup_mailbox(&open, name),
            Meaning::MaildirDate(open) => {
                let maildir = |attr: Attr| Attr {
                    id: attr.id.with_ordinal(node::MAILDIR),
                    ..attr
                };
                Ok(self.lookup_mailbox(&open, name)?.map(maildir))
            }
            Meaning::Mailbox(inside) if name == about::FILE_NAME => {
                let id = inside.id;
                self.attr(&Meaning::About(inside), id).map(Some)
            }
            Meaning::Mailbox(inside) => self.lookup_branch(&inside, None, name),
            Meaning::Branch(inside, position) => {
                if let Some(attr) = self.lookup_branch(&inside, Some(position), name)? {
                    return Ok(Some(attr));
                }
                let Some(listing) = self.listing(&inside, position)? else {
                    return Ok(None);
                };
                let message = listing.find(name);
                let Some((message, item)) = message.and_then(|at| Some((at, listing.get(at)?)))
                else {
                    return Ok(None);
                };
                let permissions = self.permissions(&inside)?;
                let id = self
                    .branch_id(&inside, position)?
                    .with_ordinal(node::FIRST_MESSAGE + message as u32);
                Ok(Some(message_attr(id, &item, &permissions)))
            }
            Meaning::Deleted => self.lookup_somebody(name),
            Meaning::DeletedMailbox(somebody) => {
                let kept = self.lost(&somebody)?;
                self.lookup_lost(&somebody, &kept, None, name)
            }
            Meaning::DeletedFolder(somebody, kept, position) => {
                self.lookup_lost(&somebody, &kept, Some(position), name)
            }
            _ => Err(Error::new(Kind::NotADirectory, "not a directory")),
        }
    }

    pub fn getattr(&self, id: NodeId) -> Result<Attr> {
        let meaning = self.resolve(id)?;
        self.attr(&meaning, id)
    }

    pub fn readlink(&self, id: NodeId) -> Result<Vec<u8>> {
        match self.shown().by_time.last() {
            Some(open) if id == node::LATEST => Ok(open.snapshot.label.clone().into_bytes()),
            _ => Err(Error::new(Kind::Invalid, "not a symbolic link")),
        }
    }

    /// The POSIX ACL of a node, as the extended attribute has it.
    pub fn acl(&self, id: NodeId) -> Result<Option<Vec<u8>>> {
        let meaning = self.resolve(id)?;
        let (permissions, dir) = match &meaning {
            Meaning::Root
            | Meaning::Latest
            | Meaning::Date(_)
            | Meaning::Deleted
            | Meaning::Maildirs
            | Meaning::MaildirDate(_) => return Ok(None),
            Meaning::Maildir(inside, _, part) => {
                (self.permissions(inside)?, *part != Part::Keywords)
            }
            Meaning::Mailbox(inside) | Meaning::Branch(inside, _) => {
                (self.permissions(inside)?, true)
            }
            Meaning::About(inside) | Meaning::Mbox(inside, _) | Meaning::Message(inside, ..) => {
                (self.permissions(inside)?, false)
            }
            Meaning::DeletedMailbox(somebody) | Meaning::DeletedFolder(somebody, ..) => {
                let Somebody { open, mailbox, .. } = &**somebody;
                (self.permissions_of(open, mailbox)?, true)
            }
        };
        Ok(permissions.acl.as_ref().map(|acl| acl.encode(dir)))
    }

    /// Logs that somebody opens mail that is not his, if the policy wants it logged.
    pub fn audit(&self, id: NodeId, caller: Caller) -> Result<()> {
        if !self.shown().policy.audit {
            return Ok(());
        }
        let meaning = self.resolve(id)?;
        let (Meaning::Message(inside, ..) | Meaning::Mbox(inside, _)) = &meaning else {
            return Ok(());
        };
        if self.permissions(inside)?.uid != caller.uid {
            let path = self.path(&meaning, id)?;
            let user = crate::access::user_name(caller.uid);
            tracing::info!(target: "audit", uid = caller.uid, user, path, "opened by another than the mailbox's owner");
        }
        Ok(())
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

    fn about(&self, inside: &resolve::Inside) -> String {
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

/// Looks at new roots while they are where the catalogue has just seen them; in a thread of its own, for a store may hang.
fn settle(roots: Vec<Root>) {
    let (done, settled) = mpsc::channel();
    let settling = std::thread::Builder::new()
        .name("mailtm-roots".into())
        .spawn(move || {
            for root in roots {
                if let Err(e) = root.settle() {
                    tracing::debug!("{e}");
                }
            }
            // Nobody listens any more if it has taken too long.
            let _ = done.send(());
        });
    match settling {
        Ok(_) => drop(settled.recv_timeout(SETTLING)),
        Err(e) => tracing::debug!("new snapshots are looked at when they are used: {e}"),
    }
}

#[cfg(test)]
mod tests;
