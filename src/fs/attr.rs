//! What stat(2) tells of a node, and how long the kernel may believe it.

use super::node::{self, NodeId};
use super::resolve::Meaning;
use super::{Fs, Open};
use crate::access::Permissions;
use crate::error::Result;
use crate::time::Time;
use crate::view::content::Encoding;
use crate::view::listing::Item;
use std::time::Duration;

/// As good as for ever: what is below a date does not change.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);
/// What may still change: an owner or a grant whose name does not resolve yet, or a message that can't be read now.
const UNSETTLED: Duration = Duration::from_secs(30);

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    File,
    Directory,
    Symlink,
}

/// What stat(2) tells of a node, and how long the kernel may believe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    pub id: NodeId,
    pub kind: NodeKind,
    /// Bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
    /// How long both the name and the attributes are good.
    pub ttl: Duration,
}

impl Fs {
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

    pub(super) fn latest_attr(&self) -> Option<Attr> {
        let shown = self.shown();
        let open = shown.by_time.last()?;
        let mtime = Time::from_secs(open.snapshot.time);
        let dir = public(node::LATEST, mtime, self.options.refresh);
        Some(Attr {
            kind: NodeKind::Symlink,
            size: open.snapshot.label.len() as u64,
            mode: 0o777,
            ..dir
        })
    }

    pub(super) fn date_attr(&self, open: &Open) -> Attr {
        // What has the label may change, and the kernel may have missed that.
        public(
            NodeId::new(open.serial, 0, 0),
            Time::from_secs(open.snapshot.time),
            self.options.refresh,
        )
    }
}

/// The group of what everybody may list. Nobody is in it, not even who has taken the group of a file in a mailbox.
const PUBLIC_GID: u32 = 0xFFFF_FFFC;

/// What everybody may list: the root and the dates. Without group bits the kernel never looks for an ACL on the way to
/// a mailbox; but a member of the group would be refused.
pub(super) fn public(id: NodeId, mtime: Time, ttl: Duration) -> Attr {
    Attr {
        id,
        kind: NodeKind::Directory,
        size: 0,
        mode: 0o505,
        uid: 0,
        gid: PUBLIC_GID,
        mtime,
        ttl,
    }
}

/// What is in a mailbox, and the mailbox itself.
pub(super) fn private(
    id: NodeId,
    kind: NodeKind,
    size: u64,
    mtime: Time,
    permissions: &Permissions,
) -> Attr {
    let mode = permissions.mode(kind == NodeKind::Directory) as u16;
    let ttl = if permissions.settled {
        FOREVER
    } else {
        UNSETTLED
    };
    Attr {
        id,
        kind,
        size,
        mode,
        uid: permissions.uid,
        gid: permissions.gid,
        mtime,
        ttl,
    }
}

pub(super) fn message_attr(id: NodeId, item: &Item<'_>, permissions: &Permissions) -> Attr {
    let attr = private(
        id,
        NodeKind::File,
        item.size,
        item.stored.received,
        permissions,
    );
    let ttl = match item.encoding {
        Encoding::Unread => UNSETTLED,
        _ => attr.ttl,
    };
    Attr { ttl, ..attr }
}
