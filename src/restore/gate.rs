//! The only gate through which a live mail store is written.
//!
//! A mailbox belongs to its owner, who may plant links in it at any moment, and mailtm writes as root. So:
//!
//! 1. Paths are resolved beneath the live store, name by name, and no link is followed ([`beneath()`]); everything else happens relative to directories that are open.
//! 2. A file is made under a name that nobody has (`O_EXCL`), and gets its own name only if nobody has that either.
//!    Nothing is opened for writing that was there before, but a file that others append to as well ([`Dir::append`]).
//! 3. Owner, mode and time are set on what is open, never on a path.
//! 4. What is made belongs to the owner of the directory around it, with that directory's permissions.
//!
//! The cast: [`Gate`] is the root of the live store, [`Dir`] a directory of it, [`NewFile`] a file until it has its
//! name, [`Ownership`] what new things get.

use crate::disk::beneath;
use crate::error::{Error, Kind, Result};
use crate::time::Time;
use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A lock this old belongs to nobody any more.
const STALE_LOCK: Duration = Duration::from_secs(120);

/// The root of a live store.
#[derive(Debug)]
pub struct Gate {
    fd: OwnedFd,
    path: PathBuf,
}

/// Whose something is, and who else may do what with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    uid: u32,
    gid: u32,
    /// Permission bits of a directory.
    mode: u32,
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);

impl Gate {
    /// The directory at a path that an administrator has configured.
    pub fn open(path: &Path) -> Result<Self> {
        let fd = fs::open(path, DIRECTORY, Mode::empty()).map_err(|e| {
            let cure = "set live under [source] to the mail store as it is now";
            let message = format!("{}: {}: {cure}", path.display(), std::io::Error::from(e));
            Error::new(Kind::Config, message)
        })?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    /// A directory below the root.
    pub fn dir(&self, path: &[u8]) -> Result<Dir> {
        let at = self.path.join(OsStr::from_bytes(path));
        let path: &[u8] = if path.is_empty() { b"." } else { path };
        let fd = beneath(&self.fd, path, DIRECTORY).map_err(|e| error(&at, e))?;
        Ok(Dir { fd, path: at })
    }
}

fn error(path: &Path, errno: Errno) -> Error {
    let kind = match errno {
        Errno::NOENT => Kind::NotFound,
        Errno::NOTDIR | Errno::LOOP | Errno::XDEV => Kind::NotADirectory,
        _ => Kind::Failed,
    };
    let cure = match errno {
        Errno::NOTDIR | Errno::LOOP | Errno::XDEV => {
            ": something that is no plain directory is there, such as a symbolic link; it is not followed"
        }
        Errno::PERM | Errno::ACCESS => ": run this as root",
        Errno::NOSPC | Errno::DQUOT => ": make room, and run this again; it goes on from here",
        _ => "",
    };
    let message = format!("{}: {}{cure}", path.display(), std::io::Error::from(errno));
    Error::new(kind, message)
}

fn io_error(path: &Path, e: &std::io::Error) -> Error {
    match e.raw_os_error() {
        Some(code) => error(path, Errno::from_raw_os_error(code)),
        None => Error::new(Kind::Failed, format!("{}: {e}", path.display())),
    }
}

/// A directory of the live store.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl Dir {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is made in this directory gets.
    pub fn ownership(&self) -> Result<Ownership> {
        let stat = fs::fstat(&self.fd).map_err(|e| error(&self.path, e))?;
        Ok(Ownership {
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: stat.st_mode & 0o2777,
        })
    }

    /// The directory of a name.
    pub fn sub(&self, name: &[u8]) -> Result<Self> {
        let path = self.join(name);
        let fd = beneath(&self.fd, name, DIRECTORY).map_err(|e| error(&path, e))?;
        Ok(Self { fd, path })
    }

    /// The directory of a name, made if there is none; and whether it was made.
    pub fn make(&self, name: &[u8], like: Ownership) -> Result<(Self, bool)> {
        let path = self.join(name);
        let made = match fs::mkdirat(&self.fd, name, Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(e) => return Err(error(&path, e)),
        };
        let dir = self.sub(name)?;
        if made {
            own(&dir.fd, &path, like, like.mode)?;
        }
        Ok((dir, made))
    }

    /// A new file under a name that nobody has; `None` if somebody has it.
    pub fn create(&self, name: &[u8]) -> Result<Option<NewFile<'_>>> {
        let path = self.join(name);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => fd,
            Err(Errno::EXIST) => return Ok(None),
            Err(e) => return Err(error(&path, e)),
        };
        Ok(Some(NewFile {
            file: File::from(fd),
            dir: self,
            name: Some(name.to_vec()),
            path,
        }))
    }

    /// A lock file, made as soon as nobody else has it, which goes when this is dropped. Mail servers lock so, and break
    /// a lock that is two minutes old; so does this.
    pub fn lock(&self, name: &[u8]) -> Result<NewFile<'_>> {
        let end = Instant::now() + 2 * STALE_LOCK;
        while Instant::now() < end {
            if let Some(lock) = self.create(name)? {
                return Ok(lock);
            }
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let now = now.unwrap_or_default().as_secs() as i64;
            match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if now - stat.st_mtime > STALE_LOCK.as_secs() as i64 => {
                    self.remove(name)?;
                }
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
        let message = format!(
            "{}: somebody has had this lock for minutes: see that the mail server is well, and run this again",
            self.join(name).display()
        );
        Err(Error::new(Kind::Failed, message))
    }

    /// All of a regular file of at most `limit` bytes; `None` if there is none of the name.
    pub fn read(&self, name: &[u8], limit: u64) -> Result<Option<Vec<u8>>> {
        let path = self.join(name);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = match beneath(&self.fd, name, flags) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(e) => return Err(error(&path, e)),
        };
        let stat = fs::fstat(&fd).map_err(|e| error(&path, e))?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let mut bytes = Vec::new();
        if is_file {
            let mut file = File::from(fd).take(limit + 1);
            file.read_to_end(&mut bytes)
                .map_err(|e| io_error(&path, &e))?;
        }
        if !is_file || bytes.len() as u64 > limit {
            let message = format!("{}: not a file of at most {limit} bytes", path.display());
            return Err(Error::new(Kind::Failed, message));
        }
        Ok(Some(bytes))
    }

    /// Appends lines to a file, at once; false if what has the name is no regular file of this owner alone, which is left as it
    /// is.
    pub fn append(&self, name: &[u8], like: Ownership, lines: &str) -> Result<bool> {
        let path = self.join(name);
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = match beneath(&self.fd, name, flags) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::LOOP | Errno::XDEV | Errno::ISDIR | Errno::NXIO) => {
                return Ok(false);
            }
            Err(e) => return Err(error(&path, e)),
        };
        let stat = fs::fstat(&fd).map_err(|e| error(&path, e))?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !is_file || stat.st_uid != like.uid || stat.st_nlink != 1 {
            return Ok(false);
        }
        let mut file = File::from(fd);
        let mut last = [b'\n'];
        if stat.st_size > 0 {
            let at = |e| io_error(&path, &e);
            file.read_exact_at(&mut last, stat.st_size as u64 - 1)
                .map_err(at)?;
        }
        let start = if last == *b"\n" { "" } else { "\n" };
        file.write_all(format!("{start}{lines}").as_bytes())
            .map_err(|e| io_error(&path, &e))?;
        Ok(true)
    }

    /// Whether something has the name.
    pub fn has(&self, name: &[u8]) -> Result<bool> {
        match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(error(&self.join(name), e)),
        }
    }

    /// Takes a name away.
    pub fn remove(&self, name: &[u8]) -> Result<()> {
        fs::unlinkat(&self.fd, name, AtFlags::empty()).map_err(|e| error(&self.join(name), e))
    }

    /// Names made and taken away so far outlive a power failure.
    pub fn sync(&self) -> Result<()> {
        match fs::fsync(&self.fd) {
            // File systems that cannot sync a directory keep their names some other way.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(e) => Err(error(&self.path, e)),
        }
    }

    fn join(&self, name: &[u8]) -> PathBuf {
        self.path.join(OsStr::from_bytes(name))
    }
}

fn own(fd: impl std::os::fd::AsFd, path: &Path, like: Ownership, mode: u32) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(like.uid), Gid::from_raw(like.gid));
    let stat = fs::fstat(&fd).map_err(|e| error(path, e))?;
    if (stat.st_uid, stat.st_gid) != (like.uid, like.gid) {
        fs::fchown(&fd, Some(uid), Some(gid)).map_err(|e| error(path, e))?;
    }
    fs::fchmod(&fd, Mode::from_raw_mode(mode)).map_err(|e| error(path, e))
}

/// A file that has no lasting name yet. Dropped without one, it is taken away again.
#[derive(Debug)]
pub struct NewFile<'a> {
    file: File,
    dir: &'a Dir,
    /// What it is called for now; `None` once it has its own name.
    name: Option<Vec<u8>>,
    path: PathBuf,
}

impl NewFile<'_> {
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .map_err(|e| io_error(&self.path, &e))
    }

    /// Gives it its owner, permissions and time of last change, and sees to it that its contents outlive a power failure.
    pub fn seal(&mut self, like: Ownership, changed: Option<Time>) -> Result<()> {
        own(&self.file, &self.path, like, like.mode & 0o666)?;
        if let Some(changed) = changed {
            let time = fs::Timespec {
                tv_sec: changed.secs,
                tv_nsec: changed.nanos.into(),
            };
            let times = fs::Timestamps {
                last_access: time,
                last_modification: time,
            };
            fs::futimens(&self.file, &times).map_err(|e| error(&self.path, e))?;
        }
        self.file.sync_all().map_err(|e| io_error(&self.path, &e))
    }

    /// Moves it to a name that nobody has.
    ///
    /// # Errors
    /// [`Kind::Failed`] also if somebody has the name; nothing has happened then.
    pub fn publish(mut self, dir: &Dir, name: &[u8]) -> Result<()> {
        let Some(from) = self.name.clone() else {
            return Ok(());
        };
        let at = |e| error(&dir.join(name), e);
        let flags = RenameFlags::NOREPLACE;
        match fs::renameat_with(&self.dir.fd, &from, &dir.fd, name, flags) {
            Ok(()) => self.name = None,
            // A file system that does not know such a rename; the first name goes when this is dropped.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                fs::linkat(&self.dir.fd, &from, &dir.fd, name, AtFlags::empty()).map_err(at)?;
            }
            Err(e) => return Err(at(e)),
        }
        Ok(())
    }

    /// Takes the place of a file in the same directory.
    pub fn replace(mut self, name: &[u8]) -> Result<()> {
        if let Some(from) = self.name.clone() {
            fs::renameat(&self.dir.fd, &from, &self.dir.fd, name)
                .map_err(|e| error(&self.dir.join(name), e))?;
            self.name = None;
        }
        Ok(())
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // What stays behind in `tmp` the mail server removes in its time.
            let _ = fs::unlinkat(&self.dir.fd, name, AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    fn gate() -> (tempfile::TempDir, Gate) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("live/box/cur")).unwrap();
        std::fs::create_dir_all(dir.path().join("outside")).unwrap();
        let gate = Gate::open(&dir.path().join("live")).unwrap();
        (dir, gate)
    }

    #[test]
    fn nothing_outside_is_written() {
        let (dir, gate) = gate();
        symlink("../outside", dir.path().join("live/link")).unwrap();
        symlink("../../outside", dir.path().join("live/box/tmp")).unwrap();
        symlink("../../outside/file", dir.path().join("live/box/new")).unwrap();
        assert_eq!(gate.dir(b"link").unwrap_err().kind(), Kind::NotADirectory);
        assert!(gate.dir(b"../outside").is_err());
        let mailbox = gate.dir(b"box").unwrap();
        let like = mailbox.ownership().unwrap();
        assert!(mailbox.sub(b"tmp").is_err());
        assert!(mailbox.make(b"tmp", like).is_err());
        assert!(mailbox.create(b"new").unwrap().is_none());
        assert!(mailbox.read(b"new", 10).is_err());
        assert_eq!(
            std::fs::read_dir(dir.path().join("outside"))
                .unwrap()
                .count(),
            0
        );
    }

    #[test]
    fn nothing_is_overwritten() {
        let (dir, gate) = gate();
        let mailbox = gate.dir(b"box").unwrap();
        let cur = mailbox.sub(b"cur").unwrap();
        std::fs::write(dir.path().join("live/box/cur/taken"), "before").unwrap();
        let mut file = mailbox.create(b"t").unwrap().unwrap();
        file.write(b"after").unwrap();
        assert!(file.publish(&cur, b"taken").is_err());
        assert_eq!(
            std::fs::read(dir.path().join("live/box/cur/taken")).unwrap(),
            b"before"
        );
        assert!(!mailbox.has(b"t").unwrap(), "no debris");
    }

    #[test]
    fn what_is_made_is_like_its_neighbours() {
        let (dir, gate) = gate();
        let path = dir.path().join("live/box");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o770)).unwrap();
        let mailbox = gate.dir(b"box").unwrap();
        let like = mailbox.ownership().unwrap();
        let mut file = mailbox.create(b"t").unwrap().unwrap();
        file.write(b"x").unwrap();
        file.seal(like, Some(Time::from_secs(1_000_000_000)))
            .unwrap();
        file.publish(&mailbox, b"mail").unwrap();
        let stat = std::fs::metadata(path.join("mail")).unwrap();
        assert_eq!((stat.mode() & 0o777, stat.mtime()), (0o660, 1_000_000_000));
        let (made, fresh) = mailbox.make(b"sub", like).unwrap();
        assert!(fresh && !mailbox.make(b"sub", like).unwrap().1);
        assert_eq!(made.ownership().unwrap(), like);
    }
}
