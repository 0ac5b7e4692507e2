//! What all requests share, and how they reach the mail.

use super::answer::Refusal;
use super::budget::Budget;
use super::metrics::Metrics;
use super::sessions::Sessions;
use super::throttle::Throttle;
use crate::disk::lane::{Job, Outcome, Workers};
use crate::error::{Error, Kind, Result};
use crate::fs::Fs;
use crate::language::Language;
use crate::requests::{Restorers, Store};
use crate::restore::imap::transport::Address;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

/// How many requests may read mail at once, and how many may wait for their turn; who would be one more comes back later.
const READING: usize = 64;
const WAITING: usize = 256;

/// The mail server is asked about so many passwords at once.
const ASKING: usize = 16;

/// So many plans are worked out at a time.
const PLANS: usize = 2;

/// A date that could not be looked into is not waited for again for so long.
const DARK: Duration = Duration::from_secs(60);

/// How long one waits for its turn.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Of the threads that read, so many may wait for a disk on their own; the others leave it to the threads of its lane.
const PERMITS: usize = 24;

/// What the portal is told.
#[derive(Clone, Debug)]
pub struct Options {
    pub metrics: Option<SocketAddr>,
    /// The mail server that knows the passwords.
    pub auth: Address,
    /// Certificates that are believed instead of the system's, in PEM.
    pub ca_file: Option<PathBuf>,
    /// Addresses of those who decide on requests.
    pub admins: Vec<String>,
    /// Where people reach the portal, without a `/` at the end; none if nobody is behind a proxy.
    pub url: Option<String>,
    /// What a restore costs, as it is shown.
    pub cost: Option<String>,
    /// The directory of sessions.
    pub path: PathBuf,
    /// Of those whose browser asks for no other.
    pub language: Language,
    /// A read of the store that takes longer fails.
    pub timeout: Duration,
}

impl Options {
    /// Whether somebody decides on requests.
    pub fn is_admin(&self, address: &str) -> bool {
        let mut admins = self.admins.iter();
        admins.any(|admin| admin.eq_ignore_ascii_case(address))
    }

    /// Whether people come over TLS.
    pub fn is_https(&self) -> bool {
        let url = self.url.as_deref();
        url.is_some_and(|url| url.starts_with("https://"))
    }
}

/// Requests for a restore, as far as pages are about them.
pub struct Asked {
    pub requests: Arc<Store>,
    pub restorers: Restorers,
    /// Is told when something was decided.
    pub decided: Box<dyn Fn() + Send + Sync>,
}

/// What all requests share.
pub struct State {
    pub fs: Arc<Fs>,
    /// Takes over who may read what, when SIGHUP says so.
    pub(super) reload: Box<dyn Fn() + Send + Sync>,
    pub options: Options,
    pub(super) requests: Arc<Store>,
    pub(super) restorers: Restorers,
    pub(super) decided: Box<dyn Fn() + Send + Sync>,
    /// Turns at working out what a restore would do.
    pub(super) planning: Arc<Semaphore>,
    pub(super) sessions: Sessions,
    pub(super) throttle: Throttle,
    pub(super) budget: Arc<Budget>,
    pub(super) dark: Dark,
    pub(super) metrics: Metrics,
    /// Turns at asking the mail server.
    pub(super) asking: Arc<Semaphore>,
    workers: Arc<Workers>,
    reading: Arc<Semaphore>,
    waiting: Semaphore,
}

/// Labels of dates that could not be looked into, and when each was tried last.
#[derive(Debug, Default)]
pub(super) struct Dark(Mutex<HashMap<String, Instant>>);

impl Dark {
    pub fn labels(&self) -> HashSet<String> {
        let mut dark = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        dark.retain(|_, tried| tried.elapsed() < DARK);
        dark.keys().cloned().collect()
    }

    pub fn add(&self, label: String) {
        let mut dark = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        dark.insert(label, Instant::now());
    }
}

/// As handlers get it: `State(state): axum::extract::State<Shared>`.
pub type Shared = Arc<State>;

impl State {
    pub fn new(
        fs: Arc<Fs>,
        asked: Asked,
        reload: Box<dyn Fn() + Send + Sync>,
        options: Options,
    ) -> Result<Self> {
        let workers = Workers::start(options.timeout, PERMITS)
            .map_err(|e| Error::new(Kind::Failed, format!("starting threads: {e}")))?;
        let sessions = Sessions::open(&options.path)?;
        Ok(Self {
            throttle: Throttle::new(sessions.guesses()?),
            fs,
            reload,
            options,
            requests: asked.requests,
            restorers: asked.restorers,
            decided: asked.decided,
            planning: Arc::new(Semaphore::new(PLANS)),
            sessions,
            budget: Arc::default(),
            dark: Dark::default(),
            metrics: Metrics::default(),
            asking: Arc::new(Semaphore::new(ASKING)),
            workers,
            reading: Arc::new(Semaphore::new(READING)),
            waiting: Semaphore::new(READING + WAITING),
        })
    }

    /// Reads mail, apart from the threads of the server and under the deadline of the store. `work` only reads, for it
    /// may be run a second time on another thread.
    ///
    /// # Errors
    /// [`Refusal::Busy`] if too many are reading; otherwise what the error of `work` means to a reader of pages.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl Fn(&Fs) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T, Refusal> {
        Ok(self.try_read(work).await??)
    }

    /// The same for those who look at the error themselves.
    pub async fn try_read<T: Send + 'static>(
        &self,
        work: impl Fn(&Fs) -> Result<T> + Send + Sync + 'static,
    ) -> Result<Result<T>, Refusal> {
        let _place = self.waiting.try_acquire().map_err(|_| Refusal::Busy)?;
        let turn = tokio::time::timeout(PATIENCE, self.reading.clone().acquire_owned()).await;
        let (Ok(Ok(_turn)), (answer, answered)) = (turn, oneshot::channel()) else {
            return Err(Refusal::Busy);
        };
        let job = Arc::new(Reading {
            fs: self.fs.clone(),
            work,
            answer: Mutex::new(Some(answer)),
        });
        let workers = self.workers.clone();
        tokio::task::spawn_blocking(move || workers.run(job));
        // Nobody answers only if the program is ending.
        answered.await.map_err(|_| Refusal::Busy)
    }

    /// Does something that may wait, and reads no store: databases, letters, the mail server.
    pub async fn wait<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        tokio::task::spawn_blocking(work).await.map_err(|e| {
            tracing::error!("a request failed by a fault in mailtm itself: {e}");
            Refusal::Fault
        })
    }
}

/// A turn at what takes much. Whoever would wait longer comes back later.
pub(super) async fn turn(
    at: &'static Semaphore,
    wait: Duration,
) -> Result<SemaphorePermit<'static>, Refusal> {
    let turn = tokio::time::timeout(wait, at.acquire()).await;
    turn.ok().and_then(Result::ok).ok_or(Refusal::Busy)
}

/// A request on its way to the mail.
struct Reading<T, W> {
    fs: Arc<Fs>,
    work: W,
    /// Taken by whoever answers.
    answer: Mutex<Option<oneshot::Sender<Result<T>>>>,
}

impl<T, W> Reading<T, W> {
    fn answer(&self, result: Result<T>) {
        let answer = self.answer.lock();
        if let Some(answer) = answer.unwrap_or_else(PoisonError::into_inner).take() {
            // Who asked may have gone.
            let _ = answer.send(result);
        }
    }
}

impl<T: Send + 'static, W: Fn(&Fs) -> Result<T> + Send + Sync + 'static> Job for Reading<T, W> {
    fn run(&self) -> Outcome {
        let result =
            catch_unwind(AssertUnwindSafe(|| (self.work)(&self.fs))).unwrap_or_else(|_| {
                tracing::error!("a request failed by a fault in mailtm itself");
                Err(Error::new(Kind::Failed, "a fault in mailtm itself"))
            });
        if matches!(&result, Err(e) if e.kind() == Kind::WouldBlock) {
            return Outcome::Refused;
        }
        self.answer(result);
        Outcome::Answered
    }

    fn expire(&self) {
        let message = "the store does not answer";
        self.answer(Err(Error::new(Kind::Unreadable, message)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_waits_for_a_turn_for_ever() {
        static ONE: Semaphore = Semaphore::const_new(1);
        let wait = Duration::from_millis(10);
        let first = turn(&ONE, wait).await.unwrap();
        assert!(matches!(turn(&ONE, wait).await, Err(Refusal::Busy)));
        drop(first);
        assert!(turn(&ONE, wait).await.is_ok());
    }
}
