//! The thread that writes to `facts.sqlite`.
//!
//! Each load of the queue is one transaction. A load that can't be written is given up; a damaged file is replaced, and one
//! that was removed is made anew.

use super::database::{Fault, Rest, Trouble, empty_log};
use super::fact::mailbox_id;
use super::facts_file::{FactsFile, MADE_AGAIN, MADE_ANEW, hour};
use super::pack::{BASES, MOST_BASES, pack_checksum, share_checksum};
use super::queue::{self, Encode, Job, Listing, Pack};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::io::{self, BufWriter, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many states of a folder are kept.
const STATES: i64 = 40;

/// Listings from this size on are compressed, to about a quarter. Of 16 MiB that halves the time to read and to write;
/// below 4 MiB it costs a reader half a millisecond for each MiB, and still saves the disk.
const COMPRESS_FROM: usize = 1 << 20;

/// How often a file is replaced before the disk itself is taken to be bad.
const RENEWALS: u32 = 3;

/// Rows after which the log is brought into the file as soon as nothing waits to be written: whoever opens the file next need
/// not read it through.
const MUCH: usize = 20_000;

const WAIT: Duration = Duration::from_secs(1);

const NOT_KEPT: &str = "what is learned meanwhile is not kept";

/// Writes what comes through the queue until it is closed and empty.
pub(super) fn run(file: &FactsFile, connection: Connection) {
    let mut connection = Some(connection);
    let mut rest = Rest::default();
    let mut renewals = 0;
    let mut written = 0;
    while let Some(jobs) = file.queue.take() {
        let outcome = match &connection {
            _ if rest.is_over() && !file.is_there() => Err(Fault::vanished()),
            Some(_) if file.damaged.load(Ordering::Relaxed) => {
                Err(Fault::new(Trouble::Damaged, "it cannot be read"))
            }
            Some(connection) if rest.is_over() => {
                written += jobs.iter().map(Job::rows).sum::<usize>();
                write(connection, &jobs).and_then(|()| match written >= MUCH {
                    true if file.queue.is_empty() => {
                        written = 0;
                        empty_log(connection, WAIT)
                    }
                    _ => Ok(()),
                })
            }
            _ => Ok(()),
        };
        if let Err(fault) = outcome {
            rest.begin();
            if fault.trouble == Trouble::Vanished {
                connection = None;
                match file.reopen() {
                    Ok(made) => {
                        file.report(&fault, MADE_AGAIN);
                        connection = Some(made);
                        rest = Rest::default();
                    }
                    Err(e) => file.report(&fault, &format!("{NOT_KEPT} ({})", e.detail)),
                }
            } else if fault.trouble != Trouble::Damaged {
                file.report(&fault, NOT_KEPT);
            } else if renewals < RENEWALS {
                renewals += 1;
                file.report(&fault, MADE_ANEW);
                connection = None;
                match file.renew() {
                    Ok(renewed) => {
                        connection = Some(renewed);
                        rest = Rest::default();
                    }
                    Err(fault) => file.report(&fault, NOT_KEPT),
                }
            }
        }
        file.queue.done(jobs);
    }
}

fn write(connection: &Connection, jobs: &[Job]) -> Result<(), Fault> {
    connection.busy_timeout(WAIT)?;
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    for job in jobs {
        match job {
            Job::Facts(facts) => insert_facts(&transaction, facts)?,
            Job::Pack(pack) => insert_pack(&transaction, pack)?,
            Job::Used(id) => {
                let mut update =
                    transaction.prepare_cached("UPDATE pack SET used = ?2 WHERE id = ?1")?;
                update.execute([*id, hour()])?;
            }
            Job::Renew => {}
        }
    }
    Ok(transaction.commit()?)
}

fn insert_facts(transaction: &Transaction<'_>, facts: &queue::Facts) -> Result<(), Fault> {
    let mailbox = intern(transaction, &facts.mailbox)?;
    let mut insert =
        transaction.prepare_cached("INSERT OR REPLACE INTO fact VALUES (?, ?, ?, ?, ?, ?, ?)")?;
    for (key, value) in facts.iter() {
        let crc = key.checksum(&facts.mailbox, value);
        let (identity, size, secs, nanos) = key.columns();
        insert.execute(params![mailbox, identity, size, secs, nanos, value, crc])?;
    }
    Ok(())
}

fn insert_pack(transaction: &Transaction<'_>, pack: &Pack) -> Result<(), Fault> {
    let mailbox = intern(transaction, &pack.mailbox)?;
    let key: [&[u8]; 3] = [&pack.mailbox, &pack.folder, &pack.stamp];
    let listing_of = |stamp: &[u8]| -> Result<Option<(i64, Vec<u8>)>, Fault> {
        let mut select = transaction.prepare_cached(
            "SELECT listing.id, made_for FROM pack JOIN listing ON listing.id = pack.listing
             WHERE mailbox = ? AND folder = ? AND stamp = ?",
        )?;
        let found = select.query_row(params![mailbox, pack.folder, stamp], |row| {
            Ok((row.get(0)?, row.get(1)?))
        });
        Ok(found.optional()?)
    };
    let replaced = listing_of(&pack.stamp)?;
    let own = |encode| -> Result<(i64, Vec<u8>), Fault> {
        let id = insert_listing(transaction, key, pack.weight, encode)?;
        Ok((id, pack.stamp.to_vec()))
    };
    let (listing, made_for) = match &pack.listing {
        Listing::Own(encode) => own(encode)?,
        Listing::Since(other, added, whole) => {
            let base = listing_of(other)?.map(|(id, _)| id);
            match add_listing(transaction, key, base, added)? {
                Some(id) => (id, pack.stamp.to_vec()),
                None => own(whole)?,
            }
        }
        Listing::Of(other) => match listing_of(other)? {
            Some(found) => found,
            None => return Ok(()),
        },
    };
    transaction
        .prepare_cached(
            "INSERT INTO pack (mailbox, folder, stamp, used, listing, crc) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE
             SET used = excluded.used, listing = excluded.listing, crc = excluded.crc",
        )?
        .execute(params![
            mailbox,
            pack.folder,
            pack.stamp,
            hour(),
            listing,
            share_checksum(key, &made_for)
        ])?;
    if let Some((replaced, _)) = replaced {
        drop_unused(transaction, replaced)?;
    }
    drop_oldest(transaction, mailbox, &pack.folder)
}

/// Answers the row's id.
fn insert_listing(
    transaction: &Transaction<'_>,
    key: [&[u8]; 3],
    weight: usize,
    encode: &Encode,
) -> Result<i64, Fault> {
    let failed = |e: io::Error| Fault::new(Trouble::Failing, format!("a listing: {e}"));
    let plain = || -> io::Result<(Vec<u8>, u64)> {
        let mut plain = Vec::with_capacity(weight);
        encode(&mut plain)?;
        let len = plain.len() as u64;
        Ok((plain, len))
    };
    let (content, plain_size) = match weight >= COMPRESS_FROM {
        true => match compress(encode).map_err(failed)? {
            (compressed, plain_size) if (compressed.len() as u64) < plain_size => {
                (compressed, plain_size)
            }
            _ => plain().map_err(failed)?,
        },
        false => plain().map_err(failed)?,
    };
    let plain_size = plain_size.cast_signed();
    let crc = pack_checksum(key, None, plain_size, &content);
    let [_, _, stamp] = key;
    transaction
        .prepare_cached(
            "INSERT INTO listing (made_for, plain_size, content, crc) VALUES (?, ?, ?, ?)",
        )?
        .execute(params![stamp, plain_size, content, crc])?;
    Ok(transaction.last_insert_rowid())
}

/// The same for what is added to another listing; nothing if there is none, or it is made of as many as may be.
fn add_listing(
    transaction: &Transaction<'_>,
    key: [&[u8]; 3],
    base: Option<i64>,
    added: &[u8],
) -> Result<Option<i64>, Fault> {
    let Some(base) = base else {
        return Ok(None);
    };
    let mut select = transaction.prepare_cached(BASES)?;
    let (bases, base_crc): (Option<i64>, i64) =
        select.query_row([base], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let bases = bases.unwrap_or(0) + 1;
    if bases > MOST_BASES {
        return Ok(None);
    }
    let failed = |e: io::Error| Fault::new(Trouble::Failing, format!("a listing: {e}"));
    let compressed = match added.len() >= COMPRESS_FROM {
        true => Some(zstd::bulk::compress(added, 1).map_err(failed)?),
        false => None,
    };
    let content = compressed.as_deref().filter(|c| c.len() < added.len());
    let content = content.unwrap_or(added);
    let plain_size = added.len() as i64;
    let [_, _, stamp] = key;
    let crc = pack_checksum(key, Some(base_crc), plain_size, content);
    transaction
        .prepare_cached(
            "INSERT INTO listing (made_for, plain_size, content, base, bases, crc)
             VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![stamp, plain_size, content, base, bases, crc])?;
    Ok(Some(transaction.last_insert_rowid()))
}

/// Compresses on the way, so that the plain bytes are never there at once; also answers how many they are.
fn compress(encode: &Encode) -> io::Result<(Vec<u8>, u64)> {
    let mut out = Counted {
        inner: BufWriter::with_capacity(1 << 16, zstd::Encoder::new(Vec::new(), 1)?),
        count: 0,
    };
    encode(&mut out)?;
    let compressed = out.inner.into_inner().map_err(|e| e.into_error())?;
    Ok((compressed.finish()?, out.count))
}

struct Counted<W> {
    inner: W,
    count: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.count += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn drop_oldest(transaction: &Transaction<'_>, mailbox: i64, folder: &[u8]) -> Result<(), Fault> {
    let oldest: Vec<(i64, i64)> = transaction
        .prepare_cached(
            "SELECT id, listing FROM pack WHERE mailbox = ? AND folder = ?
             ORDER BY used DESC, id DESC LIMIT -1 OFFSET ?",
        )?
        .query_map(params![mailbox, folder, STATES], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    for (id, listing) in oldest {
        transaction
            .prepare_cached("DELETE FROM pack WHERE id = ?")?
            .execute([id])?;
        drop_unused(transaction, listing)?;
    }
    Ok(())
}

/// Drops a listing that no state has any more and no other one is added to; and then what it was added to, likewise.
fn drop_unused(transaction: &Transaction<'_>, listing: i64) -> Result<(), Fault> {
    let mut delete = transaction.prepare_cached(
        "DELETE FROM listing
         WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM pack WHERE listing = ?1)
         AND NOT EXISTS (SELECT 1 FROM listing WHERE base = ?1)
         RETURNING base",
    )?;
    let mut next = Some(listing);
    while let Some(id) = next {
        let dropped: Option<Option<i64>> = delete.query_row([id], |row| row.get(0)).optional()?;
        next = dropped.flatten();
    }
    Ok(())
}

/// The number that stands for a mailbox in this file.
fn intern(transaction: &Transaction<'_>, key: &[u8]) -> Result<i64, Fault> {
    if let Some(id) = mailbox_id(transaction, key)? {
        return Ok(id);
    }
    transaction.execute("INSERT INTO mailbox (key) VALUES (?)", [key])?;
    Ok(transaction.last_insert_rowid())
}
