//! A folder's messages: in an order, by the page, one by its ID.

use super::{State, When, find};
use crate::error::{Error, Kind, Result};
use crate::fs::deleted::Kept;
use crate::fs::inside::Inside;
use crate::fs::node::{self, NodeId};
use crate::fs::{Fs, Open};
use crate::message::{Flags, words};
use crate::view::content::{Encoding, Learned};
use crate::view::listing::{Item, Listing, Tally};
use crate::view::{Names, maildir, name};
use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// How long an ID is where names have none: too long for two of a folder to share one.
const UNNAMED_ID_CHARS: usize = 2 * name::ID_CHARS;

/// What messages are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SortBy {
    /// When they were received.
    #[default]
    Received,
    Sender,
    /// Without what answering and forwarding put before it.
    Subject,
    Size,
}

/// How the messages of a page follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    pub by: SortBy,
    pub descending: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            by: SortBy::Received,
            descending: true,
        }
    }
}

/// What a list tells of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// As in its name: what it is asked for by.
    pub id: String,
    pub node: NodeId,
    /// The file's name in the mount.
    pub name: String,
    /// Hostile text; empty if there is none.
    pub sender: String,
    /// Hostile text; empty if there is none.
    pub subject: String,
    /// INTERNALDATE, in seconds since 1970.
    pub received: i64,
    /// In bytes.
    pub size: u64,
    pub flags: Flags,
    /// False: to read it will fail, as far as is known.
    pub is_readable: bool,
    /// The label of the date that it is read from.
    pub date: String,
}

/// Where a message is on the date that it is read from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The label of the date.
    pub date: String,
    /// The path of its folder then.
    pub folder: String,
    /// Its ID in that folder.
    pub id: String,
}

/// Some of a folder's messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub messages: Vec<Summary>,
    /// Of the folder.
    pub total: usize,
}

/// Messages of one folder of a date; all of it, or some.
pub(super) struct Part {
    open: Arc<Open>,
    pub inside: Inside,
    /// Position of the folder in the mailbox's tree.
    pub folder: u32,
    id: NodeId,
    /// Of these messages alone.
    listing: Arc<Listing>,
    /// Where its messages begin among those of the folder.
    first: u32,
    /// Their positions among all messages that the date's folder has; `None`: the same as here.
    ordinals: Option<Vec<u32>>,
}

impl Part {
    /// The node of the message at a place of the listing.
    fn node(&self, place: u32) -> NodeId {
        let ordinal = match &self.ordinals {
            None => place,
            Some(ordinals) => ordinals.get(place as usize).copied().unwrap_or(place),
        };
        self.id.with_ordinal(node::FIRST_MESSAGE + ordinal)
    }
}

/// A folder that was opened. Positions count from 0 in an order that stays as it is.
pub struct Contents {
    pub(super) parts: Vec<Part>,
    /// What is gone, and which directory of that this is.
    lost: Option<(Arc<Kept>, u32)>,
    path: String,
}

impl Contents {
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.listing.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The path of the folder, with slashes between the levels.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How many messages there are; of those that are gone nobody waits for the unread ones.
    pub fn tally(&self) -> Tally {
        match (&self.lost, self.parts.as_slice()) {
            (None, [part]) => Tally::of(part.listing.messages()),
            _ => Tally {
                messages: self.len() as u64,
                unread: 0,
            },
        }
    }

    /// The folder as one file; what is gone has none.
    pub fn mbox(&self) -> Option<NodeId> {
        match (&self.lost, self.parts.as_slice()) {
            (None, [part]) => Some(part.id.with_ordinal(1)),
            _ => None,
        }
    }

    /// What the message at a position is called in a Maildir, and whether it is in `new` there.
    pub fn maildir_name(&self, position: u32) -> Option<(Vec<u8>, bool)> {
        let (part, place) = self.at(position)?;
        let messages = part.listing.messages();
        let message = messages.get(place as usize)?;
        let name = maildir::file_name(messages, message, part.inside.mailbox.format);
        Some((name, message.new))
    }

    /// What the store calls the message at a position: the order of messages that came at the same time.
    pub fn store_name(&self, position: u32) -> Option<&[u8]> {
        let (part, place) = self.at(position)?;
        let messages = part.listing.messages();
        Some(messages.store_name(messages.get(place as usize)?))
    }

    /// The part that has a position, and the place in it.
    fn at(&self, position: u32) -> Option<(&Part, u32)> {
        let after = self.parts.partition_point(|part| part.first <= position);
        let part = self.parts.get(after.checked_sub(1)?)?;
        Some((part, position.checked_sub(part.first)?))
    }

    fn item(&self, position: u32) -> Option<(&Part, u32, Item<'_>)> {
        let (part, place) = self.at(position)?;
        Some((part, place, part.listing.get(place as usize)?))
    }

    /// The name that a message is shown under.
    fn name<'a>(&'a self, position: u32, item: &Item<'a>) -> &'a str {
        match &self.lost {
            None => item.name,
            Some((kept, folder)) => match kept.lost.folder(*folder) {
                Some(folder) => folder.name(position, item.name),
                None => item.name,
            },
        }
    }

    fn id(&self, position: u32, part: &Part, item: &Item<'_>, names: Names) -> String {
        id_of(self.name(position, item), part, item, names)
    }
}

/// The ID of a message that is shown under a name.
fn id_of(shown: &str, part: &Part, item: &Item<'_>, names: Names) -> String {
    let from_name = name::id_in(shown).filter(|_| names == Names::Readable);
    match from_name {
        Some(id) => id.to_owned(),
        None => {
            let identity = part.listing.messages().identity(item.stored);
            name::id(&identity, UNNAMED_ID_CHARS)
        }
    }
}

/// What is learned of a message and told.
struct Facts {
    sender: String,
    subject: String,
}

impl Fs {
    /// Opens the folder of a path; `None` if there is none, or it is the parent of folders alone.
    pub fn contents(&self, mailbox: &str, when: &When, path: &str) -> Result<Option<Contents>> {
        let Some(state) = self.state(mailbox, when)? else {
            return Ok(None);
        };
        let Some(position) = find(state.tree(), path) else {
            return Ok(None);
        };
        let path = path.to_owned();
        match state {
            State::Dated(inside) => {
                let Some(listing) = self.listing(&inside, position)? else {
                    return Ok(None);
                };
                let part = Part {
                    open: inside.open.clone(),
                    id: self.branch_id(&inside, position)?,
                    folder: position,
                    listing,
                    inside: *inside,
                    first: 0,
                    ordinals: None,
                };
                Ok(Some(Contents {
                    parts: vec![part],
                    lost: None,
                    path,
                }))
            }
            State::Lost(somebody, kept) => {
                let Some(folder) = kept.lost.folder(position) else {
                    return Ok(None);
                };
                let mut parts = Vec::new();
                for part in folder.parts_from(0) {
                    let inside = self.last_inside(&somebody, &kept, part)?;
                    parts.push(Part {
                        open: inside.open.clone(),
                        id: self.branch_id(&inside, part.folder)?,
                        folder: part.folder,
                        listing: part.listing.clone(),
                        inside,
                        first: part.first,
                        ordinals: Some(part.ordinals.clone()),
                    });
                }
                Ok(Some(Contents {
                    parts,
                    lost: Some((kept, position)),
                    path,
                }))
            }
        }
    }

    /// The messages at these places of an order.
    pub fn page(&self, contents: &Contents, order: Order, places: Range<usize>) -> Result<Page> {
        let sorted = self.sorted(contents, order.by)?;
        let total = sorted.len();
        let places = places.start.min(total)..places.end.min(total);
        let position = |place: usize| match order.descending {
            true => sorted.get(total - 1 - place),
            false => sorted.get(place),
        };
        let positions: Vec<u32> = places.filter_map(|p| position(p).copied()).collect();
        Ok(Page {
            messages: self.summaries(contents, &positions)?,
            total,
        })
    }

    /// The message with an ID.
    pub fn message(&self, contents: &Contents, id: &str) -> Result<Option<Summary>> {
        let position = self.position(contents, id);
        let found = position.map(|position| self.summaries(contents, &[position]));
        Ok(found
            .transpose()?
            .and_then(|found| found.into_iter().next()))
    }

    /// The messages before and after the one with an ID, in an order.
    pub fn beside(
        &self,
        contents: &Contents,
        order: Order,
        id: &str,
    ) -> Result<[Option<Summary>; 2]> {
        let sorted = self.sorted(contents, order.by)?;
        let position = self.position(contents, id);
        let Some(place) = sorted.iter().position(|p| Some(*p) == position) else {
            return Ok([None, None]);
        };
        let one = |place: Option<usize>| -> Result<Option<Summary>> {
            let position = place.and_then(|place| sorted.get(place));
            let found = position.map(|position| self.summaries(contents, &[*position]));
            Ok(found
                .transpose()?
                .and_then(|found| found.into_iter().next()))
        };
        let (before, after) = (one(place.checked_sub(1))?, one(place.checked_add(1))?);
        Ok(match order.descending {
            true => [after, before],
            false => [before, after],
        })
    }

    /// The ID of the message that is called so in a folder; `None` if it is not there.
    pub fn id_of(
        &self,
        mailbox: &str,
        when: &When,
        path: &str,
        name: &str,
    ) -> Result<Option<String>> {
        if let Some(id) = name::id_in(name).filter(|_| self.view.names == Names::Readable) {
            return Ok(Some(id.to_owned()));
        }
        let Some(contents) = self.contents(mailbox, when, path)? else {
            return Ok(None);
        };
        let positions = 0..contents.len() as u32;
        let found = positions.filter_map(|at| Some((at, contents.item(at)?)));
        let mut found = found.filter(|(at, (_, _, item))| contents.name(*at, item) == name);
        let id = found
            .next()
            .map(|(at, (part, _, item))| contents.id(at, part, &item, self.view.names));
        Ok(id)
    }

    /// Where the message with an ID is.
    pub fn position(&self, contents: &Contents, id: &str) -> Option<u32> {
        if !(1..=name::MAX_ID_CHARS).contains(&id.len()) {
            return None;
        }
        let names = self.view.names;
        (0..contents.len() as u32).find(|&position| {
            contents.item(position).is_some_and(|(part, _, item)| {
                // To make an ID costs more than to see that there is another one.
                let shown = name::id_in(contents.name(position, &item));
                match shown.filter(|_| names == Names::Readable) {
                    Some(shown) => shown == id,
                    None => contents.id(position, part, &item, names) == id,
                }
            })
        })
    }

    /// Where the messages with these IDs are, in order; those that are not there are left out.
    pub fn positions(&self, contents: &Contents, ids: &[String]) -> Vec<u32> {
        let wanted: HashSet<&str> = ids.iter().map(String::as_str).collect();
        let names = self.view.names;
        let is_wanted = |position: &u32| {
            contents.item(*position).is_some_and(|(part, _, item)| {
                let id = contents.id(*position, part, &item, names);
                wanted.contains(id.as_str())
            })
        };
        (0..contents.len() as u32).filter(is_wanted).collect()
    }

    /// Where the message at a position is on the date that it is read from.
    pub fn origin(&self, contents: &Contents, position: u32) -> Option<Origin> {
        let (part, _, item) = contents.item(position)?;
        Some(Origin {
            date: part.open.snapshot.label.clone(),
            folder: part.inside.nested.tree.path(part.folder),
            id: id_of(item.name, part, &item, self.view.names),
        })
    }

    /// What there is to tell of the messages at some positions.
    pub fn summaries(&self, contents: &Contents, positions: &[u32]) -> Result<Vec<Summary>> {
        let facts = self.facts(contents, positions)?;
        let mut summaries = Vec::with_capacity(positions.len());
        for (&position, facts) in positions.iter().zip(facts) {
            let Some((part, place, item)) = contents.item(position) else {
                continue;
            };
            summaries.push(Summary {
                id: contents.id(position, part, &item, self.view.names),
                node: part.node(place),
                name: contents.name(position, &item).to_owned(),
                sender: facts.sender,
                subject: facts.subject,
                received: item.stored.received.secs,
                size: item.size,
                flags: item.stored.flags,
                is_readable: matches!(item.encoding, Encoding::Plain | Encoding::Encoded),
                date: part.open.snapshot.label.clone(),
            });
        }
        Ok(summaries)
    }

    /// Sender and subject of the messages at some positions, which follow each other part by part.
    fn facts(&self, contents: &Contents, positions: &[u32]) -> Result<Vec<Facts>> {
        let mut facts = Vec::with_capacity(positions.len());
        let part_of = |position: &u32| contents.at(*position).map(|(part, _)| part.first);
        for run in positions.chunk_by(|a, b| part_of(a) == part_of(b)) {
            let Some((part, _)) = run.first().and_then(|p| contents.at(*p)) else {
                return Err(Error::new(Kind::Stale, "no such message"));
            };
            let places = run.iter().filter_map(|&p| Some(contents.at(p)?.1));
            let places: Vec<u32> = places.collect();
            let folder = part.inside.folder(part.folder).unwrap_or_default();
            let (store, listing) = (part.inside.store(), &part.listing);
            let each = |learned: Option<Learned>| {
                let (sender, subject) = learned
                    .map(|learned| (learned.facts.sender, learned.facts.subject))
                    .unwrap_or_default();
                facts.push(Facts { sender, subject });
            };
            self.view
                .each_learned(&*store, folder, listing, &places, each)?;
        }
        Ok(facts)
    }

    /// All positions in an order. That of a folder of a date is kept.
    fn sorted(&self, contents: &Contents, by: SortBy) -> Result<Arc<Vec<u32>>> {
        match (&contents.lost, contents.parts.as_slice()) {
            (None, [part]) => {
                let parts = part.id.parts();
                let key = (parts.snapshot, parts.place, by);
                self.orders.get(&key, part.open.root.lane(), || {
                    let sorted = self.sort(contents, by)?;
                    let bytes = sorted.len() * 4;
                    Ok((sorted, bytes))
                })
            }
            _ => self.sort(contents, by).map(Arc::new),
        }
    }

    fn sort(&self, contents: &Contents, by: SortBy) -> Result<Vec<u32>> {
        let mut positions: Vec<u32> = (0..contents.len() as u32).collect();
        let received = |position: u32| {
            let item = contents.item(position);
            item.map(|(_, _, item)| item.stored.received)
        };
        let by_time = |a: u32, b: u32| -> Ordering {
            let names = || contents.store_name(a).cmp(&contents.store_name(b));
            received(a).cmp(&received(b)).then_with(names)
        };
        match by {
            SortBy::Received => positions.sort_by(|&a, &b| by_time(a, b)),
            SortBy::Size => {
                let size = |position: u32| contents.item(position).map(|(_, _, item)| item.size);
                positions.sort_by(|&a, &b| size(a).cmp(&size(b)).then_with(|| by_time(a, b)));
            }
            SortBy::Sender | SortBy::Subject => {
                let facts = self.facts(contents, &positions)?;
                let keys = facts.iter().map(|facts| match by {
                    SortBy::Sender => plain(&facts.sender),
                    _ => plain(base_subject(&facts.subject)),
                });
                let keys: Vec<String> = keys.collect();
                let key = |position: u32| keys.get(position as usize);
                positions.sort_by(|&a, &b| key(a).cmp(&key(b)).then_with(|| by_time(a, b)));
            }
        }
        Ok(positions)
    }
}

/// A text as it is sorted: capitals, accents and punctuation do not matter.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    words::append(text, &mut plain);
    plain
}

/// A subject without the `Re:` and `Fwd:` before it, in the languages in which mail programs write them.
fn base_subject(subject: &str) -> &str {
    const MARKS: [&str; 9] = ["re", "r", "fwd", "fw", "i", "aw", "wg", "tr", "rif"];
    let mut base = subject.trim();
    while let Some((mark, rest)) = base.split_once(':') {
        let mark = mark.trim_end();
        if !MARKS.iter().any(|known| mark.eq_ignore_ascii_case(known)) {
            break;
        }
        base = rest.trim_start();
    }
    base
}
