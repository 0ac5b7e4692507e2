//! The thread that writes to `facts.sqlite`.
//!
//! Each load of the queue is one transaction. A load that can't be written is given up; a damaged file is replaced.

use super::database::{Fault, Rest, Trouble};
use super::facts::{Shared, hour, mailbox_id, pack_checksum};
use super::queue::{self, Job};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many states of a folder are kept.
const STATES: i64 = 40;

/// Listings from this size on are compressed, to about a quarter. Of 16 MiB that halves the time to read and to write;
/// below 4 MiB it costs a reader half a millisecond for each MiB, and still saves the disk.
const COMPRESS_FROM: usize = 1 << 20;

/// How often a file is replaced before the disk itself is taken to be bad.
const RENEWALS: u32 = 3;

const WAIT: Duration = Duration::from_secs(1);

pub(super) const MADE_ANEW: &str =
    "set aside as facts.sqlite.damaged and made anew; messages are read anew as they are looked at";

const NOT_KEPT: &str = "what is learned meanwhile is not kept";

/// Writes what comes through the queue until it is closed and empty.
pub(super) fn run(shared: &Shared, connection: Connection) {
    let mut connection = Some(connection);
    let mut rest = Rest::default();
    let mut renewals = 0;
    while let Some(jobs) = shared.queue.take() {
        let outcome = match &connection {
            Some(_) if shared.damaged.load(Ordering::Relaxed) => {
                Err(Fault::new(Trouble::Damaged, "it cannot be read"))
            }
            Some(connection) if rest.is_over() => write(connection, &jobs),
            _ => Ok(()),
        };
        if let Err(fault) = outcome {
            rest.begin();
            if fault.trouble != Trouble::Damaged {
                shared.report(&fault, NOT_KEPT);
            } else if renewals < RENEWALS {
                renewals += 1;
                shared.report(&fault, MADE_ANEW);
                connection = None;
                match shared.renew() {
                    Ok(renewed) => {
                        connection = Some(renewed);
                        rest = Rest::default();
                    }
                    Err(fault) => shared.report(&fault, NOT_KEPT),
                }
            }
        }
        shared.queue.done(jobs);
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

fn insert_pack(transaction: &Transaction<'_>, pack: &queue::Pack) -> Result<(), Fault> {
    let mailbox = intern(transaction, &pack.mailbox)?;
    let key: [&[u8]; 3] = [&pack.mailbox, &pack.folder, &pack.stamp];
    let compressed = (pack.listing.len() >= COMPRESS_FROM)
        .then(|| zstd::bulk::compress(&pack.listing, 1).ok())
        .flatten()
        .filter(|compressed| compressed.len() < pack.listing.len());
    let content = compressed.as_deref().unwrap_or(&pack.listing);
    let plain_size = pack.listing.len() as i64;
    let crc = pack_checksum(key, plain_size, content);
    let id: i64 = transaction
        .prepare_cached(
            "INSERT INTO pack (mailbox, folder, stamp, used) VALUES (?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET used = excluded.used RETURNING id",
        )?
        .query_row(params![mailbox, pack.folder, pack.stamp, hour()], |row| {
            row.get(0)
        })?;
    transaction
        .prepare_cached("INSERT OR REPLACE INTO listing VALUES (?, ?, ?, ?)")?
        .execute(params![id, plain_size, content, crc])?;
    drop_oldest(transaction, mailbox, &pack.folder)
}

fn drop_oldest(transaction: &Transaction<'_>, mailbox: i64, folder: &[u8]) -> Result<(), Fault> {
    let oldest: Vec<i64> = transaction
        .prepare_cached(
            "SELECT id FROM pack WHERE mailbox = ? AND folder = ?
             ORDER BY used DESC, id DESC LIMIT -1 OFFSET ?",
        )?
        .query_map(params![mailbox, folder, STATES], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in oldest {
        for delete in [
            "DELETE FROM listing WHERE pack = ?",
            "DELETE FROM pack WHERE id = ?",
        ] {
            transaction.prepare_cached(delete)?.execute([id])?;
        }
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
