//! From a name, or from a node id, to what is told of it.

use super::attr::{message_attr, private, public};
use super::deleted::Somebody;
use super::inside::Inside;
use super::maildir::Part;
use super::node::{self, NodeId};
use super::resolve::Meaning;
use super::{Attr, Fs, MboxListed, NodeKind, Open};
use crate::error::{Error, Kind, Result};
use crate::time::Time;
use crate::view::about;
use std::sync::Arc;

impl Fs {
    /// The node that a name in a directory stands for; `.` and `..` too, as NFS servers ask.
    ///
    /// `None`: there is no such name; below a date there never will be.
    pub fn lookup(&self, parent: NodeId, name: &[u8]) -> Result<Option<Attr>> {
        if name == b"." {
            return self.getattr(parent).map(Some);
        }
        if name == b".." {
            return self.getattr(self.parent(parent)?).map(Some);
        }
        let parent = self.resolve(parent)?;
        if let Meaning::Maildir(inside, folder, part) = &parent {
            return self.lookup_maildir(inside, *folder, *part, name);
        }
        let Ok(name) = std::str::from_utf8(name) else {
            return Ok(None);
        };
        match parent {
            Meaning::Root if name == "latest" => Ok(self.latest_attr()),
            Meaning::Root if name == ".maildir" => Ok(Some(self.maildirs_attr())),
            Meaning::Maildirs => {
                let shown = self.shown();
                let found = shown.by_label.get(name);
                Ok(found.map(|open| self.maildir_date_attr(open)))
            }
            Meaning::Root if name == "deleted" => Ok(Some(self.deleted_attr())),
            Meaning::Root => {
                let shown = self.shown();
                Ok(shown.by_label.get(name).map(|open| self.date_attr(open)))
            }
            Meaning::Date(open) => self.lookup_mailbox(&open, name),
            Meaning::MaildirDate(open) => {
                let maildir = |attr: Attr| Attr {
                    id: attr.id.with_ordinal(node::MAILDIR),
                    ..attr
                };
                Ok(self.lookup_mailbox(&open, name)?.map(maildir))
            }
            Meaning::Mailbox(inside) if name == about::FILE_NAME => {
                let id = inside.id;
                self.attr(&Meaning::About(inside), id).map(Some)
            }
            Meaning::Mailbox(inside) => self.lookup_branch(&inside, None, name),
            Meaning::Branch(inside, position) => {
                if let Some(attr) = self.lookup_branch(&inside, Some(position), name)? {
                    return Ok(Some(attr));
                }
                let Some(listing) = self.listing(&inside, position)? else {
                    return Ok(None);
                };
                let message = listing.find(name);
                let Some((message, item)) = message.and_then(|at| Some((at, listing.get(at)?)))
                else {
                    return Ok(None);
                };
                let permissions = self.permissions(&inside)?;
                let id = self
                    .branch_id(&inside, position)?
                    .with_ordinal(node::FIRST_MESSAGE + message as u32);
                Ok(Some(message_attr(id, &item, &permissions)))
            }
            Meaning::Deleted => self.lookup_somebody(name),
            Meaning::DeletedMailbox(somebody) => {
                let kept = self.lost(&somebody)?;
                self.lookup_lost(&somebody, &kept, None, name)
            }
            Meaning::DeletedFolder(somebody, kept, position) => {
                self.lookup_lost(&somebody, &kept, Some(position), name)
            }
            _ => Err(Error::new(Kind::NotADirectory, "not a directory")),
        }
    }

    pub fn getattr(&self, id: NodeId) -> Result<Attr> {
        let meaning = self.resolve(id)?;
        self.attr(&meaning, id)
    }

    pub fn readlink(&self, id: NodeId) -> Result<Vec<u8>> {
        match self.shown().by_time.last() {
            Some(open) if id == node::LATEST => Ok(open.snapshot.label.clone().into_bytes()),
            _ => Err(Error::new(Kind::Invalid, "not a symbolic link")),
        }
    }

    /// The POSIX ACL of a node, as the extended attribute has it.
    pub fn acl(&self, id: NodeId) -> Result<Option<Vec<u8>>> {
        let meaning = self.resolve(id)?;
        let (permissions, dir) = match &meaning {
            Meaning::Root
            | Meaning::Latest
            | Meaning::Date(_)
            | Meaning::Deleted
            | Meaning::Maildirs
            | Meaning::MaildirDate(_) => return Ok(None),
            Meaning::Maildir(inside, _, part) => {
                (self.permissions(inside)?, *part != Part::Keywords)
            }
            Meaning::Mailbox(inside) | Meaning::Branch(inside, _) => {
                (self.permissions(inside)?, true)
            }
            Meaning::About(inside) | Meaning::Mbox(inside, _) | Meaning::Message(inside, ..) => {
                (self.permissions(inside)?, false)
            }
            Meaning::DeletedMailbox(somebody) | Meaning::DeletedFolder(somebody, ..) => {
                let Somebody { open, mailbox, .. } = &**somebody;
                (self.permissions_of(open, mailbox)?, true)
            }
        };
        Ok(permissions.acl_value(dir))
    }

    /// Whether a name that is not in a directory will never be.
    pub fn absence_stays(&self, parent: NodeId) -> bool {
        let shown = self.shown();
        let open = shown.by_serial.get(&parent.parts().snapshot);
        open.is_some_and(|open| open.is_believed_for().is_none())
    }

    /// What stat(2) tells of a node that means this.
    pub(super) fn attr(&self, meaning: &Meaning, id: NodeId) -> Result<Attr> {
        match meaning {
            Meaning::Root => Ok(public(
                node::ROOT,
                self.shown().changed,
                self.options.refresh,
            )),
            Meaning::Latest => self.latest_attr().ok_or_else(|| id.stale()),
            Meaning::Date(open) => Ok(self.date_attr(open)),
            Meaning::Mailbox(inside) => {
                let populated = self.populated(&inside.open)?;
                self.mailbox_attr(&inside.open, &populated, &inside.mailbox)
            }
            Meaning::About(inside) => {
                let permissions = self.permissions(inside)?;
                let size = self.about(inside).len() as u64;
                let mtime = Time::from_secs(inside.open.snapshot.time);
                Ok(private(
                    inside.id.with_ordinal(1),
                    NodeKind::File,
                    size,
                    mtime,
                    &permissions,
                ))
            }
            Meaning::Branch(inside, position) => {
                let permissions = self.permissions(inside)?;
                self.branch_attr(inside, *position, &permissions)
            }
            Meaning::Mbox(inside, position) => self.mbox_attr(inside, *position),
            Meaning::Message(inside, position, message) => {
                let listing = self.listing(inside, *position)?.ok_or_else(|| id.stale())?;
                let item = listing.get(*message).ok_or_else(|| id.stale())?;
                let permissions = self.permissions(inside)?;
                Ok(message_attr(id, &item, &permissions))
            }
            Meaning::Maildirs => Ok(self.maildirs_attr()),
            Meaning::MaildirDate(open) => Ok(self.maildir_date_attr(open)),
            Meaning::Maildir(inside, folder, part) => self.maildir_attr(inside, *folder, *part),
            Meaning::Deleted => Ok(self.deleted_attr()),
            Meaning::DeletedMailbox(somebody) => self.somebody_attr(somebody),
            Meaning::DeletedFolder(somebody, kept, position) => {
                self.lost_folder_attr(somebody, kept, *position)
            }
        }
    }

    /// A mailbox of a date, by name.
    pub(super) fn lookup_mailbox(&self, open: &Arc<Open>, name: &str) -> Result<Option<Attr>> {
        let populated = self.populated(open)?;
        let mailboxes = &populated.mailboxes;
        match mailboxes.named(name) {
            Some(mailbox) => self.mailbox_attr(open, &populated, mailbox).map(Some),
            None if mailboxes.is_complete() => Ok(None),
            None => Err(Error::new(
                Kind::Unreadable,
                format!("{name}: not all directories that may hold mailboxes could be read"),
            )),
        }
    }

    /// A directory or an mbox right below a directory, by name.
    pub(super) fn lookup_branch(
        &self,
        inside: &Inside,
        above: Option<u32>,
        name: &str,
    ) -> Result<Option<Attr>> {
        let tree = &inside.nested.tree;
        if let Some(position) = tree.named(above, name) {
            let permissions = self.permissions(inside)?;
            return self.branch_attr(inside, position, &permissions).map(Some);
        }
        let folder = name
            .strip_suffix(".mbox")
            .and_then(|name| tree.named(above, name))
            .filter(|&position| inside.folder(position).is_some());
        match folder {
            Some(position) if self.options.mbox_listed != MboxListed::Never => {
                self.mbox_attr(inside, position).map(Some)
            }
            _ => Ok(None),
        }
    }
}
