//! Memory for messages that are decoded: so many bytes for all that are at it, however many ask at a time.
//!
//! Who needs more than there is left waits, as long as his request may; one at a time may have all of it. Small ones
//! take none: their number is that of the threads.

use crate::disk::lane;
use crate::error::{Error, Kind, Result};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a waiter looks whether it may wait on.
const LOOK: Duration = Duration::from_millis(100);

/// Room for a number of bytes.
pub struct Room {
    limit: u64,
    taken: Mutex<u64>,
    freed: Condvar,
}

/// Room that is taken as long as this lives.
pub struct Taken<'a> {
    room: &'a Room,
    bytes: u64,
}

impl Room {
    pub const fn new(limit: u64) -> Self {
        Self {
            limit,
            taken: Mutex::new(0),
            freed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for so many bytes, or for the limit if that is less.
    ///
    /// # Errors
    /// [`Kind::Unreadable`] if the request is given up meanwhile.
    pub fn take(&self, bytes: u64) -> Result<Taken<'_>> {
        let bytes = bytes.min(self.limit);
        let mut taken = self.lock();
        while *taken > self.limit - bytes {
            if lane::current_beat().is_some_and(|beat| beat.is_expired()) {
                let what = "given up waiting for other large messages to be decoded";
                return Err(Error::new(Kind::Unreadable, what));
            }
            let waited = self.freed.wait_timeout(taken, LOOK);
            taken = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *taken += bytes;
        Ok(Taken { room: self, bytes })
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.room.lock() -= self.bytes;
        self.room.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn never_more_than_there_is_and_everybody_has_his_turn() {
        let room = Room::new(100);
        let (now, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for bytes in [40, 60, 30, 100, 7000, 1, 50, 50] {
                let (room, now, most) = (&room, &now, &most);
                scope.spawn(move || {
                    let taken = room.take(bytes).unwrap();
                    let sum = now.fetch_add(taken.bytes, Ordering::SeqCst) + taken.bytes;
                    most.fetch_max(sum, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(10));
                    now.fetch_sub(taken.bytes, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 100);
        assert_eq!(*room.lock(), 0);
    }
}
