//! What messages of a folder are found by, and the numbers that tell them apart.

use crate::disk::crew;
use crate::error::{Kind, Result};
use crate::fs::Fs;
use crate::index::search::{Entry, Missing, Reading, Text, number};
use crate::message::searchable::{self, Searchable};
use crate::message::words;
use crate::store::{ReadAhead, Store};
use crate::time::Time;
use crate::view::content::{self, Encoding};
use crate::view::listing::{Item, Listing, Trace, is_for_all};

/// Of these, messages that a thread takes at once.
const READ_IN_ORDER: usize = 16;

/// Characters of a field that are kept to be told.
const TOLD: usize = 500;

impl Fs {
    /// Reads messages of a folder, on all cores; in the same order.
    pub(super) fn texts(
        &self,
        store: &dyn Store,
        folder: &[u8],
        listing: &Listing,
        missing: &[Missing],
    ) -> Result<Vec<Option<Text>>> {
        let read = crew::share(missing.len(), READ_IN_ORDER, |shares| {
            let files = store.files(folder);
            let mut ahead = ReadAhead::new(&*files, listing.messages(), searchable::START as u64);
            let mut texts = Vec::new();
            while let Some(some) = shares.next() {
                let from = some.start;
                let some = missing.get(some).unwrap_or_default();
                for (k, one) in some.iter().enumerate() {
                    let Some(item) = listing.get(one.position) else {
                        continue;
                    };
                    let following = some.iter().skip(k + 1).map(|next| next.position);
                    let start = ahead.open(one.position, following).and_then(|stored| {
                        content::start(&stored, item.encoding, &self.view.keys, searchable::START)
                    });
                    let start = match start {
                        Err(e) if is_for_all(&e) => return Err(e),
                        Err(e) if matches!(e.kind(), Kind::Undecodable | Kind::NoKey) => {
                            Err(Reading::Damaged)
                        }
                        Err(e) => {
                            tracing::warn!("a message cannot be read, and is not searched: {e}");
                            Err(Reading::Unread)
                        }
                        Ok(start) => Ok(start),
                    };
                    texts.push((from + k, text(&item, start, self.options.bodies)));
                }
            }
            Ok(texts)
        })?;
        let mut texts: Vec<Option<Text>> = vec![None; missing.len()];
        for (at, text) in read.into_iter().flatten() {
            if let Some(slot) = texts.get_mut(at) {
                *slot = Some(text);
            }
        }
        Ok(texts)
    }
}

pub(super) fn entry(listing: &Listing, item: &Item<'_>) -> Entry {
    let sizes = [item.stored.size, item.size];
    Entry {
        identity: number(&[&listing.messages().identity(item.stored)]),
        version: version(sizes, item.stored.received, item.name),
        secs: item.stored.received.secs,
        is_read: item.encoding != Encoding::Unread,
    }
}

/// The entry that a message had which is no longer listed.
pub(super) fn past(trace: &Trace) -> Entry {
    let sizes = [trace.stored, trace.size];
    Entry {
        identity: number(&[&trace.identity]),
        version: version(sizes, trace.received, &trace.name),
        secs: trace.received.secs,
        is_read: true,
    }
}

/// `sizes`: of what is stored, and of what reading gives.
fn version([stored, size]: [u64; 2], received: Time, name: &str) -> i64 {
    number(&[
        &stored.to_le_bytes(),
        &size.to_le_bytes(),
        &received.secs.to_le_bytes(),
        &received.nanos.to_le_bytes(),
        name.as_bytes(),
    ])
}

/// What a message is found by. `start`: its first bytes, or what became of them.
fn text(item: &Item<'_>, start: std::result::Result<Vec<u8>, Reading>, bodies: bool) -> Text {
    let (found, reading) = match start {
        Ok(start) => (Searchable::of(&start, bodies), Reading::Done),
        Err(reading) => (Searchable::default(), reading),
    };
    let attachments = found.attachments.join("\n");
    let fields = [
        &found.sender,
        &found.recipients,
        &found.subject,
        &attachments,
        &found.body,
    ];
    Text {
        reading,
        message_id: found.message_id,
        size: item.size,
        name: item.name.to_owned(),
        words: fields.map(|field| {
            let mut words = String::new();
            words::append(field, &mut words);
            words
        }),
        sender: told(&found.sender),
        recipients: told(&found.recipients),
        subject: told(&found.subject),
        attachments: told(&attachments),
    }
}

fn told(text: &str) -> String {
    let text = text.trim();
    let end = text
        .char_indices()
        .nth(TOLD)
        .map_or(text.len(), |(at, _)| at);
    text[..end].to_owned()
}
