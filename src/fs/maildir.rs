//! `.maildir`: the dates once more, each mailbox a Maildir++ as mail programs read it.
//!
//! Its messages are the nodes that they are on the date, so that what was read once is not read again; only its
//! directories are nodes of their own. Names in it may be any bytes.

use super::attr::{message_attr, private, public};
use super::inside::{Inside, gone};
use super::node::{self, Cookie, NodeId};
use super::{Attr, Entry, Fs, NodeKind, Open};
use crate::access::Permissions;
use crate::error::{Error, Kind, Result};
use crate::store::Format;
use crate::view::listing::Listing;
use crate::view::maildir::{self, KEYWORDS};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

/// A directory or file in a Maildir, besides its messages and folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The directory of the mailbox or folder itself.
    Itself,
    Cur,
    New,
    Tmp,
    Keywords,
}

impl Part {
    pub const ALL: [Self; 5] = [
        Self::Itself,
        Self::Cur,
        Self::New,
        Self::Tmp,
        Self::Keywords,
    ];
    const WITHIN: [Self; 4] = [Self::Cur, Self::New, Self::Tmp, Self::Keywords];

    fn name(self) -> &'static str {
        match self {
            Self::Itself => ".",
            Self::Cur => "cur",
            Self::New => "new",
            Self::Tmp => "tmp",
            Self::Keywords => KEYWORDS,
        }
    }

    pub fn ordinal(self) -> u32 {
        node::MAILDIR + self as u32
    }
}

/// The messages in `cur` or `new`.
pub(super) struct PartMessages {
    listing: Arc<Listing>,
    /// The folder on its date.
    folder: NodeId,
    permissions: Arc<Permissions>,
    format: Format,
    new: bool,
}

impl PartMessages {
    pub fn entries(&self, from: Cookie, mut add: impl FnMut(Entry) -> bool) {
        let messages = self.listing.messages();
        for position in from.index()..self.listing.len() {
            let Some(item) = self.listing.get(position) else {
                return;
            };
            if item.stored.new != self.new {
                continue;
            }
            let id = self
                .folder
                .with_ordinal(node::FIRST_MESSAGE + position as u32);
            let entry = Entry {
                name: OsString::from_vec(maildir::file_name(messages, item.stored, self.format)),
                next: Cookie::after(position),
                attr: message_attr(id, &item, &self.permissions),
            };
            if add(entry) {
                return;
            }
        }
    }
}

impl Inside {
    fn maildir(&self) -> &maildir::Folders {
        let format = self.mailbox.format;
        self.nested
            .maildir
            .get_or_init(|| maildir::Folders::of(&self.nested.tree, format))
    }

    /// The folder whose messages are in a directory: the mailbox's own is INBOX.
    fn in_maildir(&self, folder: Option<u32>) -> Option<u32> {
        folder.or_else(|| self.maildir().inbox)
    }
}

impl Fs {
    pub(super) fn maildirs_attr(&self) -> Attr {
        public(node::MAILDIRS, self.shown().changed, self.options.refresh)
    }

    pub(super) fn maildir_date_attr(&self, open: &Open) -> Attr {
        let attr = self.date_attr(open);
        Attr {
            id: attr.id.with_ordinal(node::MAILDIR_DATE),
            ..attr
        }
    }

    /// What an ordinal means in a mailbox or one of its folders.
    pub(super) fn maildir_part(
        &self,
        id: NodeId,
        inside: &Inside,
        folder: Option<u32>,
    ) -> Result<Part> {
        let ordinal = id.parts().ordinal;
        let part = Part::ALL.into_iter().find(|part| part.ordinal() == ordinal);
        let part = part.ok_or_else(|| id.stale())?;
        if folder.is_some() && folder == inside.maildir().inbox {
            return Err(id.stale());
        }
        if part == Part::Keywords && self.keywords(inside, folder)?.is_none() {
            return Err(id.stale());
        }
        Ok(part)
    }

    fn maildir_id(&self, inside: &Inside, folder: Option<u32>, part: Part) -> Result<NodeId> {
        let id = match folder {
            Some(position) => self.branch_id(inside, position)?,
            None => inside.id,
        };
        Ok(id.with_ordinal(part.ordinal()))
    }

    pub(super) fn above_maildir(
        &self,
        inside: &Inside,
        folder: Option<u32>,
        part: Part,
    ) -> Result<NodeId> {
        match (part, folder) {
            (Part::Itself, None) => Ok(NodeId::new(inside.open.serial, 0, node::MAILDIR_DATE)),
            (Part::Itself, Some(_)) => self.maildir_id(inside, None, Part::Itself),
            _ => self.maildir_id(inside, folder, Part::Itself),
        }
    }

    pub(super) fn maildir_attr(
        &self,
        inside: &Inside,
        folder: Option<u32>,
        part: Part,
    ) -> Result<Attr> {
        let id = self.maildir_id(inside, folder, part)?;
        let permissions = self.permissions(inside)?;
        // The mailbox's own directory is as old as the date's listing says, which looks into no mailbox.
        let looked_into = (part, folder) != (Part::Itself, None);
        let changed = match inside.in_maildir(folder).filter(|_| looked_into) {
            Some(position) => self.changed(inside, position)?,
            None => inside.mailbox.changed,
        };
        let (kind, size) = match part {
            Part::Keywords => {
                let file = self.keywords(inside, folder)?.ok_or_else(|| id.stale())?;
                (NodeKind::File, file.len() as u64)
            }
            _ => (NodeKind::Directory, 0),
        };
        Ok(private(id, kind, size, changed, &permissions))
    }

    /// The file that says which letter is which keyword; `None` if there is none.
    pub(super) fn keywords(&self, inside: &Inside, folder: Option<u32>) -> Result<Option<Vec<u8>>> {
        let Some(position) = inside.in_maildir(folder) else {
            return Ok(None);
        };
        if inside.mailbox.format == Format::MAILDIR {
            let stored = inside.folder(position).unwrap_or_default();
            return inside.store().keyword_letters(stored).map_err(gone);
        }
        let listing = self.listing(inside, position)?;
        Ok(listing.and_then(|listing| maildir::keywords(listing.messages())))
    }

    pub(super) fn lookup_maildir(
        &self,
        inside: &Inside,
        folder: Option<u32>,
        part: Part,
        name: &[u8],
    ) -> Result<Option<Attr>> {
        if part == Part::Itself {
            let found = Part::WITHIN
                .into_iter()
                .find(|part| part.name().as_bytes() == name);
            return match found {
                Some(Part::Keywords) if self.keywords(inside, folder)?.is_none() => Ok(None),
                Some(part) => self.maildir_attr(inside, folder, part).map(Some),
                None if folder.is_some() => Ok(None),
                None => {
                    let found = inside.maildir().named(name);
                    let attr = |found| self.maildir_attr(inside, Some(found), Part::Itself);
                    found.map(attr).transpose()
                }
            };
        }
        let Some(messages) = self.part_messages(inside, folder, part)? else {
            return Ok(None);
        };
        let listing = &messages.listing;
        let position = maildir::find(listing.messages(), name, messages.format);
        let found = position.and_then(|at| Some((at, listing.get(at)?)));
        Ok(found
            .filter(|(_, item)| item.stored.new == messages.new)
            .map(|(position, item)| {
                let id = messages
                    .folder
                    .with_ordinal(node::FIRST_MESSAGE + position as u32);
                message_attr(id, &item, &messages.permissions)
            }))
    }

    /// What is in `cur` or `new`; `None` for `tmp`, in which there is never anything.
    pub(super) fn part_messages(
        &self,
        inside: &Inside,
        folder: Option<u32>,
        part: Part,
    ) -> Result<Option<PartMessages>> {
        let new = match part {
            Part::Cur => false,
            Part::New => true,
            Part::Itself | Part::Tmp => return Ok(None),
            Part::Keywords => return Err(Error::new(Kind::NotADirectory, "not a directory")),
        };
        let Some(position) = inside.in_maildir(folder) else {
            return Ok(None);
        };
        let Some(listing) = self.listing(inside, position)? else {
            return Ok(None);
        };
        Ok(Some(PartMessages {
            listing,
            folder: self.branch_id(inside, position)?,
            permissions: self.permissions(inside)?,
            format: inside.mailbox.format,
            new,
        }))
    }

    /// The directories and files in the directory of a mailbox or folder, but for messages.
    pub(super) fn maildir_entries(
        &self,
        inside: &Inside,
        folder: Option<u32>,
        from: Cookie,
        add: &mut impl FnMut(Entry) -> bool,
    ) -> Result<()> {
        for (position, part) in Part::WITHIN.into_iter().enumerate().skip(from.index()) {
            if part == Part::Keywords && self.keywords(inside, folder)?.is_none() {
                continue;
            }
            let attr = self.maildir_attr(inside, folder, part)?;
            let next = Cookie::after(position);
            if add(Entry {
                name: part.name().into(),
                next,
                attr,
            }) {
                return Ok(());
            }
        }
        if folder.is_some() {
            return Ok(());
        }
        let passed = from.index().saturating_sub(Part::WITHIN.len());
        for (position, (name, folder)) in inside.maildir().iter().enumerate().skip(passed) {
            let attr = self.maildir_attr(inside, Some(folder), Part::Itself)?;
            let name = OsString::from_vec(name.to_vec());
            let next = Cookie::after(Part::WITHIN.len() + position);
            if add(Entry { name, next, attr }) {
                return Ok(());
            }
        }
        Ok(())
    }
}
