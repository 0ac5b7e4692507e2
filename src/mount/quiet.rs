//! Learning new snapshots quietly, so that nobody has to wait for a folder's first listing.
//!
//! One thread at the lowest priority, which the kernel's disk queues heed too. It begins a while after the mount or
//! after a new snapshot, when those who waited for that have had their turn, and stops when the mount ends; what it has
//! learned stays in the index. Learning for searching, which one process can do at a time, is left off now and then: who
//! searches gets his turn.

use crate::disk::stop::Stop;
use crate::error::Result;
use crate::fs::Fs;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

/// How long it holds back.
const PAUSE: Duration = Duration::from_secs(60);

/// How long it learns for searching before others have their turn, and how long theirs is.
const TURN: Duration = Duration::from_secs(1);
const TURN_OF_OTHERS: Duration = Duration::from_millis(200);

/// The thread that learns; it stops when this is dropped.
pub(super) struct Quiet {
    stop: Stop,
}

impl Quiet {
    /// Starts the thread; also gives what tells it of new snapshots.
    pub(super) fn start(fs: Arc<Fs>) -> std::io::Result<(Self, Sender<()>)> {
        let (tell, told) = mpsc::channel();
        let stop = Stop::default();
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("mailtm-quiet".into());
        thread.spawn(move || learn(&fs, &told, &stopped))?;
        Ok((Self { stop }, tell))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

/// Gives this thread the lowest priority: it alone, not the process.
pub(super) fn give_way() {
    if let Err(e) = rustix::process::setpriority_process(None, 19) {
        tracing::debug!("work for nobody in particular goes on at the usual priority: {e}");
    }
}

fn learn(fs: &Fs, told: &Receiver<()>, stop: &Stop) {
    give_way();
    loop {
        // Anything new begins the pause again.
        while told.recv_timeout(PAUSE) == Ok(()) {}
        if stop.is_set() {
            return;
        }
        match fs.warm(stop, 1, |_| {}) {
            Ok(sum) => tracing::debug!(
                "learned {} messages in {} folders",
                sum.messages,
                sum.folders
            ),
            Err(e) => tracing::warn!("new snapshots are not learned: {e}"),
        }
        if let Err(e) = learn_to_find(fs, stop) {
            tracing::warn!("new snapshots are not learned for searching: {e}");
        }
        // The next snapshot, or the end of whoever tells of it.
        if told.recv().is_err() {
            return;
        }
    }
}

fn learn_to_find(fs: &Fs, stop: &Stop) -> Result<()> {
    while !stop.is_set() {
        let end = Instant::now() + TURN;
        let learned = fs.learn_to_find(&mut |_| !stop.is_set() && Instant::now() < end)?;
        if !learned.stopped {
            return Ok(());
        }
        std::thread::sleep(TURN_OF_OTHERS);
    }
    Ok(())
}
