//! What is in the mailboxes of the newest date: folders, messages, formats, and what is no mail.
//!
//! A quick look stops when its time is over. It takes mailboxes in an order that spreads over all of them, so that what
//! it has seen by then is a fair sample; and it opens a few messages of each to see whether they are compressed.

use super::findings::{Counted, Findings, Sample, Unreadable, counted, printable_bytes};
use crate::cli::terminal::printable;
use crate::disk::Root;
use crate::error::Result;
use crate::snapshot::Snapshot;
use crate::store::decode::{self, Keys};
use crate::store::{Folder, Messages, Store};
use crate::view::content;
use crate::view::mailbox::{Mailbox, Mailboxes};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a quick look may take, but for the mailbox that it is at.
pub const QUICK: Duration = Duration::from_secs(5);

/// Messages of a mailbox that a quick look opens at most.
const OPENED: usize = 4;

/// How thoroughly to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// For [`QUICK`].
    Quick,
    /// Into every mailbox, and no message is opened: all of them are read elsewhere.
    Unlimited,
}

#[derive(Debug, Default, Serialize)]
pub struct Contents {
    /// How many were looked into.
    pub mailboxes: usize,
    pub folders: u64,
    pub messages: u64,
    pub empty: Sample,
    /// Mailboxes by format.
    pub formats: Vec<Counted>,
    pub messages_opened: u64,
    /// Of the opened messages.
    pub compressions: Vec<Counted>,
    /// Symbolic links, FIFOs, devices and directories where a message or a folder should be; the examples are mailboxes
    /// and folders.
    pub oddities: Sample,
}

/// Positions so ordered that the first of them, however many, are spread over all.
pub fn spread(len: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    order.sort_by_key(|position| position.reverse_bits());
    order
}

pub fn survey(
    snapshot: &Snapshot,
    root: &Root,
    mailboxes: &Mailboxes,
    keys: &Keys,
    effort: Effort,
    findings: &mut Findings,
) -> Contents {
    let end = Instant::now() + QUICK;
    let mut survey = Survey {
        date: &snapshot.label,
        root,
        keys,
        effort,
        findings,
        contents: Contents::default(),
        formats: BTreeMap::new(),
        compressions: BTreeMap::new(),
    };
    for position in spread(mailboxes.iter().len()) {
        if effort == Effort::Quick && Instant::now() > end {
            break;
        }
        if let Some(mailbox) = mailboxes.get(position) {
            survey.look_into(mailbox);
        }
    }
    survey.finish()
}

struct Survey<'a> {
    date: &'a str,
    root: &'a Root,
    keys: &'a Keys,
    effort: Effort,
    findings: &'a mut Findings,
    contents: Contents,
    formats: BTreeMap<String, u64>,
    compressions: BTreeMap<String, u64>,
}

impl Survey<'_> {
    fn look_into(&mut self, mailbox: &Mailbox) {
        self.contents.mailboxes += 1;
        let root = self.root;
        let store = mailbox.store(root);
        let found = match store.folders() {
            Ok(found) => found,
            Err(e) => return self.findings.failed(self.at(mailbox, None, None), &e),
        };
        self.contents.oddities.add(found.oddities, &mailbox.name);
        self.contents.folders += found.folders.len() as u64;
        *self
            .formats
            .entry(store.describe(&found.folders))
            .or_insert(0) += 1;
        let mut to_open = match self.effort {
            Effort::Quick => OPENED,
            Effort::Unlimited => 0,
        };
        let (mut count, mut all_known) = (0, true);
        for folder in &found.folders {
            let messages = match store.messages(&folder.stored, &Messages::default()) {
                Ok(messages) => messages,
                Err(e) => {
                    all_known = false;
                    let at = self.at(mailbox, Some(folder), None);
                    self.findings.failed(at, &e);
                    continue;
                }
            };
            if let Some(damage) = &messages.damage {
                let at = self.at(mailbox, Some(folder), None);
                self.findings.damaged(at, damage);
            }
            if messages.oddities > 0 {
                let at = format!("{} {}", mailbox.name, folder_name(folder));
                self.contents.oddities.add(messages.oddities, &at);
            }
            count += messages.len() as u64;
            // The first and the last are the oldest and the newest, as a rule.
            let ends = [0, messages.len().saturating_sub(1)];
            for position in ends.into_iter().take(messages.len()).take(to_open) {
                to_open -= 1;
                self.open(mailbox, &*store, folder, &messages, position);
            }
        }
        self.contents.messages += count;
        if count == 0 && all_known {
            self.contents.empty.add(1, &mailbox.name);
        }
    }

    /// Sees whether a message is compressed; and if it is encrypted, whether it can be read.
    fn open(
        &mut self,
        mailbox: &Mailbox,
        store: &dyn Store,
        folder: &Folder,
        messages: &Messages,
        position: usize,
    ) {
        let Some(message) = messages.get(position) else {
            return;
        };
        let name = messages.locator(message);
        let compression = || -> Result<Option<decode::Encoding>> {
            let stored = store.open(&folder.stored, messages, message)?;
            let encoding = content::encoding(&stored)?;
            if encoding == Some(decode::Encoding::MailCrypt) {
                content::read_to_end(&stored, self.keys)?;
            }
            Ok(encoding)
        };
        match compression() {
            Ok(compression) => {
                self.contents.messages_opened += 1;
                if let Some(compression) = compression {
                    *self
                        .compressions
                        .entry(compression.to_string())
                        .or_insert(0) += 1;
                }
            }
            Err(e) => {
                let at = self.at(mailbox, Some(folder), Some(name));
                self.findings.failed(at, &e);
            }
        }
    }

    fn at(&self, mailbox: &Mailbox, folder: Option<&Folder>, message: Option<&[u8]>) -> Unreadable {
        Unreadable {
            date: self.date.to_owned(),
            mailbox: Some(mailbox.name.clone()),
            folder: folder.map(folder_name),
            message: message.map(printable_bytes),
            ..Unreadable::default()
        }
    }

    fn finish(mut self) -> Contents {
        self.contents.empty.examples.sort();
        self.contents.oddities.examples.sort();
        Contents {
            formats: counted(self.formats),
            compressions: counted(self.compressions),
            ..self.contents
        }
    }
}

/// A folder's decoded name, with `/` between its levels.
pub fn folder_name(folder: &Folder) -> String {
    printable(&folder.path.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn spread_is_every_position_once(len in 0_usize..300) {
            let mut order = spread(len);
            order.sort_unstable();
            prop_assert_eq!(order, (0..len).collect::<Vec<_>>());
        }

        /// Of any beginning, each half of all has its part.
        #[test]
        fn spread_is_fair_from_the_start(seen in 8_usize..1024) {
            let low = spread(1024)[..seen].iter().filter(|p| **p < 512).count();
            prop_assert!(low.abs_diff(seen - low) <= 1, "{} of {}", low, seen);
        }
    }
}
