//! Long work for nobody in particular, which may be told to stop.
//!
//! Who waits for an answer is covered by the deadline of his request ([`super::lane`]). Learning a folder of 100,000
//! messages ahead of time has none, and must end soon when it is told to, whatever it is doing.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    static CURRENT: RefCell<Option<Stop>> = const { RefCell::new(None) };
}

/// Tells work to stop, from any thread.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Stops when this becomes true.
    pub fn when(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }

    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Does work on this thread that ends early, with an error, when it is told to stop.
    pub fn ends<T>(&self, work: impl FnOnce() -> T) -> T {
        let outer = CURRENT.replace(Some(self.clone()));
        let done = work();
        CURRENT.set(outer);
        done
    }
}

/// Whether the work on this thread is to end.
pub fn is_set() -> bool {
    CURRENT.with_borrow(|current| current.as_ref().is_some_and(Stop::is_set))
}

/// What ends the work on this thread, if anything can; nothing does so far.
pub fn current() -> Stop {
    CURRENT.with_borrow(|current| current.clone().unwrap_or_default())
}
