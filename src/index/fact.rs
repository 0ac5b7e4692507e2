//! What is known of one message, in `facts.sqlite`: its key, and asking the file for many of them.

use super::database::{Fault, checksum};
use crate::time::Time;
use rusqlite::{Connection, OptionalExtension, Row, params};

pub(super) const MAILBOX: &str = "SELECT id FROM mailbox WHERE key = ?1";

pub(super) const FROM_KEY: &str = "SELECT identity, size, secs, nanos, value, crc FROM fact
     WHERE mailbox = ?1 AND (identity, size, secs, nanos) >= (?2, ?3, ?4, ?5)
     ORDER BY identity, size, secs, nanos";

/// How many rows nobody asked for are walked over before the next key is looked up: about what a look-up costs.
const STRIDE: usize = 16;

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

pub(super) fn mailbox_id(connection: &Connection, key: &[u8]) -> Result<Option<i64>, Fault> {
    let mut select = connection.prepare_cached(MAILBOX)?;
    Ok(select.query_row([key], |row| row.get(0)).optional()?)
}

/// Walks through the facts of a mailbox and the keys side by side, both in the same order.
pub(super) fn select_facts(
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
