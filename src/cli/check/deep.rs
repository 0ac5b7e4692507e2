//! Every message of every date, read to its end.
//!
//! A message is read once, whatever the number of dates and folders that have it, as long as its file is the same: a hard
//! link, or untouched since the snapshot before. Where each date has a file of its own, each is read, since one of them may
//! have gone bad. A message is counted once, also as unreadable: it is the same as long as its identity, size and INTERNALDATE
//! are; so is what is wrong with a folder, on however many dates. Mailboxes are read one by one through all dates, so that what is remembered is that of a few of them; the newest
//! date comes first and is the one that is told.

use super::contents::folder_name;
use super::findings::{Counted, Findings, Unreadable, counted, printable_bytes};
use crate::disk::{Root, Told};
use crate::error::{Error, Kind, Result};
use crate::snapshot::Dates;
use crate::store::decode::Keys;
use crate::store::{Folder, Message, Messages, Stored, decode};
use crate::view::content;
use crate::view::mailbox::{Layout, Mailbox};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Threads that read: on most disks more are no faster.
const READERS: usize = 4;

/// How often to say how far it is.
const PROGRESS: Duration = Duration::from_secs(10);

#[derive(Debug, Default, Serialize)]
pub struct Deep {
    pub dates: usize,
    /// Of all dates.
    pub mailboxes: usize,
    /// Read to their end, each once.
    pub messages: u64,
    /// Of those messages, decoded.
    pub bytes: u64,
    pub compressions: Vec<Counted>,
}

/// One date.
struct Day<'a> {
    label: &'a str,
    root: Root,
}

/// A mailbox on all its dates.
struct Wanted {
    name: String,
    /// The dates that have it, the newest first.
    days: Vec<On>,
}

/// A mailbox on one date.
struct On {
    /// The position of the date.
    day: usize,
    mailbox: Mailbox,
}

/// What reading gave so far.
#[derive(Default)]
struct Sum {
    messages: u64,
    bytes: u64,
    compressions: BTreeMap<String, u64>,
    findings: Findings,
}

/// Reads all that is shown.
pub fn read(dates: &Dates, layout: &Layout, keys: &Keys, findings: &mut Findings) -> Result<Deep> {
    // What is the same on several dates is warned of once.
    let told = Arc::<Told>::default();
    let days: Vec<Day<'_>> = dates
        .newest_first()
        .map(|snapshot| Day {
            label: &snapshot.label,
            root: Root::new(&snapshot.root).telling(Arc::clone(&told)),
        })
        .collect();
    let wanted = wanted(&days, layout, findings);
    let queue = Queue {
        next: Mutex::new(wanted.iter()),
        done: Mutex::new((Sum::default(), 0, Instant::now())),
        all: wanted.len(),
    };
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(READERS));
    let ended = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| queue.work(&days, keys)))
            .collect();
        readers.into_iter().all(|reader| reader.join().is_ok())
    });
    if !ended {
        return Err(Error::new(
            Kind::Failed,
            "reading the mailboxes: a fault in mailtm itself",
        ));
    }
    let (mut sum, ..) = queue
        .done
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    sum.findings.unreadable.sort();
    findings.extend(sum.findings);
    Ok(Deep {
        dates: days.len(),
        mailboxes: wanted.len(),
        messages: sum.messages,
        bytes: sum.bytes,
        compressions: counted(sum.compressions),
    })
}

/// The mailboxes of all dates.
fn wanted(days: &[Day<'_>], layout: &Layout, findings: &mut Findings) -> Vec<Wanted> {
    let mut by_path: BTreeMap<Vec<u8>, (String, Vec<On>)> = BTreeMap::new();
    for (position, day) in days.iter().enumerate() {
        match layout.find(&day.root) {
            Ok(mailboxes) => {
                for mailbox in mailboxes.iter() {
                    let known = by_path.entry(mailbox.path.clone());
                    let (_, on) = known.or_insert_with(|| (mailbox.name.clone(), Vec::new()));
                    on.push(On {
                        day: position,
                        mailbox: mailbox.clone(),
                    });
                }
            }
            // The newest one's were looked for before.
            Err(_) if position == 0 => {}
            Err(e) => {
                let date = Unreadable {
                    date: day.label.to_owned(),
                    ..Unreadable::default()
                };
                findings.failed(date, &e.context("looking for mailboxes"));
            }
        }
    }
    let wanted = by_path
        .into_values()
        .map(|(name, days)| Wanted { name, days });
    wanted.collect()
}

struct Queue<'a, I: Iterator<Item = &'a Wanted>> {
    next: Mutex<I>,
    /// The sum, how many mailboxes are in it, and when that was last told.
    done: Mutex<(Sum, usize, Instant)>,
    all: usize,
}

impl<'a, I: Iterator<Item = &'a Wanted>> Queue<'a, I> {
    fn work(&self, days: &[Day<'_>], keys: &Keys) {
        loop {
            let next = self
                .next
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .next();
            let Some(wanted) = next else { return };
            let mut reader = Reader::default();
            for on in &wanted.days {
                if let Some(day) = days.get(on.day) {
                    reader.read_mailbox(day, &wanted.name, &on.mailbox, keys);
                }
            }
            let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            let (sum, mailboxes, told) = &mut *done;
            *mailboxes += 1;
            sum.add(reader.sum);
            if told.elapsed() > PROGRESS {
                *told = Instant::now();
                tracing::info!(
                    "read {} messages of {mailboxes} mailboxes of {}",
                    sum.messages,
                    self.all
                );
            }
        }
    }
}

impl Sum {
    fn count(&mut self, compression: Option<decode::Encoding>, bytes: u64) {
        self.messages += 1;
        self.bytes += bytes;
        if let Some(compression) = compression {
            *self
                .compressions
                .entry(compression.to_string())
                .or_insert(0) += 1;
        }
    }

    fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        for (name, count) in other.compressions {
            *self.compressions.entry(name).or_insert(0) += count;
        }
        self.findings.extend(other.findings);
    }
}

/// Reads one mailbox.
#[derive(Default)]
struct Reader {
    /// Hashes of the messages that were read, and of those that could not be.
    read: HashSet<[u8; 32]>,
    unreadable: HashSet<[u8; 32]>,
    /// Folders whose own files are damaged, and how.
    damaged: HashSet<(Vec<u8>, String)>,
    /// Hashes of the bytes on the disk that were read.
    files: HashSet<[u8; 32]>,
    sum: Sum,
}

impl Reader {
    fn read_mailbox(&mut self, day: &Day<'_>, name: &str, mailbox: &Mailbox, keys: &Keys) {
        let store = mailbox.store(&day.root);
        let at = |folder: Option<&Folder>, message: Option<&[u8]>| Unreadable {
            date: day.label.to_owned(),
            mailbox: Some(name.to_owned()),
            folder: folder.map(folder_name),
            message: message.map(printable_bytes),
            ..Unreadable::default()
        };
        let folders = match store.folders() {
            Ok(found) => found.folders,
            Err(e) => return self.sum.findings.failed(at(None, None), &e),
        };
        for folder in &folders {
            let messages = match store.messages(&folder.stored, &Messages::default()) {
                Ok(messages) => messages,
                Err(e) => {
                    self.sum.findings.failed(at(Some(folder), None), &e);
                    continue;
                }
            };
            if let Some(damage) = &messages.damage
                && self.damaged.insert((folder.stored.clone(), damage.clone()))
            {
                let findings = &mut self.sum.findings;
                findings.damaged(at(Some(folder), None), damage);
            }
            let files = store.files(&folder.stored);
            for message in messages.iter() {
                let known_by = hash(&messages.identity(message), message);
                let read = files.open(&messages, message).and_then(|stored| {
                    if !self.files.insert(state(&known_by, &stored)) {
                        return Ok(None);
                    }
                    content::read_to_end(&stored, keys).map(Some)
                });
                match read {
                    Ok(Some((compression, bytes))) if self.read.insert(known_by) => {
                        self.sum.count(compression, bytes);
                    }
                    Ok(_) => {}
                    Err(e) if self.unreadable.insert(known_by) => {
                        let name = messages.locator(message);
                        self.sum.findings.failed(at(Some(folder), Some(name)), &e);
                    }
                    Err(_) => {}
                }
            }
        }
    }
}

/// What the bytes of a message on the disk are known by.
fn state(known_by: &[u8; 32], stored: &Stored<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(known_by);
    for number in stored.state() {
        hash.update(number.to_le_bytes());
    }
    hash.finalize().into()
}

/// What a message is known by in its mailbox.
fn hash(identity: &[u8], message: &Message) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(message.size.to_le_bytes());
    hash.update(message.received.secs.to_le_bytes());
    hash.update(message.received.nanos.to_le_bytes());
    hash.update(identity);
    hash.finalize().into()
}
