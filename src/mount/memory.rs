//! Memory that was needed for a moment goes back to the system.
//!
//! The first listing of a big folder takes many times what is kept of it, in each of the threads that share the work.
//! Left alone, the allocator keeps what a thread has freed for that thread's next need; most of them have none for
//! hours. So a thread of the allocator's own gives back what was free for a second.
//!
//! Invariant: that thread starts after this process was confined, so that it has no rights that the others gave up.

use tikv_jemalloc_ctl::{Access, AsName, background_thread, max_background_threads};

/// How long freed memory is kept for the next need, in milliseconds.
const KEPT_FOR: libc::ssize_t = 1000;

/// From now on. Without the allocator that can, nothing changes.
pub(super) fn give_back() {
    let done = max_background_threads::write(1)
        // Of allocations that are still to come, and of those of the first thread.
        .and_then(|()| b"arenas.dirty_decay_ms\0".name().write(KEPT_FOR))
        .and_then(|()| b"arena.0.dirty_decay_ms\0".name().write(KEPT_FOR))
        .and_then(|()| background_thread::write(true));
    if let Err(e) = done {
        tracing::debug!("memory is given back later: {e}");
    }
}
