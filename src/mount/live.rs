//! Keeping `deleted` true while mailboxes of the live store change: whoever has looked into it sees what became of them a
//! `refresh` later. A thread of its own, for a live store may hang.

use super::policy::Forget;
use crate::fs::{Fs, Invalidation};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// It is not looked more often.
const SHORTEST_ROUND: Duration = Duration::from_secs(1);

/// The thread that looks; it stops when this is dropped.
pub struct Following {
    _stop: Sender<()>,
}

impl Following {
    /// `forget` is told what the kernel has to forget.
    pub fn start(
        fs: Arc<Fs>,
        forget: Arc<dyn Fn(Invalidation) + Send + Sync>,
        refresh: Duration,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("mailtm-deleted".into());
        thread.spawn(move || follow(&fs, &forget, &stopped, refresh.max(SHORTEST_ROUND)))?;
        Ok(Self { _stop: stop })
    }
}

fn follow(fs: &Fs, forget: &Forget, stopped: &Receiver<()>, interval: Duration) {
    let mut failures = 0u32;
    while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        let Err(e) = fs.follow_deleted(|change| forget(change)) else {
            failures = 0;
            continue;
        };
        // The first time it may be a folder that its owner removed at that moment.
        failures = failures.saturating_add(1);
        match failures {
            2 => tracing::warn!("what is deleted is not known until this can be read: {e}"),
            _ => tracing::debug!("what is deleted: {e}"),
        }
    }
}
