//! Who may wait for the disk, where, and how long.
//!
//! A store can hang: a dead NFS server, a stuck FUSE daemon, a failing disk. A thread that waits in the kernel then
//! cannot be called back, so what must be bounded is who gets stuck and what the caller is told:
//!
//! 1. A request runs on the thread that received it. Only when it first touches the disk does it need one of a few
//!    permits, so that some threads are always left to answer from memory. Without a permit, or on a lane that is stuck, it is told
//!    [`Kind::WouldBlock`] and runs again on a thread of that lane. Requests only read, so running one twice is harmless.
//! 2. Every lane (one for each snapshot) has a bounded number of threads. When all of them are stuck it refuses at once.
//! 3. A request that makes no progress for the timeout is answered by the watch thread with an error; the stuck thread
//!    finds itself expired when it comes back, and the lane is well again.
//! 4. Until anything on that lane is answered, later requests get a moment instead of the timeout: a program's call is
//!    several requests, one after the other, and shall not wait a timeout for each.
//!
//! Progress is each call that begins: a listing of a million messages may take as long as it needs. So what one mailbox can make take
//! very long gets only some of a lane's threads: `turns`.
//!
//! The cast: [`Workers`] runs requests and watches them, [`Lane`] is a snapshot's own queue and threads, [`Beat`] the
//! pulse of one request, kept in the thread that runs it. Threads that run no request (commands, background work)
//! wait as long as the disk does.

mod turns;

pub use turns::Turn;

use crate::error::{Error, Kind, Result};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use turns::Turns;

/// Threads of one lane at most.
const LANE_THREADS: usize = 8;
/// How long a thread of a lane waits for more work.
const LANE_IDLE: Duration = Duration::from_secs(10);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Work for one request; answers it by itself.
pub trait Job: Send + Sync + 'static {
    /// Runs the work and answers, unless the disk may not be waited for now.
    fn run(&self) -> Outcome;
    /// Answers in place of work that takes too long. Does nothing if it has been answered.
    fn expire(&self);
}

/// Whether a job is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answered,
    /// The work met [`Kind::WouldBlock`].
    Refused,
}

/// The pulse of one request.
#[derive(Debug)]
pub struct Beat {
    /// Milliseconds since the process began to run requests.
    last: AtomicU64,
    /// Set under the lock of `lane`.
    expired: AtomicBool,
    /// Where it waits for a disk, or has last.
    lane: Mutex<Option<Arc<Lane>>>,
}

impl Beat {
    /// Answers when that is.
    fn touch(&self) -> u64 {
        let now = now();
        self.last.store(now, Ordering::Relaxed);
        now
    }

    /// Takes over the progress of the request that this one waits for.
    pub fn follow(&self, other: &Self) {
        self.last
            .fetch_max(other.last.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub fn is_expired(&self) -> bool {
        self.expired.load(Ordering::Relaxed)
    }
}

fn now() -> u64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// What the request on this thread may do.
struct Current {
    beat: Arc<Beat>,
    job: Arc<dyn Job>,
    workers: Arc<Workers>,
    /// On a thread of a lane: may always wait.
    pooled: bool,
    watched: Option<u64>,
    refused_by: Option<Arc<Lane>>,
    /// It was refused since no turn is free for this mailbox.
    awaits_turn_of: Option<u64>,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// The pulse of the request that runs on this thread, if one does.
pub fn current_beat() -> Option<Arc<Beat>> {
    CURRENT.with_borrow(|current| current.as_ref().map(|c| c.beat.clone()))
}

/// A snapshot's own queue and threads.
#[derive(Debug)]
pub struct Lane {
    name: String,
    /// Requests that have expired on this lane and have not come back yet.
    stuck: AtomicUsize,
    /// When the disk last answered a request, in milliseconds as of [`Beat::last`].
    answered: AtomicU64,
    /// When the latest of those that expired began to wait.
    hung: AtomicU64,
    queue: Mutex<Queue>,
    more: Condvar,
    turns: Mutex<Turns>,
}

/// A job on its way to a thread of a lane, already under watch.
struct Queued {
    workers: Arc<Workers>,
    beat: Arc<Beat>,
    job: Arc<dyn Job>,
    watched: u64,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Queued>,
    threads: usize,
    idle: usize,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} jobs, {} threads, {} idle",
            self.jobs.len(),
            self.threads,
            self.idle
        )
    }
}

impl Lane {
    pub fn new(name: String) -> Self {
        Self {
            name,
            stuck: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            hung: AtomicU64::new(0),
            queue: Mutex::default(),
            more: Condvar::new(),
            turns: Mutex::default(),
        }
    }

    /// Whether a request has expired and the disk has answered none since.
    fn is_silent(&self) -> bool {
        self.stuck.load(Ordering::Relaxed) > 0
            && self.answered.load(Ordering::Relaxed) <= self.hung.load(Ordering::Relaxed)
    }

    /// Asks whether this thread may wait for the disk now, and counts as progress.
    ///
    /// # Errors
    /// [`Kind::WouldBlock`]: ask again from a thread of this lane. [`Kind::Unreadable`]: the request has been given up.
    pub fn enter(self: &Arc<Self>) -> Result<()> {
        CURRENT.with_borrow_mut(|current| {
            let Some(current) = current else {
                return Ok(());
            };
            let given_up = || {
                let message = format!("{}: given up waiting", self.name);
                Err(Error::new(Kind::Unreadable, message))
            };
            if current.beat.is_expired() {
                return given_up();
            }
            if !current.pooled {
                let refused = self.stuck.load(Ordering::Relaxed) > 0
                    || (current.watched.is_none() && !current.workers.take_permit());
                if refused {
                    current.refused_by = Some(self.clone());
                    return Err(Error::new(
                        Kind::WouldBlock,
                        format!("{}: the disk is busy", self.name),
                    ));
                }
            }
            let now = current.beat.touch();
            if current.watched.is_none() {
                current.watched = Some(current.workers.watch(&current.beat, &current.job));
            }
            let mut lane = lock(&current.beat.lane);
            // Once more under the lock under which it is given up: what was not counted as stuck here is not to
            // be counted as back.
            if current.beat.is_expired() {
                return given_up();
            }
            if lane.as_ref().is_some_and(|lane| Arc::ptr_eq(lane, self)) {
                self.answered.store(now, Ordering::Relaxed);
            } else {
                *lane = Some(self.clone());
            }
            Ok(())
        })
    }

    /// Queues a job for a thread of this lane; false if all of them are stuck.
    fn submit(self: &Arc<Self>, queued: Queued) -> bool {
        let mut queue = lock(&self.queue);
        if self.stuck.load(Ordering::Relaxed) >= LANE_THREADS {
            return false;
        }
        queued.beat.touch();
        queue.jobs.push_back(queued);
        if queue.idle >= queue.jobs.len() || queue.threads >= LANE_THREADS {
            self.more.notify_one();
            return true;
        }
        queue.threads += 1;
        let lane = self.clone();
        if std::thread::Builder::new()
            .name("mailtm-disk".into())
            .spawn(move || lane.work())
            .is_err()
        {
            queue.threads -= 1;
            return queue.threads > 0;
        }
        true
    }

    /// The same; what no thread is there for is given up.
    fn submit_or_expire(self: &Arc<Self>, queued: Queued) {
        let (workers, job, watched) = (queued.workers.clone(), queued.job.clone(), queued.watched);
        if !self.submit(queued) {
            lock(&workers.watched).remove(&watched);
            job.expire();
        }
    }

    fn work(self: Arc<Self>) {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(Queued {
                workers,
                beat,
                job,
                watched,
            }) = queue.jobs.pop_front()
            {
                drop(queue);
                workers.run_here(&beat, &job, Some(watched));
                self.pass_on();
                queue = lock(&self.queue);
                continue;
            }
            queue.idle += 1;
            let (guard, timeout) = self
                .more
                .wait_timeout(queue, LANE_IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            queue = guard;
            queue.idle -= 1;
            if timeout.timed_out() && queue.jobs.is_empty() {
                queue.threads -= 1;
                return;
            }
        }
    }
}

/// A request under watch: its pulse, and how to answer it when that stops.
type Watched = (Arc<Beat>, Weak<dyn Job>);

/// Runs requests and watches them.
pub struct Workers {
    timeout: Duration,
    /// How long a request may wait on a lane that is silent. One call of a program may be two requests, and both together are to
    /// take hardly longer than the timeout.
    moment: Duration,
    permits: AtomicIsize,
    next: AtomicU64,
    watched: Mutex<HashMap<u64, Watched>>,
    /// Lanes on which somebody has waited for a turn.
    taking_turns: Mutex<Vec<Weak<Lane>>>,
}

impl Workers {
    /// `permits`: how many of the threads that receive requests may wait for a disk at once.
    pub fn start(timeout: Duration, permits: usize) -> std::io::Result<Arc<Self>> {
        let moment = (timeout / 8).clamp(Duration::from_millis(20), Duration::from_millis(150));
        let workers = Arc::new(Self {
            timeout,
            moment,
            permits: AtomicIsize::new(permits as isize),
            next: AtomicU64::new(0),
            watched: Mutex::default(),
            taking_turns: Mutex::default(),
        });
        let weak = Arc::downgrade(&workers);
        std::thread::Builder::new()
            .name("mailtm-watch".into())
            .spawn(move || {
                while let Some(workers) = weak.upgrade() {
                    workers.expire_overdue();
                    let pause = match lock(&workers.watched).is_empty() {
                        true => moment,
                        false => moment / 4,
                    };
                    drop(workers);
                    std::thread::sleep(pause);
                }
            })?;
        Ok(workers)
    }

    /// Runs a request on this thread if it needs no disk or may wait for it, else on a thread of the lane it needs.
    pub fn run(self: &Arc<Self>, job: Arc<dyn Job>) {
        let beat = Arc::new(Beat {
            last: AtomicU64::new(now()),
            expired: AtomicBool::new(false),
            lane: Mutex::new(None),
        });
        if let Some(lane) = self.run_here(&beat, &job, None) {
            // In a queue it holds up nobody: if it expires there, no lane is stuck with it.
            lock(&beat.lane).take();
            lane.submit_or_expire(self.queued(&beat, &job));
        }
    }

    /// Returns the lane that refused, if one did. A job that comes from a queue is under watch already.
    fn run_here(
        self: &Arc<Self>,
        beat: &Arc<Beat>,
        job: &Arc<dyn Job>,
        watched: Option<u64>,
    ) -> Option<Arc<Lane>> {
        if beat.is_expired() {
            return None;
        }
        let pooled = watched.is_some();
        beat.touch();
        CURRENT.set(Some(Current {
            beat: beat.clone(),
            job: job.clone(),
            workers: self.clone(),
            pooled,
            watched,
            refused_by: None,
            awaits_turn_of: None,
        }));
        let outcome = job.run();
        let current = CURRENT.take()?;
        if let Some(watched) = current.watched {
            lock(&self.watched).remove(&watched);
            if !pooled {
                self.permits.fetch_add(1, Ordering::Relaxed);
            }
        }
        let lane = lock(&beat.lane).take();
        if let Some(lane) = lane.as_ref().filter(|_| outcome == Outcome::Answered) {
            lane.answered.store(now(), Ordering::Relaxed);
        }
        if beat.is_expired()
            && let Some(lane) = lane
        {
            lane.stuck.fetch_sub(1, Ordering::Relaxed);
            tracing::info!("{}: answers again", lane.name);
        }
        match outcome {
            Outcome::Answered => None,
            Outcome::Refused if pooled => {
                match current.refused_by.zip(current.awaits_turn_of) {
                    Some((lane, mailbox)) => {
                        beat.touch();
                        self.watch_turns(&lane);
                        lane.await_turn(mailbox, self.queued(beat, job));
                    }
                    None => job.expire(),
                }
                None
            }
            Outcome::Refused => current.refused_by,
        }
    }

    /// A job on its way to a queue, and under watch from now on.
    fn queued(self: &Arc<Self>, beat: &Arc<Beat>, job: &Arc<dyn Job>) -> Queued {
        Queued {
            workers: self.clone(),
            beat: beat.clone(),
            job: job.clone(),
            watched: self.watch(beat, job),
        }
    }

    fn take_permit(&self) -> bool {
        if self.permits.fetch_sub(1, Ordering::Relaxed) > 0 {
            return true;
        }
        self.permits.fetch_add(1, Ordering::Relaxed);
        false
    }

    fn watch(&self, beat: &Arc<Beat>, job: &Arc<dyn Job>) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.watched).insert(id, (beat.clone(), Arc::downgrade(job)));
        id
    }

    fn watch_turns(&self, lane: &Arc<Lane>) {
        let mut lanes = lock(&self.taking_turns);
        lanes.retain(|known| known.strong_count() > 0);
        if !lanes
            .iter()
            .any(|known| known.as_ptr() == Arc::as_ptr(lane))
        {
            lanes.push(Arc::downgrade(lane));
        }
    }

    fn expire_overdue(&self) {
        for lane in lock(&self.taking_turns).iter().filter_map(Weak::upgrade) {
            lane.follow_turns();
        }
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let limit = |beat: &Beat| {
            let silent = lock(&beat.lane)
                .as_ref()
                .is_some_and(|lane| lane.is_silent());
            millis(if silent { self.moment } else { self.timeout })
        };
        let overdue: Vec<Watched> = {
            // Marked under the lock under which a request that ends takes itself out: so it sees the mark or has none.
            let mut watched = lock(&self.watched);
            let ids: Vec<u64> = watched
                .iter()
                .filter(|(_, (beat, _))| {
                    now().saturating_sub(beat.last.load(Ordering::Relaxed)) > limit(beat)
                })
                .map(|(&id, _)| id)
                .collect();
            ids.iter()
                .filter_map(|id| watched.remove(id))
                .inspect(|(beat, _)| self.give_up(beat))
                .collect()
        };
        for (_, job) in overdue {
            if let Some(job) = job.upgrade() {
                job.expire();
            }
        }
    }

    fn give_up(&self, beat: &Beat) {
        let lane = lock(&beat.lane);
        beat.expired.store(true, Ordering::Relaxed);
        if let Some(lane) = &*lane {
            lane.hung
                .fetch_max(beat.last.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        if let Some(lane) = &*lane
            && lane.stuck.fetch_add(1, Ordering::Relaxed) == 0
        {
            tracing::warn!(
                "{}: no answer from the disk for {:?}; what needs it gets an I/O error until it answers again",
                lane.name,
                self.timeout
            );
        }
    }
}

#[cfg(test)]
mod tests;
