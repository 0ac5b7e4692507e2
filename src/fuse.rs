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
//! The cast: [`Mail`] is the [`Filesystem`], [`Request`](Pending) a request on its way, [`notify`] pushes what changed.

use crate::disk::lane::{Job, Outcome, Workers};
use crate::error::{Error, Kind, Result};
use crate::fs::{Attr, Caller, Cookie, Fs, Invalidation, NodeId, NodeKind};
use crate::time::Time;
use fuser::{
    AccessFlags, BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyIoctl, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Block size that stat(2) tells.
const BLOCK: u32 = 4096;
/// Names that nobody keeps mail under: what file managers ask for in every directory.
const GENERATION: Generation = Generation(0);
/// How long the kernel may remember that a name is not there; below a date it never will be.
const ABSENT: Duration = Duration::from_secs(86_400);

const ACL: &str = "system.posix_acl_access";

/// Options for a session: how the mount appears, who may use it, and how many threads there are.
pub fn options(name: &str, threads: usize) -> fuser::Config {
    use fuser::MountOption::*;
    let mut config = fuser::Config::default();
    // A comma would end the option.
    let name = name.replace(',', "_");
    config.mount_options = vec![
        RO,
        NoDev,
        NoSuid,
        NoExec,
        NoAtime,
        FSName(name),
        Subtype("mailtm".into()),
        DefaultPermissions,
    ];
    config.acl = fuser::SessionACL::All;
    config.n_threads = Some(threads);
    config
}

/// Threads that receive requests, and how many of them may wait for a disk at once.
pub fn threads() -> (usize, usize) {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let threads = cores.max(4);
    (threads, threads - 2)
}

/// Pushes changes to the kernel. To be called from a thread that answers no requests.
pub fn notify(notifier: &fuser::Notifier, changes: &[Invalidation]) {
    for change in changes {
        let sent = match change {
            Invalidation::Name(parent, name) => {
                notifier.inval_entry(INodeNo(parent.0), OsStr::new(name))
            }
            Invalidation::Node(id) => notifier.inval_inode(INodeNo(id.0), 0, 0),
        };
        if let Err(e) = sent {
            tracing::debug!("the kernel was not told of {change:?}: {e}");
        }
    }
}

/// The file system as the kernel sees it.
pub struct Mail {
    fs: Arc<Fs>,
    workers: Arc<Workers>,
}

impl Mail {
    pub fn new(fs: Arc<Fs>, workers: Arc<Workers>) -> Self {
        Self { fs, workers }
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
        self.workers.run(Arc::new(Pending {
            fs,
            reply: Mutex::new(Some(reply)),
            context,
            operation,
            send,
        }));
    }
}

/// What sending came to: done, or the reply back with an error that nothing was sent for yet.
type Sent<R> = std::result::Result<(), (R, Error)>;

/// What a request is about, which decides what a vanished snapshot looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Context {
    /// A name in a directory.
    Name,
    /// The bytes of a file.
    Bytes,
    /// A node, by its id.
    Node,
}

/// A request on its way.
struct Pending<R, O, S> {
    fs: Arc<Fs>,
    /// Taken by whoever answers.
    reply: Mutex<Option<R>>,
    context: Context,
    operation: O,
    send: S,
}

impl<R, O, S> Pending<R, O, S> {
    fn take(&self) -> Option<R> {
        self.reply
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn put_back(&self, reply: R) {
        *self.reply.lock().unwrap_or_else(PoisonError::into_inner) = Some(reply);
    }
}

impl<R, T, O, S> Job for Pending<R, O, S>
where
    R: Reply,
    O: Fn(&Fs) -> Result<T> + Send + Sync + 'static,
    S: Fn(&Fs, R, T) -> Sent<R> + Send + Sync + 'static,
{
    fn run(&self) -> Outcome {
        let result = catch_unwind(AssertUnwindSafe(|| (self.operation)(&self.fs))).unwrap_or_else(|_| {
            tracing::error!("a request failed by a fault in mailtm itself; it was answered with an I/O error");
            Err(Error::new(Kind::Unreadable, "a fault in mailtm itself"))
        });
        let failed = match result {
            Ok(value) => {
                let Some(reply) = self.take() else {
                    return Outcome::Answered;
                };
                match catch_unwind(AssertUnwindSafe(|| (self.send)(&self.fs, reply, value))) {
                    Ok(Ok(())) => return Outcome::Answered,
                    Ok(Err((reply, error))) => {
                        self.put_back(reply);
                        error
                    }
                    // The reply, dropped unanswered, answers EIO by itself.
                    Err(_) => return Outcome::Answered,
                }
            }
            Err(error) => error,
        };
        if failed.kind() == Kind::WouldBlock {
            return Outcome::Refused;
        }
        if let Some(reply) = self.take() {
            match failed.kind() {
                Kind::Unreadable | Kind::Undecodable => tracing::warn!("{failed}"),
                kind => tracing::debug!("{kind:?}: {failed}"),
            }
            reply.fail(errno(failed.kind(), self.context));
        }
        Outcome::Answered
    }

    fn expire(&self) {
        if let Some(reply) = self.take() {
            reply.fail(Errno::EIO);
        }
    }
}

/// The one table from what went wrong to what the kernel is told.
fn errno(kind: Kind, context: Context) -> Errno {
    match (kind, context) {
        (Kind::Stale | Kind::NotFound, Context::Bytes) => Errno::EIO,
        (Kind::Stale | Kind::NotFound, Context::Name) => Errno::ENOENT,
        (Kind::Stale | Kind::NotFound, Context::Node) => Errno::ESTALE,
        (Kind::NotADirectory, _) => Errno::ENOTDIR,
        (Kind::IsADirectory, _) => Errno::EISDIR,
        (Kind::NoData, _) => Errno::ENODATA,
        (Kind::TooSmall, _) => Errno::ERANGE,
        (Kind::Invalid, _) => Errno::EINVAL,
        (
            Kind::Unreadable | Kind::Undecodable | Kind::WouldBlock | Kind::Config | Kind::Failed,
            _,
        ) => Errno::EIO,
    }
}

/// A reply that can say no.
trait Reply: Send + 'static {
    fn fail(self, errno: Errno);
}

macro_rules! replies {
    ($($reply:ty),*) => {
        $(impl Reply for $reply {
            fn fail(self, errno: Errno) {
                self.error(errno);
            }
        })*
    };
}

replies!(
    ReplyAttr,
    ReplyData,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyEntry,
    ReplyOpen,
    ReplyStatfs,
    ReplyXattr
);

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

fn file_attr(attr: &Attr) -> FileAttr {
    let mtime = system_time(attr.mtime);
    FileAttr {
        ino: INodeNo(attr.id.0),
        size: attr.size,
        blocks: attr.size.div_ceil(512),
        atime: mtime,
        mtime,
        ctime: mtime,
        crtime: mtime,
        kind: kind(attr.kind),
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

fn kind(kind: NodeKind) -> FileType {
    match kind {
        NodeKind::File => FileType::RegularFile,
        NodeKind::Directory => FileType::Directory,
        NodeKind::Symlink => FileType::Symlink,
    }
}

fn caller(request: &Request) -> Caller {
    Caller {
        uid: request.uid(),
        gid: request.gid(),
    }
}

fn node(ino: INodeNo) -> NodeId {
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
            InitFlags::FUSE_READDIRPLUS_AUTO,
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
        let _ = config.set_max_readahead(1 << 20);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.as_bytes().to_vec();
        let context = if name == b"." || name == b".." {
            Context::Node
        } else {
            Context::Name
        };
        // At the top a name may appear at any time, and one of a vanished snapshot is an error of its own.
        let below_a_date = parent.0 != crate::fs::node::ROOT.0 && context == Context::Name;
        self.answer(
            reply,
            context,
            move |fs| match fs.lookup(node(parent), &name) {
                Ok(attr) => Ok(Some(attr)),
                Err(e) if e.kind() == Kind::NotFound && below_a_date => Ok(None),
                Err(e) => Err(e),
            },
            |_, reply, attr| {
                match attr {
                    Some(attr) => reply.entry(&attr.ttl, &file_attr(&attr), GENERATION),
                    // Node id 0 tells the kernel to remember that the name is not there.
                    None => reply.entry(&ABSENT, &file_attr(&absent()), GENERATION),
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
            move |fs| fs.getattr(node(ino)),
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
            move |fs| fs.readlink(node(ino)),
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
            move |fs| fs.audit(node(ino), caller),
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
        self.answer(
            reply,
            Context::Bytes,
            move |fs| fs.read(node(ino), offset, size as usize),
            |_, reply, bytes| {
                reply.data(&bytes);
                Ok(())
            },
        );
    }

    fn opendir(&self, _request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        if self.fs.same_for_all() {
            return reply.error(Errno::ENOSYS);
        }
        let id = node(ino);
        // The root ages; a date's listing differs by caller.
        let cached = id != crate::fs::node::ROOT && id.parts().place != 0;
        let flags = if cached {
            FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE
        } else {
            FopenFlags::empty()
        };
        reply.opened(FileHandle(0), flags);
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
            move |fs| fs.directory(node(ino), caller, Cookie(offset)),
            move |_, mut reply, directory| {
                directory.entries(Cookie(offset), |entry| {
                    reply.add(
                        INodeNo(entry.attr.id.0),
                        entry.next.0,
                        kind(entry.attr.kind),
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
        let caller = caller(request);
        self.answer(
            reply,
            Context::Node,
            move |fs| fs.directory(node(ino), caller, Cookie(offset)),
            move |_, mut reply, directory| {
                directory.entries(Cookie(offset), |entry| {
                    // With a ttl of 0 the kernel asks by name before it believes any of it.
                    let attr = file_attr(&entry.attr);
                    reply.add(
                        attr.ino,
                        entry.next.0,
                        &entry.name,
                        &entry.attr.ttl,
                        &attr,
                        GENERATION,
                    )
                });
                reply.ok();
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
            move |fs| match is_acl.then(|| fs.acl(node(ino))).transpose()?.flatten() {
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
            move |fs| fs.acl(node(ino)),
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

/// A name that is not there.
fn absent() -> Attr {
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
