//! The tree as a person reads it: dates, the folders of a mailbox, a folder's messages in an order and by the page.
//!
//! It is the same mail through the same caches, names and listings as in the mount; only the questions are others. A mailbox is
//! asked for by its name, and whoever asks has seen to it that he may: there are no callers here.
//!
//! Invariants: what is told of a message is what its name and its node tell, so an answer and the mount never differ; a page
//! costs what is on it, once its order is known; what cannot be read is told of, and said to be so.
//!
//! The cast: [`When`] is a date or `deleted`, [`Date`] and [`Folder`] what there is to choose from, [`Contents`] a folder
//! that was opened, [`Summary`] a line of it, [`Order`] how the lines follow; `tally` counts, [`export`] is what is taken
//! away.

mod contents;
pub mod export;
mod tally;

pub use crate::view::listing::Tally;
pub use contents::{Contents, Order, Origin, Page, SortBy, Summary};

use super::deleted::{Kept, Somebody};
use super::inside::Inside;
use super::{Fs, Open};
use crate::error::{Error, Kind, Result};
use crate::view::tree::Tree;
use chrono::{Days, NaiveDate, NaiveDateTime};
use std::sync::Arc;
use std::time::Instant;

/// A state of a mailbox that can be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum When {
    /// The label of a date that is shown.
    Date(String),
    /// What is in some backup and gone from the mailbox since.
    Deleted,
}

/// A date that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Date {
    /// What its directory is called.
    pub label: String,
    /// Local time of the snapshot.
    pub taken: NaiveDateTime,
    /// The last day on which it is shown; `None`: the administrator decides.
    pub expires: Option<NaiveDate>,
}

/// A directory of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// The names of the directories down to this one, with slashes between; none has a slash in it.
    pub path: String,
    /// The last of them.
    pub name: String,
    /// As its owner wrote it, one component for each level.
    pub decoded: Vec<String>,
    /// False for a parent that is no folder itself.
    pub holds_messages: bool,
    /// `None`: not counted, for want of time or because it cannot be read.
    pub tally: Option<Tally>,
}

/// A mailbox as it is at some time.
enum State {
    Dated(Box<Inside>),
    Lost(Arc<Somebody>, Arc<Kept>),
}

impl State {
    fn tree(&self) -> &Tree {
        match self {
            Self::Dated(inside) => &inside.nested.tree,
            Self::Lost(_, kept) => &kept.lost.tree,
        }
    }
}

impl Fs {
    /// The dates that are shown, the oldest first.
    pub fn dates(&self) -> Vec<Date> {
        let shown = self.shown();
        shown.by_time.iter().map(|open| self.date(open)).collect()
    }

    fn date(&self, open: &Open) -> Date {
        let taken = self.local(open.snapshot.time);
        let days = self.options.keep_days.map(u64::from).map(Days::new);
        Date {
            label: open.snapshot.label.clone(),
            taken,
            expires: days.and_then(|days| taken.date().checked_add_days(days)),
        }
    }

    /// Local date and time of a moment in seconds since 1970.
    pub fn local(&self, secs: i64) -> NaiveDateTime {
        self.view.zone.local(secs)
    }

    /// The moment of a local date and time, in seconds since 1970.
    pub fn moment(&self, local: NaiveDateTime) -> i64 {
        self.view.zone.moment(local)
    }

    /// The directories of a mailbox, each before those below it. Those that are not counted `until` then have no tally; counts
    /// are kept, so it is done sooner another time. `None`: there is no such mailbox then.
    pub fn folders(
        &self,
        mailbox: &str,
        when: &When,
        until: Instant,
    ) -> Result<Option<Vec<Folder>>> {
        let Some(state) = self.state(mailbox, when)? else {
            return Ok(None);
        };
        let tree = state.tree();
        let mut folders = Vec::with_capacity(tree.iter().len());
        for position in tree.in_order() {
            let Some(branch) = tree.get(position) else {
                continue;
            };
            let tally = match &state {
                _ if !branch.is_folder() => None,
                State::Lost(_, kept) => kept.lost.folder(position).map(|folder| Tally {
                    messages: folder.len() as u64,
                    unread: 0,
                }),
                State::Dated(inside) => self.tally(inside, position, until)?,
            };
            folders.push(Folder {
                path: tree.path(position),
                name: branch.name.clone(),
                decoded: tree.decoded_path(position),
                holds_messages: branch.is_folder(),
                tally,
            });
        }
        Ok(Some(folders))
    }

    /// A mailbox at some time; `None`: there is none then.
    fn state(&self, mailbox: &str, when: &When) -> Result<Option<State>> {
        match when {
            When::Deleted => {
                let somebody = self.somebody_named(mailbox)?;
                let lost = |somebody| Ok(State::Lost(Arc::clone(&somebody), self.lost(&somebody)?));
                somebody.map(lost).transpose()
            }
            When::Date(label) => {
                let open = self.shown().by_label.get(label).cloned();
                let inside = open.map(|open| self.inside_of(&open, mailbox));
                Ok(inside
                    .transpose()?
                    .flatten()
                    .map(|inside| State::Dated(Box::new(inside))))
            }
        }
    }

    fn inside_of(&self, open: &Arc<Open>, mailbox: &str) -> Result<Option<Inside>> {
        let populated = self.populated(open)?;
        match populated.mailboxes.named(mailbox) {
            Some(found) => self.inside(open, &populated, found).map(Some),
            None if populated.mailboxes.is_complete() => Ok(None),
            None => Err(Error::new(
                Kind::Unreadable,
                format!("{mailbox}: not all directories that may hold mailboxes could be read"),
            )),
        }
    }
}

/// The directory of a path, if it is there.
fn find(tree: &Tree, path: &str) -> Option<u32> {
    let mut names = path.split('/');
    let first = tree.named(None, names.next()?)?;
    names.try_fold(first, |above, name| tree.named(Some(above), name))
}

#[cfg(test)]
mod tests;
