//! A look at one snapshot's root: is it a directory, and is it the one that was seen before?
//!
//! Subtleties:
//! 1. ZFS and NFS mount a snapshot when somebody enters it, not when it is listed; a root that is not mounted has other
//!    attributes. Opening it as a directory mounts it.
//! 2. All btrfs and ZFS snapshots have the same inode number at their root, and mostly the same modification time too.
//!    There the identity of the subvolume or dataset, which `statfs` gives, tells a snapshot from one made later under
//!    its name.
//! 3. FUSE file systems may number inodes anew at every mount, or whenever the kernel forgets them; there the number
//!    says nothing.
//!
//! Nothing stays open: an open directory keeps some file systems from removing the snapshot.

use crate::disk;
use crate::disk::file_system::{self, BTRFS, FUSE, ZFS};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Of info.xml, which is a few hundred bytes long.
const INFO_LIMIT: u64 = 64 * 1024;

/// What tells a directory from another one of the same name. Equal for the same directory after a rename, a remount
/// or a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    /// 0 on FUSE file systems.
    pub inode: u64,
    /// Modification time: seconds since 1970, nanoseconds.
    pub mtime: (i64, u64),
    /// Identity of a btrfs subvolume or ZFS dataset, else 0.
    pub volume: u64,
}

/// A configured directory, open for one scan.
pub(super) struct Ground {
    fd: OwnedFd,
    pub signature: Signature,
    pub device: u64,
    file_system: u64,
}

impl Ground {
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&fd)?;
        let file_system = file_system::of(&fd)?;
        Ok(Self {
            signature: signature(&fd, &stat, file_system)?,
            device: stat.st_dev,
            file_system,
            fd,
        })
    }

    pub fn is_fuse(&self) -> bool {
        self.file_system == FUSE
    }

    /// Looks at a directory here, or deeper; `None` if there is none.
    pub fn look(&self, path: &Path) -> std::io::Result<Option<Signature>> {
        let Some(fd) = open_beneath(&self.fd, path, OFlags::PATH | OFlags::DIRECTORY)? else {
            return Ok(None);
        };
        let stat = rustix::fs::fstat(&fd)?;
        let file_system = if stat.st_dev == self.device {
            self.file_system
        } else {
            file_system::of(&fd)?
        };
        Ok(Some(signature(&fd, &stat, file_system)?))
    }

    /// The first 64 KiB of a small file; `None` if there is none.
    pub fn read(&self, name: &Path) -> std::io::Result<Option<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let Some(fd) = open_beneath(&self.fd, name, flags)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        std::fs::File::from(fd)
            .take(INFO_LIMIT)
            .read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }
}

fn open_beneath(dir: &OwnedFd, path: &Path, flags: OFlags) -> std::io::Result<Option<OwnedFd>> {
    match disk::beneath(dir, path.as_os_str().as_bytes(), flags) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn signature(fd: &OwnedFd, stat: &Stat, file_system: u64) -> rustix::io::Result<Signature> {
    let volume = match file_system {
        BTRFS | ZFS => rustix::fs::fstatvfs(fd)?.f_fsid,
        _ => 0,
    };
    Ok(Signature {
        inode: if file_system == FUSE { 0 } else { stat.st_ino },
        mtime: (stat.st_mtime, stat.st_mtime_nsec),
        volume,
    })
}
