//! What a snapshot changes: which messages have come, gone and come back since the one before.
//!
//! A [`Look`] is at one mailbox in one snapshot. It may be given up at any point: what it has written is true already, and
//! the next look at the same snapshot goes on from there.

use super::row::{
    Folder, MAILBOX_SHIFT, NEVER, Reading, Row, SECONDS_SHIFT, checksum_of_folder,
    checksum_of_mailbox, encode_learned, sameness,
};
use super::{LIVE, Learned, Mailbox, Search};
use crate::error::Result;
use crate::index::database::{Fault, Trouble};
use rusqlite::{OptionalExtension, params};
use std::collections::HashSet;

/// The last second of a row's number, with room behind it for all who share it.
const LAST_SECOND: i64 = (u32::MAX - 4_000_000) as i64;

/// Rows of one second of a mailbox; more of them spill into the next seconds.
const ROWS_OF_A_SECOND: i64 = 1 << SECONDS_SHIFT;

/// So far may the messages of one second spill: 22 million of them.
pub(super) const SPILL: i64 = 86_400;

/// A message as its folder lists it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// A [`number`](super::number) for what the store calls it.
    pub identity: i64,
    /// A number for all else that is shown of it.
    pub version: i64,
    /// INTERNALDATE, in seconds since 1970.
    pub secs: i64,
    /// Whether it could be read when it was listed.
    pub is_read: bool,
}

/// A folder that may have changed.
#[derive(Debug)]
pub struct Changed {
    pub folder: Folder,
    /// The state that it was [settled](Look::settle) in before.
    pub settled: Option<Vec<u8>>,
}

/// A message that the index does not have.
#[derive(Clone, Debug)]
pub struct Missing {
    /// Its position among the entries.
    pub position: usize,
    /// When it was there before, if it is only to be read again.
    times: Option<(i64, Vec<(i64, i64)>)>,
}

/// What a message is found by, and what is told of it.
#[derive(Clone, Debug)]
pub struct Text {
    pub reading: Reading,
    pub message_id: Option<u128>,
    pub size: u64,
    /// The name that it is shown by.
    pub name: String,
    pub sender: String,
    pub recipients: String,
    pub subject: String,
    /// A line for each.
    pub attachments: String,
    /// Words of sender, recipients, subject, attachments and body.
    pub words: [String; 5],
}

/// A look at a mailbox in a snapshot.
pub struct Look<'s> {
    search: &'s Search,
    mailbox: &'s mut Mailbox,
    moment: i64,
    /// Folders that are there.
    there: HashSet<i64>,
    /// Where the last row went: the second it was for, and the one with room.
    last: (i64, i64),
}

impl Search {
    /// Begins to look at a mailbox in the snapshot of this moment, which is later than those it was looked at in.
    pub fn look<'s>(&'s self, mailbox: &'s mut Mailbox, moment: i64) -> Result<Look<'s>> {
        self.checked(self.begin())?;
        Ok(Look {
            search: self,
            mailbox,
            moment,
            there: HashSet::new(),
            last: (-1, 0),
        })
    }

    /// Forgets when the messages of a mailbox were where; what was read of them stays.
    pub fn start_over(&self, mailbox: &mut Mailbox) -> Result<()> {
        let result = self.transaction(|| {
            for id in self.ids(
                "SELECT id FROM message WHERE id BETWEEN ?1 AND ?2",
                mailbox.range(),
            )? {
                if let Some(mut row) = self.select_row(mailbox, id)? {
                    (row.since, row.until) = (NEVER, Some(NEVER));
                    row.earlier.clear();
                    self.update_times(mailbox, &row)?;
                }
            }
            self.connection.execute(
                "UPDATE folder SET state = NULL WHERE mailbox = ?1",
                [mailbox.id],
            )?;
            self.set_learned(mailbox, Vec::new())
        });
        self.checked(result)
    }

    /// Drops what was only on dates before `oldest`.
    pub fn tidy(&self, mailbox: &mut Mailbox, oldest: i64) -> Result<()> {
        let result = self.transaction(|| {
            let gone = "SELECT id FROM message WHERE id >> 40 = ?1 AND until <= ?2";
            for id in self.ids(gone, (mailbox.id, oldest))? {
                self.delete_row(id)?;
            }
            let kept: Vec<Learned> = mailbox
                .learned
                .iter()
                .filter(|learned| learned.moment >= oldest)
                .copied()
                .collect();
            if kept.len() < mailbox.learned.len() {
                self.set_learned(mailbox, kept)?;
            }
            Ok(())
        });
        self.checked(result)
    }

    fn set_learned(&self, mailbox: &mut Mailbox, learned: Vec<Learned>) -> Result<(), Fault> {
        mailbox.learned = learned;
        self.connection.execute(
            "UPDATE mailbox SET learned = ?2, crc = ?3 WHERE id = ?1",
            params![
                mailbox.id,
                encode_learned(&mailbox.learned),
                checksum_of_mailbox(mailbox)
            ],
        )?;
        Ok(())
    }

    pub(super) fn ids(&self, select: &str, parameters: (i64, i64)) -> Result<Vec<i64>, Fault> {
        let mut select = self.connection.prepare_cached(select)?;
        let rows = select.query_map(parameters, |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

impl Look<'_> {
    /// The folder with this stored name, shown at this path; `None` if it is still in the state that it was
    /// [settled](Self::settle) in.
    pub fn folder(&mut self, stored: &[u8], shown: &str, state: &[u8]) -> Result<Option<Changed>> {
        let result = self.find_or_add_folder(stored, shown, state);
        self.search.checked(result)
    }

    fn find_or_add_folder(
        &mut self,
        stored: &[u8],
        shown: &str,
        state: &[u8],
    ) -> Result<Option<Changed>, Fault> {
        let connection = &self.search.connection;
        let mut select = connection.prepare_cached(
            "SELECT id, state FROM folder WHERE mailbox = ?1 AND stored = ?2 AND shown = ?3",
        )?;
        let key = params![self.mailbox.id, stored, shown];
        let known: Option<(i64, Option<Vec<u8>>)> = select
            .query_row(key, |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (id, settled) = match known {
            Some((id, known)) if known.as_deref() == Some(state) => {
                self.there.insert(id);
                return Ok(None);
            }
            Some((id, known)) => {
                let mut update = connection
                    .prepare_cached("UPDATE folder SET state = NULL, occupied = 1 WHERE id = ?1")?;
                update.execute([id])?;
                (id, known)
            }
            None => {
                let mut insert = connection.prepare_cached(
                    "INSERT INTO folder (mailbox, stored, shown, occupied, crc) VALUES (?1, ?2, ?3, 1, ?4)",
                )?;
                let crc = checksum_of_folder(self.mailbox, stored, shown);
                let id = insert.insert(params![self.mailbox.id, stored, shown, crc])?;
                (id, None)
            }
        };
        self.there.insert(id);
        let folder = Folder {
            id,
            stored: stored.to_vec(),
            shown: shown.to_owned(),
        };
        Ok(Some(Changed { folder, settled }))
    }

    /// Takes in how a folder differs from the state that it was [settled](Self::settle) in: which messages it has no longer, and which it did not have, with their positions. Says which of these are to be read and [added](Self::add).
    pub fn compare_difference(
        &mut self,
        folder: &Folder,
        gone: &[Entry],
        came: &[(usize, Entry)],
    ) -> Result<Vec<Missing>> {
        let result = self.take_in_difference(folder, gone, came);
        self.search.checked(result)
    }

    fn take_in_difference(
        &mut self,
        folder: &Folder,
        gone: &[Entry],
        came: &[(usize, Entry)],
    ) -> Result<Vec<Missing>, Fault> {
        let (mut missing, mut ended, mut back) = (Vec::new(), Vec::new(), Vec::new());
        {
            let mut select = self.search.connection.prepare_cached(
                "SELECT until, id FROM message
                 WHERE folder = ?1 AND secs = ?2 AND identity = ?3 AND version = ?4",
            )?;
            let mut find = |entry: &Entry| {
                let key = [folder.id, entry.secs, entry.identity, entry.version];
                let row = |row: &rusqlite::Row<'_>| {
                    rusqlite::Result::Ok((row.get::<_, Option<i64>>(0)?, row.get(1)?))
                };
                select.query_row(key, row).optional()
            };
            for entry in gone {
                if let Some((None, id)) = find(entry)? {
                    ended.push(id);
                }
            }
            for (position, entry) in came {
                match find(entry)? {
                    Some((Some(_), id)) => back.push(id),
                    Some((None, _)) => {}
                    None => missing.push(Missing {
                        position: *position,
                        times: None,
                    }),
                }
            }
        }
        self.end_and_return(ended, back)?;
        Ok(missing)
    }

    /// Takes in which messages a folder has; says which of them are to be read and [added](Self::add).
    pub fn compare(&mut self, folder: &Folder, entries: &[Entry]) -> Result<Vec<Missing>> {
        let result = self.take_in(folder, entries);
        self.search.checked(result)
    }

    fn take_in(&mut self, folder: &Folder, entries: &[Entry]) -> Result<Vec<Missing>, Fault> {
        let key = |at: &usize| entries.get(*at).map(|e| (e.secs, e.identity, e.version));
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_unstable_by_key(key);
        let mut order = order.into_iter().peekable();
        let unread = self.unread()?;
        let (mut missing, mut gone, mut back, mut again) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        {
            let mut select = self.search.connection.prepare_cached(
                "SELECT secs, identity, version, until, id FROM message
                 WHERE folder = ?1 ORDER BY secs, identity, version",
            )?;
            let mut rows = select.query([folder.id])?;
            while let Some(row) = rows.next()? {
                let known = (row.get(0)?, row.get(1)?, row.get(2)?);
                let (until, id): (Option<i64>, i64) = (row.get(3)?, row.get(4)?);
                while let Some(position) = order.next_if(|p| key(p) < Some(known)) {
                    missing.push(Missing {
                        position,
                        times: None,
                    });
                }
                match order.next_if(|p| key(p) == Some(known)) {
                    Some(position) => {
                        if until.is_some() {
                            back.push(id);
                        }
                        let is_read = entries.get(position).is_some_and(|e| e.is_read);
                        if is_read && unread.contains(&id) {
                            again.push((id, position));
                        }
                    }
                    None if until.is_none() => gone.push(id),
                    None => {}
                }
            }
        }
        missing.extend(order.map(|position| Missing {
            position,
            times: None,
        }));
        self.end_and_return(gone, back)?;
        for (id, position) in again {
            if let Some(row) = self.search.select_row(self.mailbox, id)? {
                self.search.delete_row(id)?;
                let times = Some((row.since, row.earlier));
                missing.push(Missing { position, times });
            }
        }
        Ok(missing)
    }

    /// Notes that messages are there no longer, and that others are there again.
    fn end_and_return(&mut self, ended: Vec<i64>, back: Vec<i64>) -> Result<(), Fault> {
        for id in ended {
            self.change(id, |row, moment| row.until = Some(moment))?;
        }
        for id in back {
            self.change(id, |row, moment| {
                if let Some(until) = row.until.take().filter(|&until| until > row.since) {
                    row.earlier.push((row.since, until));
                }
                row.since = moment;
            })?;
        }
        Ok(())
    }

    /// Messages of the mailbox that could not be read.
    fn unread(&self) -> Result<HashSet<i64>, Fault> {
        let select = "SELECT id FROM message WHERE reading > 0 AND id >> 40 = ?1 AND reading = ?2";
        let unread = Reading::Unread.code();
        let ids = self.search.ids(select, (self.mailbox.id, unread))?;
        Ok(ids.into_iter().collect())
    }

    fn change(&mut self, id: i64, change: impl FnOnce(&mut Row, i64)) -> Result<(), Fault> {
        if let Some(mut row) = self.search.select_row(self.mailbox, id)? {
            change(&mut row, self.moment);
            self.search.update_times(self.mailbox, &row)?;
        }
        self.search.changed()
    }

    /// Adds a message that was missing.
    pub fn add(
        &mut self,
        folder: &Folder,
        missing: Missing,
        entry: &Entry,
        text: Text,
    ) -> Result<()> {
        let result = self.insert(folder, missing, entry, text);
        self.search.checked(result)
    }

    fn insert(
        &mut self,
        folder: &Folder,
        missing: Missing,
        entry: &Entry,
        text: Text,
    ) -> Result<(), Fault> {
        let (since, earlier) = missing.times.unwrap_or((self.moment, Vec::new()));
        let row = Row {
            id: self.free_number(entry.secs)?,
            folder: folder.id,
            identity: entry.identity,
            version: entry.version,
            since,
            until: None,
            earlier,
            same: sameness(text.message_id, text.size, entry.identity),
            secs: entry.secs,
            size: text.size,
            reading: text.reading,
            name: text.name,
            sender: text.sender,
            recipients: text.recipients,
            subject: text.subject,
            attachments: text.attachments,
        };
        self.search.insert_row(self.mailbox, &row)?;
        let mut insert = self.search.connection.prepare_cached(
            "INSERT INTO text (rowid, sender, recipients, subject, attachments, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        let [sender, recipients, subject, attachments, body] = &text.words;
        insert.execute(params![
            row.id,
            sender,
            recipients,
            subject,
            attachments,
            body
        ])?;
        self.search.changed()
    }

    fn free_number(&mut self, secs: i64) -> Result<i64, Fault> {
        let wanted = second(secs);
        let mut at = match self.last {
            (second, at) if second == wanted => at,
            _ => wanted,
        };
        let mut select = self
            .search
            .connection
            .prepare_cached("SELECT max(id) FROM message WHERE id BETWEEN ?1 AND ?2")?;
        while at < wanted + SPILL {
            let first = first_of_second(self.mailbox.id, at);
            let end = first + ROWS_OF_A_SECOND;
            let last: Option<i64> = select.query_row([first, end - 1], |row| row.get(0))?;
            let free = last.map_or(first, |last| last + 1);
            if free < end {
                self.last = (wanted, at);
                return Ok(free);
            }
            at += 1;
        }
        Err(Fault::new(
            Trouble::Failing,
            "more messages of one second than there are numbers for",
        ))
    }

    /// Notes that all messages of a folder are in the index, as long as it is in this state.
    pub fn settle(&mut self, folder: &Folder, state: &[u8]) -> Result<()> {
        let update = || -> Result<(), Fault> {
            let mut update = self
                .search
                .connection
                .prepare_cached("UPDATE folder SET state = ?2 WHERE id = ?1")?;
            update.execute(params![folder.id, state])?;
            Ok(())
        };
        self.search.checked(update())
    }

    /// Ends the look. Messages in folders that were not [named](Self::folder) are gone, unless it has `failed`, when
    /// nothing is known of those; that is the present time, in seconds since 1970.
    pub fn finish(mut self, key: i64, failed: Option<i64>) -> Result<()> {
        let result = self.end(key, failed);
        self.search.checked(result)
    }

    fn end(&mut self, key: i64, failed: Option<i64>) -> Result<(), Fault> {
        if failed.is_none() {
            let occupied = "SELECT id FROM folder WHERE mailbox = ?1 AND occupied = ?2";
            for folder in self.search.ids(occupied, (self.mailbox.id, 1))? {
                if self.there.contains(&folder) {
                    continue;
                }
                let open = "SELECT id FROM message WHERE folder = ?1 AND until IS NULL AND ?2";
                for id in self.search.ids(open, (folder, 1))? {
                    self.change(id, |row, moment| row.until = Some(moment))?;
                }
                self.search.connection.execute(
                    "UPDATE folder SET state = NULL, occupied = 0 WHERE id = ?1",
                    [folder],
                )?;
            }
        }
        let mut learned = std::mem::take(&mut self.mailbox.learned);
        if key == LIVE {
            learned.retain(|before| before.key != LIVE);
        }
        learned.push(Learned {
            moment: self.moment,
            key,
            failed,
        });
        self.search.set_learned(self.mailbox, learned)?;
        self.search.end()
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        let connection = &self.search.connection;
        if self.search.end().is_err()
            && let Err(e) = connection.execute_batch("ROLLBACK")
        {
            tracing::debug!("search index: {e}");
        }
    }
}

/// The second that a message's number has.
fn second(secs: i64) -> i64 {
    secs.clamp(0, LAST_SECOND)
}

/// The first number of a mailbox's second.
pub(super) fn first_of_second(mailbox: i64, secs: i64) -> i64 {
    (mailbox << MAILBOX_SHIFT) + (secs << SECONDS_SHIFT)
}

/// The numbers that messages of a mailbox have whose time is within these seconds.
pub(super) fn numbers_between(
    mailbox: &Mailbox,
    since: Option<i64>,
    until: Option<i64>,
) -> (i64, i64) {
    let (first, last) = mailbox.range();
    let from = since.map_or(first, |since| first_of_second(mailbox.id, second(since)));
    let to = until.map_or(last, |until| {
        first_of_second(mailbox.id, second(until) + SPILL + 1).min(last)
    });
    (from, to)
}
