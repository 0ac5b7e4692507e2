//! `cyrus.index`: a record of fixed size for each message, with its flags and dates.
//!
//! Numbers are big-endian. The header says where the records begin and how long each is; the fields have kept their
//! places from version 12 on, until version 20 made some of them longer. From version 12 on the header and each record
//! end in their CRC-32, so that records are good also where the header is not; and the header has the CRC-32 of the
//! folder's `cyrus.header`, at one place in all of these versions.
//!
//! Source: Cyrus IMAP's `imap/mailbox.h` and `imap/index_file.c`.

use crate::disk::File;
use crate::error::{Error, Kind, Result};
use crate::message::Flags;
use crate::store::bounds::MOST_MESSAGES;
use crate::time::Time;

/// Bytes of keywords' bits in a record.
pub const KEYWORD_BYTES: usize = 16;

/// What the index says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub uid: u32,
    pub received: Time,
    /// In bytes.
    pub size: u64,
    pub flags: Flags,
    /// A bitmap of keywords, the lowest bit of the first byte for the first one.
    pub keywords: [u8; KEYWORD_BYTES],
    /// SHA-1 of the message; zeros if it is not known.
    pub guid: [u8; 20],
    /// No longer in the folder; its file may be there for some time.
    pub gone: bool,
}

/// The records of an index.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// In order of their UIDs, each once.
    pub records: Vec<Record>,
    /// How many are damaged or missing.
    pub damaged: u64,
    /// The header itself is damaged: how many records there should be is not known.
    pub headless: bool,
    /// CRC-32 of the `cyrus.header` that the index was written beside; `None` if it does not say.
    pub beside: Option<u32>,
}

/// Where the fields of a record are.
struct Layout {
    internaldate: usize,
    /// In nanoseconds, and a size of 8 bytes; else seconds and 4.
    long: bool,
    size: usize,
    flags: usize,
    keywords: usize,
}

const SHORT: Layout = Layout {
    internaldate: 4,
    long: false,
    size: 12,
    flags: 32,
    keywords: 36,
};

const LONG: Layout = Layout {
    internaldate: 8,
    long: true,
    size: 24,
    flags: 36,
    keywords: 40,
};

const GUID: usize = 60;

/// The bits of a record's flags that say that it is gone: expunged, unlinked.
const GONE: u32 = 1 << 31 | 1 << 30;

const FLAGS: [(u32, Flags); 5] = [
    (1, Flags::ANSWERED),
    (2, Flags::FLAGGED),
    (4, Flags::DELETED),
    (8, Flags::DRAFT),
    (16, Flags::SEEN),
];

/// Bytes of a header and of a record at most.
const LONGEST: usize = 4096;

/// Bytes of all records at most; a file with holes can claim any size.
const MOST_BYTES: u64 = 1 << 30;

/// Bytes of records that are read at once.
const CHUNK: usize = 1 << 20;

/// Where the header has the CRC-32 of `cyrus.header`.
const BESIDE: usize = 96;

/// Reads an index.
///
/// # Errors
/// [`Kind::Undecodable`] if nothing of it is of use. A damaged record is left out and counted.
pub fn read(file: &File<'_>) -> Result<Index> {
    parse(file.stat().size, |bytes, at| file.read_at(bytes, at))
}

/// CRC-32 of the `cyrus.header` that an index was written beside; `None` if it does not say, or is damaged.
pub fn beside(file: &File<'_>) -> Result<Option<u32>> {
    let mut bytes = [0; LONGEST];
    let len = file.read_at(&mut bytes, 0)?;
    let header = Header::parse(bytes.get(..len).unwrap_or_default());
    Ok(header.ok().and_then(|header| header.beside))
}

/// What is of use of an index's header.
struct Header {
    sound: bool,
    layout: Layout,
    /// Where the records begin, how long each is, and how many there are.
    start: usize,
    size: usize,
    count: u32,
    beside: Option<u32>,
}

impl Header {
    /// `bytes` may go on behind it.
    fn parse(bytes: &[u8]) -> Result<Self> {
        let field = |at| number(bytes, at).ok_or_else(|| damaged("it is cut short"));
        let (version, start, size, count) = (field(8)?, field(12)?, field(16)?, field(20)?);
        let (start, size) = (start as usize, size as usize);
        let sound = bytes.get(..start).is_some_and(is_sound);
        let layout = match version {
            12..=19 => SHORT,
            20 => LONG,
            // Before version 12 there are no checksums.
            _ if sound || (1..12).contains(&version) => {
                return Err(damaged(format!(
                    "its version, {version}, is not known here"
                )));
            }
            _ => return Err(damaged("its header is damaged")),
        };
        if !(FIXED..=LONGEST).contains(&start) || !(GUID + 20 + 4..=LONGEST).contains(&size) {
            return Err(damaged("its header is damaged"));
        }
        let beside = bytes.get(..start - 4).and_then(|h| number(h, BESIDE));
        Ok(Self {
            sound,
            beside: beside.filter(|&sum| sound && sum != 0),
            layout,
            start,
            size,
            count,
        })
    }
}

/// Bytes of a header at least: the fields that are read, and the CRC-32.
const FIXED: usize = 28;

fn damaged(what: impl Into<String>) -> Error {
    Error::new(Kind::Undecodable, what)
}

/// `read` fills bytes from an offset on, and says how many there were.
fn parse(len: u64, mut read: impl FnMut(&mut [u8], u64) -> Result<usize>) -> Result<Index> {
    let mut bytes = vec![0; LONGEST];
    let have = read(&mut bytes, 0)?;
    let header = Header::parse(bytes.get(..have).unwrap_or_default())?;
    let (start, size) = (header.start as u64, header.size as u64);
    let room = len.saturating_sub(start) / size;
    let count = match header.sound {
        true => u64::from(header.count),
        false => room,
    };
    if count.min(room) > MOST_MESSAGES as u64 {
        return Err(damaged("it has more than 4 million records"));
    }
    if count.min(room) * size > MOST_BYTES {
        return Err(damaged("it has more than 1 GiB of records"));
    }
    let mut index = Index {
        headless: !header.sound,
        beside: header.beside,
        damaged: count.saturating_sub(room),
        ..Index::default()
    };
    let at_once = (CHUNK as u64 / size).max(1);
    let mut done = 0;
    while done < count.min(room) {
        let now = at_once.min(count.min(room) - done);
        bytes.resize((now * size) as usize, 0);
        let have = read(&mut bytes, start + done * size)?;
        for row in bytes
            .get(..have)
            .unwrap_or_default()
            .chunks_exact(header.size)
        {
            match is_sound(row).then(|| record(row, &header.layout)).flatten() {
                Some(record) => index.records.push(record),
                None => index.damaged += 1,
            }
        }
        done += now;
    }
    if index.headless && index.records.is_empty() {
        return Err(damaged("its header is damaged"));
    }
    // A message that was changed may have a newer record behind the old one.
    index.records.reverse();
    index.records.sort_by_key(|record| record.uid);
    index.records.dedup_by_key(|record| record.uid);
    Ok(index)
}

/// Whether bytes end in the CRC-32 of those before.
fn is_sound(bytes: &[u8]) -> bool {
    bytes
        .split_last_chunk::<4>()
        .is_some_and(|(bytes, sum)| crc32fast::hash(bytes) == u32::from_be_bytes(*sum))
}

fn record(row: &[u8], layout: &Layout) -> Option<Record> {
    let long = |at| Some(u64::from(number(row, at)?) << 32 | u64::from(number(row, at + 4)?));
    let received = if layout.long {
        let nanos = long(layout.internaldate)?.cast_signed();
        Time {
            secs: nanos.div_euclid(1_000_000_000),
            nanos: nanos.rem_euclid(1_000_000_000) as u32,
        }
    } else {
        Time::from_secs(number(row, layout.internaldate)?.into())
    };
    let bits = number(row, layout.flags)?;
    let flags = FLAGS.into_iter().filter(|(bit, _)| bits & bit != 0);
    let mut keywords = [0; KEYWORD_BYTES];
    for (word, place) in keywords.chunks_exact_mut(4).enumerate() {
        place.copy_from_slice(&number(row, layout.keywords + 4 * word)?.to_le_bytes());
    }
    Some(Record {
        uid: number(row, 0)?,
        received,
        size: match layout.long {
            true => long(layout.size)?,
            false => number(row, layout.size)?.into(),
        },
        flags: flags.fold(Flags::default(), |all, (_, flag)| all | flag),
        keywords,
        guid: *row.get(GUID..)?.first_chunk()?,
        gone: bits & GONE != 0,
    })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(bytes: &[u8]) -> Result<Index> {
        super::parse(bytes.len() as u64, |to, at| {
            let from = bytes.get(at as usize..).unwrap_or_default();
            let len = from.len().min(to.len());
            to[..len].copy_from_slice(&from[..len]);
            Ok(len)
        })
    }

    fn seal(mut bytes: Vec<u8>, len: usize) -> Vec<u8> {
        bytes.resize(len - 4, 0);
        let sum = crc32fast::hash(&bytes);
        bytes.extend(sum.to_be_bytes());
        bytes
    }

    /// A message of an index: UID, INTERNALDATE, size, flags, first keywords, GUID.
    type Row = (u32, u32, u32, u32, u32, u8);

    /// An index of version 17 with these messages.
    pub fn encode(rows: &[Row]) -> Vec<u8> {
        encode_beside(17, b"", rows)
    }

    /// An index of a version, written beside a `cyrus.header` of these bytes.
    pub fn encode_beside(version: u32, beside: &[u8], rows: &[Row]) -> Vec<u8> {
        let (start, size) = if version < 20 { (160, 112) } else { (192, 144) };
        let mut header = vec![0; 8];
        for field in [version, start, size, rows.len() as u32] {
            header.extend(u32::to_be_bytes(field));
        }
        header.resize(BESIDE, 0);
        header.extend(crc32fast::hash(beside).to_be_bytes());
        let mut bytes = seal(header, start as usize);
        for &(uid, date, length, flags, keywords, guid) in rows {
            let nanos = u64::from(date) * 1_000_000_000;
            let (high, low) = ((nanos >> 32) as u32, nanos as u32);
            let fields: &[u32] = match version {
                ..20 => &[uid, date, 0, length, 0, 0, 0, 0, flags, keywords],
                _ => &[uid, 0, high, low, 0, 0, 0, length, 0, flags, keywords],
            };
            let mut row: Vec<u8> = fields.iter().copied().flat_map(u32::to_be_bytes).collect();
            row.resize(GUID, 0);
            row.extend([guid; 20]);
            bytes.extend(seal(row, size as usize));
        }
        bytes
    }

    #[test]
    fn records() {
        let bytes = encode(&[
            (2, 1000, 7, 16 | 2, 1 << 31 | 1, 2),
            (1, 999, 5, 1 << 31, 0, 1),
            (2, 1000, 7, 1, 0, 3),
        ]);
        let index = parse(&bytes).unwrap();
        assert_eq!(index.damaged, 0);
        let [one, two] = index.records[..] else {
            panic!("{index:?}")
        };
        assert!(one.gone && !two.gone);
        assert_eq!((two.flags, two.guid), (Flags::ANSWERED, [3; 20]));
        let index = parse(&bytes[..160 + 112]).unwrap();
        assert_eq!((index.records.len(), index.damaged), (1, 2));
        assert_eq!(index.records[0].flags, Flags::SEEN | Flags::FLAGGED);
        assert_eq!(index.records[0].keywords[..4], [1, 0, 0, 0x80]);
        assert_eq!(index.records[0].received, Time::from_secs(1000));
    }

    #[test]
    fn all_versions_say_the_same() {
        let rows = [(1, 2_000_000_000, 5, 16, 1, 1), (2, 1000, 7, 2, 3, 2)];
        let wanted = parse(&encode_beside(12, b"header", &rows)).unwrap();
        assert_eq!(wanted.beside, Some(crc32fast::hash(b"header")));
        assert_eq!(wanted.records[0].received.secs, 2_000_000_000);
        for version in 13..=20 {
            let found = parse(&encode_beside(version, b"header", &rows)).unwrap();
            assert_eq!(found, wanted, "{version}");
        }
    }

    #[test]
    fn of_another_version() {
        let mut bytes = encode(&[]);
        for (version, wanted) in [
            (9, "not known"),
            (10, "not known"),
            (11, "not known"),
            (21, "damaged"),
            (99, "damaged"),
        ] {
            bytes[11] = version;
            let error = parse(&bytes).unwrap_err().to_string();
            assert!(error.contains(wanted), "{version}: {error}");
        }
    }

    #[test]
    fn a_file_of_holes_is_not_read() {
        let mut header = vec![0; 8];
        for field in [17, 160, 4096, 1 << 22] {
            header.extend(u32::to_be_bytes(field));
        }
        let header = seal(header, 160);
        let mut reads = 0;
        let index = super::parse(1 << 40, |to, _| {
            reads += 1;
            let len = header.len().min(to.len());
            to[..len].copy_from_slice(&header[..len]);
            Ok(to.len())
        });
        assert_eq!((index.unwrap_err().kind(), reads), (Kind::Undecodable, 1));
    }

    #[test]
    fn a_flipped_bit_costs_the_header_or_one_record() {
        let sound = encode(&[(1, 999, 5, 0, 0, 1), (2, 1000, 7, 16, 3, 2)]);
        for at in 0..sound.len() * 8 {
            let mut bytes = sound.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            match parse(&bytes) {
                Ok(index) if index.headless => assert!(at < 160 * 8, "{at}"),
                Ok(index) => assert_eq!((index.records.len(), index.damaged), (1, 1), "{at}"),
                Err(_) => assert!((64..160).contains(&at), "{at}"),
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes(
            mut header in prop::collection::vec(any::<u32>(), 6),
            version in prop_oneof![Just(12u32), Just(17), Just(20), any::<u32>()],
            start in prop_oneof![Just(28u32), any::<u32>()],
            rest in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            (header[2], header[3]) = (version, start);
            let header: Vec<u8> = header.into_iter().flat_map(u32::to_be_bytes).collect();
            let _ = parse(&[&seal(header, 28), &rest[..]].concat());
            let _ = parse(&rest);
        }
    }
}
