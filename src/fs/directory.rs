//! Listing a directory: entry by entry, from wherever the kernel goes on.

use super::node::{self, Cookie, NodeId};
use super::resolve::{Inside, Meaning, Populated};
use super::{Attr, Caller, Fs, MboxListed, NodeKind, Open, message_attr, private};
use crate::access::Permissions;
use crate::error::{Error, Kind, Result};
use crate::view::about;
use crate::view::listing::Listing;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// One name in a directory.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    /// Where to go on after this entry.
    pub next: Cookie,
    /// With a ttl of 0: only the id and the kind are right, and the rest is to be asked for by name.
    pub attr: Attr,
}

/// A directory that is ready to be listed without waiting for the disk.
pub struct Directory {
    id: NodeId,
    parent: NodeId,
    caller: Caller,
    content: Content,
}

enum Content {
    Root(Vec<(String, Arc<Open>)>),
    Date(Arc<Open>, Arc<Populated>),
    Mailbox(Inside, Arc<Permissions>),
    Branch(Inside, u32, Arc<Permissions>, Option<Arc<Listing>>),
}

impl Fs {
    /// Makes a directory ready to be listed for a caller.
    pub fn directory(&self, id: NodeId, caller: Caller) -> Result<Directory> {
        let content = match self.resolve(id)? {
            Meaning::Root => Content::Root(
                self.shown()
                    .by_label
                    .iter()
                    .map(|(label, open)| (label.clone(), open.clone()))
                    .collect(),
            ),
            Meaning::Date(open) => {
                let populated = self.populated(&open)?;
                // The disk is asked for owners here, not entry by entry.
                if let Some(mailbox) = populated.mailboxes.get(0) {
                    self.permissions_of(&open, mailbox)?;
                }
                Content::Date(open, populated)
            }
            Meaning::Mailbox(inside) => {
                let permissions = self.permissions(&inside)?;
                Content::Mailbox(inside, permissions)
            }
            Meaning::Branch(inside, position) => {
                let permissions = self.permissions(&inside)?;
                let listing = self.listing(&inside, position)?;
                Content::Branch(inside, position, permissions, listing)
            }
            _ => return Err(Error::new(Kind::NotADirectory, "not a directory")),
        };
        Ok(Directory {
            id,
            parent: self.parent(id)?,
            caller,
            content,
        })
    }

    /// Gives the entries from `from` on to `add`, until there are no more or `add` says that it is full.
    pub fn entries(
        &self,
        directory: &Directory,
        from: Cookie,
        mut add: impl FnMut(Entry) -> bool,
    ) -> Result<()> {
        for (position, name, id) in [(0, ".", directory.id), (1, "..", directory.parent)] {
            if from.0 <= position {
                let attr = Attr {
                    id,
                    ttl: Duration::ZERO,
                    ..super::public(id, Default::default(), Duration::ZERO)
                };
                if add(Entry {
                    name: name.into(),
                    next: Cookie(position + 1),
                    attr,
                }) {
                    return Ok(());
                }
            }
        }
        match &directory.content {
            Content::Root(dates) => self.root_entries(dates, from, add),
            Content::Date(open, populated) => {
                for (position, mailbox) in populated.mailboxes.iter().enumerate().skip(index(from))
                {
                    let permissions = self.permissions_of(open, mailbox)?;
                    let caller = directory.caller;
                    if self.policy.hide_unreadable
                        && !self.policy.may_enter(caller.uid, caller.gid, &permissions)
                    {
                        continue;
                    }
                    let serial = populated.serials.get(position).copied().unwrap_or_default();
                    let id = NodeId::new(open.serial, serial, 0);
                    let attr = private(id, NodeKind::Directory, 0, mailbox.changed, &permissions);
                    if add(Entry {
                        name: mailbox.name.clone(),
                        next: after(position),
                        attr,
                    }) {
                        return Ok(());
                    }
                }
                Ok(())
            }
            Content::Mailbox(inside, permissions) => {
                if index(from) == 0 {
                    let attr = self.attr(&Meaning::About(inside.clone()), inside.id)?;
                    if add(Entry {
                        name: about::FILE_NAME.into(),
                        next: after(0),
                        attr,
                    }) {
                        return Ok(());
                    }
                }
                self.branch_entries(inside, None, permissions, 1, from, &mut add)
                    .map(|_| ())
            }
            Content::Branch(inside, position, permissions, listing) => {
                let below =
                    self.branch_entries(inside, Some(*position), permissions, 0, from, &mut add)?;
                let (Some(first), Some(listing)) = (below, listing) else {
                    return Ok(());
                };
                for message in index(from).saturating_sub(first)..listing.len() {
                    let Some(item) = listing.get(message) else {
                        break;
                    };
                    let id = directory
                        .id
                        .with_ordinal(node::FIRST_MESSAGE + message as u32);
                    let attr = message_attr(id, &item, permissions);
                    if add(Entry {
                        name: item.name.into(),
                        next: after(first + message),
                        attr,
                    }) {
                        return Ok(());
                    }
                }
                Ok(())
            }
        }
    }

    /// Dates come and go while the root is listed, so a cookie is the date itself.
    fn root_entries(
        &self,
        dates: &[(String, Arc<Open>)],
        from: Cookie,
        mut add: impl FnMut(Entry) -> bool,
    ) -> Result<()> {
        for (label, open) in dates {
            let digits = label.bytes().filter(u8::is_ascii_digit);
            let next = Cookie(
                2 + digits.fold(0u64, |n, digit| {
                    n.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
                }),
            );
            if next > from
                && add(Entry {
                    name: label.clone(),
                    next,
                    attr: self.date_attr(open),
                })
            {
                return Ok(());
            }
        }
        let last = Cookie(i64::MAX as u64);
        if from < last
            && let Some(attr) = self.latest_attr()
        {
            add(Entry {
                name: "latest".into(),
                next: last,
                attr,
            });
        }
        Ok(())
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
        for (i, &branch_position) in below.iter().enumerate() {
            let position = first + 2 * i;
            if position + 1 < index(from) {
                continue;
            }
            let Some(branch) = inside.branch(branch_position) else {
                continue;
            };
            if index(from) <= position {
                let attr = self.branch_attr(inside, branch_position, permissions)?;
                if add(Entry {
                    name: branch.name.clone(),
                    next: after(position),
                    attr,
                }) {
                    return Ok(None);
                }
            }
            if branch.is_folder()
                && let Some(attr) = self.listed_mbox(inside, branch_position, permissions)?
                && add(Entry {
                    name: branch.mbox_name(),
                    next: after(position + 1),
                    attr,
                })
            {
                return Ok(None);
            }
        }
        Ok(Some(first + 2 * below.len()))
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
        if self.known_mbox_size(inside, position, id)?.is_some() {
            return self.mbox_attr(inside, position).map(Some);
        }
        if self.options.mbox_listed == MboxListed::WhenSized {
            return Ok(None);
        }
        debug_assert!(
            !self
                .mbox_sizes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .contains_key(&id)
        );
        let attr = private(id, NodeKind::File, 0, inside.mailbox.changed, permissions);
        Ok(Some(Attr {
            ttl: Duration::ZERO,
            ..attr
        }))
    }
}

/// Position of the entry at which a cookie goes on, behind `.` and `..`.
fn index(from: Cookie) -> usize {
    usize::try_from(from.0.saturating_sub(2)).unwrap_or(usize::MAX)
}

fn after(position: usize) -> Cookie {
    Cookie(position as u64 + 3)
}
