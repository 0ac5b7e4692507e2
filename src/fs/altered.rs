//! Messages that were changed in place: a folder may hold other bytes than on a date on which its directories were the same.
//!
//! Where snapshots share their inodes, a directory that is unchanged says which names there are, and not that nobody has written
//! to a file since. Looking at every file of every date for that would cost as if all had changed, so nobody does. Who reads such
//! a message finds out: it is not of the size that its folder's listing says, or does not decode. He gets an error, once; then
//! every file of that folder on that date is looked at, and the kernel is told what to forget.
//!
//! Invariants: a folder of a date that was found to be so takes nothing from the index any more, and puts nothing there. Until the
//! kernel has been told, nothing is read with another size than it knows: it would end there, or not at its end.

use super::inside::Inside;
use super::node::FIRST_MESSAGE;
use super::{Fs, Invalidation};
use crate::error::{Error, Kind, Result};
use crate::view::View;
use crate::view::listing::{Item, Listing};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A folder of a date that was listed as it is on another one.
pub struct Folder {
    inside: Inside,
    position: u32,
}

/// What was found to be so.
#[derive(Default)]
pub(super) struct Altered {
    state: Mutex<State>,
    /// Whether the kernel goes by a listing that does not hold.
    is_due: AtomicBool,
}

#[derive(Default)]
struct State {
    /// By snapshot and place, with the listing that the kernel still goes by, if it does.
    folders: HashMap<(u32, u32), Option<Arc<Listing>>>,
    tell: Option<Sender<Folder>>,
}

impl Altered {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        let is_due = state.folders.values().any(Option::is_some);
        self.is_due.store(is_due, Ordering::Release);
        result
    }

    pub fn has(&self, key: &(u32, u32)) -> bool {
        self.lock().folders.contains_key(key)
    }

    pub fn forget_snapshots(&self, gone: &HashSet<u32>) {
        self.change(|state| {
            let folders = &mut state.folders;
            folders.retain(|(snapshot, _), _| !gone.contains(snapshot));
        });
    }

    /// Whether the kernel still goes by a listing of a folder that does not hold.
    pub fn is_due(&self, key: &(u32, u32)) -> bool {
        self.due(key).is_some()
    }

    /// The listing of a folder that does not hold and that the kernel still goes by.
    fn due(&self, key: &(u32, u32)) -> Option<Arc<Listing>> {
        match self.is_due.load(Ordering::Acquire) {
            true => self.lock().folders.get(key)?.clone(),
            false => None,
        }
    }
}

impl Fs {
    /// Where it is told of folders in which somebody has come across a message that was changed in place; each is to be given to
    /// [`look_again`](Self::look_again). Ends with the file system.
    pub fn altered(&self) -> Receiver<Folder> {
        let (tell, told) = mpsc::channel();
        self.altered.lock().tell = Some(tell);
        told
    }

    /// Sees to it that a folder is listed anew of which a message is not what its listing says, if that is what went wrong.
    pub(super) fn heed(
        &self,
        inside: &Inside,
        position: u32,
        listing: &Arc<Listing>,
        error: Error,
    ) -> Error {
        if error.kind() != Kind::Altered {
            return error;
        }
        let (label, mailbox) = (&inside.open.snapshot.label, &inside.mailbox.name);
        let folder = inside.nested.tree.path(position);
        let message = format!("{label}/{mailbox}/{folder}: {error}");
        let key = self.cache_key(inside, position);
        let Some(key) = key.ok().filter(|_| !listing.is_apart()) else {
            return Error::new(Kind::Unreadable, message);
        };
        let tell = self.altered.change(|state| {
            let due = state.folders.entry(key).or_default();
            let is_due = due.is_some();
            if state.tell.is_some() && !is_due {
                *due = Some(listing.clone());
            }
            state.tell.clone().filter(|_| !is_due)
        });
        self.forget_folder(key);
        if let Some(tell) = tell {
            let inside = inside.clone();
            // Who does not listen has ended with the mount.
            let _ = tell.send(Folder { inside, position });
        }
        let then = "it was changed in place since another date; now each message of that folder is looked at, so try again";
        Error::new(Kind::Unreadable, format!("{message}: {then}"))
    }

    /// An error while the kernel goes by another listing, in which the message at a position has not the size that it has in this
    /// one; of the folder's mbox, if none is given.
    pub(super) fn require_told(
        &self,
        inside: &Inside,
        position: u32,
        message: Option<usize>,
        listing: &Listing,
    ) -> Result<()> {
        let Some(told) = self.altered.due(&self.cache_key(inside, position)?) else {
            return Ok(());
        };
        let size = |listing: &Listing, at| listing.get(at).map(|item| item.size);
        match message {
            Some(at) if size(&told, at) == size(listing, at) => Ok(()),
            _ => Err(under_way()),
        }
    }

    fn forget_folder(&self, key: (u32, u32)) {
        self.forget_messages(|snapshot, place| (snapshot, place) == key);
    }

    /// What works with a listing: for one that is of its files alone, what takes nothing else from the index either.
    pub(super) fn view_of(&self, listing: &Listing) -> &View {
        match listing.is_apart() {
            true => &self.apart,
            false => &self.view,
        }
    }

    /// Lists such a folder as it is, and pushes what the kernel has to forget. Waits as long as the disk does: to be called from
    /// a thread of its own. After an error it is as if nobody had come across it.
    pub fn look_again(&self, folder: &Folder, push: impl FnMut(Invalidation)) -> Result<()> {
        let key = self.cache_key(&folder.inside, folder.position)?;
        let Some(told) = self.altered.due(&key) else {
            return Ok(());
        };
        let result = self.push_altered(folder, &told, push);
        self.altered.change(|state| match result {
            Ok(()) => state.folders.insert(key, None),
            Err(_) => state.folders.remove(&key),
        });
        if result.is_err() {
            self.forget_folder(key);
        }
        result
    }

    /// `told`: what the kernel goes by.
    fn push_altered(
        &self,
        folder: &Folder,
        told: &Listing,
        mut push: impl FnMut(Invalidation),
    ) -> Result<()> {
        let id = self.branch_id(&folder.inside, folder.position)?;
        let Some(listing) = self.listing(&folder.inside, folder.position)? else {
            return Ok(());
        };
        let shown = |item: Item<'_>| (item.size, item.stored.received, item.encoding);
        for at in 0..told.len().max(listing.len()) {
            let (before, now) = (told.get(at), listing.get(at));
            let (old, new) = (before.map(|item| item.name), now.map(|item| item.name));
            if old == new && before.map(shown) == now.map(shown) {
                continue;
            }
            push(Invalidation::Node(
                id.with_ordinal(FIRST_MESSAGE + at as u32),
            ));
            if old != new {
                let names = old.into_iter().chain(new);
                names.for_each(|name| push(Invalidation::Name(id, name.to_owned())));
            }
        }
        push(Invalidation::Node(id.with_ordinal(1)));
        push(Invalidation::Node(id));
        Ok(())
    }
}

/// Of what the kernel does not yet know as it is.
pub(super) fn under_way() -> Error {
    Error::new(
        Kind::Unreadable,
        "its folder is being looked at again: try again",
    )
}
