//! What the index knows of messages, learned where it does not know.

use crate::error::{Error, Kind, Result};
use crate::index::FactKey;
use crate::store::{Message, Messages, Store};
use crate::view::content::{self, Learned};
use crate::view::{View, listing};

/// What is known of a message.
#[derive(Debug)]
pub enum Fact {
    Known(Learned),
    /// It is not under the name that it was listed with: gone, or moved to another folder.
    Gone,
    /// It cannot be read, which was warned of.
    Unreadable,
}

impl Fact {
    pub fn known(self) -> Option<Learned> {
        match self {
            Self::Known(learned) => Some(learned),
            Self::Gone | Self::Unreadable => None,
        }
    }
}

/// What is known of some messages of a folder, in their order.
pub fn learn<'a>(
    view: &View,
    store: &dyn Store,
    folder: &[u8],
    messages: &Messages,
    some: impl Iterator<Item = &'a Message>,
) -> Result<Vec<Fact>> {
    let some: Vec<(&Message, Vec<u8>)> = some.map(|m| (m, messages.identity(m))).collect();
    let keys = some.iter().map(|(m, identity)| listing::key(m, identity));
    let keys: Vec<FactKey<'_>> = keys.collect();
    let files = store.files(folder);
    let mut fresh = Vec::new();
    let mut all = Vec::with_capacity(some.len());
    for (at, kept) in view
        .index
        .facts(store.path(), &keys)
        .into_iter()
        .enumerate()
    {
        if let Some(known) = kept.as_deref().and_then(Learned::decode) {
            all.push(Fact::Known(known));
            continue;
        }
        let Some((message, _)) = some.get(at) else {
            continue;
        };
        let damaged = |e: &Error| view.tell_damaged(store.path(), messages.store_name(message), e);
        let stored = files.open(messages, message);
        match stored.and_then(|s| content::learn(&s, &view.keys, damaged)) {
            Ok(learned) => {
                fresh.push((at, learned.encode()));
                all.push(Fact::Known(learned));
            }
            Err(e) if listing::is_for_all(&e) => return Err(e),
            Err(e) if e.kind() == Kind::NotFound => all.push(Fact::Gone),
            Err(e) => {
                tracing::warn!("a message cannot be read: {e}");
                all.push(Fact::Unreadable);
            }
        }
    }
    let fresh = fresh
        .iter()
        .filter_map(|(at, bytes)| Some((*keys.get(*at)?, bytes.as_slice())));
    view.index.put_facts(store.path(), fresh);
    Ok(all)
}
