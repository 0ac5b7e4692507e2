//! `mailtm warm`: fills the index, so that nobody has to wait for a folder's first listing.
//!
//! Without an index there is nothing to fill, which is an error here alone. Exit code: 3 if some of the mail could not be read, a damaged message among them.

use super::progress::{Bar, stop_on_signals};
use super::terminal::printable;
use super::{Global, PARTLY_DONE, print, use_source};
use crate::config;
use crate::disk::stop::Stop;
use crate::error::{Context, Error, Kind, Result};
use crate::fs::Fs;
use crate::fs::search::Learning;
use crate::fs::warm::Progress;
use crate::mount::probe;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;

/// Mailboxes that are learned at once, so that the disk is never idle; each may have a folder that takes some memory.
const AT_ONCE: usize = 4;

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
    let silent = probe::stores_beside_others(&config)?;
    let fs = crate::mount::build(&config, &silent)?;
    let index = config.index.path.display();
    fs.require_index().context(|| format!("index {index}"))?;
    let stop = Stop::when(stop_on_signals()?);
    let (sum, searched) = learn(&fs, &stop, global);
    let sum = sum?;
    let unread = searched.and_then(|learning| Ok((learning.failed, fs.unread()?)));
    let failed = match unread {
        Ok((failed, answer)) => {
            if answer.unread > 0 {
                tracing::warn!(
                    "{} messages cannot be read, such as {}: \"mailtm check --deep\" says why",
                    answer.unread,
                    printable(&answer.unread_examples.join(", "))
                );
            }
            sum.failed + failed + answer.unread
        }
        Err(e) => {
            // Without it everything is shown the same, and `find` learns by itself.
            tracing::warn!("nothing is learned for searching: {e}");
            sum.failed
        }
    };
    print(format!(
        "{} messages in {} folders of {} mailboxes, each counted on each of its dates\n",
        sum.messages, sum.folders, sum.done
    ))?;
    if stop.is_set() {
        let stopped = "stopped; what has been learned is kept, and another run goes on from there";
        return Err(Error::new(Kind::Failed, stopped));
    }
    // It was warned of each when this began.
    let all_answer = fs.catalogue().unreadable().is_empty();
    Ok(if failed > 0 || !all_answer {
        ExitCode::from(PARTLY_DONE)
    } else {
        ExitCode::SUCCESS
    })
}

/// Learns all messages for showing them, and meanwhile those that are learned for searching. Tells how far the first is, then
/// how far the other.
fn learn(fs: &Fs, stop: &Stop, global: &Global) -> (Result<Progress>, Result<Learning>) {
    let (bar, bar_of_words) = (Bar::new(global), Bar::new(global));
    let (is_shown, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let learn_words = || {
        let mut tell = |learning: &Learning| {
            if is_shown.load(Ordering::Relaxed) {
                bar_of_words.show(learning.done, learning.mailboxes, learning.messages);
            }
            !stop.is_set() && !is_over.load(Ordering::Relaxed)
        };
        stop.ends(|| fs.learn_to_find(&mut tell))
    };
    std::thread::scope(|scope| {
        let name = "mailtm-words".into();
        let words = Builder::new().name(name).spawn_scoped(scope, learn_words);
        let sum = fs.warm(stop, AT_ONCE, |progress| {
            bar.show(progress.done, progress.mailboxes, progress.messages);
        });
        bar.clear();
        is_over.store(sum.is_err(), Ordering::Relaxed);
        is_shown.store(true, Ordering::Relaxed);
        let fault = || Error::new(Kind::Failed, "a fault in mailtm itself");
        let learned = match words {
            Ok(words) => words.join().unwrap_or_else(|_| Err(fault())),
            Err(_) => learn_words(),
        };
        bar_of_words.clear();
        (sum, learned)
    })
}
