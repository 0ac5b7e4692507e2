//! Finding messages on all dates: which there are, on which dates, and where they are now.
//!
//! A message is told of once, with all the folders of its mailbox that it stands or stood in: as one that was moved or
//! copied has the same Message-ID and size. It is gone when the mailbox's present state, the live one or else the newest date,
//! has it in none.
//!
//! Invariants: nobody is told of a mailbox that he may not enter, and it is not even learned for him; what could not be
//! read is counted and named, for it might have been what was searched for.
//!
//! The cast: [`Request`] is what is searched for, [`Answer`] what there is of it; `learning` fills the index with what is
//! new first, on the dates and, where something was found, in the live store.

mod learning;

pub use learning::Learning;

use super::{Fs, Open};
use crate::error::Result;
use crate::index::search::{Mailbox, Query, Reading, Row, Search};
use crate::view::mailbox;
use crate::view::name::fold;
use globset::GlobMatcher;
use learning::{Date, Wanted};
use std::collections::HashSet;
use std::time::Duration;

/// How long it is waited for another process that learns.
const TURN: Duration = Duration::from_secs(3);

/// Messages and dates that could not be read and are named.
const EXAMPLES: usize = 5;

/// Who searches.
#[derive(Clone, Debug)]
pub struct Asker {
    pub uid: u32,
    /// All groups that he acts with, his own first.
    pub groups: Vec<u32>,
}

/// What is searched for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub query: Query,
    /// Names of mailboxes; all that the caller may enter if there are none.
    pub mailboxes: Vec<GlobMatcher>,
    /// The path of a folder as it is shown: that one, and those below it.
    pub folder: Option<String>,
    /// The label of a date: only what that date has.
    pub on: Option<String>,
    /// So many messages at most.
    pub limit: usize,
}

/// Where a message stands or stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The path of the folder below the mailbox.
    pub folder: String,
    /// The name of the message there.
    pub name: String,
    /// Labels of the first and the last date that have it there.
    pub first: String,
    pub last: String,
    /// How many dates have it there.
    pub dates: usize,
    /// Whether it is there now: in the live store, or on the newest date if there is none.
    pub is_present: bool,
}

/// A message that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub mailbox: String,
    /// As the message has it; hostile.
    pub sender: String,
    pub recipients: String,
    pub subject: String,
    /// File names.
    pub attachments: Vec<String>,
    /// INTERNALDATE, in seconds since 1970.
    pub received: i64,
    /// In bytes.
    pub size: u64,
    /// Labels of the first and the last date that have it.
    pub first: String,
    pub last: String,
    /// The folder that it is in now; `None`: it is gone.
    pub folder: Option<String>,
    /// The first date that no longer has it; the local date on which the live store was seen without it, if no date is.
    pub gone_since: Option<String>,
    /// The last one is where it was seen last; at least one.
    pub places: Vec<Place>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The newest first.
    pub found: Vec<Found>,
    /// There are more.
    pub more: bool,
    /// How many mailboxes were searched.
    pub mailboxes: usize,
    /// Messages that could not be read, and so not searched, and some of their paths.
    pub unread: u64,
    pub unread_examples: Vec<String>,
    /// Mailboxes on a date (`date/mailbox`) that could not be read in full.
    pub failed: u64,
    pub failed_examples: Vec<String>,
    /// Another process is learning: what it has not learned yet is not found.
    pub is_behind: bool,
    /// Stopped before all was learned.
    pub stopped: bool,
}

impl Fs {
    /// Whether the text of messages is searched, and not only what their headers say.
    pub fn searches_bodies(&self) -> bool {
        self.options.bodies
    }

    /// The search index of what is shown. Keep it for one thread.
    pub fn search_index(&self) -> Result<Search> {
        let mut fingerprint = self.view.fingerprint();
        fingerprint.push(u8::from(self.options.bodies));
        fingerprint.push(u8::from(self.has_live()));
        self.index.search(&fingerprint)
    }

    /// Searches all dates, having learned what is new there. `progress` is told now and then, and stops it by answering
    /// false.
    pub fn find(
        &self,
        request: &Request,
        caller: &Asker,
        progress: &mut dyn FnMut(&Learning) -> bool,
    ) -> Result<Answer> {
        let search = self.search_index()?;
        match self.find_in(&search, request, caller, progress) {
            Err(_) if search.is_damaged() => {
                let search = search.renewed()?;
                self.find_in(&search, request, caller, progress)
            }
            other => other,
        }
    }

    /// Learns what is new for searching; `progress` as for [`find`](Self::find).
    pub fn learn_to_find(&self, progress: &mut dyn FnMut(&Learning) -> bool) -> Result<Learning> {
        let learn = |search: &Search, progress: &mut dyn FnMut(&Learning) -> bool| {
            match search.lock(TURN)? {
                Some(_lock) => self.learn_words(search, None, progress),
                // It is being done.
                None => Ok(Learning::default()),
            }
        };
        let search = self.search_index()?;
        match learn(&search, progress) {
            Err(_) if search.is_damaged() => learn(&search.renewed()?, progress),
            other => other,
        }
    }

    /// The messages that could not be read when their words were learned, as an answer in which nothing was found.
    pub fn unread(&self) -> Result<Answer> {
        let search = self.search_index()?;
        let finder = Finder {
            fs: self,
            search: &search,
            request: &Request::default(),
            dates: &self.search_dates(),
        };
        let mut answer = Answer::default();
        finder.count_unread(&search.mailboxes()?, &mut answer)?;
        Ok(answer)
    }

    fn find_in(
        &self,
        search: &Search,
        request: &Request,
        caller: &Asker,
        progress: &mut dyn FnMut(&Learning) -> bool,
    ) -> Result<Answer> {
        let dates = self.search_dates();
        let mut answer = Answer::default();
        let lock = search.lock(TURN)?;
        if lock.is_some() {
            answer.stopped = self.learn_for(search, request, caller, progress)?.stopped;
        }
        answer.is_behind = lock.is_none();
        let mut mailboxes = search.mailboxes()?;
        mailboxes.retain(|mailbox| {
            request.wants(&mailbox.name) && self.may_find(&dates, mailbox, caller)
        });
        answer.mailboxes = mailboxes.len();
        let finder = Finder {
            fs: self,
            search,
            request,
            dates: &dates,
        };
        finder.count_unread(&mailboxes, &mut answer)?;
        finder.look_up_all(&mailboxes, &mut answer)?;
        if lock.is_none() || answer.stopped || !self.has_live() {
            return Ok(answer);
        }
        // Only where something was found it matters how the mailbox is now.
        let concerned = if request.query.gone {
            let query = Query {
                gone: false,
                ..request.query.clone()
            };
            search.with_hits(&query, &mailboxes)?
        } else {
            let found: HashSet<&String> = answer.found.iter().map(|f| &f.mailbox).collect();
            let mut concerned = mailboxes.clone();
            concerned.retain(|mailbox| found.contains(&mailbox.name));
            concerned
        };
        for name in self.learn_live(search, &concerned, &dates, progress)? {
            answer.failed += 1;
            if answer.failed_examples.len() < EXAMPLES {
                answer.failed_examples.push(format!("live/{name}"));
            }
        }
        finder.look_up_all(&mailboxes, &mut answer)?;
        Ok(answer)
    }

    fn learn_for(
        &self,
        search: &Search,
        request: &Request,
        caller: &Asker,
        progress: &mut dyn FnMut(&Learning) -> bool,
    ) -> Result<Learning> {
        let wanted = |open: &Open, mailbox: &mailbox::Mailbox| {
            request.wants(&mailbox.name) && self.may_enter(open, mailbox, caller)
        };
        let everything = caller.uid == 0 && request.mailboxes.is_empty();
        let wanted = (!everything).then_some(&wanted as &Wanted<'_>);
        self.learn_words(search, wanted, progress)
    }

    /// Whether a caller may enter a mailbox, as the newest date that has it says.
    fn may_find(&self, dates: &[Date], mailbox: &Mailbox, caller: &Asker) -> bool {
        if caller.uid == 0 {
            return true;
        }
        for date in dates.iter().rev() {
            match self.populated(&date.open) {
                Ok(populated) => {
                    if let Some(found) = populated.mailboxes.at(&mailbox.path) {
                        return self.may_enter(&date.open, found, caller);
                    }
                }
                // It may be there and be somebody else's.
                Err(_) => return false,
            }
        }
        false
    }

    fn may_enter(&self, open: &Open, mailbox: &mailbox::Mailbox, caller: &Asker) -> bool {
        if caller.uid == 0 {
            return true;
        }
        match self.permissions_of(open, mailbox) {
            Ok(permissions) => permissions.admits(caller.uid, || &caller.groups),
            Err(e) => {
                tracing::warn!("{}: not searched: {e}", mailbox.name);
                false
            }
        }
    }
}

impl Request {
    fn wants(&self, mailbox: &str) -> bool {
        self.mailboxes.is_empty() || self.mailboxes.iter().any(|name| name.is_match(mailbox))
    }
}

/// Turns rows of the index into what people are told.
struct Finder<'a> {
    fs: &'a Fs,
    search: &'a Search,
    request: &'a Request,
    dates: &'a [Date],
}

impl Finder<'_> {
    fn look_up_all(&self, mailboxes: &[Mailbox], answer: &mut Answer) -> Result<()> {
        answer.found.clear();
        answer.more = false;
        let mut told = HashSet::new();
        self.search
            .find(&self.request.query, mailboxes, |mailbox, row| {
                if let Some(found) = self.look_up(mailbox, &row, &mut told)? {
                    if answer.found.len() == self.request.limit {
                        answer.more = true;
                        return Ok(false);
                    }
                    answer.found.push(found);
                }
                Ok(true)
            })
    }

    /// Whether a message is in this folder now, as far as is known.
    fn is_present(&self, row: &Row) -> bool {
        if self.fs.has_live() {
            return row.until.is_none();
        }
        self.dates.last().is_some_and(|date| row.is_in(date.moment))
    }

    /// What is told of a row; `None` if it is on no date, is not wanted, or was told of already.
    fn look_up(
        &self,
        mailbox: &Mailbox,
        row: &Row,
        told: &mut HashSet<(Vec<u8>, i64)>,
    ) -> Result<Option<Found>> {
        let key = (mailbox.path.clone(), row.same);
        if told.contains(&key)
            || !self
                .dates
                .iter()
                .any(|date| row.is_in(date.moment) && self.is_wanted(date))
            || !self.is_in_wanted_folder(mailbox, row)?
        {
            return Ok(None);
        }
        let copies = self.search.copies(mailbox, row)?;
        let mut places = Vec::new();
        for copy in &copies {
            places.extend(self.place(mailbox, copy)?);
        }
        // Where it was seen last comes last; of several, where it still is.
        places.sort_by_key(|(last, first, _)| (*last, *first));
        let on = |date: &Date| copies.iter().any(|copy| copy.is_in(date.moment));
        let (Some(first), Some(last)) = (
            self.dates.iter().position(on),
            self.dates.iter().rposition(on),
        ) else {
            return Ok(None);
        };
        let label = |at: usize| {
            self.dates
                .get(at)
                .map(|date| date.open.snapshot.label.clone())
        };
        told.insert(key);
        let mut present = copies.iter().filter(|copy| self.is_present(copy));
        let folder = present
            .next_back()
            .map(|copy| self.search.folder(mailbox, copy))
            .transpose()?
            .map(|folder| folder.shown);
        if self.request.query.gone && folder.is_some() {
            return Ok(None);
        }
        let gone_since = match &folder {
            Some(_) => None,
            None => label(last + 1).or_else(|| {
                let noticed = copies.iter().filter_map(|copy| copy.until).max()?;
                let local = self.fs.view.zone.local(noticed);
                Some(local.format("%Y-%m-%d").to_string())
            }),
        };
        Ok(Some(Found {
            mailbox: mailbox.name.clone(),
            sender: row.sender.clone(),
            recipients: row.recipients.clone(),
            subject: row.subject.clone(),
            attachments: row.attachments.lines().map(str::to_owned).collect(),
            received: row.secs,
            size: row.size,
            first: label(first).unwrap_or_default(),
            last: label(last).unwrap_or_default(),
            folder,
            gone_since,
            places: places.into_iter().map(|(.., place)| place).collect(),
        }))
    }

    fn is_wanted(&self, date: &Date) -> bool {
        let wanted = self.request.on.as_ref();
        wanted.is_none_or(|label| *label == date.open.snapshot.label)
    }

    fn is_in_wanted_folder(&self, mailbox: &Mailbox, row: &Row) -> Result<bool> {
        let Some(wanted) = &self.request.folder else {
            return Ok(true);
        };
        let shown = fold(&self.search.folder(mailbox, row)?.shown);
        let below = shown.strip_prefix(&fold(wanted));
        Ok(below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }

    /// A row's place with its last and first date; `None` if no date has it.
    fn place(&self, mailbox: &Mailbox, row: &Row) -> Result<Option<(i64, i64, Place)>> {
        let dates: Vec<&Date> = self
            .dates
            .iter()
            .filter(|date| row.is_in(date.moment))
            .collect();
        let (Some(first), Some(last)) = (dates.first(), dates.last()) else {
            return Ok(None);
        };
        let place = Place {
            folder: self.search.folder(mailbox, row)?.shown,
            name: row.name.clone(),
            first: first.open.snapshot.label.clone(),
            last: last.open.snapshot.label.clone(),
            dates: dates.len(),
            is_present: self.is_present(row),
        };
        Ok(Some((last.moment, first.moment, place)))
    }

    fn count_unread(&self, mailboxes: &[Mailbox], answer: &mut Answer) -> Result<()> {
        for mailbox in mailboxes {
            let failed = mailbox
                .learned()
                .iter()
                .filter(|learned| learned.failed.is_some());
            for learned in failed {
                let date = self.dates.iter().find(|date| date.moment == learned.moment);
                if let Some(date) = date {
                    answer.failed += 1;
                    if answer.failed_examples.len() < EXAMPLES {
                        let path = format!("{}/{}", date.open.snapshot.label, mailbox.name);
                        answer.failed_examples.push(path);
                    }
                }
            }
            for row in self.search.unread(mailbox)? {
                let place = self.place(mailbox, &row)?;
                let query = &self.request.query;
                let within = query.since.is_none_or(|since| row.secs >= since)
                    && query.until.is_none_or(|until| row.secs < until);
                let Some((.., place)) = place.filter(|_| within && row.reading != Reading::Done)
                else {
                    continue;
                };
                if !self.is_in_wanted_folder(mailbox, &row)? {
                    continue;
                }
                answer.unread += 1;
                if answer.unread_examples.len() < EXAMPLES {
                    answer.unread_examples.push(format!(
                        "{}/{}/{}/{}",
                        place.last, mailbox.name, place.folder, place.name
                    ));
                }
            }
        }
        Ok(())
    }
}
