//! A Dovecot index: the file `dovecot.index` (or `dovecot.map.index`, `dovecot.list.index`) with what its transaction
//! log has changed since.
//!
//! The file holds a header, which names the extensions and has a part for each of them, and a record for each message in
//! order of UIDs. It is rewritten now and then and names the place in the log up to which it is true; a small folder
//! may never have got one. Numbers are little-endian.
//!
//! Invariants: memory is in proportion to what the files really hold; time too, but for changes of long ranges of
//! messages, of which there is a limit; whatever is not as it must be makes the whole index [`Kind::Undecodable`],
//! for a half-understood one would bring back what was deleted. A log that merely ends in the middle of a change, as in a
//! snapshot of a server at work, is read as far as it is whole.
//!
//! Source of the format: Dovecot's `mail-index.h` and `mail-transaction-log.h`.

use super::keywords::KeywordTable;
use super::log::{Change, Extensions, Log};
use crate::disk::{Dir, File};
use crate::error::{Error, Kind, Result};
use crate::message::Flags;
use crate::store::messages::Keywords;
use crate::store::take;
use crate::time::Time;

/// Messages in an index at most: more than there are numbers for.
const MOST_ROWS: usize = 1 << 22;

/// Bytes of an index's header at most; it holds the names of keywords or folders.
const LONGEST_HEADER: u32 = 16 << 20;

/// Messages that the changes of a log touch at most, each counted as often as it is touched.
const MOST_TOUCHED: usize = 1 << 29;

/// Bytes of records that are read at once.
const CHUNK: usize = 1 << 20;

/// Bytes of the fixed part of an index's header, as far as it is read.
const BASE: usize = 72;

/// An extension that is wanted: its name, and how many bytes of each record.
pub type Column = (&'static [u8], usize);

/// One message of an index.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub uid: u32,
    pub flags: u8,
    /// Which set of keywords it has; 0 is none.
    pub keywords: u32,
    live: bool,
}

impl Row {
    pub fn flags(self) -> Flags {
        let flag = |bit: u8, flag| match self.flags & bit {
            0 => Flags::default(),
            _ => flag,
        };
        flag(1, Flags::ANSWERED)
            | flag(2, Flags::FLAGGED)
            | flag(4, Flags::DELETED)
            | flag(8, Flags::SEEN)
            | flag(16, Flags::DRAFT)
    }
}

/// What is kept of a wanted extension.
#[derive(Debug)]
struct Cells {
    width: usize,
    /// `width` bytes for each row.
    bytes: Vec<u8>,
    header: Vec<u8>,
}

/// A Dovecot index as it is at the end of its log.
#[derive(Debug)]
pub struct Index {
    /// In ascending order of UIDs; expunged ones stay, dead.
    rows: Vec<Row>,
    cells: Vec<Cells>,
    keywords: KeywordTable,
    touched: usize,
    /// Follows every UID that the index has or had.
    next_uid: u32,
    breaks_off: bool,
}

/// An error about an index that is not as it must be.
pub fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Undecodable, what.to_string())
}

impl Index {
    /// Reads the index of this name in a directory; `None` if there is neither the file nor a log.
    pub fn read(dir: &Dir<'_>, name: &str, wanted: &[Column]) -> Result<Option<Self>> {
        let open = |suffix: &str| match dir.open(format!("{name}{suffix}").as_bytes()) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == Kind::NotFound => Ok(None),
            Err(e) => Err(e),
        };
        let (file, log) = (open("")?, open(".log")?);
        if file.is_none() && log.is_none() {
            return Ok(None);
        }
        let mut index = Self {
            rows: Vec::new(),
            cells: Vec::new(),
            keywords: KeywordTable::default(),
            touched: 0,
            next_uid: 0,
            breaks_off: false,
        };
        for &(_, width) in wanted {
            index.cells.push(Cells {
                width,
                bytes: Vec::new(),
                header: Vec::new(),
            });
        }
        let mut extensions = Extensions::new(wanted);
        let at = |file: &File<'_>, e: Error| match e.kind() {
            Kind::Undecodable => Error::new(Kind::Undecodable, format!("{}: {e}", file.name())),
            _ => e,
        };
        let mut position = match &file {
            Some(file) => {
                let position = index.read_file(file, &mut extensions);
                Some(position.map_err(|e| at(file, e))?)
            }
            None => None,
        };
        // The log before this one is needed only if the index ends there.
        let Some(log) = &log else {
            index.breaks_off = true;
            return Ok(Some(index));
        };
        let header = Log::header(log).map_err(|e| at(log, e))?;
        let needs_older = match position {
            Some(position) => position.sequence < header.sequence,
            None => header.follows != 0,
        };
        if needs_older {
            let older = open(".log.2")?.ok_or_else(|| damaged("the log before it is missing"));
            let older = older.map_err(|e| at(log, e))?;
            let found = Log::header(&older).map_err(|e| at(&older, e))?;
            let continuous = match position {
                Some(position) => position.sequence == found.sequence,
                None => found.follows == 0,
            };
            let whole = older.stat().size >= header.follows_to;
            if !continuous || !whole || found.sequence != header.follows {
                return Err(at(
                    log,
                    damaged("the log before it is another one, or cut short"),
                ));
            }
            let changes = Log::new(&older, found, position).map_err(|e| at(&older, e))?;
            let end = index.replay(changes, &mut extensions);
            if end.map_err(|e| at(&older, e))? < header.follows_to {
                return Err(at(&older, damaged("breaks off, and another log follows")));
            }
            position = position.map(|p| Position {
                sequence: header.sequence,
                offset: header.size,
                ..p
            });
        }
        if position.is_none_or(|p| p.sequence <= header.sequence) {
            let changes = Log::new(log, header, position).map_err(|e| at(log, e))?;
            let end = index.replay(changes, &mut extensions);
            index.breaks_off = end.map_err(|e| at(log, e))? != log.stat().size;
        } else {
            index.breaks_off = true;
        }
        Ok(Some(index))
    }

    /// Reads `dovecot.index` itself; where in the log it ends.
    fn read_file(&mut self, file: &File<'_>, extensions: &mut Extensions) -> Result<Position> {
        let mut base = [0; BASE];
        if file.read_at(&mut base, 0)? < BASE {
            return Err(damaged("cut short"));
        }
        let word = |at: usize| field(&base, at);
        let base_size = u32::from(u16::from_le_bytes([base[2], base[3]]));
        let (header_size, record_size) = (word(4), word(8));
        if base[0] != 7 || base[12] & 1 == 0 {
            return Err(damaged("an index of an unknown version"));
        }
        let corrupted = word(20) & 1 != 0;
        if corrupted || header_size < base_size || header_size > LONGEST_HEADER || record_size < 5 {
            return Err(damaged("a damaged header"));
        }
        self.next_uid = word(28);
        let mut header = vec![0; header_size as usize];
        if file.stat().size < u64::from(header_size) || file.read_at(&mut header, 0)? < header.len()
        {
            return Err(damaged("cut short"));
        }
        let mut columns = Vec::new();
        let mut keywords_at = None;
        let mut at = align8(base_size as usize);
        while at < header.len() {
            let found = Stored::at(&header, &mut at).ok_or_else(|| damaged("a damaged header"))?;
            let end = usize::from(found.offset) + usize::from(found.size);
            if found.size > 0 && (found.offset < 5 || end > record_size as usize) {
                return Err(damaged("a damaged header"));
            }
            let column = extensions.add(found.name, found.reset, found.size)?;
            if found.name == b"keywords" {
                self.keywords.read_header(found.header)?;
                keywords_at = Some((usize::from(found.offset), usize::from(found.size)));
            }
            if let Some(cells) = column.and_then(|column| self.cells.get_mut(column)) {
                cells.header = found.header.to_vec();
            }
            columns.extend(column.map(|c| (c, usize::from(found.offset), usize::from(found.size))));
        }
        let count = word(32) as usize;
        let room = (file.stat().size - u64::from(header_size)) / u64::from(record_size);
        if count as u64 > room || count > MOST_ROWS {
            return Err(damaged(format!("{count} messages, and room for {room}")));
        }
        let size = record_size as usize;
        let at_once = (CHUNK / size).max(1);
        let mut buffer = vec![0; at_once.min(count) * size];
        let mut done = 0;
        while done < count {
            let now = at_once.min(count - done);
            let chunk = buffer.get_mut(..now * size).unwrap_or_default();
            let from = u64::from(header_size) + (done * size) as u64;
            if file.read_at(chunk, from)? < chunk.len() {
                return Err(damaged("cut short"));
            }
            for record in chunk.chunks_exact(size) {
                let flags = record.get(4).copied().unwrap_or_default();
                self.append(field(record, 0), flags)?;
                let cell = |at: usize, size: usize| record.get(at..at + size).unwrap_or_default();
                if let Some((at, size)) = keywords_at {
                    let set = self.keywords.set(cell(at, size))?;
                    if let Some(row) = self.rows.last_mut() {
                        row.keywords = set;
                    }
                }
                let position = self.rows.len() - 1;
                for &(column, at, size) in &columns {
                    self.put(column, position, cell(at, size));
                }
            }
            done += now;
        }
        Ok(Position {
            index: word(16),
            sequence: word(60),
            offset: u64::from(word(68)),
        })
    }

    /// Makes the changes of a log; where in its file they end.
    fn replay(&mut self, mut log: Log<'_, '_>, extensions: &mut Extensions) -> Result<u64> {
        while let Some(record) = log.next()? {
            for change in record.changes(extensions)? {
                self.apply(change?, extensions)?;
            }
        }
        Ok(log.end())
    }

    /// Where the log does not tell all that has happened, since it ends within a record, before the index does, or is missing:
    /// the first UID that the index knows nothing of.
    pub fn unknown_from(&self) -> Option<u32> {
        self.breaks_off.then_some(self.next_uid)
    }

    /// Follows every UID that the index has or had, as far as it is known.
    pub fn next_uid(&self) -> u32 {
        self.next_uid
    }

    fn apply(&mut self, change: Change<'_>, extensions: &mut Extensions) -> Result<()> {
        match change {
            Change::Append { uid, flags } => self.append(uid, flags)?,
            Change::Expunge { uids } => self.each(uids, |row, _| {
                row.live = false;
                Ok(())
            })?,
            Change::Flags { uids, add, remove } => self.each(uids, |row, _| {
                row.flags = row.flags & !remove | add;
                Ok(())
            })?,
            Change::Keyword { name, uids, add } => {
                if let Some(name) = name {
                    extensions.add_keywords()?;
                    self.keywords.choose(name)?;
                }
                self.each(uids, |row, keywords| {
                    row.keywords = keywords.changed(row.keywords, add)?;
                    Ok(())
                })?;
            }
            Change::NoKeywords { uids } => self.each(uids, |row, _| {
                row.keywords = 0;
                Ok(())
            })?,
            Change::Cell { column, uid, value } => {
                if let Some(position) = self.position(uid) {
                    self.put(column, position, value);
                }
            }
            Change::Add { column, uid, diff } => {
                if let Some(position) = self.position(uid) {
                    self.add(column, position, diff);
                }
            }
            Change::Header {
                column,
                offset,
                value,
            } => {
                if let Some(cells) = self.cells.get_mut(column) {
                    let end = offset.saturating_add(value.len());
                    if end > LONGEST_HEADER as usize {
                        return Err(damaged("a header of an extension that is too long"));
                    }
                    if cells.header.len() < end {
                        cells.header.resize(end, 0);
                    }
                    if let Some(part) = cells.header.get_mut(offset..end) {
                        part.copy_from_slice(value);
                    }
                }
            }
            Change::Reset { column } => {
                if let Some(cells) = self.cells.get_mut(column) {
                    cells.bytes.fill(0);
                    cells.header.clear();
                }
            }
        }
        Ok(())
    }

    fn append(&mut self, uid: u32, flags: u8) -> Result<()> {
        let last = self.rows.last().map_or(0, |row| row.uid);
        if uid <= last {
            return Err(damaged(format!("message {uid} follows message {last}")));
        }
        if self.rows.len() >= MOST_ROWS {
            return Err(damaged("more than 4 million messages"));
        }
        self.next_uid = self.next_uid.max(uid.saturating_add(1));
        self.rows.push(Row {
            uid,
            flags,
            keywords: 0,
            live: true,
        });
        Ok(())
    }

    /// Changes every message of a range of UIDs, both ends included.
    fn each(
        &mut self,
        (first, last): (u32, u32),
        mut change: impl FnMut(&mut Row, &mut KeywordTable) -> Result<()>,
    ) -> Result<()> {
        let from = self.rows.partition_point(|row| row.uid < first);
        let to = self.rows.partition_point(|row| row.uid <= last);
        let rows = self.rows.get_mut(from..to).unwrap_or_default();
        self.touched += rows.len();
        if self.touched > MOST_TOUCHED {
            return Err(damaged("more changes than an index can have here"));
        }
        rows.iter_mut()
            .try_for_each(|row| change(row, &mut self.keywords))
    }

    /// The position of a message that there is.
    pub fn live_position(&self, uid: u32) -> Option<usize> {
        let live = |&position: &usize| self.rows.get(position).is_some_and(|row| row.live);
        self.position(uid).filter(live)
    }

    fn position(&self, uid: u32) -> Option<usize> {
        self.rows.binary_search_by_key(&uid, |row| row.uid).ok()
    }

    fn cell_mut(&mut self, column: usize, position: usize) -> Option<&mut [u8]> {
        let cells = self.cells.get_mut(column)?;
        let end = (position + 1) * cells.width;
        if cells.bytes.len() < end {
            cells.bytes.resize(end, 0);
        }
        cells.bytes.get_mut(position * cells.width..end)
    }

    /// What of a value is wanted; a shorter one ends in zeros.
    fn put(&mut self, column: usize, position: usize, value: &[u8]) {
        if let Some(cell) = self.cell_mut(column, position) {
            let bytes = value.iter().copied().chain(std::iter::repeat(0));
            cell.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        }
    }

    fn add(&mut self, column: usize, position: usize, diff: i32) {
        if let Some(cell) = self.cell_mut(column, position) {
            let mut number = [0; 8];
            let len = cell.len().min(8);
            number[..len].copy_from_slice(cell.get(..len).unwrap_or_default());
            let sum = u64::from_le_bytes(number).saturating_add_signed(diff.into());
            let bytes = sum.to_le_bytes();
            cell.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        }
    }

    /// The messages that there are, in ascending order of UIDs, each with its position for [`cell`](Self::cell).
    pub fn rows(&self) -> impl Iterator<Item = (usize, Row)> {
        let rows = self.rows.iter().copied().enumerate();
        rows.filter(|(_, row)| row.live)
    }

    /// What a message has in a wanted extension; `None` where nothing was ever written.
    pub fn cell(&self, column: usize, position: usize) -> Option<&[u8]> {
        let cells = self.cells.get(column)?;
        cells
            .bytes
            .get(position * cells.width..(position + 1) * cells.width)
    }

    /// The header of a wanted extension.
    pub fn header(&self, column: usize) -> &[u8] {
        self.cells
            .get(column)
            .map(|cells| cells.header.as_slice())
            .unwrap_or_default()
    }

    /// Takes the keywords out.
    pub fn into_keywords(self) -> Keywords {
        self.keywords.finish()
    }
}

/// What tells whether an index has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexState {
    /// Inode, size and mtime of the index and of its log.
    pub bytes: Vec<u8>,
    /// `None` if there is neither.
    pub changed: Option<Time>,
}

impl IndexState {
    /// Of the index of this name in a directory.
    pub fn of(dir: &Dir<'_>, name: &str) -> Result<Self> {
        let mut state = Self::default();
        for suffix in ["", ".log"] {
            match dir.stat(format!("{name}{suffix}").as_bytes()) {
                Ok(stat) => {
                    state.bytes.extend_from_slice(&stat.ino.to_le_bytes());
                    state.bytes.extend_from_slice(&stat.size.to_le_bytes());
                    state
                        .bytes
                        .extend_from_slice(&stat.mtime.secs.to_le_bytes());
                    state
                        .bytes
                        .extend_from_slice(&stat.mtime.nanos.to_le_bytes());
                    state.changed = state.changed.max(Some(stat.mtime));
                }
                Err(e) if e.kind() == Kind::NotFound => state.bytes.push(0),
                Err(e) => return Err(e),
            }
        }
        Ok(state)
    }
}

/// How far an index is true.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// What index and logs of one folder have in common.
    pub index: u32,
    /// Number of the log.
    pub sequence: u32,
    pub offset: u64,
}

/// An extension in the header of `dovecot.index`.
struct Stored<'a> {
    name: &'a [u8],
    reset: u32,
    offset: u16,
    size: u16,
    header: &'a [u8],
}

impl<'a> Stored<'a> {
    fn at(header: &'a [u8], at: &mut usize) -> Option<Self> {
        let mut fixed = header.get(*at..)?;
        let len = u32::from_le_bytes(take(&mut fixed)?) as usize;
        let reset = u32::from_le_bytes(take(&mut fixed)?);
        let offset = u16::from_le_bytes(take(&mut fixed)?);
        let size = u16::from_le_bytes(take(&mut fixed)?);
        let _align: [u8; 2] = take(&mut fixed)?;
        let name_len = usize::from(u16::from_le_bytes(take(&mut fixed)?));
        let name = fixed.get(..name_len)?;
        let start = align8(*at + 16 + name_len);
        let own = header.get(start..start.checked_add(len)?)?;
        *at = align8(start + len);
        Some(Self {
            name,
            reset,
            offset,
            size,
            header: own,
        })
    }
}

fn align8(at: usize) -> usize {
    at.next_multiple_of(8)
}

/// The number at an offset; 0 behind the end.
pub fn field(bytes: &[u8], at: usize) -> u32 {
    let number = bytes.get(at..).and_then(|rest| rest.first_chunk());
    number.copied().map_or(0, u32::from_le_bytes)
}
