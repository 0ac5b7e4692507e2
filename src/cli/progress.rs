//! How far a command has come, and being told to stop.

use super::{Global, failed};
use crate::error::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

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
    bar: ProgressBar,
    start: Instant,
}

impl Bar {
    pub fn new(global: &Global) -> Self {
        let target = match global.quiet == 0 && std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = "{bar:40} {pos} of {len} mailboxes found so far, {msg}, {eta} left";
        Self {
            bar: match ProgressStyle::with_template(style) {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            },
            start: Instant::now(),
        }
    }

    pub fn show(&self, done: u64, all: u64, messages: u64) {
        if self.bar.is_hidden() {
            return;
        }
        let rate = messages as f64 / self.start.elapsed().as_secs_f64().max(0.001);
        self.bar.set_length(all);
        self.bar.set_message(format!("{rate:.0} messages/s"));
        self.bar.set_position(done);
    }

    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
