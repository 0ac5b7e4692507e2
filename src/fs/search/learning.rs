//! Taking into the search index what the snapshots hold and it does not.
//!
//! Each mailbox is looked at in one snapshot after the other, the oldest first. A folder that is as it was in the one
//! before costs a look at its stamp, a snapshot in which all mailboxes were looked at costs nothing. `texts` reads the messages that
//! are new.

mod texts;

use super::super::deleted::Live;
use super::super::inside::Populated;
use super::super::{Fs, Open};
use crate::disk::{crew, lane, stop, trail};
use crate::error::Result;
use crate::index::search::{self, Changed, Entry, Look, Missing, Reading, Search, Text, number};
use crate::store::Store;
use crate::view::deleted::Moment;
use crate::view::listing::Listing;
use crate::view::mailbox::Mailbox;
use crate::view::tree::{Source, Tree};
use std::collections::btree_map::{BTreeMap, Entry as Slot};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use texts::{entry, past};

/// How long a date that could not be read is left alone, in seconds.
const REST: i64 = 3600;

/// Messages that are read before they are written, while the next are read.
const READ_AT_ONCE: usize = 256;

/// How far learning has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learning {
    /// Mailboxes done, and those there are to do.
    pub done: u64,
    pub mailboxes: u64,
    /// Messages read.
    pub messages: u64,
    /// Mailboxes on a date of which something could not be read now.
    pub failed: u64,
    /// Stopped before the end.
    pub stopped: bool,
}

/// A date that is shown, as the search index knows it.
#[derive(Clone)]
pub(super) struct Date {
    pub open: Arc<Open>,
    pub moment: i64,
    pub key: i64,
}

/// Whether a mailbox is to be learned, by the newest date that has it.
pub(super) type Wanted<'a> = dyn Fn(&Open, &Mailbox) -> bool + 'a;

impl Fs {
    /// The dates that are shown, the oldest first; of those with one moment, each a second after the one before.
    pub(super) fn search_dates(&self) -> Vec<Date> {
        let shown = self.shown();
        let mut next = i64::MIN;
        let dates = shown.by_time.iter().map(|open| {
            let moment = open.snapshot.time.max(next);
            next = moment.saturating_add(1);
            Date {
                open: open.clone(),
                moment,
                key: number(&[&open.snapshot.key]),
            }
        });
        dates.collect()
    }

    /// Learns what is not yet in the search index of the mailboxes that are `wanted`; `None`: all.
    ///
    /// Tells `progress` after each mailbox and now and then between, and stops when it answers false; what was learned
    /// stays. To be called under [`Search::lock`].
    pub(super) fn learn_words(
        &self,
        search: &Search,
        wanted: Option<&Wanted<'_>>,
        progress: &mut dyn FnMut(&Learning) -> bool,
    ) -> Result<Learning> {
        search.in_batches(|| self.learn_all_words(search, wanted, progress))
    }

    fn learn_all_words(
        &self,
        search: &Search,
        wanted: Option<&Wanted<'_>>,
        progress: &mut dyn FnMut(&Learning) -> bool,
    ) -> Result<Learning> {
        let mut sum = Learning::default();
        let dates = self.search_dates();
        let keys: Vec<(i64, i64)> = dates.iter().map(|date| (date.moment, date.key)).collect();
        let complete = search.complete()?;
        if keys.iter().all(|date| complete.contains(date)) {
            return Ok(sum);
        }
        let mut populated = Vec::new();
        // By path and name. Whether one is wanted, the newest date says.
        let mut mailboxes: BTreeMap<(Vec<u8>, String), bool> = BTreeMap::new();
        for date in dates.iter().rev() {
            let found = self.populated(&date.open);
            match &found {
                Err(e) => {
                    tracing::warn!("{}: not searched: {e}", date.open.snapshot.label);
                    sum.failed += 1;
                }
                Ok(found) => {
                    for mailbox in found.mailboxes.iter() {
                        let key = (mailbox.path.clone(), mailbox.name.clone());
                        if let Slot::Vacant(new) = mailboxes.entry(key) {
                            new.insert(wanted.is_none_or(|wanted| wanted(&date.open, mailbox)));
                        }
                    }
                }
            }
            populated.push(found.ok());
        }
        populated.reverse();
        let all_found = populated.iter().all(|found| {
            found
                .as_ref()
                .is_some_and(|found| found.mailboxes.is_complete())
        });
        for known in search.mailboxes()? {
            let there = mailboxes.contains_key(&(known.path.clone(), known.name.clone()));
            if all_found && wanted.is_none() && !there {
                search.forget(&known)?;
            }
        }
        mailboxes.retain(|_, wanted| *wanted);
        sum.mailboxes = mailboxes.len() as u64;
        for (path, name) in mailboxes.keys() {
            let mut learner = Learner {
                fs: self,
                search,
                sum: &mut sum,
                progress,
            };
            learner.learn_mailbox(path, name, &dates, &populated)?;
            sum.done += u64::from(!sum.stopped);
            if sum.stopped || !progress(&sum) {
                sum.stopped = true;
                return Ok(sum);
            }
        }
        if wanted.is_none() && sum.failed == 0 {
            search.set_complete(&keys)?;
        }
        Ok(sum)
    }
}

impl Fs {
    /// Looks at mailboxes as they are now, if there is a live store. Returns the names of those that could not be read.
    /// To be called under [`Search::lock`], after [`learn_words`](Self::learn_words).
    pub(super) fn learn_live(
        &self,
        search: &Search,
        mailboxes: &[search::Mailbox],
        dates: &[Date],
        progress: &mut dyn FnMut(&Learning) -> bool,
    ) -> Result<Vec<String>> {
        search.in_batches(|| self.learn_all_live(search, mailboxes, dates, progress))
    }

    fn learn_all_live(
        &self,
        search: &Search,
        mailboxes: &[search::Mailbox],
        dates: &[Date],
        progress: &mut dyn FnMut(&Learning) -> bool,
    ) -> Result<Vec<String>> {
        let mut unreadable = Vec::new();
        let mut sum = Learning {
            mailboxes: mailboxes.len() as u64,
            ..Learning::default()
        };
        for known in mailboxes {
            let found = dates.iter().rev().find_map(|date| {
                let populated = self.populated(&date.open).ok()?;
                populated.mailboxes.at(&known.path).cloned()
            });
            let Some(mailbox) = found else { continue };
            let live = match self.live(&mailbox) {
                Ok(Some(live)) => live,
                Ok(None) => return Ok(unreadable),
                Err(e) => {
                    tracing::warn!("{}: {e}", known.name);
                    unreadable.push(known.name.clone());
                    continue;
                }
            };
            let mut learner = Learner {
                fs: self,
                search,
                sum: &mut sum,
                progress: &mut *progress,
            };
            if !learner.look_at_live(known.clone(), &live)? {
                unreadable.push(known.name.clone());
            }
            sum.done += 1;
            if sum.stopped || !progress(&sum) {
                return Ok(unreadable);
            }
        }
        Ok(unreadable)
    }
}

/// What learning a mailbox needs at hand.
struct Learner<'a> {
    fs: &'a Fs,
    search: &'a Search,
    sum: &'a mut Learning,
    progress: &'a mut dyn FnMut(&Learning) -> bool,
}

impl Learner<'_> {
    fn learn_mailbox(
        &mut self,
        path: &[u8],
        name: &str,
        dates: &[Date],
        populated: &[Option<Arc<Populated>>],
    ) -> Result<()> {
        let mut mailbox = self.search.mailbox(path, name)?;
        let now = now();
        let is_known = |mailbox: &search::Mailbox, date: &Date| {
            mailbox.learned().iter().any(|learned| {
                (learned.moment, learned.key) == (date.moment, date.key)
                    && learned.failed.is_none_or(|failed| now - failed < REST)
            })
        };
        let last = mailbox.learned().last().map(|learned| learned.moment);
        let unknown = dates.iter().find(|date| !is_known(&mailbox, date));
        let Some(unknown) = unknown else {
            return Ok(());
        };
        if last.is_some_and(|last| unknown.moment <= last) {
            self.search.start_over(&mut mailbox)?;
        }
        for (date, populated) in dates.iter().zip(populated) {
            if is_known(&mailbox, date) {
                continue;
            }
            let mut look = self.search.look(&mut mailbox, date.moment)?;
            let done = match populated {
                Some(populated) => self.look_at(&mut look, date, populated, path, name)?,
                None => false,
            };
            if self.sum.stopped {
                return Ok(());
            }
            if !done {
                self.sum.failed += 1;
            }
            look.finish(date.key, (!done).then_some(now))?;
        }
        match dates.first() {
            Some(oldest) => self.search.tidy(&mut mailbox, oldest.moment),
            None => Ok(()),
        }
    }

    /// Whether all of the live mailbox could be read.
    fn look_at_live(&mut self, mut mailbox: search::Mailbox, live: &Live<'_>) -> Result<bool> {
        let now = now();
        let last = mailbox.learned().last().map_or(0, |learned| learned.moment);
        let name = format!("live/{}", mailbox.name);
        let mut look = self
            .search
            .look(&mut mailbox, now.max(last.saturating_add(1)))?;
        let all = match live.store() {
            Some(store) => {
                let ground = Ground {
                    store: &*store,
                    tree: live.tree(),
                    listing: &|position| live.listing(position).map(Some),
                    name,
                };
                self.look_into_all(&mut look, &ground)?
            }
            None => true,
        };
        if !self.sum.stopped {
            look.finish(search::LIVE, (!all).then_some(now))?;
        }
        Ok(all)
    }

    /// Whether all of the mailbox could be read on a date.
    fn look_at(
        &mut self,
        look: &mut Look<'_>,
        date: &Date,
        populated: &Populated,
        path: &[u8],
        name: &str,
    ) -> Result<bool> {
        let mailbox = populated
            .mailboxes
            .at(path)
            .filter(|found| found.name == name);
        let Some(mailbox) = mailbox else {
            return Ok(populated.mailboxes.is_complete());
        };
        let label = &date.open.snapshot.label;
        let fs = self.fs;
        let _stay = trail::stay();
        match fs.inside(&date.open, populated, mailbox) {
            Ok(inside) => {
                let ground = Ground {
                    store: &*inside.store(),
                    tree: &inside.nested.tree,
                    listing: &|position| fs.listing(&inside, position),
                    name: format!("{label}/{name}"),
                };
                self.look_into_all(look, &ground)
            }
            Err(_) if stop::current().is_set() => {
                self.sum.stopped = true;
                Ok(false)
            }
            Err(e) => {
                tracing::warn!("{label}/{name}: not searched: {e}");
                Ok(false)
            }
        }
    }

    /// Whether all of the mailbox could be read.
    fn look_into_all(&mut self, look: &mut Look<'_>, ground: &Ground<'_>) -> Result<bool> {
        let mut all = true;
        for position in 0..ground.tree.iter().len() as u32 {
            if self.sum.stopped {
                break;
            }
            match self.look_into(look, ground, position) {
                Ok(done) => all &= done,
                Err(Failure::Index(e)) => return Err(e),
                Err(Failure::Store(_)) if stop::current().is_set() => self.sum.stopped = true,
                Err(Failure::Store(e)) => {
                    tracing::warn!("{}: not searched: {e}", ground.name);
                    all = false;
                }
            }
        }
        Ok(all)
    }

    /// Whether all of the folder could be read.
    fn look_into(
        &mut self,
        look: &mut Look<'_>,
        ground: &Ground<'_>,
        position: u32,
    ) -> std::result::Result<bool, Failure> {
        let source = ground.tree.get(position).map(|branch| &branch.source);
        let Some(Source::Folder(stored)) = source else {
            return Ok(true);
        };
        let stamp = ground.store.stamp(stored);
        let mut state = self.fs.view.shape(&ground.tree.taken(position));
        match &stamp {
            Ok(stamp) => state.extend_from_slice(&stamp.bytes),
            // It is there, at least.
            Err(_) => state.clear(),
        }
        let changed = look
            .folder(stored, &ground.tree.path(position), &state)
            .map_err(Failure::Index)?;
        stamp.map_err(Failure::Store)?;
        let Some(Changed { folder, settled }) = changed else {
            return Ok(true);
        };
        if lane::current_beat().is_none() {
            // For the listing in the index, which leaves out what comes too fast.
            self.fs.index.wait_for_room();
        }
        let listing = (ground.listing)(position).map_err(Failure::Store)?;
        let Some(listing) = listing else {
            return Ok(true);
        };
        let known = listing
            .difference()
            .filter(|difference| settled.as_ref() == Some(&difference.from));
        let missing = match known {
            Some(difference) => {
                let gone: Vec<Entry> = difference.gone.iter().map(past).collect();
                let came = difference.came.iter().filter_map(|&at| {
                    let item = listing.get(at as usize)?;
                    Some((at as usize, entry(&listing, &item)))
                });
                look.compare_difference(&folder, &gone, &came.collect::<Vec<_>>())
            }
            None => {
                let entries = listing.iter().map(|item| entry(&listing, &item));
                look.compare(&folder, &entries.collect::<Vec<_>>())
            }
        };
        let missing = missing.map_err(Failure::Index)?;
        let mut complete = listing.is_complete();
        let fs = self.fs;
        let pieces: Vec<&[Missing]> = missing.chunks(READ_AT_ONCE).collect();
        let read = |some: &&[Missing]| fs.texts(ground.store, stored, &listing, some);
        trail::let_go();
        let added = crew::ahead(&pieces, read, |some, texts| {
            let texts = texts.map_err(Failure::Store)?;
            complete &= add_all(look, &folder, &listing, some, texts)?;
            self.sum.messages += some.len() as u64;
            self.sum.stopped |= !(self.progress)(self.sum);
            Ok(!self.sum.stopped)
        });
        added.map_err(Failure::Store)??;
        if self.sum.stopped {
            return Ok(false);
        }
        if complete {
            look.settle(&folder, &state).map_err(Failure::Index)?;
        }
        Ok(complete)
    }
}

/// Adds messages of a folder that were missing; whether all of them could be read.
fn add_all(
    look: &mut Look<'_>,
    folder: &search::Folder,
    listing: &Listing,
    missing: &[Missing],
    texts: Vec<Option<Text>>,
) -> std::result::Result<bool, Failure> {
    let mut complete = true;
    for (missing, text) in missing.iter().zip(texts) {
        let (Some(item), Some(text)) = (listing.get(missing.position), text) else {
            continue;
        };
        complete &= text.reading != Reading::Unread;
        look.add(folder, missing.clone(), &entry(listing, &item), text)
            .map_err(Failure::Index)?;
    }
    Ok(complete)
}

/// A mailbox that is looked at.
struct Ground<'a> {
    store: &'a dyn Store,
    tree: &'a Tree,
    /// The messages of a folder, by its position in the tree.
    listing: &'a dyn Fn(u32) -> Result<Option<Arc<Listing>>>,
    /// Which one it is, for people.
    name: String,
}

/// Whose fault an error is.
enum Failure {
    Index(crate::Error),
    Store(crate::Error),
}

fn now() -> i64 {
    let since: Duration = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
