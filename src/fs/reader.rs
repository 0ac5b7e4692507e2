//! Who may read what, for those whom no kernel decides on: people known by the address that a mail server knows them by.
//!
//! The rules are the mount's. A mailbox is known by its path in the snapshots, whatever its name on a date; so what somebody may
//! read is found out for the mailbox that a name means on the date in question.
//!
//! - His own mailbox is the one whose address is his, exactly or else ignoring the case of ASCII letters, in the newest snapshot
//!   that has one. Where several have it, none is his.
//! - Others he may read as the Unix user who owns his own one, if the policy lets that user enter. Root, and a user who owns
//!   other mailboxes too, as in a store with one user for all, is no person.
//!
//! Each question is answered by the snapshots and the policy of the moment; in doubt it is no. Kept is only who was found to
//! have no mailbox, as long as nothing changes: he would be looked for on all dates each time.

use super::{Fs, Open};
use crate::access::{NOBODYS_GID, NOBODYS_UID};
use crate::error::{Error, Kind, Result};
use crate::view::mailbox::{Mailbox, Mailboxes};
use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

/// So many addresses without a mailbox are kept.
const MOST_STRANGERS: usize = 10_000;

/// Addresses that nobody has by what was shown at one moment.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    generation: u64,
    addresses: HashSet<String>,
}

/// Somebody who has a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// The address as the mail store has it.
    pub address: String,
    /// The name of his own mailbox on the newest date that has it.
    pub mailbox: String,
    /// Where that is in the snapshots.
    path: Vec<u8>,
    /// The Unix user as whom he may read other mailboxes.
    uid: Option<u32>,
}

/// The mailboxes with an address.
enum Having<'a> {
    None,
    One(&'a Mailbox),
    Several,
}

impl Fs {
    /// Whose address this is; `None` if no mailbox has it, or several have. May wait for the disk and the name service.
    pub fn reader(&self, address: &str) -> Result<Option<Reader>> {
        let generation = self.shown().generation;
        let strangers = || {
            self.strangers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let known = strangers();
        if known.generation == generation && known.addresses.contains(address) {
            return Ok(None);
        }
        drop(known);
        let found = self.look_for_reader(address)?;
        if found.is_none() {
            let mut known = strangers();
            if known.generation != generation || known.addresses.len() >= MOST_STRANGERS {
                known.addresses.clear();
                known.generation = generation;
            }
            known.addresses.insert(address.to_owned());
        }
        Ok(found)
    }

    fn look_for_reader(&self, address: &str) -> Result<Option<Reader>> {
        let shown = self.shown();
        for open in shown.by_time.iter().rev() {
            let populated = match self.populated(open) {
                Err(e) if e.kind() == Kind::Stale => continue,
                other => other?,
            };
            let own = match self.having(&populated.mailboxes, address) {
                Having::One(own) => own,
                Having::Several => {
                    tracing::warn!(
                        "{}: several mailboxes have the address {address:?}, so nobody can sign in as that: see `mailtm check`",
                        open.root.path().display()
                    );
                    return Ok(None);
                }
                Having::None if populated.mailboxes.is_complete() => continue,
                Having::None => {
                    let message = format!(
                        "{}: whether somebody has the address {address:?} is not known: not all of it could be read",
                        open.root.path().display()
                    );
                    return Err(Error::new(Kind::Unreadable, message));
                }
            };
            return Ok(Some(Reader {
                address: self.address_of(own),
                mailbox: own.name.clone(),
                path: own.path.clone(),
                uid: self.unix_user(open, own)?,
            }));
        }
        Ok(None)
    }

    /// Whether somebody may read the mailbox that has this name on a date; on all dates that have the name, if none is named.
    pub fn may_read(&self, reader: &Reader, mailbox: &str, date: Option<&str>) -> Result<bool> {
        let shown = self.shown();
        let mut found = false;
        for (label, open) in &shown.by_label {
            if date.is_some_and(|date| date != label) {
                continue;
            }
            let populated = match self.populated(open) {
                Err(e) if e.kind() == Kind::Stale => continue,
                other => other?,
            };
            if let Some(named) = populated.mailboxes.named(mailbox) {
                if !self.lets_in(reader, open, named)? {
                    return Ok(false);
                }
                found = true;
            }
        }
        Ok(found)
    }

    /// The names of the mailboxes of a date, the newest if none is named, that somebody may read: his own one first.
    pub fn readable(&self, reader: &Reader, date: Option<&str>) -> Result<Vec<String>> {
        let shown = self.shown();
        let open = match date {
            Some(date) => shown.by_label.get(date),
            None => shown.by_time.last(),
        };
        let Some(open) = open else {
            return Ok(Vec::new());
        };
        let populated = self.populated(open)?;
        let own = populated.mailboxes.at(&reader.path);
        let mut names: Vec<String> = own.iter().map(|own| own.name.clone()).collect();
        if reader.uid.is_some() && shown.policy.lets_others_in() {
            for mailbox in populated.mailboxes.iter() {
                if mailbox.path != reader.path && self.lets_in(reader, open, mailbox)? {
                    names.push(mailbox.name.clone());
                }
            }
        }
        Ok(names)
    }

    /// How many mailboxes the newest date has, as far as that is known without looking.
    pub fn newest_mailboxes(&self) -> Option<usize> {
        let shown = self.shown();
        let newest = shown.by_time.last()?;
        let populated = self.mailboxes.peek(&newest.serial)?;
        Some(populated.mailboxes.iter().len())
    }

    fn lets_in(&self, reader: &Reader, open: &Arc<Open>, mailbox: &Mailbox) -> Result<bool> {
        if mailbox.path == reader.path {
            return Ok(true);
        }
        let Some(uid) = reader.uid else {
            return Ok(false);
        };
        let permissions = self.permissions_of(open, mailbox)?;
        let policy = self.policy();
        Ok(permissions.uid != uid && policy.may_enter(uid, NOBODYS_GID, &permissions))
    }

    /// The Unix user that owns a mailbox, if he is a person and it makes a difference.
    fn unix_user(&self, open: &Arc<Open>, own: &Mailbox) -> Result<Option<u32>> {
        if !self.policy().lets_others_in() {
            return Ok(None);
        }
        let uid = self.permissions_of(open, own)?.uid;
        if uid == 0 || uid == NOBODYS_UID {
            return Ok(None);
        }
        for shown in self.shown().by_time.iter().rev() {
            let populated = match self.populated(shown) {
                Err(e) if e.kind() == Kind::Stale => continue,
                other => other?,
            };
            if !populated.mailboxes.is_complete() {
                return Ok(None);
            }
            for mailbox in populated.mailboxes.iter() {
                if mailbox.path != own.path && self.permissions_of(shown, mailbox)?.uid == uid {
                    return Ok(None);
                }
            }
            break;
        }
        Ok(Some(uid))
    }

    fn address_of(&self, mailbox: &Mailbox) -> String {
        let layout = &self.view.layout;
        layout.address(&mailbox.user, mailbox.domain.as_deref())
    }

    fn having<'a>(&self, mailboxes: &'a Mailboxes, address: &str) -> Having<'a> {
        // Those with the same address are told apart by their names, so there is one of the name and those renamed.
        let exact = mailboxes.named(address).into_iter();
        let exact = exact.chain(mailboxes.renamed());
        let exact = one(exact.filter(|mailbox| self.address_of(mailbox) == address));
        if !matches!(exact, Having::None) {
            return exact;
        }
        one(mailboxes.iter().filter(|mailbox| {
            let own = self.address_of(mailbox);
            own.eq_ignore_ascii_case(address)
        }))
    }
}

/// What there is of it, a mailbox named twice being one.
fn one<'a>(mut found: impl Iterator<Item = &'a Mailbox>) -> Having<'a> {
    let Some(first) = found.next() else {
        return Having::None;
    };
    match found.any(|other| other.path != first.path) {
        true => Having::Several,
        false => Having::One(first),
    }
}

#[cfg(test)]
mod tests;
