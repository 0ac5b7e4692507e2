//! Learning new snapshots quietly, so that nobody has to wait for a folder's first listing.
//!
//! One thread at the lowest priority, which the kernel's disk queues heed too. It begins a while after the mount or
//! after a new snapshot, when those who waited for that have had their turn, and stops between two mailboxes when the
//! mount ends; what it has learned stays in the index.

use crate::fs::Fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// How long it holds back.
const PAUSE: Duration = Duration::from_secs(60);

/// The thread that learns; it stops when this is dropped.
pub(super) struct Quiet {
    stop: Arc<AtomicBool>,
}

impl Quiet {
    /// Starts the thread; also gives what tells it of new snapshots.
    pub(super) fn start(fs: Arc<Fs>) -> std::io::Result<(Self, Sender<()>)> {
        let (tell, told) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("mailtm-quiet".into());
        thread.spawn(move || learn(&fs, &told, &stopped))?;
        Ok((Self { stop }, tell))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn learn(fs: &Fs, told: &Receiver<()>, stop: &AtomicBool) {
    // Of the thread alone, not of the process.
    if let Err(e) = rustix::process::setpriority_process(None, 19) {
        tracing::debug!("new snapshots are learned at the usual priority: {e}");
    }
    loop {
        // Anything new begins the pause again.
        while told.recv_timeout(PAUSE) == Ok(()) {}
        if stop.load(Ordering::Relaxed) {
            return;
        }
        match fs.warm(|_| !stop.load(Ordering::Relaxed)) {
            Ok(sum) => tracing::debug!(
                "learned {} messages in {} folders",
                sum.messages,
                sum.folders
            ),
            Err(e) => tracing::warn!("new snapshots are not learned: {e}"),
        }
        // The next snapshot, or the end of whoever tells of it.
        if told.recv().is_err() {
            return;
        }
    }
}
