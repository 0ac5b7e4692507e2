//! Facts about messages and listings of folders in `facts.sqlite`: a cache.
//!
//! Readers take a connection each from a small pool and never wait for the writer (WAL). All writing is done by one
//! thread, from the [`Queue`]. Whoever finds the file damaged asks that thread to set it aside and make a new one;
//! meanwhile and after other troubles there are no facts for a while.

use super::database::{
    Fault, Found, Layout, Notices, Past, Rest, Trouble, checksum, file_at, lock, make_directory,
};
use super::pack::{
    BASES, Known, LATEST_PACK, LISTING, PACK, Pack, select_known_pack, select_latest_pack,
    select_pack,
};
use super::queue::{self, Job, Queue};
use super::writer;
use crate::disk::stop;
use crate::time::Time;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(super) const LAYOUT: Layout = Layout {
    name: "facts.sqlite",
    application_id: 0x6d74_6d46,
    version: 4,
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

const MAILBOX: &str = "SELECT id FROM mailbox WHERE key = ?1";

const FROM_KEY: &str = "SELECT identity, size, secs, nanos, value, crc FROM fact
     WHERE mailbox = ?1 AND (identity, size, secs, nanos) >= (?2, ?3, ?4, ?5)
     ORDER BY identity, size, secs, nanos";

/// How many rows nobody asked for are walked over before the next key is looked up: about what a look-up costs.
const STRIDE: usize = 16;

/// How long a reader waits for a lock. Only another program holds one that shuts readers out.
const READER_WAIT: Duration = Duration::from_millis(50);

/// How many idle readers are kept open.
const IDLE_READERS: usize = 4;

const FLUSH_WAIT: Duration = Duration::from_secs(30);

/// How long it is waited before it is looked whether to stop.
const SLICE: Duration = Duration::from_millis(100);

pub(super) const MADE_AGAIN: &str = "made anew; messages are read anew as they are looked at";

const DONE_WITHOUT: &str = "done without for now: messages are read anew";

/// What a message is known by: its store identity, and what tells whether it is still the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FactKey<'a> {
    /// Maildir base name or dbox GUID.
    pub identity: &'a [u8],
    /// Of the stored file, in bytes.
    pub size: u64,
    /// Of the stored file.
    pub mtime: Time,
}

impl<'a> FactKey<'a> {
    /// In the order of the file, where sizes are signed.
    pub(super) fn columns(&self) -> (&'a [u8], i64, i64, i64) {
        (
            self.identity,
            self.size.cast_signed(),
            self.mtime.secs,
            self.mtime.nanos.into(),
        )
    }

    pub(super) fn checksum(&self, mailbox: &[u8], value: &[u8]) -> u32 {
        let (identity, size, secs, nanos) = self.columns();
        checksum(&[
            mailbox,
            identity,
            &size.to_le_bytes(),
            &secs.to_le_bytes(),
            &nanos.to_le_bytes(),
            value,
        ])
    }
}

pub(super) struct Facts {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    /// What was there when it was opened.
    pub past: Past,
}

/// What readers and the writer share.
pub(super) struct Shared {
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

impl Facts {
    /// `None`, warned of, if the file can't be used.
    pub fn open(dir: &Path, notices: Arc<Notices>) -> Option<Self> {
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            queue: Queue::default(),
            notices,
            readers: RwLock::default(),
            rest: Mutex::default(),
            file: Mutex::default(),
            damaged: AtomicBool::new(false),
        });
        match Self::start(&shared) {
            Ok((writer, past)) => Some(Self {
                shared,
                writer: Some(writer),
                past,
            }),
            Err(fault) => {
                shared.report(
                    &fault,
                    "done without: messages are read anew at every mount",
                );
                None
            }
        }
    }

    fn start(shared: &Arc<Shared>) -> Result<(JoinHandle<()>, Past), Fault> {
        let (connection, found) = LAYOUT.open(&shared.dir)?;
        if let Found::Useless(fault) = &found {
            shared.report(fault, writer::MADE_ANEW);
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
        *lock(&shared.file) = file_at(&LAYOUT.path(&shared.dir));
        let shared = Arc::clone(shared);
        let writer = Builder::new()
            .name("index-writer".into())
            .spawn(move || writer::run(&shared, connection))
            .map_err(|e| Fault::new(Trouble::Failing, format!("cannot start a thread: {e}")))?;
        Ok((writer, past))
    }

    pub fn get(&self, mailbox: &[u8], keys: &[FactKey<'_>]) -> Vec<Option<Box<[u8]>>> {
        let mut found = vec![None; keys.len()];
        if !keys.is_empty() {
            self.shared
                .read(|connection| select_facts(connection, mailbox, keys, &mut found));
        }
        found
    }

    pub fn put<'a>(
        &self,
        mailbox: &[u8],
        facts: impl IntoIterator<Item = (FactKey<'a>, &'a [u8])>,
    ) {
        let facts = queue::Facts::collect(mailbox, facts);
        if !facts.is_empty() {
            self.shared.queue.put(Job::Facts(facts));
        }
    }

    pub fn pack(&self, mailbox: &[u8], folder: &[u8], stamp: &[u8]) -> Option<Pack> {
        let (known, pack) = self
            .shared
            .read(|connection| select_pack(connection, mailbox, folder, stamp))??;
        self.use_now(&known);
        Some(pack)
    }

    pub fn latest_pack(&self, mailbox: &[u8], folder: &[u8], prefix: &[u8]) -> Option<Pack> {
        self.shared
            .read(|connection| select_latest_pack(connection, mailbox, folder, prefix))?
            .map(|(_, pack)| pack)
    }

    /// Whether there is a listing for the state, without reading it.
    pub fn has_pack(&self, mailbox: &[u8], folder: &[u8], stamp: &[u8]) -> bool {
        let known = self
            .shared
            .read(|connection| select_known_pack(connection, mailbox, folder, stamp));
        let known = known.flatten();
        known.inspect(|known| self.use_now(known)).is_some()
    }

    fn use_now(&self, known: &Known) {
        if known.used < hour() {
            self.shared.queue.put(Job::Used(known.id));
        }
    }

    pub fn put_pack(
        &self,
        [mailbox, folder, stamp]: [&[u8]; 3],
        weight: usize,
        listing: queue::Listing,
    ) {
        self.shared.queue.put(Job::Pack(queue::Pack {
            mailbox: mailbox.into(),
            folder: folder.into(),
            stamp: stamp.into(),
            listing,
            weight,
        }));
    }

    pub fn wait_for_room(&self) {
        let (stop, end) = (stop::current(), Instant::now() + FLUSH_WAIT);
        while !stop.is_set() && !self.shared.queue.wait_for_room(SLICE) && Instant::now() < end {}
    }

    pub fn flush(&self) {
        self.shared.queue.flush(FLUSH_WAIT);
    }
}

impl Drop for Facts {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("index: the writer of facts has panicked");
        }
    }
}

impl Shared {
    /// Asks the file something; `None` if it can't answer.
    fn read<T>(&self, ask: impl FnOnce(&Connection) -> Result<T, Fault>) -> Option<T> {
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

pub(super) fn mailbox_id(connection: &Connection, key: &[u8]) -> Result<Option<i64>, Fault> {
    let mut select = connection.prepare_cached(MAILBOX)?;
    Ok(select.query_row([key], |row| row.get(0)).optional()?)
}

/// Walks through the facts of a mailbox and the keys side by side, both in the same order.
fn select_facts(
    connection: &Connection,
    mailbox: &[u8],
    keys: &[FactKey<'_>],
    found: &mut [Option<Box<[u8]>>],
) -> Result<(), Fault> {
    let Some(id) = mailbox_id(connection, mailbox)? else {
        return Ok(());
    };
    let mut wanted: Vec<_> = keys.iter().zip(found).collect();
    if !wanted.is_sorted_by_key(|(key, _)| key.columns()) {
        wanted.sort_by_key(|(key, _)| key.columns());
    }
    let mut wanted = wanted.into_iter().peekable();
    let mut select = connection.prepare_cached(FROM_KEY)?;
    while let Some((first, _)) = wanted.peek() {
        let (identity, size, secs, nanos) = first.columns();
        let mut rows = select.query(params![id, identity, size, secs, nanos])?;
        let left = wanted.len();
        let mut skipped = 0;
        while skipped < STRIDE {
            let Some(row) = rows.next()? else {
                return Ok(());
            };
            let Some((key, value, crc)) = decode_fact(row) else {
                skipped += 1;
                continue;
            };
            while wanted
                .next_if(|(wanted, _)| wanted.columns() < key.columns())
                .is_some()
            {}
            skipped += 1;
            while let Some((_, found)) = wanted.next_if(|(wanted, _)| **wanted == key) {
                skipped = 0;
                if crc == i64::from(key.checksum(mailbox, value)) {
                    *found = Some(value.into());
                }
            }
            if wanted.len() == 0 {
                return Ok(());
            }
        }
        // Only among damaged rows is a key neither found nor passed.
        if wanted.len() == left {
            wanted.next();
        }
    }
    Ok(())
}

/// A row of the file as far as its types are right; its checksum is for the caller to check.
fn decode_fact<'r>(row: &'r Row<'_>) -> Option<(FactKey<'r>, &'r [u8], i64)> {
    let integer = |i| row.get_ref(i).ok()?.as_i64().ok();
    let key = FactKey {
        identity: row.get_ref(0).ok()?.as_blob().ok()?,
        size: integer(1)?.cast_unsigned(),
        mtime: Time {
            secs: integer(2)?,
            nanos: u32::try_from(integer(3)?).ok()?,
        },
    };
    Some((key, row.get_ref(4).ok()?.as_blob().ok()?, integer(5)?))
}
