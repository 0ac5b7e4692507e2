//! Puts what was found of a folder's messages into a listing, and finds in one what was known of them on another date.

use super::locator::{Locator, State};
use crate::error::{Error, Kind, Result};
use crate::message::Flags;
use crate::store::messages::Keywords;
use crate::store::{Message, Messages};
use crate::time::Time;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// One message that was found, before it has its place among the others.
pub(super) struct Found {
    pub guid: Vec<u8>,
    pub uid: u32,
    pub flags: Flags,
    pub keywords: u32,
    pub size: u64,
    pub received: Time,
    pub locator: Locator,
}

/// What was known of a folder's messages on another date, by the keys of their locators.
pub(super) struct Before<'a> {
    messages: &'a Messages,
    by_key: HashMap<&'a [u8], &'a Message>,
}

impl<'a> Before<'a> {
    pub fn new(messages: &'a Messages) -> Self {
        let key = |message: &'a Message| {
            let text = messages
                .locator(message)
                .get(messages.store_name(message).len()..)?;
            let end = memchr::memchr_iter(b':', text).nth(1)?;
            // What was missing or damaged may be whole today.
            let whole = text.ends_with(b":w") || text.ends_with(b":x");
            whole.then_some((text.get(..=end)?, message))
        };
        Self {
            messages,
            by_key: messages.iter().filter_map(key).collect(),
        }
    }

    /// The GUID of the message with this key, what else is known of it, and its locator.
    pub fn get(&self, key: &str) -> Option<(Vec<u8>, &'a Message, Locator)> {
        let message = *self.by_key.get(key.as_bytes())?;
        let name = self.messages.store_name(message);
        let locator = Locator::parse(self.messages.locator(message).get(name.len()..)?)?;
        // A second message of one GUID has its UID behind it.
        let guid = name.split(|&b| b == b'/').next()?;
        Some((guid.to_vec(), message, locator))
    }
}

/// A GUID as it may stand in a locator: what no server writes is told by its hash.
pub(super) fn name_of(guid: &[u8]) -> Vec<u8> {
    let fine = (1..=200).contains(&guid.len()) && guid.iter().all(|&b| b != b'/' && b >= b' ');
    if fine {
        return guid.to_vec();
    }
    let hash = Sha256::digest(guid);
    hash.iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>()
        .into_bytes()
}

/// The messages of a folder in order of their identities. Of several with one GUID, which are copies in one folder, the
/// first keeps it and the others have their UIDs behind it.
pub(super) fn assemble(mut found: Vec<Found>, keywords: Keywords) -> Result<Messages> {
    found.sort_by(|a, b| (&a.guid, a.uid).cmp(&(&b.guid, b.uid)));
    let mut last: Option<Vec<u8>> = None;
    for one in &mut found {
        if last.as_ref() == Some(&one.guid) {
            one.guid
                .extend_from_slice(format!("/{}", one.uid).as_bytes());
        } else {
            last = Some(one.guid.clone());
        }
    }
    found.sort_by(|a, b| a.guid.cmp(&b.guid));
    let mut messages = Messages {
        keywords,
        ..Messages::default()
    };
    for one in found {
        let too_long = || Error::new(Kind::Unreadable, "a folder with more than 4 GiB of names");
        let name = u32::try_from(messages.names.len()).map_err(|_| too_long())?;
        messages.names.extend_from_slice(&one.guid);
        messages
            .names
            .extend_from_slice(one.locator.to_string().as_bytes());
        let damaged = one.locator.state == State::Damaged;
        messages.provisional |= damaged;
        messages.rows.push(Message {
            name,
            name_len: (messages.names.len() - name as usize) as u16,
            base_len: one.guid.len() as u16,
            new: false,
            twin: false,
            flags: one.flags,
            keywords: one.keywords,
            // Nobody reads an empty file, and so nobody would be told.
            size: one.size.max(damaged.into()),
            received: one.received,
            inode: 0,
        });
    }
    Ok(messages)
}
