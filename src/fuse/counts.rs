//! How many requests of the kernel's were answered, and how many of them with an error that is no answer to a question.

use fuser::Errno;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counted since the mount. That a name is not there, or an attribute, is no error.
#[derive(Debug, Default)]
pub struct Counts {
    requests: AtomicU64,
    unreadable: AtomicU64,
    stale: AtomicU64,
    expired: AtomicU64,
}

impl Counts {
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Answered with EIO: what was asked for cannot be read.
    pub fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// Answered with ESTALE: what was asked for has vanished.
    pub fn stale(&self) -> u64 {
        self.stale.load(Ordering::Relaxed)
    }

    /// Answered with EIO because the store did not answer in time.
    pub fn expired(&self) -> u64 {
        self.expired.load(Ordering::Relaxed)
    }

    pub(super) fn answered(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, errno: Errno) {
        self.answered();
        let counter = match errno.code() {
            libc::EIO => &self.unreadable,
            libc::ESTALE => &self.stale,
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn expire(&self) {
        self.answered();
        self.expired.fetch_add(1, Ordering::Relaxed);
    }
}
