//! The messages of a folder as a store lists them, in memory and as bytes for the index.
//!
//! A [`Message`] is a row of fixed size. What has no fixed size is the folder's: the locators, one behind the other, and
//! the keywords, of which a message has one of the sets that occur.

use super::change::{Patchwork, Placed, assemble, behind, patch, side_by_side};
use crate::message::Flags;
use crate::time::Time;
use std::io::{self, BufRead, Read, Write};

/// One message as its folder lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    pub(super) name: u32,
    pub(super) name_len: u16,
    /// How much of the locator is the store name.
    pub(super) base_len: u16,
    /// In a Maildir's `new/`, not in `cur/`.
    pub new: bool,
    /// The store name occurs twice with different sizes, and this is the second one.
    pub twin: bool,
    pub flags: Flags,
    /// Which set of keywords it has; 0 is none.
    pub(super) keywords: u32,
    /// Size of the stored message in bytes, as the store keeps it: compressed, for example.
    pub size: u64,
    /// INTERNALDATE.
    pub received: Time,
    /// Of the stored file, where that is a file of its own; else 0.
    pub(super) inode: u64,
}

/// The messages of a folder in byte order of their identities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    pub(super) names: Vec<u8>,
    pub(super) rows: Vec<Message>,
    pub(super) keywords: Keywords,
    /// Symbolic links, FIFOs, devices and directories where a message should be.
    pub oddities: u64,
    /// Names of the first of them, for a warning; not kept when the listing is.
    pub odd_names: Vec<String>,
    /// Something could not be read that may be whole on a date when the folder's stamp is the same; not kept.
    pub provisional: bool,
    /// What is wrong with the folder's own files, and what comes of it, for people; not kept.
    pub damage: Option<String>,
}

impl Messages {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn get(&self, position: usize) -> Option<&Message> {
        self.rows.get(position)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Message> {
        self.rows.iter()
    }

    /// What the store finds the message by: a file name, in a Maildir. It begins with the store name.
    pub fn locator(&self, message: &Message) -> &[u8] {
        let start = message.name as usize;
        self.names
            .get(start..start + usize::from(message.name_len))
            .unwrap_or_default()
    }

    /// The name that the store knows the message by: the Maildir base name, the dbox GUID.
    pub fn store_name(&self, message: &Message) -> &[u8] {
        self.locator(message)
            .get(..usize::from(message.base_len))
            .unwrap_or_default()
    }

    /// The keywords that users gave the message, in the order in which the folder knows them.
    pub fn keywords(&self, message: &Message) -> impl Iterator<Item = &[u8]> {
        self.keywords.of(message.keywords)
    }

    /// The names of all keywords of the folder.
    pub fn keyword_names(&self) -> &[Vec<u8>] {
        &self.keywords.names
    }

    /// Whether the numbers of keywords mean others than in another listing.
    pub fn has_other_keywords(&self, other: &Self) -> bool {
        self.keywords != other.keywords
    }

    /// Which of the folder's keywords a message has, in order.
    pub fn keyword_numbers(&self, message: &Message) -> impl Iterator<Item = usize> {
        self.keywords.numbers(message.keywords)
    }

    /// The position of the message with this identity.
    pub fn position(&self, identity: &[u8]) -> Option<usize> {
        let compare = |message: &Message| match message.twin {
            true => self.identity(message).as_slice().cmp(identity),
            false => self.store_name(message).cmp(identity),
        };
        self.rows.binary_search_by(compare).ok()
    }

    /// The position of the message with this store name, or else that which it would have; where there are twins, of one
    /// among those that have it.
    pub fn place(&self, store_name: &[u8]) -> Result<usize, usize> {
        self.rows
            .binary_search_by(|message| self.store_name(message).cmp(store_name))
    }

    /// What the message is called in every snapshot. A twin is told apart by its size, behind a byte that no file
    /// name can have.
    pub fn identity(&self, message: &Message) -> Vec<u8> {
        let mut identity = self.store_name(message).to_vec();
        if message.twin {
            identity.extend_from_slice(format!("/{}", message.size).as_bytes());
        }
        identity
    }

    /// Whether another listing tells the same.
    pub fn equals(&self, other: &Self) -> bool {
        self.len() == other.len()
            && (self.oddities, &self.keywords) == (other.oddities, &other.keywords)
            && self
                .iter()
                .zip(other.iter())
                .all(|(a, b)| a.is_but_for_its_place(b) && self.locator(a) == other.locator(b))
    }

    /// The messages at these positions alone.
    pub fn only(&self, positions: &[u32]) -> Self {
        let mut some = Self {
            keywords: self.keywords.clone(),
            ..Self::default()
        };
        for message in positions.iter().filter_map(|&p| self.get(p as usize)) {
            let name = some.names.len() as u32;
            some.names.extend_from_slice(self.locator(message));
            some.rows.push(Message { name, ..*message });
        }
        some
    }

    /// The listing that a patchwork makes of several; `None` if they have other keywords than the last, which says what holds
    /// for all messages.
    pub fn assembled(listings: &[&Self], patchwork: &Patchwork) -> Option<Self> {
        let last = listings.last()?;
        if listings.iter().any(|other| other.keywords != last.keywords) {
            return None;
        }
        let parts = listings.iter().map(|all| (&*all.rows, &*all.names));
        let (rows, names) = assemble(&parts.collect::<Vec<_>>(), patchwork)?;
        Some(Self {
            names,
            rows,
            keywords: last.keywords.clone(),
            oddities: last.oddities,
            odd_names: last.odd_names.clone(),
            provisional: last.provisional,
            damage: last.damage.clone(),
        })
    }

    /// Becomes the listing that a [patchwork](super::patch) makes of this one and of `news`; as it was, and false, if they
    /// have other keywords or too many names.
    #[must_use]
    pub fn patch(&mut self, patchwork: &Patchwork, news: &Self) -> bool {
        let used = self.names.len() + news.names.len();
        let starts = side_by_side(&[self.names.len(), news.names.len()], used);
        let Some(&[_, start]) = starts.as_deref() else {
            return false;
        };
        if self.has_other_keywords(news) {
            return false;
        }
        patch(&mut self.rows, patchwork, &behind(&news.rows, start));
        self.names.extend_from_slice(&news.names);
        self.oddities = news.oddities;
        self.odd_names.clone_from(&news.odd_names);
        self.provisional = news.provisional;
        self.damage.clone_from(&news.damage);
        true
    }

    /// Bytes of names, and how many of them some message has.
    pub fn name_bytes(&self) -> (usize, usize) {
        let used = self.rows.iter().map(|row| usize::from(row.name_len));
        (self.names.len(), used.sum())
    }

    /// A number for what these messages are, but for their names: that of each, added up.
    pub fn sum(&self) -> u64 {
        let sums = self.rows.iter().map(Message::sum);
        sums.fold(0, u64::wrapping_add)
    }

    /// Bytes of memory in use.
    pub fn weight(&self) -> usize {
        self.names.capacity() + self.rows.capacity() * size_of::<Message>() + self.keywords.weight()
    }
}

/// Bytes of one message in an encoded listing, its locator left out.
const ENCODED: usize = 38;

impl Placed for Message {
    fn text(&self) -> (u32, u16) {
        (self.name, self.name_len)
    }

    fn moved(self, name: u32) -> Self {
        Self { name, ..self }
    }
}

impl Message {
    /// Whether two rows are the same, wherever their locators are.
    pub fn is_but_for_its_place(&self, other: &Self) -> bool {
        let name = self.name;
        *self == Self { name, ..*other }
    }

    /// What [`encoded`](Self::encoded) made, with a locator that begins at `name`.
    fn decode(mut bytes: &[u8], name: u32) -> Option<Self> {
        let bytes = &mut bytes;
        let name_len = u16::from_le_bytes(take(bytes)?);
        let base_len = u16::from_le_bytes(take(bytes)?);
        let [bits, flags] = take(bytes)?;
        let keywords = u32::from_le_bytes(take(bytes)?);
        let size = u64::from_le_bytes(take(bytes)?);
        let secs = i64::from_le_bytes(take(bytes)?);
        let nanos = u32::from_le_bytes(take(bytes)?);
        let inode = u64::from_le_bytes(take(bytes)?);
        Some(Self {
            name,
            name_len,
            base_len,
            new: bits & 1 != 0,
            twin: bits & 2 != 0,
            flags: Flags::from_bits(flags),
            keywords,
            size,
            received: Time { secs, nanos },
            inode,
        })
    }

    /// A number for all but its locator.
    pub fn sum(&self) -> u64 {
        crc32fast::hash(&self.encoded()).into()
    }

    fn encoded(&self) -> [u8; ENCODED] {
        let mut bytes = [0; ENCODED];
        let mut rest = bytes.as_mut_slice();
        let mut put = |field: &[u8]| {
            if let Some((place, after)) =
                std::mem::take(&mut rest).split_at_mut_checked(field.len())
            {
                place.copy_from_slice(field);
                rest = after;
            }
        };
        put(&self.name_len.to_le_bytes());
        put(&self.base_len.to_le_bytes());
        put(&[u8::from(self.new) | u8::from(self.twin) << 1]);
        put(&[self.flags.bits()]);
        put(&self.keywords.to_le_bytes());
        put(&self.size.to_le_bytes());
        put(&self.received.secs.to_le_bytes());
        put(&self.received.nanos.to_le_bytes());
        put(&self.inode.to_le_bytes());
        bytes
    }
}

impl Messages {
    /// Writes the listing as bytes that [`decode`](Self::decode) reads.
    pub fn encode(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&(self.rows.len() as u64).to_le_bytes())?;
        out.write_all(&self.oddities.to_le_bytes())?;
        self.keywords.encode(out)?;
        for row in &self.rows {
            out.write_all(&row.encoded())?;
        }
        self.rows
            .iter()
            .try_for_each(|row| out.write_all(self.locator(row)))
    }

    /// Reads what [`encode`](Self::encode) wrote from the front of `bytes`; `None` if that is not what is there.
    pub fn decode(bytes: &mut Source<'_>) -> Option<Self> {
        let count = usize::try_from(u64::from_le_bytes(bytes.take()?)).ok()?;
        let oddities = u64::from_le_bytes(bytes.take()?);
        let keywords = Keywords::decode(bytes)?;
        let mut rows = bytes.room(count, ENCODED)?;
        let mut names = 0u32;
        for _ in 0..count {
            let row: [u8; ENCODED] = bytes.take()?;
            let row = Message::decode(&row, names)?;
            names = names.checked_add(u32::from(row.name_len))?;
            rows.push(row);
        }
        Some(Self {
            names: bytes.take_many(names as usize)?,
            rows,
            keywords,
            oddities,
            odd_names: Vec::new(),
            provisional: false,
            damage: None,
        })
    }
}

/// For how many to have room where there are so many: a folder as it is on the next date is made of this one, and mostly a
/// little larger. Memory that is not used costs nothing.
fn with_room(len: usize) -> usize {
    len + len / 32 + 32
}

/// The bytes of a listing as they come.
pub struct Source<'a> {
    reader: Box<dyn BufRead + 'a>,
    /// How many are to come.
    left: usize,
}

impl<'a> Source<'a> {
    /// Of a reader that gives so many bytes.
    pub fn new(reader: impl BufRead + 'a, len: usize) -> Self {
        Self {
            reader: Box::new(reader),
            left: len,
        }
    }

    /// A fixed number of bytes.
    pub fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.left = self.left.checked_sub(N)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    /// So many bytes, with some room behind them.
    pub fn take_many(&mut self, len: usize) -> Option<Vec<u8>> {
        self.left = self.left.checked_sub(len)?;
        let mut bytes = Vec::with_capacity(with_room(len));
        (&mut self.reader)
            .take(len as u64)
            .read_to_end(&mut bytes)
            .ok()?;
        (bytes.len() == len).then_some(bytes)
    }

    /// Room for `count` things that come as so many bytes each, and for some more; `None` if there are not that many.
    pub fn room<T>(&self, count: usize, bytes: usize) -> Option<Vec<T>> {
        let is_there = count.checked_mul(bytes)? <= self.left;
        is_there.then(|| Vec::with_capacity(with_room(count)))
    }

    pub fn is_at_end(&self) -> bool {
        self.left == 0
    }
}

/// The keywords of a folder, and the sets of them that its messages have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keywords {
    pub names: Vec<Vec<u8>>,
    /// Bitmaps over the names, the lowest bit of the first byte for the first name. The first set is number 1.
    pub sets: Vec<Box<[u8]>>,
}

impl Keywords {
    pub fn of(&self, set: u32) -> impl Iterator<Item = &[u8]> {
        let names = self.numbers(set).filter_map(|at| self.names.get(at));
        names.map(Vec::as_slice)
    }

    fn numbers(&self, set: u32) -> impl Iterator<Item = usize> {
        let set = (set as usize).checked_sub(1);
        let set = set.and_then(|at| self.sets.get(at));
        let set: &[u8] = set.map(AsRef::as_ref).unwrap_or_default();
        let has = |at: usize| {
            set.get(at / 8)
                .is_some_and(|byte| byte >> (at % 8) & 1 != 0)
        };
        (0..self.names.len()).filter(move |at| has(*at))
    }

    fn weight(&self) -> usize {
        let weight = |len: usize| len + size_of::<Vec<u8>>() + 16;
        let names = self.names.iter().map(|name| weight(name.len()));
        names
            .chain(self.sets.iter().map(|set| weight(set.len())))
            .sum()
    }

    fn encode(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut put = |strings: &mut dyn ExactSizeIterator<Item = &[u8]>| {
            out.write_all(&(strings.len() as u32).to_le_bytes())?;
            for string in strings {
                out.write_all(&(string.len() as u32).to_le_bytes())?;
                out.write_all(string)?;
            }
            io::Result::Ok(())
        };
        put(&mut self.names.iter().map(Vec::as_slice))?;
        put(&mut self.sets.iter().map(AsRef::as_ref))
    }

    fn decode(bytes: &mut Source<'_>) -> Option<Self> {
        let mut strings = || -> Option<Vec<Vec<u8>>> {
            let count = u32::from_le_bytes(bytes.take()?);
            let mut strings = Vec::new();
            for _ in 0..count {
                let len = u32::from_le_bytes(bytes.take()?) as usize;
                strings.push(bytes.take_many(len)?);
            }
            Some(strings)
        };
        Some(Self {
            names: strings()?,
            sets: strings()?.into_iter().map(Vec::into_boxed_slice).collect(),
        })
    }
}

/// Takes a fixed number of bytes from the front.
pub fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (front, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*front)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages() -> Messages {
        let row = |name: u32, keywords| Message {
            name,
            name_len: 5,
            base_len: 2,
            new: false,
            twin: name > 0,
            flags: Flags::SEEN,
            keywords,
            size: 7,
            received: Time { secs: -3, nanos: 9 },
            inode: 11,
        };
        Messages {
            names: b"m1:2,m1:3,".to_vec(),
            rows: vec![row(0, 2), row(5, 0)],
            keywords: Keywords {
                names: (0..10).map(|n| format!("k{n}").into_bytes()).collect(),
                sets: vec![vec![1].into(), vec![2, 2].into()],
            },
            oddities: 4,
            odd_names: Vec::new(),
            provisional: false,
            damage: None,
        }
    }

    #[test]
    fn a_listing_comes_back_from_its_bytes_and_no_part_of_them_passes_for_one() {
        let mut bytes = Vec::new();
        messages().encode(&mut bytes).unwrap();
        let decode = |bytes: &[u8]| Messages::decode(&mut Source::new(bytes, bytes.len()));
        assert_eq!(decode(&bytes), Some(messages()));
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]), None, "{end}");
        }
    }

    #[test]
    fn some_alone_are_what_they_were() {
        let all = messages();
        let some = all.only(&[1]);
        let (one, whole) = (some.get(0).unwrap(), all.get(1).unwrap());
        assert_eq!(some.len(), 1);
        assert_eq!(some.locator(one), all.locator(whole));
        assert_eq!(some.identity(one), all.identity(whole));
        let keywords = |of: &Messages, one| of.keywords(one).count();
        assert_eq!(keywords(&all.only(&[0]), &all.only(&[0]).rows[0]), 2);
        assert!(all.only(&[0, 1]).equals(&Messages {
            oddities: 0,
            ..messages()
        }));
    }

    #[test]
    fn keywords_and_identities() {
        let messages = messages();
        let of = |at: usize| messages.keywords(messages.get(at).unwrap());
        assert_eq!(of(0).collect::<Vec<_>>(), [b"k1", b"k9"]);
        assert_eq!(of(1).count(), 0);
        assert_eq!(messages.identity(messages.get(0).unwrap()), b"m1");
        assert_eq!(messages.identity(messages.get(1).unwrap()), b"m1/7");
    }
}
