//! A directory of a store, open for the moment: what is in it, and opening that.

use super::file_system::{self, BTRFS, EXT, F2FS, TMPFS, XFS, ZFS};
use super::{File, FileKind, Listing, Root, Stat, beneath, crew};
use crate::error::{Error, Kind, Result};
use rustix::fs::{self, AtFlags, FileType, OFlags, RawDir};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::mpsc;

/// Bytes of a directory that has thousands of names, on most file systems. Where they count otherwise, as ZFS does, it has
/// more before it is worth a thread.
const LARGE: u64 = 1 << 18;

/// A directory that is open for the moment.
#[derive(Debug)]
pub struct Dir<'a> {
    pub(super) fd: OwnedFd,
    pub(super) root: &'a Root,
    pub(super) path: Vec<u8>,
}

impl<'a> Dir<'a> {
    pub fn list(&self) -> Result<Listing> {
        let mut listing = Listing::default();
        self.read(&mut listing, || Ok(()))?;
        Ok(listing)
    }

    /// The names in it; `meanwhile` is done while those of a large directory come.
    pub fn list_while(&self, meanwhile: impl FnOnce()) -> Result<Listing> {
        if self.stat_self()?.size >= LARGE {
            return self.list_beside(meanwhile);
        }
        meanwhile();
        self.list()
    }

    fn list_beside(&self, meanwhile: impl FnOnce()) -> Result<Listing> {
        let (send, progress) = mpsc::channel();
        let read = move || {
            let mut listing = Listing::default();
            let gone = |_| Error::new(Kind::Failed, "nobody waits for the names");
            self.read(&mut listing, || send.send(()).map_err(gone))?;
            Ok(listing)
        };
        std::thread::scope(|scope| {
            let reader = std::thread::Builder::new()
                .name("mailtm-names".into())
                .spawn_scoped(scope, read);
            meanwhile();
            let Ok(reader) = reader else {
                return self.list();
            };
            // Progress of that thread is progress of this one.
            let mut progress = progress.into_iter();
            progress.try_for_each(|()| self.root.lane.enter())?;
            crew::join(reader)
        })
    }

    /// Reads the names into a listing, and tells `more` whenever the system is asked for something.
    fn read(&self, listing: &mut Listing, more: impl Fn() -> Result<()>) -> Result<()> {
        let mut buffer = vec![MaybeUninit::uninit(); 64 * 1024];
        let mut dir = RawDir::new(&self.fd, &mut buffer);
        loop {
            if dir.is_buffer_empty() {
                more()?;
                self.root.lane.enter()?;
            }
            let Some(entry) = dir.next() else {
                return Ok(());
            };
            let entry = entry.map_err(|e| self.root.error(&self.path, e))?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems do not say it with the name.
                FileType::Unknown => match more().and_then(|()| self.stat(name)) {
                    Ok(stat) => stat.kind,
                    Err(e) if e.kind() == Kind::NotFound => continue,
                    Err(e) => return Err(e),
                },
                known => known.into(),
            };
            listing.push(name, kind, entry.ino())?;
        }
    }

    /// What a name in this directory stands for; a link is not followed.
    pub fn stat(&self, name: &[u8]) -> Result<Stat> {
        self.root.lane.enter()?;
        let at = |e| self.root.error(&self.join(name), e);
        if name.contains(&b'/') {
            let fd = beneath(&self.fd, name, OFlags::PATH).map_err(at)?;
            return fs::fstat(&fd).map(Stat::from).map_err(at);
        }
        fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
            .map(Stat::from)
            .map_err(at)
    }

    pub fn stat_self(&self) -> Result<Stat> {
        self.root.lane.enter()?;
        fs::fstat(&self.fd)
            .map(Stat::from)
            .map_err(|e| self.root.error(&self.path, e))
    }

    /// What a symbolic link in this directory says; it is not followed.
    pub fn link(&self, name: &[u8]) -> Result<Vec<u8>> {
        self.root.lane.enter()?;
        let text = fs::readlinkat(&self.fd, name, Vec::new());
        text.map(|text| text.into_bytes())
            .map_err(|e| self.root.error(&self.join(name), e))
    }

    /// The device that the files of this directory are on, if an inode number stays with a file there for as long as the
    /// file is there; a file system that makes numbers up, or gives a snapshot those of the live files, has none.
    pub fn device(&self) -> Result<Option<u64>> {
        self.root.lane.enter()?;
        let at = |e| self.root.error(&self.path, e);
        Ok(match file_system::of(&self.fd).map_err(at)? {
            BTRFS | ZFS | EXT | XFS | F2FS | TMPFS => Some(fs::fstat(&self.fd).map_err(at)?.st_dev),
            _ => None,
        })
    }

    /// Opens a regular file; anything else that bears the name is refused unopened or closed unread.
    pub fn open(&self, name: &[u8]) -> Result<File<'a>> {
        self.root.lane.enter()?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let path = self.join(name);
        let fd = beneath(&self.fd, name, flags).map_err(|e| match e {
            // What opening a link, a socket or a device without a driver answers.
            Errno::LOOP | Errno::NXIO | Errno::NODEV => not_a_file(self.root, &path),
            e => self.root.error(&path, e),
        })?;
        let stat = fs::fstat(&fd)
            .map(Stat::from)
            .map_err(|e| self.root.error(&path, e))?;
        if stat.kind != FileKind::File {
            return Err(not_a_file(self.root, &path));
        }
        Ok(File {
            fd,
            root: self.root,
            path,
            stat,
        })
    }

    fn join(&self, name: &[u8]) -> Vec<u8> {
        if self.path.is_empty() {
            name.to_vec()
        } else {
            [&self.path, b"/".as_slice(), name].concat()
        }
    }
}

fn not_a_file(root: &Root, path: &[u8]) -> Error {
    let at = root.path.join(OsStr::from_bytes(path));
    Error::new(
        Kind::Unreadable,
        format!("{}: not a regular file", at.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_come_while_something_else_is_done_are_the_same() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..3000 {
            std::fs::write(dir.path().join(format!("{number:0>100}")), "").unwrap();
        }
        let root = Root::new(dir.path());
        let dir = root.dir(b"").unwrap();
        let names = |listing: &Listing| {
            let entries = listing.iter().map(|entry| (entry.name.to_vec(), entry.ino));
            entries.collect::<Vec<_>>()
        };
        let mut done = 0;
        let beside = root.dir(b"").unwrap().list_beside(|| done = 7).unwrap();
        assert_eq!((names(&beside).len(), done), (3000, 7));
        assert_eq!(names(&beside), names(&dir.list().unwrap()));
        let panics = || panic!("in what is done meanwhile");
        let caught = std::panic::catch_unwind(|| root.dir(b"").unwrap().list_beside(panics));
        assert!(caught.is_err());
    }
}
