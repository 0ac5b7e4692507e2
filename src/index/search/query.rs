//! Which messages have the words that are searched for.

use super::learning::numbers_between;
use super::row::{Folder, MAILBOX_SHIFT, Row, SECONDS_SHIFT, checksum_of_folder};
use super::{Mailbox, Search};
use crate::error::Result;
use crate::index::database::{Fault, Trouble};
use rusqlite::{OptionalExtension, params};

/// Where a word may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Any,
    Sender,
    Recipients,
    Subject,
    Attachments,
    Body,
}

impl Field {
    /// The columns that it means, as the query language has them; `None` for all.
    fn column(self) -> Option<&'static str> {
        match self {
            Self::Any => None,
            Self::Sender => Some("sender"),
            Self::Recipients => Some("recipients"),
            Self::Subject => Some("subject"),
            Self::Attachments => Some("attachments"),
            Self::Body => Some("body"),
        }
    }
}

/// Words that stand side by side in a field.
#[derive(Clone, Debug)]
pub struct Term {
    pub field: Field,
    /// As [`words`](crate::message::words) makes them; at least one.
    pub words: Vec<String>,
    /// Whether the last one may be the beginning of a longer one.
    pub begins: bool,
}

impl Term {
    /// In the query language. A word has nothing in it that would mean anything there.
    fn expression(&self) -> String {
        let column = self
            .field
            .column()
            .map(|c| format!("{c} : "))
            .unwrap_or_default();
        let more = if self.begins { " *" } else { "" };
        format!("({column}\"{}\"{more})", self.words.join(" "))
    }
}

/// What is searched for: all of it must hold.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub terms: Vec<Term>,
    /// INTERNALDATE in seconds since 1970: not before this.
    pub since: Option<i64>,
    /// Before this.
    pub until: Option<i64>,
    /// Only what was no longer in its folder when its mailbox was looked at last.
    pub gone: bool,
}

impl Query {
    fn expression(&self) -> Option<String> {
        let terms: Vec<String> = self.terms.iter().map(Term::expression).collect();
        (!terms.is_empty()).then(|| terms.join(" AND "))
    }
}

impl Search {
    /// Gives the messages of these mailboxes that a query finds, the newest first, until `each` answers false. `mailboxes`
    /// are in the order of [`Search::mailboxes`].
    pub fn find(
        &self,
        query: &Query,
        mailboxes: &[Mailbox],
        each: impl FnMut(&Mailbox, Row) -> Result<bool>,
    ) -> Result<()> {
        match mailboxes {
            [] => Ok(()),
            [one] => self.find_in_one(query, one, each),
            many => self.find_in_many(query, many, each),
        }
    }

    /// The numbers are in order of time: so only those are looked up that are wanted.
    fn find_in_one(
        &self,
        query: &Query,
        mailbox: &Mailbox,
        mut each: impl FnMut(&Mailbox, Row) -> Result<bool>,
    ) -> Result<()> {
        let (first, last) = numbers_between(mailbox, query.since, query.until);
        let expression = query.expression();
        let select = match expression {
            Some(_) => {
                "SELECT rowid FROM text WHERE text MATCH ?3 AND rowid BETWEEN ?1 AND ?2 ORDER BY rowid DESC"
            }
            None if query.gone => {
                "SELECT id FROM message
                 WHERE id >> 40 = ?1 >> 40 AND until IS NOT NULL AND +id BETWEEN ?1 AND ?2 AND ?3 IS NULL
                 ORDER BY +id DESC"
            }
            None => {
                "SELECT id FROM message WHERE id BETWEEN ?1 AND ?2 AND ?3 IS NULL ORDER BY id DESC"
            }
        };
        let mut select =
            self.checked(self.connection.prepare_cached(select).map_err(Fault::from))?;
        let rows = select.query(params![first, last, expression]);
        let mut rows = self.checked(rows.map_err(Fault::from))?;
        let mut next = || -> Result<Option<i64>, Fault> {
            Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
        };
        while let Some(id) = self.checked(next())? {
            if let Some(row) = self.row(query, mailbox, id)?
                && !each(mailbox, row)?
            {
                break;
            }
        }
        Ok(())
    }

    fn find_in_many(
        &self,
        query: &Query,
        mailboxes: &[Mailbox],
        mut each: impl FnMut(&Mailbox, Row) -> Result<bool>,
    ) -> Result<()> {
        let mut found = Vec::new();
        let numbers = self.numbers(query, mailboxes, |id, at| {
            let second = (id >> SECONDS_SHIFT) & i64::from(u32::MAX);
            found.push((second, id, at));
        });
        self.checked(numbers)?;
        found.sort_unstable_by(|a, b| b.cmp(a));
        for (_, id, at) in found {
            let Some(mailbox) = mailboxes.get(at) else {
                continue;
            };
            if let Some(row) = self.row(query, mailbox, id)?
                && !each(mailbox, row)?
            {
                break;
            }
        }
        Ok(())
    }

    /// Those of these mailboxes in which a query may find something.
    pub fn with_hits(&self, query: &Query, mailboxes: &[Mailbox]) -> Result<Vec<Mailbox>> {
        let mut hit = vec![false; mailboxes.len()];
        let numbers = self.numbers(query, mailboxes, |_, at| {
            if let Some(hit) = hit.get_mut(at) {
                *hit = true;
            }
        });
        self.checked(numbers)?;
        let hits = mailboxes.iter().zip(hit).filter(|(_, hit)| *hit);
        Ok(hits.map(|(mailbox, _)| mailbox.clone()).collect())
    }

    /// The numbers of rows that a query may find, and positions of their mailboxes; in no order.
    fn numbers(
        &self,
        query: &Query,
        mailboxes: &[Mailbox],
        mut each: impl FnMut(i64, usize),
    ) -> Result<(), Fault> {
        let expression = query.expression();
        let select = match expression {
            Some(_) => "SELECT rowid FROM text WHERE text MATCH ?1",
            // By indices that are much smaller than the rows.
            None if query.gone => {
                "SELECT id FROM message INDEXED BY message_gone WHERE until IS NOT NULL AND ?1 IS NULL"
            }
            None => "SELECT id FROM message INDEXED BY message_same WHERE ?1 IS NULL",
        };
        let ranges: Vec<(i64, i64)> = mailboxes
            .iter()
            .map(|mailbox| numbers_between(mailbox, query.since, query.until))
            .collect();
        let mut select = self.connection.prepare_cached(select)?;
        let mut rows = select.query([&expression])?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let position = mailboxes.binary_search_by_key(&(id >> MAILBOX_SHIFT), |m| m.id);
            if let Ok(at) = position
                && ranges
                    .get(at)
                    .is_some_and(|(first, last)| (*first..=*last).contains(&id))
            {
                each(id, at);
            }
        }
        Ok(())
    }

    /// The row with a number, unless its time is not within the query's.
    fn row(&self, query: &Query, mailbox: &Mailbox, id: i64) -> Result<Option<Row>> {
        let row = self.checked(self.select_row(mailbox, id))?;
        Ok(row.filter(|row| {
            !(query.gone && row.until.is_none())
                && query.since.is_none_or(|since| row.secs >= since)
                && query.until.is_none_or(|until| row.secs < until)
        }))
    }

    /// Where else in its mailbox a message stands or stood, that row included; the oldest first.
    pub fn copies(&self, mailbox: &Mailbox, row: &Row) -> Result<Vec<Row>> {
        let select = || -> Result<Vec<Row>, Fault> {
            let same = "SELECT id FROM message WHERE id >> 40 = ?1 AND same = ?2";
            let mut copies = self.rows(mailbox, same, params![mailbox.id, row.same])?;
            // The same file may have been unreadable at times, and so have had nothing else in common.
            if copies.iter().all(|copy| copy.until.is_some()) {
                let named =
                    "SELECT message.id FROM folder CROSS JOIN message ON message.folder = folder.id
                     WHERE folder.mailbox = ?1 AND message.secs = ?2 AND message.identity = ?3";
                let key = params![mailbox.id, row.secs, row.identity];
                copies.extend(self.rows(mailbox, named, key)?);
                // Nor the time, where the store keeps that with the message.
                let unread =
                    "SELECT id FROM message WHERE reading > 0 AND id >> 40 = ?1 AND identity = ?2";
                copies.extend(self.rows(mailbox, unread, params![mailbox.id, row.identity])?);
            }
            copies.sort_by_key(|copy| (copy.since, copy.id));
            copies.dedup_by_key(|copy| copy.id);
            Ok(copies)
        };
        self.checked(select())
    }

    fn rows(
        &self,
        mailbox: &Mailbox,
        select: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<Vec<Row>, Fault> {
        let mut select = self.connection.prepare_cached(select)?;
        let ids = select.query_map(parameters, |row| row.get(0))?;
        let mut rows = Vec::new();
        for id in ids.collect::<rusqlite::Result<Vec<i64>>>()? {
            rows.extend(self.select_row(mailbox, id)?);
        }
        Ok(rows)
    }

    /// The messages of a mailbox that could not be read.
    pub fn unread(&self, mailbox: &Mailbox) -> Result<Vec<Row>> {
        let unread = "SELECT id FROM message WHERE reading > 0 AND id >> 40 = ?1 ORDER BY id";
        self.checked(self.rows(mailbox, unread, [mailbox.id]))
    }

    /// The folder that a row's message is in.
    pub fn folder(&self, mailbox: &Mailbox, row: &Row) -> Result<Folder> {
        self.checked(self.select_folder(mailbox, row.folder))
    }

    fn select_folder(&self, mailbox: &Mailbox, id: i64) -> Result<Folder, Fault> {
        let mut select = self.connection.prepare_cached(
            "SELECT stored, shown, crc FROM folder WHERE id = ?1 AND mailbox = ?2",
        )?;
        let found = select.query_row([id, mailbox.id], |row| {
            let (stored, shown) = (row.get(0)?, row.get(1)?);
            Ok((Folder { id, stored, shown }, row.get::<_, i64>(2)?))
        });
        match found.optional()? {
            Some((folder, crc))
                if crc == checksum_of_folder(mailbox, &folder.stored, &folder.shown) =>
            {
                Ok(folder)
            }
            _ => Err(Fault::new(
                Trouble::Damaged,
                "a folder's row is lost or altered",
            )),
        }
    }
}
