//! Learning everything there is to learn, before anybody asks.

use super::inside::{Inside, Populated};
use super::{Fs, Open};
use crate::disk::stop::Stop;
use crate::disk::{crew, trail};
use crate::error::{Error, Kind, Result};
use crate::view::mailbox::Mailbox;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How far a warming has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Mailboxes done and mailboxes found so far, each counted on each of its dates.
    pub done: u64,
    pub mailboxes: u64,
    pub folders: u64,
    /// Messages of those folders, each counted on each of its dates.
    pub messages: u64,
    /// Mailboxes and folders that could not be read.
    pub failed: u64,
}

/// What all who warm have done together, and who wants to know.
struct Sum<'a> {
    progress: Mutex<Progress>,
    tell: &'a (dyn Fn(&Progress) + Sync),
}

impl Sum<'_> {
    fn add(&self, change: impl FnOnce(&mut Progress)) {
        let mut progress = self.lock();
        change(&mut progress);
        let now = *progress;
        drop(progress);
        (self.tell)(&now);
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fs {
    /// An error where nothing that is learned would be kept.
    pub fn require_index(&self) -> Result<()> {
        match self.index.unkept() {
            None => Ok(()),
            Some(why) => Err(Error::new(
                Kind::Failed,
                format!("nothing can be learned: {why}"),
            )),
        }
    }

    /// Lists every folder of every date, the newest first, and sizes its mbox; what is learned stays in the index. So many
    /// mailboxes are `at_once` in work.
    ///
    /// Tells `progress` after each folder. Ends soon when it is told to stop, at any point: what was learned is not learned
    /// again.
    pub fn warm(
        &self,
        stop: &Stop,
        at_once: usize,
        progress: impl Fn(&Progress) + Sync,
    ) -> Result<Progress> {
        let sum = Sum {
            progress: Mutex::default(),
            tell: &progress,
        };
        stop.ends(|| self.warm_all(stop, at_once, &sum))?;
        let progress = *sum.lock();
        Ok(progress)
    }

    /// How many dates [`warm`](Self::warm) has not been through since this process began.
    pub fn not_warmed(&self) -> usize {
        let (shown, warmed) = (self.shown(), self.warmed());
        let left = shown.by_time.iter();
        left.filter(|open| !warmed.contains(&open.serial)).count()
    }

    pub(super) fn warmed(&self) -> MutexGuard<'_, HashSet<u32>> {
        self.warmed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn warm_all(&self, stop: &Stop, at_once: usize, sum: &Sum<'_>) -> Result<()> {
        let shown = self.shown();
        for open in shown.by_time.iter().rev() {
            let populated = match self.populated(open) {
                Ok(populated) => populated,
                Err(e) => {
                    tracing::warn!("{}: {e}", open.snapshot.label);
                    sum.add(|sum| sum.failed += 1);
                    continue;
                }
            };
            let mailboxes: Vec<&Mailbox> = populated.mailboxes.iter().collect();
            sum.add(|sum| sum.mailboxes += mailboxes.len() as u64);
            let warmed = crew::share_among(at_once, mailboxes.len(), 1, |shares| {
                while let Some(some) = shares.next() {
                    for mailbox in mailboxes.get(some).unwrap_or_default() {
                        self.warm_mailbox(stop, open, &populated, mailbox, sum);
                    }
                }
                Ok(())
            });
            if stop.is_set() {
                return Ok(());
            }
            warmed?;
            self.warmed().insert(open.serial);
        }
        Ok(())
    }

    fn warm_mailbox(
        &self,
        stop: &Stop,
        open: &Arc<Open>,
        populated: &Populated,
        mailbox: &Mailbox,
        sum: &Sum<'_>,
    ) {
        let failed = |e| {
            tracing::warn!("{}/{}: {e}", open.snapshot.label, mailbox.name);
            sum.add(|sum| sum.failed += 1);
        };
        let _stay = trail::stay();
        let inside = match self.inside(open, populated, mailbox) {
            Ok(inside) => inside,
            Err(e) => return failed(e),
        };
        for position in 0..inside.nested.tree.iter().len() as u32 {
            if inside.folder(position).is_none() {
                continue;
            }
            let learned = self.warm_folder(&inside, position);
            if stop.is_set() {
                return;
            }
            match learned {
                Ok(messages) => sum.add(|sum| {
                    sum.folders += 1;
                    sum.messages += messages;
                }),
                Err(e) => failed(e),
            }
        }
        sum.add(|sum| sum.done += 1);
    }

    /// Learns a folder; answers how many messages it has.
    fn warm_folder(&self, inside: &Inside, position: u32) -> Result<u64> {
        let Some(folder) = inside.folder(position) else {
            return Ok(0);
        };
        let store = inside.store();
        let taken = inside.nested.tree.taken(position);
        if let Some(messages) = self.view.known(&*store, folder, &taken)? {
            return Ok(messages);
        }
        // For its listing in the index, which leaves out what comes too fast.
        self.index.wait_for_room();
        let Some(listing) = self.listing(inside, position)? else {
            return Ok(0);
        };
        let view = self.view_of(&listing);
        if view.size_mbox(&*store, folder, &listing)?.is_none() {
            self.layout(inside, position)?;
        }
        Ok(listing.len() as u64)
    }
}
