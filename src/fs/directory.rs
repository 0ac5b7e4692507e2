//! Listing a directory: entry by entry, from wherever the kernel goes on.

use super::attr::{message_attr, private, public};
use super::deleted::LostMessages;
use super::inside::Inside;
use super::listing::Piece;
use super::maildir::{Part, PartMessages};
use super::node::{self, Cookie, NodeId};
use super::resolve::Meaning;
use super::{Attr, Caller, Fs, MboxListed, NodeKind, Open};
use crate::access::Permissions;
use crate::error::{Error, Kind, Result};
use crate::view::about;
use crate::view::listing::is_for_all;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

/// One name in a directory.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: OsString,
    /// Where to go on after this entry.
    pub next: Cookie,
    /// With a ttl of 0: only the id and the kind are right, and the rest is to be asked for by name.
    pub attr: Attr,
}

/// Entries that need a look at the disk, worked out for one request at most: about what a reply has room for.
const AHEAD: usize = 64;

/// A directory that is ready to be listed from somewhere on, without waiting for anything.
pub struct Directory {
    id: NodeId,
    parent: NodeId,
    /// The next entries but for messages, not necessarily to the end.
    prepared: Vec<Entry>,
    /// What comes after `prepared`.
    messages: Rest,
}

/// The messages of a directory.
enum Rest {
    None,
    Folder(Box<Messages>),
    Lost(LostMessages),
    Part(PartMessages),
}

struct Messages {
    inside: Inside,
    /// Of the folder in its mailbox's tree.
    position: u32,
    piece: Piece,
    /// Position in the directory of the folder's first message.
    first: usize,
    permissions: Arc<Permissions>,
}

impl Directory {
    /// Gives the entries from `from` on, where it was made ready, to `add`, until `add` says that it is full.
    pub fn entries(&self, from: Cookie, mut add: impl FnMut(Entry) -> bool) {
        for (position, name, id) in [(0, ".", self.id), (1, "..", self.parent)] {
            if from.0 <= position {
                let attr = Attr {
                    id,
                    ttl: Duration::ZERO,
                    ..public(id, Default::default(), Duration::ZERO)
                };
                if add(Entry {
                    name: name.into(),
                    next: Cookie(position + 1),
                    attr,
                }) {
                    return;
                }
            }
        }
        for entry in &self.prepared {
            if add(entry.clone()) {
                return;
            }
        }
        let Messages {
            piece: Piece { listing, first: at },
            first,
            permissions,
            ..
        } = match &self.messages {
            Rest::None => return,
            Rest::Folder(messages) => messages.as_ref(),
            Rest::Lost(messages) => return messages.entries(from, add),
            Rest::Part(messages) => return messages.entries(from, add),
        };
        let begin = from.index().saturating_sub(*first).max(*at);
        for message in begin..at + listing.len() {
            let Some(item) = listing.get(message - at) else {
                return;
            };
            let id = self.id.with_ordinal(node::FIRST_MESSAGE + message as u32);
            let attr = message_attr(id, &item, permissions);
            if add(Entry {
                name: item.name.into(),
                next: Cookie::after(first + message),
                attr,
            }) {
                return;
            }
        }
    }
}

impl Fs {
    /// Makes a directory ready to be listed for a caller from `from` on. All waiting is done here, where a request that
    /// waits too long can still be answered.
    ///
    /// # Errors
    /// That of the first entry. One further on ends the listing before it, and is met when the caller goes on there.
    pub fn directory(&self, id: NodeId, caller: Caller, from: Cookie) -> Result<Directory> {
        let mut directory = Directory {
            id,
            parent: self.parent(id)?,
            prepared: Vec::new(),
            messages: Rest::None,
        };
        match self.prepare_entries(&mut directory, caller, from) {
            Err(e) if e.kind() == Kind::WouldBlock || directory.prepared.is_empty() => Err(e),
            _ => Ok(directory),
        }
    }

    /// Makes ready what a caller who goes on after these entries will want, where that takes a while; nothing for one who has
    /// only begun, and may have seen enough.
    pub fn prepare_next(&self, directory: &Directory, from: Cookie) -> Result<()> {
        let Rest::Folder(messages) = &directory.messages else {
            return Ok(());
        };
        if from.index() <= messages.first {
            return Ok(());
        }
        self.piece_after(&messages.inside, messages.position, &messages.piece)
    }

    /// Whether a directory of a mailbox has all that it will ever list: an mbox may be left out until its size is known.
    pub fn listing_stays(&self, id: NodeId) -> Result<bool> {
        let shown = self.shown();
        let open = shown.by_serial.get(&id.parts().snapshot);
        if open.is_some_and(|open| open.is_believed_for().is_some()) {
            return Ok(false);
        }
        if self.options.mbox_listed != MboxListed::WhenSized {
            return Ok(true);
        }
        let (inside, above) = match self.resolve(id)? {
            Meaning::Mailbox(inside) => (inside, None),
            Meaning::Branch(inside, position) => (inside, Some(position)),
            _ => return Ok(true),
        };
        for &position in inside.nested.tree.below(above) {
            if inside.folder(position).is_none() {
                continue;
            }
            let id = self.branch_id(&inside, position)?.with_ordinal(1);
            match self.known_mbox_size(&inside, position, id) {
                Ok(Some(_)) => {}
                Err(e) if is_for_all(&e) => return Err(e),
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    fn prepare_entries(
        &self,
        directory: &mut Directory,
        caller: Caller,
        from: Cookie,
    ) -> Result<()> {
        let prepared = &mut directory.prepared;
        let mut add = |entry| {
            prepared.push(entry);
            prepared.len() >= AHEAD
        };
        match self.resolve(directory.id)? {
            Meaning::Root => self.root_entries(from, add),
            Meaning::Date(open) => self.date_entries(&open, 0, caller, from, add)?,
            Meaning::Maildirs => {
                let maildirs = |open: &Open| self.maildir_date_attr(open);
                self.label_entries(from, &maildirs, &mut add);
            }
            Meaning::MaildirDate(open) => {
                self.date_entries(&open, node::MAILDIR, caller, from, add)?;
            }
            Meaning::Maildir(inside, folder, Part::Itself) => {
                self.maildir_entries(&inside, folder, from, &mut add)?;
            }
            Meaning::Maildir(inside, folder, part) => {
                let messages = self.part_messages(&inside, folder, part)?;
                directory.messages = messages.map_or(Rest::None, Rest::Part);
            }
            Meaning::Mailbox(inside) => {
                let permissions = self.permissions(&inside)?;
                if from.index() == 0 {
                    let attr = self.attr(&Meaning::About(inside.clone()), inside.id)?;
                    add(Entry {
                        name: about::FILE_NAME.into(),
                        next: Cookie::after(0),
                        attr,
                    });
                }
                self.branch_entries(&inside, None, &permissions, 1, from, &mut add)?;
            }
            Meaning::Branch(inside, position) => {
                let before = positions(inside.nested.tree.below(Some(position)));
                let from_message = from.index().saturating_sub(before);
                let piece = self.piece(&inside, position, from_message)?;
                let permissions = self.permissions(&inside)?;
                let below =
                    self.branch_entries(&inside, Some(position), &permissions, 0, from, &mut add)?;
                if let (Some(first), Some(piece)) = (below, piece) {
                    directory.messages = Rest::Folder(Box::new(Messages {
                        inside,
                        position,
                        piece,
                        first,
                        permissions,
                    }));
                }
            }
            Meaning::Deleted => self.everybody_entries(caller, from, add)?,
            Meaning::DeletedMailbox(somebody) => {
                let kept = self.lost(&somebody)?;
                self.lost_entries(&somebody, &kept, None, from, &mut add)?;
            }
            Meaning::DeletedFolder(somebody, kept, position) => {
                let below = Some(position);
                let messages = self.lost_entries(&somebody, &kept, below, from, &mut add)?;
                directory.messages = messages.map_or(Rest::None, Rest::Lost);
            }
            _ => return Err(Error::new(Kind::NotADirectory, "not a directory")),
        }
        Ok(())
    }

    /// The mailboxes of a date that the caller is shown: the directories of them that have this ordinal.
    fn date_entries(
        &self,
        open: &Arc<Open>,
        ordinal: u32,
        caller: Caller,
        from: Cookie,
        mut add: impl FnMut(Entry) -> bool,
    ) -> Result<()> {
        let policy = self.policy();
        let asking = policy.asking(caller.uid, caller.gid, caller.thread);
        let populated = self.populated(open)?;
        for (position, mailbox) in populated.mailboxes.iter().enumerate().skip(from.index()) {
            let permissions = self.permissions_of(open, mailbox)?;
            if policy.hide_unreadable && !asking.may_enter(&permissions) {
                continue;
            }
            let serial = populated.serials.get(position).copied().unwrap_or_default();
            let id = NodeId::new(open.serial, serial, ordinal);
            let attr = private(id, NodeKind::Directory, 0, mailbox.changed, &permissions);
            if add(Entry {
                name: mailbox.name.clone().into(),
                next: Cookie::after(position),
                attr,
            }) {
                break;
            }
        }
        Ok(())
    }

    /// Dates come and go while they are listed, so a cookie is the date itself. Returns whether `add` was full.
    fn label_entries(
        &self,
        from: Cookie,
        attr: &dyn Fn(&Open) -> Attr,
        add: &mut impl FnMut(Entry) -> bool,
    ) -> bool {
        for (label, open) in &self.shown().by_label {
            let digits = label.bytes().filter(u8::is_ascii_digit);
            let next = Cookie(
                2 + digits.fold(0u64, |n, digit| {
                    n.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
                }),
            );
            if next > from
                && add(Entry {
                    name: label.into(),
                    next,
                    attr: attr(open),
                })
            {
                return true;
            }
        }
        false
    }

    fn root_entries(&self, from: Cookie, mut add: impl FnMut(Entry) -> bool) {
        if self.label_entries(from, &|open| self.date_attr(open), &mut add) {
            return;
        }
        let fixed = [
            ("latest", self.latest_attr()),
            ("deleted", Some(self.deleted_attr())),
            (".maildir", Some(self.maildirs_attr())),
        ];
        let last = i64::MAX as u64;
        for (behind, (name, attr)) in (0..fixed.len() as u64).rev().zip(fixed) {
            let next = Cookie(last - behind);
            if from < next
                && let Some(attr) = attr
                && add(Entry {
                    name: name.into(),
                    next,
                    attr,
                })
            {
                return;
            }
        }
    }

    /// The directories and mboxes right below a directory, the first at position `first`; returns the position behind the last,
    /// or `None` if `add` was full.
    fn branch_entries(
        &self,
        inside: &Inside,
        above: Option<u32>,
        permissions: &Permissions,
        first: usize,
        from: Cookie,
        add: &mut impl FnMut(Entry) -> bool,
    ) -> Result<Option<usize>> {
        let below = inside.nested.tree.below(above);
        let passed = from.index().saturating_sub(first) / 2;
        for (i, &branch_position) in below.iter().enumerate().skip(passed) {
            let position = first + 2 * i;
            let Some(branch) = inside.branch(branch_position) else {
                continue;
            };
            if from.index() <= position {
                let attr = match self.branch_attr(inside, branch_position, permissions) {
                    Err(e) if !is_for_all(&e) => {
                        let id = self.branch_id(inside, branch_position)?;
                        unknown(id, NodeKind::Directory, inside, permissions)
                    }
                    attr => attr?,
                };
                if add(Entry {
                    name: branch.name.clone().into(),
                    next: Cookie::after(position),
                    attr,
                }) {
                    return Ok(None);
                }
            }
            if branch.is_folder()
                && let Some(attr) = self.listed_mbox(inside, branch_position, permissions)?
                && add(Entry {
                    name: branch.mbox_name().into(),
                    next: Cookie::after(position + 1),
                    attr,
                })
            {
                return Ok(None);
            }
        }
        Ok(Some(first + positions(below)))
    }

    /// An mbox as a listing shows it, which never waits for its size.
    fn listed_mbox(
        &self,
        inside: &Inside,
        position: u32,
        permissions: &Permissions,
    ) -> Result<Option<Attr>> {
        if self.options.mbox_listed == MboxListed::Never {
            return Ok(None);
        }
        let id = self.branch_id(inside, position)?.with_ordinal(1);
        match self.known_mbox_size(inside, position, id) {
            Ok(Some(_)) => return self.mbox_attr(inside, position).map(Some),
            Err(e) if is_for_all(&e) => return Err(e),
            _ => {}
        }
        if self.options.mbox_listed == MboxListed::WhenSized {
            return Ok(None);
        }
        Ok(Some(unknown(id, NodeKind::File, inside, permissions)))
    }
}

/// How many positions some directories take: two each, one for the mbox.
fn positions(below: &[u32]) -> usize {
    2 * below.len()
}

/// What is listed by name, and says more when it is asked for by name: it would take a while to know, or is not readable.
fn unknown(id: NodeId, kind: NodeKind, inside: &Inside, permissions: &Permissions) -> Attr {
    Attr {
        ttl: Duration::ZERO,
        ..private(id, kind, 0, inside.mailbox.changed, permissions)
    }
}
