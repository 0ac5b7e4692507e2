//! How far a command has come, and being told to stop.

use super::{Global, failed};
use crate::error::Result;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Becomes true when the user or the system wants an end.
pub(super) fn stop_on_signals() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, stop.clone())
            .map_err(|e| failed(&e, "waiting for signals"))?;
    }
    Ok(stop)
}

/// One line on a terminal that says how far a walk through the mailboxes is and how long it takes.
pub(super) struct Bar {
    shown: bool,
    start: Instant,
    last: Option<Instant>,
}

impl Bar {
    pub fn new(global: &Global) -> Self {
        Self {
            shown: global.quiet == 0 && std::io::stderr().is_terminal(),
            start: Instant::now(),
            last: None,
        }
    }

    pub fn show(&mut self, done: u64, all: u64, messages: u64) {
        let now = Instant::now();
        if !self.shown
            || self
                .last
                .is_some_and(|last| now - last < Duration::from_millis(200))
        {
            return;
        }
        self.last = Some(now);
        let elapsed = (now - self.start).as_secs_f64().max(0.001);
        let left = elapsed / done.max(1) as f64 * all.saturating_sub(done) as f64;
        let _ = write!(
            std::io::stderr(),
            "\r\x1b[K{done} of {all} mailboxes found so far, {:.0} messages/s, {left:.0} s for these",
            messages as f64 / elapsed
        );
    }

    pub fn clear(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
