//! The database of requests: making, listing, deciding.

use super::csv::Table;
use super::database::{Database, Refusal};
use super::outbox;
use super::request::{
    Details, Event, Filter, Id, MOST_PENDING, New, Report, Request, Tally, check_length, clean,
    invalid,
};
use super::row::{COLUMNS, events, read_count, read_json, read_request, read_state};
use super::state::State;
use super::turn::Turn;
use crate::error::{Error, Kind, Result};
use crate::language::Language;
use crate::time::Zone;
use chrono::{Days, NaiveDate, Utc};
use rusqlite::{OptionalExtension, Transaction, params};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What mailtm calls itself where it has changed a state.
pub(super) const ITSELF: &str = "mailtm";

/// Requests that are forgotten in one transaction.
const FORGOTTEN_AT_ONCE: u32 = 200;

/// How requests are kept.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The directory of the database, made (mode 0700) where it is missing.
    pub dir: PathBuf,
    /// Who decides; letters go to these addresses.
    pub admins: Vec<String>,
    /// Of those letters.
    pub language: Language,
    pub zone: Zone,
    /// So many days after its own a date is shown; for ever if `None`.
    pub keep_days: Option<u32>,
    /// What a restore costs, as it is shown.
    pub cost: Option<String>,
    /// A request is kept so many days after its end; for ever if `None`.
    pub keep_requests: Option<u32>,
}

/// The database of requests. Several, of this process and others, may be open at once.
#[derive(Debug)]
pub struct Store {
    options: Options,
    database: Mutex<Database>,
}

impl Store {
    /// Opens the database; it is made where it is missing.
    ///
    /// # Errors
    /// [`Kind::Config`] if the file is another program's, or of another version.
    pub fn open(options: Options) -> Result<Self> {
        let database = Mutex::new(Database::open(&options.dir)?);
        Ok(Self { options, database })
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Database> {
        // A transaction that was not committed is none.
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a request, and queues the letters to the administrators. The same form once more (by its token) is the request
    /// that there is already.
    ///
    /// # Errors
    /// [`Kind::Invalid`] if the person has [`MOST_PENDING`] requests waiting, or what is asked for is too much or malformed.
    pub fn make(&self, new: New) -> Result<Id> {
        let ids = self.make_all(vec![new])?;
        let missing = || Error::new(Kind::Failed, "keeping a request: nothing came of it");
        ids.first().copied().ok_or_else(missing)
    }

    /// Keeps several requests of one form, all of them or none.
    ///
    /// # Errors
    /// As of [`make`](Self::make).
    pub fn make_all(&self, new: Vec<New>) -> Result<Vec<Id>> {
        let new: Vec<New> = new.into_iter().map(New::checked).collect::<Result<_>>()?;
        self.lock().change("keeping a request", |transaction| {
            let kept = new.iter().map(|new| self.keep(transaction, new));
            kept.collect()
        })
    }

    fn keep(&self, transaction: &Transaction<'_>, new: &New) -> Result<Id, Refusal> {
        let now = now();
        let expires = self.last_day(new.snapshot_time);
        let messages = serde_json::to_string(&new.messages)
            .map_err(|e| Error::new(Kind::Failed, format!("writing a request: {e}")))?;
        let same = transaction
            .query_row(
                "SELECT id FROM request WHERE asked_by = ?1 AND token = ?2",
                [&new.asked_by, &new.token],
                |row| row.get(0),
            )
            .optional()?;
        if let Some(id) = same {
            return Ok(Id(id));
        }
        let waiting: u64 = transaction.query_row(
            "SELECT count(*) FROM request WHERE asked_by = ?1 AND state = 'pending'",
            [&new.asked_by],
            |row| read_count(row, 0),
        )?;
        if waiting >= MOST_PENDING {
            return Err(invalid(format!(
                "{waiting} requests of {} wait for a decision: nothing more can be asked for until some are decided",
                new.asked_by
            ))
            .into());
        }
        transaction.execute(
            "INSERT INTO request (token, mailbox, asked_by, asked, date, snapshot_time, folder, messages,
                 message_count, put_into, note, language, expires, cost, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, 'pending')",
            params![
                new.token,
                new.mailbox,
                new.asked_by,
                now,
                new.date,
                new.snapshot_time,
                new.folder,
                messages,
                new.messages.len() as i64,
                new.into,
                new.note,
                new.language.code(),
                expires.map(|day| day.to_string()),
                self.options.cost,
            ],
        )?;
        let id = Id(transaction.last_insert_rowid());
        let event = Event {
            at: now,
            who: new.asked_by.clone(),
            from: None,
            to: State::Pending,
            why: None,
        };
        self.note_event(transaction, id, &event)?;
        Ok(id)
    }

    /// The last day on which a snapshot is shown, as far as the configuration says.
    fn last_day(&self, snapshot_time: i64) -> Option<NaiveDate> {
        let days = Days::new(u64::from(self.options.keep_days?));
        let taken = self.options.zone.local(snapshot_time).date();
        taken.checked_add_days(days)
    }

    /// Writes an event down, and queues what letters it causes.
    fn note_event(
        &self,
        transaction: &Transaction<'_>,
        id: Id,
        event: &Event,
    ) -> Result<(), Refusal> {
        transaction.execute(
            "INSERT INTO event (request, at, who, from_state, to_state, why) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                id.0,
                event.at,
                event.who,
                event.from.map(State::name),
                event.to.name(),
                event.why
            ],
        )?;
        outbox::queue(transaction, &self.options, id, event.to, event.at)
    }

    /// Changes a request's state.
    pub(super) fn advance(
        &self,
        transaction: &Transaction<'_>,
        id: Id,
        to: State,
        who: &str,
        why: Option<&str>,
    ) -> Result<(), Refusal> {
        let found = transaction
            .query_row(&format!("{COLUMNS} WHERE r.id = ?1"), [id.0], |row| {
                Ok((read_state(row, 1)?, row.get(14)?))
            })
            .optional()?;
        let (from, decided_by): (State, Option<String>) = found.ok_or_else(|| unknown(id))?;
        if !from.leads_to(to) {
            let by = decided_by.map_or_else(String::new, |who| format!(" (decided by {who})"));
            return Err(invalid(format!(
                "request {id} is already {from}{by}: it cannot become {to}"
            ))
            .into());
        }
        transaction.execute(
            "UPDATE request SET state = ?2, due = 0 WHERE id = ?1",
            params![id.0, to.name()],
        )?;
        let event = Event {
            at: now(),
            who: who.to_owned(),
            from: Some(from),
            to,
            why: why.map(str::to_owned),
        };
        self.note_event(transaction, id, &event)
    }

    /// Decides that a request is carried out.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if there is none of this number; [`Kind::Invalid`] if it is decided already.
    pub fn approve(&self, id: Id, who: &str) -> Result<()> {
        self.lock().change("approving a request", |transaction| {
            self.advance(transaction, id, State::Approved, &clean(who), None)
        })
    }

    /// Decides that a request is not carried out; who asked gets a letter with the reason.
    ///
    /// # Errors
    /// As of [`approve`](Self::approve); [`Kind::Invalid`] also if the reason is empty or too long.
    pub fn decline(&self, id: Id, who: &str, why: &str) -> Result<()> {
        let why = clean(why);
        check_length("the reason", &why)?;
        if why.is_empty() {
            return Err(invalid(
                "a reason is missing: who asked gets it in a letter",
            ));
        }
        self.lock().change("declining a request", |transaction| {
            self.advance(transaction, id, State::Declined, &clean(who), Some(&why))
        })
    }

    /// The requests that are wanted, the newest first.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Request>> {
        self.lock().read("listing requests", |connection| {
            let mut select = connection.prepare_cached(&format!(
                "{COLUMNS} WHERE (?1 IS NULL OR r.state = ?1) AND (?2 IS NULL OR r.asked_by = ?2)
                    AND (?3 IS NULL OR r.mailbox = ?3) AND (?4 IS NULL OR r.id < ?4)
                 ORDER BY r.id DESC LIMIT ?5"
            ))?;
            let limit = filter.limit.map_or(-1, i64::from);
            let state = filter.state.map(State::name);
            let before = filter.before.map(|id| id.0);
            let wanted = params![state, filter.asked_by, filter.mailbox, before, limit];
            let rows = select.query_map(wanted, read_request)?;
            rows.collect()
        })
    }

    /// How many requests are in each state.
    pub fn counts(&self) -> Result<BTreeMap<State, u64>> {
        self.lock().read("counting requests", |connection| {
            let mut select =
                connection.prepare_cached("SELECT state, count(*) FROM request GROUP BY state")?;
            let rows =
                select.query_map([], |row| Ok((read_state(row, 0)?, read_count(row, 1)?)))?;
            rows.collect()
        })
    }

    /// A request with all that is known of it.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if there is none of this number.
    pub fn get(&self, id: Id) -> Result<Details> {
        let found = self.lock().read("reading a request", |connection| {
            let select = format!("{COLUMNS} WHERE r.id = ?1");
            let request = connection
                .query_row(&select, [id.0], read_request)
                .optional()?;
            let Some(request) = request else {
                return Ok(None);
            };
            let (messages, trouble) = connection.query_row(
                "SELECT messages, trouble FROM request WHERE id = ?1",
                [id.0],
                |row| Ok((read_json(row, 0)?, row.get(1)?)),
            )?;
            Ok(Some(Details {
                request,
                messages: messages.unwrap_or_default(),
                events: events(connection, id)?,
                letters: outbox::of_request(connection, id)?,
                trouble,
            }))
        })?;
        found.ok_or_else(|| unknown(id))
    }

    /// The requests that are wanted as a table for accounting, RFC 4180, the newest first.
    pub fn csv(&self, filter: &Filter) -> Result<String> {
        let mut table = Table::new(self.options.zone);
        for request in self.list(filter)? {
            table.add(&request);
        }
        Ok(table.finish())
    }

    /// Whether a request waits for a decision.
    pub(super) fn has_undecided(&self) -> Result<bool> {
        self.lock().read("looking for requests", |connection| {
            let pending = "SELECT EXISTS (SELECT 1 FROM request WHERE state = 'pending')";
            connection.query_row(pending, [], |row| row.get(0))
        })
    }

    /// The request that is to be carried out next: one that was begun, or else the one approved first.
    pub fn next_to_carry_out(&self) -> Result<Option<Id>> {
        let now = now();
        self.lock().read("looking for requests", |connection| {
            let mut select = connection.prepare_cached(
                "SELECT id FROM request WHERE state IN ('running', 'approved') AND due <= ?1
                 ORDER BY state = 'approved', id LIMIT 1",
            )?;
            let found = select.query_row([now], |row| row.get(0)).optional()?;
            Ok(found.map(Id))
        })
    }

    /// Begins to carry out an approved request; nothing if that was begun already. How often it has failed before.
    pub(super) fn begin(&self, id: Id) -> Result<u32> {
        self.lock().change("beginning a request", |transaction| {
            let (state, attempts) = transaction.query_row(
                "SELECT state, attempts FROM request WHERE id = ?1",
                [id.0],
                |row| Ok((read_state(row, 0)?, row.get(1)?)),
            )?;
            if state != State::Running {
                self.advance(transaction, id, State::Running, ITSELF, None)?;
            }
            Ok(attempts)
        })
    }

    /// Keeps what there was to be done when a request was begun; the first time counts.
    pub(super) fn keep_tally(&self, id: Id, tally: Tally) -> Result<Tally> {
        let text = to_json(&tally)?;
        self.lock().change("beginning a request", |transaction| {
            transaction.execute(
                "UPDATE request SET tally = ?2 WHERE id = ?1 AND tally IS NULL",
                params![id.0, text],
            )?;
            let kept = transaction.query_row(
                "SELECT tally FROM request WHERE id = ?1",
                [id.0],
                |row| read_json(row, 0),
            )?;
            Ok(kept.unwrap_or(tally))
        })
    }

    /// Carrying a request out has failed, and is tried again at `due`.
    pub(super) fn postpone(&self, id: Id, why: &str, due: i64) -> Result<()> {
        self.lock().change("postponing a request", |transaction| {
            transaction.execute(
                "UPDATE request SET attempts = attempts + 1, due = ?2, trouble = ?3 WHERE id = ?1",
                params![id.0, due, why],
            )?;
            Ok(())
        })
    }

    /// Ends a request, with what came of it.
    pub(super) fn end(
        &self,
        id: Id,
        state: State,
        why: Option<&str>,
        report: Option<&Report>,
    ) -> Result<()> {
        let report = report.map(to_json).transpose()?;
        self.lock().change("ending a request", |transaction| {
            transaction.execute(
                "UPDATE request SET report = coalesce(?2, report), trouble = NULL WHERE id = ?1",
                params![id.0, report],
            )?;
            self.advance(transaction, id, state, ITSELF, why)
        })
    }

    /// Forgets the requests that ended long ago, with what was noted of them; how many. One of which a letter waits is kept.
    ///
    /// # Errors
    /// Those of the database.
    pub fn forget_old(&self, _turn: &Turn) -> Result<u64> {
        let Some(days) = self.options.keep_requests else {
            return Ok(0);
        };
        let before = now().saturating_sub(i64::from(days).saturating_mul(86_400));
        let mut forgotten = 0;
        loop {
            // A few at a time: whoever asks or decides meanwhile does not wait for all.
            let some = self.lock().change("forgetting requests", |transaction| {
                let mut select = transaction.prepare(
                    "SELECT r.id FROM request r JOIN event e ON e.request = r.id AND e.to_state = r.state
                     WHERE r.state IN ('done', 'partial', 'failed', 'declined', 'lapsed') AND e.at < ?1
                         AND NOT EXISTS (SELECT 1 FROM letter l
                             WHERE l.request = r.id AND l.sent IS NULL AND l.abandoned IS NULL)
                     LIMIT ?2",
                )?;
                let rows = select.query_map(params![before, FORGOTTEN_AT_ONCE], |row| row.get(0))?;
                let ids: Vec<i64> = rows.collect::<rusqlite::Result<_>>()?;
                for id in &ids {
                    transaction.execute("DELETE FROM letter WHERE request = ?1", [id])?;
                    transaction.execute("DELETE FROM event WHERE request = ?1", [id])?;
                    transaction.execute("DELETE FROM request WHERE id = ?1", [id])?;
                }
                Ok(ids.len() as u64)
            })?;
            forgotten += some;
            if some < u64::from(FORGOTTEN_AT_ONCE) {
                return Ok(forgotten);
            }
        }
    }

    /// What tells this database's letters from those of another one.
    pub(super) fn installation(&self) -> Result<String> {
        self.lock().read("reading its name", |connection| {
            connection.query_row("SELECT name FROM installation", [], |row| row.get(0))
        })
    }
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    Utc::now().timestamp()
}

fn unknown(id: Id) -> Error {
    let message = format!("there is no request {id}: `mailtm requests list` says which there are");
    Error::new(Kind::NotFound, message)
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::new(Kind::Failed, format!("writing a request: {e}")))
}
