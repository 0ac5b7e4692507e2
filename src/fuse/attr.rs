//! What stat(2) tells, in the kernel's terms.

use crate::fs::{Attr, NodeId, NodeKind};
use crate::time::Time;
use fuser::{FileAttr, FileType, INodeNo};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Block size that stat(2) tells.
const BLOCK: u32 = 4096;

/// How long the kernel may remember that a name is not there; below a date it never will be.
pub(super) const ABSENT: Duration = Duration::from_secs(86_400);

fn system_time(time: Time) -> SystemTime {
    let nanos = Duration::from_nanos(u64::from(time.nanos));
    let moment = match u64::try_from(time.secs) {
        Ok(secs) => UNIX_EPOCH.checked_add(Duration::from_secs(secs)),
        Err(_) => UNIX_EPOCH.checked_sub(Duration::from_secs(time.secs.unsigned_abs())),
    };
    moment
        .and_then(|moment| moment.checked_add(nanos))
        .unwrap_or(UNIX_EPOCH)
}

pub(super) fn file_attr(attr: &Attr) -> FileAttr {
    let mtime = system_time(attr.mtime);
    FileAttr {
        ino: INodeNo(attr.id.0),
        size: attr.size,
        blocks: attr.size.div_ceil(512),
        atime: mtime,
        mtime,
        ctime: mtime,
        crtime: mtime,
        kind: file_type(attr.kind),
        perm: attr.mode,
        nlink: if attr.kind == NodeKind::Directory {
            2
        } else {
            1
        },
        uid: attr.uid,
        gid: attr.gid,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    }
}

pub(super) fn file_type(kind: NodeKind) -> FileType {
    match kind {
        NodeKind::File => FileType::RegularFile,
        NodeKind::Directory => FileType::Directory,
        NodeKind::Symlink => FileType::Symlink,
    }
}

/// A name that is not there.
pub(super) fn absent() -> Attr {
    Attr {
        id: NodeId(0),
        kind: NodeKind::File,
        size: 0,
        mode: 0,
        uid: 0,
        gid: 0,
        mtime: Time::default(),
        ttl: ABSENT,
    }
}
