//! One SQLite file of the index: recognised as ours, made, or set aside.
//!
//! Nothing is known about a file that stands where ours should be: it may be empty, garbage, cut off, another
//! program's, of another version, locked for ever. What opens is ours, of this version, with all its tables; for
//! everything else there is a [`Fault`], and where a new file can take its place, the old one is renamed to
//! `<name>.damaged` first. A file that is open may be removed all the same: SQLite goes on with what nobody will find again, so
//! who writes asks [`file_at`] first.

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is written goes to a log first. After so many pages of 4 KiB they are brought into the file, in one go and in its order.
/// Whoever is the first to open the file reads the log through.
const LOG_PAGES: i64 = 4000;

/// How long a lock of somebody else is waited for when a file is opened. There are two files, and a locked one is
/// given up at the first wait.
const OPEN_WAIT: Duration = Duration::from_millis(400);

/// How long a file that gave trouble is left alone before it is tried again.
const REST: Duration = Duration::from_secs(30);

/// What is wrong with a file, as far as it decides what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Trouble {
    Damaged,
    /// Another program's, or of another version.
    Foreign,
    /// Removed, while it was in use or before.
    Vanished,
    Locked,
    Unwritable,
    Full,
    /// The device, the memory, or something that nobody thought of.
    Failing,
}

impl Trouble {
    fn cure(self) -> &'static str {
        match self {
            Self::Damaged => "nothing need be done; check the disk if it happens again",
            Self::Foreign => "give mailtm a directory of its own as [index] path",
            Self::Vanished => "see that nothing clears that directory",
            Self::Locked => {
                "stop the other process that holds it (see `fuser -v`), then start again"
            }
            Self::Unwritable => {
                "make it writable for mailtm's user, or set another [index] path, then start again"
            }
            Self::Full => "make room on its file system",
            Self::Failing => "see whether its disk is full or bad (kernel's log)",
        }
    }
}

/// A trouble with the words of whoever noticed it.
#[derive(Debug)]
pub(super) struct Fault {
    pub trouble: Trouble,
    pub detail: String,
}

impl Fault {
    pub fn new(trouble: Trouble, detail: impl Into<String>) -> Self {
        Self {
            trouble,
            detail: detail.into(),
        }
    }

    pub fn vanished() -> Self {
        Self::new(Trouble::Vanished, "it was removed while it was in use")
    }

    pub fn cure(&self) -> &'static str {
        self.trouble.cure()
    }

    /// Found when it was opened.
    pub fn lost(beside: &str) -> Self {
        let detail = format!("there is nothing in it, though {beside} beside it is filled");
        Self::new(Trouble::Vanished, detail)
    }

    /// Whether a new file is the way out.
    fn calls_for_a_new_file(&self) -> bool {
        matches!(self.trouble, Trouble::Damaged | Trouble::Foreign)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        let trouble = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Trouble::Locked,
            Some(ErrorCode::DiskFull) => Trouble::Full,
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Trouble::Unwritable
            }
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::OutOfMemory
                | ErrorCode::TooBig,
            ) => Trouble::Failing,
            // The statements are known to be right: tables or types that don't fit them are the file's fault.
            _ => Trouble::Damaged,
        };
        Self::new(trouble, error.to_string())
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        let trouble = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Trouble::Full,
            _ => Trouble::Unwritable,
        };
        Self::new(trouble, error.to_string())
    }
}

/// Warns of each trouble once in the life of an index; damage, once for each file.
#[derive(Default)]
pub(super) struct Notices {
    given: Mutex<HashSet<(Trouble, PathBuf)>>,
}

impl Notices {
    /// `outcome` says what is done about it.
    pub fn report(&self, path: &Path, fault: &Fault, outcome: &str) {
        let subject = match fault.trouble {
            Trouble::Damaged | Trouble::Foreign => path.to_owned(),
            _ => PathBuf::new(),
        };
        let (path, detail, cure) = (path.display(), &fault.detail, fault.cure());
        if lock(&self.given).insert((fault.trouble, subject)) {
            tracing::warn!("index {path}: {detail}; {outcome}; {cure}");
        } else {
            tracing::debug!("index {path}: {detail}");
        }
    }
}

/// When a file that gave trouble is tried again.
#[derive(Default)]
pub(super) struct Rest(Option<Instant>);

impl Rest {
    pub fn begin(&mut self) {
        self.0 = Some(Instant::now() + REST);
    }

    pub fn is_over(&self) -> bool {
        self.0.is_none_or(|end| Instant::now() >= end)
    }
}

/// What a file had when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Past {
    /// It was not there, or empty.
    Nothing,
    /// Its tables, and nothing in them.
    Tables,
    Rows,
}

/// What makes a file one of ours.
pub(super) struct Layout {
    pub name: &'static str,
    pub application_id: i32,
    pub version: i32,
    /// `PRAGMA journal_mode`
    pub journal: &'static str,
    /// `PRAGMA synchronous`
    pub synchronous: &'static str,
    pub schema: &'static str,
    /// Statements that name every table and column.
    pub probes: &'static [&'static str],
}

/// What was where a file was opened.
pub(super) enum Found {
    /// One of ours.
    Kept,
    /// None, or an empty one.
    Nothing,
    /// Something that was set aside for this reason.
    Useless(Fault),
}

impl Layout {
    pub fn path(&self, dir: &Path) -> PathBuf {
        dir.join(self.name)
    }

    /// Opens the file for reading and writing, making it where it is missing or useless.
    pub fn open(&self, dir: &Path) -> Result<(Connection, Found), Fault> {
        match self.open_existing(dir) {
            Ok((connection, false)) => Ok((connection, Found::Kept)),
            Ok((connection, true)) => Ok((connection, Found::Nothing)),
            Err(fault) if fault.calls_for_a_new_file() => {
                Ok((self.renew(dir)?, Found::Useless(fault)))
            }
            Err(fault) => Err(fault),
        }
    }

    /// Sets the file aside and makes a new one. No connection of this process may be open.
    pub fn renew(&self, dir: &Path) -> Result<Connection, Fault> {
        let path = self.path(dir);
        // A journal left behind would be played into the new file.
        for suffix in ["-journal", "-wal", "-shm", ""] {
            let damaged = appended(&appended(&path, ".damaged"), suffix);
            match fs::rename(appended(&path, suffix), damaged) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
                _ => {}
            }
        }
        self.open_existing(dir).map(|(connection, _)| connection)
    }

    /// The file, and whether there was nothing in it before.
    fn open_existing(&self, dir: &Path) -> Result<(Connection, bool), Fault> {
        let path = self.path(dir);
        create_private(&path)?;
        let connection = Connection::open_with_flags(
            &path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(OPEN_WAIT)?;
        settle(&connection)?;
        let is_new = self.is_blank(&connection)? && self.initialise(&connection)?;
        let (application_id, version) = identity(&connection)?;
        if (application_id, version) != (self.application_id, self.version) {
            return Err(Fault::new(
                Trouble::Foreign,
                format!(
                    "it is another program's or another version's (application id {application_id:#x}, version {version})"
                ),
            ));
        }
        for probe in self.probes {
            connection.prepare(probe)?;
        }
        connection.pragma_update(None, "journal_mode", self.journal)?;
        connection.pragma_update(None, "synchronous", self.synchronous)?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        Ok((connection, is_new))
    }

    /// Opens a file that [`open`](Self::open) has opened before, for reading only.
    pub fn open_reader(&self, dir: &Path) -> Result<Connection, Fault> {
        let connection = Connection::open_with_flags(
            self.path(dir),
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        settle(&connection)?;
        Ok(connection)
    }

    fn is_blank(&self, connection: &Connection) -> Result<bool, Fault> {
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok(tables == 0 && identity(connection)? == (0, 0))
    }

    /// Fills a blank file; whether it was blank still.
    fn initialise(&self, connection: &Connection) -> Result<bool, Fault> {
        connection.pragma_update(None, "journal_mode", self.journal)?;
        let transaction =
            rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        // Another process may have been quicker.
        let is_blank = self.is_blank(&transaction)?;
        if is_blank {
            transaction.execute_batch(self.schema)?;
            transaction.pragma_update(None, "application_id", self.application_id)?;
            transaction.pragma_update(None, "user_version", self.version)?;
        }
        transaction.commit()?;
        Ok(is_blank)
    }
}

/// Brings what the log has into the file, as far as nobody reads it there now. Where that fails nothing is lost: it stays in the
/// log. `wait`: how long this connection waits for others otherwise.
pub(super) fn empty_log(connection: &Connection, wait: Duration) -> Result<(), Fault> {
    connection.busy_timeout(Duration::ZERO)?;
    // The first shuts nobody out, however long it takes, and leaves little to do for the second.
    for kind in ["PASSIVE", "TRUNCATE"] {
        let checkpoint = format!("PRAGMA wal_checkpoint({kind})");
        if let Err(e) = connection.query_row(&checkpoint, [], |_| Ok(())) {
            tracing::debug!("index: a log is not emptied: {e}");
        }
    }
    Ok(connection.busy_timeout(wait)?)
}

/// How a connection behaves, whatever it is for.
fn settle(connection: &Connection) -> Result<(), Fault> {
    // Damage is to be found where it is, before it is followed.
    connection.pragma_update(None, "cell_size_check", true)?;
    // A statement is planned once. Without this, one that joins tables is planned anew for each value that it is given.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Makes the directory of an index, for its user alone.
pub(super) fn make_directory(dir: &Path) -> Result<(), Fault> {
    Ok(DirBuilder::new().recursive(true).mode(0o700).create(dir)?)
}

/// Which file is at a path, by its numbers: another one is there if that was removed and made anew.
pub(super) fn file_at(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// CRC-32 of parts, each with its length, so that nothing can move from one part to the next.
pub(super) fn checksum(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize()
}

/// A lock whose data stay consistent whoever panics: every change to them is one step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sees to it that the file exists and only its owner can read it; SQLite gives its journals the same mode.
fn create_private(path: &Path) -> Result<(), Fault> {
    // Only a new file may be opened here: closing any descriptor of a database gives up this process's locks on it.
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(_) => give_to_owner_of_directory(path)?,
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e.into()),
        Err(_) => {}
    }
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(Fault::new(Trouble::Unwritable, "it is not a regular file"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// What root makes in the directory of mailtm's own user is that user's, or he could not use it.
pub(super) fn give_to_owner_of_directory(path: &Path) -> Result<(), Fault> {
    let Some(dir) = path
        .parent()
        .filter(|_| rustix::process::geteuid().is_root())
    else {
        return Ok(());
    };
    let owner = fs::metadata(dir)?;
    if owner.uid() != 0 {
        // Not what he may have put in its place meanwhile.
        lchown(path, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

fn identity(connection: &Connection) -> rusqlite::Result<(i32, i32)> {
    let read = |name| connection.pragma_query_value(None, name, |row| row.get(0));
    Ok((read("application_id")?, read("user_version")?))
}

fn appended(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
