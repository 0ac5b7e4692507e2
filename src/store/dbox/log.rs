//! The transaction log of a Dovecot index: what has changed since the index was written, in order.
//!
//! A log is a header and records; each has its size, its type, and changes of one kind. The size is written last, so that
//! a record that is not whole is not there yet; several records that belong together follow one that says how long they
//! are. A log is followed by another when it has grown long; the older one is then called `.log.2`.

use super::index::{Column, Position, damaged, field};
use crate::disk::File;
use crate::error::Result;
use crate::store::take;

/// Bytes of one record at most: a change of four million messages.
const LONGEST_RECORD: u64 = 256 << 20;

/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// The header of a log.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub size: u64,
    /// What index and logs of one folder have in common.
    index: u32,
    pub sequence: u32,
    /// The sequence of the log before it; 0 if it is the first.
    pub follows: u32,
    /// Size of that one in bytes.
    pub follows_to: u64,
}

/// A log that is being read.
pub struct Log<'a, 'b> {
    file: &'a File<'b>,
    offset: u64,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins.
    start: u64,
    /// Where the record begins that was asked for last.
    asked: u64,
}

/// One record: changes of one kind.
pub struct Record<'a> {
    kind: u32,
    external: bool,
    body: &'a [u8],
}

impl<'a, 'b> Log<'a, 'b> {
    pub fn header(file: &File<'_>) -> Result<Header> {
        let mut bytes = [0; 24];
        if file.read_at(&mut bytes, 0)? < bytes.len() {
            return Err(damaged("cut short"));
        }
        let header = Header {
            size: u16::from_le_bytes([bytes[2], bytes[3]]).into(),
            index: field(&bytes, 4),
            sequence: field(&bytes, 8),
            follows: field(&bytes, 12),
            follows_to: field(&bytes, 16).into(),
        };
        if bytes[0] != 1 || header.size < 24 || header.index == 0 {
            return Err(damaged(
                "no log, of an unknown version, or marked as damaged",
            ));
        }
        if file.stat().size < header.size {
            return Err(damaged("cut short"));
        }
        Ok(header)
    }

    /// `from`: how far the index itself is true.
    pub fn new(file: &'a File<'b>, header: Header, from: Option<Position>) -> Result<Self> {
        if from.is_some_and(|from| from.index != header.index) {
            return Err(damaged("not the log of its index"));
        }
        let inside = from.filter(|from| from.sequence == header.sequence);
        Ok(Self {
            file,
            offset: inside.map_or(header.size, |from| from.offset.max(header.size)),
            buffer: Vec::new(),
            start: 0,
            asked: 0,
        })
    }

    /// The bytes of a range of the file, which lies in it.
    fn bytes(&mut self, offset: u64, len: usize) -> Result<Option<&[u8]>> {
        let size = self.file.stat().size;
        if offset.checked_add(len as u64).is_none_or(|end| end > size) {
            return Ok(None);
        }
        let have = self.start..self.start + self.buffer.len() as u64;
        if offset < have.start || offset + len as u64 > have.end {
            let left = usize::try_from(size - offset).unwrap_or(usize::MAX);
            self.buffer.resize(len.max(CHUNK).min(left), 0);
            let read = self.file.read_at(&mut self.buffer, offset)?;
            self.buffer.truncate(read);
            self.start = offset;
        }
        let from = (offset - self.start) as usize;
        Ok(self.buffer.get(from..from + len))
    }

    /// Where the last record ends that is whole, once there is no next one.
    pub fn end(&self) -> u64 {
        self.asked
    }

    /// The next record; `None` at the end of what is whole.
    pub fn next(&mut self) -> Result<Option<Record<'_>>> {
        let offset = self.offset;
        let whole = self.file.stat().size.saturating_sub(offset);
        self.asked = offset;
        let Some(mut header) = self.bytes(offset, 8)? else {
            return Ok(None);
        };
        let size = match take(&mut header).map(u32::from_be_bytes) {
            // Not yet written.
            None | Some(0) => return Ok(None),
            Some(size) => stored_size(size).filter(|size| (8..=LONGEST_RECORD).contains(size)),
        };
        let size = size.ok_or_else(|| damaged(format!("a record of no size at {offset}")))?;
        let kind = field(header, 0);
        self.offset = offset + size;
        let Some(body) = self.bytes(offset + 8, (size - 8) as usize)? else {
            return Ok(None);
        };
        let external = kind & EXTERNAL != 0;
        let kind = kind & KIND;
        // What belongs together is not all there yet.
        if kind == BOUNDARY && u64::from(field(body, 0)) > whole {
            return Ok(None);
        }
        Ok(Some(Record {
            kind,
            external,
            body,
        }))
    }
}

/// A size in bytes from four groups of seven bits, the highest first, each with its top bit set.
fn stored_size(number: u32) -> Option<u64> {
    let groups = number.to_be_bytes();
    let set = groups.iter().all(|group| group & 0x80 != 0);
    let words = groups
        .iter()
        .fold(0, |sum, group| sum << 7 | u64::from(group & 0x7f));
    set.then_some(words * 4)
}

const EXTERNAL: u32 = 0x1000_0000;
const KIND: u32 = 0x0fff_ffff;
/// Goes with every expunge, so that no damaged number becomes one.
const PROTECTED: u32 = 0xcd90;
const EXPUNGE: u32 = 0x1 | PROTECTED;
const APPEND: u32 = 0x2;
const FLAGS: u32 = 0x4;
const INTRO: u32 = 0x40;
const RESET: u32 = 0x80;
const HEADER_16: u32 = 0x100;
const CELLS: u32 = 0x200;
const KEYWORD: u32 = 0x400;
const NO_KEYWORDS: u32 = 0x800;
const ADD: u32 = 0x1000;
const EXPUNGE_GUID: u32 = 0x2000 | PROTECTED;
const HEADER_32: u32 = 0x1_0000;
const BOUNDARY: u32 = 0x8_0000;
/// Changes that do not matter here: of the index's header, of modification sequences, of attributes; the index is deleted, or
/// is so no longer.
const OTHERS: [u32; 5] = [0x20, 0x8000, 0x2_0000, 0x4_0000, 0x10_0000];

/// One change of an index. Ranges of UIDs include both ends.
#[derive(Debug, PartialEq, Eq)]
pub enum Change<'a> {
    Append {
        uid: u32,
        flags: u8,
    },
    Expunge {
        uids: (u32, u32),
    },
    Flags {
        uids: (u32, u32),
        add: u8,
        remove: u8,
    },
    /// The first of several for one keyword has its name.
    Keyword {
        name: Option<&'a [u8]>,
        uids: (u32, u32),
        add: bool,
    },
    NoKeywords {
        uids: (u32, u32),
    },
    /// A message's record of a wanted extension.
    Cell {
        column: usize,
        uid: u32,
        value: &'a [u8],
    },
    /// The same, a number that something is added to.
    Add {
        column: usize,
        uid: u32,
        diff: i32,
    },
    /// Part of the header of a wanted extension.
    Header {
        column: usize,
        offset: usize,
        value: &'a [u8],
    },
    /// All of a wanted extension becomes zero.
    Reset {
        column: usize,
    },
}

/// The extensions of an index in the order in which they were made known: a log names them by that.
pub struct Extensions {
    wanted: Vec<&'static [u8]>,
    known: Vec<Extension>,
    /// What the records speak of.
    current: Option<Current>,
}

struct Extension {
    name: Vec<u8>,
    reset: u32,
    column: Option<usize>,
}

#[derive(Clone, Copy)]
struct Current {
    extension: usize,
    record_size: usize,
    /// Written by somebody who had not seen that the extension was reset.
    outdated: bool,
}

/// Extensions in an index at most.
const MOST_EXTENSIONS: usize = 256;

impl Extensions {
    pub fn new(wanted: &[Column]) -> Self {
        Self {
            wanted: wanted.iter().map(|(name, _)| *name).collect(),
            known: Vec::new(),
            current: None,
        }
    }

    /// Makes an extension known; its position among the wanted ones.
    pub fn add(&mut self, name: &[u8], reset: u32, _size: u16) -> Result<Option<usize>> {
        if self.known.len() >= MOST_EXTENSIONS || self.known.iter().any(|e| e.name == name) {
            return Err(damaged("too many extensions, or one of them twice"));
        }
        let column = self.wanted.iter().position(|wanted| *wanted == name);
        self.known.push(Extension {
            name: name.to_vec(),
            reset,
            column,
        });
        Ok(column)
    }

    /// The first keyword makes its extension, of which no record speaks.
    pub fn add_keywords(&mut self) -> Result<()> {
        if self.known.iter().all(|e| e.name != b"keywords") {
            self.add(b"keywords", 0, 0)?;
        }
        Ok(())
    }

    /// Reads introductions of extensions; the last one is the one that the next records speak of.
    fn introduce(&mut self, mut body: &[u8]) -> Result<()> {
        while body.len() >= 20 {
            let (id, reset) = (field(body, 0), field(body, 4));
            let short = |at: usize| (field(body, at) & 0xffff) as usize;
            let (record_size, name_len) = (short(12), short(18));
            let name = body.get(20..20 + name_len);
            let name = name.ok_or_else(|| damaged("an extension's name that is cut short"))?;
            let extension = match id {
                u32::MAX => self.known.iter().position(|e| e.name == name),
                id => Some(id as usize).filter(|&id| id < self.known.len()),
            };
            let extension = match extension {
                Some(extension) => extension,
                None if id == u32::MAX && !name.is_empty() => {
                    self.add(name, reset, record_size as u16)?;
                    self.known.len() - 1
                }
                None => return Err(damaged(format!("an unknown extension {id}"))),
            };
            let outdated = self.known.get(extension).is_none_or(|e| e.reset != reset);
            self.current = Some(Current {
                extension,
                record_size,
                outdated,
            });
            let used = (20 + name_len).next_multiple_of(4);
            body = body.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    fn current(&self) -> Result<Current> {
        self.current
            .ok_or_else(|| damaged("a change of no extension"))
    }

    /// The column that the records speak of, if it is wanted.
    fn column(&self) -> Result<Option<(usize, usize)>> {
        let current = self.current()?;
        let column = self.known.get(current.extension).and_then(|e| e.column);
        let column = column.filter(|_| !current.outdated);
        Ok(column.map(|column| (column, current.record_size)))
    }

    /// Resets the extension that the records speak of; whether its data go.
    fn reset(&mut self, body: &[u8]) -> Result<Option<usize>> {
        let current = self.current()?;
        let Some(extension) = self.known.get_mut(current.extension) else {
            return Ok(None);
        };
        extension.reset = field(body, 0);
        let preserve = body.get(4).is_some_and(|&byte| byte != 0);
        Ok(extension.column.filter(|_| !preserve))
    }
}

/// The changes of a record.
type Changes<'a> = Box<dyn Iterator<Item = Result<Change<'a>>> + 'a>;

impl<'a> Record<'a> {
    /// The changes that matter here. Introductions of extensions take effect at once.
    pub fn changes(&self, extensions: &mut Extensions) -> Result<Changes<'a>> {
        let body = self.body;
        let pair = |at: &[u8]| (field(at, 0), field(at, 4));
        Ok(match self.kind {
            APPEND => rows(body, 8, |row| Change::Append {
                uid: field(row, 0),
                flags: row.get(4).copied().unwrap_or_default(),
            }),
            EXPUNGE if self.external => {
                rows(body, 8, move |row| Change::Expunge { uids: pair(row) })
            }
            EXPUNGE_GUID if self.external => rows(body, 20, |row| Change::Expunge {
                uids: (field(row, 0), field(row, 0)),
            }),
            FLAGS => rows(body, 12, move |row| Change::Flags {
                uids: pair(row),
                add: row.get(8).copied().unwrap_or_default(),
                remove: row.get(9).copied().unwrap_or_default(),
            }),
            NO_KEYWORDS => rows(body, 8, move |row| Change::NoKeywords { uids: pair(row) }),
            KEYWORD => keyword(body)?,
            INTRO => {
                extensions.introduce(body)?;
                Box::new(std::iter::empty())
            }
            RESET => {
                let column = extensions.reset(body)?;
                Box::new(
                    column
                        .map(|column| Ok(Change::Reset { column }))
                        .into_iter(),
                )
            }
            HEADER_16 | HEADER_32 => match extensions.column()? {
                Some((column, _)) => headers(body, column, self.kind == HEADER_32),
                None => Box::new(std::iter::empty()),
            },
            CELLS => match extensions.column()? {
                Some((column, size)) => rows(body, 4 + size.next_multiple_of(4), move |row| {
                    Change::Cell {
                        column,
                        uid: field(row, 0),
                        value: row.get(4..4 + size).unwrap_or_default(),
                    }
                }),
                None => Box::new(std::iter::empty()),
            },
            ADD => match extensions.column()? {
                Some((column, _)) => rows(body, 8, move |row| Change::Add {
                    column,
                    uid: field(row, 0),
                    diff: field(row, 4).cast_signed(),
                }),
                None => Box::new(std::iter::empty()),
            },
            // Expunges that are wished for are not done yet.
            BOUNDARY | EXPUNGE | EXPUNGE_GUID => Box::new(std::iter::empty()),
            kind if OTHERS.contains(&kind) => Box::new(std::iter::empty()),
            kind => return Err(damaged(format!("a change of an unknown kind, {kind:#x}"))),
        })
    }
}

/// Changes of a fixed size, one behind the other.
fn rows<'a>(
    body: &'a [u8],
    size: usize,
    read: impl Fn(&'a [u8]) -> Change<'a> + 'a,
) -> Changes<'a> {
    Box::new(body.chunks_exact(size).map(move |row| Ok(read(row))))
}

/// A change of one keyword: whether it is added (0) or removed (1), its name, ranges of UIDs.
fn keyword(body: &[u8]) -> Result<Changes<'_>> {
    let add = match body.first() {
        Some(0) => true,
        Some(1) => false,
        _ => return Err(damaged("an unknown change of a keyword")),
    };
    let len = (field(body, 0) >> 16) as usize;
    let name = body.get(4..4 + len).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| damaged("a keyword without a name"))?;
    let ranges = body
        .get((4 + len).next_multiple_of(4)..)
        .unwrap_or_default();
    let mut name = Some(name);
    let changes = ranges.chunks_exact(8).map(move |range| {
        Ok(Change::Keyword {
            name: name.take(),
            uids: (field(range, 0), field(range, 4)),
            add,
        })
    });
    Ok(Box::new(changes))
}

/// Parts of an extension's header: offset and size, of two or four bytes each, and the bytes.
fn headers(mut body: &[u8], column: usize, wide: bool) -> Changes<'_> {
    Box::new(std::iter::from_fn(move || {
        let fixed = if wide { 8 } else { 4 };
        if body.len() < fixed {
            return None;
        }
        let (offset, len) = match wide {
            true => (field(body, 0) as usize, field(body, 4) as usize),
            false => (
                (field(body, 0) & 0xffff) as usize,
                (field(body, 0) >> 16) as usize,
            ),
        };
        let value = body.get(fixed..).and_then(|rest| rest.get(..len));
        let used = len.saturating_add(fixed).checked_next_multiple_of(4);
        body = used.and_then(|used| body.get(used..)).unwrap_or_default();
        let change = |value| Change::Header {
            column,
            offset,
            value,
        };
        Some(
            value
                .map(change)
                .ok_or_else(|| damaged("a header of an extension that is cut short")),
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(stored_size(0x8080_8082), Some(8));
        assert_eq!(stored_size(0x8080_8180), Some(512));
        assert_eq!(stored_size(0x0000_0008), None);
        assert_eq!(stored_size(u32::MAX), Some(((1 << 28) - 1) * 4));
    }
}
