//! Carrying out a plan.

use super::journal::{Item, Line, Log, Logs, Past, Run, VERSION, escape};
use super::live::{Live, NewMessage};
use super::plan::{Choice, Difference, Plan, Unreadable};
use super::{Method, Restorer, backup::Chosen};
use crate::error::{Error, Kind, Result};
use crate::time::Time;
use crate::view::listing;
use chrono::{SecondsFormat, Utc};
use serde::Serialize;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a server takes at most to take in what it has been sent.
const IN_FLIGHT: Duration = Duration::from_secs(5);

/// How far a restore has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages done and messages to be put.
    pub done: u64,
    pub messages: u64,
    /// Bytes of the messages done.
    pub bytes: u64,
}

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// As it stood when it was carried out.
    #[serde(flatten)]
    pub plan: Plan,
    /// Messages that were put.
    pub created: u64,
    /// Messages that turned out unreadable; not among those of the plan.
    pub unread: Vec<Unreadable>,
    /// Folders of the mailbox that could not be written.
    pub refused: Vec<Refused>,
    /// Folders that were made.
    pub made: Vec<String>,
    /// What could not be kept.
    pub losses: Vec<String>,
    /// The log; `None` if there was nothing to be put.
    pub log: Option<PathBuf>,
}

impl Outcome {
    /// Whether something of the backup could not be read.
    pub fn is_partial(&self) -> bool {
        self.plan.unreadable > 0 || !self.unread.is_empty()
    }
}

/// A folder that could not be written, or a message that its server does not take.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    pub folder: String,
    /// Messages that were not put for that.
    pub messages: u64,
    pub error: String,
}

impl Restorer {
    /// Puts back what a plan says, as far as it still holds: the mailbox is compared once more. Tells `progress` after
    /// each message, and stops when it answers false.
    ///
    /// # Errors
    /// Also if it is stopped, and if the mailbox cannot be written any more. What has been put by then stays, and another run
    /// goes on from there.
    pub fn apply(
        &self,
        plan: &Plan,
        mut progress: impl FnMut(&Progress) -> bool,
    ) -> Result<Outcome> {
        let logs = Logs::lock(&self.logs, &plan.mailbox)?;
        let past = logs.unfinished()?;
        wait_for_servers(&past);
        self.compare(&plan.request, &plan.snapshot, &past, |difference, live| {
            let settled = settled(&difference);
            let mut work = Work::begin(&logs, difference, live)?;
            work.run(live, &mut progress)?;
            let outcome = work.finish(live)?;
            settle(&past, &settled, &outcome)?;
            Ok(outcome.0)
        })
    }
}

/// Waits until what interrupted runs have sent to a server is there to be seen: it may still be taking in a message whose sender was
/// killed, and who looks too early puts it a second time.
fn wait_for_servers(past: &[Past]) {
    let by_server = past
        .iter()
        .filter(|past| past.begun && past.run.method != Method::Maildir.name());
    let age = by_server.filter_map(|past| {
        let written = std::fs::metadata(&past.path).and_then(|log| log.modified());
        written.ok()?.elapsed().ok()
    });
    if let Some(youngest) = age.min()
        && let Some(rest) = IN_FLIGHT.checked_sub(youngest)
    {
        tracing::info!(
            "a restore into this mailbox was interrupted a moment ago: waiting for what it has sent"
        );
        std::thread::sleep(rest);
    }
}

/// Items of interrupted runs that the plan shows to be done: the place in `past`, the item.
fn settled(difference: &Difference<'_>) -> HashSet<(usize, u64)> {
    let create: HashSet<Choice> = difference
        .create
        .iter()
        .map(|(choice, _)| *choice)
        .collect();
    let there = difference
        .resumed
        .iter()
        .filter(|(choice, _)| !create.contains(choice));
    there.flat_map(|(_, items)| items).copied().collect()
}

/// Writes into the logs of interrupted runs what this one has settled.
fn settle(
    past: &[Past],
    settled: &HashSet<(usize, u64)>,
    (_, put): &(Outcome, HashSet<(usize, u64)>),
) -> Result<()> {
    for (number, run) in past.iter().enumerate() {
        let done = |item: u64| settled.contains(&(number, item)) || put.contains(&(number, item));
        let mut log: Option<Log> = None;
        let mut left = 0;
        for (item, fate) in &run.items {
            if *fate != super::journal::Fate::Pending {
                continue;
            }
            if !done(item.item) {
                left += 1;
                continue;
            }
            let open = match &mut log {
                Some(log) => log,
                None => log.insert(Log::open(&run.path)?),
            };
            open.append(&Line::Settled { item: item.item })?;
        }
        if left == 0 {
            let mut log = match log {
                Some(log) => log,
                None => Log::open(&run.path)?,
            };
            log.append(&Line::End)?;
        }
    }
    Ok(())
}

/// A plan that is being carried out.
struct Work<'a> {
    difference: Difference<'a>,
    /// The messages to be put, with their numbers in the log, folder by folder and in the order in which they came.
    order: Vec<(Choice, u64)>,
    names: Vec<Option<String>>,
    log: Option<Log>,
    outcome: Outcome,
    /// Keywords of what was put whose names the backup does not tell.
    nameless: u64,
    /// Items of interrupted runs that were put now.
    put: HashSet<(usize, u64)>,
}

impl<'a> Work<'a> {
    /// Writes down what is to be done.
    fn begin(logs: &Logs, difference: Difference<'a>, live: &mut dyn Live) -> Result<Self> {
        let mut create = difference.create.clone();
        create.sort_by_cached_key(|((folder, position), _)| {
            let chosen = difference.backup.folders.get(*folder as usize);
            let message = chosen.and_then(|c| c.message(*position));
            (*folder, message.map(|m| m.received), *position)
        });
        let names: Vec<Option<String>> = create.iter().map(|_| live.new_name()).collect();
        let log = match create.is_empty() {
            true => None,
            false => {
                let items = (0..).zip(&create).zip(&names);
                let items = items.filter_map(|((item, (choice, id)), name)| {
                    let chosen = difference.backup.folders.get(choice.0 as usize)?;
                    Some(describe(item, chosen, choice.1, *id, name.clone()))
                });
                Some(logs.begin(run_of(&difference), items)?)
            }
        };
        let outcome = Outcome {
            plan: difference.plan.clone(),
            created: 0,
            unread: Vec::new(),
            refused: Vec::new(),
            made: Vec::new(),
            losses: Vec::new(),
            log: log.as_ref().map(|log| log.path().to_owned()),
        };
        Ok(Self {
            order: create.iter().map(|(choice, _)| *choice).zip(0..).collect(),
            names,
            difference,
            log,
            outcome,
            nameless: 0,
            put: HashSet::new(),
        })
    }

    fn run(
        &mut self,
        live: &mut dyn Live,
        progress: &mut dyn FnMut(&Progress) -> bool,
    ) -> Result<()> {
        let mut state = Progress {
            messages: self.order.len() as u64,
            ..Progress::default()
        };
        let order = std::mem::take(&mut self.order);
        for folder in order.chunk_by(|a, b| a.0.0 == b.0.0) {
            if !self.prepare(folder, live)? {
                state.done += folder.len() as u64;
                continue;
            }
            for &(choice, item) in folder {
                if !progress(&state) {
                    return Err(self.stopped("stopped", live));
                }
                match self.put(choice, item, live) {
                    Ok(bytes) => state.bytes += bytes,
                    Err(e) => return Err(self.stopped(&e.to_string(), live)),
                }
                state.done += 1;
            }
        }
        progress(&state);
        Ok(())
    }

    /// Makes the folder of these messages ready; false if it is refused.
    fn prepare(&mut self, folder: &[(Choice, u64)], live: &mut dyn Live) -> Result<bool> {
        let number = folder.first().map_or(0, |(choice, _)| choice.0);
        let Some(chosen) = self.difference.backup.folders.get(number as usize) else {
            return Ok(false);
        };
        match live.prepare(&chosen.target) {
            Ok(made) => {
                let folder = chosen.target.name();
                if made {
                    append(
                        &mut self.log,
                        &Line::Made {
                            folder: folder.clone(),
                        },
                    )?;
                    self.outcome.made.push(folder);
                }
                Ok(true)
            }
            Err(e) => {
                let name = chosen.target.name();
                tracing::error!("nothing is put into {name}: {e}");
                for (_, item) in folder {
                    let error = e.to_string();
                    append(&mut self.log, &Line::Failed { item: *item, error })?;
                }
                self.outcome.refused.push(Refused {
                    folder: name,
                    messages: folder.len() as u64,
                    error: e.to_string(),
                });
                Ok(false)
            }
        }
    }

    /// Puts one message; how many bytes. One that cannot be read is counted.
    fn put(&mut self, choice: Choice, item: u64, live: &mut dyn Live) -> Result<u64> {
        let backup = &self.difference.backup;
        let gone = || Error::new(Kind::Stale, "is no longer listed");
        let chosen = backup.folders.get(choice.0 as usize).ok_or_else(gone)?;
        let listed = chosen.listing.get(choice.1 as usize).ok_or_else(gone)?;
        let (keywords, nameless) = chosen.keywords_of(choice.1);
        let name = usize::try_from(item).ok().and_then(|i| self.names.get(i));
        let message = NewMessage {
            name: name.and_then(Option::as_deref),
            size: listed.size,
            received: listed.stored.received,
            flags: listed.stored.flags,
            keywords: &keywords,
        };
        let content =
            |take: &mut dyn FnMut(&[u8]) -> Result<()>| backup.read(chosen, choice.1, take);
        match live.put(&chosen.target, &message, &content) {
            Ok(place) => {
                append(&mut self.log, &Line::Put { item, place })?;
                self.outcome.created += 1;
                self.nameless += nameless;
                let resumed = self.difference.resumed.get(&choice);
                self.put.extend(resumed.into_iter().flatten());
                Ok(listed.size)
            }
            Err(e) if is_about_reading(&e) => {
                tracing::warn!("{}/{}: {e}", chosen.name, listed.name);
                let error = e.to_string();
                self.outcome.unread.push(Unreadable {
                    folder: chosen.name.clone(),
                    message: Some(listed.name.to_owned()),
                    error: error.clone(),
                });
                append(&mut self.log, &Line::Failed { item, error })?;
                Ok(0)
            }
            // A server does not take this one.
            Err(e) if e.kind() == Kind::Invalid => {
                let error = e.context(listed.name).to_string();
                tracing::error!("{}: {error}", chosen.name);
                self.outcome.refused.push(Refused {
                    folder: chosen.target.name(),
                    messages: 1,
                    error: error.clone(),
                });
                append(&mut self.log, &Line::Failed { item, error })?;
                Ok(0)
            }
            Err(e) => Err(e.context(format!("{}/{}", chosen.name, listed.name))),
        }
    }

    /// What to say of a run that ends before its time.
    fn stopped(&self, why: &str, live: &mut dyn Live) -> Error {
        if let Err(e) = live.sync() {
            tracing::warn!("{e}");
        }
        let log = self.outcome.log.as_deref().unwrap_or(Path::new(""));
        Error::new(
            Kind::Failed,
            format!(
                "{why}; {} messages have been put, and another run goes on from there (log: {})",
                self.outcome.created,
                log.display()
            ),
        )
    }

    fn finish(mut self, live: &mut dyn Live) -> Result<(Outcome, HashSet<(usize, u64)>)> {
        live.sync()?;
        let all_put = self.outcome.refused.is_empty() && self.outcome.unread.is_empty();
        if let Some(log) = &mut self.log {
            if all_put {
                log.append(&Line::End)?;
            }
            log.sync()?;
        }
        self.outcome.losses = live.losses();
        if self.nameless > 0 {
            self.outcome.losses.push(format!(
                "{} keywords could not be kept: the backup does not tell what they are called",
                self.nameless
            ));
        }
        Ok((self.outcome, self.put))
    }
}

fn append(log: &mut Option<Log>, line: &Line) -> Result<()> {
    log.as_mut().map_or(Ok(()), |log| log.append(line))
}

/// Whether an error is about reading one message, and not about the whole backup or about writing.
fn is_about_reading(e: &Error) -> bool {
    matches!(e.kind(), Kind::Unreadable | Kind::Undecodable | Kind::NoKey)
        && !listing::is_for_all(e)
}

fn run_of(difference: &Difference<'_>) -> Run {
    Run {
        version: VERSION,
        started: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
        date: difference.plan.date.clone(),
        mailbox: difference.mailbox.name.clone(),
        user: difference.mailbox.user.clone(),
        domain: difference.mailbox.domain.clone(),
        path: escape(&difference.mailbox.path),
        live: (difference.live != difference.mailbox.path).then(|| escape(&difference.live)),
        format: difference.mailbox.format.name().to_owned(),
        method: difference.plan.method.to_owned(),
        into: difference.plan.request.into.clone(),
    }
}

fn describe(
    item: u64,
    chosen: &Chosen,
    position: u32,
    id: Option<u128>,
    name: Option<String>,
) -> Item {
    let listed = chosen.listing.get(position as usize);
    let size = listed.as_ref().map_or(0, |listed| listed.size);
    let received = listed.map_or(Time::default(), |listed| listed.stored.received);
    Item {
        item,
        folder: escape(&chosen.stored),
        identity: escape(&chosen.identity(position)),
        into: chosen.target.name(),
        key: match id {
            Some(id) => format!("{id:032x}:{size}"),
            None => format!("none:{size}"),
        },
        received: received.secs,
        name,
    }
}
