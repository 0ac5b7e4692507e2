//! Dates that are still being filled when somebody looks at them, by a program that makes snapshots by copying.
//!
//! What was seen of a date is believed for ever, and node ids count a folder's messages. So a date that something has been added to
//! since it was first looked at becomes another snapshot, with other ids; what was known of the one before is stale. The
//! clock of the file system tells: no program that copies can set back when a directory was last written to.
//!
//! Invariant: how often a snapshot was found grown is part of its identity and kept in the table of serials, so its ids are the
//! same after a restart.

use super::{Fs, Invalidation, Open};
use crate::disk::{stop, trail};
use crate::error::{Error, Kind, Result};
use crate::index::{Index, Table};
use crate::snapshot::Changes;
use crate::time::Time;
use crate::view::listing::is_for_all;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A date that nothing was added to for so long is not being filled.
const QUIET: Duration = Duration::from_secs(30 * 60);

/// One whose root was touched longer before the start was not being filled then.
const LONGEST_FILLING: Duration = Duration::from_secs(86_400);

/// How far the clock of a file system may be behind, which goes by the kernel's ticks.
const TICK: Duration = Duration::from_millis(20);

/// A snapshot that is found grown more often is followed no longer: something writes to it all the time, and each time takes a serial.
const MOST_TIMES: u32 = 24;

/// How often snapshots were found grown, by their keys.
#[derive(Default)]
pub(super) struct Growth(Mutex<HashMap<Vec<u8>, u32>>);

/// What is known of whether a date is being filled, as long as it is shown.
#[derive(Debug, Default)]
pub(super) struct Filling {
    /// When somebody first looked at what is in it.
    looked_at: OnceLock<SystemTime>,
    /// Nothing will be added any more.
    is_over: AtomicBool,
}

/// What a look for growth has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nobody has looked at the date, or nothing was added since; it may be later.
    Nothing,
    /// Something was added.
    Grown,
    /// Nothing was added for long.
    Over,
}

impl Filling {
    pub fn look(&self) {
        self.looked_at.get_or_init(SystemTime::now);
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Growth {
    /// Forgets what is not among these.
    pub fn keep(&self, keys: &HashSet<&[u8]>) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.retain(|key, _| keys.contains(key.as_slice()));
    }

    /// What tells a snapshot from all others: its key, and how often it was found grown.
    pub fn identity(&self, index: &Index, key: &[u8]) -> Vec<u8> {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = times.get(key).copied();
        let times = match known {
            Some(times) => times,
            None => {
                let is_known = |times: &u32| index.has(Table::Snapshot, &grown(key, *times));
                let found = (1..=MOST_TIMES).take_while(is_known).count() as u32;
                times.insert(key.to_vec(), found);
                found
            }
        };
        grown(key, times)
    }

    /// Makes another snapshot of one; false if it was that too often.
    fn add(&self, key: &[u8]) -> bool {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is shown no longer is known no longer.
        match times.get_mut(key) {
            Some(times) if *times < MOST_TIMES => {
                *times += 1;
                true
            }
            _ => false,
        }
    }
}

/// The identity of a snapshot that was found grown so often.
fn grown(key: &[u8], times: u32) -> Vec<u8> {
    match times {
        0 => key.to_vec(),
        // No key has a NUL in the name at its end.
        times => [key, b"\0grown", &times.to_be_bytes()].concat(),
    }
}

impl Open {
    /// Whether it is not certain that nothing will be added.
    fn may_grow(&self) -> bool {
        if self.filling.is_over.load(Ordering::Relaxed) {
            return false;
        }
        if self.appeared.is_some() {
            return true;
        }
        let Ok(root) = self.root.stat(b"") else {
            return false;
        };
        let is_young = age(root.ctime) < LONGEST_FILLING;
        if !is_young {
            self.filling.end();
        }
        is_young
    }
}

/// How long ago something happened.
fn age(at: Time) -> Duration {
    let at = UNIX_EPOCH.checked_add(Duration::new(at.secs.max(0).cast_unsigned(), at.nanos));
    let age = at.and_then(|at| SystemTime::now().duration_since(at).ok());
    age.unwrap_or_default()
}

impl Fs {
    /// The dates that somebody has looked at and that may be being filled.
    pub fn may_grow(&self) -> Vec<Arc<Open>> {
        let shown = self.shown();
        let looked_at = shown
            .by_time
            .iter()
            .filter(|open| open.filling.looked_at.get().is_some());
        looked_at.filter(|open| open.may_grow()).cloned().collect()
    }

    /// Whether there is a snapshot with this key.
    pub fn is_snapshot(&self, key: &[u8]) -> bool {
        let shown = self.shown();
        shown
            .by_serial
            .values()
            .any(|open| open.snapshot.key == key)
    }

    /// Looks at every directory with mail of a date. Waits as long as the disk does: to be called from a thread of its own.
    pub fn look_for_growth(&self, open: &Open) -> Result<Found> {
        let Some(looked_at) = open.filling.looked_at.get() else {
            return Ok(Found::Nothing);
        };
        let since = looked_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = since.saturating_sub(TICK);
        let since = Time {
            secs: since.as_secs().cast_signed(),
            nanos: since.subsec_nanos(),
        };
        let touched = self.touched(open, since)?;
        if touched > since {
            return Ok(Found::Grown);
        }
        if age(touched) < QUIET {
            return Ok(Found::Nothing);
        }
        open.filling.end();
        Ok(Found::Over)
    }

    /// Shows a date anew that has grown, and says what the kernel should forget; as after [`update`](Self::update).
    pub fn show_grown(&self, open: &Open) -> Result<Vec<Invalidation>> {
        let (label, key) = (&open.snapshot.label, &open.snapshot.key);
        if !self.growth.add(key) {
            open.filling.end();
            tracing::warn!(
                "{label}: something has been writing to this snapshot since it appeared; what is added from now on is shown after the next start"
            );
            return Ok(Vec::new());
        }
        tracing::info!("{label}: mail was added after somebody had looked at it; it is shown anew");
        self.update(&Changes {
            replaced: vec![label.clone()],
            ..Changes::default()
        })
    }

    /// When something was last done where a date's mail is; one time after `since`, if there is any.
    fn touched(&self, open: &Open, since: Time) -> Result<Time> {
        let root = &open.root;
        // That of the root says nothing: whoever renames a snapshot sets it.
        let mut touched = Time::default();
        let take = |touched: &mut Time, time: Result<Time>| match time {
            Ok(time) => {
                *touched = time.max(*touched);
                Ok(())
            }
            Err(e) if is_for_all(&e) => Err(e),
            // It is shown as unreadable, or not at all.
            Err(_) => Ok(()),
        };
        let mailboxes = self.view.layout.find(root)?;
        for mailbox in mailboxes.iter() {
            if stop::is_set() {
                return Err(Error::new(Kind::Failed, "told to stop"));
            }
            let _stay = trail::stay();
            if !mailbox.path.is_empty() {
                take(
                    &mut touched,
                    root.stat(&mailbox.path).map(|stat| stat.touched()),
                )?;
            }
            let store = mailbox.store(root);
            let folders = match store.folders() {
                Ok(folders) => folders.folders,
                Err(e) => {
                    take(&mut touched, Err(e))?;
                    continue;
                }
            };
            for folder in &folders {
                take(&mut touched, store.touched(&folder.stored))?;
            }
            if touched > since {
                break;
            }
        }
        Ok(touched)
    }
}

#[cfg(test)]
mod tests;
