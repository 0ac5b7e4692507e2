//! Rows of `search.sqlite`: a message in a folder, and what checks it and the rows that it belongs to.

use super::{Learned, Mailbox, Search, number};
use crate::index::database::{Fault, Trouble, checksum};
use rusqlite::{OptionalExtension, params};

/// A row's number: mailbox, then INTERNALDATE in seconds since 1970 (32 bits), then a counter (8 bits).
pub(super) const MAILBOX_SHIFT: u32 = 40;
pub(super) const SECONDS_SHIFT: u32 = 8;

/// The time of a message that no snapshot has.
pub(super) const NEVER: i64 = i64::MIN;

pub(super) const SELECT: &str =
    "SELECT id, folder, identity, version, since, until, earlier, same, secs, size, reading,
            name, sender, recipients, subject, attachments, crc
     FROM message WHERE id = ?1";

/// What became of reading a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    Done,
    /// The disk refused; to be tried again.
    Unread,
    /// It cannot be decoded, or there is no key for it.
    Damaged,
}

impl Reading {
    pub(super) fn code(self) -> i64 {
        match self {
            Self::Done => 0,
            Self::Unread => 1,
            Self::Damaged => 2,
        }
    }

    fn from_code(code: i64) -> Option<Self> {
        [Self::Done, Self::Unread, Self::Damaged]
            .into_iter()
            .find(|reading| reading.code() == code)
    }
}

/// A folder as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    pub(super) id: i64,
    /// What the store knows it by.
    pub stored: Vec<u8>,
    /// The path of its directory below the mailbox's.
    pub shown: String,
}

/// A message in a folder, under the name that it is shown by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub(super) id: i64,
    pub(super) folder: i64,
    pub(super) identity: i64,
    pub(super) version: i64,
    /// The moment of the first snapshot that has it.
    pub since: i64,
    /// The moment of the first one that no longer has it; `None` if the last one has it.
    pub until: Option<i64>,
    /// Such times before, each with its end.
    pub earlier: Vec<(i64, i64)>,
    /// The same for every copy of the message in its mailbox.
    pub same: i64,
    /// INTERNALDATE, in seconds since 1970.
    pub secs: i64,
    /// Of the message, in bytes.
    pub size: u64,
    pub reading: Reading,
    pub name: String,
    pub sender: String,
    pub recipients: String,
    pub subject: String,
    /// A line for each.
    pub attachments: String,
}

impl Row {
    /// Whether the snapshot of this moment has it.
    pub fn is_in(&self, moment: i64) -> bool {
        let now = self.since <= moment && self.until.is_none_or(|until| moment < until);
        now || self
            .earlier
            .iter()
            .any(|&(since, until)| since <= moment && moment < until)
    }

    fn checksum(&self, mailbox: &[u8]) -> i64 {
        let numbers = [
            self.id,
            self.folder,
            self.identity,
            self.version,
            self.since,
            self.until.unwrap_or(i64::MIN),
            self.same,
            self.secs,
            self.size.cast_signed(),
            self.reading.code(),
        ];
        let numbers: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        let parts = [
            mailbox,
            &numbers,
            &encode_runs(&self.earlier),
            self.name.as_bytes(),
            self.sender.as_bytes(),
            self.recipients.as_bytes(),
            self.subject.as_bytes(),
            self.attachments.as_bytes(),
        ];
        checksum(&parts).into()
    }
}

fn encode_runs(runs: &[(i64, i64)]) -> Vec<u8> {
    let ends = runs.iter().flat_map(|&(since, until)| [since, until]);
    ends.flat_map(i64::to_le_bytes).collect()
}

fn decode_runs(bytes: &[u8]) -> Vec<(i64, i64)> {
    let ends: Vec<i64> = bytes
        .as_chunks()
        .0
        .iter()
        .map(|end| i64::from_le_bytes(*end))
        .collect();
    ends.as_chunks()
        .0
        .iter()
        .map(|&[since, until]| (since, until))
        .collect()
}

/// 24 bytes for each: moment, key, when it failed.
pub(super) fn encode_learned(learned: &[Learned]) -> Vec<u8> {
    learned
        .iter()
        .flat_map(|l| [l.moment, l.key, l.failed.unwrap_or(NEVER)])
        .flat_map(i64::to_le_bytes)
        .collect()
}

pub(super) fn decode_learned(bytes: &[u8]) -> Vec<Learned> {
    let (numbers, _) = bytes.as_chunks();
    let numbers: Vec<i64> = numbers.iter().map(|n| i64::from_le_bytes(*n)).collect();
    let learned = |&[moment, key, failed]: &[i64; 3]| Learned {
        moment,
        key,
        failed: Some(failed).filter(|&failed| failed != NEVER),
    };
    numbers.as_chunks().0.iter().map(learned).collect()
}

pub(super) fn checksum_of_mailbox(mailbox: &Mailbox) -> i64 {
    checksum(&[
        &mailbox.id.to_le_bytes(),
        &mailbox.path,
        mailbox.name.as_bytes(),
        &encode_learned(&mailbox.learned),
    ])
    .into()
}

pub(super) fn checksum_of_folder(mailbox: &Mailbox, stored: &[u8], shown: &str) -> i64 {
    checksum(&[
        &mailbox.id.to_le_bytes(),
        &mailbox.path,
        stored,
        shown.as_bytes(),
    ])
    .into()
}

impl Search {
    /// The row with a number, if it is as it was written for this mailbox.
    pub(super) fn select_row(&self, mailbox: &Mailbox, id: i64) -> Result<Option<Row>, Fault> {
        let mut select = self.connection.prepare_cached(SELECT)?;
        let found = select
            .query_row([id], |row| {
                let reading = Reading::from_code(row.get(10)?);
                let earlier: Option<Vec<u8>> = row.get(6)?;
                let found = Row {
                    id: row.get(0)?,
                    folder: row.get(1)?,
                    identity: row.get(2)?,
                    version: row.get(3)?,
                    since: row.get(4)?,
                    until: row.get(5)?,
                    earlier: decode_runs(&earlier.unwrap_or_default()),
                    same: row.get(7)?,
                    secs: row.get(8)?,
                    size: row.get::<_, i64>(9)?.cast_unsigned(),
                    reading: reading.unwrap_or(Reading::Damaged),
                    name: row.get(11)?,
                    sender: row.get(12)?,
                    recipients: row.get(13)?,
                    subject: row.get(14)?,
                    attachments: row.get(15)?,
                };
                Ok((found, row.get::<_, i64>(16)?))
            })
            .optional()?;
        match found {
            Some((row, crc)) if crc == row.checksum(&mailbox.path) => Ok(Some(row)),
            Some(_) => Err(Fault::new(Trouble::Damaged, "a message's row is altered")),
            None => Ok(None),
        }
    }

    pub(super) fn insert_row(&self, mailbox: &Mailbox, row: &Row) -> Result<(), Fault> {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO message (id, folder, identity, version, since, until, earlier, same, secs, size, reading,
                                  name, sender, recipients, subject, attachments, crc)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
        )?;
        let earlier = Some(encode_runs(&row.earlier)).filter(|runs| !runs.is_empty());
        insert.execute(params![
            row.id,
            row.folder,
            row.identity,
            row.version,
            row.since,
            row.until,
            earlier,
            row.same,
            row.secs,
            row.size.cast_signed(),
            row.reading.code(),
            row.name,
            row.sender,
            row.recipients,
            row.subject,
            row.attachments,
            row.checksum(&mailbox.path),
        ])?;
        Ok(())
    }

    /// Writes when the message was there.
    pub(super) fn update_times(&self, mailbox: &Mailbox, row: &Row) -> Result<(), Fault> {
        let mut update = self.connection.prepare_cached(
            "UPDATE message SET since = ?2, until = ?3, earlier = ?4, crc = ?5 WHERE id = ?1",
        )?;
        let earlier = Some(encode_runs(&row.earlier)).filter(|runs| !runs.is_empty());
        let crc = row.checksum(&mailbox.path);
        update.execute(params![row.id, row.since, row.until, earlier, crc])?;
        Ok(())
    }

    pub(super) fn delete_row(&self, id: i64) -> Result<(), Fault> {
        let mut delete = self
            .connection
            .prepare_cached("DELETE FROM text WHERE rowid = ?1")?;
        delete.execute([id])?;
        let mut delete = self
            .connection
            .prepare_cached("DELETE FROM message WHERE id = ?1")?;
        delete.execute([id])?;
        Ok(())
    }
}

/// What every copy of a message in a mailbox has in common: its Message-ID and size, or what its store calls it if it
/// has no Message-ID.
pub(super) fn sameness(message_id: Option<u128>, size: u64, identity: i64) -> i64 {
    match message_id {
        Some(id) => number(&[b"message-id", &id.to_le_bytes(), &size.to_le_bytes()]),
        None => number(&[b"identity", &identity.to_le_bytes()]),
    }
}
