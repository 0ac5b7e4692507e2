//! The rows of a listing, in memory and as the index keeps them.

use super::{Difference, Trace};
use crate::index::{Pack, Part};
use crate::message::mboxrd::BodySize;
use crate::store::{
    Change, Messages, Patchwork, Placed, Source, assemble, behind, patch, side_by_side,
};
use crate::view::content::Encoding;
use crate::view::name;
use std::io::{self, Write};

/// One message as it is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    /// Where the name begins among all names.
    pub name: u32,
    pub name_len: u16,
    pub encoding: Encoding,
    pub body: BodyForm,
    /// Exact size of what reading gives.
    pub size: u64,
}

impl Placed for Shown {
    fn text(&self) -> (u32, u16) {
        (self.name, self.name_len)
    }

    fn moved(self, name: u32) -> Self {
        Self { name, ..self }
    }
}

/// What a message's body in an mbox is, as far as a byte can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyForm {
    /// Not measured, or to be looked up.
    Unknown,
    /// The stored bytes, whatever the flag lines.
    Verbatim,
    /// The stored bytes and a newline, whatever the flag lines.
    Newline,
}

impl BodyForm {
    const ALL: [Self; 3] = [Self::Unknown, Self::Verbatim, Self::Newline];

    pub fn of(body: Option<&BodySize>) -> Self {
        let Some(body) = body else {
            return Self::Unknown;
        };
        let of = |form: Self| form.size(body.stored).as_ref() == Some(body);
        Self::ALL
            .into_iter()
            .find(|form| of(*form))
            .unwrap_or(Self::Unknown)
    }

    /// The sizes of a body of this form.
    pub fn size(self, stored: u64) -> Option<BodySize> {
        let len = match self {
            Self::Unknown => return None,
            Self::Verbatim => stored,
            Self::Newline => stored + 1,
        };
        Some(BodySize {
            stored,
            none: len,
            status: len,
            verbatim_none: true,
            verbatim_status: true,
        })
    }
}

/// What a listing knows of its messages, in the order of their identities.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    pub messages: Messages,
    pub shown: Vec<Shown>,
    /// The names, end to end.
    pub names: String,
}

/// Bytes of what is shown of one message in an encoded listing, its name left out.
const SHOWN: usize = 12;

impl Rows {
    pub fn name(&self, shown: &Shown) -> &str {
        let start = shown.name as usize;
        self.names
            .get(start..start + usize::from(shown.name_len))
            .unwrap_or_default()
    }

    /// What is shown of the message at this position.
    pub fn trace(&self, at: usize) -> Option<Trace> {
        let (message, shown) = (self.messages.get(at)?, self.shown.get(at)?);
        Some(Trace {
            identity: self.messages.identity(message),
            name: self.name(shown).to_owned(),
            size: shown.size,
            stored: message.size,
            received: message.received,
            encoding: shown.encoding,
            body: shown.body.size(shown.size),
        })
    }

    /// The rows at these positions alone.
    pub fn only(&self, positions: &[u32]) -> Self {
        let mut some = Self {
            messages: self.messages.only(positions),
            ..Self::default()
        };
        for shown in positions.iter().filter_map(|&p| self.shown.get(p as usize)) {
            let name = some.names.len() as u32;
            some.names.push_str(self.name(shown));
            some.shown.push(Shown { name, ..*shown });
        }
        some
    }

    /// The rows that a patchwork makes of several listings'; what holds for all messages is as in the last.
    pub fn assembled(listings: &[&Self], patchwork: &Patchwork) -> Option<Self> {
        let messages: Vec<&Messages> = listings.iter().map(|rows| &rows.messages).collect();
        let messages = Messages::assembled(&messages, patchwork)?;
        let parts = listings
            .iter()
            .map(|all| (&*all.shown, all.names.as_bytes()));
        let (shown, names) = assemble(&parts.collect::<Vec<_>>(), patchwork)?;
        let names = String::from_utf8(names).ok()?;
        Some(Self {
            messages,
            shown,
            names,
        })
    }

    /// Becomes what a [patchwork](patch) makes of these rows and of `news`; as they were, and false, if that is rather to be
    /// put together anew.
    #[must_use]
    pub fn patch(&mut self, patchwork: &Patchwork, news: &Self) -> bool {
        let (all, used) = self.messages.name_bytes();
        let is_tight = all / 2 <= used;
        let starts = side_by_side(&[self.names.len(), news.names.len()], self.names.len());
        let Some(&[_, start]) = starts.as_deref().filter(|_| is_tight) else {
            return false;
        };
        if !self.messages.patch(patchwork, &news.messages) {
            return false;
        }
        patch(&mut self.shown, patchwork, &behind(&news.shown, start));
        self.names.push_str(&news.names);
        true
    }

    /// Whether the row at a position is the one that other rows have at theirs.
    pub fn has_row(&self, at: usize, others: &Self, there: usize) -> bool {
        let row = |rows: &Self, at: usize| {
            let (message, shown) = (rows.messages.get(at)?, rows.shown.get(at)?);
            Some((*message, *shown))
        };
        let (Some((message, shown)), Some((other, other_shown))) =
            (row(self, at), row(others, there))
        else {
            return false;
        };
        message.is_but_for_its_place(&other)
            && (shown.encoding, shown.body, shown.size)
                == (other_shown.encoding, other_shown.body, other_shown.size)
            && self.messages.locator(&message) == others.messages.locator(&other)
            && self.name(&shown) == others.name(&other_shown)
    }

    /// Whether a name was made of the message alone, and not longer for a clash.
    pub fn has_plain_name(&self, shown: &Shown) -> bool {
        name::id_in(self.name(shown)).is_some_and(|id| id.len() == name::ID_CHARS)
    }

    /// Whether they hold for every date on which the folder's stamp is the same.
    pub fn is_settled(&self) -> bool {
        !self.messages.provisional
    }

    /// Bytes of memory in use.
    pub fn weight(&self) -> usize {
        self.messages.weight() + self.names.capacity() + self.shown.capacity() * size_of::<Shown>()
    }

    /// Writes the rows as bytes that [`decode`](Self::decode) reads.
    pub fn encode(&self, out: &mut dyn Write) -> io::Result<()> {
        self.messages.encode(out)?;
        for shown in &self.shown {
            out.write_all(&shown.name_len.to_le_bytes())?;
            out.write_all(&[shown.encoding.to_byte(), shown.body as u8])?;
            out.write_all(&shown.size.to_le_bytes())?;
        }
        // The names in memory may be in another order, with some among them that no row has any more.
        let mut names = self.shown.iter().map(|shown| self.name(shown));
        names.try_for_each(|name| out.write_all(name.as_bytes()))
    }

    /// Writes them as what they add to the listing that is kept under `from` and has the messages `before`, which a change makes
    /// one of which these rows are the news.
    pub fn encode_since(
        &self,
        (from, before): (&[u8], &Messages),
        change: &Change,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        out.write_all(&(from.len() as u32).to_le_bytes())?;
        out.write_all(from)?;
        out.write_all(&before.sum().to_le_bytes())?;
        for positions in [&change.gone, &change.came] {
            out.write_all(&(positions.len() as u32).to_le_bytes())?;
            for position in positions {
                out.write_all(&position.to_le_bytes())?;
            }
        }
        self.encode(out)
    }

    /// Also says how they differ from those that they were added to last; `None` if the bytes are not what [`encode`](Self::encode)
    /// makes, and [`encode_since`](Self::encode_since).
    pub fn decode(pack: &Pack) -> Option<(Self, Option<Difference>)> {
        let whole = Self::decode_one(&mut source(&pack.whole)?)?;
        if pack.added.is_empty() {
            return Some((whole, None));
        }
        let mut patchwork = Patchwork::whole(whole.messages.len());
        let mut sum = whole.messages.sum();
        let mut listings = vec![whole];
        let mut difference = None;
        for (bytes, of) in pack.added.iter().zip(1..) {
            let added = Added::decode(bytes)?;
            if sum != added.sum {
                return None;
            }
            let gone = || patchwork.pick(&added.change.gone);
            for (of, at) in gone() {
                let gone = listings.get(of)?.messages.get(at)?;
                sum = sum.wrapping_sub(gone.sum());
            }
            if of == pack.added.len() {
                let gone = gone().map(|(of, at)| listings.get(of)?.trace(at));
                let gone = gone.collect::<Option<Vec<Trace>>>()?;
                let came = &added.change.came;
                difference = Some(Difference::new(added.from, gone, came, &added.news));
            }
            sum = sum.wrapping_add(added.news.messages.sum());
            patchwork = patchwork.changed(of, &added.change, added.news.messages.len())?;
            listings.push(added.news);
        }
        if let [whole, news] = listings.as_mut_slice()
            && whole.patch(&patchwork, news)
        {
            return Some((std::mem::take(whole), difference));
        }
        let listings: Vec<&Self> = listings.iter().collect();
        let rows = Self::assembled(&listings, &patchwork)?;
        Some((rows, difference))
    }

    fn decode_one(bytes: &mut Source<'_>) -> Option<Self> {
        let messages = Messages::decode(bytes)?;
        let mut shown = bytes.room(messages.len(), SHOWN)?;
        let mut start = 0u32;
        for _ in 0..messages.len() {
            let name_len = u16::from_le_bytes(bytes.take()?);
            let [encoding, body] = bytes.take()?;
            let size = u64::from_le_bytes(bytes.take()?);
            shown.push(Shown {
                name: start,
                name_len,
                encoding: Encoding::from_byte(encoding)?,
                body: *BodyForm::ALL.get(usize::from(body))?,
                size,
            });
            start = start.checked_add(u32::from(name_len))?;
        }
        let names = String::from_utf8(bytes.take_many(start as usize)?).ok()?;
        if !bytes.is_at_end() {
            return None;
        }
        Some(Self {
            messages,
            shown,
            names,
        })
    }
}

/// What [`Rows::encode_since`] has written.
struct Added {
    from: Vec<u8>,
    /// The [sum](Messages::sum) of the messages that this is added to.
    sum: u64,
    change: Change,
    news: Rows,
}

impl Added {
    fn decode(part: &Part) -> Option<Self> {
        let mut bytes = source(part)?;
        let from = u32::from_le_bytes(bytes.take()?) as usize;
        let from = bytes.take_many(from)?;
        let sum = u64::from_le_bytes(bytes.take()?);
        let mut positions = || {
            let count = u32::from_le_bytes(bytes.take()?) as usize;
            let positions = bytes.take_many(count.checked_mul(4)?)?;
            let (positions, _) = positions.as_chunks();
            Some(positions.iter().map(|p| u32::from_le_bytes(*p)).collect())
        };
        let (gone, came) = (positions()?, positions()?);
        Some(Self {
            from,
            sum,
            change: Change { gone, came },
            news: Rows::decode_one(&mut bytes)?,
        })
    }
}

fn source(part: &Part) -> Option<Source<'_>> {
    Some(Source::new(part.reader()?, part.plain_size()))
}
