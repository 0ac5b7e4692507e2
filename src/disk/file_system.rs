//! Which kind of file system something is on, by the numbers of <linux/magic.h>; ZFS's own is not in there.

use rustix::fd::OwnedFd;

pub const BTRFS: u64 = 0x9123_683e;
pub const ZFS: u64 = 0x2fc1_2fc1;
pub const EXT: u64 = 0xef53;
pub const XFS: u64 = 0x5846_5342;
pub const F2FS: u64 = 0xf2f5_2010;
pub const TMPFS: u64 = 0x0102_1994;
pub const FUSE: u64 = 0x6573_5546;

/// The kind that an opened file or directory is on. Some systems extend the sign of a number of 32 bits.
pub fn of(fd: &OwnedFd) -> rustix::io::Result<u64> {
    Ok(rustix::fs::fstatfs(fd)?.f_type as u64 & 0xffff_ffff)
}
