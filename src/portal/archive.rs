//! A mailbox, a folder or chosen messages as a Maildir++ in a tar archive, made piece by piece.
//!
//! ```text
//! <name>/cur/<message>:2,<flags>       INBOX, or the folder that was asked for
//! <name>/new/ tmp/ dovecot-keywords
//! <name>/.<folder>/cur/…
//! <name>/UNREADABLE.txt                if there is anything to say in it
//! ```
//!
//! Invariants: what could not be read has its place taken by a message that says so, and is named in `UNREADABLE.txt`; a message
//! that breaks off while it is read ends the archive as a broken one, never with a file that is short; a piece that could not be
//! made can be asked for again.

use crate::error::{Error, Kind, Result};
use crate::fs::browse::export::PIECE;
use crate::fs::browse::{Contents, Summary, When};
use crate::fs::{Fs, NodeId};
use crate::message::mboxrd::placeholder;
use crate::view::listing::is_for_all;
use crate::view::mbox::REASON;
use std::collections::VecDeque;
use tar::{EntryType, Header};

const BLOCK: usize = 512;

/// Longest name that a header has room for.
const LONGEST: usize = 100;

/// Names that are told of in the note; the others are counted.
const MOST_TOLD: usize = 10_000;

/// Messages whose facts are looked up at once.
const AT_ONCE: usize = 256;

/// A folder that is still to come.
pub struct Folder {
    /// Its directory below the archive's own; empty: that itself.
    pub directory: Vec<u8>,
    pub path: String,
    /// IDs of messages; `None`: all.
    pub chosen: Option<Vec<String>>,
}

/// The folder that is being written.
struct Current {
    contents: Contents,
    path: String,
    /// With a slash at its end.
    directory: Vec<u8>,
    /// Positions of messages to come.
    positions: VecDeque<u32>,
    /// The next of them.
    ready: VecDeque<(u32, Summary)>,
}

/// A message of which only the beginning is written.
struct File {
    node: NodeId,
    name: String,
    offset: u64,
    size: u64,
}

/// An archive, as far as it is not written yet.
pub struct Archive {
    mailbox: String,
    when: When,
    /// The directory that everything is in, with a slash at its end.
    root: Vec<u8>,
    folders: VecDeque<Folder>,
    current: Option<Current>,
    file: Option<File>,
    unreadable: Vec<String>,
    untold: usize,
    ended: bool,
}

impl Archive {
    /// `root`: the name of the directory that everything is in.
    pub fn new(mailbox: String, when: When, root: &str, folders: Vec<Folder>) -> Self {
        Self {
            mailbox,
            when,
            root: format!("{root}/").into_bytes(),
            folders: folders.into(),
            current: None,
            file: None,
            unreadable: Vec::new(),
            untold: 0,
            ended: false,
        }
    }

    /// The next bytes; `None` at the end.
    pub fn next(&mut self, fs: &Fs) -> Result<Option<Vec<u8>>> {
        if let Some(file) = &mut self.file {
            let bytes = read(fs, file.node, file.offset, &file.name)?;
            file.offset += bytes.len() as u64;
            let mut out = bytes;
            if file.offset >= file.size {
                pad(&mut out, file.size);
                self.file = None;
            }
            return Ok(Some(out));
        }
        let mut out = Vec::new();
        // Small messages make one piece together.
        while out.len() < PIECE && self.file.is_none() {
            let more = match &self.current {
                Some(_) => self.message(fs, &mut out),
                None => self.folder(fs, &mut out),
            };
            match more {
                Ok(true) => {}
                Ok(false) => break,
                // What has been written is given first.
                Err(_) if !out.is_empty() => break,
                Err(e) => return Err(e),
            }
        }
        if out.is_empty() && !self.ended {
            self.ended = true;
            out = self.end();
        }
        Ok((!out.is_empty()).then_some(out))
    }

    /// Begins the next folder; false if there is none.
    fn folder(&mut self, fs: &Fs, out: &mut Vec<u8>) -> Result<bool> {
        let Some(folder) = self.folders.front() else {
            return Ok(false);
        };
        let found = fs
            .contents(&self.mailbox, &self.when, &folder.path)
            .and_then(|contents| match contents {
                Some(contents) => {
                    let keywords = fs.maildir_keywords(&contents)?;
                    Ok((contents, keywords))
                }
                None => Err(Error::new(Kind::NotFound, "no such folder")),
            });
        let found = match found {
            Err(e) if is_for_all(&e) => return Err(e),
            found => found,
        };
        let Some(folder) = self.folders.pop_front() else {
            return Ok(false);
        };
        let (contents, keywords) = match found {
            Ok(found) => found,
            Err(e) => {
                tracing::warn!("{}: {}: {e}", self.mailbox, folder.path);
                self.tell(folder.path);
                return Ok(true);
            }
        };
        let mut directory = self.root.clone();
        if !folder.directory.is_empty() {
            directory.extend_from_slice(&folder.directory);
            directory.push(b'/');
        }
        let time = 0;
        if directory != self.root {
            entry(out, EntryType::Directory, &directory, 0, time);
        }
        for part in [&b"cur/"[..], b"new/", b"tmp/"] {
            entry(
                out,
                EntryType::Directory,
                &[&directory, part].concat(),
                0,
                time,
            );
        }
        if let Some(keywords) = keywords {
            let name = [directory.as_slice(), b"dovecot-keywords"].concat();
            entry(out, EntryType::Regular, &name, keywords.len() as u64, time);
            out.extend_from_slice(&keywords);
            pad(out, keywords.len() as u64);
        }
        let positions = match folder.chosen {
            None => (0..contents.len() as u32).collect(),
            Some(ids) => fs.positions(&contents, &ids).into(),
        };
        self.current = Some(Current {
            contents,
            path: folder.path,
            directory,
            positions,
            ready: VecDeque::new(),
        });
        Ok(true)
    }

    /// Writes the next message, or its beginning; without one, the folder is done.
    fn message(&mut self, fs: &Fs, out: &mut Vec<u8>) -> Result<bool> {
        let Some(current) = &mut self.current else {
            return Ok(false);
        };
        if current.ready.is_empty() {
            let some: Vec<u32> = current.positions.iter().take(AT_ONCE).copied().collect();
            let summaries = fs.summaries(&current.contents, &some)?;
            current.positions.drain(..some.len());
            current.ready = some.into_iter().zip(summaries).collect();
        }
        let Some((position, message)) = current.ready.front() else {
            self.current = None;
            return Ok(true);
        };
        let (name, is_new) = current.contents.maildir_name(*position).unwrap_or_default();
        let part: &[u8] = if is_new { b"new/" } else { b"cur/" };
        let path = [current.directory.as_slice(), part, &name].concat();
        let (bytes, is_lost) = match message.size {
            0 if message.is_readable => (Vec::new(), false),
            _ => match read(fs, message.node, 0, &message.name) {
                Ok(bytes) => (bytes, false),
                Err(e) if is_for_all(&e) => return Err(e),
                Err(e) => {
                    tracing::warn!(
                        "a message's place in an archive is taken by a note that says so: {e}"
                    );
                    (placeholder(REASON), true)
                }
            },
        };
        let size = if is_lost {
            bytes.len() as u64
        } else {
            message.size
        };
        entry(out, EntryType::Regular, &path, size, message.received);
        out.extend_from_slice(&bytes);
        let told = is_lost.then(|| format!("{}/{}", current.path, message.name));
        let begun = File {
            node: message.node,
            name: message.name.clone(),
            offset: bytes.len() as u64,
            size,
        };
        current.ready.pop_front();
        if begun.offset < begun.size {
            self.file = Some(begun);
        } else {
            pad(out, size);
        }
        if let Some(told) = told {
            self.tell(told);
        }
        Ok(true)
    }

    fn tell(&mut self, what: String) {
        if self.unreadable.len() < MOST_TOLD {
            self.unreadable.push(what);
        } else {
            self.untold += 1;
        }
    }

    /// What could not be read, and the end of the archive.
    fn end(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.unreadable.is_empty() {
            let mut note = "These could not be read in the backup. Each message is a note in its place; it may be intact in \
                the backup of another date.\n\n"
                .to_owned();
            for line in &self.unreadable {
                note.push_str(line);
                note.push('\n');
            }
            if self.untold > 0 {
                note.push_str(&format!("and {} others\n", self.untold));
            }
            let name = [self.root.as_slice(), b"UNREADABLE.txt"].concat();
            entry(&mut out, EntryType::Regular, &name, note.len() as u64, 0);
            out.extend_from_slice(note.as_bytes());
            pad(&mut out, note.len() as u64);
        }
        out.resize(out.len() + 2 * BLOCK, 0);
        out
    }
}

fn read(fs: &Fs, node: NodeId, offset: u64, name: &str) -> Result<Vec<u8>> {
    let bytes = fs.read(node, offset, PIECE)?;
    if bytes.is_empty() {
        return Err(Error::new(
            Kind::Unreadable,
            format!("{name}: ends too early"),
        ));
    }
    Ok(bytes)
}

/// Writes the header of a file or directory. `time`: seconds since 1970.
fn entry(out: &mut Vec<u8>, kind: EntryType, path: &[u8], size: u64, time: i64) {
    if path.len() > LONGEST {
        // As GNU tar does it: the name is the content of an entry of its own, with a NUL at its end.
        let len = path.len() as u64 + 1;
        out.extend_from_slice(header(EntryType::GNULongName, b"././@LongLink", len, 0).as_bytes());
        out.extend_from_slice(path);
        out.push(0);
        pad(out, len);
    }
    out.extend_from_slice(header(kind, path, size, time).as_bytes());
}

fn header(kind: EntryType, path: &[u8], size: u64, time: i64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    let len = path.len().min(LONGEST);
    if let (Some(name), Some(path)) = (header.as_old_mut().name.get_mut(..len), path.get(..len)) {
        name.copy_from_slice(path);
    }
    header.set_size(size);
    header.set_mode(if kind == EntryType::Directory {
        0o700
    } else {
        0o600
    });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(u64::try_from(time).unwrap_or(0));
    header.set_cksum();
    header
}

/// Fills the last block of content of this size.
fn pad(out: &mut Vec<u8>, size: u64) {
    let over = (size % BLOCK as u64) as usize;
    if over > 0 {
        out.resize(out.len() + BLOCK - over, 0);
    }
}
