//! The letters that are to be sent: queued with the change that causes them, waiting, sent.
//!
//! A letter is known by request, kind and recipient, and there is one of each. Its text is not kept: it is made of the
//! request when it is sent, which does not change any more in what the letter tells.

use super::State;
use super::database::Refusal;
use super::request::{Id, moment, moment_if_any};
use super::row::read_count;
use super::store::{Options, Store};
use crate::error::Result;
use crate::language::Language;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;
use std::collections::BTreeSet;

/// What a letter is about, and whom it speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LetterKind {
    /// To an administrator: somebody asks.
    Asked,
    /// The others to who asked: all is back,
    Done,
    /// some of it is,
    Partial,
    /// nothing more came of it,
    Failed,
    /// it was declined,
    Declined,
    /// nobody decided in time;
    Lapsed,
    /// and the same two to an administrator.
    FailedAdmin,
    LapsedAdmin,
}

impl LetterKind {
    pub const ALL: [Self; 8] = [
        Self::Asked,
        Self::Done,
        Self::Partial,
        Self::Failed,
        Self::Declined,
        Self::Lapsed,
        Self::FailedAdmin,
        Self::LapsedAdmin,
    ];

    /// As files of templates are called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Declined => "declined",
            Self::Lapsed => "lapsed",
            Self::FailedAdmin => "failed-admin",
            Self::LapsedAdmin => "lapsed-admin",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What who asked and the administrators are told of when a request gets into a state.
    fn about(state: State) -> (Option<Self>, Option<Self>) {
        match state {
            State::Pending => (None, Some(Self::Asked)),
            State::Approved | State::Running => (None, None),
            State::Done => (Some(Self::Done), None),
            State::Partial => (Some(Self::Partial), None),
            State::Failed => (Some(Self::Failed), Some(Self::FailedAdmin)),
            State::Declined => (Some(Self::Declined), None),
            State::Lapsed => (Some(Self::Lapsed), Some(Self::LapsedAdmin)),
        }
    }
}

/// A letter and what has become of it. Times are seconds since 1970; in JSON, RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Letter {
    pub kind: LetterKind,
    pub recipient: String,
    #[serde(serialize_with = "moment")]
    pub queued: i64,
    /// How often sending it was tried in vain.
    pub attempts: u32,
    /// When the server took it.
    #[serde(serialize_with = "moment_if_any")]
    pub sent: Option<i64>,
    /// When it was given up.
    #[serde(serialize_with = "moment_if_any")]
    pub abandoned: Option<i64>,
    /// Why it could not be sent the last time.
    pub trouble: Option<String>,
}

/// A letter that is to be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub row: i64,
    pub request: Id,
    pub kind: LetterKind,
    pub recipient: String,
    pub language: Language,
    pub queued: i64,
    pub attempts: u32,
    /// When sending it was tried first.
    pub tried: Option<i64>,
}

/// Queues the letters that a request's getting into a state causes.
pub(super) fn queue(
    transaction: &Transaction<'_>,
    options: &Options,
    request: Id,
    state: State,
    now: i64,
) -> Result<(), Refusal> {
    let (to_person, to_admins) = LetterKind::about(state);
    let (person, language): (String, String) = transaction.query_row(
        "SELECT asked_by, language FROM request WHERE id = ?1",
        [request.0],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let mut insert = transaction.prepare(
        "INSERT INTO letter (request, kind, recipient, language, queued, due) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
    )?;
    if let Some(kind) = to_person {
        insert.execute(params![request.0, kind.name(), person, language, now])?;
    }
    if let Some(kind) = to_admins {
        let admins: BTreeSet<String> = options.admins.iter().map(|a| a.to_lowercase()).collect();
        for admin in admins {
            // Who has a letter of his own about it needs no second one.
            if to_person.is_some() && admin == person.to_lowercase() {
                continue;
            }
            let language = options.language.code();
            insert.execute(params![request.0, kind.name(), admin, language, now])?;
        }
    }
    Ok(())
}

/// The letters about a request, in the order in which they were queued.
pub(super) fn of_request(connection: &Connection, request: Id) -> rusqlite::Result<Vec<Letter>> {
    let mut select = connection.prepare(
        "SELECT kind, recipient, queued, attempts, sent, abandoned, trouble FROM letter WHERE request = ?1 ORDER BY id",
    )?;
    let rows = select.query_map([request.0], |row| {
        Ok(Letter {
            kind: kind(row, 0)?,
            recipient: row.get(1)?,
            queued: row.get(2)?,
            attempts: row.get(3)?,
            sent: row.get(4)?,
            abandoned: row.get(5)?,
            trouble: row.get(6)?,
        })
    })?;
    rows.collect()
}

fn kind(row: &Row<'_>, column: usize) -> rusqlite::Result<LetterKind> {
    let name: String = row.get(column)?;
    LetterKind::named(&name).ok_or_else(|| {
        let wrong = format!("\"{name}\" is no kind of letter");
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, wrong.into())
    })
}

impl Store {
    /// How many letters have not been sent yet.
    pub fn letters_waiting(&self) -> Result<u64> {
        self.lock().read("counting letters", |connection| {
            let waiting = "SELECT count(*) FROM letter WHERE sent IS NULL AND abandoned IS NULL";
            connection.query_row(waiting, [], |row| read_count(row, 0))
        })
    }

    /// The letter that has been due for longest, if any is due.
    pub(super) fn due_letter(&self, now: i64) -> Result<Option<Due>> {
        self.lock().read("looking for letters", |connection| {
            let mut select = connection.prepare_cached(
                "SELECT id, request, kind, recipient, language, queued, attempts, tried FROM letter
                 WHERE sent IS NULL AND abandoned IS NULL AND due <= ?1 ORDER BY due, id LIMIT 1",
            )?;
            let found = select.query_row([now], |row| {
                let language: String = row.get(4)?;
                Ok(Due {
                    row: row.get(0)?,
                    request: Id(row.get(1)?),
                    kind: kind(row, 2)?,
                    recipient: row.get(3)?,
                    language: Language::named(&language).unwrap_or_default(),
                    queued: row.get(5)?,
                    attempts: row.get(6)?,
                    tried: row.get(7)?,
                })
            });
            found.optional()
        })
    }

    /// The server has taken it.
    pub(super) fn letter_sent(&self, letter: &Due, now: i64) -> Result<()> {
        self.lock()
            .change("noting that a letter was sent", |transaction| {
                transaction.execute(
                    "UPDATE letter SET sent = ?2, trouble = NULL WHERE id = ?1",
                    params![letter.row, now],
                )?;
                Ok(())
            })
    }

    /// It could not be sent; it is tried again at `due`, or never if `None`.
    pub(super) fn letter_refused(
        &self,
        letter: &Due,
        why: &str,
        now: i64,
        due: Option<i64>,
    ) -> Result<()> {
        self.lock()
            .change("noting that a letter was not sent", |transaction| {
                let abandoned = due.is_none().then_some(now);
                transaction.execute(
                    "UPDATE letter SET attempts = attempts + 1, tried = coalesce(tried, ?2), due = coalesce(?3, due),
                        abandoned = ?4, trouble = ?5 WHERE id = ?1",
                    params![letter.row, now, due, abandoned, why],
                )?;
                Ok(())
            })
    }
}
