//! The bytes of one message, and what is learned from them once.
//!
//! What is stored is the message itself, or the message compressed. It is compressed if it begins like it and its store
//! does not claim that this is its plain size (a message may well begin with such bytes). What was compressed must
//! decode to the end, and to the size that the store claims if it claims one; otherwise it is damaged: listed, and
//! reading it is an error. A plain message is shown as it is, torn or empty, whatever is claimed.

use crate::error::{Error, Kind, Result};
use crate::message::facts::Facts;
use crate::message::header::{self, Scan};
use crate::message::mboxrd::Measure;
use crate::store::{Stored, decode, take};

/// How much of a message is read to name it: most headers are shorter than the first, hardly any longer than the
/// second, and none is read further than the last.
const HEADER_READS: [usize; 3] = [16 << 10, 64 << 10, 1 << 20];

/// Bytes read at once from a message that is read as a whole.
const CHUNK: usize = 256 << 10;

/// A compressed message that is longer than this is taken for a bomb.
const LARGEST_DECODED: u64 = 512 << 20;

/// How what is stored becomes the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Plain,
    Compressed,
    /// Can't be decoded.
    Damaged,
    /// Not known, for it could not be read; never kept.
    Unread,
}

impl Encoding {
    pub fn to_byte(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Compressed => 1,
            Self::Damaged => 2,
            Self::Unread => 3,
        }
    }

    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Plain, Self::Compressed, Self::Damaged]
            .into_iter()
            .find(|e| e.to_byte() == byte)
    }
}

/// What is learned once about a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    pub encoding: Encoding,
    /// Size of the message in bytes; of what is stored, if that is damaged.
    pub size: u64,
    pub facts: Facts,
}

impl Learned {
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.encoding.to_byte()];
        bytes.extend_from_slice(&self.size.to_le_bytes());
        self.facts.encode(&mut bytes);
        bytes
    }

    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let [encoding] = take(&mut bytes)?;
        let size = u64::from_le_bytes(take(&mut bytes)?);
        Some(Self {
            encoding: Encoding::from_byte(encoding)?,
            size,
            facts: Facts::decode(bytes)?,
        })
    }
}

/// Whether the store settles that a message is plain, with no look inside.
fn is_plain_by_claim(stored: &Stored<'_>) -> bool {
    stored.claimed_size() == Some(stored.size())
}

/// How a message is compressed, by how it begins; `None` if it is plain. Whether it is sound only decoding shows.
pub fn compression(stored: &Stored<'_>) -> Result<Option<decode::Encoding>> {
    if is_plain_by_claim(stored) {
        return Ok(None);
    }
    let mut first = [0; decode::DETECT_LEN];
    let len = stored.read_at(&mut first, 0)?;
    Ok(decode::detect(first.get(..len).unwrap_or_default()))
}

/// Reads a message to its end and keeps nothing of it: how it is compressed, and its size, decoded.
///
/// # Errors
/// [`Kind::Undecodable`] as for [`decode_whole`]; [`Kind::Unreadable`] also if the file ends before its size.
pub fn read_to_end(stored: &Stored<'_>) -> Result<(Option<decode::Encoding>, u64)> {
    let mut bytes = 0;
    let Some(compression) = compression(stored)? else {
        stream(stored, 0, |chunk| {
            bytes += chunk.len() as u64;
            true
        })?;
        let size = stored.size();
        if bytes < size {
            let ends = format!("the file ends after {bytes} of {size} bytes");
            return Err(Error::new(Kind::Unreadable, ends));
        }
        return Ok((None, bytes));
    };
    decode(stored, compression, |decoded| bytes += decoded.len() as u64)?;
    Ok((Some(compression), bytes))
}

/// Learns what a message's name is made of; and its size in an mbox, if all of it has been read for that. `name` is the
/// message's, for a warning.
pub fn learn(stored: &Stored<'_>, name: &[u8]) -> Result<Learned> {
    let mut buffer = Vec::new();
    for (step, limit) in HEADER_READS.into_iter().enumerate() {
        let have = buffer.len();
        buffer.resize(limit, 0);
        let more = stored.read_at(buffer.get_mut(have..).unwrap_or_default(), have as u64)?;
        buffer.truncate(have + more);
        if step == 0
            && !is_plain_by_claim(stored)
            && let Some(compression) = decode::detect(&buffer)
        {
            return learn_compressed(stored, name, compression);
        }
        let whole = buffer.len() < limit;
        let last = whole || step + 1 == HEADER_READS.len();
        if let Scan::Complete(headers) = header::scan(&buffer, last) {
            let body = whole.then(|| measure(&buffer));
            let facts = Facts {
                body,
                ..headers.into()
            };
            return Ok(Learned {
                encoding: Encoding::Plain,
                size: stored.size(),
                facts,
            });
        }
    }
    Ok(Learned {
        encoding: Encoding::Plain,
        size: stored.size(),
        facts: Facts::default(),
    })
}

fn learn_compressed(
    stored: &Stored<'_>,
    name: &[u8],
    compression: decode::Encoding,
) -> Result<Learned> {
    let mut start = Vec::new();
    let mut measure = Measure::new();
    let mut size = 0;
    let decoded = decode(stored, compression, |bytes| {
        let room = HEADER_READS[2] - start.len();
        start.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        measure.feed(bytes);
        size += bytes.len() as u64;
    });
    match decoded {
        Ok(()) => {
            let facts = match header::scan(&start, true) {
                Scan::Complete(headers) => Facts {
                    body: Some(measure.finish()),
                    ..headers.into()
                },
                Scan::NeedMore => Facts::default(),
            };
            Ok(Learned {
                encoding: Encoding::Compressed,
                size,
                facts,
            })
        }
        Err(e) if e.kind() == Kind::Undecodable => {
            tracing::warn!(
                "{}: {e}; it is listed, and reading it is an error",
                String::from_utf8_lossy(name)
            );
            Ok(Learned {
                encoding: Encoding::Damaged,
                size: stored.size(),
                facts: Facts::default(),
            })
        }
        Err(e) => Err(e),
    }
}

fn measure(message: &[u8]) -> crate::message::mboxrd::BodySize {
    let mut measure = Measure::new();
    measure.feed(message);
    measure.finish()
}

/// The whole of a compressed message.
pub fn decode_whole(stored: &Stored<'_>) -> Result<Vec<u8>> {
    let mut first = [0; decode::DETECT_LEN];
    let len = stored.read_at(&mut first, 0)?;
    let Some(compression) = decode::detect(first.get(..len).unwrap_or_default()) else {
        return Err(Error::new(Kind::Undecodable, "is no longer compressed"));
    };
    let mut plain = Vec::new();
    decode(stored, compression, |bytes| {
        plain.extend_from_slice(bytes);
    })?;
    Ok(plain)
}

/// Gives the whole message to `take`, in pieces.
fn decode(
    stored: &Stored<'_>,
    compression: decode::Encoding,
    mut take: impl FnMut(&[u8]),
) -> Result<()> {
    let reader = Reader { stored, offset: 0 };
    let claimed = stored.claimed_size();
    let mut decoder = decode::Decoder::new(compression, reader, claimed, LARGEST_DECODED)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        match decoder.read(&mut buffer)? {
            0 => return Ok(()),
            n => take(buffer.get(..n).unwrap_or_default()),
        }
    }
}

/// What is stored as the standard library reads it.
struct Reader<'a, 'b> {
    stored: &'a Stored<'b>,
    offset: u64,
}

impl std::io::Read for Reader<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        // The disk's error stays one: the decoder takes it out again.
        let read = self.stored.read_at(buffer, self.offset);
        let n = read.map_err(std::io::Error::other)?;
        self.offset += n as u64;
        Ok(n)
    }
}

/// Feeds a plain message from `offset` on, in chunks, until its end or until `feed` has enough and returns false.
pub fn stream(
    stored: &Stored<'_>,
    mut offset: u64,
    mut feed: impl FnMut(&[u8]) -> bool,
) -> Result<()> {
    let mut buffer = vec![
        0;
        CHUNK
            .min(usize::try_from(stored.size()).unwrap_or(CHUNK))
            .max(1)
    ];
    loop {
        let n = stored.read_at(&mut buffer, offset)?;
        if n == 0 || !feed(buffer.get(..n).unwrap_or_default()) {
            return Ok(());
        }
        offset += n as u64;
    }
}
