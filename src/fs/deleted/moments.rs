//! What a mailbox is or was like: live, on a date, or not there at all.

use crate::disk::Root;
use crate::error::{Context, Error, Kind, Result};
use crate::fs::inside::{Inside, gone};
use crate::fs::{Fs, Open};
use crate::store::Store;
use crate::time::Time;
use crate::view::deleted::Moment;
use crate::view::listing::Listing;
use crate::view::mailbox::{Mailbox, Mailboxes};
use crate::view::tree::{Source, Tree};
use sha2::{Digest, Sha256};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

/// What a live mailbox is like: its folders with their stamps.
pub(in crate::fs) struct Live<'a> {
    fs: &'a Fs,
    root: Root,
    /// `None`: there is no such mailbox.
    mailbox: Option<Mailbox>,
    tree: Tree,
    /// By position in the tree.
    stamps: Vec<Vec<u8>>,
    /// Stands for all of it.
    pub mark: u64,
    pub changed: Time,
}

impl Moment for Live<'_> {
    fn tree(&self) -> &Tree {
        &self.tree
    }

    fn stamp(&self, folder: u32) -> Result<Vec<u8>> {
        Ok(self
            .stamps
            .get(folder as usize)
            .cloned()
            .unwrap_or_default())
    }

    fn listing(&self, folder: u32) -> Result<Arc<Listing>> {
        let (mailbox, stored) = self.folder(folder)?;
        let mut key = Sha256::new();
        for part in [mailbox.path.as_slice(), stored, &self.stamp(folder)?] {
            key.update((part.len() as u64).to_le_bytes());
            key.update(part);
        }
        let cache = &self.fs.deleted.live_listings;
        cache.get(&key.finalize().into(), self.root.lane(), || {
            let taken = self.tree.taken(folder);
            let store = mailbox.store(&self.root);
            let listing = self.fs.view.list_live(&*store, stored, &taken)?;
            let weight = listing.weight();
            Ok((listing, weight))
        })
    }

    fn message_ids(
        &self,
        folder: u32,
        listing: &Listing,
        ordinals: &[u32],
    ) -> Result<Vec<Option<u128>>> {
        let (mailbox, stored) = self.folder(folder)?;
        let store = mailbox.store(&self.root);
        self.fs.view.message_ids(&*store, stored, listing, ordinals)
    }
}

impl Live<'_> {
    /// The mailbox; `None` if there is none any more.
    pub(in crate::fs) fn store(&self) -> Option<Box<dyn Store + '_>> {
        let mailbox = self.mailbox.as_ref()?;
        Some(mailbox.store(&self.root))
    }

    fn folder(&self, position: u32) -> Result<(&Mailbox, &[u8])> {
        match (
            &self.mailbox,
            self.tree.get(position).map(|branch| &branch.source),
        ) {
            (Some(mailbox), Some(Source::Folder(stored))) => Ok((mailbox, stored)),
            _ => Err(Error::new(Kind::NotFound, "no such folder")),
        }
    }
}

/// A mailbox on a date.
pub(super) struct Dated<'a> {
    fs: &'a Fs,
    inside: Inside,
}

impl Moment for Dated<'_> {
    fn tree(&self) -> &Tree {
        &self.inside.nested.tree
    }

    fn stamp(&self, folder: u32) -> Result<Vec<u8>> {
        let stored = self.inside.folder(folder).unwrap_or_default();
        Ok(self.inside.store().stamp(stored).map_err(gone)?.bytes)
    }

    fn listing(&self, folder: u32) -> Result<Arc<Listing>> {
        let listing = self.fs.listing_beside(&self.inside, folder, true)?;
        listing.ok_or_else(|| self.inside.id.stale())
    }

    fn message_ids(
        &self,
        folder: u32,
        listing: &Listing,
        ordinals: &[u32],
    ) -> Result<Vec<Option<u128>>> {
        let stored = self.inside.folder(folder).unwrap_or_default();
        let store = self.inside.store();
        self.fs.view.message_ids(&*store, stored, listing, ordinals)
    }
}

/// A mailbox that is not there.
#[derive(Default)]
pub(super) struct Nothing(Tree);

impl Moment for Nothing {
    fn tree(&self) -> &Tree {
        &self.0
    }

    fn stamp(&self, _: u32) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn listing(&self, _: u32) -> Result<Arc<Listing>> {
        Ok(Arc::default())
    }

    fn message_ids(&self, _: u32, _: &Listing, _: &[u32]) -> Result<Vec<Option<u128>>> {
        Ok(Vec::new())
    }
}

impl Fs {
    /// Never waits for the live store from now on: it is known not to answer.
    pub fn leave_out_live(&self) {
        self.deleted.live_is_left_out.store(true, Ordering::Relaxed);
    }

    /// The live mailbox; `None` if there is no live store.
    pub(in crate::fs) fn live(&self, mailbox: &Mailbox) -> Result<Option<Live<'_>>> {
        let Some(root) = &self.deleted.live else {
            return Ok(None);
        };
        if self.deleted.live_is_left_out.load(Ordering::Relaxed) {
            let message = format!("{}: does not answer", root.path().display());
            return Err(Error::new(Kind::Unreadable, message));
        }
        // Not what was there at another time, which may have been unmounted since.
        let root = root.anew();
        let found = self
            .deleted
            .layout
            .counterpart(&root, mailbox, || self.live_mailboxes(&root));
        // That it is not there is no answer: a mailbox of it would be.
        let found = found.map_err(|e| match e.kind() {
            Kind::NotFound | Kind::NotADirectory | Kind::Stale => {
                Error::new(Kind::Unreadable, e.to_string())
            }
            _ => e,
        });
        let mailbox = found.context(|| "the live mail store")?;
        let mut live = Live {
            fs: self,
            mailbox: mailbox.clone(),
            root: root.clone(),
            tree: Tree::default(),
            stamps: Vec::new(),
            mark: 0,
            changed: Time::default(),
        };
        let Some(mailbox) = mailbox else {
            return Ok(Some(live));
        };
        let store = mailbox.store(&root);
        live.tree = Tree::read(&*store)?;
        live.changed = mailbox.changed;
        let mut mark = Sha256::new();
        for branch in live.tree.iter() {
            let Source::Folder(stored) = &branch.source else {
                live.stamps.push(Vec::new());
                continue;
            };
            let stamp = store.stamp(stored)?;
            for part in [stored, &stamp.bytes] {
                mark.update((part.len() as u64).to_le_bytes());
                mark.update(part);
            }
            live.changed = live.changed.max(stamp.changed);
            live.stamps.push(stamp.bytes);
        }
        let mark = mark.finalize();
        live.mark = mark
            .first_chunk()
            .map(|first| u64::from_le_bytes(*first))
            .unwrap_or_default();
        Ok(Some(live))
    }

    /// All mailboxes of the live store, not older than `refresh`.
    fn live_mailboxes(&self, root: &Root) -> Result<Arc<Mailboxes>> {
        let known = || {
            self.deleted
                .live_mailboxes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some((seen, mailboxes)) = &*known()
            && seen.elapsed() < self.options.refresh
        {
            return Ok(mailboxes.clone());
        }
        let mailboxes = Arc::new(self.deleted.layout.find(root)?);
        *known() = Some((Instant::now(), mailboxes.clone()));
        Ok(mailboxes)
    }

    /// A mailbox on a date; `None` if the date does not have it.
    pub(super) fn dated(&self, open: &Arc<Open>, path: &[u8]) -> Result<Option<Dated<'_>>> {
        let populated = self.populated(open)?;
        match populated.mailboxes.at(path) {
            Some(mailbox) => {
                let inside = self.inside(open, &populated, mailbox)?;
                Ok(Some(Dated { fs: self, inside }))
            }
            None if populated.mailboxes.is_complete() => Ok(None),
            None => Err(Error::new(
                Kind::Unreadable,
                format!(
                    "{}: whether {} is there is not known: not all of it could be read",
                    open.root.path().display(),
                    String::from_utf8_lossy(path)
                ),
            )),
        }
    }
}
