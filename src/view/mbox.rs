//! A folder as one mbox file, made on demand: its exact size before it is read, and any range of it.
//!
//! Each message's length in the mbox is learned once by reading it and kept in the index; the prefix sums of those
//! lengths are the [`Layout`]. A range then touches only its own messages: one whose bytes need no change is read in
//! place, another is rendered. The stored file may not be what was measured (a damaged disk, a forged index): then the
//! answer is an error, never a shifted or short mbox.

mod size;

pub use size::KnownMbox;

use super::View;
use super::content::{self, Encoding};
use super::listing::Listing;
use crate::disk::stop::{self, Stop};
use crate::error::{Error, Kind, Result};
use crate::message::mboxrd::{self, BodySize, FlagLines, Renderer, TAIL};
use crate::store::{ReadAhead, Store, Stored};
use std::sync::{Arc, Mutex};

/// What a message that cannot be decoded is replaced by says.
pub const REASON: &str =
    "the stored message is damaged, or encoded in a way that is not known here";

/// A compressed message, decoded, by its position in the listing.
pub type Decoded<'a> = dyn Fn(u32) -> Result<Arc<Vec<u8>>> + 'a;

/// How the body of an entry is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// The stored bytes; with a newline behind them if they end without one.
    Verbatim {
        newline: bool,
    },
    Rendered,
    /// In place of a message that can't be decoded.
    Placeholder,
}

/// One message in the mbox.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Position in the listing.
    message: u32,
    body: Body,
    /// Where the entry ends in the mbox.
    end: u64,
}

/// Where each message is in the mbox.
#[derive(Debug)]
pub struct Layout {
    mode: FlagLines,
    entries: Vec<Entry>,
    /// Nothing in it stands for a message that may be readable another time.
    settled: bool,
    /// Renderings that stopped in the middle of a message and may go on from there: one for each of the readers that
    /// are likely to be at work at once.
    resumable: Mutex<Vec<Resumable>>,
}

/// A rendering of one message, to be continued.
#[derive(Debug)]
struct Resumable {
    message: u32,
    renderer: Renderer,
    /// How much of the stored message has been fed.
    fed: u64,
    /// Rendered bytes not given out yet; they end where `fed` ends.
    pending: Vec<u8>,
    /// How much of the body has been given out.
    given: u64,
}

/// How much of a message is asked of the disk before it is wanted; of a longer one, reading goes on well by itself.
const REACH: u64 = 1 << 20;

/// How far it is looked for the next message to be measured.
const MOST_LOOKED_AT: usize = 64;

/// Renderings to be continued that are kept.
const MOST_RESUMABLE: usize = 4;

/// Where the bytes of a message come from.
enum Plain<'a> {
    Stored(&'a Stored<'a>),
    Decoded(&'a [u8]),
}

impl Plain<'_> {
    /// Feeds the message from `offset` on, in chunks, until its end or until `feed` has enough and returns false.
    fn stream(&self, offset: u64, mut feed: impl FnMut(&[u8]) -> bool) -> Result<()> {
        match self {
            Self::Stored(stored) => content::stream(stored, offset, feed),
            Self::Decoded(message) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let rest = message.get(start..).unwrap_or_default();
                rest.chunks(1 << 18).all(&mut feed);
                Ok(())
            }
        }
    }
}

impl Layout {
    /// Takes out the rendering of a message that is the furthest not beyond `start`.
    fn resume(&self, message: u32, start: u64) -> Option<Resumable> {
        let mut left = self.resumable.lock().ok()?;
        let fits = left.iter().enumerate();
        let fits = fits.filter(|(_, r)| r.message == message && r.given <= start);
        let (nearest, _) = fits.max_by_key(|(_, r)| r.given)?;
        Some(left.remove(nearest))
    }

    fn keep(&self, state: Resumable) {
        if let Ok(mut left) = self.resumable.lock() {
            if left.len() >= MOST_RESUMABLE {
                left.remove(0);
            }
            left.push(state);
        }
    }

    /// Size of the mbox in bytes.
    pub fn size(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.end)
    }

    /// Bytes of memory in use.
    pub fn weight(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }
}

impl View {
    /// Works out the mbox of a folder: reads every message that has never been measured.
    pub fn lay_out(&self, store: &dyn Store, folder: &[u8], listing: &Listing) -> Result<Layout> {
        let messages = listing.messages();
        let mailbox = store.path();
        let mut kept = self.kept_sizes(mailbox, listing);
        let files = store.files(folder);
        let mut ahead = ReadAhead::new(&*files, messages, REACH);
        let mut order: Vec<u32> = (0..messages.len() as u32).collect();
        let sort_key = |p: u32| {
            messages
                .get(p as usize)
                .map(|m| (m.received.secs, messages.store_name(m), m.new, m.size))
        };
        order.sort_by(|&a, &b| sort_key(a).cmp(&sort_key(b)));

        let mut entries = Vec::with_capacity(order.len());
        let mut end = 0;
        let mut settled = !messages.provisional;
        let stop = stop::current();
        for (i, &position) in order.iter().enumerate() {
            go_on(&stop)?;
            let at = position as usize;
            let Some(item) = listing.get(at) else {
                continue;
            };
            let body = match item.body.or_else(|| kept.remove(&position)) {
                _ if item.encoding.is_lost() => None,
                Some(body) => Some(body),
                None => {
                    let next = order.iter().skip(i + 1).take(MOST_LOOKED_AT);
                    let next = next.filter(|&&at| !size::is_measured(listing, at, &kept));
                    let stored = ahead.open(at, next.map(|&at| at as usize));
                    let body = self.measure(stored, mailbox, listing, at)?;
                    settled &= body.is_some();
                    body
                }
            };
            end += self.entry_len(&item, body.as_ref());
            entries.push(Entry {
                message: position,
                body: body.map_or(Body::Placeholder, |body| self.kind_of(&body)),
                end,
            });
        }
        let layout = Layout {
            mode: self.flags,
            entries,
            settled,
            resumable: Mutex::default(),
        };
        if layout.settled {
            self.keep_size(store, folder, layout.size(), listing)?;
        }
        Ok(layout)
    }

    fn kind_of(&self, body: &BodySize) -> Body {
        if body.verbatim(self.flags) {
            Body::Verbatim {
                newline: body.len(self.flags) != body.stored,
            }
        } else {
            Body::Rendered
        }
    }

    /// Reads up to `len` bytes of the mbox from `offset` on; fewer only at its end. `decoded` gives the message at a
    /// position of the listing that is stored compressed.
    #[allow(clippy::too_many_arguments)] // which folder, and which part of it
    pub fn read_mbox(
        &self,
        store: &dyn Store,
        folder: &[u8],
        listing: &Listing,
        layout: &Layout,
        decoded: &Decoded<'_>,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>> {
        let to = offset.saturating_add(len as u64).min(layout.size());
        let mut out = Vec::with_capacity(usize::try_from(to.saturating_sub(offset)).unwrap_or(0));
        let files = store.files(folder);
        let mut ahead = ReadAhead::new(&*files, listing.messages(), REACH);
        let mut at = offset;
        let first = layout.entries.partition_point(|entry| entry.end <= offset);
        for (i, entry) in layout.entries.iter().enumerate().skip(first) {
            if at >= to {
                break;
            }
            let start = if i == 0 {
                0
            } else {
                layout.entries.get(i - 1).map_or(0, |before| before.end)
            };
            let (from, until) = (at - start, to.min(entry.end) - start);
            // Those of this reading that are read from the store as they are.
            let rest = layout.entries.get(i..).unwrap_or_default();
            let next = rest.iter().zip(rest.iter().skip(1));
            let next = next.take_while(|(before, _)| before.end < to);
            let next = next.map(|(_, next)| next.message as usize).filter(|&at| {
                let item = listing.get(at);
                item.is_some_and(|item| item.encoding == Encoding::Plain)
            });
            let mut open = || ahead.open(entry.message as usize, next.clone());
            self.read_entry(
                &mut open,
                listing,
                layout,
                decoded,
                entry,
                entry.end - start,
                from..until,
                &mut out,
            )?;
            at = to.min(entry.end);
        }
        if out.len() as u64 == to.saturating_sub(offset) {
            Ok(out)
        } else {
            Err(changed("the mbox"))
        }
    }

    /// Appends the bytes of one entry in a range.
    #[allow(clippy::too_many_arguments)] // what an entry is, and which part of it
    fn read_entry<'s>(
        &self,
        open: &mut dyn FnMut() -> Result<Stored<'s>>,
        listing: &Listing,
        layout: &Layout,
        decoded: &Decoded<'_>,
        entry: &Entry,
        len: u64,
        range: std::ops::Range<u64>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let Some(item) = listing.get(entry.message as usize) else {
            return Ok(());
        };
        let head = mboxrd::head(layout.mode, item.stored.received.secs, item.stored.flags);
        let body_start = head.len() as u64;
        let body_end = len - TAIL.len() as u64;
        append(out, &head, 0, &range);
        let body = range.start.clamp(body_start, body_end) - body_start
            ..range.end.clamp(body_start, body_end) - body_start;
        if !body.is_empty() {
            let messages = listing.messages();
            let locator = messages.locator(item.stored);
            match entry.body {
                Body::Placeholder => append(out, &mboxrd::placeholder(REASON), 0, &body),
                Body::Rendered if item.encoding == Encoding::Encoded => {
                    let plain = decoded(entry.message)?;
                    if plain.len() as u64 != item.size {
                        return Err(changed(&String::from_utf8_lossy(locator)));
                    }
                    render(&Plain::Decoded(&plain), layout, entry.message, &body, out)?;
                }
                Body::Rendered => {
                    let stored = open()?;
                    if stored.size() != item.size {
                        return Err(changed(&String::from_utf8_lossy(locator)));
                    }
                    render(&Plain::Stored(&stored), layout, entry.message, &body, out)?;
                }
                Body::Verbatim { newline } => {
                    let size = body_end - body_start - u64::from(newline);
                    let wanted = body.start.min(size)..body.end.min(size);
                    if item.encoding == Encoding::Encoded {
                        append(out, &decoded(entry.message)?, 0, &wanted);
                    } else if !wanted.is_empty() {
                        let stored = open()?;
                        if stored.size() != size {
                            return Err(changed(&String::from_utf8_lossy(locator)));
                        }
                        let have = out.len();
                        out.resize(
                            have + usize::try_from(wanted.end - wanted.start).unwrap_or(0),
                            0,
                        );
                        let n = stored
                            .read_at(out.get_mut(have..).unwrap_or_default(), wanted.start)?;
                        out.truncate(have + n);
                    }
                    append(
                        out,
                        b"\n",
                        size,
                        &(body.start..body.end.min(size + u64::from(newline))),
                    );
                }
            }
        }
        append(out, TAIL, body_end, &range);
        Ok(())
    }
}

/// Renders a range of a message's body, going on where the last range ended if it can.
fn render(
    source: &Plain<'_>,
    layout: &Layout,
    message: u32,
    range: &std::ops::Range<u64>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let mut state = layout
        .resume(message, range.start)
        .unwrap_or_else(|| Resumable {
            message,
            renderer: Renderer::new(layout.mode),
            fed: 0,
            pending: Vec::new(),
            given: 0,
        });
    let wanted = range.end - range.start;
    let have = out.len() as u64;
    let take = |state: &mut Resumable, out: &mut Vec<u8>| {
        let skip = (range.start.saturating_sub(state.given)).min(state.pending.len() as u64);
        state.given += skip;
        let rest = state.pending.get(skip as usize..).unwrap_or_default();
        let more = (wanted - (out.len() as u64 - have)).min(rest.len() as u64);
        out.extend_from_slice(rest.get(..more as usize).unwrap_or_default());
        state.given += more;
        state.pending.drain(..(skip + more) as usize);
        out.len() as u64 - have == wanted
    };
    if !take(&mut state, out) {
        let mut done = false;
        source.stream(state.fed, |chunk| {
            state.fed += chunk.len() as u64;
            state.renderer.feed(chunk, &mut state.pending);
            done = take(&mut state, out);
            !done
        })?;
        if !done {
            state.renderer.finish(&mut state.pending);
            take(&mut state, out);
            return Ok(());
        }
    }
    layout.keep(state);
    Ok(())
}

/// Appends what of `bytes`, which begin at `start`, lies in the range.
fn append(out: &mut Vec<u8>, bytes: &[u8], start: u64, range: &std::ops::Range<u64>) {
    let clip = |at: u64| {
        usize::try_from(at.saturating_sub(start))
            .unwrap_or(usize::MAX)
            .min(bytes.len())
    };
    out.extend_from_slice(
        bytes
            .get(clip(range.start)..clip(range.end))
            .unwrap_or_default(),
    );
}

/// An error if measuring is to stop.
fn go_on(stop: &Stop) -> Result<()> {
    match stop.is_set() {
        true => Err(Error::new(
            Kind::Unreadable,
            "given up before all was measured",
        )),
        false => Ok(()),
    }
}

fn changed(what: &str) -> Error {
    Error::new(
        Kind::Altered,
        format!("{what}: the stored message is not what it was when it was measured"),
    )
}
