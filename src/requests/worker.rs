//! The worker: carries out what is approved, lapses what nobody decided on in time, and sends the letters.
//!
//! Any number of processes may have one; it works in that whose turn it is. Two threads, so that a mail server that hangs
//! delays nobody's mail, and a long restore no letter.

use super::carry::Step;
use super::post::Post;
use super::store::Store;
use super::turn::Turn;
use crate::error::{Error, Kind, Result};
use crate::restore::Restorer;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it is looked for something to do, without being nudged.
const PULSE: Duration = Duration::from_secs(1);

/// How often it is looked for requests that lapse, or ended long ago.
const BETWEEN_LAPSES: Duration = Duration::from_secs(60);

/// How often the same trouble is told of again.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(600);

/// How long the end waits for a mail server, or for the message that is being put.
const PARTING: Duration = Duration::from_secs(5);

/// Gives what puts mail back, which knows the dates of now.
pub type Restorers = Box<dyn Fn() -> Result<Restorer> + Send + Sync>;

/// A worker; dropping it stops it, after the message that is being put.
pub struct Worker {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    store: Arc<Store>,
    post: Post,
    restorers: Restorers,
    state: Mutex<Working>,
    changed: Condvar,
}

#[derive(Default)]
struct Working {
    stop: bool,
    /// Counts the nudges, so that none is missed.
    nudges: u64,
    /// Held while it is this process's turn.
    turn: Option<Arc<Turn>>,
}

impl Worker {
    /// Starts the threads.
    pub fn start(store: Arc<Store>, post: Post, restorers: Restorers) -> Result<Self> {
        if store.options().admins.is_empty() {
            tracing::warn!(
                "nobody is told of requests: write admins = [\"postmaster@example.com\"] under [portal]"
            );
        }
        let shared = Arc::new(Shared {
            store,
            post,
            restorers,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let start = |name: &str, work: fn(&Shared)| {
            let shared = Arc::clone(&shared);
            let started = std::thread::Builder::new().name(name.into());
            started
                .spawn(move || work(&shared))
                .map_err(|e| Error::new(Kind::Failed, format!("starting a thread: {e}")))
        };
        let threads = vec![
            start("mailtm-requests", Shared::carry_out)?,
            start("mailtm-letters", Shared::deliver)?,
        ];
        Ok(Self { shared, threads })
    }

    /// Has it look at once, as after an approval.
    pub fn nudge(&self) {
        self.shared.lock().nudges += 1;
        self.shared.changed.notify_all();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        let end = Instant::now() + PARTING;
        for thread in self.threads.drain(..) {
            while !thread.is_finished() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(20));
            }
            // One that waits for a mail server is left behind; nothing is lost by that.
            if thread.is_finished() && thread.join().is_err() {
                tracing::error!("working on requests: a fault in mailtm itself");
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Working> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.lock().stop
    }

    /// Waits for a pulse, a nudge or the end; false at the end. `seen` is the last nudge that was heeded.
    fn wait(&self, seen: &mut u64) -> bool {
        let until = Instant::now() + PULSE;
        let mut state = self.lock();
        while !state.stop && state.nudges == *seen {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *seen = state.nudges;
        !state.stop
    }

    /// The turn, if this process has it or can have it.
    fn turn(&self) -> Result<Option<Arc<Turn>>> {
        let mut state = self.lock();
        if state.turn.is_none() {
            state.turn = Turn::take(&self.store.options().dir)?.map(Arc::new);
        }
        Ok(state.turn.clone())
    }

    fn carry_out(&self) {
        let (mut seen, mut warned, mut looked) = (0, None, None);
        loop {
            let result = self.turn().and_then(|turn| match turn {
                Some(turn) => self.work(&turn, &mut looked),
                None => Ok(()),
            });
            warn_of(result, &mut warned);
            if !self.wait(&mut seen) {
                // Its own thread lets go of the turn last.
                self.lock().turn = None;
                return;
            }
        }
    }

    /// Does all that there is to do.
    fn work(&self, turn: &Turn, looked: &mut Option<Instant>) -> Result<()> {
        while !self.is_stopped() {
            let Some(id) = self.store.next_to_carry_out()? else {
                break;
            };
            let restorer = || (self.restorers)();
            let step = self
                .store
                .carry_out(id, turn, restorer, |_| !self.is_stopped())?;
            if let Step::Ended(_) = step {
                // The letter about it.
                self.lock().nudges += 1;
                self.changed.notify_all();
            }
        }
        if looked.is_none_or(|at| at.elapsed() >= BETWEEN_LAPSES) && !self.is_stopped() {
            *looked = Some(Instant::now());
            if self.store.has_undecided()? {
                self.store.lapse(turn, &(self.restorers)()?.dates)?;
            }
            self.store.forget_old(turn)?;
        }
        Ok(())
    }

    fn deliver(&self) {
        let (mut seen, mut warned) = (0, None);
        loop {
            let result = self.turn().and_then(|turn| match turn {
                Some(turn) => self.post.deliver(&self.store, &turn, || self.is_stopped()),
                None => Ok(0),
            });
            warn_of(result.map(drop), &mut warned);
            if !self.wait(&mut seen) {
                return;
            }
        }
    }
}

/// Tells of a trouble, once in a while as long as it lasts.
fn warn_of(result: Result<()>, warned: &mut Option<Instant>) {
    match result {
        Ok(()) => *warned = None,
        Err(e) if warned.is_none_or(|at: Instant| at.elapsed() > BETWEEN_WARNINGS) => {
            *warned = Some(Instant::now());
            tracing::error!("working on requests: {e}");
        }
        Err(e) => tracing::debug!("working on requests: {e}"),
    }
}
