//! Mail stores and their snapshots, written byte for byte: names, contents, times and owners are the test's.
//!
//! A store here is a directory whose children are snapshots; a mailbox `user@domain` lies in
//! `<snapshot>/<domain>/<user>/Maildir`. Everything in a mailbox belongs to its owner.

use super::run;
use std::ffi::OsStr;
use std::fs::{self, FileTimes};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

/// How a Maildir names its folders.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `.A.B`
    MaildirPlusPlus,
    /// `A/B`, Dovecot's `LAYOUT=fs`
    Fs,
}

/// A directory of snapshots.
pub struct Store {
    pub path: PathBuf,
}

impl Store {
    pub fn new(path: PathBuf) -> Self {
        fs::create_dir_all(&path).unwrap();
        Self { path }
    }

    pub fn snapshot(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// A Maildir++ mailbox of a snapshot, made with an empty INBOX if it isn't there; its owner is [`uid_of`] its address.
    pub fn mailbox(&self, snapshot: &str, address: &str) -> Mailbox {
        Mailbox::new(&self.snapshot(snapshot), address, Layout::MaildirPlusPlus)
    }

    /// A new snapshot with the same files (hard links), names, times and owners as another one.
    pub fn link(&self, from: &str, to: &str) -> PathBuf {
        let target = self.path.join(to);
        run(Command::new("cp")
            .arg("-al")
            .arg(self.path.join(from))
            .arg(&target));
        target
    }
}

/// The owner that a mailbox made here gets if nothing else is said: a uid that nobody has, another one for each address.
pub fn uid_of(address: &str) -> u32 {
    1_000_000 + crc32fast::hash(address.as_bytes()) % 1_000_000
}

/// One mailbox of one snapshot.
pub struct Mailbox {
    pub path: PathBuf,
    pub layout: Layout,
    uid: u32,
    gid: u32,
}

impl Mailbox {
    pub fn new(snapshot: &Path, address: &str, layout: Layout) -> Self {
        let (user, domain) = address.split_once('@').unwrap();
        let home = snapshot.join(domain).join(user);
        let uid = uid_of(address);
        let mailbox = Self {
            path: home.join("Maildir"),
            layout,
            uid,
            gid: uid,
        };
        if !mailbox.path.exists() {
            fs::create_dir_all(&mailbox.path).unwrap();
            for path in [&home, &mailbox.path] {
                lchown(path, Some(uid), Some(uid)).unwrap();
            }
            mailbox.folder("");
        }
        mailbox
    }

    /// Gives the mailbox, with everything in it so far and from now on, to somebody else.
    pub fn owned_by(mut self, uid: u32, gid: u32) -> Self {
        (self.uid, self.gid) = (uid, gid);
        run(Command::new("chown")
            .arg("-hR")
            .arg(format!("{uid}:{gid}"))
            .arg(self.path.parent().unwrap()));
        self
    }

    /// The directory of a folder, made with `cur`, `new`, `tmp`. `stored` is the name as the store has it, encoded;
    /// with `/` between levels and empty for INBOX.
    pub fn folder(&self, stored: impl AsRef<[u8]>) -> PathBuf {
        let stored = stored.as_ref();
        let path = match (self.layout, stored) {
            (_, b"") => self.path.clone(),
            (Layout::Fs, name) => self.path.join(OsStr::from_bytes(name)),
            (Layout::MaildirPlusPlus, name) => {
                let mut flat = b".".to_vec();
                flat.extend(name.iter().map(|&b| if b == b'/' { b'.' } else { b }));
                self.path.join(OsStr::from_bytes(&flat))
            }
        };
        if !path.join("cur").exists() {
            for part in ["cur", "new", "tmp"] {
                fs::create_dir_all(path.join(part)).unwrap();
                self.give(&path.join(part));
            }
            let mut above = path.as_path();
            while above != self.path {
                self.give(above);
                above = above.parent().unwrap();
            }
            if self.layout == Layout::MaildirPlusPlus && !stored.is_empty() {
                fs::write(path.join("maildirfolder"), "").unwrap();
                self.give(&path.join("maildirfolder"));
            }
        }
        path
    }

    /// Puts a file into `place`, which is `cur`, `new`, `tmp` of INBOX or e.g. `Sent/cur`.
    /// `received` is its time, in seconds since 1970.
    pub fn put(
        &self,
        place: &str,
        name: impl AsRef<[u8]>,
        bytes: impl AsRef<[u8]>,
        received: i64,
    ) -> PathBuf {
        let (folder, part) = place.rsplit_once('/').unwrap_or(("", place));
        let path = self
            .folder(folder)
            .join(part)
            .join(OsStr::from_bytes(name.as_ref()));
        // A file that another snapshot links to is replaced, never changed.
        let _ = fs::remove_file(&path);
        fs::write(&path, bytes).unwrap();
        self.give(&path);
        set_time(&path, received);
        path
    }

    /// A message of the given number in INBOX, read; it differs from others in everything. Returns its bytes.
    pub fn number(&self, place: &str, number: u32) -> Vec<u8> {
        let bytes = mail(
            "Bob Rossi <bob@example.com>",
            &format!("Message {number}"),
            &format!("Line of message {number}.\n"),
        );
        let received = 1_795_000_000 + i64::from(number) * 60;
        self.put(
            place,
            format!("{received}.M{number}P1.mx:2,S"),
            &bytes,
            received,
        );
        bytes
    }

    /// Puts the same small message, of 2026-11-19 09:32:10 UTC, into each of these folders.
    pub fn greet(&self, folders: &[&str]) {
        let bytes = mail("Bob Rossi <bob@example.com>", "Hello", "Hi\n");
        for folder in folders {
            let place = format!("{folder}/cur");
            self.put(
                &place,
                "1795.M1P1.mx:2,S",
                &bytes,
                super::utc("2026-11-19 09:32:10"),
            );
        }
    }

    fn give(&self, path: &Path) {
        lchown(path, Some(self.uid), Some(self.gid)).unwrap();
    }
}

/// Sets the time of last change, in seconds since 1970.
pub fn set_time(path: &Path, secs: i64) {
    let distance = Duration::from_secs(secs.unsigned_abs());
    let time = if secs < 0 {
        SystemTime::UNIX_EPOCH - distance
    } else {
        SystemTime::UNIX_EPOCH + distance
    };
    fs::File::open(path)
        .and_then(|f| f.set_times(FileTimes::new().set_modified(time).set_accessed(time)))
        .unwrap();
}

/// A plain message with LF line ends.
pub fn mail(from: &str, subject: &str, body: &str) -> Vec<u8> {
    format!(
        "From: {from}\nTo: alice@example.com\nSubject: {subject}\n\
         Message-ID: <{:08x}@example.com>\nDate: Thu, 19 Nov 2026 09:32:00 +0000\n\n{body}",
        crc32fast::hash(format!("{from}{subject}{body}").as_bytes())
    )
    .into_bytes()
}
