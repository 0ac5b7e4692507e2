//! The bytes of one message, and what is learned from them once.
//!
//! What is stored is the message itself, or the message compressed, encrypted or both. It is encoded if it begins like
//! it. What was encoded must decode to the end, and to the size that the store claims if it claims one; otherwise it is
//! damaged: listed, and reading it is an error. So it is with an encrypted message for which there is no key. A plain
//! message is shown as it is, torn or empty, whatever is claimed.
//!
//! A plain message may happen to begin like a compressed one, and a compressed one to be of the size that the message
//! has: where the stored bytes have the claimed size, they are compressed if they decode to that same size, and the message
//! itself if not.

mod room;

use crate::error::{Error, Kind, Result};
use crate::message::facts::Facts;
use crate::message::header::{self, Scan};
use crate::message::mboxrd::Measure;
use crate::store::decode::{self, Keys};
use crate::store::{Stored, take};
use room::{Room, Taken};

/// How much of a message is read to name it: most headers are shorter than the first, hardly any longer than the
/// second, and none is read further than the last.
const HEADER_READS: [usize; 3] = [header::FIRST, 64 << 10, 1 << 20];

/// Bytes of a message that are read in any case to name it.
pub const FIRST_READ: u64 = HEADER_READS[0] as u64;

/// Bytes read at once from a message that is read as a whole.
const CHUNK: usize = 256 << 10;

/// An encoded message that is longer than this is taken for a bomb.
const LARGEST_DECODED: u64 = 512 << 20;

/// What is decoded may take memory of this much without asking for room.
const SMALL: u64 = 16 << 20;

/// Memory that decoding without keeping the result takes at most: the largest window of zstd.
const WINDOW: u64 = 128 << 20;

/// For all that are decoded at a time: the largest message, and some more at it.
static ROOM: Room = Room::new(LARGEST_DECODED + 4 * WINDOW);

/// How what is stored becomes the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Plain,
    /// Compressed, encrypted or both.
    Encoded,
    /// Can't be decoded.
    Damaged,
    /// Encrypted, and there was no key for it.
    Locked,
    /// Not known, for it could not be read; never kept.
    Unread,
}

impl Encoding {
    pub fn to_byte(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Encoded => 1,
            Self::Damaged => 2,
            Self::Unread => 3,
            Self::Locked => 4,
        }
    }

    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Plain, Self::Encoded, Self::Damaged, Self::Locked]
            .into_iter()
            .find(|e| e.to_byte() == byte)
    }

    /// Whether the message could not be had, and may be had another time or in another place.
    pub fn may_be_put_right(self) -> bool {
        matches!(self, Self::Damaged | Self::Unread)
    }

    /// Whether it is known that the message can't be had.
    pub fn is_lost(self) -> bool {
        matches!(self, Self::Damaged | Self::Locked)
    }
}

/// What is learned once about a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    pub encoding: Encoding,
    /// Size of the message in bytes; of what is stored, if that cannot be decoded.
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

/// How a message is encoded, by how it begins; `None` if it is plain. Whether it is sound only decoding shows.
pub fn encoding(stored: &Stored<'_>) -> Result<Option<decode::Encoding>> {
    if stored.is_plain() {
        return Ok(None);
    }
    let mut first = [0; decode::DETECT_LEN];
    let len = stored.read_at(&mut first, 0)?;
    Ok(decode::detect(first.get(..len).unwrap_or_default()))
}

/// Whether a message that begins as if it were encoded so, and could not be decoded, is the message itself. Nobody but
/// mail_crypt writes how an encrypted one begins.
fn may_be_plain(stored: &Stored<'_>, encoding: decode::Encoding) -> bool {
    encoding != decode::Encoding::MailCrypt && stored.claimed_size() == Some(stored.size())
}

/// How a message is encoded, where it may be plain by its size: decodes it, if it begins as if it were.
pub fn proven_encoding(stored: &Stored<'_>, keys: &Keys) -> Result<Option<decode::Encoding>> {
    let Some(encoding) = encoding(stored)? else {
        return Ok(None);
    };
    if !may_be_plain(stored, encoding) {
        return Ok(Some(encoding));
    }
    match decode(stored, encoding, keys, |_| true) {
        Ok(()) => Ok(Some(encoding)),
        Err(e) if e.kind() == Kind::Undecodable => Ok(None),
        Err(e) => Err(e),
    }
}

/// Reads a message to its end and keeps nothing of it: how it is encoded, and its size, decoded.
///
/// # Errors
/// [`Kind::Undecodable`] and [`Kind::NoKey`] as for [`decode_whole`]; [`Kind::Unreadable`] also if the file ends before
/// its size.
pub fn read_to_end(stored: &Stored<'_>, keys: &Keys) -> Result<(Option<decode::Encoding>, u64)> {
    let mut bytes = 0;
    let Some(encoding) = proven_encoding(stored, keys)? else {
        stream(stored, 0, |chunk| {
            bytes += chunk.len() as u64;
            true
        })?;
        whole(bytes, stored.size())?;
        return Ok((None, bytes));
    };
    decode(stored, encoding, keys, |decoded| {
        bytes += decoded.len() as u64;
        true
    })?;
    Ok((Some(encoding), bytes))
}

/// Learns what a message's name is made of; and its size in an mbox, if all of it has been read for that. `damaged` hears
/// why it cannot be decoded, if not for want of a key.
pub fn learn(stored: &Stored<'_>, keys: &Keys, damaged: impl Fn(&Error)) -> Result<Learned> {
    let mut buffer = Vec::new();
    for (step, limit) in HEADER_READS.into_iter().enumerate() {
        let have = buffer.len();
        buffer.resize(limit, 0);
        let more = stored.read_at(buffer.get_mut(have..).unwrap_or_default(), have as u64)?;
        buffer.truncate(have + more);
        if step == 0
            && !stored.is_plain()
            && let Some(encoding) = decode::detect(&buffer)
        {
            if !may_be_plain(stored, encoding) {
                return learn_encoded(stored, encoding, keys, damaged);
            }
            let learned = learn_encoded(stored, encoding, keys, |_| ())?;
            if learned.encoding == Encoding::Encoded {
                return Ok(learned);
            }
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

fn learn_encoded(
    stored: &Stored<'_>,
    encoding: decode::Encoding,
    keys: &Keys,
    damaged: impl Fn(&Error),
) -> Result<Learned> {
    let mut start = Vec::new();
    let mut measure = Measure::new();
    let mut size = 0;
    let decoded = decode(stored, encoding, keys, |bytes| {
        let room = HEADER_READS[2] - start.len();
        start.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        measure.feed(bytes);
        size += bytes.len() as u64;
        true
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
                encoding: Encoding::Encoded,
                size,
                facts,
            })
        }
        Err(e) if matches!(e.kind(), Kind::Undecodable | Kind::NoKey) => {
            let encoding = if e.kind() == Kind::NoKey {
                // Where one is locked, most are: that is told once for the folder.
                Encoding::Locked
            } else {
                damaged(&e);
                Encoding::Damaged
            };
            Ok(Learned {
                encoding,
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

/// The whole of an encoded message that has so many bytes.
///
/// # Errors
/// [`Kind::Undecodable`] also if it has another size.
pub fn decode_whole(stored: &Stored<'_>, keys: &Keys, size: u64) -> Result<Vec<u8>> {
    let mut first = [0; decode::DETECT_LEN];
    let len = stored.read_at(&mut first, 0)?;
    let Some(encoding) = decode::detect(first.get(..len).unwrap_or_default()) else {
        return Err(Error::new(Kind::Undecodable, "is no longer compressed"));
    };
    let room = match size > SMALL {
        true => Some(ROOM.take(size + WINDOW)?),
        false => None,
    };
    let mut plain = Vec::with_capacity(usize::try_from(size.min(LARGEST_DECODED)).unwrap_or(0));
    let mut fits = true;
    decode_in(room, stored, encoding, keys, |bytes| {
        fits = bytes.len() <= plain.capacity() - plain.len();
        plain.extend_from_slice(if fits { bytes } else { b"" });
        fits
    })?;
    if !fits || plain.len() as u64 != size {
        let message = format!("does not decode to the {size} bytes that it had");
        return Err(Error::new(Kind::Undecodable, message));
    }
    Ok(plain)
}

/// The first bytes of a message that was learned to be encoded so, at most `limit`.
///
/// # Errors
/// [`Kind::Undecodable`] and [`Kind::NoKey`] as for [`decode_whole`], as far as that much shows it.
pub fn start(
    stored: &Stored<'_>,
    encoding: Encoding,
    keys: &Keys,
    limit: usize,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read(stored, encoding, keys, |chunk| {
        bytes.extend_from_slice(chunk);
        bytes.len() < limit
    })?;
    bytes.truncate(limit);
    Ok(bytes)
}

/// Gives a message that was learned to be encoded so to `take`, in pieces, until its end or until `take` has enough and
/// returns false.
///
/// # Errors
/// [`Kind::Undecodable`] and [`Kind::NoKey`] as for [`decode_whole`], as far as it was read; [`Kind::Unreadable`] also if
/// the file ends before its size.
pub fn read(
    stored: &Stored<'_>,
    encoding: Encoding,
    keys: &Keys,
    mut take: impl FnMut(&[u8]) -> bool,
) -> Result<()> {
    let (kind, message) = match encoding {
        Encoding::Plain => {
            // Where no message is opened to list a folder, this is the first that is seen of it.
            if let Some(encoding) = proven_encoding(stored, keys)? {
                return decode(stored, encoding, keys, take);
            }
            let (mut bytes, mut more) = (0, true);
            stream(stored, 0, |chunk| {
                bytes += chunk.len() as u64;
                more = take(chunk);
                more
            })?;
            return if more {
                whole(bytes, stored.size())
            } else {
                Ok(())
            };
        }
        Encoding::Encoded => match self::encoding(stored)? {
            Some(encoding) => return decode(stored, encoding, keys, take),
            None => (Kind::Undecodable, "is no longer compressed"),
        },
        Encoding::Damaged => (Kind::Undecodable, "the stored message is damaged"),
        Encoding::Locked => (Kind::NoKey, "is encrypted, and there is no key for it"),
        Encoding::Unread => (
            Kind::Unreadable,
            "could not be read when its folder was listed",
        ),
    };
    Err(Error::new(kind, message))
}

/// Fails if not all of a file was read.
fn whole(bytes: u64, size: u64) -> Result<()> {
    if bytes < size {
        let ends = format!("the file ends after {bytes} of {size} bytes");
        return Err(Error::new(Kind::Unreadable, ends));
    }
    Ok(())
}

/// Gives the message to `take`, in pieces, until its end or until `take` has enough and returns false.
fn decode(
    stored: &Stored<'_>,
    encoding: decode::Encoding,
    keys: &Keys,
    take: impl FnMut(&[u8]) -> bool,
) -> Result<()> {
    decode_in(None, stored, encoding, keys, take)
}

/// The same with the room that was taken for it; a message that proves large without takes room on the way.
fn decode_in(
    mut room: Option<Taken<'_>>,
    stored: &Stored<'_>,
    encoding: decode::Encoding,
    keys: &Keys,
    mut take: impl FnMut(&[u8]) -> bool,
) -> Result<()> {
    let mut done = 0;
    let mut grow = |n: usize| {
        done += n as u64;
        if done > SMALL && room.is_none() {
            room = Some(ROOM.take(WINDOW)?);
        }
        Result::Ok(())
    };
    let reader = || Reader { stored, offset: 0 };
    let mut terms = decode::Terms {
        expected: stored.claimed_size(),
        limit: LARGEST_DECODED,
        keys,
        only_encrypted: false,
    };
    let mut buffer = vec![0; CHUNK];
    let mut decoder = decode::Decoder::new(encoding, reader(), &terms)?;
    if decoder.is_in_doubt() {
        terms.only_encrypted = loop {
            match decoder.read(&mut buffer) {
                Ok(0) => break false,
                Ok(n) => grow(n)?,
                Err(e) if e.kind() == Kind::Undecodable => break true,
                Err(e) => return Err(e),
            }
        };
        decoder = decode::Decoder::new(encoding, reader(), &terms)?;
    }
    loop {
        let n = decoder.read(&mut buffer)?;
        grow(n)?;
        if n == 0 || !take(buffer.get(..n).unwrap_or_default()) {
            return Ok(());
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
