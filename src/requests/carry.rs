//! Carrying out: from an approved request to its outcome.
//!
//! What is to be done is found out anew each time, by comparing the backup with the mailbox, so it does not matter how often
//! and where the process before has ended. What there was to be done at first is kept, so that in the end people are told the
//! sum of it.

use super::request::{Details, Id, Report, Request, Tally, Unread};
use super::state::State;
use super::store::{ITSELF, Store, now};
use super::turn::Turn;
use crate::error::{Error, Kind, Result};
use crate::restore::{self, Outcome, Plan, Progress, Restorer};
use crate::snapshot::Dates;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Waits before it is tried again, in seconds; after the last of them a failure is final.
const WAITS: [i64; 4] = [2, 10, 60, 300];

/// How far carrying out a request has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It has its outcome.
    Ended(State),
    /// It failed, and is due again in so many seconds.
    Again { seconds: u64 },
    /// It was told to stop; it goes on from there.
    Stopped,
}

/// Why a try came to nothing.
enum Fault {
    /// The same will happen the next time.
    Lasting(Error),
    /// The next time may be better.
    Passing(Error),
}

impl Details {
    /// What is to be restored.
    fn wanted(&self) -> restore::Request {
        let request = &self.request;
        restore::Request {
            date: request.date.clone(),
            taken: Some(request.snapshot_time),
            mailbox: request.mailbox.clone(),
            folder: request.folder.clone(),
            messages: self.messages.clone(),
            into: request.into.clone(),
        }
    }
}

impl Store {
    /// What would be put back. Changes nothing; takes as long as reading what is asked for.
    ///
    /// # Errors
    /// Those of [`Restorer::plan`].
    pub fn plan(&self, id: Id, restorer: &Restorer) -> Result<Plan> {
        restorer.plan(&self.get(id)?.wanted())
    }

    /// Carries out a request that is approved, or goes on with it. `restorer` gives one that knows the dates of now;
    /// `progress` is told after each message, and stops it by answering false.
    ///
    /// # Errors
    /// Those of the database, and [`Kind::Invalid`] if it is not approved; what goes wrong in restoring is an outcome.
    pub fn carry_out(
        &self,
        id: Id,
        _turn: &Turn,
        restorer: impl FnOnce() -> Result<Restorer>,
        mut progress: impl FnMut(&Progress) -> bool,
    ) -> Result<Step> {
        let attempts = self.begin(id)?;
        let is_last = attempts as usize >= WAITS.len();
        let details = self.get(id)?;
        let stopped = Cell::new(false);
        let tried = catch_unwind(AssertUnwindSafe(|| {
            self.try_restore(&details, restorer, |at| {
                let go_on = progress(at);
                stopped.set(!go_on);
                go_on
            })
        }));
        // The next requests are not to suffer from it; the restore itself is good for being interrupted anywhere.
        let tried = tried.unwrap_or_else(|_| {
            let message = "a fault in mailtm itself; the log has its place";
            Err(Fault::Passing(Error::new(Kind::Failed, message)))
        });
        let again = |why: &str| {
            let wait = WAITS.get(attempts as usize).copied().unwrap_or_default();
            tracing::warn!("request {id} is tried again in {wait} s: {why}");
            self.postpone(id, why, now().saturating_add(wait))?;
            Ok(Step::Again {
                seconds: wait.unsigned_abs(),
            })
        };
        let (state, why, report) = match tried {
            Err(_) if stopped.get() => return Ok(Step::Stopped),
            Err(Fault::Passing(e)) if !is_last => return again(&e.to_string()),
            Err(Fault::Passing(e) | Fault::Lasting(e)) => {
                (State::Failed, Some(e.to_string()), None)
            }
            Ok(report) => {
                let refusal = report.refusals.first();
                let refusal = refusal.map(|r| format!("{}: {}", r.folder, r.error));
                match refusal {
                    Some(why) if !is_last => return again(&why),
                    Some(why) if report.created == 0 => (State::Failed, Some(why), Some(report)),
                    Some(why) => (State::Partial, Some(why), Some(report)),
                    None if report.unreadable > 0 => (State::Partial, None, Some(report)),
                    None => (State::Done, None, Some(report)),
                }
            }
        };
        match &why {
            Some(why) => tracing::error!("request {id}: {state}: {why}"),
            None => tracing::info!("request {id}: {state}"),
        }
        self.end(id, state, why.as_deref(), report.as_ref())?;
        Ok(Step::Ended(state))
    }

    fn try_restore(
        &self,
        details: &Details,
        restorer: impl FnOnce() -> Result<Restorer>,
        progress: impl FnMut(&Progress) -> bool,
    ) -> Result<Report, Fault> {
        let restorer = restorer().map_err(Fault::Passing)?;
        let is_lasting = |e: &Error| e.kind() == Kind::Config && restorer.dates.is_whole;
        let plan = restorer.plan(&details.wanted());
        let plan = plan.map_err(|e| match is_lasting(&e) {
            true => Fault::Lasting(e),
            false => Fault::Passing(e),
        })?;
        let tally = self
            .keep_tally(details.request.id, tally(&plan))
            .map_err(Fault::Passing)?;
        let outcome = restorer.apply(&plan, progress).map_err(Fault::Passing)?;
        Ok(report(&tally, outcome))
    }

    /// Lapses the requests that nobody has decided on and whose backup is not shown any more; how many.
    ///
    /// # Errors
    /// Those of the database.
    pub fn lapse(&self, _turn: &Turn, dates: &Dates) -> Result<u64> {
        let today = self.options().zone.local(now()).date();
        let mut lapsed = 0;
        for request in self.undecided()? {
            let is_shown = is_shown(&request, dates);
            let has_expired = request.expires.is_some_and(|last| last < today);
            if is_shown || !dates.is_whole && !has_expired {
                continue;
            }
            let why = format!("the backup of {} is not there any more", request.date);
            let result = self.lock().change("lapsing a request", |transaction| {
                self.advance(transaction, request.id, State::Lapsed, ITSELF, Some(&why))
            });
            match result {
                Ok(()) => {
                    tracing::info!("request {} has lapsed: {why}", request.id);
                    lapsed += 1;
                }
                // Somebody has decided meanwhile.
                Err(e) if e.kind() == Kind::Invalid => {}
                Err(e) => return Err(e),
            }
        }
        Ok(lapsed)
    }

    /// The requests that wait for a decision.
    fn undecided(&self) -> Result<Vec<Request>> {
        self.list(&super::Filter {
            state: Some(State::Pending),
            ..super::Filter::default()
        })
    }
}

/// Whether the snapshot that a request is about can still be restored from.
fn is_shown(request: &Request, dates: &Dates) -> bool {
    let is_meant = |s: &std::sync::Arc<crate::snapshot::Snapshot>| {
        s.label == request.date && s.time == request.snapshot_time
    };
    dates.all.iter().any(is_meant)
}

fn tally(plan: &Plan) -> Tally {
    Tally {
        create: plan.create,
        already_there: plan.already_there,
        moved: plan.moved_to.values().sum(),
        unreadable: plan.unreadable,
    }
}

/// What the last run ended with, and what there was to be done before the first.
fn report(first: &Tally, outcome: Outcome) -> Report {
    let missing = outcome.plan.create.saturating_sub(outcome.created);
    let unread = outcome.unread.len() as u64;
    let mut report = Report {
        created: first.create.saturating_sub(missing),
        already_there: first.already_there,
        moved: first.moved,
        unreadable: outcome.plan.unreadable + unread,
        unread: Vec::new(),
        refused: outcome.refused.iter().map(|refused| refused.messages).sum(),
        refusals: Vec::new(),
        losses: outcome.losses,
        log: outcome.log,
    };
    let unread = outcome.plan.unreadable_names.into_iter();
    report.name(unread.chain(outcome.unread).map(|unread| Unread {
        folder: unread.folder,
        message: unread.message,
        error: unread.error,
    }));
    report.refuse(outcome.refused.into_iter().map(|refused| Unread {
        folder: refused.folder,
        message: None,
        error: refused.error,
    }));
    report
}
