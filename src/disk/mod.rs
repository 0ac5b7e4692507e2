//! The only gate to the mail stores.
//!
//! Everything in a store is hostile: its owner plants symbolic links, FIFOs, devices and sockets, and the disk below
//! it may hang. So nothing here leaves its root, blocks on what is no file, or waits for ever:
//!
//! 1. Paths are resolved beneath a [`Root`], name by name, and no link is followed ([`beneath()`]).
//! 2. Files are opened with `O_NONBLOCK` and `O_NOCTTY`, and only a regular file becomes a [`File`].
//! 3. No descriptor outlives the call that needed it, or the work on one mailbox ([`trail`]), so that a snapshot can be removed
//!    or unmounted at any time.
//! 4. Every call first asks its [`Lane`] whether this thread may wait for the disk now.
//!
//! The cast: [`Root`] is one snapshot's root, [`Dir`] and [`File`] what is open for the moment, [`Listing`] the names
//! in a directory, [`Stat`] what the store says of a file; [`lane`] keeps a hung store from taking anything else with it,
//! [`file_system`] tells what kind something is on, [`crew`] looks at many things with several threads, [`trail`]
//! spares a thread the way to where it looks, [`stop`] ends work
//! that nobody waits for, and [`Told`] knows what was warned of.

mod beneath;
pub mod crew;
mod dir;
pub mod file_system;
pub mod lane;
mod listing;
pub mod stop;
mod told;
pub mod trail;

pub use beneath::beneath;
pub use dir::Dir;
pub use lane::Lane;
pub use listing::{Entry, Listing};
pub use told::Told;

use crate::error::{Error, Kind, Result};
use crate::time::Time;
use file_system::{BTRFS, FUSE, ZFS};
use rustix::fs::{self, Advice, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fmt::Display;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// What kind of thing a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    File,
    Directory,
    Symlink,
    /// FIFO, device or socket.
    Special,
}

impl From<FileType> for FileKind {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            _ => Self::Special,
        }
    }
}

/// What the store says of a file.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    pub kind: FileKind,
    pub size: u64,
    pub uid: u32,
    pub ino: u64,
    pub dev: u64,
    pub mtime: Time,
    pub ctime: Time,
    /// Whether it has no other name: each that comes or goes sets its ctime.
    pub has_one_name: bool,
}

impl Stat {
    /// When it was last written to, by the clock of the file system, which no program can set back; a file with other names
    /// at its mtime.
    pub fn touched(&self) -> Time {
        match self.kind {
            FileKind::File if !self.has_one_name => self.mtime,
            _ => self.ctime,
        }
    }
}

impl From<fs::Stat> for Stat {
    fn from(stat: fs::Stat) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.st_mode).into(),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            uid: stat.st_uid,
            ino: stat.st_ino,
            dev: stat.st_dev,
            mtime: time(stat.st_mtime, stat.st_mtime_nsec),
            ctime: time(stat.st_ctime, stat.st_ctime_nsec),
            has_one_name: stat.st_nlink == 1,
        }
    }
}

fn time(secs: i64, nanos: impl TryInto<u32>) -> Time {
    Time {
        secs,
        nanos: nanos.try_into().unwrap_or(0).min(999_999_999),
    }
}

/// How much room a store has, in blocks of `block` bytes, and how many files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Space {
    pub block: u32,
    pub blocks: u64,
    pub files: u64,
}

/// The root of one snapshot: the directory that was first found at its path. Another that takes the path, as when
/// snapshots are rotated, is not it.
#[derive(Clone, Debug)]
pub struct Root {
    path: PathBuf,
    lane: Arc<Lane>,
    identity: Arc<OnceLock<Identity>>,
    told: Arc<Told>,
}

/// What tells a directory from another that takes its path; of what says nothing there, `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    /// Not on FUSE file systems, which may number inodes anew whenever the kernel has forgotten them.
    inode: Option<u64>,
    /// Of a btrfs subvolume or a ZFS dataset, whose roots all have the same inode number.
    volume: Option<u64>,
}

impl Identity {
    fn of(fd: &OwnedFd) -> rustix::io::Result<Self> {
        let file_system = file_system::of(fd)?;
        let inode = match file_system {
            FUSE => None,
            _ => Some(fs::fstat(fd)?.st_ino),
        };
        let volume = match file_system {
            BTRFS | ZFS => Some(fs::fstatvfs(fd)?.f_fsid),
            _ => None,
        };
        Ok(Self { inode, volume })
    }

    fn is_of(&self, fd: &OwnedFd) -> rustix::io::Result<bool> {
        let same_inode = match self.inode {
            Some(inode) => fs::fstat(fd)?.st_ino == inode,
            None => true,
        };
        let same_volume = match self.volume {
            Some(volume) => fs::fstatvfs(fd)?.f_fsid == volume,
            None => true,
        };
        Ok(same_inode && same_volume)
    }
}

impl Root {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let lane = Arc::new(Lane::new(path.display().to_string()));
        Self {
            path,
            lane,
            identity: Arc::default(),
            told: Arc::default(),
        }
    }

    /// The same root, of which is told what was not told of others.
    #[must_use]
    pub fn telling(self, told: Arc<Told>) -> Self {
        Self { told, ..self }
    }

    /// Warns of what is at a path below the root, once for each state that it is in. `changed`: when that last changed, as far
    /// as it is known.
    pub fn warn(&self, path: &[u8], changed: Time, what: impl Display) {
        self.told.warn(&self.path, path, changed, what);
    }

    /// The directory that is at the path now, whichever it was before.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self {
            identity: Arc::default(),
            ..self.clone()
        }
    }

    /// Looks which directory is at the path: it is this one from now on.
    pub fn settle(&self) -> Result<()> {
        self.dir(b"").map(drop)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    /// Opens the directory at a path below the root; the empty path is the root itself.
    pub fn dir(&self, path: &[u8]) -> Result<Dir<'_>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::DIRECTORY;
        let fd = match path.is_empty() {
            true => {
                self.lane.enter()?;
                Ok(self.open_root()?)
            }
            false => self.below(path, flags)?,
        };
        Ok(Dir {
            fd: fd.map_err(|e| self.error(path, e))?,
            root: self,
            path: path.to_vec(),
        })
    }

    /// Opens what is at a path below the root. The inner error is of the path, the outer one of the root.
    fn below(&self, path: &[u8], flags: OFlags) -> Result<rustix::io::Result<OwnedFd>> {
        self.lane.enter()?;
        if trail::is_kept() {
            return trail::follow(self, path, flags);
        }
        Ok(beneath(&self.open_root()?, path, flags))
    }

    /// Opens the directory that is at the root's path, if it is this one.
    fn open_root(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let root = fs::open(&self.path, flags, Mode::empty()).map_err(|e| self.root_error(e))?;
        let same = match self.identity.get() {
            Some(identity) => identity.is_of(&root),
            None => Identity::of(&root).map(|found| *self.identity.get_or_init(|| found) == found),
        };
        match same.map_err(|e| self.root_error(e))? {
            true => Ok(root),
            false => {
                let message = format!("{}: another directory by now", self.path.display());
                Err(Error::new(Kind::Stale, message))
            }
        }
    }

    /// The names in a directory.
    pub fn list(&self, path: &[u8]) -> Result<Listing> {
        self.dir(path)?.list()
    }

    /// Opens the regular file at a path below the root.
    pub fn open(&self, path: &[u8]) -> Result<File<'_>> {
        File::opened(self, path.to_vec(), self.below(path, File::FLAGS)?)
    }

    /// What is at a path below the root; a link is not followed.
    pub fn stat(&self, path: &[u8]) -> Result<Stat> {
        if path.is_empty() {
            self.dir(b"")?.stat_self()
        } else {
            let at = |e| self.error(path, e);
            let fd = self.below(path, OFlags::PATH)?.map_err(at)?;
            fs::fstat(&fd).map(Stat::from).map_err(at)
        }
    }

    pub fn space(&self) -> Result<Space> {
        self.lane.enter()?;
        let stat = fs::statvfs(&self.path).map_err(|e| self.root_error(e))?;
        let block = u32::try_from(stat.f_frsize).unwrap_or(4096).max(512);
        Ok(Space {
            block,
            blocks: stat.f_blocks,
            files: stat.f_files,
        })
    }

    /// The root itself is gone: whatever was known of this snapshot is stale.
    fn root_error(&self, errno: Errno) -> Error {
        let error = self.error(b"", errno);
        if error.kind() == Kind::NotFound {
            Error::new(Kind::Stale, error.to_string())
        } else {
            error
        }
    }

    fn error(&self, path: &[u8], errno: Errno) -> Error {
        let kind = match errno {
            Errno::NOENT => Kind::NotFound,
            Errno::NOTDIR | Errno::LOOP | Errno::XDEV => Kind::NotADirectory,
            Errno::STALE => Kind::Stale,
            _ => Kind::Unreadable,
        };
        let at = if path.is_empty() {
            self.path.clone()
        } else {
            self.path.join(OsStr::from_bytes(path))
        };
        Error::new(
            kind,
            format!("{}: {}", at.display(), std::io::Error::from(errno)),
        )
    }
}

/// A regular file that is open for the moment.
#[derive(Debug)]
pub struct File<'a> {
    fd: OwnedFd,
    root: &'a Root,
    path: Vec<u8>,
    stat: Stat,
}

impl<'a> File<'a> {
    /// What it is opened with, whatever it is.
    const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

    /// Of what opening a path has given; anything but a regular file is refused, and closed unread.
    fn opened(root: &'a Root, path: Vec<u8>, opened: rustix::io::Result<OwnedFd>) -> Result<Self> {
        let not_a_file = || {
            let at = root.path.join(OsStr::from_bytes(&path));
            Error::new(
                Kind::Unreadable,
                format!("{}: not a regular file", at.display()),
            )
        };
        let fd = opened.map_err(|e| match e {
            // What opening a link, a socket or a device without a driver answers.
            Errno::LOOP | Errno::NXIO | Errno::NODEV => not_a_file(),
            e => root.error(&path, e),
        })?;
        let stat = fs::fstat(&fd)
            .map(Stat::from)
            .map_err(|e| root.error(&path, e))?;
        match stat.kind {
            FileKind::File => Ok(Self {
                fd,
                root,
                path,
                stat,
            }),
            _ => Err(not_a_file()),
        }
    }

    /// Its path, for people.
    pub fn name(&self) -> String {
        let at = self.root.path.join(OsStr::from_bytes(&self.path));
        at.display().to_string()
    }

    /// As it was when the file was opened.
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    /// Has bytes read into memory, without waiting for them as far as the file system can.
    pub fn will_need(&self, offset: u64, len: u64) -> Result<()> {
        let Some(len) = NonZeroU64::new(len) else {
            return Ok(());
        };
        self.root.lane.enter()?;
        // It is advice: where it can't be taken, reading does without.
        let _ = rustix::fs::fadvise(&self.fd, offset, Some(len), Advice::WillNeed);
        Ok(())
    }

    /// Reads until the buffer is full or the file ends; returns how many bytes. An error in [long work](stop) that is to end: a sparse
    /// file may be of many terabytes.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            if stop::is_set() {
                let message = format!("{}: given up, as was told", self.name());
                return Err(Error::new(Kind::Unreadable, message));
            }
            self.root.lane.enter()?;
            match rustix::io::pread(&self.fd, rest, offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(Errno::INTR) => continue,
                Err(e) => return Err(self.root.error(&self.path, e)),
            }
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_outside_the_root_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("root/sub")).unwrap();
        std::fs::write(dir.path().join("secret"), "x").unwrap();
        std::fs::write(dir.path().join("root/sub/mail"), "mail").unwrap();
        symlink(dir.path().join("secret"), dir.path().join("root/absolute")).unwrap();
        symlink("../secret", dir.path().join("root/relative")).unwrap();
        symlink("sub", dir.path().join("root/inside")).unwrap();
        let root = Root::new(dir.path().join("root"));
        for path in [
            "absolute",
            "relative",
            "inside/mail",
            "../secret",
            "/etc/passwd",
            "sub/../../secret",
        ] {
            assert!(root.open(path.as_bytes()).is_err(), "{path}");
        }
        let file = root.open(b"sub/mail").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(file.read_at(&mut buffer, 1).unwrap(), 3);
        assert_eq!(&buffer[..3], b"ail");
    }

    #[test]
    fn special_files_neither_open_nor_block() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        fs::mknodat(fs::CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        let root = Root::new(dir.path());
        assert_eq!(root.open(b"fifo").unwrap_err().kind(), Kind::Unreadable);
        assert_eq!(root.open(b"socket").unwrap_err().kind(), Kind::Unreadable);
        assert_eq!(root.open(b"").unwrap_err().kind(), Kind::NotFound);
        let kinds: Vec<_> = root.list(b"").unwrap().iter().map(|e| e.kind).collect();
        assert_eq!(kinds, [FileKind::Special, FileKind::Special]);
    }

    #[test]
    fn a_root_that_is_gone_is_stale_and_a_name_that_is_not_there_is_not_found() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        assert_eq!(root.open(b"no").unwrap_err().kind(), Kind::NotFound);
        drop(dir);
        assert_eq!(root.open(b"no").unwrap_err().kind(), Kind::Stale);
    }

    #[test]
    fn another_directory_that_takes_the_path_is_not_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("daily.0"), dir.path().join("daily.1"));
        for path in [&first, &second] {
            std::fs::create_dir(path).unwrap();
            std::fs::write(path.join("mail"), path.to_str().unwrap()).unwrap();
        }
        let root = Root::new(&first);
        root.settle().unwrap();
        std::fs::rename(&first, dir.path().join("daily.2")).unwrap();
        std::fs::rename(&second, &first).unwrap();
        assert_eq!(root.open(b"mail").unwrap_err().kind(), Kind::Stale);
        std::fs::rename(&first, &second).unwrap();
        std::fs::rename(dir.path().join("daily.2"), &first).unwrap();
        root.open(b"mail").unwrap();
    }
}
