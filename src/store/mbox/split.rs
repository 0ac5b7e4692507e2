//! Where the messages of an mbox file begin and end.
//!
//! A message begins after a [From_ line](super::from_line) that is the file's first line or comes after a newline; that
//! newline is no part of the message before, nor is a last one at the end of the file. A `Content-Length` is believed
//! only if a From_ line or the end of the file is where it says. Nothing is unquoted: whether `>From ` was quoted cannot
//! be known.
//!
//! One pass, in memory of fixed size: of a header, [`LONGEST_HEADER`] bytes are looked at; what is left of it counts as
//! body.
//!
//! Source: Dovecot's `istream-raw-mbox.c`.

use super::from_line::{self, Received};
use super::own_fields::{Stripped, strip};
use crate::disk::File;
use crate::error::Result;
use memchr::{memchr, memmem};
use sha2::{Digest, Sha256};

/// Bytes of a header in which fields are looked for.
pub const LONGEST_HEADER: usize = 1 << 20;

/// Bytes read at once.
const CHUNK: usize = 256 << 10;

/// Bytes that may be needed behind a newline to see whether a From_ line follows: with its own.
const AHEAD: usize = from_line::LONGEST + 8;

/// One message of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it begins, behind its From_ line; its body; and its end. Offsets in the file, in bytes.
    pub header: u64,
    pub body: u64,
    pub end: u64,
    /// None for what stands before the first From_ line, of which nothing is known.
    pub received: Option<Received>,
    pub own: Stripped,
    /// Bytes of the message without the store's fields.
    pub size: u64,
    /// The SHA-256 of the message without the store's fields.
    pub hash: [u8; 32],
}

/// A file that is read from front to back.
struct Window<'a, 'b> {
    file: &'a File<'b>,
    buffer: Vec<u8>,
    /// What of the buffer is used up.
    used: usize,
    /// Where in the file the unused part begins.
    at: u64,
}

impl Window<'_, '_> {
    /// What follows: so many bytes at least, fewer only if the file ends with them.
    fn have(&mut self, len: usize) -> Result<&[u8]> {
        let have = self.buffer.len() - self.used;
        if have < len {
            self.buffer.drain(..self.used);
            self.used = 0;
            let more = CHUNK.max(len - have);
            self.buffer.resize(have + more, 0);
            let room = self.buffer.get_mut(have..).unwrap_or_default();
            let n = self.file.read_at(room, self.at + have as u64)?;
            self.buffer.truncate(have + n);
        }
        Ok(self.buffer.get(self.used..).unwrap_or_default())
    }

    fn skip(&mut self, len: usize) {
        self.used += len;
        self.at += len as u64;
    }

    /// Goes on at an offset that is not before this one.
    fn seek(&mut self, at: u64) {
        let ahead = usize::try_from(at - self.at).unwrap_or(usize::MAX);
        self.used = self.used.saturating_add(ahead).min(self.buffer.len());
        if self.used == self.buffer.len() {
            self.buffer.clear();
            self.used = 0;
        }
        self.at = at;
    }

    /// Skips to behind the next newline, or to the end.
    fn skip_line(&mut self) -> Result<()> {
        loop {
            let bytes = self.have(1)?;
            let (found, len) = (memchr(b'\n', bytes), bytes.len());
            self.skip(found.map_or(len, |at| at + 1));
            if found.is_some() || len == 0 {
                return Ok(());
            }
        }
    }

    /// Goes to the next From_ line behind a newline, or to the end of the file; returns where what is before it ends.
    fn skip_text(&mut self) -> Result<u64> {
        loop {
            let at = self.at;
            let bytes = self.have(AHEAD)?;
            let ended = bytes.len() < AHEAD;
            // A From_ line needs what is ahead of it to be seen; a CR belongs to the newline.
            let sure = bytes.len() - if ended { 0 } else { AHEAD - 2 };
            let is_from = |&at: &usize| {
                let line = bytes.get(at + 1..).unwrap_or_default();
                from_line::parse(line).is_some()
            };
            let mut candidates = memmem::find_iter(bytes, b"\nFrom ").take_while(|&at| at < sure);
            let (text, next) = match candidates.find(is_from) {
                Some(at) => (at, at + 1),
                None if ended => {
                    let newline = bytes.strip_suffix(b"\n").unwrap_or(bytes);
                    (newline.len(), bytes.len())
                }
                None => {
                    // A CR that is left behind would not be seen to be one.
                    let sure = sure - 1;
                    self.skip(sure);
                    continue;
                }
            };
            let text = bytes.get(..text).unwrap_or_default();
            let newline = next > text.len();
            let text = text.strip_suffix(b"\r").filter(|_| newline).unwrap_or(text);
            let end = at + text.len() as u64;
            self.skip(next);
            return Ok(end);
        }
    }

    /// How many bytes the header has that begins here: up to the empty line, with that; or to where the message ends.
    fn header_len(&mut self) -> Result<usize> {
        let mut wanted = AHEAD;
        loop {
            let bytes = self.have(wanted)?;
            let ended = bytes.len() < wanted;
            let mut len = 0;
            for line in bytes.split_inclusive(|&b| b == b'\n') {
                let rest = bytes.get(len..).unwrap_or_default();
                if !ended && (rest.len() < AHEAD || !line.ends_with(b"\n")) {
                    break;
                }
                if len > 0 && from_line::parse(rest).is_some() {
                    return Ok(len);
                }
                len += line.len();
                if matches!(line, b"\n" | b"\r\n") {
                    return Ok(len);
                }
            }
            if ended || wanted >= LONGEST_HEADER + AHEAD {
                return Ok(len);
            }
            wanted = (bytes.len() * 2).min(LONGEST_HEADER + AHEAD);
        }
    }
}

/// Whether a file that begins so is an mbox: empty, or with a From_ line somewhere in these bytes.
pub fn is_mbox(start: &[u8]) -> bool {
    let lines = memmem::find_iter(start, b"\nFrom ").filter_map(|at| start.get(at + 1..));
    let mut lines = std::iter::once(start).chain(lines);
    start.trim_ascii().is_empty() || lines.any(|line| from_line::parse(line).is_some())
}

/// Finds all messages of a file and gives each to `take`, until that has an error.
pub fn split(file: &File<'_>, mut take: impl FnMut(Part) -> Result<()>) -> Result<()> {
    let mut window = Window {
        file,
        buffer: Vec::new(),
        used: 0,
        at: 0,
    };
    // Empty lines before all are nobody's.
    while matches!(window.have(1)?.first(), Some(b'\n' | b'\r')) {
        window.skip(1);
    }
    while !window.have(1)?.is_empty() {
        let received = from_line::parse(window.have(AHEAD)?);
        if received.is_some() {
            window.skip_line()?;
        }
        take(part(&mut window, received)?)?;
    }
    Ok(())
}

/// The message that begins here. Leaves the window at the next From_ line, or at the end.
fn part(window: &mut Window<'_, '_>, received: Option<Received>) -> Result<Part> {
    let start = window.at;
    // What has no From_ line is left as it is.
    let len = match received {
        Some(_) => window.header_len()?,
        None => 0,
    };
    let mut header = window.have(len)?.get(..len).unwrap_or_default().to_vec();
    let mut own = strip(&header);
    let mut body = start + len as u64;
    // The newline of the header's last line may be the one before a From_ line.
    window.skip(len - newline(&header));
    let claimed = own.content_length.and_then(|n| body.checked_add(n));
    let end = match claimed {
        Some(end) if is_end(window.file, end)? => {
            window.seek(end);
            let next = window.have(2)?;
            let newline = if next.starts_with(b"\r\n") { 2 } else { 1 };
            let newline = newline.min(next.len());
            window.skip(newline);
            end
        }
        _ => window.skip_text()?,
    };
    if end < body {
        header.truncate(header.len() - (body - end) as usize);
        own = strip(&header);
        body = end;
    }
    let mut hash = Sha256::new();
    hash.update(&own.header);
    let mut buffer = vec![0; CHUNK.min(usize::try_from(end - body).unwrap_or(CHUNK))];
    let mut at = body;
    while at < end && !buffer.is_empty() {
        buffer.truncate(usize::try_from(end - at).unwrap_or(CHUNK));
        let n = window.file.read_at(&mut buffer, at)?;
        hash.update(buffer.get(..n).unwrap_or_default());
        at += n as u64;
        if n < buffer.len() {
            break;
        }
    }
    Ok(Part {
        header: start,
        body,
        end,
        received,
        size: own.header.len() as u64 + (end - body),
        own,
        hash: hash.finalize().into(),
    })
}

/// Bytes of the newline at the end of some text.
fn newline(text: &[u8]) -> usize {
    match text {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    }
}

/// Whether a message may end here: a newline with a From_ line behind it follows, or the end of the file.
fn is_end(file: &File<'_>, at: u64) -> Result<bool> {
    if at > file.stat().size {
        return Ok(false);
    }
    let mut ahead = [0; AHEAD];
    let len = file.read_at(&mut ahead, at)?;
    let ahead = ahead.get(..len).unwrap_or_default();
    Ok(match ahead {
        b"" | b"\n" | b"\r\n" => true,
        [b'\n', line @ ..] | [b'\r', b'\n', line @ ..] => from_line::parse(line).is_some(),
        _ => false,
    })
}

#[cfg(test)]
mod tests;
