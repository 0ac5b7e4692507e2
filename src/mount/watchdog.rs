//! Telling systemd that the mount still answers, so that a daemon that does not is restarted.
//!
//! Each sign of life follows a question that went the whole way through the kernel and back: a look-up of a name that is never
//! there, at the top of the mount, where the kernel believes nothing for long. It is answered from memory. So a store
//! that hangs costs no sign of life; a daemon that takes no requests any more gives none.

use sd_notify::NotifyState;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};

/// No date has this name.
const NOT_THERE: &str = ".mailtm-watchdog";

/// The thread that gives signs of life; it stops when this is dropped.
pub(super) struct Watchdog {
    _stop: Sender<()>,
}

impl Watchdog {
    /// Starts the thread, if systemd wants signs of life.
    pub fn start(mountpoint: &Path) -> std::io::Result<Option<Self>> {
        let Some(limit) = sd_notify::watchdog_enabled() else {
            return Ok(None);
        };
        let question: PathBuf = mountpoint.join(NOT_THERE);
        let (stop, stopped) = mpsc::channel::<()>();
        std::thread::Builder::new()
            .name("mailtm-watchdog".into())
            .spawn(move || {
                // Three tries before systemd gives up.
                while stopped.recv_timeout(limit / 3) == Err(RecvTimeoutError::Timeout) {
                    match std::fs::symlink_metadata(&question) {
                        Err(e) if e.kind() == ErrorKind::NotFound => {
                            super::status::notify(&[NotifyState::Watchdog]);
                        }
                        other => {
                            tracing::warn!("the mount does not answer as it should: {other:?}")
                        }
                    }
                }
            })?;
        Ok(Some(Self { _stop: stop }))
    }
}
