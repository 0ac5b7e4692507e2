//! Messages that a mail store keeps compressed, encrypted or both.
//!
//! [`detect`] knows the encodings by their first bytes; but a mail may happen to start so too, and only decoding it to
//! the end shows. [`Decoder`] does that in pieces. A message that is both was compressed before it was encrypted.
//!
//! Invariants: never more than the limit comes out, whatever a few bytes claim to expand to; data that are cut short,
//! damaged, followed by anything, or of another size than expected end in [`Kind::Undecodable`], never in a shorter
//! message; a message that no key opens ends in [`Kind::NoKey`]; a failure to read the source keeps its own kind.
//!
//! The cast: [`Terms`] is what is known of a message beforehand, [`Keys`] what opens encrypted ones, `mail_crypt` how.

mod mail_crypt;
mod private_key;

pub use private_key::Keys;

use crate::error::{Error, Kind, Result};
use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use mail_crypt::Decryption;
use std::fmt;
use std::io::{self, BufReader, Read};

/// How a message is encoded in its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    Gzip,
    Bzip2,
    Zstd,
    /// Dovecot's own framing of LZ4 blocks.
    Lz4,
    Xz,
    /// Encrypted by Dovecot's mail_crypt; what was encrypted may be compressed.
    MailCrypt,
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::Xz => "xz",
            Self::MailCrypt => "mail_crypt",
        })
    }
}

const LZ4_MAGIC: &[u8; 15] = b"Dovecot-LZ4\x0d\x2a\x9b\xc5";

/// Bytes that [`detect`] wants to see.
pub const DETECT_LEN: usize = 16;

/// What follows the size of bzip2's blocks: the first block, or the end if there is none.
const BZIP2_NEXT: [&[u8; 6]; 2] = [b"1AY&SY", b"\x17rE8P\x90"];

/// The encoding that a file starts like. [`DETECT_LEN`] bytes are enough; one that is torn before that is what it has
/// begun to be.
pub fn detect(start: &[u8]) -> Option<Encoding> {
    let bzip2 = |next: &[u8]| {
        BZIP2_NEXT
            .iter()
            .any(|b| b.starts_with(next) || next.starts_with(*b))
    };
    match start {
        // The only method that there is.
        [0x1f, 0x8b] | [0x1f, 0x8b, 8, ..] => Some(Encoding::Gzip),
        [b'B', b'Z', b'h', b'1'..=b'9', next @ ..] if bzip2(next) => Some(Encoding::Bzip2),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Encoding::Zstd),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Encoding::Xz),
        _ if start.starts_with(LZ4_MAGIC) => Some(Encoding::Lz4),
        _ if start.starts_with(mail_crypt::MAGIC) => Some(Encoding::MailCrypt),
        _ => None,
    }
}

/// What is known of a message before it is decoded.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The size, in bytes, that it must have.
    pub expected: Option<u64>,
    /// It may not have more bytes than this.
    pub limit: u64,
    /// What may open it if it is encrypted.
    pub keys: &'a Keys,
    /// What was encrypted is the message itself, whatever it begins like.
    pub only_encrypted: bool,
}

/// Decodes a whole message into memory.
pub fn decode_all(encoding: Encoding, source: impl Read, terms: &Terms<'_>) -> Result<Vec<u8>> {
    let mut decoder = Decoder::new(encoding, source, terms)?;
    let mut message = Vec::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match decoder.read(&mut buffer)? {
            0 => return Ok(message),
            n => message.extend_from_slice(&buffer[..n]),
        }
    }
}

const BUFFER: usize = 64 * 1024;

/// Memory that xz may use, in KiB: what Dovecot grants it, and more than the highest preset needs.
const XZ_MEMORY: u32 = 80 << 10;

/// A message being decoded.
pub struct Decoder<R: Read> {
    encoding: Encoding,
    stream: Stream<Input<R>>,
    /// Bytes decoded so far.
    done: u64,
    expected: Option<u64>,
    limit: u64,
    is_in_doubt: bool,
}

enum Stream<S: Read> {
    /// Only within what was encrypted.
    Plain(BufReader<S>),
    Gzip(MultiGzDecoder<BufReader<S>>),
    Bzip2(MultiBzDecoder<BufReader<S>>),
    Zstd(zstd::Decoder<'static, BufReader<S>>),
    Lz4(Lz4<BufReader<S>>),
    Xz(Box<XzReader<BufReader<S>>>),
}

/// What the stream that undoes the compression reads.
enum Input<R> {
    Stored(Source<R>),
    Encrypted(Box<Decryption<Source<R>>>),
}

impl<R: Read> Decoder<R> {
    /// Begins to decode a message that is encoded so; of an encrypted one, the header is read.
    pub fn new(encoding: Encoding, source: R, terms: &Terms<'_>) -> Result<Self> {
        let source = Source {
            source,
            failure: None,
        };
        let fault = |e| damaged(encoding, e);
        let mut is_in_doubt = false;
        let (input, compression) = match encoding {
            Encoding::MailCrypt => {
                let mut plain = Decryption::new(source, terms.keys).map_err(fault)?;
                let (start, size) = plain.peek().map_err(fault)?;
                let compression = detect(start).filter(|_| !terms.only_encrypted);
                is_in_doubt = compression.is_some() && size.is_some() && size == terms.expected;
                (Input::Encrypted(Box::new(plain)), compression)
            }
            compression => (Input::Stored(source), Some(compression)),
        };
        let input = BufReader::with_capacity(BUFFER, input);
        let stream = match compression {
            // Nobody encrypts twice: a message that looks like it was written so.
            None | Some(Encoding::MailCrypt) => Stream::Plain(input),
            Some(Encoding::Gzip) => Stream::Gzip(MultiGzDecoder::new(input)),
            Some(Encoding::Bzip2) => Stream::Bzip2(MultiBzDecoder::new(input)),
            Some(Encoding::Zstd) => Stream::Zstd(zstd::Decoder::with_buffer(input).map_err(fault)?),
            Some(Encoding::Lz4) => Stream::Lz4(Lz4::new(input)),
            Some(Encoding::Xz) => {
                let reader = XzReader::new_mem_limit(input, true, XZ_MEMORY);
                Stream::Xz(Box::new(reader))
            }
        };
        Ok(Self {
            encoding,
            stream,
            done: 0,
            expected: terms.expected,
            limit: terms.limit,
            is_in_doubt,
        })
    }

    /// Whether what was encrypted begins as if it were compressed, and has the expected size as it is. It is compressed
    /// if it can be decoded to its end, and else [`only encrypted`](Terms::only_encrypted).
    pub fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// Decodes the next bytes of the message; 0 at its end, which is where all of it has proved sound. `buffer` may
    /// not be empty. After an error there is nothing more to be had.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(buffer),
            Stream::Gzip(stream) => stream.read(buffer),
            Stream::Bzip2(stream) => stream.read(buffer),
            Stream::Zstd(stream) => stream.read(buffer),
            Stream::Lz4(stream) => stream.read(buffer),
            Stream::Xz(stream) => stream.read(buffer),
        };
        let n = match read {
            Ok(n) => n,
            Err(error) => {
                let failure = self.source().failure.take();
                return Err(failure.unwrap_or_else(|| damaged(self.encoding, error)));
            }
        };
        self.done = self.done.saturating_add(n as u64);
        if let Some(expected) = self.expected
            && (self.done > expected || (n == 0 && self.done < expected))
        {
            let than = if n == 0 { "fewer" } else { "more" };
            return Err(self.undecodable(format!("{than} than the expected {expected} bytes")));
        }
        if self.done > self.limit {
            return Err(self.undecodable(format!("more than {} bytes", self.limit)));
        }
        Ok(n)
    }

    fn undecodable(&self, result: String) -> Error {
        Error::new(
            Kind::Undecodable,
            format!("the {} data decode to {result}", self.encoding),
        )
    }

    fn source(&mut self) -> &mut Source<R> {
        let input = match &mut self.stream {
            Stream::Plain(stream) => stream.get_mut(),
            Stream::Gzip(stream) => stream.get_mut().get_mut(),
            Stream::Bzip2(stream) => stream.get_mut().get_mut(),
            Stream::Zstd(stream) => stream.get_mut().get_mut(),
            Stream::Lz4(stream) => stream.source.get_mut(),
            Stream::Xz(stream) => stream.inner_mut().get_mut(),
        };
        match input {
            Input::Stored(source) => source,
            Input::Encrypted(plain) => plain.source(),
        }
    }
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Stored(source) => source.read(buffer),
            Self::Encrypted(plain) => plain.read(buffer),
        }
    }
}

/// The error of a stream that has come upon one.
fn damaged(encoding: Encoding, error: io::Error) -> Error {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<Error>());
    if let Some(failure) = inner {
        return failure.clone();
    }
    let what = match error.kind() {
        io::ErrorKind::UnexpectedEof => "cut short".to_owned(),
        io::ErrorKind::OutOfMemory => format!("not to be decoded ({error})"),
        _ => format!("damaged ({error})"),
    };
    Error::new(Kind::Undecodable, format!("the {encoding} data are {what}"))
}

/// Bytes as a store's own tools write them.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Remembers a failure to read, which is none of the data.
struct Source<R> {
    source: R,
    failure: Option<Error>,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let error = match self.source.read(buffer) {
                Ok(n) => return Ok(n),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => e,
            };
            let inner = error.get_ref().and_then(|e| e.downcast_ref::<Error>());
            let failure = inner.cloned().unwrap_or_else(|| {
                Error::new(Kind::Unreadable, format!("reading the message: {error}"))
            });
            self.failure = Some(failure.clone());
            return Err(io::Error::other(failure));
        }
    }
}

/// Largest block, decoded, that a header may announce: Dovecot's are of 64 KiB.
const LZ4_MOST: usize = 4 * 1024 * 1024;

/// Dovecot's framing: magic, largest decoded block (u32, big-endian), then blocks, each after its length (u32,
/// big-endian), to the end of the file.
struct Lz4<S> {
    source: S,
    /// The buffer for a decoded block, as large as the header says. None before the header is read.
    block: Option<Vec<u8>>,
    /// What of the decoded block has not been handed out.
    ready: std::ops::Range<usize>,
}

impl<S: Read> Lz4<S> {
    fn new(source: S) -> Self {
        Self {
            source,
            block: None,
            ready: 0..0,
        }
    }

    fn header(&mut self) -> io::Result<Vec<u8>> {
        let mut magic = [0; LZ4_MAGIC.len()];
        self.source.read_exact(&mut magic)?;
        let mut most = [0; 4];
        self.source.read_exact(&mut most)?;
        let most = u32::from_be_bytes(most) as usize;
        if &magic != LZ4_MAGIC || most == 0 || most > LZ4_MOST {
            return Err(io::Error::other("unknown header"));
        }
        Ok(vec![0; most])
    }

    /// Decodes the next block. False at the end of the data.
    fn next(&mut self) -> io::Result<bool> {
        let mut block = match self.block.take() {
            Some(block) => block,
            None => self.header()?,
        };
        let mut len = Vec::new();
        (&mut self.source).take(4).read_to_end(&mut len)?;
        if len.is_empty() {
            self.block = Some(block);
            return Ok(false);
        }
        let len: [u8; 4] = len
            .try_into()
            .map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let len = u32::from_be_bytes(len) as usize;
        if len == 0 || len > lz4_flex::block::get_maximum_output_size(block.len()) {
            return Err(io::Error::other(format!("a block of {len} bytes")));
        }
        let mut stored = Vec::new();
        (&mut self.source)
            .take(len as u64)
            .read_to_end(&mut stored)?;
        if stored.len() < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let decoded =
            lz4_flex::block::decompress_into(&stored, &mut block).map_err(io::Error::other)?;
        self.block = Some(block);
        self.ready = 0..decoded;
        Ok(true)
    }
}

impl<S: Read> Read for Lz4<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.ready.is_empty() {
            if !self.next()? {
                return Ok(0);
            }
        }
        let n = buffer.len().min(self.ready.len());
        let block = self.block.as_deref().unwrap_or_default();
        buffer[..n].copy_from_slice(&block[self.ready.start..self.ready.start + n]);
        self.ready.start += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests;
