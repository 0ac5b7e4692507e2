//! Warning in the log when no new snapshot has come for longer than usual, once each time that it happens; and telling systemd which
//! directories of snapshots cannot be read.

use crate::fs::Fs;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often the newest snapshot is looked at.
const EVERY: Duration = Duration::from_secs(60);

/// The thread that looks; it stops when this is dropped.
pub(super) struct Lateness {
    _stop: Sender<()>,
}

impl Lateness {
    pub fn watch(fs: Arc<Fs>) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("mailtm-lateness".into());
        thread.spawn(move || {
            let mut warned = false;
            loop {
                warned = look(&fs, warned);
                if stopped.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                super::status::tell(fs.catalogue());
            }
        })?;
        Ok(Self { _stop: stop })
    }
}

/// Warns unless that was done; whether a snapshot is missing.
fn look(fs: &Fs, warned: bool) -> bool {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        });
    let Some(newest) = fs.catalogue().dates().newest_age(now) else {
        return false;
    };
    if newest.is_late() && !warned {
        let hours = |secs: i64| format!("{}.{} h", secs / 3600, secs % 3600 / 360);
        tracing::warn!(
            "the newest snapshot is {} old, though there is one every {} as a rule: see whether the program that takes \
             snapshots still runs",
            hours(newest.age),
            hours(newest.interval.unwrap_or_default())
        );
    }
    newest.is_late()
}
