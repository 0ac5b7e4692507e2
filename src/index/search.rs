//! Which messages have which words, and in which folders they stood when: `search.sqlite`, a cache.
//!
//! A row stands for a message in a folder, under the name that it is shown by. It has the times between which it was
//! there: *from* the moment of the first snapshot that has it *until* that of the first one that no longer has it. So
//! a new snapshot costs what changed since the one before, and a date that nobody shows any more costs nothing at all. A
//! thing that is shown by another name from some date on (a folder, a mailbox, a message) is another row.
//!
//! Snapshots are looked at in the order of their moments, mailbox by mailbox. One that turns up before the last that
//! was looked at has the mailbox looked at from the start; what was read of its messages stays.
//!
//! A row's number is its mailbox, INTERNALDATE and a counter, so that a mailbox's messages lie together, by date; and
//! whoever may not enter a mailbox is never given a number of its range.
//!
//! # Invariants
//!
//! - What is answered was written for that mailbox: each row has a checksum over it and its mailbox.
//! - The words have no operator of the query language in them, whatever somebody typed or sent.
//! - One process learns at a time ([`Search::lock`]); answers are given meanwhile.
//!
//! # Cast
//!
//! [`Search`] is the open file; `row` one message in a folder; `learning` what a snapshot changes; `query` who has the
//! words.

mod learning;
mod query;
mod row;

#[cfg(test)]
mod tests;

pub use learning::{Changed, Entry, Look, Missing, Text};
pub use query::{Field, Query, Term};
pub use row::{Folder, Reading, Row};

use super::database::{self, Fault, Found, Layout, Notices, Trouble};
use crate::error::{Error, Kind, Result};
use row::checksum_of_mailbox;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, params};
use rustix::fs::FlockOperation;
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LAYOUT: Layout = Layout {
    name: "search.sqlite",
    application_id: 0x6d74_6d57,
    version: 4,
    journal: "WAL",
    synchronous: "NORMAL",
    schema: "
        CREATE TABLE setting (fingerprint BLOB);
        CREATE TABLE snapshot (moment INTEGER PRIMARY KEY, key INTEGER);
        CREATE TABLE mailbox (
            id INTEGER PRIMARY KEY, path BLOB, name TEXT, learned BLOB, crc INTEGER, UNIQUE (path, name));
        CREATE TABLE folder (
            id INTEGER PRIMARY KEY, mailbox INTEGER, stored BLOB, shown TEXT,
            -- What it was like when it was last looked at; NULL: not there, or in doubt.
            state BLOB,
            -- Whether messages may be in it.
            occupied INTEGER,
            crc INTEGER,
            UNIQUE (mailbox, stored, shown));
        CREATE TABLE message (
            id INTEGER PRIMARY KEY, folder INTEGER, identity INTEGER, version INTEGER,
            since INTEGER, until INTEGER, earlier BLOB, same INTEGER, secs INTEGER, size INTEGER, reading INTEGER,
            name TEXT, sender TEXT, recipients TEXT, subject TEXT, attachments TEXT, crc INTEGER);
        -- The numbers are hashes. By time and by mailbox, what comes or goes together is on few pages.
        CREATE INDEX message_of_folder ON message (folder, secs, identity, version, until);
        CREATE INDEX message_same ON message (id >> 40, same);
        CREATE INDEX message_gone ON message (id >> 40, until) WHERE until IS NOT NULL;
        CREATE INDEX message_unread ON message (id >> 40, identity) WHERE reading > 0;
        CREATE VIRTUAL TABLE text USING fts5 (
            sender, recipients, subject, attachments, body,
            content = '', contentless_delete = 1, tokenize = 'ascii');",
    probes: &[
        "SELECT fingerprint FROM setting",
        "SELECT moment, key FROM snapshot",
        MAILBOX,
        "SELECT id, mailbox, stored, shown, state, occupied, crc FROM folder",
        row::SELECT,
        "SELECT rowid FROM text WHERE text MATCH ?1",
    ],
};

const MAILBOX: &str =
    "SELECT id, path, name, learned, crc FROM mailbox WHERE path = ?1 AND name = ?2";
const MAILBOXES: &str = "SELECT id, path, name, learned, crc FROM mailbox ORDER BY id";

/// How long another process's transaction is waited for.
const WAIT: Duration = Duration::from_secs(10);

/// Changes after which the log is emptied when all is done.
const MUCH: usize = 10_000;

/// Changes that are written together, and how long the first of them waits for others.
const WRITTEN_AT_ONCE: usize = 2000;
const OLDEST: Duration = Duration::from_secs(1);

/// Bytes of the file that are kept in memory.
const CACHE_KIB: i64 = 16 << 10;

/// Mailboxes have 23 bits in a row's number.
const MOST_MAILBOXES: i64 = 1 << 23;

/// A search index, for one thread.
pub struct Search {
    connection: Connection,
    /// `None`: for the life of this value.
    dir: Option<PathBuf>,
    fingerprint: Vec<u8>,
    /// The file has been found damaged.
    damaged: Cell<bool>,
    notices: Notices,
    batch: Batch,
}

/// What is written together: a commit costs as much as some dozens of messages.
#[derive(Debug, Default)]
struct Batch {
    /// A transaction goes on from one piece of work to the next.
    goes_on: Cell<bool>,
    begun: Cell<Option<Instant>>,
    changes: Cell<usize>,
    /// Changes since the log was [emptied](Search::empty_log).
    written: Cell<usize>,
}

impl Batch {
    /// Whether it is time to write it.
    fn is_full(&self) -> bool {
        self.changes.get() >= WRITTEN_AT_ONCE
            || self
                .begun
                .get()
                .is_none_or(|begun| begun.elapsed() > OLDEST)
    }
}

/// A mailbox by its path in the snapshots and the name that it is shown by.
#[derive(Clone, Debug)]
pub struct Mailbox {
    pub(super) id: i64,
    pub path: Vec<u8>,
    pub name: String,
    learned: Vec<Learned>,
}

/// Stands for the key of a snapshot where the mailbox was looked at as it was at that moment, live.
pub const LIVE: i64 = 0;

/// That a mailbox was looked at in a snapshot, or live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learned {
    /// The snapshot's, in seconds since 1970.
    pub moment: i64,
    /// A hash of the snapshot's key, or [`LIVE`].
    pub key: i64,
    /// When it was, if not all of it could be read; in seconds since 1970.
    pub failed: Option<i64>,
}

impl Mailbox {
    /// The snapshots that the mailbox was looked at in, in order.
    pub fn learned(&self) -> &[Learned] {
        &self.learned
    }

    /// The numbers of its messages.
    fn range(&self) -> (i64, i64) {
        (
            self.id << row::MAILBOX_SHIFT,
            ((self.id + 1) << row::MAILBOX_SHIFT) - 1,
        )
    }
}

/// Held by who learns.
#[derive(Debug)]
pub struct Lock {
    _file: Option<File>,
}

impl Search {
    /// Opens the search index in `dir`, made or emptied where it is missing, useless, or made with another fingerprint.
    ///
    /// # Errors
    /// [`Kind::Failed`]: nothing can be kept there.
    pub fn open(dir: &Path, fingerprint: &[u8]) -> Result<Self> {
        let notices = Notices::default();
        let open = || -> Result<Connection, Fault> {
            database::make_directory(dir)?;
            let (connection, found) = LAYOUT.open(dir)?;
            if let Found::Useless(fault) = found {
                let path = LAYOUT.path(dir);
                notices.report(
                    &path,
                    &fault,
                    "set aside as search.sqlite.damaged and made anew",
                );
            }
            if connection.is_readonly("main")? {
                return Err(Fault::new(Trouble::Unwritable, "the file is not writable"));
            }
            Ok(connection)
        };
        let connection = open().map_err(|fault| error(&LAYOUT.path(dir), &fault))?;
        Self::with(connection, Some(dir.to_owned()), fingerprint, notices)
    }

    /// A search index that is gone with this value; what does not fit the memory is in a file without a name.
    pub fn temporary(fingerprint: &[u8]) -> Result<Self> {
        let open = || -> Result<Connection, Fault> {
            let connection = Connection::open("")?;
            connection.execute_batch(LAYOUT.schema)?;
            Ok(connection)
        };
        let connection = open().map_err(|fault| error(Path::new("a temporary file"), &fault))?;
        Self::with(connection, None, fingerprint, Notices::default())
    }

    fn with(
        connection: Connection,
        dir: Option<PathBuf>,
        fingerprint: &[u8],
        notices: Notices,
    ) -> Result<Self> {
        let search = Self {
            connection,
            dir,
            fingerprint: fingerprint.to_vec(),
            damaged: Cell::new(false),
            notices,
            batch: Batch::default(),
        };
        search.checked(search.begin_use())?;
        Ok(search)
    }

    fn begin_use(&self) -> Result<(), Fault> {
        self.connection.busy_timeout(WAIT)?;
        // What the log has stays there for the next who opens the file: nobody waits for the disk in the end.
        self.connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        self.connection
            .pragma_update(None, "cache_size", -CACHE_KIB)?;
        let known: Option<Vec<u8>> = self
            .connection
            .query_row("SELECT fingerprint FROM setting", [], |row| row.get(0))
            .optional()?;
        if known.as_ref() != Some(&self.fingerprint) {
            self.connection.execute_batch(
                "BEGIN IMMEDIATE;
                 DELETE FROM setting; DELETE FROM snapshot; DELETE FROM mailbox; DELETE FROM folder;
                 DELETE FROM message; INSERT INTO text (text) VALUES ('delete-all');",
            )?;
            self.connection.execute(
                "INSERT INTO setting (fingerprint) VALUES (?1)",
                [&self.fingerprint],
            )?;
            self.connection.execute_batch("COMMIT")?;
        }
        Ok(())
    }

    /// Whether an error was the file's own fault, so that [`renewed`](Self::renewed) is the way out.
    pub fn is_damaged(&self) -> bool {
        self.damaged.get()
    }

    /// An empty file in place of this damaged one, which is set aside.
    pub fn renewed(self) -> Result<Self> {
        let Some(dir) = self.dir else {
            return Self::temporary(&self.fingerprint);
        };
        drop(self.connection);
        let connection = LAYOUT
            .renew(&dir)
            .map_err(|fault| error(&LAYOUT.path(&dir), &fault))?;
        Self::with(connection, Some(dir), &self.fingerprint, self.notices)
    }

    /// Makes this process the one that learns; `None` if another one is for longer than `wait`.
    pub fn lock(&self, wait: Duration) -> Result<Option<Lock>> {
        let Some(dir) = &self.dir else {
            return Ok(Some(Lock { _file: None }));
        };
        let path = dir.join("search.lock");
        let open = || -> Result<File, Fault> {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(&path)?;
            database::give_to_owner_of_directory(&path)?;
            Ok(file)
        };
        let file = open().map_err(|fault| error(&path, &fault))?;
        let end = Instant::now() + wait;
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Lock { _file: Some(file) })),
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(error(&path, &std::io::Error::from(e).into())),
            }
        }
    }

    /// The snapshots in which every mailbox was looked at: moment and key.
    pub fn complete(&self) -> Result<Vec<(i64, i64)>> {
        self.checked(self.select_complete())
    }

    fn select_complete(&self) -> Result<Vec<(i64, i64)>, Fault> {
        let mut select = self
            .connection
            .prepare_cached("SELECT moment, key FROM snapshot")?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Notes that in these snapshots, and in no others, every mailbox was looked at.
    pub fn set_complete(&self, snapshots: &[(i64, i64)]) -> Result<()> {
        self.checked(self.transaction(|| {
            self.connection.execute("DELETE FROM snapshot", [])?;
            let mut insert = self
                .connection
                .prepare_cached("INSERT OR REPLACE INTO snapshot (moment, key) VALUES (?1, ?2)")?;
            for (moment, key) in snapshots {
                insert.execute(params![moment, key])?;
            }
            Ok(())
        }))
    }

    /// All mailboxes that were ever looked at.
    pub fn mailboxes(&self) -> Result<Vec<Mailbox>> {
        self.checked(self.select_mailboxes())
    }

    fn select_mailboxes(&self) -> Result<Vec<Mailbox>, Fault> {
        let mut select = self.connection.prepare_cached(MAILBOXES)?;
        let mut rows = select.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(mailbox(row)?);
        }
        Ok(found)
    }

    /// A mailbox, known or new.
    pub fn mailbox(&self, path: &[u8], name: &str) -> Result<Mailbox> {
        self.checked(self.find_or_add_mailbox(path, name))
    }

    fn find_or_add_mailbox(&self, path: &[u8], name: &str) -> Result<Mailbox, Fault> {
        {
            let mut select = self.connection.prepare_cached(MAILBOX)?;
            let mut rows = select.query(params![path, name])?;
            if let Some(row) = rows.next()? {
                return mailbox(row);
            }
        }
        let id: i64 = self.connection.query_row(
            "SELECT coalesce(max(id), 0) + 1 FROM mailbox",
            [],
            |row| row.get(0),
        )?;
        if id >= MOST_MAILBOXES {
            return Err(Fault::new(
                Trouble::Failing,
                "more mailboxes than there are numbers for",
            ));
        }
        let new = Mailbox {
            id,
            path: path.to_vec(),
            name: name.to_owned(),
            learned: Vec::new(),
        };
        self.connection.execute(
            "INSERT INTO mailbox (id, path, name, learned, crc) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![id, path, name, Vec::<u8>::new(), checksum_of_mailbox(&new)],
        )?;
        Ok(new)
    }

    /// Drops a mailbox that no snapshot holds any more.
    pub fn forget(&self, mailbox: &Mailbox) -> Result<()> {
        self.checked(self.transaction(|| {
            let (first, last) = mailbox.range();
            let range = params![first, last];
            self.connection
                .execute("DELETE FROM text WHERE rowid BETWEEN ?1 AND ?2", range)?;
            self.connection
                .execute("DELETE FROM message WHERE id BETWEEN ?1 AND ?2", range)?;
            self.connection
                .execute("DELETE FROM folder WHERE mailbox = ?1", [mailbox.id])?;
            self.connection
                .execute("DELETE FROM mailbox WHERE id = ?1", [mailbox.id])?;
            Ok(())
        }))
    }

    /// Does work of many pieces, which are written some at a time; all of them are when it has ended, well or badly. What an
    /// error of the file itself has undone is learned again.
    pub fn in_batches<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.batch.goes_on.set(true);
        let done = work();
        self.batch.goes_on.set(false);
        let written = self.checked(self.end().and_then(|()| self.empty_log()));
        done.and_then(|done| written.map(|()| done))
    }

    /// After much was written, brings what the log has into the file: whoever comes next need not read it through.
    fn empty_log(&self) -> Result<(), Fault> {
        if self.batch.written.take() >= MUCH {
            database::empty_log(&self.connection, WAIT)?;
        }
        Ok(())
    }

    /// Begins a piece of work.
    fn begin(&self) -> Result<(), Fault> {
        if self.connection.is_autocommit() {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            self.batch.begun.set(Some(Instant::now()));
            self.batch.changes.set(0);
        }
        Ok(())
    }

    /// Notes a change within a piece of work.
    fn changed(&self) -> Result<(), Fault> {
        self.batch.changes.set(self.batch.changes.get() + 1);
        self.batch.written.set(self.batch.written.get() + 1);
        if self.batch.changes.get() >= WRITTEN_AT_ONCE {
            self.connection.execute_batch("COMMIT")?;
            self.begin()?;
        }
        Ok(())
    }

    /// Ends a piece of work.
    fn end(&self) -> Result<(), Fault> {
        let goes_on = self.batch.goes_on.get() && !self.batch.is_full();
        if !goes_on && !self.connection.is_autocommit() {
            self.connection.execute_batch("COMMIT")?;
        }
        Ok(())
    }

    /// A piece of work that is done as a whole or not at all.
    fn transaction<T>(&self, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        self.begin()?;
        let done = work().and_then(|done| {
            self.end()?;
            Ok(done)
        });
        if done.is_err() && !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        done
    }

    /// Turns a fault into an error for people, and remembers whether the file is to be renewed.
    fn checked<T>(&self, result: Result<T, Fault>) -> Result<T> {
        result.map_err(|fault| {
            let path = match &self.dir {
                Some(dir) => LAYOUT.path(dir),
                None => "a temporary file".into(),
            };
            if fault.trouble == Trouble::Damaged {
                self.damaged.set(true);
                self.notices.report(&path, &fault, "it is made anew");
            }
            error(&path, &fault)
        })
    }
}

fn mailbox(row: &rusqlite::Row<'_>) -> Result<Mailbox, Fault> {
    let learned: Vec<u8> = row.get(3)?;
    let mailbox = Mailbox {
        id: row.get(0)?,
        path: row.get(1)?,
        name: row.get(2)?,
        learned: row::decode_learned(&learned),
    };
    let crc: i64 = row.get(4)?;
    if crc == checksum_of_mailbox(&mailbox) {
        Ok(mailbox)
    } else {
        Err(Fault::new(Trouble::Damaged, "a mailbox's row is altered"))
    }
}

fn error(path: &Path, fault: &Fault) -> Error {
    let (path, detail, cure) = (path.display(), &fault.detail, fault.cure());
    Error::new(Kind::Failed, format!("index {path}: {detail}; {cure}"))
}

/// A number that stands for some bytes.
pub fn number(parts: &[&[u8]]) -> i64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let hash = hash.finalize();
    i64::from_le_bytes(hash.first_chunk().copied().unwrap_or_default())
}
