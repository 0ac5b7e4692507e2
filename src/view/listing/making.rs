//! Makes the listing of a folder: finds the one that the index has, or learns of each message what is not known, and names it.

use super::beside::{Added, Earlier, Neighbour, Since};
use super::rows::Rows;
use super::{Keep, Known, Listing};
use crate::error::{Error, Kind, Result};
use crate::store::{Found, Messages, Store};
use crate::time::Time;
use crate::view::View;
use crate::view::content::Encoding;
use std::cell::OnceCell;
use std::collections::HashSet;
use std::sync::Arc;

/// A folder that the index has no listing of.
#[derive(Debug)]
pub(super) struct Unlisted {
    /// Only the change, if most of it is as on another date.
    pub found: Found,
    pub earlier: Earlier,
    pub key: Vec<u8>,
    /// The folder's last change.
    pub changed: Time,
}

impl View {
    /// Looks for a listing of the folder as it is; where there is none, lists what the store has.
    pub(super) fn look(
        &self,
        store: &dyn Store,
        folder: &[u8],
        taken: &HashSet<String>,
        keep: Keep,
        beside: &[Neighbour<'_>],
    ) -> Result<std::result::Result<Listing, Unlisted>> {
        let mailbox = store.path();
        let stamp = store.stamp(folder)?;
        let any_state = self.shape(taken);
        let key = [any_state.as_slice(), &stamp.bytes].concat();
        let cached = beside.iter().filter_map(|other| other.listing.as_ref());
        if let Some(same) = cached
            .into_iter()
            .find(|other| other.key == key && other.holds_everywhere())
        {
            return Ok(Ok(Listing::of(same.rows.clone(), key, stamp.changed)));
        }
        let pack = self.index.pack(mailbox, folder, &key);
        if let Some((rows, difference)) = pack.and_then(|pack| Rows::decode(&pack)) {
            let mut listing = Listing::of(Arc::new(rows), key, stamp.changed);
            listing.difference = difference;
            return Ok(Ok(listing));
        }
        let earlier = OnceCell::new();
        let ask = || earlier.get_or_init(|| self.earlier(mailbox, folder, &any_state, beside));
        let found = store.messages_since(folder, &|| ask().for_store())?;
        // Not every store has asked for it.
        ask();
        let earlier = earlier.into_inner().unwrap_or_default();
        let before = &earlier.rows.messages;
        let is_as_before = match &found {
            Found::All(messages) => messages.equals(before),
            Found::Changed { change, news } => {
                change.is_empty() && news.oddities == before.oddities
            }
        };
        if let Some(other) = &earlier.key
            && !found.told().provisional
            && is_as_before
        {
            if keep == Keep::Listing {
                self.index.put_pack_as(mailbox, folder, &key, other);
            }
            return Ok(Ok(Listing::of(earlier.rows, key, stamp.changed)));
        }
        let is_small = match &found {
            Found::All(_) => true,
            Found::Changed { change, .. } => change.is_small(before.len()),
        };
        let found = match is_small {
            true => found,
            false => Found::All(found.all(before).ok_or_else(of_another)?),
        };
        let messages = found.told();
        // Once for all dates.
        let oddities = || format!("oddities {folder:?} {:?}", messages.odd_names);
        if messages.oddities > 0 && self.told.is_news(mailbox, oddities().as_bytes()) {
            tracing::warn!(
                "{}: folder {} of {}: {} links, directories or special files where messages should be are not shown: {:?}",
                store.root().path().display(),
                for_people(folder),
                String::from_utf8_lossy(mailbox),
                messages.oddities,
                messages.odd_names
            );
        }
        Ok(Err(Unlisted {
            found,
            earlier,
            key,
            changed: stamp.changed,
        }))
    }

    /// Learns of each message of a folder what is not known yet, and names it.
    pub(super) fn learn_and_name(
        &self,
        store: &dyn Store,
        folder: &[u8],
        taken: &HashSet<String>,
        keep: Keep,
        unlisted: Unlisted,
    ) -> Result<Listing> {
        let Unlisted {
            found,
            mut earlier,
            key,
            changed,
        } = unlisted;
        let learned = match &found {
            Found::Changed { change, news } => {
                self.learn_change(store, folder, taken, &mut earlier, (change, news))?
            }
            Found::All(_) => None,
        };
        let (rows, since, known) = match learned {
            Some((rows, since, known)) => (rows, Some(since), known),
            None => {
                let messages = found.all(&earlier.rows.messages).ok_or_else(of_another)?;
                self.learn_anew(store, folder, taken, &earlier, messages)?
            }
        };
        let mut listing = Listing::of(Arc::new(rows), key, changed);
        listing.complete = is_complete(&known);
        let mut added = None;
        if let Some(since) = since {
            (listing.difference, added) = (since.difference, since.added);
        }
        self.keep_listing(store, folder, &listing, added, keep);
        Ok(listing)
    }

    /// Learns of all messages what is not known yet, and names them; answers what they add to another date, if that is little,
    /// and what is known of each.
    fn learn_anew(
        &self,
        store: &dyn Store,
        folder: &[u8],
        taken: &HashSet<String>,
        earlier: &Earlier,
        messages: Messages,
    ) -> Result<(Rows, Option<Since>, Vec<Known>)> {
        let before = &earlier.rows;
        let known = self.learn_all(store, folder, &messages, before)?;
        let ((shown, names), known) = match self.name_all(&messages, &known, before, taken) {
            Some(named) => (named, known),
            None => {
                let known = self.learn_all(store, folder, &messages, &Rows::default())?;
                (self.name_alone(&messages, &known, taken)?, known)
            }
        };
        let rows = Rows {
            messages,
            shown,
            names,
        };
        let since = Since::between(earlier, &rows, &known);
        Ok((rows, since, known))
    }

    /// Keeps a listing that was made, if it is to be kept and holds for every date with this state of the folder; and says
    /// what is locked in it.
    pub(super) fn keep_listing(
        &self,
        store: &dyn Store,
        folder: &[u8],
        listing: &Listing,
        added: Option<Added>,
        keep: Keep,
    ) {
        let mailbox = store.path();
        let shown = listing.rows.shown.iter();
        let locked = shown
            .filter(|shown| shown.encoding == Encoding::Locked)
            .count();
        let told = || format!("locked {folder:?}");
        if locked > 0 && self.told.is_news(mailbox, told().as_bytes()) {
            let why = match self.keys.is_empty() {
                true => "[source] mail_crypt_keys names no key",
                false => {
                    "none of [source] mail_crypt_keys opens them; they may be for another global key, or for keys of users or \
                     folders, which only the server can open"
                }
            };
            tracing::warn!(
                "{}: folder {} of {}: {locked} messages are encrypted (mail_crypt), and {why}: they are listed, and \
                 reading them is an error",
                store.root().path().display(),
                for_people(folder),
                String::from_utf8_lossy(mailbox)
            );
        }
        self.put_listing(store, folder, listing, added, keep);
    }
}

/// Never so: a store tells a change of what it was asked beside.
fn of_another() -> Error {
    Error::new(
        Kind::Failed,
        "what has changed is not of the listing beside",
    )
}

/// Whether every message could be read.
pub(super) fn is_complete(known: &[Known]) -> bool {
    !known.iter().any(|known| matches!(known, Known::Unread))
}

/// A folder's stored name, for a warning.
fn for_people(folder: &[u8]) -> String {
    match folder {
        // What many stores call it that have no name for it.
        b"" => "INBOX".into(),
        name => format!("{:?}", String::from_utf8_lossy(name)),
    }
}
