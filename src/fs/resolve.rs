//! From a node id to what it means, through what is cached or is read again.

use super::attr::private;
use super::cache::Value;
use super::deleted::{Kept, Somebody};
use super::maildir::Part;
use super::node::{self, NodeId, Parts, Place};
use super::{Attr, Fs, NodeKind, Open};
use crate::access::Permissions;
use crate::error::{Error, Kind, Result};
use crate::index::Table;
use crate::store::Store;
use crate::time::Time;
use crate::view::listing::{Listing, is_for_all};
use crate::view::mailbox::{Mailbox, Mailboxes};
use crate::view::maildir;
use crate::view::mbox::Layout;
use crate::view::tree::{Branch, Source, Tree};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError};

/// Directories of a mailbox that get their serials together.
const SERIALS_AT_ONCE: usize = 1 << 16;

/// The mailboxes of a snapshot with their serials.
pub struct Populated {
    pub mailboxes: Mailboxes,
    pub serials: Vec<u32>,
}

impl Value for Populated {
    fn is_settled(&self) -> bool {
        self.mailboxes.is_complete()
    }
}

impl Value for Nested {}
impl Value for Layout {}

impl Value for Listing {
    fn is_settled(&self) -> bool {
        self.is_complete()
    }
}

impl Populated {
    fn serial(&self, mailbox: &Mailbox) -> Result<u32> {
        let serial = self
            .mailboxes
            .position(&mailbox.path)
            .and_then(|i| self.serials.get(i));
        serial
            .copied()
            .ok_or_else(|| Error::new(Kind::Stale, "the mailbox is no longer there"))
    }
}

/// The directories of a mailbox with their serials.
pub struct Nested {
    pub tree: Tree,
    pub serials: Vec<u32>,
    by_serial: HashMap<u32, u32>,
    /// The directories as `.maildir` has them.
    pub maildir: OnceLock<maildir::Folders>,
}

/// A mailbox in a snapshot, and its directories.
#[derive(Clone)]
pub struct Inside {
    pub open: Arc<Open>,
    pub mailbox: Mailbox,
    /// The mailbox directory's.
    pub id: NodeId,
    pub nested: Arc<Nested>,
}

impl Inside {
    pub fn branch(&self, position: u32) -> Option<&Branch> {
        self.nested.tree.get(position)
    }

    pub fn store(&self) -> Box<dyn Store + '_> {
        self.mailbox.store(&self.open.root)
    }

    /// The stored folder that a directory is; `None` for a parent that is no folder.
    pub fn folder(&self, position: u32) -> Option<&[u8]> {
        match &self.branch(position)?.source {
            Source::Folder(stored) => Some(stored),
            Source::Parent(_) => None,
        }
    }
}

/// What a node id means. Positions are those of a directory in the mailbox's tree, and of a message in its folder.
pub enum Meaning {
    Root,
    Latest,
    Date(Arc<Open>),
    Mailbox(Inside),
    About(Inside),
    Branch(Inside, u32),
    Mbox(Inside, u32),
    Message(Inside, u32, usize),
    Deleted,
    DeletedMailbox(Arc<Somebody>),
    DeletedFolder(Arc<Somebody>, Arc<Kept>, u32),
    Maildirs,
    MaildirDate(Arc<Open>),
    /// `None`: the mailbox itself, which is its INBOX.
    Maildir(Inside, Option<u32>, Part),
}

impl Fs {
    /// # Errors
    /// [`Kind::Stale`]: the id means nothing, or nothing any more.
    pub(super) fn resolve(&self, id: NodeId) -> Result<Meaning> {
        if !id.is_possible() {
            return Err(id.stale());
        }
        if id == node::ROOT {
            return Ok(Meaning::Root);
        }
        if id == node::LATEST {
            return Ok(Meaning::Latest);
        }
        if id == node::DELETED {
            return Ok(Meaning::Deleted);
        }
        if id == node::MAILDIRS {
            return Ok(Meaning::Maildirs);
        }
        let Parts {
            snapshot,
            place,
            ordinal,
        } = id.parts();
        if snapshot == 0 {
            return match (place, ordinal) {
                (0, _) | (_, 1..) => Err(id.stale()),
                _ => self.in_deleted(id, place),
            };
        }
        let open = self
            .shown()
            .by_serial
            .get(&snapshot)
            .cloned()
            .ok_or_else(|| id.stale())?;
        if place == 0 {
            return match ordinal {
                0 => Ok(Meaning::Date(open)),
                node::MAILDIR_DATE => Ok(Meaning::MaildirDate(open)),
                _ => Err(id.stale()),
            };
        }
        let key = match self.index.key_of(Table::Folder, place) {
            Some(key) => key,
            None => self.find_again(&open, place)?,
        };
        let Place { mailbox, source } = Place::decode(&key)?;
        let populated = self.populated(&open)?;
        let mailbox = populated.mailboxes.at(&mailbox).ok_or_else(|| id.stale())?;
        let inside = self.inside(&open, &populated, mailbox)?;
        if source.is_none() {
            return match ordinal {
                0 => Ok(Meaning::Mailbox(inside)),
                1 => Ok(Meaning::About(inside)),
                node::MAILDIR.. => self.maildir_meaning(id, inside, None),
                _ => Err(id.stale()),
            };
        }
        let position = *inside
            .nested
            .by_serial
            .get(&place)
            .ok_or_else(|| id.stale())?;
        let is_folder = inside.folder(position).is_some();
        match ordinal {
            0 => Ok(Meaning::Branch(inside, position)),
            _ if !is_folder => Err(id.stale()),
            1 => Ok(Meaning::Mbox(inside, position)),
            node::MAILDIR.. => self.maildir_meaning(id, inside, Some(position)),
            _ => Ok(Meaning::Message(
                inside,
                position,
                (ordinal - node::FIRST_MESSAGE) as usize,
            )),
        }
    }

    /// The key of a serial that the table has lost: everything in the snapshot is given its serial again. Once is enough,
    /// or a forged handle would have every mailbox read each time.
    pub(super) fn find_again(&self, open: &Arc<Open>, place: u32) -> Result<Arc<[u8]>> {
        let lost = || Error::new(Kind::Stale, format!("no directory has the serial {place}"));
        let searched = || self.searched.lock().unwrap_or_else(PoisonError::into_inner);
        if searched().contains(&open.serial) {
            return Err(lost());
        }
        let populated = self.populated(open)?;
        for mailbox in populated.mailboxes.iter() {
            if let Some(key) = self.index.key_of(Table::Folder, place) {
                return Ok(key);
            }
            match self.inside(open, &populated, mailbox) {
                Err(e) if is_for_all(&e) => return Err(e),
                // The others may have it.
                _ => {}
            }
        }
        searched().insert(open.serial);
        self.index.key_of(Table::Folder, place).ok_or_else(lost)
    }

    pub(super) fn populated(&self, open: &Arc<Open>) -> Result<Arc<Populated>> {
        self.mailboxes.get(&open.serial, open.root.lane(), || {
            let _stay = crate::disk::trail::stay();
            let mailboxes = self.view.layout.find(&open.root).map_err(gone)?;
            let keys: Vec<Vec<u8>> = mailboxes
                .iter()
                .map(|mailbox| Place::encode(&mailbox.path, None))
                .collect();
            let serials = self.serials(&keys)?;
            let weight = mailboxes.weight() + serials.len() * 4;
            Ok((Populated { mailboxes, serials }, weight))
        })
    }

    pub(super) fn inside(
        &self,
        open: &Arc<Open>,
        populated: &Populated,
        mailbox: &Mailbox,
    ) -> Result<Inside> {
        let serial = populated.serial(mailbox)?;
        let nested = self.trees.get(&(open.serial, serial), open.root.lane(), || {
            let tree = Tree::read(&*mailbox.store(&open.root)).map_err(gone)?;
            if tree.oddities > 0 {
                tracing::warn!(
                    "{}: {}: {} links, too deeply nested directories or files that hold no mail are among the folders and are not shown",
                    open.root.path().display(),
                    mailbox.name,
                    tree.oddities
                );
            }
            let keys: Vec<Vec<u8>> =
                tree.iter().map(|branch| Place::encode(&mailbox.path, Some(&branch.source))).collect();
            // There may be a million of them: each part is progress, and lets others in.
            let mut serials = Vec::with_capacity(keys.len());
            for keys in keys.chunks(SERIALS_AT_ONCE) {
                open.root.lane().enter()?;
                serials.extend(self.serials(keys)?);
            }
            let by_serial = serials.iter().copied().zip(0..).collect();
            let weight = tree.weight() + serials.len() * 32;
            Ok((Nested { tree, serials, by_serial, maildir: OnceLock::new() }, 2 * weight))
        })?;
        Ok(Inside {
            open: open.clone(),
            mailbox: mailbox.clone(),
            id: NodeId::new(open.serial, serial, 0),
            nested,
        })
    }

    pub(super) fn serials(&self, keys: &[Vec<u8>]) -> Result<Vec<u32>> {
        let keys: Vec<(&[u8], u64)> = keys
            .iter()
            .map(|key| (key.as_slice(), Place::seed(key)))
            .collect();
        self.index.serials(Table::Folder, &keys)
    }

    /// Where each message is in a folder's mbox; `None` for a parent that is no folder.
    pub(super) fn layout(&self, inside: &Inside, position: u32) -> Result<Option<Arc<Layout>>> {
        let (Some(folder), Some(listing)) =
            (inside.folder(position), self.listing(inside, position)?)
        else {
            return Ok(None);
        };
        let key = self.cache_key(inside, position)?;
        let layout = self.layouts.get(&key, inside.open.root.lane(), || {
            let layout = self
                .view
                .lay_out(&*inside.store(), folder, &listing)
                .map_err(gone)?;
            let weight = layout.weight();
            Ok((layout, weight))
        })?;
        Ok(Some(layout))
    }

    pub(super) fn cache_key(&self, inside: &Inside, position: u32) -> Result<(u32, u32)> {
        let parts = self.branch_id(inside, position)?.parts();
        Ok((parts.snapshot, parts.place))
    }

    pub(super) fn branch_id(&self, inside: &Inside, position: u32) -> Result<NodeId> {
        let serial = inside
            .nested
            .serials
            .get(position as usize)
            .ok_or_else(|| inside.id.stale())?;
        Ok(NodeId::new(inside.open.serial, *serial, 0))
    }

    pub(super) fn parent(&self, id: NodeId) -> Result<NodeId> {
        Ok(match self.resolve(id)? {
            Meaning::Root | Meaning::Latest | Meaning::Date(_) => node::ROOT,
            Meaning::Deleted | Meaning::Maildirs => node::ROOT,
            Meaning::MaildirDate(_) => node::MAILDIRS,
            Meaning::Maildir(inside, folder, part) => self.above_maildir(&inside, folder, part)?,
            Meaning::DeletedMailbox(_) => node::DELETED,
            Meaning::DeletedFolder(somebody, kept, position) => {
                self.above_lost(&somebody, &kept, position)?
            }
            Meaning::Mailbox(inside) => NodeId::new(inside.open.serial, 0, 0),
            Meaning::About(inside) => inside.id,
            Meaning::Branch(inside, position) | Meaning::Mbox(inside, position) => {
                match inside.branch(position).and_then(|branch| branch.above) {
                    Some(above) => self.branch_id(&inside, above)?,
                    None => inside.id,
                }
            }
            Meaning::Message(..) => id.with_ordinal(0),
        })
    }

    /// The path below the mount point, for people to read.
    pub(super) fn path(&self, meaning: &Meaning, id: NodeId) -> Result<String> {
        let (Meaning::Mbox(inside, position)
        | Meaning::Message(inside, position, _)
        | Meaning::Branch(inside, position)) = meaning
        else {
            return Ok(format!("node {:#x}", id.0));
        };
        let mut names = Vec::new();
        match meaning {
            Meaning::Mbox(..) => names.extend(inside.branch(*position).map(Branch::mbox_name)),
            Meaning::Message(_, _, message) => {
                let listing = self.listing(inside, *position)?.ok_or_else(|| id.stale())?;
                names.extend(listing.get(*message).map(|item| item.name.to_owned()));
                names.extend(inside.branch(*position).map(|branch| branch.name.clone()));
            }
            _ => names.extend(inside.branch(*position).map(|branch| branch.name.clone())),
        }
        let mut above = inside.branch(*position).and_then(|branch| branch.above);
        while let Some(branch) = above.and_then(|position| inside.branch(position)) {
            names.push(branch.name.clone());
            above = branch.above;
        }
        names.extend([
            inside.mailbox.name.clone(),
            inside.open.snapshot.label.clone(),
        ]);
        names.reverse();
        Ok(names.join("/"))
    }

    /// Who may read a mailbox: its owner is who owns its directory in the newest snapshot that holds it.
    pub(super) fn permissions(&self, inside: &Inside) -> Result<Arc<Permissions>> {
        self.permissions_of(&inside.open, &inside.mailbox)
    }

    /// A mailbox of a date, by name.
    pub(super) fn lookup_mailbox(&self, open: &Arc<Open>, name: &str) -> Result<Option<Attr>> {
        let populated = self.populated(open)?;
        let mailboxes = &populated.mailboxes;
        match mailboxes.named(name) {
            Some(mailbox) => self.mailbox_attr(open, &populated, mailbox).map(Some),
            None if mailboxes.is_complete() => Ok(None),
            None => Err(Error::new(
                Kind::Unreadable,
                format!("{name}: not all directories that may hold mailboxes could be read"),
            )),
        }
    }

    pub(super) fn mailbox_attr(
        &self,
        open: &Open,
        populated: &Populated,
        mailbox: &Mailbox,
    ) -> Result<Attr> {
        let serial = populated.serial(mailbox)?;
        let id = NodeId::new(open.serial, serial, 0);
        let permissions = self.permissions_of(open, mailbox)?;
        Ok(private(
            id,
            NodeKind::Directory,
            0,
            mailbox.changed,
            &permissions,
        ))
    }

    pub(super) fn branch_attr(
        &self,
        inside: &Inside,
        position: u32,
        permissions: &Permissions,
    ) -> Result<Attr> {
        let id = self.branch_id(inside, position)?;
        Ok(private(
            id,
            NodeKind::Directory,
            0,
            self.changed(inside, position)?,
            permissions,
        ))
    }

    /// A folder's last change; a parent that is no folder changes with its mailbox.
    pub(super) fn changed(&self, inside: &Inside, position: u32) -> Result<Time> {
        let Some(folder) = inside.folder(position) else {
            return Ok(inside.mailbox.changed);
        };
        if let Some(listing) = self.listings.peek(&self.cache_key(inside, position)?) {
            return Ok(listing.changed);
        }
        Ok(inside.store().stamp(folder).map_err(gone)?.changed)
    }

    pub(super) fn mbox_attr(&self, inside: &Inside, position: u32) -> Result<Attr> {
        let id = self.branch_id(inside, position)?.with_ordinal(1);
        let size = match self.known_mbox_size(inside, position, id)? {
            Some(size) => size,
            None => self
                .layout(inside, position)?
                .ok_or_else(|| id.stale())?
                .size(),
        };
        self.mbox_sizes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, size);
        let permissions = self.permissions(inside)?;
        Ok(private(
            id,
            NodeKind::File,
            size,
            self.changed(inside, position)?,
            &permissions,
        ))
    }

    /// Reads no message.
    pub(super) fn known_mbox_size(
        &self,
        inside: &Inside,
        position: u32,
        id: NodeId,
    ) -> Result<Option<u64>> {
        let told = self
            .mbox_sizes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .copied();
        let Some(folder) = inside.folder(position) else {
            return Ok(None);
        };
        match told {
            Some(size) => Ok(Some(size)),
            None => {
                let known = self.view.known_mbox(&*inside.store(), folder);
                Ok(known.map_err(gone)?.map(|known| known.size))
            }
        }
    }

    /// A directory or an mbox right below a directory, by name.
    pub(super) fn lookup_branch(
        &self,
        inside: &Inside,
        above: Option<u32>,
        name: &str,
    ) -> Result<Option<Attr>> {
        let tree = &inside.nested.tree;
        if let Some(position) = tree.named(above, name) {
            let permissions = self.permissions(inside)?;
            return self.branch_attr(inside, position, &permissions).map(Some);
        }
        let folder = name
            .strip_suffix(".mbox")
            .and_then(|name| tree.named(above, name))
            .filter(|&position| inside.folder(position).is_some());
        match folder {
            Some(position) if self.options.mbox_listed != super::MboxListed::Never => {
                self.mbox_attr(inside, position).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// Below a date nothing comes or goes: what is not where it was found is stale, with its snapshot. It is no name that the
/// kernel might remember as one that is not there.
pub(super) fn gone(error: Error) -> Error {
    match error.kind() {
        Kind::NotFound => Error::new(Kind::Stale, error.to_string()),
        _ => error,
    }
}
