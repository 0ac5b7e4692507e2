//! Looking whether the dates that somebody has looked at are still being filled. A thread of its own, at the lowest priority, for
//! a store may hang, and there may be many mailboxes.

use super::policy::Forget;
use super::quiet::give_way;
use crate::disk::stop::Stop;
use crate::fs::{FoundGrowth, Fs};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// How often it is looked whether a look is due.
const ROUND: Duration = Duration::from_secs(5);

/// The longest time between two looks at a date. The first comes after a [`ROUND`], each other after twice the time.
const LONGEST: Duration = Duration::from_secs(3600);

/// When a date is looked at next, and how long after the last time.
struct Next {
    due: Instant,
    interval: Duration,
}

/// The thread that looks; it stops when this is dropped.
pub struct Growing {
    stop: Stop,
    _ends: Sender<()>,
}

impl Drop for Growing {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

impl Growing {
    /// `forget` is told what the kernel has to forget; `grown` hears of each date that is shown anew.
    pub fn start(
        fs: Arc<Fs>,
        forget: Forget,
        grown: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (ends, ended) = mpsc::channel();
        let stop = Stop::default();
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("mailtm-growth".into());
        thread.spawn(move || stopped.ends(|| follow(&fs, &forget, &grown, &ended)))?;
        Ok(Self { stop, _ends: ends })
    }
}

fn follow(fs: &Fs, forget: &Forget, grown: &dyn Fn(), ended: &Receiver<()>) {
    give_way();
    let mut known = HashMap::new();
    while ended.recv_timeout(ROUND) == Err(RecvTimeoutError::Timeout) {
        look(fs, forget, grown, &mut known);
    }
}

/// Looks at the dates that are due; they are known by their snapshots' keys, which stay when they grow.
fn look(fs: &Fs, forget: &Forget, grown: &dyn Fn(), known: &mut HashMap<Vec<u8>, Next>) {
    let dates = fs.may_grow();
    known.retain(|key, _| fs.is_snapshot(key));
    for open in dates {
        let next = known.entry(open.snapshot.key.clone()).or_insert(Next {
            due: Instant::now(),
            interval: ROUND,
        });
        if Instant::now() < next.due {
            continue;
        }
        let found = fs.look_for_growth(&open);
        next.due = Instant::now() + next.interval;
        next.interval = (next.interval * 2).min(LONGEST);
        match found {
            Ok(FoundGrowth::Grown) => match fs.show_grown(&open) {
                Ok(changes) => {
                    changes.into_iter().for_each(|change| forget(change));
                    grown();
                }
                Err(e) => tracing::warn!("{}: not shown anew: {e}", open.snapshot.label),
            },
            Ok(FoundGrowth::Nothing | FoundGrowth::Over) => {}
            Err(e) => tracing::debug!("{}: looking for growth: {e}", open.snapshot.label),
        }
    }
}
