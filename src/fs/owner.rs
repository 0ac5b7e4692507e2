//! Who may enter each mailbox, and what the kernel has to forget when that changes.
//!
//! A mailbox belongs, on every date, to who owns it in the newest snapshot that holds it, and the kernel keeps what it is
//! told for years. So what was told of a mailbox is remembered. It is worked out anew from every new state of the
//! catalogue and by every new policy, and where it differs everything of the mailbox is invalidated.
//!
//! Invariant: nothing is told that was worked out from snapshots which are no longer the ones shown, so that whatever
//! was told is either of the present state or remembered here to be compared with it.

use super::inside::Inside;
use super::maildir::Part;
use super::node::{self, NodeId, Place};
use super::resolve::Meaning;
use super::shown::Shown;
use super::{Caller, Fs, Invalidation, Open};
use crate::access::Permissions;
use crate::error::{Error, Kind, Result};
use crate::index::Table;
use crate::view::mailbox::Mailbox;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What was told of mailboxes.
#[derive(Default)]
pub(super) struct Owners {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Of the snapshots that are shown.
    generation: u64,
    /// By path in the snapshot.
    told: HashMap<Vec<u8>, Told>,
    /// Paths and names of mailboxes of which something else was told before.
    changed: HashSet<(Vec<u8>, String)>,
    /// Those that were pushed last. They are pushed once more, after answers that were under way meanwhile.
    pushed: HashSet<(Vec<u8>, String)>,
}

struct Told {
    generation: u64,
    /// Who owns the directory in the newest shown snapshot that holds it; `None` if no shown one does.
    uid: Option<u32>,
    user: String,
    domain: Option<String>,
    /// By the mailbox's name, which on some dates may be one that was told apart from another.
    names: Vec<(String, Arc<Permissions>)>,
}

impl Owners {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes other snapshots the shown ones, by `replace`.
    pub fn replace(&self, generation: u64, replace: impl FnOnce()) {
        let mut state = self.lock();
        replace();
        state.generation = generation;
    }

    /// Lets another policy decide over the same snapshots, by `replace`: who owns which directory stays known.
    pub fn keep(&self, generation: u64, replace: impl FnOnce()) {
        let mut state = self.lock();
        replace();
        let before = std::mem::replace(&mut state.generation, generation);
        for told in state.told.values_mut() {
            if told.generation == before {
                told.generation = generation;
            }
        }
    }

    /// The owner of a mailbox's directory, if that was found in the snapshots of this generation.
    fn known(&self, generation: u64, path: &[u8]) -> Option<Option<u32>> {
        let state = self.lock();
        let told = state.told.get(path)?;
        (told.generation == generation).then_some(told.uid)
    }

    /// Remembers what is about to be told; `false` if other snapshots are shown by now.
    fn note(
        &self,
        generation: u64,
        mailbox: &Mailbox,
        uid: Option<u32>,
        permissions: &Arc<Permissions>,
    ) -> bool {
        let State {
            generation: current,
            told,
            changed,
            ..
        } = &mut *self.lock();
        if *current != generation {
            return false;
        }
        if !told.contains_key(&mailbox.path) {
            let new = Told {
                generation,
                uid,
                user: mailbox.user.clone(),
                domain: mailbox.domain.clone(),
                names: Vec::new(),
            };
            told.insert(mailbox.path.clone(), new);
        }
        let Some(told) = told.get_mut(&mailbox.path) else {
            return true;
        };
        (told.generation, told.uid) = (generation, uid);
        match told
            .names
            .iter_mut()
            .find(|(name, _)| *name == mailbox.name)
        {
            Some((_, before)) if Arc::ptr_eq(before, permissions) => {}
            Some((_, before)) => {
                if *before != *permissions {
                    changed.insert((mailbox.path.clone(), mailbox.name.clone()));
                }
                *before = permissions.clone();
            }
            None => told.names.push((mailbox.name.clone(), permissions.clone())),
        }
        true
    }

    /// The mailboxes that something was told of.
    fn told(&self) -> Vec<Mailbox> {
        let state = self.lock();
        let mailboxes = state.told.iter().flat_map(|(path, told)| {
            told.names.iter().map(|(name, _)| Mailbox {
                path: path.clone(),
                name: name.clone(),
                user: told.user.clone(),
                domain: told.domain.clone(),
                uid: crate::access::NOBODYS_UID,
                changed: Default::default(),
                format: crate::store::Format::MAILDIR,
                inbox: None,
                zone: crate::time::Zone::System,
                others: Vec::new(),
                parts: Vec::new(),
            })
        });
        mailboxes.collect()
    }

    /// What is to be pushed now.
    fn take_changed(&self) -> HashSet<(Vec<u8>, String)> {
        let mut state = self.lock();
        let changed = std::mem::take(&mut state.changed);
        let mut due = std::mem::replace(&mut state.pushed, changed.clone());
        due.extend(changed);
        due
    }
}

impl Fs {
    /// Who may read a mailbox: its owner is who owns its directory in the newest snapshot that holds it.
    pub(super) fn permissions(&self, inside: &Inside) -> Result<Arc<Permissions>> {
        self.permissions_of(&inside.open, &inside.mailbox)
    }

    pub(super) fn permissions_of(
        &self,
        open: &Open,
        mailbox: &Mailbox,
    ) -> Result<Arc<Permissions>> {
        loop {
            let shown = self.shown();
            let uid = match self.known_owner(&shown, &mailbox.path) {
                Some(uid) => uid,
                None if shown.newest_is(open) => Some(mailbox.uid),
                None => self.newest_uid(&shown, &mailbox.path)?,
            };
            let permissions = shown.policy.permissions(
                &mailbox.name,
                &mailbox.user,
                mailbox.domain.as_deref().unwrap_or_default(),
                uid.unwrap_or(mailbox.uid),
            );
            if self
                .owners
                .note(shown.generation, mailbox, uid, &permissions)
            {
                return Ok(permissions);
            }
        }
    }

    /// The owner of a mailbox's directory, if that was found and is final: a program that copies gives directories to their owners last.
    fn known_owner(&self, shown: &Shown, path: &[u8]) -> Option<Option<u32>> {
        match shown.is_believed_for() {
            None => self.owners.known(shown.generation, path),
            Some(_) => None,
        }
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

    /// Who owns a mailbox's directory in the newest shown snapshot that holds it.
    fn newest_uid(&self, shown: &Shown, path: &[u8]) -> Result<Option<u32>> {
        for open in shown.by_time.iter().rev() {
            match self.populated(open) {
                Ok(populated) => {
                    if let Some(mailbox) = populated.mailboxes.at(path) {
                        return Ok(Some(mailbox.uid));
                    }
                    // It may be there and be somebody else's.
                    if !populated.mailboxes.is_complete() {
                        let message = format!(
                            "{}: who owns {} is not known: not all of it could be read",
                            open.root.path().display(),
                            String::from_utf8_lossy(path)
                        );
                        return Err(Error::new(Kind::Unreadable, message));
                    }
                }
                // Removed a moment ago: the catalogue will notice.
                Err(e) if e.kind() == Kind::Stale => {}
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }

    /// Works out anew who may enter the mailboxes that the kernel was told of, and pushes what it has to forget. Waits as
    /// long as the disk and the name service do: to be called after every [`update`](Self::update), from a thread of
    /// its own.
    pub fn review(&self, push: impl FnMut(Invalidation)) -> Result<()> {
        let mut result = Ok(());
        for mailbox in self.owners.told() {
            let shown = self.shown();
            let Some(newest) = shown.by_time.last() else {
                break;
            };
            let uid = match self.known_owner(&shown, &mailbox.path) {
                Some(uid) => Ok(uid),
                None => self.newest_uid(&shown, &mailbox.path),
            };
            // Of a mailbox that no snapshot holds any more nothing can be asked.
            result = match uid {
                Ok(Some(uid)) => self
                    .permissions_of(newest, &Mailbox { uid, ..mailbox })
                    .map(drop),
                Ok(None) => Ok(()),
                Err(e) => Err(e),
            };
            if result.is_err() {
                break;
            }
        }
        self.push_changed(push)?;
        result
    }

    /// Pushes what the kernel has to forget of mailboxes that others may enter than it was told.
    pub fn push_changed(&self, mut push: impl FnMut(Invalidation)) -> Result<()> {
        let shown = self.shown();
        for (path, name) in self.owners.take_changed() {
            let key = Place::encode(&path, None);
            let serial = self.index.serial(Table::Folder, &key, Place::seed(&key))?;
            self.deleted
                .of_mailbox(serial)
                .into_iter()
                .for_each(&mut push);
            for &snapshot in shown.by_serial.keys() {
                let date = NodeId::new(snapshot, 0, 0);
                // With the name goes what nobody uses; what somebody does is told one by one.
                push(Invalidation::Name(date, name.clone()));
                let maildirs = date.with_ordinal(node::MAILDIR_DATE);
                push(Invalidation::Name(maildirs, name.clone()));
                self.nodes_in_use(snapshot, serial, &mut push);
            }
        }
        Ok(())
    }

    /// The nodes of a mailbox, as far as what is cached says which there are: no others are in use.
    fn nodes_in_use(&self, snapshot: u32, serial: u32, push: &mut impl FnMut(Invalidation)) {
        let mut both = |place: u32| {
            let id = NodeId::new(snapshot, place, 0);
            push(Invalidation::Attributes(id));
            push(Invalidation::Attributes(id.with_ordinal(1)));
            for part in Part::ALL {
                push(Invalidation::Attributes(id.with_ordinal(part.ordinal())));
            }
        };
        both(serial);
        let Some(nested) = self.trees.peek(&(snapshot, serial)) else {
            return;
        };
        for &place in &nested.serials {
            both(place);
        }
        for &place in &nested.serials {
            let messages = self
                .listings
                .peek(&(snapshot, place))
                .map_or(0, |l| l.len());
            for message in 0..messages as u32 {
                let ordinal = node::FIRST_MESSAGE + message;
                push(Invalidation::Attributes(NodeId::new(
                    snapshot, place, ordinal,
                )));
            }
        }
    }
}
