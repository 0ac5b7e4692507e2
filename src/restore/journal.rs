//! The log of a restore: what it was to do, and what it has done.
//!
//! One file for each run, a JSON object on each line. It serves three ends: it says afterwards what was done; it is the
//! way back (`--undo`); and a run that was interrupted is recognised by it, so that the next one goes on with what is
//! missing and nothing else.
//!
//! Invariants:
//! 1. What a run may put anywhere is on disk, with the name that it will have there, before the first of it is put.
//! 2. A line is written by one call and follows what it tells of. So of all that a log does not tell, at most one message
//!    has been put.
//! 3. A line that was torn by a crash is none, and does not spoil the next one.
//!
//! The logs of a mailbox are in a directory of its own, with a lock: one restore at a time writes to a mailbox.
//!
//! The cast: [`Logs`] are a mailbox's, locked; [`Log`] is written; [`Past`] is read.

use crate::error::{Error, Kind, Result};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Of the form of a log.
pub const VERSION: u32 = 1;

/// What a run was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub version: u32,
    /// When it began, RFC 3339.
    pub started: String,
    /// The date as it is shown.
    pub date: String,
    /// The mailbox as it is shown.
    pub mailbox: String,
    pub user: String,
    pub domain: Option<String>,
    /// Where the mailbox is in the store, escaped.
    pub path: String,
    /// The same of the live store, if it is elsewhere there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<String>,
    /// The format of the store.
    pub format: String,
    /// How messages were put: `maildir`, `doveadm` or `imap`.
    pub method: String,
    /// The folder that all of it was put into, if not their own ones.
    pub into: Option<String>,
}

/// One message that a run was to put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its number in the run.
    pub item: u64,
    /// The folder that it was in, as stored, escaped.
    pub folder: String,
    /// Its store identity, escaped.
    pub identity: String,
    /// The folder that it is put into, its levels separated by `/`.
    pub into: String,
    /// What it is recognised by in the mailbox: a hash of its Message-ID, and its size.
    pub key: String,
    /// INTERNALDATE, in seconds since 1970.
    pub received: i64,
    /// The unique part of its new name, where the store has such names.
    pub name: Option<String>,
}

/// Where a message was put, and what it was like when it was put there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The folder's name in the store, escaped.
    pub folder: String,
    /// The name of its file, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its number on the server, and the number that says how long such numbers are good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<(u32, u32)>,
    /// SHA-256 of its bytes.
    pub digest: String,
    /// Its flags and keywords, in the store's own form.
    pub flags: String,
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    Run(Run),
    Plan(Item),
    /// The plan is complete; from here on it is carried out.
    Begin {
        items: u64,
    },
    /// A folder was made.
    Made {
        folder: String,
    },
    Put {
        item: u64,
        place: Place,
    },
    /// A later run found that the message is there, or put it.
    Settled {
        item: u64,
    },
    Failed {
        item: u64,
        error: String,
    },
    /// The way back: a message that the run had put was taken away.
    Removed {
        item: u64,
    },
    /// Nothing is left to be done about the run.
    End,
}

/// Bytes as text that any of them survives: what is no printable ASCII, and `%`, is `%` and two hexadecimal digits.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &b in bytes {
        match b {
            b'%' | 0..b' ' | 0x7f.. => text.push_str(&format!("%{b:02X}")),
            _ => text.push(char::from(b)),
        }
    }
    text
}

/// What [`escape`] made.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        match (first, code) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

/// The logs of a mailbox. As long as this lives, no other process restores into it.
#[derive(Debug)]
pub struct Logs {
    dir: PathBuf,
    _lock: File,
}

impl Logs {
    /// Those of a mailbox, by the name that it is shown under.
    ///
    /// # Errors
    /// [`Kind::Failed`] also if another restore has them.
    pub fn lock(all: &Path, mailbox: &str) -> Result<Self> {
        let dir = all.join(mailbox);
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir);
        made.map_err(|e| failed("making the directory of logs", &dir, &e))?;
        let path = dir.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| failed("locking", &path, &e))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { dir, _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::new(
                Kind::Failed,
                format!(
                    "{mailbox}: another restore into this mailbox is running: wait until it has ended"
                ),
            )),
            Err(e) => Err(failed("locking", &path, &e.into())),
        }
    }

    /// Begins a log: writes down the whole plan, and returns when it is on disk.
    pub fn begin(&self, run: Run, items: impl Iterator<Item = Item>) -> Result<Log> {
        let name: String = run
            .started
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        let name = format!("{name}-{}.log", std::process::id());
        let path = self.dir.join(name);
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| failed("beginning the log", &path, &e))?;
        let mut log = Log { file, path };
        let mut count = 0;
        let written = (|| {
            let mut out = BufWriter::new(&mut log.file);
            write_line(&mut out, &Line::Run(run))?;
            for item in items {
                write_line(&mut out, &Line::Plan(item))?;
                count += 1;
            }
            write_line(&mut out, &Line::Begin { items: count })?;
            out.flush()?;
            drop(out);
            log.file.sync_all()?;
            File::open(&self.dir)?.sync_all()
        })();
        written.map_err(|e| failed("writing the log", &log.path, &e))?;
        Ok(log)
    }

    /// The runs that were interrupted, as [`unfinished`] finds them.
    pub fn unfinished(&self) -> Result<Vec<Past>> {
        interrupted(&self.dir)
    }
}

/// The runs into a mailbox that were interrupted, oldest first. What cannot be read is warned of.
pub fn unfinished(all: &Path, mailbox: &str) -> Result<Vec<Past>> {
    interrupted(&all.join(mailbox))
}

fn interrupted(dir: &Path) -> Result<Vec<Past>> {
    let listed = match fs::read_dir(dir) {
        Ok(listed) => listed,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed("listing the logs", dir, &e)),
    };
    let mut paths: Vec<PathBuf> = listed
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        match is_ended(&path) {
            Ok(true) => continue,
            Ok(false) => match Past::read(&path) {
                Ok(past) if past.begun => found.push(past),
                // Its plan was not complete, so nothing was put.
                Ok(_) => {}
                Err(e) => tracing::warn!("{e}"),
            },
            Err(e) => tracing::warn!("{}", failed("reading the log", &path, &e)),
        }
    }
    Ok(found)
}

fn failed(doing: &str, path: &Path, e: &io::Error) -> Error {
    Error::new(Kind::Failed, format!("{doing} {}: {e}", path.display()))
}

fn write_line(out: &mut impl Write, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    out.write_all(&text)
}

/// Whether the last line says that nothing is left to be done.
fn is_ended(path: &Path) -> io::Result<bool> {
    let mut end = Vec::new();
    let mut file = File::open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(64)))?;
    file.read_to_end(&mut end)?;
    Ok(end.ends_with(b"\n\"end\"\n"))
}

/// A log that is written.
#[derive(Debug)]
pub struct Log {
    file: File,
    path: PathBuf,
}

impl Log {
    /// Goes on with a log.
    pub fn open(path: &Path) -> Result<Self> {
        let opened = (|| {
            let mut file = OpenOptions::new().read(true).append(true).open(path)?;
            let mut last = [b'\n'];
            if file.seek(SeekFrom::End(0))? > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
            }
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
            Ok(file)
        })();
        Ok(Self {
            file: opened.map_err(|e| failed("opening the log", path, &e))?,
            path: path.to_owned(),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn append(&mut self, line: &Line) -> Result<()> {
        let written = (|| {
            let mut text = serde_json::to_vec(line)?;
            text.push(b'\n');
            self.file.write_all(&text)
        })();
        written.map_err(|e| failed("writing the log", &self.path, &e))
    }

    /// What was appended outlives a power failure.
    pub fn sync(&self) -> Result<()> {
        let synced = self.file.sync_all();
        synced.map_err(|e| failed("writing the log", &self.path, &e))
    }
}

/// What became of a message of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Not put, as far as the log tells.
    Pending,
    Put(Place),
    /// Somebody else's matter since.
    Settled,
    Removed,
}

/// A log that was read.
#[derive(Clone, Debug)]
pub struct Past {
    pub path: PathBuf,
    pub run: Run,
    pub items: Vec<(Item, Fate)>,
    /// The plan is complete: some of it may have been carried out.
    pub begun: bool,
    pub ended: bool,
}

impl Past {
    /// # Errors
    /// [`Kind::Config`] if it is no log.
    pub fn read(path: &Path) -> Result<Self> {
        let no_log = |why: &dyn std::fmt::Display| {
            let message = format!("{}: no log of a restore: {why}", path.display());
            Error::new(Kind::Config, message)
        };
        let file = File::open(path).map_err(|e| no_log(&e))?;
        let mut run = None;
        let mut past: Vec<(Item, Fate)> = Vec::new();
        let (mut begun, mut ended) = (false, false);
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(|e| failed("reading the log", path, &e))?;
            let Ok(line) = serde_json::from_slice(&line) else {
                if run.is_none() {
                    return Err(no_log(&"its first line is not that of one"));
                }
                continue;
            };
            let fate = match line {
                Line::Run(found) if found.version == VERSION => {
                    run = Some(found);
                    continue;
                }
                Line::Run(_) => return Err(no_log(&"it is of another version of mailtm")),
                Line::Plan(item) => {
                    past.push((item, Fate::Pending));
                    continue;
                }
                Line::Begin { .. } => {
                    begun = true;
                    continue;
                }
                Line::End => {
                    ended = true;
                    continue;
                }
                Line::Made { .. } | Line::Failed { .. } => continue,
                Line::Put { item, place } => (item, Fate::Put(place)),
                Line::Settled { item } => (item, Fate::Settled),
                Line::Removed { item } => (item, Fate::Removed),
            };
            let at = usize::try_from(fate.0).ok();
            if let Some((_, slot)) = at.and_then(|at| past.get_mut(at)) {
                *slot = fate.1;
            }
        }
        let run = run.ok_or_else(|| no_log(&"it is empty"))?;
        Ok(Self {
            path: path.to_owned(),
            run,
            items: past,
            begun,
            ended,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        Run {
            version: VERSION,
            started: "2026-11-22T02:03:04Z".into(),
            date: "2026-11-20".into(),
            mailbox: "alice@example.com".into(),
            user: "alice".into(),
            domain: Some("example.com".into()),
            live: None,
            format: "maildir".into(),
            path: "example.com/alice".into(),
            method: "maildir".into(),
            into: None,
        }
    }

    fn item(number: u64) -> Item {
        Item {
            item: number,
            folder: String::new(),
            identity: format!("{number}.x"),
            into: "INBOX".into(),
            key: format!("k{number}"),
            received: 0,
            name: None,
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::lock(dir.path(), "alice@example.com").unwrap();
        let mut log = logs.begin(run(), (0..3).map(item)).unwrap();
        let place = Place {
            digest: "d".into(),
            ..Place::default()
        };
        log.append(&Line::Put {
            item: 1,
            place: place.clone(),
        })
        .unwrap();
        // A torn line spoils neither itself nor the next one.
        log.file.write_all(b"{\"put\":{\"item\":0").unwrap();
        let mut log = Log::open(log.path()).unwrap();
        log.append(&Line::Settled { item: 2 }).unwrap();
        let past = logs.unfinished().unwrap();
        assert_eq!(past.len(), 1);
        let fates: Vec<&Fate> = past[0].items.iter().map(|(_, fate)| fate).collect();
        assert_eq!(fates, [&Fate::Pending, &Fate::Put(place), &Fate::Settled]);
        assert_eq!(past[0].run, run());
        log.append(&Line::End).unwrap();
        assert!(logs.unfinished().unwrap().is_empty());
        assert!(Past::read(log.path()).unwrap().ended);
    }

    #[test]
    fn one_restore_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = Logs::lock(dir.path(), "alice").unwrap();
        let error = Logs::lock(dir.path(), "alice").unwrap_err();
        assert!(error.to_string().contains("is running"), "{error}");
        Logs::lock(dir.path(), "bob").unwrap();
        drop(first);
        Logs::lock(dir.path(), "alice").unwrap();
    }

    #[test]
    fn bytes_survive() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unescape(&escape(&all)), all);
        assert_eq!(unescape("100%, %zz %"), b"100%, %zz %");
    }

    #[test]
    fn what_is_no_log_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        for text in ["", "hello\n", "{}\n", "{\"run\":{}}\n"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(
                Past::read(&path).unwrap_err().kind(),
                Kind::Config,
                "{text}"
            );
        }
    }
}
