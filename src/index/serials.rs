//! Serial numbers in `serials.sqlite`.
//!
//! The file is a log: one row for each number given, in order, never changed and never removed, its ids 1, 2, 3…
//! without a gap, each with a checksum. So a process that shares the file with others reads on from where it was, and
//! a lost or altered row is noticed. The journal is a rollback journal, synchronised (directory included) before a
//! number leaves [`Serials::assign`].
//!
//! A damaged file is set aside and made anew from the rows that can still be read; things whose row is lost get the
//! number that their seed wants, which is mostly the one they had.

use super::database::{
    Fault, Found, Layout, Notices, Past, Rest, Trouble, checksum, file_at, lock, make_directory,
};
use super::numbers::{Numbers, Table, Taken};
use crate::error::{Error, Kind, Result};
use rusqlite::{Connection, Row as Record, Transaction, TransactionBehavior, params};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

pub(super) const LAYOUT: Layout = Layout {
    name: "serials.sqlite",
    application_id: 0x6d74_6d53,
    version: 1,
    journal: "TRUNCATE",
    synchronous: "EXTRA",
    schema: "CREATE TABLE serial (
                 id INTEGER PRIMARY KEY, family INTEGER, number INTEGER, key BLOB, crc INTEGER);",
    probes: &[SELECT, INSERT],
};

const SELECT: &str = "SELECT id, family, number, key, crc FROM serial WHERE id > ?1 ORDER BY id";
const INSERT: &str =
    "INSERT INTO serial (id, family, number, key, crc) VALUES (?1, ?2, ?3, ?4, ?5)";

/// How long another process's transaction is waited for: this pause, so often. SQLite's own longer and longer pauses
/// hardly ever meet the moment between two transactions of a busy neighbour.
const PAUSE: Duration = Duration::from_millis(2);
const PAUSES: i32 = 500;

pub(super) const MADE_AGAIN: &str = "made anew; folders get the same numbers again, but for a few: NFS clients may have to reopen those";

const FROM_MEMORY: &str = "new serial numbers are kept in memory until they can be saved";

/// The tables of serial numbers.
pub(super) struct Serials {
    /// Held while numbers are given. Lock order: this before `numbers`.
    log: Mutex<Log>,
    /// By [`Table::index`]. Never held while the disk is waited for.
    numbers: [RwLock<Numbers>; 2],
    path: PathBuf,
    persistent: bool,
    /// What was there when it was opened.
    pub past: Past,
    notices: Arc<Notices>,
}

struct Log {
    /// `None` where numbers live in memory only.
    connection: Option<Connection>,
    /// Which file is open, or was until it was removed; `None` if there never was one.
    file: Option<(u64, u64)>,
    state: State,
}

/// What this process knows of the log, and what it owes it.
struct State {
    /// The id of the last row that was read or written.
    last_id: i64,
    /// By [`Table::index`].
    taken: [Taken; 2],
    /// Numbers that were given while the disk refused.
    unsaved: HashSet<(Table, u32)>,
    rest: Rest,
}

/// A number given to a key.
struct Row {
    table: Table,
    number: u32,
    key: Box<[u8]>,
}

impl Serials {
    pub fn in_memory() -> Self {
        Self::new(PathBuf::new(), Arc::default())
    }

    fn new(path: PathBuf, notices: Arc<Notices>) -> Self {
        Self {
            log: Mutex::new(Log {
                connection: None,
                file: None,
                state: State {
                    last_id: 0,
                    taken: Table::ALL.map(Taken::new),
                    unsaved: HashSet::new(),
                    rest: Rest::default(),
                },
            }),
            numbers: Default::default(),
            path,
            persistent: false,
            past: Past::Nothing,
            notices,
        }
    }

    /// Never fails: a file that can't be used is done without, warned of.
    pub fn open(dir: &Path, notices: Arc<Notices>) -> Self {
        let mut serials = Self::new(LAYOUT.path(dir), notices);
        match serials.load(dir) {
            Ok((connection, past)) => {
                let file = file_at(&serials.path);
                let log = &mut *lock(&serials.log);
                (log.connection, log.file) = (Some(connection), file);
                (serials.persistent, serials.past) = (true, past);
            }
            Err(fault) => serials.report(&fault, "new serial numbers are kept in memory only"),
        }
        serials
    }

    pub fn is_persistent(&self) -> bool {
        self.persistent
    }

    /// Reads all numbers and makes ready to write.
    fn load(&self, dir: &Path) -> Result<(Connection, Past), Fault> {
        let (mut connection, is_new) = self.read_all(dir)?;
        if connection.is_readonly("main")? {
            return Err(Fault::new(Trouble::Unwritable, "the file is not writable"));
        }
        connection.busy_handler(Some(pause))?;
        let past = match lock(&self.log).state.last_id {
            0 if is_new => Past::Nothing,
            0 => Past::Tables,
            _ => Past::Rows,
        };
        Ok((connection, past))
    }

    /// Reads all numbers; where the file is damaged, all that can be read, into a new file. Whether there was nothing.
    fn read_all(&self, dir: &Path) -> Result<(Connection, bool), Fault> {
        let (connection, found) = LAYOUT.open(dir)?;
        if let Found::Useless(fault) = &found {
            self.report(
                fault,
                "set aside as serials.sqlite.damaged and made anew; folders get the same numbers again, \
                 but for a few: NFS clients may have to reopen those",
            );
        }
        let mut log = lock(&self.log);
        let loaded = self.catch_up(&mut log.state, &connection, true);
        for numbers in &self.numbers {
            write(numbers).shrink_to_fit();
        }
        let fault = match loaded {
            Ok(()) => return Ok((connection, matches!(found, Found::Nothing))),
            Err(fault) if fault.trouble == Trouble::Damaged => fault,
            Err(fault) => return Err(fault),
        };
        drop(connection);
        let connection = LAYOUT.renew(dir)?;
        let kept = self.copy_to(&mut log.state, &connection)?;
        self.report(
            &fault,
            &format!(
                "set aside as serials.sqlite.damaged and made anew with the {kept} numbers that could be read; \
                 the others come out the same but for a few"
            ),
        );
        Ok((connection, false))
    }

    /// Writes all numbers in memory to a new file; says how many.
    fn copy_to(&self, state: &mut State, connection: &Connection) -> Result<i64, Fault> {
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        let mut id = 0;
        for table in Table::ALL {
            for (number, key) in self.read(table).iter() {
                id += 1;
                insert(&transaction, id, table, number, key)?;
            }
        }
        transaction.commit()?;
        state.last_id = id;
        Ok(id)
    }

    /// See [`Index::serials`](super::Index::serials).
    pub fn assign(&self, table: Table, wanted: &[(&[u8], u64)]) -> Result<Vec<u32>> {
        if let Some(known) = self.known(table, wanted) {
            return Ok(known);
        }
        self.give(table, wanted)?;
        self.known(table, wanted).ok_or_else(|| {
            Error::new(
                Kind::Failed,
                "a serial number just given is not in its table",
            )
        })
    }

    pub fn has(&self, table: Table, key: &[u8]) -> bool {
        self.read(table).number(key).is_some()
    }

    /// See [`Index::key_of`](super::Index::key_of).
    pub fn key_of(&self, table: Table, number: u32) -> Option<Arc<[u8]>> {
        if let Some(key) = self.read(table).key(number) {
            return Some(key);
        }
        if !self.persistent || number == 0 || number > table.capacity() {
            return None;
        }
        {
            // Another process may have given it.
            let Log {
                connection, state, ..
            } = &mut *lock(&self.log);
            if let Some(connection) = connection
                && state.rest.is_over()
                && let Err(fault) = self.catch_up(state, connection, false)
            {
                state.rest.begin();
                self.report(&fault, FROM_MEMORY);
            }
        }
        self.read(table).key(number)
    }

    /// The numbers, if all have one.
    fn known(&self, table: Table, wanted: &[(&[u8], u64)]) -> Option<Vec<u32>> {
        let numbers = self.read(table);
        wanted.iter().map(|(key, _)| numbers.number(key)).collect()
    }

    /// Gives numbers to those that have none: on disk if that can be, else in memory. Fails only if the table is full.
    fn give(&self, table: Table, wanted: &[(&[u8], u64)]) -> Result<()> {
        let log = &mut *lock(&self.log);
        if log.state.rest.is_over() {
            self.find_again(log);
        }
        let Log {
            connection, state, ..
        } = log;
        let transaction = match connection {
            Some(connection) if state.rest.is_over() => Some(self.begin(state, connection)),
            _ => None,
        };
        let rows = state.plan(&self.read(table), table, wanted)?;
        match transaction.map(|begun| begun.and_then(|t| self.commit(state, t, &rows))) {
            Some(Ok(())) => {}
            Some(Err(fault)) => {
                state.rest.begin();
                state.owe(&rows);
                self.report(&fault, FROM_MEMORY);
            }
            None if connection.is_some() => state.owe(&rows),
            None => {}
        }
        self.adopt(&rows);
        Ok(())
    }

    /// Makes the file anew if it was removed while it was in use, or opens the one that somebody else has made there; with all
    /// numbers that are known.
    fn find_again(&self, log: &mut Log) {
        if log.file.is_none() || file_at(&self.path) == log.file {
            return;
        }
        log.connection = None;
        let fault = Fault::vanished();
        match self.make_again(&mut log.state) {
            Ok(connection) => {
                (log.connection, log.file) = (Some(connection), file_at(&self.path));
                self.report(&fault, "made anew with all that is known");
            }
            Err(e) => {
                log.state.rest.begin();
                self.report(&fault, &format!("{FROM_MEMORY} ({})", e.detail));
            }
        }
    }

    fn make_again(&self, state: &mut State) -> Result<Connection, Fault> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        make_directory(dir)?;
        let (mut connection, _) = LAYOUT.open(dir)?;
        connection.busy_handler(Some(pause))?;
        state.last_id = 0;
        for table in Table::ALL {
            let numbers = self.read(table);
            let all = numbers.iter().map(|(number, _)| (table, number));
            state.unsaved.extend(all);
        }
        let transaction = self.begin(state, &connection)?;
        self.commit(state, transaction, &[])?;
        Ok(connection)
    }

    /// A transaction in which nobody else gives numbers, and all that were given are known.
    fn begin<'c>(
        &self,
        state: &mut State,
        connection: &'c Connection,
    ) -> Result<Transaction<'c>, Fault> {
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        self.catch_up(state, &transaction, false)?;
        Ok(transaction)
    }

    /// Saves these numbers and those that could not be saved before.
    fn commit(
        &self,
        state: &mut State,
        transaction: Transaction<'_>,
        rows: &[Row],
    ) -> Result<(), Fault> {
        let mut id = state.last_id;
        for (table, number) in &state.unsaved {
            let key = self.read(*table).key(*number);
            if let Some(key) = key {
                id += 1;
                insert(&transaction, id, *table, *number, &key)?;
            }
        }
        for row in rows {
            id += 1;
            insert(&transaction, id, row.table, row.number, &row.key)?;
        }
        transaction.commit()?;
        state.last_id = id;
        state.unsaved.clear();
        Ok(())
    }

    /// Takes in the rows that came after the last one known. After a damaged row, goes on only if that is asked for.
    fn catch_up(
        &self,
        state: &mut State,
        connection: &Connection,
        past_damage: bool,
    ) -> Result<(), Fault> {
        let mut damage = None;
        let mut select = connection.prepare_cached(SELECT)?;
        let mut rows = select.query([state.last_id])?;
        while let Some(row) = rows.next()? {
            let id = row.get_ref(0)?.as_i64().ok();
            match decode(row).filter(|_| id == Some(state.last_id + 1)) {
                Some(row) => self.adopt_saved(state, &row),
                None if past_damage => {
                    let fault = Fault::new(Trouble::Damaged, "a row is missing or altered");
                    damage.get_or_insert(fault);
                    if let Some(row) = decode(row) {
                        self.adopt_saved(state, &row);
                    }
                }
                None => {
                    return Err(Fault::new(Trouble::Damaged, "a row is missing or altered"));
                }
            }
            state.last_id = id.unwrap_or(state.last_id).max(state.last_id);
        }
        damage.map_or(Ok(()), Err)
    }

    /// Takes in a row of the file. If its number was given from memory to something else meanwhile, that stays so
    /// for the life of this process, and is not saved.
    fn adopt_saved(&self, state: &mut State, row: &Row) {
        state.taken[row.table.index()].set(row.number);
        state.unsaved.remove(&(row.table, row.number));
        write(&self.numbers[row.table.index()]).adopt(row.number, &row.key);
    }

    fn adopt(&self, rows: &[Row]) {
        for row in rows {
            write(&self.numbers[row.table.index()]).adopt(row.number, &row.key);
        }
    }

    fn read(&self, table: Table) -> RwLockReadGuard<'_, Numbers> {
        self.numbers[table.index()]
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, fault: &Fault, outcome: &str) {
        self.notices.report(&self.path, fault, outcome);
    }
}

impl Drop for Serials {
    fn drop(&mut self) {
        let log = &mut *lock(&self.log);
        self.find_again(log);
        let Log {
            connection, state, ..
        } = log;
        if let Some(connection) = connection
            && !state.unsaved.is_empty()
            && let Err(fault) = self
                .begin(state, connection)
                .and_then(|transaction| self.commit(state, transaction, &[]))
        {
            let count = state.unsaved.len();
            self.report(&fault, &format!("{count} serial numbers are not saved"));
        }
    }
}

impl State {
    /// Chooses numbers for the keys that have none. They are taken then, whatever becomes of the disk.
    fn plan(
        &mut self,
        numbers: &Numbers,
        table: Table,
        wanted: &[(&[u8], u64)],
    ) -> Result<Vec<Row>> {
        let mut seen = HashSet::new();
        let new: Vec<_> = wanted
            .iter()
            .filter(|(key, _)| numbers.number(key).is_none() && seen.insert(*key))
            .collect();
        let taken = &mut self.taken[table.index()];
        taken.check_room(new.len())?;
        let row = |(key, seed): &(&[u8], u64)| {
            Some(Row {
                table,
                number: taken.take(*seed)?,
                key: Box::from(*key),
            })
        };
        Ok(new.into_iter().filter_map(row).collect())
    }

    /// Notes that these are to be saved later.
    fn owe(&mut self, rows: &[Row]) {
        let given = rows.iter().map(|row| (row.table, row.number));
        self.unsaved.extend(given);
    }
}

fn pause(times: i32) -> bool {
    std::thread::sleep(PAUSE);
    times < PAUSES
}

/// A row of the file, if it is as it was written.
fn decode(record: &Record<'_>) -> Option<Row> {
    let integer = |i| record.get_ref(i).ok()?.as_i64().ok();
    let (id, family, number) = (integer(0)?, integer(1)?, integer(2)?);
    let key = record.get_ref(3).ok()?.as_blob().ok()?;
    if integer(4)? != i64::from(row_checksum(id, family, number, key)) {
        return None;
    }
    let table = Table::ALL.into_iter().find(|t| t.code() == family)?;
    let number = u32::try_from(number).ok()?;
    (1..=table.capacity()).contains(&number).then(|| Row {
        table,
        number,
        key: key.into(),
    })
}

fn insert(
    transaction: &Transaction<'_>,
    id: i64,
    table: Table,
    number: u32,
    key: &[u8],
) -> Result<(), Fault> {
    let crc = row_checksum(id, table.code(), number.into(), key);
    let mut insert = transaction.prepare_cached(INSERT)?;
    insert.execute(params![id, table.code(), number, key, crc])?;
    Ok(())
}

fn row_checksum(id: i64, family: i64, number: i64, key: &[u8]) -> u32 {
    let (id, family, number) = (id.to_le_bytes(), family.to_le_bytes(), number.to_le_bytes());
    checksum(&[&id, &family, &number, key])
}

fn write(numbers: &RwLock<Numbers>) -> RwLockWriteGuard<'_, Numbers> {
    numbers.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
