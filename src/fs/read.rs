//! Reading a file: a message, a folder's mbox, the text about a mailbox.

use super::Fs;
use super::inside::Inside;
use super::maildir::Part;
use super::node::{self, NodeId};
use super::resolve::Meaning;
use crate::error::{Error, Kind, Result};
use crate::store::{ReadAhead, Store, decode};
use crate::view::Names;
use crate::view::content::{self, Encoding};
use crate::view::listing::{Item, Listing};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

impl Fs {
    /// Reads up to `len` bytes of a file from `offset` on; fewer only at its end.
    pub fn read(&self, id: NodeId, offset: u64, len: usize) -> Result<Vec<u8>> {
        match self.resolve(id)? {
            Meaning::About(inside) => Ok(part(self.about(&inside).as_bytes(), offset, len)),
            Meaning::Mbox(inside, position) => self.read_mbox(&inside, position, id, offset, len),
            Meaning::Message(inside, position, message) => {
                let listing = self.listing(&inside, position)?.ok_or_else(|| id.stale())?;
                let item = listing.get(message).ok_or_else(|| id.stale())?;
                self.require_told(&inside, position, Some(message), &listing)?;
                self.read_message(&inside, position, &listing, &item, id, offset, len)
                    .map_err(|e| self.heed(&inside, position, &listing, e))
            }
            Meaning::Maildir(inside, folder, Part::Keywords) => {
                let file = self.keywords(&inside, folder)?.ok_or_else(|| id.stale())?;
                Ok(part(&file, offset, len))
            }
            Meaning::Latest => Err(Error::new(Kind::Invalid, "a symbolic link")),
            _ => Err(Error::new(Kind::IsADirectory, "a directory")),
        }
    }

    /// Gives each of a folder's plain messages with these ordinals that is `wanted` to `each`, whole, if it is no longer than
    /// `limit` bytes, until that breaks; only if the folder is listed at the moment.
    pub fn short_messages(
        &self,
        folder: NodeId,
        ordinals: Range<u32>,
        limit: u64,
        wanted: impl Fn(NodeId) -> bool,
        mut each: impl FnMut(NodeId, &[u8]) -> ControlFlow<()>,
    ) -> Result<()> {
        let parts = folder.parts();
        let key = (parts.snapshot, parts.place);
        let Some(listing) = self.listings.peek(&key) else {
            return Ok(());
        };
        let Meaning::Branch(inside, position) = self.resolve(folder)? else {
            return Ok(());
        };
        let stored = inside.folder(position).ok_or_else(|| folder.stale())?;
        let store = inside.store();
        let files = store.files(stored);
        let mut ahead = ReadAhead::new(&*files, listing.messages(), limit);
        let mut buffer = vec![0; usize::try_from(limit).unwrap_or(0)];
        let at = |ordinal: u32| (ordinal - node::FIRST_MESSAGE) as usize;
        let short = |position: usize| {
            let item = listing.get(position);
            item.filter(|item| item.encoding == Encoding::Plain && item.size <= limit)
        };
        for ordinal in ordinals.clone() {
            let Some(item) = short(at(ordinal)) else {
                continue;
            };
            let id = folder.with_ordinal(ordinal);
            if !wanted(id) {
                continue;
            }
            let next = (ordinal + 1..ordinals.end).map(at);
            let stored = ahead.open(at(ordinal), next.filter(|&at| short(at).is_some()))?;
            let len = usize::try_from(item.size).unwrap_or(0);
            let Some(bytes) = buffer.get_mut(..len) else {
                continue;
            };
            let whole = stored.size() == item.size && stored.read_at(bytes, 0)? == len;
            // One that looks encoded is read with more care.
            if self.altered.is_due(&key) {
                break;
            }
            if whole
                && (stored.is_plain() || decode::detect(bytes).is_none())
                && each(id, bytes).is_break()
            {
                break;
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)] // where the message is, and which part of it
    fn read_message(
        &self,
        inside: &Inside,
        position: u32,
        listing: &Listing,
        item: &Item<'_>,
        id: NodeId,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>> {
        let store = inside.store();
        self.read_stored(inside, &*store, position, listing, item, id, offset, len)
            .inspect_err(|e| {
                if matches!(e.kind(), Kind::Undecodable | Kind::NoKey) {
                    let name = listing.messages().store_name(item.stored);
                    self.view.tell_damaged(store.path(), name, e);
                }
            })
    }

    #[allow(clippy::too_many_arguments)] // where the message is, and which part of it
    fn read_stored(
        &self,
        inside: &Inside,
        store: &dyn Store,
        position: u32,
        listing: &Listing,
        item: &Item<'_>,
        id: NodeId,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>> {
        let folder = inside.folder(position).ok_or_else(|| id.stale())?;
        let locator = listing.messages().locator(item.stored);
        let error = |kind, what: &str| {
            let path = inside.open.root.path().display();
            let (mailbox, name) = (&inside.mailbox.name, String::from_utf8_lossy(locator));
            Error::new(kind, format!("{path}: {mailbox}: {name}: {what}"))
        };
        let damaged = || error(Kind::Undecodable, "the stored message is damaged");
        match item.encoding {
            Encoding::Damaged => Err(damaged()),
            Encoding::Locked => Err(error(
                Kind::NoKey,
                "is encrypted, and there is no key for it",
            )),
            Encoding::Unread => {
                let what = "could not be read when its folder was listed";
                Err(error(Kind::Unreadable, what))
            }
            Encoding::Encoded => {
                let plain = self.decoded(store, folder, id, listing, item)?;
                Ok(part(&plain, offset, len))
            }
            Encoding::Plain => {
                let stored = store.open(folder, listing.messages(), item.stored)?;
                // Then it was listed unseen.
                if self.view.names == Names::Unique
                    && content::proven_encoding(&stored, &self.view.keys)?.is_some()
                {
                    if stored.claimed_size().is_none() {
                        let what = "is compressed, and its name does not tell its size, so it was listed unseen with a wrong \
                                    one: names = \"readable\" in the configuration looks at every message";
                        return Err(error(Kind::Unreadable, what));
                    }
                    let plain = self.decoded(store, folder, id, listing, item)?;
                    return Ok(part(&plain, offset, len));
                }
                if stored.size() != item.size {
                    return Err(altered(locator, "is not what it was listed as"));
                }
                let rest = usize::try_from(item.size.saturating_sub(offset)).unwrap_or(usize::MAX);
                let mut buffer = vec![0; len.min(rest)];
                let n = stored.read_at(&mut buffer, offset)?;
                buffer.truncate(n);
                Ok(buffer)
            }
        }
    }

    /// A message that is stored compressed or encrypted.
    ///
    /// # Errors
    /// [`Kind::Altered`]: it could be decoded when that was learned of it.
    pub(super) fn decoded(
        &self,
        store: &dyn Store,
        folder: &[u8],
        id: NodeId,
        listing: &Listing,
        item: &Item<'_>,
    ) -> Result<Arc<Vec<u8>>> {
        self.decoded.get(&id, store.root().lane(), || {
            let stored = store.open(folder, listing.messages(), item.stored)?;
            let plain = content::decode_whole(&stored, &self.view.keys, item.size);
            let plain = plain.map_err(|e| match (item.encoding, e.kind()) {
                (Encoding::Encoded, Kind::Undecodable) => {
                    altered(listing.messages().locator(item.stored), &e.to_string())
                }
                _ => e,
            })?;
            let bytes = plain.len();
            Ok((plain, bytes))
        })
    }
}

fn altered(locator: &[u8], what: &str) -> Error {
    let name = String::from_utf8_lossy(locator);
    Error::new(Kind::Altered, format!("{name}: {what}"))
}

fn part(bytes: &[u8], offset: u64, len: usize) -> Vec<u8> {
    let start = usize::try_from(offset)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    let end = start.saturating_add(len).min(bytes.len());
    bytes.get(start..end).unwrap_or_default().to_vec()
}
