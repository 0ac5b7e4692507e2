//! A directory of a store, open for the moment: what is in it, and opening that.

use super::file_system::{self, BTRFS, EXT, F2FS, TMPFS, XFS, ZFS};
use super::{File, Listing, Root, Stat, beneath, crew};
use crate::error::{Error, Kind, Result};
use crate::time::Time;
use rustix::fs::{self, AtFlags, FileType, OFlags, RawDir};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
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
        self.read(&mut listing, &mut |_| Ok(()))?;
        Ok(listing)
    }

    /// Gives the names in it, some at a time. The first to be given are none: what then takes long is done while the system is
    /// asked for those of a large directory.
    pub fn each_part(&self, mut take: impl FnMut(&Listing) -> Result<()>) -> Result<()> {
        match self.stat_self()?.size < LARGE {
            true => self.parts(take),
            false => self.parts_beside(&mut take),
        }
    }

    fn parts(&self, mut take: impl FnMut(&Listing) -> Result<()>) -> Result<()> {
        let mut give = |part: &mut Listing| {
            take(part)?;
            part.clear();
            Ok(())
        };
        let mut part = Listing::default();
        self.read(&mut part, &mut give)?;
        give(&mut part)
    }

    fn parts_beside(&self, take: &mut dyn FnMut(&Listing) -> Result<()>) -> Result<()> {
        let (send, parts) = mpsc::channel();
        let give = move |part: &mut Listing| {
            let gone = |_| Error::new(Kind::Failed, "nobody waits for the names");
            send.send(std::mem::take(part)).map_err(gone)
        };
        let read = move || {
            let (mut part, mut give) = (Listing::default(), give);
            self.read(&mut part, &mut give)?;
            give(&mut part)
        };
        std::thread::scope(|scope| {
            let reader = std::thread::Builder::new()
                .name("mailtm-names".into())
                .spawn_scoped(scope, read);
            let Ok(reader) = reader else {
                return self.parts(take);
            };
            take(&Listing::default())?;
            for part in parts {
                // Progress of that thread is progress of this one.
                self.root.lane.enter()?;
                take(&part)?;
            }
            crew::join(reader)
        })
    }

    /// Reads the names into a listing, and gives that to `full`, which may empty it, whenever the system is asked for more.
    fn read(
        &self,
        listing: &mut Listing,
        full: &mut dyn FnMut(&mut Listing) -> Result<()>,
    ) -> Result<()> {
        let mut buffer = vec![MaybeUninit::uninit(); 64 * 1024];
        let mut dir = RawDir::new(&self.fd, &mut buffer);
        loop {
            if dir.is_buffer_empty() {
                full(listing)?;
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
                FileType::Unknown => match full(listing).and_then(|()| self.stat(name)) {
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

    /// When the one of these that was touched last was [touched](Stat::touched), of those that are there.
    pub fn touched(&self, names: &[&[u8]]) -> Result<Time> {
        let mut touched = Time::default();
        for name in names {
            match self.stat(name) {
                Ok(stat) => touched = touched.max(stat.touched()),
                Err(e) if e.kind() == Kind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(touched)
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
        let fd = beneath(&self.fd, name, File::FLAGS);
        File::opened(self.root, self.join(name), fd)
    }

    fn join(&self, name: &[u8]) -> Vec<u8> {
        if self.path.is_empty() {
            name.to_vec()
        } else {
            [&self.path, b"/".as_slice(), name].concat()
        }
    }
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
        let names = |listing: &Listing| {
            let entries = listing.iter().map(|entry| (entry.name.to_vec(), entry.ino));
            entries.collect::<Vec<_>>()
        };
        let dir = || root.dir(b"").unwrap();
        let all = names(&dir().list().unwrap());
        assert_eq!(all.len(), 3000);
        let (mut beside, mut alone, mut parts) = (Vec::new(), Vec::new(), 0);
        let take = &mut |part: &Listing| {
            assert!(parts > 0 || part.is_empty());
            beside.extend(names(part));
            parts += 1;
            Ok(())
        };
        dir().parts_beside(take).unwrap();
        dir()
            .parts(|part| {
                alone.extend(names(part));
                Ok(())
            })
            .unwrap();
        assert_eq!((beside.len(), alone.len()), (3000, 3000));
        assert!(beside == all && alone == all && parts > 3, "{parts}");
        let fails = &mut |_: &Listing| Err(Error::new(Kind::Failed, "what is done meanwhile"));
        assert_eq!(dir().parts_beside(fails).unwrap_err().kind(), Kind::Failed);
        let panics = || {
            let panics = &mut |_: &Listing| panic!("in what is done meanwhile");
            dir().parts_beside(panics)
        };
        let caught = std::panic::catch_unwind(panics);
        assert!(caught.is_err());
    }
}
