//! Facts about messages and listings of folders in `facts.sqlite`: a cache.
//!
//! Reading is done by whoever asks; all writing by one thread, from the [`Queue`](queue::Queue).

use super::database::{Fault, Notices, Past, Trouble};
use super::fact::{FactKey, select_facts};
use super::facts_file::{FactsFile, hour};
use super::pack::{Known, Pack, select_known_pack, select_latest_pack, select_pack};
use super::queue::{self, Job};
use super::writer;
use crate::disk::stop;
use std::path::Path;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

const FLUSH_WAIT: Duration = Duration::from_secs(30);

/// How long it is waited before it is looked whether to stop.
const SLICE: Duration = Duration::from_millis(100);

pub(super) struct Facts {
    file: Arc<FactsFile>,
    writer: Option<JoinHandle<()>>,
    /// What was there when it was opened.
    pub past: Past,
}

impl Facts {
    /// An error that has been warned of if the file can't be used.
    pub fn open(dir: &Path, notices: Arc<Notices>) -> Result<Self, Fault> {
        let file = Arc::new(FactsFile::new(dir, notices));
        let (writer, past) = Self::start(&file).inspect_err(|fault| {
            file.report(fault, "done without: messages are read anew at every mount");
        })?;
        Ok(Self {
            file,
            writer: Some(writer),
            past,
        })
    }

    fn start(file: &Arc<FactsFile>) -> Result<(JoinHandle<()>, Past), Fault> {
        let (connection, past) = file.open()?;
        let file = Arc::clone(file);
        let writer = Builder::new()
            .name("index-writer".into())
            .spawn(move || writer::run(&file, connection))
            .map_err(|e| Fault::new(Trouble::Failing, format!("cannot start a thread: {e}")))?;
        Ok((writer, past))
    }

    pub fn get(&self, mailbox: &[u8], keys: &[FactKey<'_>]) -> Vec<Option<Box<[u8]>>> {
        let mut found = vec![None; keys.len()];
        if !keys.is_empty() {
            self.file
                .read(|connection| select_facts(connection, mailbox, keys, &mut found));
        }
        found
    }

    pub fn put<'a>(
        &self,
        mailbox: &[u8],
        facts: impl IntoIterator<Item = (FactKey<'a>, &'a [u8])>,
    ) {
        let facts = queue::Facts::collect(mailbox, facts);
        if !facts.is_empty() {
            self.file.queue.put(Job::Facts(facts));
        }
    }

    pub fn pack(&self, mailbox: &[u8], folder: &[u8], stamp: &[u8]) -> Option<Pack> {
        let (known, pack) = self
            .file
            .read(|connection| select_pack(connection, mailbox, folder, stamp))??;
        self.use_now(&known);
        Some(pack)
    }

    pub fn latest_pack(&self, mailbox: &[u8], folder: &[u8], prefix: &[u8]) -> Option<Pack> {
        self.file
            .read(|connection| select_latest_pack(connection, mailbox, folder, prefix))?
            .map(|(_, pack)| pack)
    }

    /// Whether there is a listing for the state, without reading it.
    pub fn has_pack(&self, mailbox: &[u8], folder: &[u8], stamp: &[u8]) -> bool {
        let known = self
            .file
            .read(|connection| select_known_pack(connection, mailbox, folder, stamp));
        let known = known.flatten();
        known.inspect(|known| self.use_now(known)).is_some()
    }

    fn use_now(&self, known: &Known) {
        if known.used < hour() {
            self.file.queue.put(Job::Used(known.id));
        }
    }

    pub fn put_pack(
        &self,
        [mailbox, folder, stamp]: [&[u8]; 3],
        weight: usize,
        listing: queue::Listing,
    ) {
        self.file.queue.put(Job::Pack(queue::Pack {
            mailbox: mailbox.into(),
            folder: folder.into(),
            stamp: stamp.into(),
            listing,
            weight,
        }));
    }

    pub fn wait_for_room(&self) {
        let (stop, end) = (stop::current(), Instant::now() + FLUSH_WAIT);
        while !stop.is_set() && !self.file.queue.wait_for_room(SLICE) && Instant::now() < end {}
    }

    pub fn flush(&self) {
        self.file.queue.flush(FLUSH_WAIT);
    }
}

impl Drop for Facts {
    fn drop(&mut self) {
        self.file.queue.close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("index: the writer of facts has panicked");
        }
    }
}
