//! Packs and listings in `facts.sqlite`: how folders were.
//!
//! A pack says which listing the state of a folder has; states that are the same share one. A listing has all rows of a folder, or
//! is what is added to another one, its base: the same folder on another date. Its checksum covers that of its base, so nothing
//! is put together of what does not belong together.

use super::database::{Fault, checksum};
use super::fact::mailbox_id;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::io::{BufRead, BufReader, Read};

pub(super) const LATEST_PACK: &str = "SELECT stamp FROM pack
     WHERE mailbox = ?1 AND folder = ?2 AND substr(stamp, 1, length(?3)) = ?3
     ORDER BY id DESC LIMIT 1";

pub(super) const PACK: &str = "SELECT pack.id, used, pack.crc, made_for, listing.id
     FROM pack JOIN listing ON listing.id = pack.listing
     WHERE mailbox = ?1 AND folder = ?2 AND stamp = ?3";

pub(super) const LISTING: &str =
    "SELECT made_for, plain_size, content, base, crc FROM listing WHERE id = ?1";

pub(super) const BASES: &str = "SELECT bases, crc FROM listing WHERE id = ?1";

/// How many listings a listing may be made of, one added to the other: whoever reads it reads them all.
pub(super) const MOST_BASES: i64 = 12;

/// Bytes of a listing that are decompressed at once.
const AT_ONCE: usize = 64 << 10;

/// A listing as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pack {
    pub whole: Part,
    /// What is added to that, one after the other.
    pub added: Vec<Part>,
}

/// Bytes as they are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Compressed, if they are fewer than the plain ones.
    kept: Vec<u8>,
    plain_size: usize,
}

impl Part {
    /// How many bytes were put in.
    pub fn plain_size(&self) -> usize {
        self.plain_size
    }

    /// What was put in, as it comes.
    pub fn reader(&self) -> Option<Box<dyn BufRead + '_>> {
        let kept = self.kept.as_slice();
        Some(match kept.len() == self.plain_size {
            true => Box::new(kept),
            false => {
                let plain = zstd::Decoder::with_buffer(kept).ok()?;
                Box::new(BufReader::with_capacity(AT_ONCE, plain))
            }
        })
    }

    /// All of it.
    pub fn plain(&self) -> Option<Vec<u8>> {
        let mut plain = Vec::with_capacity(self.plain_size);
        let mut reader = self.reader()?.take(self.plain_size as u64 + 1);
        reader.read_to_end(&mut plain).ok()?;
        (plain.len() == self.plain_size).then_some(plain)
    }
}

/// A pack, without its listing.
pub(super) struct Known {
    pub id: i64,
    pub used: i64,
    listing: i64,
    /// For which state its listing was made.
    made_for: Vec<u8>,
}

/// A row of a listing as the file has it.
struct Stored {
    made_for: Vec<u8>,
    plain_size: i64,
    content: Vec<u8>,
    base: Option<i64>,
    crc: i64,
}

pub(super) fn select_latest_pack(
    connection: &Connection,
    mailbox: &[u8],
    folder: &[u8],
    prefix: &[u8],
) -> Result<Option<(Known, Pack)>, Fault> {
    let Some(id) = mailbox_id(connection, mailbox)? else {
        return Ok(None);
    };
    let mut select = connection.prepare_cached(LATEST_PACK)?;
    let stamp: Option<Vec<u8>> = select
        .query_row(params![id, folder, prefix], |row| row.get(0))
        .optional()?;
    match stamp {
        Some(stamp) => select_pack(connection, mailbox, folder, &stamp),
        None => Ok(None),
    }
}

/// The pack of a state, if all is as it was written.
pub(super) fn select_known_pack(
    connection: &Connection,
    mailbox: &[u8],
    folder: &[u8],
    stamp: &[u8],
) -> Result<Option<Known>, Fault> {
    let Some(id) = mailbox_id(connection, mailbox)? else {
        return Ok(None);
    };
    let mut select = connection.prepare_cached(PACK)?;
    let mut rows = select.query(params![id, folder, stamp])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(decode_pack(row, [mailbox, folder, stamp]))
}

pub(super) fn select_pack(
    connection: &Connection,
    mailbox: &[u8],
    folder: &[u8],
    stamp: &[u8],
) -> Result<Option<(Known, Pack)>, Fault> {
    let Some(known) = select_known_pack(connection, mailbox, folder, stamp)? else {
        return Ok(None);
    };
    let mut rows = Vec::new();
    let mut select = connection.prepare_cached(LISTING)?;
    let mut next = Some(known.listing);
    while let Some(id) = next {
        let row = select.query_row([id], |row| Ok(decode_stored(row)));
        let Some(row) = row.optional()?.flatten() else {
            return Ok(None);
        };
        next = row.base;
        rows.push(row);
        if rows.len() as i64 > MOST_BASES + 1 {
            return Ok(None);
        }
    }
    let is_its_own = rows
        .first()
        .is_some_and(|row| row.made_for == known.made_for);
    let pack = assemble(rows, [mailbox, folder]).filter(|_| is_its_own);
    Ok(pack.map(|pack| (known, pack)))
}

fn decode_pack(row: &Row<'_>, key: [&[u8]; 3]) -> Option<Known> {
    let integer = |i| row.get_ref(i).ok()?.as_i64().ok();
    let made_for = row.get_ref(3).ok()?.as_blob().ok()?;
    let crc = i64::from(share_checksum(key, made_for));
    Some(Known {
        id: integer(0)?,
        used: integer(1)?,
        listing: integer(4)?,
        made_for: made_for.to_vec(),
    })
    .filter(|_| integer(2) == Some(crc))
}

/// A row as far as its types are right.
fn decode_stored(row: &Row<'_>) -> Option<Stored> {
    let integer = |i| row.get_ref(i).ok()?.as_i64_or_null().ok();
    let blob = |i| row.get_ref(i).ok()?.as_blob().ok().map(<[u8]>::to_vec);
    Some(Stored {
        made_for: blob(0)?,
        plain_size: integer(1)??,
        content: blob(2)?,
        base: integer(3)?,
        crc: integer(4)??,
    })
}

/// The bytes of a listing, if they are as they were written. `rows`: it, and what it is added to, one after the other.
fn assemble(rows: Vec<Stored>, [mailbox, folder]: [&[u8]; 2]) -> Option<Pack> {
    let mut pack: Option<Pack> = None;
    let mut base = None;
    for row in rows.into_iter().rev() {
        let key = [mailbox, folder, &row.made_for];
        if row.crc != i64::from(pack_checksum(key, base, row.plain_size, &row.content)) {
            return None;
        }
        base = Some(row.crc);
        let part = Part {
            kept: row.content,
            plain_size: usize::try_from(row.plain_size).ok()?,
        };
        match &mut pack {
            None => {
                pack = Some(Pack {
                    whole: part,
                    added: Vec::new(),
                });
            }
            Some(pack) => pack.added.push(part),
        }
    }
    pack
}

/// Of a pack that has the listing of another state, or its own.
pub(super) fn share_checksum(key: [&[u8]; 3], made_for: &[u8]) -> u32 {
    let [mailbox, folder, stamp] = key;
    checksum(&[mailbox, folder, stamp, made_for])
}

/// `base` is the checksum of what it is added to; `plain_size` the listing's: if `content` is shorter, it is compressed.
pub(super) fn pack_checksum(
    key: [&[u8]; 3],
    base: Option<i64>,
    plain_size: i64,
    content: &[u8],
) -> u32 {
    let [mailbox, folder, stamp] = key;
    let base = base.map(i64::to_le_bytes);
    let base = base.as_ref().map_or(&[][..], |base| base);
    checksum(&[
        mailbox,
        folder,
        stamp,
        base,
        &plain_size.to_le_bytes(),
        content,
    ])
}
