//! A mailbox and what may happen to it.

use super::compose::{Letter, Person, compose};
use super::letters::Language;
use chrono::{DateTime, FixedOffset};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Somebody with a mailbox, and the names of the folders there.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) person: Person,
    pub(super) languages: &'static [Language],
    pub(super) sent: &'static str,
    pub(super) trash: &'static str,
    pub(super) drafts: &'static str,
    /// Further folders; `/` between levels.
    pub(super) folders: &'static [&'static str],
    /// Whether any mail is left on the server.
    pub(super) keeps_mail: bool,
}

impl Account {
    /// The two sides of the address.
    pub(super) fn user_and_domain(&self) -> (&'static str, &'static str) {
        let address = self.person.address;
        address.split_once('@').unwrap_or((address, ""))
    }
}

#[derive(Debug)]
pub(super) struct Mailbox {
    pub(super) account: &'static Account,
    pub(super) folders: BTreeMap<String, Folder>,
    delivered: u32,
}

#[derive(Debug, Default)]
pub(super) struct Folder {
    pub(super) messages: Vec<Message>,
    /// When a name in it last changed; seconds since 1970.
    pub(super) changed: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Message {
    /// The name in its Maildir, without flags; never changes.
    pub(super) base: String,
    pub(super) content: Rc<[u8]>,
    pub(super) letter: Rc<Letter>,
    /// Message-ID without brackets.
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) received: i64,
    /// When it came into its folder.
    pub(super) moved: i64,
    /// Not seen by any mail program yet, and so in `new`.
    pub(super) fresh: bool,
    pub(super) flags: BTreeSet<char>,
}

pub(super) const INBOX: &str = "INBOX";

impl Mailbox {
    pub(super) fn new(account: &'static Account, created: i64) -> Self {
        let mut names = vec![INBOX];
        if account.keeps_mail {
            names.extend([account.sent, account.trash, account.drafts]);
            names.extend(account.folders);
        }
        let folder = |name: &str| {
            let folder = Folder {
                messages: Vec::new(),
                changed: created,
            };
            (name.to_owned(), folder)
        };
        Self {
            account,
            folders: names.into_iter().map(folder).collect(),
            delivered: 0,
        }
    }

    fn folder(&mut self, name: &str) -> &mut Folder {
        self.folders.entry(name.to_owned()).or_default()
    }

    /// A message arrives, unread unless it has `flags`. Returns its Message-ID.
    pub(super) fn deliver(&mut self, folder: &str, letter: Letter, at: i64, flags: &str) -> String {
        self.delivered += 1;
        let (user, domain) = self.account.user_and_domain();
        let serial = self.delivered;
        let id = format!("{at:x}.{serial}.{user}@{domain}");
        let utc = DateTime::from_timestamp(at, 0).unwrap_or_default();
        let date: DateTime<FixedOffset> = utc.into();
        let content = compose(&letter, &id, date);
        let lines = content.iter().filter(|b| **b == b'\n').count();
        let micros = (serial * 39_119) % 1_000_000;
        let base = format!(
            "{at}.M{micros:06}P{}.mail.{domain},S={},W={}",
            2000 + serial,
            content.len(),
            content.len() + lines
        );
        self.put(
            folder,
            Message {
                base,
                content: content.into(),
                letter: Rc::new(letter),
                id: id.clone(),
                received: at,
                moved: at,
                fresh: flags.is_empty(),
                flags: flags.chars().collect(),
            },
            at,
        );
        id
    }

    fn put(&mut self, folder: &str, message: Message, at: i64) {
        let folder = self.folder(folder);
        folder.messages.push(message);
        folder.changed = folder.changed.max(at);
    }

    /// The bases of a folder's messages that are so.
    pub(super) fn find(&self, folder: &str, so: impl Fn(&Message) -> bool) -> Vec<String> {
        let messages = self.folders.get(folder).map_or(&[][..], |f| &f.messages);
        let found = messages.iter().filter(|m| so(m));
        found.map(|m| m.base.clone()).collect()
    }

    pub(super) fn message(&self, folder: &str, base: &str) -> Option<&Message> {
        let folder = self.folders.get(folder)?;
        folder.messages.iter().find(|m| m.base == base)
    }

    /// A mail program has seen the message and sets a flag.
    pub(super) fn flag(&mut self, folder: &str, base: &str, flag: char, at: i64) {
        let folder = self.folder(folder);
        if let Some(message) = folder.messages.iter_mut().find(|m| m.base == base) {
            message.fresh = false;
            message.flags.insert(flag);
            folder.changed = folder.changed.max(at);
        }
    }

    pub(super) fn take_out(&mut self, folder: &str, base: &str, at: i64) -> Option<Message> {
        let folder = self.folder(folder);
        let place = folder.messages.iter().position(|m| m.base == base)?;
        folder.changed = folder.changed.max(at);
        Some(folder.messages.remove(place))
    }

    pub(super) fn move_to(&mut self, folder: &str, base: &str, to: &str, at: i64) {
        if let Some(mut message) = self.take_out(folder, base, at) {
            message.moved = at;
            message.fresh = false;
            self.put(to, message, at);
        }
    }

    pub(super) fn rename_folder(&mut self, from: &str, to: &str) {
        if let Some(folder) = self.folders.remove(from) {
            self.folders.insert(to.to_owned(), folder);
        }
    }
}
