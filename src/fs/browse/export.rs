//! What is taken away: chosen messages as one mbox, a mailbox as a Maildir++.
//!
//! Everything is made piece by piece as it is asked for, so that nothing is held but the piece and whoever takes it sets
//! the pace.
//!
//! Invariants: a piece that could not be made can be asked for again, for nothing has changed; the bytes are those that the
//! mount gives for the same messages; a message that cannot be had has its place taken by one that says so.

use super::{Contents, State, Summary, When};
use crate::error::{Error, Kind, Result};
use crate::fs::Fs;
use crate::message::mboxrd::{self, Renderer, TAIL};
use crate::view::listing::is_for_all;
use crate::view::maildir::Folders;
use crate::view::mbox::REASON;
use std::collections::HashSet;

/// Bytes of a message that are read at once.
pub const PIECE: usize = 256 << 10;

/// Chosen messages as one mbox, in the form of the mount's.
pub struct Mbox {
    /// In the order of the file.
    messages: Vec<Summary>,
    /// The one that is being written.
    at: usize,
    /// How much of it has been rendered, and how it goes on; `None` before its beginning.
    state: Option<(u64, Renderer)>,
    /// Messages whose place was taken by one that says so.
    unreadable: usize,
}

impl Mbox {
    /// Of these messages, each with its name in the store, in whatever order.
    pub fn of(mut messages: Vec<(Vec<u8>, Summary)>) -> Self {
        messages.sort_by(|(a, left), (b, right)| (left.received, a).cmp(&(right.received, b)));
        let mut seen = HashSet::new();
        let messages = messages.into_iter().map(|(_, summary)| summary);
        Self {
            messages: messages.filter(|m| seen.insert(m.node)).collect(),
            at: 0,
            state: None,
            unreadable: 0,
        }
    }

    /// Messages whose place was taken by one that says so, up to here.
    pub fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// A message can be read no further: what is there of the file is no whole one.
    pub fn next(&mut self, fs: &Fs) -> Result<Option<Vec<u8>>> {
        let Some(message) = self.messages.get(self.at) else {
            return Ok(None);
        };
        let mut out = Vec::new();
        let (offset, mut renderer) = match &self.state {
            Some((offset, renderer)) => (*offset, renderer.clone()),
            None => {
                out = mboxrd::head(fs.view.flags, message.received, message.flags);
                (0, Renderer::new(fs.view.flags))
            }
        };
        let read = fs.read(message.node, offset, PIECE);
        match read {
            Ok(bytes) => {
                let offset = offset + bytes.len() as u64;
                if bytes.is_empty() && offset < message.size {
                    let ends = format!("{}: ends too early", message.name);
                    return Err(Error::new(Kind::Unreadable, ends));
                }
                renderer.feed(&bytes, &mut out);
                if offset < message.size {
                    self.state = Some((offset, renderer));
                    return Ok(Some(out));
                }
                renderer.finish(&mut out);
            }
            Err(e) if offset == 0 && !is_for_all(&e) => {
                tracing::warn!("a message's place in an mbox is taken by a note that says so: {e}");
                out.extend(mboxrd::placeholder(REASON));
                self.unreadable += 1;
            }
            Err(e) => return Err(e),
        }
        out.extend_from_slice(TAIL);
        self.state = None;
        self.at += 1;
        Ok(Some(out))
    }
}

/// A folder of a mailbox as a Maildir++ has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaildirFolder {
    /// Its directory below the mailbox's; empty for the mailbox's own, which is INBOX.
    pub directory: Vec<u8>,
    /// What it is opened by.
    pub path: String,
}

impl Fs {
    /// The folders of a mailbox as a Maildir++ has them, INBOX first; `None`: there is no such mailbox then.
    pub fn maildir_folders(
        &self,
        mailbox: &str,
        when: &When,
    ) -> Result<Option<Vec<MaildirFolder>>> {
        let Some(state) = self.state(mailbox, when)? else {
            return Ok(None);
        };
        let (tree, format) = match &state {
            State::Dated(inside) => (&inside.nested.tree, inside.mailbox.format),
            State::Lost(somebody, kept) => (&kept.lost.tree, somebody.mailbox.format),
        };
        let folders = Folders::of(tree, format);
        let inbox = folders.inbox.map(|position| (Vec::new(), position));
        let others = folders.iter().map(|(name, at)| (name.to_vec(), at));
        let all = inbox.into_iter().chain(others);
        let folder = |(directory, position)| MaildirFolder {
            directory,
            path: tree.path(position),
        };
        Ok(Some(all.map(folder).collect()))
    }

    /// The file that says which letter in the names of a folder's messages is which keyword; `None` if there is none.
    pub fn maildir_keywords(&self, contents: &Contents) -> Result<Option<Vec<u8>>> {
        // Letters are given once and for all: the newest date knows them all.
        match contents.parts.first() {
            Some(part) => self.keywords(&part.inside, Some(part.folder)),
            None => Ok(None),
        }
    }
}
