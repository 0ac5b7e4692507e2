//! The catalogue: which snapshots there are, and what date each has. It knows no mail.
//!
//! Snapshots are directories inside the directories that an administrator configured, made and removed by other
//! programs while mailtm runs. Each gets a moment (from its name, from snapper's `info.xml`, or else the modification
//! time of its root), a label (the local date), and an identity.
//!
//! Invariants:
//! - A snapshot's key says what it is. One that was removed and made again with other content, or was still being
//!   written, is another snapshot; one that was only renamed (rsnapshot's `daily.0` to `daily.1`) is the same.
//! - Only a successful listing that lacks a name drops a snapshot; a directory that cannot be read keeps what was
//!   known of it. No directory waits for another.
//! - [`Dates`] is immutable; it is replaced as a whole, and only when something changed.
//! - Links are never followed among the children of a configured directory.
//!
//! The cast: [`source`] finds snapshot directories from a path that somebody typed; [`name`] and [`pattern`] read dates
//! in names; `directory` scans one configured directory, with `root` to look at one snapshot's root; [`Dates`] is the
//! merged result and [`Changes`] the difference of two; [`Catalogue`] keeps it current.

mod catalogue;
mod dates;
mod directory;
pub mod name;
pub mod pattern;
mod root;
pub mod source;

pub use catalogue::{Catalogue, Watch};
pub use dates::{Changes, Dates, NewestAge};
pub use directory::{Listed, unanswered};

use crate::time::Zone;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Which snapshots get a label of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Granularity {
    /// Each local date shows its last snapshot: `YYYY-MM-DD`.
    #[default]
    Day,
    /// Each snapshot is shown: `YYYY-MM-DD_HHMM`.
    Snapshot,
}

/// Where snapshots are and which of them are shown.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directories whose children are snapshots.
    pub dirs: Vec<PathBuf>,
    /// Relative path inside each snapshot that is shown as its root; a snapshot without it is not shown.
    pub below: PathBuf,
    /// strftime pattern of the names; `None`: names are recognised.
    pub name: Option<String>,
    pub granularity: Granularity,
    /// The zone of dates, and of times in names that name none.
    pub zone: Zone,
    /// Shows today and so many days before it; `None`: all.
    pub keep_days: Option<u32>,
    /// How often a [`Watch`] scans.
    pub refresh: Duration,
    /// Those of `dirs` that do not answer now, if that is no reason to stop: the first scan does not wait for them, and what
    /// they hold is known later.
    pub silent: Vec<PathBuf>,
    /// How long a scan is waited for; a directory that takes longer is treated as one that cannot be read.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dirs: Vec::new(),
            below: PathBuf::new(),
            name: None,
            granularity: Granularity::Day,
            zone: Zone::System,
            keep_days: None,
            refresh: Duration::from_secs(30),
            silent: Vec::new(),
            timeout: Duration::from_secs(30),
        }
    }
}

/// What a snapshot's moment was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatedBy {
    /// The name, by the configured pattern.
    Pattern,
    /// The name, in this maker's spelling.
    Name(name::Style),
    /// snapper's `info.xml`.
    InfoXml,
    /// The modification time of the snapshot's root, as its name holds no date.
    RootTime,
}

/// One snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// `YYYY-MM-DD` or `YYYY-MM-DD_HHMM`, local.
    pub label: String,
    /// Seconds since 1970.
    pub time: i64,
    /// The configured directory it is in.
    pub dir: PathBuf,
    /// Its name there: one path component, any bytes.
    pub name: OsString,
    /// What is shown: `dir`/`name`, for snapper `dir`/7/snapshot, followed by [`Options::below`].
    pub root: PathBuf,
    /// Its full identity, unique in the catalogue, the same after a restart or a remount. Depends on a path only
    /// where nothing else tells two snapshots apart.
    pub key: Vec<u8>,
    /// A hash for its serial number, the same on every file server that mounts the same snapshots.
    pub seed: u64,
    pub dated_by: DatedBy,
}

#[cfg(test)]
mod tests;
