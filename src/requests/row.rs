//! How requests and what has become of them stand in the rows of the database. A row that makes no sense is an error.

use super::request::{Event, Id, Request};
use super::state::State;
use crate::language::Language;
use rusqlite::types::Type;
use rusqlite::{Connection, Row};
use serde::de::DeserializeOwned;

/// Columns of a [`Request`].
pub(super) const COLUMNS: &str = "
    SELECT r.id, r.state, r.mailbox, r.asked_by, r.asked, r.date, r.snapshot_time, r.folder, r.message_count, r.put_into,
        r.note, r.language, r.expires, r.cost, d.who, d.at, e.why, e.at, r.report
    FROM request r
    LEFT JOIN event d ON d.request = r.id AND d.to_state IN ('approved', 'declined')
    LEFT JOIN event e ON e.request = r.id AND e.to_state IN ('done', 'partial', 'failed', 'declined', 'lapsed')";

/// What has become of a request, in the order in which it happened.
pub(super) fn events(connection: &Connection, id: Id) -> rusqlite::Result<Vec<Event>> {
    let mut select = connection.prepare_cached(
        "SELECT at, who, from_state, to_state, why FROM event WHERE request = ?1 ORDER BY id",
    )?;
    let rows = select.query_map([id.0], |row| {
        let from: Option<String> = row.get(2)?;
        Ok(Event {
            at: row.get(0)?,
            who: row.get(1)?,
            from: from.map(|_| read_state(row, 2)).transpose()?,
            to: read_state(row, 3)?,
            why: row.get(4)?,
        })
    })?;
    rows.collect()
}

/// A row of [`COLUMNS`].
pub(super) fn read_request(row: &Row<'_>) -> rusqlite::Result<Request> {
    let language: String = row.get(11)?;
    let expires: Option<String> = row.get(12)?;
    Ok(Request {
        id: Id(row.get(0)?),
        state: read_state(row, 1)?,
        mailbox: row.get(2)?,
        asked_by: row.get(3)?,
        asked: row.get(4)?,
        date: row.get(5)?,
        snapshot_time: row.get(6)?,
        folder: row.get(7)?,
        message_count: read_count(row, 8)?,
        into: row.get(9)?,
        note: row.get(10)?,
        language: Language::named(&language).unwrap_or_default(),
        expires: expires
            .map(|day| day.parse().map_err(|e| strange(12, e)))
            .transpose()?,
        cost: row.get(13)?,
        decided_by: row.get(14)?,
        decided: row.get(15)?,
        why: row.get(16)?,
        ended: row.get(17)?,
        report: read_json(row, 18)?,
    })
}

pub(super) fn read_count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(i64::unsigned_abs)
}

pub(super) fn read_state(row: &Row<'_>, column: usize) -> rusqlite::Result<State> {
    let name: String = row.get(column)?;
    State::named(&name).map_err(|e| strange(column, e))
}

pub(super) fn read_json<T: DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<Option<T>> {
    let text: Option<String> = row.get(column)?;
    let value = text.map(|text| serde_json::from_str(&text).map_err(|e| strange(column, e)));
    value.transpose()
}

fn strange(column: usize, e: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(e))
}
