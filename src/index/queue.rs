//! What waits to be written to `facts.sqlite`.
//!
//! Bounded in bytes, and nobody waits to put something in: it is a cache, and what does not fit is left out. Whoever
//! fills it faster than the disk takes it may wait for room.

use super::database::lock;
use super::fact::FactKey;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much may wait; one job more where the queue is empty.
const LIMIT: usize = 32 << 20;

/// How long rows wait for company, unless there are [`ENOUGH`].
const PATIENCE: Duration = Duration::from_millis(100);
const ENOUGH: usize = 1000;

/// What a row costs beside its bytes.
const ROW: usize = size_of::<FactRow>();

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: Vec<Job>,
    rows: usize,
    bytes: usize,
    /// How many jobs were ever put in, and how many of those are done.
    put: u64,
    done: u64,
    /// Somebody waits for what is here.
    hurry: bool,
    closed: bool,
}

pub(super) enum Job {
    Facts(Facts),
    Pack(Pack),
    /// The pack with this row id was used.
    Used(i64),
    /// Nothing to write, but the file is to be replaced.
    Renew,
}

/// Facts about messages of one mailbox.
pub(super) struct Facts {
    pub mailbox: Box<[u8]>,
    /// Identities and values, end to end.
    bytes: Vec<u8>,
    rows: Vec<FactRow>,
}

struct FactRow {
    identity: usize,
    value: usize,
    size: u64,
    mtime: crate::time::Time,
}

pub(super) struct Pack {
    pub mailbox: Box<[u8]>,
    pub folder: Box<[u8]>,
    pub stamp: Box<[u8]>,
    pub listing: Listing,
    /// Bytes of memory that are held until it is written.
    pub weight: usize,
}

pub(super) type Encode = dyn Fn(&mut dyn Write) -> io::Result<()> + Send;

pub(super) enum Listing {
    /// Writes its bytes when it is time.
    Own(Box<Encode>),
    /// That of the same folder in the state that this stamp names.
    Of(Box<[u8]>),
    /// Bytes that are added to that one; or the whole, if that is not kept or made of too many itself.
    Since(Box<[u8]>, Vec<u8>, Box<Encode>),
}

impl Facts {
    /// As many as there is room for.
    pub fn collect<'a>(
        mailbox: &[u8],
        facts: impl IntoIterator<Item = (FactKey<'a>, &'a [u8])>,
    ) -> Self {
        let mut all = Self {
            mailbox: mailbox.into(),
            bytes: Vec::new(),
            rows: Vec::new(),
        };
        for (key, value) in facts {
            if all.cost() + ROW + key.identity.len() + value.len() > LIMIT {
                break;
            }
            all.bytes.extend_from_slice(key.identity);
            all.bytes.extend_from_slice(value);
            all.rows.push(FactRow {
                identity: key.identity.len(),
                value: value.len(),
                size: key.size,
                mtime: key.mtime,
            });
        }
        all
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (FactKey<'_>, &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.rows.iter().map_while(move |row| {
            let (identity, after) = rest.split_at_checked(row.identity)?;
            let (value, after) = after.split_at_checked(row.value)?;
            rest = after;
            let key = FactKey {
                identity,
                size: row.size,
                mtime: row.mtime,
            };
            Some((key, value))
        })
    }

    fn cost(&self) -> usize {
        self.bytes.len() + self.rows.len() * ROW
    }
}

impl Job {
    fn cost(&self) -> usize {
        match self {
            Self::Facts(facts) => facts.cost(),
            Self::Pack(pack) => pack.weight,
            Self::Used(_) | Self::Renew => 0,
        }
    }

    pub fn rows(&self) -> usize {
        match self {
            Self::Facts(facts) => facts.rows.len(),
            Self::Pack(Pack {
                listing: Listing::Own(_),
                ..
            }) => ENOUGH,
            Self::Pack(_) => 1,
            Self::Used(_) | Self::Renew => 1,
        }
    }
}

impl Queue {
    /// Takes the job in if there is room for it; never waits.
    pub fn put(&self, job: Job) {
        let (cost, rows) = (job.cost() + size_of::<Job>(), job.rows());
        let mut state = lock(&self.state);
        if state.closed || (state.bytes > 0 && state.bytes + cost > LIMIT) {
            tracing::debug!("index: no room in the queue, {rows} rows are left out");
            return;
        }
        let wake = state.jobs.is_empty() || state.rows < ENOUGH;
        state.bytes += cost;
        state.rows += rows;
        state.put += 1;
        state.jobs.push(job);
        drop(state);
        if wake {
            self.changed.notify_all();
        }
    }

    /// Waits for jobs and takes them all. `None` when the queue is closed and empty.
    pub fn take(&self) -> Option<Vec<Job>> {
        let mut state = self.wait(lock(&self.state), None, |s| !s.jobs.is_empty() || s.closed);
        if state.jobs.is_empty() {
            return None;
        }
        let end = Instant::now() + PATIENCE;
        state = self.wait(state, Some(end), |s| {
            s.rows >= ENOUGH || s.hurry || s.closed
        });
        state.rows = 0;
        state.hurry = false;
        Some(std::mem::take(&mut state.jobs))
    }

    /// Whether nothing waits to be taken.
    pub fn is_empty(&self) -> bool {
        lock(&self.state).jobs.is_empty()
    }

    /// Says that jobs that were taken are done or given up.
    pub fn done(&self, jobs: Vec<Job>) {
        let count = jobs.len() as u64;
        let bytes: usize = jobs.iter().map(|j| j.cost() + size_of::<Job>()).sum();
        drop(jobs);
        let mut state = lock(&self.state);
        state.bytes -= bytes;
        state.done += count;
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until all that is here now is done, but not longer than that.
    pub fn flush(&self, at_most: Duration) {
        let mut state = lock(&self.state);
        let put = state.put;
        state.hurry |= !state.jobs.is_empty();
        self.changed.notify_all();
        drop(self.wait(state, Some(Instant::now() + at_most), |s| s.done >= put));
    }

    /// Waits until half of the queue is free, but not longer than that; whether it is.
    pub fn wait_for_room(&self, at_most: Duration) -> bool {
        let mut state = lock(&self.state);
        if state.bytes > LIMIT / 2 {
            state.hurry |= !state.jobs.is_empty();
            self.changed.notify_all();
            let end = Some(Instant::now() + at_most);
            state = self.wait(state, end, |s| s.bytes <= LIMIT / 2);
        }
        state.bytes <= LIMIT / 2
    }

    /// Takes nothing in any more.
    pub fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }

    fn wait<'a>(
        &'a self,
        mut state: std::sync::MutexGuard<'a, State>,
        until: Option<Instant>,
        ready: impl Fn(&State) -> bool,
    ) -> std::sync::MutexGuard<'a, State> {
        while !ready(&state) {
            state = match until {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(end) => {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    self.changed
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        state
    }
}
