//! `mailtm warm`: fills the index, so that nobody has to wait for a folder's first listing.

use super::{Global, failed, print, use_source};
use crate::config;
use crate::error::{Error, Kind, Result};
use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const DONE_IN_PART: u8 = 3;

/// Learn every message of every date, so that nobody has to wait for it
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Configuration file [default: /etc/mailtm/mailtm.toml, if it is there]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of snapshots, or a live directory that has one
    #[arg(value_name = "SOURCE")]
    source: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<ExitCode> {
    let mut config = config::load(arguments.config.as_deref())?;
    use_source(&mut config, arguments.source.as_deref())?;
    config.require_snapshots()?;
    let fs = crate::mount::build(&config)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, stop.clone())
            .map_err(|e| failed(&e, "waiting for signals"))?;
    }
    let mut bar = Bar::new(global.quiet == 0 && std::io::stderr().is_terminal());
    let sum = fs.warm(|progress| {
        bar.show(progress.done, progress.mailboxes, progress.messages);
        !stop.load(Ordering::Relaxed)
    })?;
    bar.clear();
    print(format!(
        "{} messages in {} folders of {} mailboxes, each counted on each of its dates\n",
        sum.messages, sum.folders, sum.done
    ))?;
    if stop.load(Ordering::Relaxed) {
        let stopped = "stopped; what has been learned is kept, and another run goes on from there";
        return Err(Error::new(Kind::Failed, stopped));
    }
    Ok(if sum.failed > 0 {
        ExitCode::from(DONE_IN_PART)
    } else {
        ExitCode::SUCCESS
    })
}

/// One line that says how far it is and how long it takes.
struct Bar {
    shown: bool,
    start: Instant,
    last: Option<Instant>,
}

impl Bar {
    fn new(shown: bool) -> Self {
        Self {
            shown,
            start: Instant::now(),
            last: None,
        }
    }

    fn show(&mut self, done: u64, all: u64, messages: u64) {
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

    fn clear(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
