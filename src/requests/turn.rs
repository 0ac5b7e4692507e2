//! Whose turn it is to carry out requests and to send letters: one process's at a time.

use super::database::private;
use crate::error::{Error, Kind, Result};
use rustix::fs::FlockOperation;
use std::fs::{File, OpenOptions};
use std::path::Path;

const FILE: &str = "worker.lock";

/// As long as this lives, no other process carries out requests. The kernel ends it with its process.
#[derive(Debug)]
pub struct Turn {
    _lock: File,
}

impl Turn {
    /// Takes the turn, in the directory of the database; `None` if another process has it.
    pub fn take(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FILE);
        let failed = |e: std::io::Error| {
            let cure = "run this as the user of the portal, or as root";
            Error::new(
                Kind::Failed,
                format!("locking {}: {e}: {cure}", path.display()),
            )
        };
        private(&path).map_err(failed)?;
        let lock = OpenOptions::new().write(true).open(&path).map_err(failed)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _lock: lock })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(failed(e.into())),
        }
    }
}
