//! The catalogue kept current.
//!
//! Each configured directory is scanned by a thread that exists for that scan alone, so that one which hangs (a dead
//! NFS server) holds up nobody: whoever asked for the scan waits `timeout` and goes on with what was known. At most one
//! scan of a directory runs; whoever asks meanwhile gets the one after it, for a scan that has begun may have passed
//! what he wants to see.
//!
//! Lock order: `Place::directory` (held by the scanning thread alone, while it waits for the disk), then one of
//! `Place::turn`, `Place::listed`, `State`; those three are never held while anything is waited for, nor together,
//! except `State` and then `listed` to merge.

use super::dates::{Changes, Dates};
use super::directory::{Directory, Listed, Rules, unanswered};
use super::{DatedBy, Options, Snapshot};
use crate::error::{Error, Kind, Result};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Refreshing more often than this is no use.
const SHORTEST_REFRESH: Duration = Duration::from_millis(10);

/// Nobody waits longer for a scan.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// Which snapshots there are, kept current by [`Catalogue::refresh`] and [`Catalogue::watch`].
pub struct Catalogue {
    shared: Arc<Shared>,
}

struct Shared {
    rules: Rules,
    places: Vec<Place>,
    state: Mutex<Arc<Dates>>,
    /// Seconds since 1970.
    clock: Box<dyn Fn() -> i64 + Send + Sync>,
}

/// One configured directory, its scans and their last result.
struct Place {
    directory: Mutex<Directory>,
    turn: Mutex<Turn>,
    finished: Condvar,
    listed: Mutex<Listed>,
    /// What was warned of, while it cannot be read.
    warned: Mutex<Option<String>>,
}

/// Scans are counted from 1.
#[derive(Default)]
struct Turn {
    started: u64,
    finished: u64,
    /// Another scan is wanted after the one that runs.
    again: bool,
}

impl Catalogue {
    /// Scans for the first time. A directory that cannot be read is an error here, unless it is named in `silent`.
    pub fn open(options: Options) -> Result<Self> {
        Self::with_clock(options, Box::new(now))
    }

    pub(super) fn with_clock(
        options: Options,
        clock: Box<dyn Fn() -> i64 + Send + Sync>,
    ) -> Result<Self> {
        if options.dirs.is_empty() {
            return Err(Error::new(
                Kind::Config,
                "no snapshot directory is configured: name at least one in snapshots",
            ));
        }
        let places = options.dirs.iter().map(|path| Place {
            directory: Mutex::new(Directory::new(path.clone())),
            turn: Mutex::default(),
            finished: Condvar::new(),
            listed: Mutex::new(Listed {
                path: path.clone(),
                kind: "",
                snapshots: Vec::new(),
                others: Vec::new(),
                trouble: None,
            }),
            warned: Mutex::default(),
        });
        let shared = Arc::new(Shared {
            places: places.collect(),
            rules: Rules::new(options)?,
            state: Mutex::default(),
            clock,
        });
        shared.rescan(0..shared.places.len(), Report::Error)?;
        let catalogue = Self { shared };
        for listed in catalogue.directories() {
            if listed.trouble.is_some() {
                continue;
            }
            catalogue.shared.warn_of_nothing(&listed);
            warn_of_undated(&listed);
            if let Some(two) = listed.two_series() {
                tracing::warn!("{}: {two}", listed.path.display());
            }
        }
        Ok(catalogue)
    }

    /// Makes the scans of a directory wait as long as the guard lives.
    #[cfg(test)]
    pub(super) fn hang(&self, index: usize) -> impl Drop + '_ {
        lock(&self.shared.places[index].directory)
    }

    /// The present state.
    pub fn dates(&self) -> Arc<Dates> {
        self.shared.dates()
    }

    /// What each configured directory held when it could last be read, in the order of the configuration.
    pub fn directories(&self) -> Vec<Listed> {
        self.shared
            .places
            .iter()
            .map(|p| lock(&p.listed).clone())
            .collect()
    }

    /// The directories that cannot be read at present.
    pub fn unreadable(&self) -> Vec<PathBuf> {
        let troubled = |place: &Place| {
            let listed = lock(&place.listed);
            listed.trouble.is_some().then(|| listed.path.clone())
        };
        self.shared.places.iter().filter_map(troubled).collect()
    }

    /// Scans all directories now and says what changed while it did. Waits `timeout` at most. A directory that cannot
    /// be read keeps what was known of it and is warned of once, until it can be read again; an error is that no scan
    /// could be started.
    pub fn refresh(&self) -> Result<Option<Changes>> {
        let before = self.dates();
        self.shared
            .rescan(0..self.shared.places.len(), Report::Warning)?;
        let after = self.dates();
        Ok((before.generation != after.generation).then(|| Changes::between(&before, &after)))
    }

    /// Scans every directory every `refresh`, each in a thread of its own, until the watch is dropped. `on_change` hears
    /// of every change once and in order, also of those that [`Catalogue::refresh`] found; it should not take long.
    pub fn watch(&self, on_change: impl Fn(Changes) + Send + Sync + 'static) -> Result<Watch> {
        let watch = Watch {
            stop: Arc::default(),
        };
        let observer = Arc::new(Observer {
            seen: Mutex::new(self.dates()),
            on_change,
        });
        for index in 0..self.shared.places.len() {
            let (shared, stop) = (Arc::clone(&self.shared), Arc::clone(&watch.stop));
            let observer = Arc::clone(&observer);
            let interval = shared.rules.options.refresh.max(SHORTEST_REFRESH);
            spawn("watch", move || {
                while !stop.wait(interval) {
                    if let Err(error) = shared.rescan(index..index + 1, Report::Warning) {
                        tracing::warn!("{error}");
                    }
                    observer.tell(&shared, &stop);
                }
            })?;
        }
        Ok(watch)
    }
}

/// Keeps a catalogue current as long as it lives. Dropping it waits for nothing; a call of `on_change` that has begun
/// may still be under way.
#[must_use = "dropping it stops the watch"]
pub struct Watch {
    stop: Arc<Stop>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        *lock(&self.stop.stopped) = true;
        self.stop.wake.notify_all();
    }
}

#[derive(Default)]
struct Stop {
    stopped: Mutex<bool>,
    wake: Condvar,
}

impl Stop {
    /// Waits so long, or until stopped; says whether it is.
    fn wait(&self, time: Duration) -> bool {
        let stopped = self
            .wake
            .wait_timeout_while(lock(&self.stopped), time, |stopped| !*stopped);
        *stopped.unwrap_or_else(PoisonError::into_inner).0
    }
}

struct Observer<F> {
    /// The state that was last told of. Held during the call, so that changes are told in order.
    seen: Mutex<Arc<Dates>>,
    on_change: F,
}

impl<F: Fn(Changes)> Observer<F> {
    fn tell(&self, shared: &Shared, stop: &Stop) {
        let mut seen = lock(&self.seen);
        let dates = shared.dates();
        if dates.generation != seen.generation && !*lock(&stop.stopped) {
            let changes = Changes::between(&seen, &dates);
            *seen = dates;
            (self.on_change)(changes);
        }
    }
}

/// What becomes of a directory that cannot be read.
#[derive(Clone, Copy, PartialEq)]
enum Report {
    Error,
    Warning,
}

impl Shared {
    fn dates(&self) -> Arc<Dates> {
        Arc::clone(&lock(&self.state))
    }

    /// Scans these directories at once and merges the results.
    fn rescan(self: &Arc<Self>, indices: std::ops::Range<usize>, report: Report) -> Result<()> {
        let deadline = Instant::now() + self.rules.options.timeout.min(LONGEST_TIMEOUT);
        let mut wanted = Vec::new();
        for index in indices {
            wanted.push((index, self.start(index)?));
        }
        for (index, scan) in wanted {
            let Some(place) = self.places.get(index) else {
                continue;
            };
            let path = lock(&place.listed).path.clone();
            let deadline = match report == Report::Error && self.is_silent(&path) {
                true => Instant::now(),
                false => deadline,
            };
            if !place.wait(scan, deadline) {
                place.trouble(unanswered(&path));
            }
        }
        for place in &self.places {
            let Listed { path, trouble, .. } = lock(&place.listed).clone();
            let Some(error) = trouble else {
                continue;
            };
            let rest = match report {
                Report::Error if self.is_silent(&path) => "its dates are shown once it answers",
                Report::Error => return Err(error),
                Report::Warning => "what was known of it stays",
            };
            let warning = format!("{error}; {rest}");
            let before = lock(&place.warned).replace(warning.clone());
            // What helps may be something else than before.
            if before.as_ref() != Some(&warning) {
                tracing::warn!("{warning}");
            }
        }
        self.merge();
        Ok(())
    }

    fn is_silent(&self, path: &PathBuf) -> bool {
        self.rules.options.silent.contains(path)
    }

    /// Sees to it that a scan begins, now or after the one that runs, and returns its number.
    fn start(self: &Arc<Self>, index: usize) -> Result<u64> {
        let Some(place) = self.places.get(index) else {
            return Ok(0);
        };
        let mut turn = lock(&place.turn);
        if turn.started > turn.finished {
            turn.again = true;
            return Ok(turn.started + 1);
        }
        let shared = Arc::clone(self);
        spawn("scan", move || {
            if let Some(place) = shared.places.get(index) {
                place.scan_while_wanted(&shared);
            }
        })?;
        turn.started += 1;
        Ok(turn.started)
    }

    /// Makes the directories' last results the present state, if they differ from it.
    fn merge(&self) {
        let now = (self.clock)();
        let mut state = lock(&self.state);
        let lists = self
            .places
            .iter()
            .map(|p| lock(&p.listed).snapshots.clone());
        let label = |time| self.rules.label(time);
        let each = self.rules.options.granularity == super::Granularity::Snapshot;
        let mut dates = Dates::merge(
            lists.collect(),
            |time| self.rules.keeps(time, now),
            each.then_some(&label),
        );
        let is_same = dates.all == state.all;
        if is_same && dates.is_whole == state.is_whole {
            return;
        }
        dates.generation = state.generation + u64::from(!is_same);
        *state = Arc::new(dates);
    }

    fn warn_of_nothing(&self, listed: &Listed) {
        let path = listed.path.display();
        match (&self.rules.options.name, listed.others.len()) {
            _ if !listed.snapshots.is_empty() => {}
            (_, 0) => {
                tracing::warn!("the snapshot directory {path} holds no snapshots to show yet")
            }
            (Some(name), others) => {
                tracing::warn!(
                    "none of the {others} names in the snapshot directory {path} matches the pattern \"{name}\""
                );
            }
            (None, others) => tracing::warn!(
                "none of the {others} names in the snapshot directory {path} is a snapshot"
            ),
        }
    }
}

/// A directory without a date in its name among snapshots that have one may be something else.
fn warn_of_undated(listed: &Listed) {
    let is_undated = |s: &&Arc<Snapshot>| s.dated_by == DatedBy::RootTime;
    let undated = listed.snapshots.iter().filter(is_undated).count();
    if let Some(example) = listed.snapshots.iter().find(is_undated)
        && undated < listed.snapshots.len()
    {
        tracing::warn!(
            "{undated} of {} snapshots in {} have no date in their names, {:?} for instance, and are shown at the time of \
             their directories: if they are something else, set name under [source] to how the real ones are called",
            listed.snapshots.len(),
            listed.path.display(),
            example.name
        );
    }
}

impl Place {
    /// Runs in the scanning thread.
    fn scan_while_wanted(&self, shared: &Shared) {
        loop {
            let result = lock(&self.directory).scan(&shared.rules, (shared.clock)());
            match result {
                Ok(listed) => {
                    let path = listed.path.clone();
                    *lock(&self.listed) = listed;
                    if lock(&self.warned).take().is_some() {
                        tracing::info!(
                            "the snapshot directory {} can be read again",
                            path.display()
                        );
                    }
                }
                Err(error) => self.trouble(error),
            }
            shared.merge();
            let mut turn = lock(&self.turn);
            turn.finished += 1;
            self.finished.notify_all();
            if !std::mem::take(&mut turn.again) {
                return;
            }
            turn.started += 1;
        }
    }

    /// Notes why the directory cannot be read; what was known of it stays.
    fn trouble(&self, error: Error) {
        lock(&self.listed).trouble = Some(error);
    }

    /// Waits for the end of a scan; says whether it came in time.
    fn wait(&self, scan: u64, deadline: Instant) -> bool {
        let time = deadline.saturating_duration_since(Instant::now());
        let turn = self
            .finished
            .wait_timeout_while(lock(&self.turn), time, |turn| turn.finished < scan);
        turn.unwrap_or_else(PoisonError::into_inner).0.finished >= scan
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = std::thread::Builder::new()
        .name(format!("snapshots: {name}"))
        .spawn(work);
    thread.map(drop).map_err(|e| {
        Error::new(
            Kind::Failed,
            format!("cannot start a thread to {name} the snapshot directories: {e}; is the limit of tasks too low?"),
        )
    })
}

fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
