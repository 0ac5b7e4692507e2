//! Learning everything there is to learn, before anybody asks.

use super::Fs;
use super::resolve::Inside;
use crate::disk::stop::Stop;
use crate::error::Result;
use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};

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

impl Fs {
    /// Lists every folder of every date, the newest first, and sizes its mbox; what is learned stays in the index.
    ///
    /// Tells `progress` after each folder. Ends soon when it is told to stop, at any point: what was learned is not learned
    /// again.
    pub fn warm(&self, stop: &Stop, mut progress: impl FnMut(&Progress)) -> Result<Progress> {
        stop.ends(|| self.warm_all(stop, &mut progress))
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

    fn warm_all(&self, stop: &Stop, progress: &mut dyn FnMut(&Progress)) -> Result<Progress> {
        let mut sum = Progress::default();
        let shown = self.shown();
        for open in shown.by_time.iter().rev() {
            let populated = match self.populated(open) {
                Ok(populated) => populated,
                Err(e) => {
                    tracing::warn!("{}: {e}", open.snapshot.label);
                    sum.failed += 1;
                    continue;
                }
            };
            sum.mailboxes += populated.mailboxes.iter().len() as u64;
            for mailbox in populated.mailboxes.iter() {
                let result = self.inside(open, &populated, mailbox);
                let inside = match result {
                    Ok(inside) => inside,
                    Err(e) => {
                        tracing::warn!("{}/{}: {e}", open.snapshot.label, mailbox.name);
                        sum.failed += 1;
                        continue;
                    }
                };
                for position in 0..inside.nested.tree.iter().len() as u32 {
                    if inside.folder(position).is_none() {
                        continue;
                    }
                    let learned = self.warm_folder(&inside, position);
                    if stop.is_set() {
                        return Ok(sum);
                    }
                    match learned {
                        Ok(messages) => {
                            sum.folders += 1;
                            sum.messages += messages;
                        }
                        Err(e) => {
                            tracing::warn!("{}/{}: {e}", open.snapshot.label, mailbox.name);
                            sum.failed += 1;
                        }
                    }
                    progress(&sum);
                }
                sum.done += 1;
                self.index.wait_for_room();
                progress(&sum);
                if stop.is_set() {
                    return Ok(sum);
                }
            }
            self.warmed().insert(open.serial);
        }
        Ok(sum)
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
        let Some(listing) = self.listing(inside, position)? else {
            return Ok(0);
        };
        if self.view.size_mbox(&*store, folder, &listing)?.is_none() {
            self.layout(inside, position)?;
        }
        Ok(listing.len() as u64)
    }
}
