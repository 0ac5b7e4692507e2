//! What is kept on disk: facts about messages, listings of folders, serial numbers, and what messages are searched by.
//!
//! Opening a message to learn its sender, its subject and how many lines the mbox form quotes is dear, and a message
//! never changes: so what was learned is kept, and the next mount opens nothing. Node ids are made of serial numbers
//! of snapshots and folders: so a number, once given, must mean the same for ever, or an NFS handle would open
//! somebody else's mail.
//!
//! # Invariants
//!
//! - The index is never a source of truth for mail. Without it everything is shown the same, only later.
//! - Nothing here fails its caller, but for a table of numbers that is full. A file that is lost, damaged, foreign,
//!   locked or not writable is made anew or done without, with one warning that says how to cure it.
//! - An answer is right or absent. Every row carries a checksum over its key and value, so that a damaged page that
//!   SQLite does not notice never becomes a wrong answer, nor facts of one mailbox an answer about another.
//! - A serial number is on disk, synchronised, before anybody sees it, and never means anything else. While the disk
//!   refuses, numbers are given from memory and saved when it accepts again.
//! - No caller waits for somebody else's lock for longer than a blink, and none for a queue.
//! - The files are for mailtm's user alone: they tell who wrote to whom about what.
//!
//! # Cast
//!
//! - [`Index`]: the whole, shared by all threads.
//! - `database`: one SQLite file, recognised, set aside or made; troubles and the one warning about each.
//! - `facts`: facts and folder packs in `facts.sqlite`, a cache that may be thrown away; `facts_file` is that file, `fact` and `pack` read
//!   from it; `queue` and `writer` bring there what is new, from one background thread.
//! - `serials`: serial numbers in `serials.sqlite`, precious; `numbers` is their table in memory.
//! - [`search`]: words of messages, and when they were in which folder, in `search.sqlite`; opened by who searches.

mod database;
mod fact;
mod facts;
mod facts_file;
mod numbers;
mod pack;
mod queue;
pub mod search;
mod serials;
mod writer;

#[cfg(test)]
mod tests;

pub use fact::FactKey;
pub use numbers::Table;
pub use pack::{Pack, Part};

use crate::error::Result;
use database::{Fault, Notices, Past, Trouble};
use facts::Facts;
use search::Search;
use serials::Serials;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Facts, folder packs and serial numbers, kept in one directory.
///
/// It starts a thread: open it after the process has gone to the background. Dropping it writes out what is queued.
/// Several indexes, of this process and others, may use one directory at once.
pub struct Index {
    serials: Serials,
    /// What is wrong where nothing can be kept.
    facts: Result<Facts, Fault>,
    /// `None` where nothing can be kept.
    dir: Option<PathBuf>,
}

impl Index {
    /// Opens the index in `dir`, which is made (mode 0700) where it is missing.
    ///
    /// Never fails: what can't be used is done without, warned of once.
    pub fn open(dir: &Path) -> Self {
        let notices = Arc::new(Notices::default());
        if let Err(fault) = database::make_directory(dir) {
            notices.report(dir, &fault, "done without: nothing learned is kept");
            return Self::without(fault);
        }
        let serials = Serials::open(dir, Arc::clone(&notices));
        let facts = Facts::open(dir, Arc::clone(&notices));
        // Numbers are given, and facts kept, when both files have been made: nobody else is about to make the other one.
        match (serials.past, facts.as_ref().map(|facts| facts.past)) {
            (Past::Rows, Ok(Past::Nothing)) => {
                let (lost, there) = (facts_file::LAYOUT.path(dir), serials::LAYOUT.name);
                notices.report(&lost, &Fault::lost(there), facts_file::MADE_AGAIN);
            }
            (Past::Nothing, Ok(Past::Rows)) if serials.is_persistent() => {
                let (lost, there) = (serials::LAYOUT.path(dir), facts_file::LAYOUT.name);
                notices.report(&lost, &Fault::lost(there), serials::MADE_AGAIN);
            }
            _ => {}
        }
        Self {
            serials,
            facts,
            dir: Some(dir.to_owned()),
        }
    }

    /// An index that keeps numbers for the life of the process, and no facts.
    pub fn in_memory() -> Self {
        Self::without(Fault::new(Trouble::Unwritable, "there is none on disk"))
    }

    fn without(fault: Fault) -> Self {
        Self {
            serials: Serials::in_memory(),
            facts: Err(fault),
            dir: None,
        }
    }

    /// Whether facts and numbers outlive the process, as far as opening the files could tell.
    pub fn is_persistent(&self) -> bool {
        self.facts.is_ok() && self.serials.is_persistent()
    }

    /// What is wrong and what helps, where nothing that is learned is kept.
    pub fn unkept(&self) -> Option<String> {
        let fault = self.facts.as_ref().err()?;
        Some(format!("{}; {}", fault.detail, fault.cure()))
    }

    /// Whether its directory had nothing of an index when it was opened.
    pub fn is_new(&self) -> bool {
        let is_new = |facts: &Facts| facts.past == Past::Nothing;
        self.serials.past == Past::Nothing && self.facts.as_ref().map_or(true, is_new)
    }

    /// The search index beside it; one for this once, warned of, where it can't be used. What was made with another
    /// fingerprint is made anew.
    pub fn search(&self, fingerprint: &[u8]) -> Result<Search> {
        let Some(dir) = &self.dir else {
            return Search::temporary(fingerprint);
        };
        Search::open(dir, fingerprint).or_else(|e| {
            tracing::warn!("{e}; what is searched is learned anew, for this once");
            Search::temporary(fingerprint)
        })
    }

    /// What was kept about messages of a mailbox, in the order of `keys`.
    ///
    /// Quick when the keys are sorted by identity: one walk through the mailbox answers any number of them.
    pub fn facts(&self, mailbox: &[u8], keys: &[FactKey<'_>]) -> Vec<Option<Box<[u8]>>> {
        match &self.facts {
            Ok(facts) => facts.get(mailbox, keys),
            Err(_) => vec![None; keys.len()],
        }
    }

    /// Keeps facts about messages of a mailbox, in the background: they are found some 100 ms later.
    ///
    /// What does not fit the queue (32 MiB) is dropped. Who fills the index and would rather wait calls
    /// [`wait_for_room`](Self::wait_for_room) between batches.
    pub fn put_facts<'a>(
        &self,
        mailbox: &[u8],
        facts: impl IntoIterator<Item = (FactKey<'a>, &'a [u8])>,
    ) {
        if let Ok(kept) = &self.facts {
            kept.put(mailbox, facts);
        }
    }

    /// The listing kept of a folder in the state that `stamp` names.
    pub fn pack(&self, mailbox: &[u8], folder: &[u8], stamp: &[u8]) -> Option<Pack> {
        self.facts.as_ref().ok()?.pack(mailbox, folder, stamp)
    }

    /// The listing of a folder that was kept last for a state whose name begins so.
    pub fn latest_pack(&self, mailbox: &[u8], folder: &[u8], prefix: &[u8]) -> Option<Pack> {
        self.facts
            .as_ref()
            .ok()?
            .latest_pack(mailbox, folder, prefix)
    }

    /// Whether [`pack`](Self::pack) would find something.
    pub fn has_pack(&self, mailbox: &[u8], folder: &[u8], stamp: &[u8]) -> bool {
        let facts = self.facts.as_ref();
        facts.is_ok_and(|facts| facts.has_pack(mailbox, folder, stamp))
    }

    /// Keeps the listing of a folder, in the background, for the state that `stamp` names.
    ///
    /// The 40 last used states of a folder are kept. Dropped if it does not fit the queue.
    pub fn put_pack(&self, mailbox: &[u8], folder: &[u8], stamp: &[u8], listing: Vec<u8>) {
        let weight = listing.len();
        self.put_pack_with(mailbox, folder, stamp, weight, move |out| {
            out.write_all(&listing)
        });
    }

    /// The same for a listing that becomes bytes only when it is written. `weight`: bytes of memory that `encode` holds
    /// until then.
    pub fn put_pack_with(
        &self,
        mailbox: &[u8],
        folder: &[u8],
        stamp: &[u8],
        weight: usize,
        encode: impl Fn(&mut dyn Write) -> io::Result<()> + Send + 'static,
    ) {
        if let Ok(kept) = &self.facts {
            let listing = queue::Listing::Own(Box::new(encode));
            kept.put_pack([mailbox, folder, stamp], weight, listing);
        }
    }

    /// The same for a listing that is what another one becomes with some bytes that are added to it: the one that is kept for
    /// the state that `other` names. `whole`: all its bytes, for when that is not kept.
    pub fn put_pack_since(
        &self,
        mailbox: &[u8],
        folder: &[u8],
        stamp: &[u8],
        (other, added): (&[u8], Vec<u8>),
        weight: usize,
        whole: impl Fn(&mut dyn Write) -> io::Result<()> + Send + 'static,
    ) {
        if let Ok(kept) = &self.facts {
            let weight = weight + added.capacity();
            let listing = queue::Listing::Since(other.into(), added, Box::new(whole));
            kept.put_pack([mailbox, folder, stamp], weight, listing);
        }
    }

    /// Keeps for a folder's state the listing that is kept for another, which then is there once for both.
    pub fn put_pack_as(&self, mailbox: &[u8], folder: &[u8], stamp: &[u8], other: &[u8]) {
        if let Ok(kept) = &self.facts {
            let listing = queue::Listing::Of(other.into());
            kept.put_pack([mailbox, folder, stamp], other.len(), listing);
        }
    }

    /// Waits until there is room in the queue for what comes next (at most 30 s).
    pub fn wait_for_room(&self) {
        if let Ok(facts) = &self.facts {
            facts.wait_for_room();
        }
    }

    /// Waits until what was put before is on disk, or given up (at most 30 s).
    pub fn flush(&self) {
        if let Ok(facts) = &self.facts {
            facts.flush();
        }
    }

    /// The serial number of a thing, now and for ever; see [`serials`](Self::serials).
    pub fn serial(&self, table: Table, key: &[u8], seed: u64) -> Result<u32> {
        self.serials
            .assign(table, &[(key, seed)])
            .map(|numbers| numbers.first().copied().unwrap_or_default())
    }

    /// The serial numbers of things, each a key and the seed of the number it would like, in the same order.
    ///
    /// A new thing gets `1 + seed % table.capacity()`, or the next number upward (wrapping) that is free, so that two
    /// servers that see the same things mostly give them the same numbers. The new ones of one call are saved
    /// together, which costs little more than saving one. [`Kind::Failed`](crate::Kind::Failed) if the table is full.
    pub fn serials(&self, table: Table, wanted: &[(&[u8], u64)]) -> Result<Vec<u32>> {
        self.serials.assign(table, wanted)
    }

    /// Whether a thing has a serial number.
    pub fn has(&self, table: Table, key: &[u8]) -> bool {
        self.serials.has(table, key)
    }

    /// The thing that a serial number was given to.
    pub fn key_of(&self, table: Table, serial: u32) -> Option<Arc<[u8]>> {
        self.serials.key_of(table, serial)
    }
}
