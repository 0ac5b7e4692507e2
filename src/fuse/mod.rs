//! The adapter to the kernel: call the operation, reply, and nothing else.
//!
//! The only module that knows `fuser`, errno and inode flags. Invariants:
//!
//! 1. Every request is answered exactly once: by its operation, with EIO if that panics, or by the watch over a store that hangs.
//! 2. The only table from [`Kind`] to errno is here. A name below a snapshot that has vanished is ENOENT, an open file's
//!    bytes are EIO, a handle is ESTALE.
//! 3. OPEN is answered ENOSYS, once for the whole mount: no file has state, the kernel keeps its pages, and a message is
//!    one READ. Only an audited mount has real OPENs. OPENDIR is ENOSYS too where listings are the same for all; where
//!    they differ by caller, they are never cached.
//! 4. Notifications are never sent from a thread that answers requests: the kernel may hold a lock that waits for it.
//!
//! The cast: [`Mail`] is the [`Filesystem`], `request` a request on its way and the table of errors, `attr` what
//! stat(2) tells, `ahead` pushes messages before they are asked for, [`Session`] mounts it and pushes what changed.

mod ahead;
mod attr;
mod counts;
mod request;
mod session;

pub use counts::Counts;
pub use session::{Device, Session, TYPE, mount, threads};

use crate::disk::lane::Workers;
use crate::error::{Error, Kind, Result};
use crate::fs::{Caller, Cookie, Fs, NodeId, node};
use ahead::Ahead;
use attr::{ABSENT, absent, file_attr, file_type};
use fuser::{
    AccessFlags, BsdFileFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags, PollEvents, PollFlags, PollNotifier,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr,
    Request, TimeOrNow, WriteFlags,
};
use request::{Context, Pending, Reply, Sent};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// An id is never used for two things, so it needs no generation.
const GENERATION: Generation = Generation(0);

/// Where the library logs replies that the kernel does not take. It does not where the asker was killed meanwhile, and nobody
/// misses them.
pub const REPLY_LOG: &str = "fuser::reply";

const ACL: &str = "system.posix_acl_access";

/// The file system as the kernel sees it.
pub struct Mail {
    fs: Arc<Fs>,
    workers: Arc<Workers>,
    ahead: Option<Arc<Ahead>>,
    counts: Arc<Counts>,
}

impl Mail {
    /// `push`: whether messages are pushed ahead of those who read one after the other.
    pub fn new(fs: Arc<Fs>, workers: Arc<Workers>, push: bool) -> Self {
        Self {
            fs,
            workers,
            ahead: push.then(Ahead::new),
            counts: Arc::default(),
        }
    }

    /// Its requests, as they are answered.
    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// Runs an operation and sends what it gives, wherever it has to run.
    fn answer<R: Reply, T: 'static>(
        &self,
        reply: R,
        context: Context,
        operation: impl Fn(&Fs) -> Result<T> + Send + Sync + 'static,
        send: impl Fn(&Fs, R, T) -> Sent<R> + Send + Sync + 'static,
    ) {
        let fs = self.fs.clone();
        let counts = self.counts.clone();
        let pending = Pending::new(fs, counts, reply, context, operation, send);
        self.workers.run(Arc::new(pending));
    }
}

fn caller(request: &Request) -> Caller {
    Caller {
        uid: request.uid(),
        gid: request.gid(),
        thread: request.pid(),
    }
}

fn id(ino: INodeNo) -> NodeId {
    NodeId(ino.0)
}

/// Answers an extended attribute as getxattr(2) and listxattr(2) want it: its length if `size` is 0.
fn send_xattr(reply: ReplyXattr, size: u32, value: &[u8]) -> Sent<ReplyXattr> {
    match (size, u32::try_from(value.len())) {
        (0, Ok(len)) => reply.size(len),
        (_, Ok(len)) if len <= size => reply.data(value),
        _ => return Err((reply, Error::new(Kind::TooSmall, "the buffer is too small"))),
    }
    Ok(())
}

impl Filesystem for Mail {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let wanted = [
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_EXPORT_SUPPORT,
            InitFlags::FUSE_POSIX_ACL,
            InitFlags::FUSE_NO_OPEN_SUPPORT,
            InitFlags::FUSE_NO_OPENDIR_SUPPORT,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_EXPLICIT_INVAL_DATA,
        ];
        for flag in wanted {
            if config.add_capabilities(flag).is_err() {
                // Without ACLs a mode would let in whom only an ACL keeps out, so that is no matter of degree.
                if flag == InitFlags::FUSE_POSIX_ACL {
                    return Err(std::io::Error::other(
                        "this kernel has no POSIX ACLs for FUSE",
                    ));
                }
                tracing::warn!("this kernel lacks {flag:?}");
            }
        }
        // The kernel offers what it can do; less than asked for is fine.
        let _ = config.set_max_background(64);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.as_bytes().to_vec();
        let context = if name == b"." || name == b".." {
            Context::Node
        } else {
            Context::Name
        };
        // Elsewhere a name may appear at any time.
        self.answer(
            reply,
            context,
            move |fs| Ok((fs.lookup(id(parent), &name)?, fs.absence_stays(id(parent)))),
            move |_, reply, (attr, absence_stays)| {
                match attr {
                    Some(attr) => reply.entry(&attr.ttl, &file_attr(&attr), GENERATION),
                    // Node id 0 tells the kernel to remember that the name is not there.
                    None if absence_stays => {
                        reply.entry(&ABSENT, &file_attr(&absent()), GENERATION)
                    }
                    None => reply.error(Errno::ENOENT),
                }
                Ok(())
            },
        );
    }

    fn forget(&self, _request: &Request, _ino: INodeNo, _nlookup: u64) {}

    fn getattr(&self, _request: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        self.answer(
            reply,
            Context::Node,
            move |fs| fs.getattr(id(ino)),
            |_, reply, attr| {
                reply.attr(&attr.ttl, &file_attr(&attr));
                Ok(())
            },
        );
    }

    fn readlink(&self, _request: &Request, ino: INodeNo, reply: ReplyData) {
        self.answer(
            reply,
            Context::Node,
            move |fs| fs.readlink(id(ino)),
            |_, reply, target| {
                reply.data(&target);
                Ok(())
            },
        );
    }

    fn open(&self, request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        if !self.fs.policy().audit {
            return reply.error(Errno::ENOSYS);
        }
        let caller = caller(request);
        self.answer(
            reply,
            Context::Node,
            move |fs| fs.audit(id(ino), caller),
            |_, reply, ()| {
                reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
                Ok(())
            },
        );
    }

    fn read(
        &self,
        _request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if let Some(ahead) = &self.ahead {
            ahead.saw(id(ino), offset);
        }
        self.answer(
            reply,
            Context::Bytes,
            move |fs| fs.read(id(ino), offset, size as usize),
            |_, reply, bytes| {
                reply.data(&bytes);
                Ok(())
            },
        );
    }

    fn opendir(&self, _request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        if self.fs.listings_stay() {
            return reply.error(Errno::ENOSYS);
        }
        let directory = id(ino);
        // The root ages; a date's listing differs by caller.
        let of_a_mailbox = directory != node::ROOT && directory.parts().place != 0;
        self.answer(
            reply,
            Context::Node,
            move |fs| Ok(of_a_mailbox && fs.listing_stays(directory)?),
            |_, reply, stays| {
                let flags = if stays {
                    FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE
                } else {
                    FopenFlags::empty()
                };
                reply.opened(FileHandle(0), flags);
                Ok(())
            },
        );
    }

    fn readdir(
        &self,
        request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        let caller = caller(request);
        self.answer(
            reply,
            Context::Node,
            move |fs| fs.directory(id(ino), caller, Cookie(offset)),
            move |_, mut reply, directory| {
                directory.entries(Cookie(offset), |entry| {
                    reply.add(
                        INodeNo(entry.attr.id.0),
                        entry.next.0,
                        file_type(entry.attr.kind),
                        &entry.name,
                    )
                });
                reply.ok();
                Ok(())
            },
        );
    }

    fn readdirplus(
        &self,
        request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        let ahead = self.ahead.clone();
        let caller = caller(request);
        self.answer(
            reply,
            Context::Node,
            move |fs| fs.directory(id(ino), caller, Cookie(offset)),
            move |fs, mut reply, directory| {
                let mut last = None;
                directory.entries(Cookie(offset), |entry| {
                    // With a ttl of 0 the kernel asks by name before it believes any of it.
                    let attr = file_attr(&entry.attr);
                    let is_full = reply.add(
                        attr.ino,
                        entry.next.0,
                        &entry.name,
                        &entry.attr.ttl,
                        &attr,
                        GENERATION,
                    );
                    // Of messages in `deleted` the next ones are not the ones that their folder has next.
                    if !is_full && entry.attr.id.snapshot() == id(ino).snapshot() {
                        last = Some(entry.attr.id);
                    }
                    is_full
                });
                if let (Some(ahead), Some(id)) = (&ahead, last) {
                    ahead.listed(id);
                }
                reply.ok();
                // The caller has his answer, and looks at it meanwhile.
                if let Err(e) = fs.prepare_next(&directory, Cookie(offset)) {
                    tracing::debug!("not made ready: {e}");
                }
                Ok(())
            },
        );
    }

    fn statfs(&self, _request: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        self.answer(
            reply,
            Context::Node,
            |fs| fs.space(),
            |_, reply, space| {
                reply.statfs(
                    space.blocks,
                    0,
                    0,
                    space.files,
                    0,
                    space.block.max(512),
                    255,
                    space.block.max(512),
                );
                Ok(())
            },
        );
    }

    fn getxattr(
        &self,
        _request: &Request,
        ino: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        let is_acl = name == ACL;
        self.answer(
            reply,
            Context::Node,
            move |fs| match is_acl.then(|| fs.acl(id(ino))).transpose()?.flatten() {
                Some(acl) => Ok(acl),
                // Never ENOSYS, which would switch ACLs off for the whole mount.
                None => Err(Error::new(Kind::NoData, "no such attribute")),
            },
            move |_, reply, acl| send_xattr(reply, size, &acl),
        );
    }

    fn listxattr(&self, _request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.answer(
            reply,
            Context::Node,
            move |fs| fs.acl(id(ino)),
            move |_, reply, acl| {
                let names = if acl.is_some() {
                    format!("{ACL}\0")
                } else {
                    String::new()
                };
                send_xattr(reply, size, names.as_bytes())
            },
        );
    }

    // What follows would write. The kernel refuses it on a read-only mount before we hear of it; should somebody
    // remount it writable, we refuse.

    fn setattr(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        _size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        reply.error(Errno::EROFS);
    }

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn unlink(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn symlink(&self, _: &Request, _: INodeNo, _: &OsStr, _: &Path, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn rename(
        &self,
        _: &Request,
        _: INodeNo,
        _: &OsStr,
        _: INodeNo,
        _: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::EROFS);
    }

    fn link(&self, _: &Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        reply.error(Errno::EROFS);
    }

    fn create(
        &self,
        _: &Request,
        _: INodeNo,
        _: &OsStr,
        _: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        reply.error(Errno::EROFS);
    }

    /// The kernel knows itself where a file without holes ends, and does not ask again.
    fn lseek(&self, _: &Request, _: INodeNo, _: FileHandle, _: i64, _: i32, reply: ReplyLseek) {
        reply.error(Errno::ENOSYS);
    }

    /// A file can be read at any time, as the kernel then tells without asking again.
    fn poll(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: PollNotifier,
        _: PollEvents,
        _: PollFlags,
        reply: ReplyPoll,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn fallocate(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: u64,
        _: i32,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::EROFS);
    }

    fn setxattr(
        &self,
        _: &Request,
        _: INodeNo,
        _: &OsStr,
        _: &[u8],
        _: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::EROFS);
    }

    fn removexattr(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    // What needs no answer of ours.

    fn access(&self, _: &Request, _: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }
}
