//! The file `requests.sqlite`: made, recognised, shared by several processes at once.
//!
//! Unlike an index it cannot be made anew: a file that is damaged, or of another version, is an error and is left alone.

use crate::error::{Error, Kind, Result};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

const FILE: &str = "requests.sqlite";
const APPLICATION_ID: i32 = 0x6d74_7271;
const VERSION: i32 = 1;

/// How long another process's transaction is waited for.
const WAIT: Duration = Duration::from_secs(20);

const SCHEMA: &str = "
CREATE TABLE installation (name TEXT NOT NULL) STRICT;
CREATE TABLE request (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    token         TEXT NOT NULL,
    mailbox       TEXT NOT NULL,
    asked_by      TEXT NOT NULL,
    asked         INTEGER NOT NULL,
    date          TEXT NOT NULL,
    snapshot_time INTEGER NOT NULL,
    folder        TEXT,
    messages      TEXT NOT NULL,
    message_count INTEGER NOT NULL,
    put_into      TEXT,
    note          TEXT NOT NULL,
    language      TEXT NOT NULL,
    expires       TEXT,
    cost          TEXT,
    state         TEXT NOT NULL,
    tally         TEXT,
    report        TEXT,
    attempts      INTEGER NOT NULL DEFAULT 0,
    due           INTEGER NOT NULL DEFAULT 0,
    trouble       TEXT,
    UNIQUE (asked_by, token)
) STRICT;
CREATE INDEX request_by_state ON request (state, id);
CREATE TABLE event (
    id         INTEGER PRIMARY KEY,
    request    INTEGER NOT NULL REFERENCES request,
    at         INTEGER NOT NULL,
    who        TEXT NOT NULL,
    from_state TEXT,
    to_state   TEXT NOT NULL,
    why        TEXT,
    UNIQUE (request, to_state)
) STRICT;
CREATE TABLE letter (
    id        INTEGER PRIMARY KEY,
    request   INTEGER NOT NULL REFERENCES request,
    kind      TEXT NOT NULL,
    recipient TEXT NOT NULL,
    language  TEXT NOT NULL,
    queued    INTEGER NOT NULL,
    attempts  INTEGER NOT NULL DEFAULT 0,
    tried     INTEGER,
    due       INTEGER NOT NULL,
    sent      INTEGER,
    abandoned INTEGER,
    trouble   TEXT,
    UNIQUE (request, kind, recipient)
) STRICT;
CREATE INDEX letter_waiting ON letter (due) WHERE sent IS NULL AND abandoned IS NULL;
";

/// The open file.
#[derive(Debug)]
pub(super) struct Database {
    pub connection: Connection,
    pub path: PathBuf,
}

impl Database {
    /// Opens the file in a directory; both are made where they are missing, for their owner alone.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.and_then(|()| private(&path))
            .map_err(|e| unusable(&path, &e))?;
        let connection = Connection::open_with_flags(
            &path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(|e| failed(&path, "opening it", &e))?;
        let mut database = Self { connection, path };
        database
            .prepare()
            .map_err(|e| failed(&database.path, "opening it", &e))?;
        let (application_id, version) = database
            .identity()
            .map_err(|e| failed(&database.path, "opening it", &e))?;
        if (application_id, version) != (APPLICATION_ID, VERSION) {
            let path = database.path.display();
            return Err(Error::new(
                Kind::Config,
                match application_id {
                    APPLICATION_ID => format!(
                        "{path}: it has layout {version} and this mailtm knows {VERSION}: use the mailtm that made it, \
                         or name another directory as path under [portal]"
                    ),
                    _ => format!(
                        "{path}: no file of mailtm's: name a directory of its own as path under [portal]"
                    ),
                },
            ));
        }
        Ok(database)
    }

    fn prepare(&mut self) -> rusqlite::Result<()> {
        self.connection.busy_timeout(WAIT)?;
        self.connection
            .pragma_update(None, "cell_size_check", true)?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Under the lock, so that one process makes the tables.
        let tables: i64 =
            transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if tables == 0 {
            transaction.execute_batch(SCHEMA)?;
            transaction.execute(
                "INSERT INTO installation VALUES (lower(hex(randomblob(16))))",
                [],
            )?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        transaction.commit()?;
        self.connection.pragma_update(None, "synchronous", "FULL")?;
        self.connection.pragma_update(None, "foreign_keys", true)?;
        // The readers of the panel and the writer of an outcome do not wait for each other.
        self.connection.pragma_update(None, "journal_mode", "WAL")
    }

    fn identity(&self) -> rusqlite::Result<(i32, i32)> {
        let read = |name| {
            self.connection
                .pragma_query_value(None, name, |row| row.get(0))
        };
        Ok((read("application_id")?, read("user_version")?))
    }

    /// Does something in one transaction, which is on disk when this returns.
    pub fn change<T>(
        &mut self,
        doing: &str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Refusal>,
    ) -> Result<T> {
        let path = self.path.clone();
        let said = |refusal: Refusal| match refusal {
            Refusal::Database(e) => failed(&path, doing, &e),
            Refusal::Told(e) => e,
        };
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|e| said(e.into()))?;
        let result = work(&transaction).map_err(&said)?;
        transaction.commit().map_err(|e| said(e.into()))?;
        Ok(result)
    }

    /// Reads something.
    pub fn read<T>(
        &self,
        doing: &str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        work(&self.connection).map_err(|e| failed(&self.path, doing, &e))
    }
}

/// Why a transaction was not made.
pub(super) enum Refusal {
    Database(rusqlite::Error),
    /// It is not to be.
    Told(Error),
}

impl From<rusqlite::Error> for Refusal {
    fn from(e: rusqlite::Error) -> Self {
        Self::Database(e)
    }
}

impl From<Error> for Refusal {
    fn from(e: Error) -> Self {
        Self::Told(e)
    }
}

fn failed(path: &Path, doing: &str, e: &rusqlite::Error) -> Error {
    let cure = match e.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process holds it for long: see which with `fuser -v`"
        }
        Some(ErrorCode::DiskFull) => "make room on its file system",
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "run this as the user of the portal, or as root"
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "put it back from a backup, or move it away and begin without the requests that it had"
        }
        _ => "see that its disk is not bad or full",
    };
    Error::new(
        Kind::Failed,
        format!("{}: {doing}: {e}: {cure}", path.display()),
    )
}

fn unusable(path: &Path, e: &io::Error) -> Error {
    let cure = "run this as the user of the portal or as root, or name another directory as path under [portal]";
    Error::new(Kind::Failed, format!("{}: {e}: {cure}", path.display()))
}

/// Sees to it that a file exists and that its owner alone can read it, who is that of the directory if root makes it: SQLite
/// gives its journals the same owner and mode.
pub(super) fn private(path: &Path) -> io::Result<()> {
    // Only a new file may be opened here: closing any descriptor of a database gives up this process's locks on it.
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let directory = fs::metadata(path.parent().unwrap_or(Path::new("/")))?;
    if rustix::process::geteuid().is_root() && metadata.uid() != directory.uid() {
        // Not what its owner may have put in its place meanwhile.
        lchown(path, Some(directory.uid()), Some(directory.gid()))?;
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
    }
    Ok(())
}
