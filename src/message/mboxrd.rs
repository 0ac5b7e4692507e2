//! One message as an entry of an mbox file (mboxrd, LF): its exact size, and its bytes.
//!
//! An mbox made on demand must tell its exact size before it is read, and give any range of it. So one state machine
//! does both: [`Renderer`] writes the body to a [`Sink`], and [`Measure`] is that with sinks that only count.
//!
//! ```text
//! From MAILER-DAEMON <asctime, UTC>      head: the From_ line
//! Status: RO                             head: with FlagLines::Status
//! X-Status: AF                           head: with FlagLines::Status, if there is anything to say
//! <message>                              body
//!                                        TAIL: an empty line
//! ```
//!
//! In the body every line of `>`s and `From ` gets one more `>`, a CR right before an LF is dropped, and a final
//! newline is added where there is none; an empty message stays empty. With [`FlagLines::Status`] the header's own
//! `Status` and `X-Status` fields are dropped with their continuation lines, or a sender could forge the flags. The
//! header ends at the first empty line.
//!
//! Invariants: where the chunks are cut makes no difference; no line is ever held, only its undecided first bytes
//! (at most [`LONGEST_UNDECIDED`]); the time is linear.

mod flag_fields;
mod quoter;

pub use flag_fields::LONGEST_UNDECIDED;

use super::Flags;
use chrono::{DateTime, Datelike, Timelike, Utc};
use flag_fields::{Header, Line, Verdict};
use memchr::memchr;
use quoter::Quoter;

/// How an mbox entry tells a message's flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FlagLines {
    /// Not at all: nothing is added to a message or dropped.
    None,
    /// In `Status:` and `X-Status:` lines, as mail programs have kept them in mbox files since mailx.
    #[default]
    Status,
}

/// The end of every entry: with the body's final newline, the empty line that readers want before a From_ line.
pub const TAIL: &[u8] = b"\n";

/// 1000-01-01 and 9999-12-31: the From_ line has one length because every year has four digits.
const FIRST: i64 = -30_610_224_000;
const LAST: i64 = 253_402_300_799;

/// What stands before a message's body: the From_ line and the flag lines.
///
/// `internaldate` is in seconds since 1970; a year of less or more than four digits is shown as the nearest with four.
pub fn head(mode: FlagLines, internaldate: i64, flags: Flags) -> Vec<u8> {
    let date =
        DateTime::<Utc>::from_timestamp(internaldate.clamp(FIRST, LAST), 0).unwrap_or_default();
    let mut head = from_line(date).into_bytes();
    if mode == FlagLines::Status {
        head.extend_from_slice(if flags.seen() {
            b"Status: RO\n"
        } else {
            b"Status: O\n"
        });
        let mut letters = x_status(flags).peekable();
        if letters.peek().is_some() {
            head.extend_from_slice(b"X-Status: ");
            head.extend(letters);
            head.push(b'\n');
        }
    }
    head
}

/// With the date as asctime(3) writes it. Made for every message of every folder that is read as an mbox, so without a
/// pattern that has to be read each time.
fn from_line(date: DateTime<Utc>) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    format!(
        "From MAILER-DAEMON {} {} {:>2} {:02}:{:02}:{:02} {:04}\n",
        date.weekday(),
        MONTHS.get(date.month0() as usize).unwrap_or(&"Jan"),
        date.day(),
        date.hour(),
        date.minute(),
        date.second(),
        date.year()
    )
}

/// Length of [`head`], whatever the date, in bytes.
pub fn head_len(mode: FlagLines, flags: Flags) -> u64 {
    const FROM_LINE: usize = "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n".len();
    let lines = match mode {
        FlagLines::None => 0,
        FlagLines::Status => {
            let status = "Status: O\n".len() + usize::from(flags.seen());
            match x_status(flags).count() {
                0 => status,
                n => status + "X-Status: \n".len() + n,
            }
        }
    };
    (FROM_LINE + lines) as u64
}

fn x_status(flags: Flags) -> impl Iterator<Item = u8> {
    [
        (flags.answered(), b'A'),
        (flags.flagged(), b'F'),
        (flags.draft(), b'T'),
        (flags.deleted(), b'D'),
    ]
    .into_iter()
    .filter_map(|(set, letter)| set.then_some(letter))
}

/// The message that takes the place of one that cannot be decoded, so that the rest of the folder can still be had.
///
/// The same reason gives the same bytes; they need no quoting. Of the reason, 200 characters of printable ASCII.
pub fn placeholder(reason: &str) -> Vec<u8> {
    let reason: String = reason
        .chars()
        .take(200)
        .map(|c| if matches!(c, ' '..='~') { c } else { '?' })
        .collect();
    let reason = reason.trim();
    format!(
        "From: Mail Time Machine <MAILER-DAEMON@localhost>\n\
         Subject: A message that cannot be read\n\
         X-Mailtm-Unreadable: {reason}\n\
         \n\
         The message in this place is in the backup, but it cannot be decoded:\n\
         {reason}\n\
         It may be intact in the backup of another date; otherwise ask the\n\
         administrator of the mail server.\n"
    )
    .into_bytes()
}

/// Where rendered bytes go, in order.
pub trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count(pub u64);

impl Sink for Count {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len() as u64;
    }
}

/// Keeps the bytes of a range.
#[derive(Clone, Debug)]
pub struct Window {
    /// Bytes still to come before the first one that is kept.
    skip: u64,
    /// Bytes still to be kept.
    want: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// Keeps the bytes at `from..to`, counted from the first that is put.
    pub fn new(from: u64, to: u64) -> Self {
        Self {
            skip: from,
            want: to.saturating_sub(from),
            bytes: Vec::new(),
        }
    }

    /// Nothing that is still to come would be kept.
    pub fn is_full(&self) -> bool {
        self.want == 0
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl Sink for Window {
    fn put(&mut self, bytes: &[u8]) {
        let skipped = usize::try_from(self.skip).map_or(bytes.len(), |n| n.min(bytes.len()));
        self.skip -= skipped as u64;
        let bytes = &bytes[skipped..];
        let kept = usize::try_from(self.want).map_or(bytes.len(), |n| n.min(bytes.len()));
        self.want -= kept as u64;
        self.bytes.extend_from_slice(&bytes[..kept]);
    }
}

/// Exact lengths of a message's body in an mbox entry: without head and [`TAIL`], with the final newline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BodySize {
    /// Bytes of the stored message, decoded.
    pub stored: u64,
    /// Bytes of the body with [`FlagLines::None`].
    pub none: u64,
    /// Bytes of the body with [`FlagLines::Status`].
    pub status: u64,
    /// With [`FlagLines::None`], the body is the stored message, but for a final newline if it is one byte longer.
    pub verbatim_none: bool,
    /// The same with [`FlagLines::Status`].
    pub verbatim_status: bool,
}

impl BodySize {
    /// Length of the body, in bytes.
    pub fn len(&self, mode: FlagLines) -> u64 {
        match mode {
            FlagLines::None => self.none,
            FlagLines::Status => self.status,
        }
    }

    /// The body is empty in this mode: so is the message, or it has nothing but dropped lines.
    pub fn is_empty(&self, mode: FlagLines) -> bool {
        self.len(mode) == 0
    }

    /// The body is the stored message, but for a final newline if it is one byte longer.
    pub fn verbatim(&self, mode: FlagLines) -> bool {
        match mode {
            FlagLines::None => self.verbatim_none,
            FlagLines::Status => self.verbatim_status,
        }
    }

    /// Length of the whole entry, in bytes.
    pub fn entry_len(&self, mode: FlagLines, flags: Flags) -> u64 {
        head_len(mode, flags) + self.len(mode) + TAIL.len() as u64
    }
}

/// Works out a [`BodySize`] from a message's bytes, fed in order, in one pass.
#[derive(Clone, Debug)]
pub struct Measure {
    stored: u64,
    none: (Quoter, Count),
    /// Until the header ends; from there on, both bodies are the same.
    status: (Renderer, Count),
    /// What both bodies share.
    shared: Count,
    header_changed: (bool, bool),
}

impl Default for Measure {
    fn default() -> Self {
        Self {
            stored: 0,
            none: (Quoter::default(), Count::default()),
            status: (Renderer::new(FlagLines::Status), Count::default()),
            shared: Count::default(),
            header_changed: (false, false),
        }
    }
}

impl Measure {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn feed(&mut self, chunk: &[u8]) {
        self.stored += chunk.len() as u64;
        let (quoter, none) = &mut self.none;
        let (renderer, status) = &mut self.status;
        let mut rest = chunk;
        if renderer.header.is_some() {
            let (header, body) = rest.split_at(renderer.feed_header(rest, status));
            quoter.feed(header, none);
            rest = body;
            if renderer.header.is_none() {
                self.header_changed = (quoter.changed, renderer.quoter.changed);
                quoter.changed = false;
            }
        }
        if renderer.header.is_none() {
            quoter.feed(rest, &mut self.shared);
        }
    }

    pub fn finish(mut self) -> BodySize {
        let (quoter, none) = &mut self.none;
        let (renderer, status) = &mut self.status;
        if renderer.header.is_some() {
            quoter.finish(none);
            renderer.finish(status);
            self.header_changed = (quoter.changed, renderer.quoter.changed);
            quoter.changed = false;
        } else {
            quoter.finish(&mut self.shared);
        }
        BodySize {
            stored: self.stored,
            none: none.0 + self.shared.0,
            status: status.0 + self.shared.0,
            verbatim_none: !self.header_changed.0 && !quoter.changed,
            verbatim_status: !self.header_changed.1 && !quoter.changed,
        }
    }
}

/// Writes the body of an mbox entry from a message's bytes, fed in order.
///
/// A clone goes on from where it was taken: one kept from time to time is a place to start from in a long message.
#[derive(Clone, Debug)]
pub struct Renderer {
    /// While in a header from which fields are dropped.
    header: Option<Header>,
    quoter: Quoter,
}

impl Renderer {
    pub fn new(mode: FlagLines) -> Self {
        Self {
            header: (mode == FlagLines::Status).then(Header::default),
            quoter: Quoter::default(),
        }
    }

    pub fn feed(&mut self, chunk: &[u8], out: &mut impl Sink) {
        let header = self.feed_header(chunk, out);
        self.quoter.feed(&chunk[header..], out);
    }

    /// The message ends here. The renderer is of no use afterwards.
    pub fn finish(&mut self, out: &mut impl Sink) {
        if let Some(header) = self.header.take() {
            self.quoter.feed(&header.held, out);
        }
        self.quoter.finish(out);
    }

    /// Renders what belongs to the header, and says how many bytes of the chunk that was.
    fn feed_header(&mut self, chunk: &[u8], out: &mut impl Sink) -> usize {
        let Some(header) = &mut self.header else {
            return 0;
        };
        let mut at = 0;
        // What is kept is handed on in long pieces, not by the line: this is where the present one starts.
        let mut kept = 0;
        while at < chunk.len() {
            if header.line == Line::Undecided {
                let verdict = header.decide(&chunk[at..]);
                if verdict == Verdict::Drop {
                    header.held.clear();
                    self.quoter.feed(&chunk[kept..at], out);
                    self.quoter.changed = true;
                    header.line = Line::Dropped;
                } else if verdict == Verdict::More {
                    self.quoter.feed(&chunk[kept..at], out);
                    header.held.extend_from_slice(&chunk[at..]);
                    return chunk.len();
                } else {
                    self.quoter.feed(&header.held, out);
                    header.held.clear();
                    header.line = Line::Kept;
                    if verdict == Verdict::End {
                        self.quoter.feed(&chunk[kept..at], out);
                        self.header = None;
                        return at;
                    }
                }
            }
            let dropped = header.line == Line::Dropped;
            at = match memchr(b'\n', &chunk[at..]) {
                Some(n) => {
                    header.line = Line::Undecided;
                    at + n + 1
                }
                None => chunk.len(),
            };
            if dropped {
                kept = at;
            }
        }
        self.quoter.feed(&chunk[kept..], out);
        chunk.len()
    }
}

#[cfg(test)]
mod tests;
