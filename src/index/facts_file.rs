//! The file `facts.sqlite`: its tables, and the connections to it.
//!
//! Readers take a connection each from a small pool and never wait for the writer (WAL). Whoever finds the file damaged asks the writer
//! to set it aside and make a new one; meanwhile and after other troubles there are no facts for a while.

use super::database::{
    Fault, Found, Layout, Notices, Past, Rest, Trouble, file_at, lock, make_directory,
};
use super::fact::{FROM_KEY, MAILBOX};
use super::pack::{BASES, LATEST_PACK, LISTING, PACK};
use super::queue::{Job, Queue};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) const LAYOUT: Layout = Layout {
    name: "facts.sqlite",
    application_id: 0x6d74_6d46,
    version: 5,
    journal: "WAL",
    synchronous: "NORMAL",
    schema: "
        CREATE TABLE mailbox (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE);
        CREATE TABLE fact (
            mailbox INTEGER, identity BLOB, size INTEGER, secs INTEGER, nanos INTEGER,
            value BLOB, crc INTEGER,
            PRIMARY KEY (mailbox, identity, size, secs, nanos)) WITHOUT ROWID;
        CREATE TABLE pack (
            id INTEGER PRIMARY KEY, mailbox INTEGER, folder BLOB, stamp BLOB, used INTEGER,
            listing INTEGER, crc INTEGER, UNIQUE (mailbox, folder, stamp));
        CREATE INDEX pack_by_listing ON pack (listing);
        -- Apart from `pack`, whose rows change when they are used, and share one where the folder is the same.
        -- With a base, `content` is what is added to that, which may have one itself; `bases` counts them.
        CREATE TABLE listing (
            id INTEGER PRIMARY KEY, made_for BLOB, plain_size INTEGER, content BLOB, base INTEGER, bases INTEGER,
            crc INTEGER);
        CREATE INDEX listing_by_base ON listing (base) WHERE base IS NOT NULL;",
    probes: &[MAILBOX, FROM_KEY, PACK, LISTING, BASES, LATEST_PACK],
};

/// How long a reader waits for a lock. Only another program holds one that shuts readers out.
const READER_WAIT: Duration = Duration::from_millis(50);

/// How many idle readers are kept open.
const IDLE_READERS: usize = 4;

pub(super) const MADE_AGAIN: &str = "made anew; messages are read anew as they are looked at";

const DONE_WITHOUT: &str = "done without for now: messages are read anew";

pub(super) const MADE_ANEW: &str =
    "set aside as facts.sqlite.damaged and made anew; messages are read anew as they are looked at";

/// The file, as readers and the writer share it.
pub(super) struct FactsFile {
    pub dir: PathBuf,
    pub queue: Queue,
    notices: Arc<Notices>,
    /// Idle readers. Whoever reads holds the lock shared, whoever replaces the file holds it alone.
    readers: RwLock<Mutex<Vec<Connection>>>,
    rest: Mutex<Rest>,
    /// Which file is open.
    file: Mutex<Option<(u64, u64)>>,
    /// A reader found the file damaged, and it has not been replaced since.
    pub damaged: AtomicBool,
}

impl FactsFile {
    pub fn new(dir: &Path, notices: Arc<Notices>) -> Self {
        Self {
            dir: dir.to_owned(),
            queue: Queue::default(),
            notices,
            readers: RwLock::default(),
            rest: Mutex::default(),
            file: Mutex::default(),
            damaged: AtomicBool::new(false),
        }
    }

    /// Opens it for writing, made anew if need be; says what was there.
    pub fn open(&self) -> Result<(Connection, Past), Fault> {
        let (connection, found) = LAYOUT.open(&self.dir)?;
        if let Found::Useless(fault) = &found {
            self.report(fault, MADE_ANEW);
        }
        let mailboxes = "SELECT EXISTS (SELECT 1 FROM mailbox)";
        let past = match found {
            Found::Nothing => Past::Nothing,
            // What is damaged is for those to find out who need it.
            _ => match connection.query_row(mailboxes, [], |row| row.get(0)) {
                Ok(true) => Past::Rows,
                _ => Past::Tables,
            },
        };
        if connection.is_readonly("main")? {
            return Err(Fault::new(Trouble::Unwritable, "the file is not writable"));
        }
        *lock(&self.file) = file_at(&LAYOUT.path(&self.dir));
        Ok((connection, past))
    }

    /// Asks the file something; `None` if it can't answer.
    pub fn read<T>(&self, ask: impl FnOnce(&Connection) -> Result<T, Fault>) -> Option<T> {
        if !lock(&self.rest).is_over() {
            return None;
        }
        let readers = self.readers.read().unwrap_or_else(PoisonError::into_inner);
        let idle = lock(&readers).pop();
        let answer = idle
            .map_or_else(|| self.open_reader(), Ok)
            .and_then(|reader| Ok((ask(&reader)?, reader)));
        match answer {
            Ok((answer, reader)) => {
                let mut idle = lock(&readers);
                if idle.len() < IDLE_READERS {
                    idle.push(reader);
                }
                Some(answer)
            }
            Err(fault) => {
                lock(&self.rest).begin();
                if !self.is_there() {
                    // The writer tells.
                    self.queue.put(Job::Renew);
                    return None;
                }
                if fault.trouble == Trouble::Damaged {
                    self.damaged.store(true, Ordering::Relaxed);
                    self.queue.put(Job::Renew);
                }
                self.report(&fault, DONE_WITHOUT);
                None
            }
        }
    }

    fn open_reader(&self) -> Result<Connection, Fault> {
        let reader = LAYOUT.open_reader(&self.dir)?;
        reader.busy_timeout(READER_WAIT)?;
        Ok(reader)
    }

    /// Whether the file that is open can still be found.
    pub fn is_there(&self) -> bool {
        file_at(&LAYOUT.path(&self.dir)) == *lock(&self.file)
    }

    /// Makes a new file in place of a damaged one, while nobody reads it.
    pub fn renew(&self) -> Result<Connection, Fault> {
        self.change(|| LAYOUT.renew(&self.dir))
    }

    /// Makes the file anew that was removed, or opens the one that somebody else has made there.
    pub fn reopen(&self) -> Result<Connection, Fault> {
        self.change(|| {
            make_directory(&self.dir)?;
            LAYOUT.open(&self.dir).map(|(connection, _)| connection)
        })
    }

    fn change(
        &self,
        open: impl FnOnce() -> Result<Connection, Fault>,
    ) -> Result<Connection, Fault> {
        let readers = self.readers.write().unwrap_or_else(PoisonError::into_inner);
        lock(&readers).clear();
        let connection = open()?;
        *lock(&self.file) = file_at(&LAYOUT.path(&self.dir));
        *lock(&self.rest) = Rest::default();
        self.damaged.store(false, Ordering::Relaxed);
        Ok(connection)
    }

    pub fn report(&self, fault: &Fault, outcome: &str) {
        self.notices.report(&LAYOUT.path(&self.dir), fault, outcome);
    }
}

/// The unit in which it is remembered when a pack was used: hours since 1970.
pub(super) fn hour() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |t| (t.as_secs() / 3600).cast_signed())
}
