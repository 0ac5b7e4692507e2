//! Opening a path beneath a directory.
//!
//! It is gone down name by name, each looked up in the directory that is open by then. No link is followed and no `..`
//! taken, so whatever somebody plants or renames meanwhile, what is opened lies beneath.
//!
//! `openat2` would do it in one call. But its flags stand in memory, where a filter of system calls cannot see them: the
//! sandbox could not refuse `O_TRUNC`, and systemd takes the whole call away with `RestrictSUIDSGID=`.

use rustix::fd::OwnedFd;
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use std::time::Duration;

/// Opens a directory only to look up the next name in it. A file system that the kernel mounts at that moment is mounted.
pub(super) const STEP: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);

/// As long as a path may be in one call, with the zero at its end: whoever nests directories without end is to be told an
/// error, and not to have each of them walked down to.
const PATH_MAX: usize = libc::PATH_MAX as usize;

/// How long who holds a lease on a file has until it is asked for again; the kernel takes the lease away in the end.
const LEASE: Duration = Duration::from_millis(1);

/// Opens a path beneath a directory, without following a link anywhere on the way: `O_NOFOLLOW` and `O_CLOEXEC` are added.
///
/// # Errors
/// `ELOOP` or `ENOTDIR` at a link, `EXDEV` where the path leaves the directory, if only on its way, `ENOENT` if it is empty,
/// `ENAMETOOLONG` from 4,096 bytes on; else what opening it gives.
pub fn beneath(dir: &OwnedFd, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    check(path)?;
    let (above, last) = split(path);
    let mut at = None;
    for name in names(above) {
        at = Some(name_in(at.as_ref().unwrap_or(dir), name, STEP)?);
    }
    name_in(at.as_ref().unwrap_or(dir), last, flags)
}

/// Whether a path may be beneath anything, as far as can be seen before it is looked at.
pub(super) fn check(path: &[u8]) -> rustix::io::Result<()> {
    match path {
        [b'/', ..] => Err(Errno::XDEV),
        path if path.len() >= PATH_MAX => Err(Errno::NAMETOOLONG),
        _ => Ok(()),
    }
}

/// The path of the directory in which the last name of a path is, and that name.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// The names in a path.
pub(super) fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let names = path.split(|&byte| byte == b'/');
    names.filter(|name| !name.is_empty())
}

/// Opens a name in a directory; a link is not followed.
pub(super) fn name_in(dir: &OwnedFd, name: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    if name == b".." {
        return Err(Errno::XDEV);
    }
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        match fs::openat(dir, name, flags, Mode::empty()) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => std::thread::sleep(LEASE),
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_link_is_followed_and_nothing_above_is_reached() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir_all(at("root/a/b")).unwrap();
        std::fs::write(at("root/a/b/file"), "x").unwrap();
        symlink("a", at("root/link")).unwrap();
        symlink("b/file", at("root/a/last")).unwrap();
        let root = fs::open(at("root"), STEP, Mode::empty()).unwrap();
        let open = |path: &str| beneath(&root, path.as_bytes(), OFlags::RDONLY).map(drop);
        for path in ["a", ".", "a/b", "a/b/file", "a//b/./file", "./a"] {
            assert_eq!(open(path), Ok(()), "{path}");
        }
        for (path, error) in [
            ("", Errno::NOENT),
            ("a/", Errno::NOENT),
            ("no/b", Errno::NOENT),
            ("a/b/file/more", Errno::NOTDIR),
            ("link/b/file", Errno::NOTDIR),
            ("a/last", Errno::LOOP),
            ("link", Errno::LOOP),
            ("..", Errno::XDEV),
            ("a/../a", Errno::XDEV),
            ("/etc", Errno::XDEV),
            ("/", Errno::XDEV),
        ] {
            assert_eq!(open(path), Err(error), "{path}");
        }
        let long = ["a", &"/.".repeat(2047)].concat();
        assert_eq!((long.len(), open(&long)), (4095, Ok(())));
        assert_eq!(open(&(long + "/")), Err(Errno::NAMETOOLONG));
    }
}
