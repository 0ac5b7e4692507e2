//! What stat(2) tells of a node, and how long the kernel may believe it.

use super::inside::{Inside, Populated};
use super::node::{self, NodeId};
use super::{Fs, Open};
use crate::access::Permissions;
use crate::error::Result;
use crate::time::Time;
use crate::view::content::Encoding;
use crate::view::listing::Item;
use crate::view::mailbox::Mailbox;
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

    pub(super) fn mailbox_attr(
        &self,
        open: &Open,
        populated: &Populated,
        mailbox: &Mailbox,
    ) -> Result<Attr> {
        let serial = populated.serial(mailbox)?;
        let id = NodeId::new(open.serial, serial, 0);
        let permissions = self.permissions_of(open, mailbox)?;
        Ok(private(
            id,
            NodeKind::Directory,
            0,
            mailbox.changed,
            &permissions,
        ))
    }

    pub(super) fn branch_attr(
        &self,
        inside: &Inside,
        position: u32,
        permissions: &Permissions,
    ) -> Result<Attr> {
        let id = self.branch_id(inside, position)?;
        Ok(private(
            id,
            NodeKind::Directory,
            0,
            self.changed(inside, position)?,
            permissions,
        ))
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
