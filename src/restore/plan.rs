//! The plan: what of a backup is to be put, what is there already, what was moved, what cannot be read.

use super::backup::{self, Backup, Chosen};
use super::journal::{self, Fate, Past, escape};
use super::live::{Live, Present};
use super::measure::{Digest, Measure, Measured};
use super::{Method, Request, Restorer, Whose, address};
use crate::disk::Root;
use crate::error::{Error, Kind, Result};
use crate::snapshot::Snapshot;
use crate::view::listing;
use crate::view::mailbox::Mailbox;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// What would be done.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    #[serde(skip)]
    pub request: Request,
    #[serde(skip)]
    pub snapshot: Arc<Snapshot>,
    /// As it is shown.
    pub date: String,
    pub mailbox: String,
    /// How it would be done: `maildir`, `doveadm` or `imap`.
    pub method: &'static str,
    /// Messages to be put.
    pub create: u64,
    /// Messages that are in the folder where they belong.
    pub already_there: u64,
    /// Messages that are in another folder, by its name.
    pub moved_to: BTreeMap<String, u64>,
    /// Messages that cannot be read in the backup, and are not in the mailbox; and folders that cannot be.
    pub unreadable: u64,
    /// Of the backup.
    pub folders: Vec<FolderPlan>,
    /// What cannot be read: the first hundred thousand.
    pub unreadable_names: Vec<Unreadable>,
}

/// What would be done with the messages of one folder of the backup.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FolderPlan {
    /// As it is shown.
    pub folder: String,
    /// The folder of the mailbox that they are put into, decoded, with `/` between the levels.
    pub into: String,
    pub create: u64,
    pub already_there: u64,
    pub moved_to: BTreeMap<String, u64>,
    pub unreadable: u64,
}

/// A message or a folder that cannot be read.
#[derive(Clone, Debug, Serialize)]
pub struct Unreadable {
    /// As it is shown.
    pub folder: String,
    /// As it is shown; `None` if it is the folder.
    pub message: Option<String>,
    pub error: String,
}

const MOST_UNREADABLE: usize = 100_000;

/// One message of the backup: its folder among the chosen ones, its position there.
pub type Choice = (u32, u32);

/// The difference between a backup and the mailbox.
pub struct Difference<'a> {
    pub plan: Plan,
    pub mailbox: Mailbox,
    /// The path of the mailbox in the live store.
    pub live: Vec<u8>,
    pub backup: Backup<'a>,
    /// The messages to be put.
    pub create: Vec<(Choice, Option<u128>)>,
    /// Messages of runs that were interrupted: the place in `past`, the item, and the message.
    pub resumed: HashMap<Choice, Vec<(usize, u64)>>,
}

/// What is to be done with a message.
enum Verdict {
    Create,
    There,
    Moved(String),
    Unreadable(String),
}

impl Restorer {
    /// What would be put back. Changes nothing.
    ///
    /// # Errors
    /// [`Kind::Config`] if there is no such date, mailbox, folder or message, or no folder to put them into could have that
    /// name, or it isn't configured how to put mail back.
    pub fn plan(&self, request: &Request) -> Result<Plan> {
        let snapshot = backup::snapshot(&self.dates, &request.date, request.taken)?;
        let past = journal::unfinished(&self.logs, &request.mailbox)?;
        self.compare(request, &snapshot, &past, |difference, _| {
            Ok(difference.plan)
        })
    }

    /// Compares a backup with the mailbox, and goes on with the difference.
    pub(super) fn compare<T>(
        &self,
        request: &Request,
        snapshot: &Arc<Snapshot>,
        past: &[Past],
        work: impl FnOnce(Difference<'_>, &mut dyn Live) -> Result<T>,
    ) -> Result<T> {
        let mut request = request.clone();
        request.date.clone_from(&snapshot.label);
        let root = Root::new(&snapshot.root);
        let mailbox = backup::mailbox(&self.view, &root, &request.mailbox, &snapshot.label)?;
        let store = mailbox.store(&root);
        let whose = Whose {
            user: address(&mailbox.user, mailbox.domain.as_deref()),
            path: self.live_path(&mailbox)?,
            format: mailbox.format,
        };
        let method = self.method_for(&whose)?;
        self.with_live(&whose, method, |live| {
            let backup = Backup::choose(&self.view, &*store, &mailbox, &request)?;
            if let (Some(_), Some(chosen)) = (&request.into, backup.folders.first()) {
                live.would_take(&chosen.target)?;
            }
            let plan = plan(request, snapshot, &mailbox, method, &backup);
            let mut comparison = Comparison {
                past,
                found: Difference {
                    plan,
                    mailbox: mailbox.clone(),
                    live: whose.path.clone(),
                    backup,
                    create: Vec::new(),
                    resumed: HashMap::new(),
                },
                measured: HashMap::new(),
                named: HashSet::new(),
                claimed: HashMap::new(),
            };
            comparison.run(live)?;
            work(comparison.found, live)
        })
    }
}

/// The plan without its counts, but for folders that cannot be read.
fn plan(
    request: Request,
    snapshot: &Arc<Snapshot>,
    mailbox: &Mailbox,
    method: Method,
    backup: &Backup<'_>,
) -> Plan {
    let folder = |chosen: &Chosen| FolderPlan {
        folder: chosen.name.clone(),
        into: chosen.target.name(),
        ..FolderPlan::default()
    };
    let unreadable = backup.unreadable.iter().map(|(folder, e)| Unreadable {
        folder: folder.clone(),
        message: None,
        error: e.to_string(),
    });
    Plan {
        request,
        snapshot: snapshot.clone(),
        date: snapshot.label.clone(),
        mailbox: mailbox.name.clone(),
        method: method.name(),
        create: 0,
        already_there: 0,
        moved_to: BTreeMap::new(),
        unreadable: backup.unreadable.len() as u64,
        folders: backup.folders.iter().map(folder).collect(),
        unreadable_names: unreadable.collect(),
    }
}

/// A message of a run that was interrupted.
struct Resumed<'a> {
    past: usize,
    item: &'a journal::Item,
    fate: &'a Fate,
}

struct Comparison<'a, 'b> {
    past: &'a [Past],
    found: Difference<'b>,
    /// Messages that had to be read for the comparison.
    measured: HashMap<Choice, Measured>,
    /// Names that interrupted runs have given to messages that are there.
    named: HashSet<String>,
    /// How many messages in a folder were taken for what an interrupted run has put there, though its log does not tell: by
    /// the place in `past`, the folder, and what they are recognised by.
    claimed: HashMap<(usize, String, String), usize>,
}

impl<'a> Comparison<'a, '_> {
    fn run(&mut self, live: &mut dyn Live) -> Result<()> {
        let resumed = self.resumed();
        let names: HashSet<String> = resumed
            .values()
            .flatten()
            .filter_map(|r| r.item.name.clone())
            .collect();
        let there = live.identities(&names)?;
        self.named = there.by_name.keys().cloned().collect();
        let folder_name = |number: u32| there.folders.get(number as usize);
        let mut open: Vec<Choice> = Vec::new();
        for (number, folder) in (0..).zip(0..self.found.backup.folders.len()) {
            let Some(chosen) = self.found.backup.folders.get(folder) else {
                continue;
            };
            let mut verdicts = Vec::new();
            for &position in &chosen.positions {
                let choice: Choice = (number, position);
                let under_name = |r: &Resumed<'_>| {
                    let name = r.item.name.as_ref();
                    name.and_then(|name| there.by_name.get(name)).copied()
                };
                let resumed = resumed.get(&choice);
                let by_name = resumed.and_then(|all| all.iter().find_map(under_name));
                let by_identity = match chosen.has_twin(position) {
                    true => None,
                    false => there.by_identity.get(&chosen.identity(position)),
                };
                let numbers = by_identity
                    .map(Vec::as_slice)
                    .or(by_name.as_ref().map(std::slice::from_ref));
                match numbers {
                    Some(numbers) => {
                        let names = numbers.iter().filter_map(|&n| folder_name(n));
                        verdicts.push((position, whereabouts(chosen, names)));
                    }
                    None if !chosen.is_readable(position) => {
                        let why = Verdict::Unreadable("cannot be decoded".into());
                        verdicts.push((position, why));
                    }
                    None => open.push(choice),
                }
            }
            for (position, verdict) in verdicts {
                self.count((number, position), verdict, None);
            }
        }
        if !open.is_empty() {
            self.judge(&open, &resumed, live)?;
        }
        let resumed = resumed.into_iter().map(|(choice, all)| {
            let all = all.iter().map(|r| (r.past, r.item.item));
            (choice, all.collect())
        });
        self.found.resumed = resumed.collect();
        Ok(())
    }

    /// The chosen messages that interrupted runs were to put.
    fn resumed(&self) -> HashMap<Choice, Vec<Resumed<'a>>> {
        let mut by_message: HashMap<(String, String), Vec<Resumed<'a>>> = HashMap::new();
        let path = escape(&self.found.mailbox.path);
        for (number, past) in self.past.iter().enumerate() {
            if past.run.path != path || past.run.date != self.found.plan.date {
                continue;
            }
            for (item, fate) in &past.items {
                if matches!(fate, Fate::Pending | Fate::Put(_)) {
                    let found = Resumed {
                        past: number,
                        item,
                        fate,
                    };
                    let key = (item.folder.clone(), item.identity.clone());
                    by_message.entry(key).or_default().push(found);
                }
            }
        }
        let mut chosen = HashMap::new();
        if by_message.is_empty() {
            return chosen;
        }
        for (number, folder) in (0..).zip(&self.found.backup.folders) {
            let stored = escape(&folder.stored);
            for &position in &folder.positions {
                let identity = escape(&folder.identity(position));
                if let Some(found) = by_message.remove(&(stored.clone(), identity)) {
                    chosen.insert((number, position), found);
                }
            }
        }
        chosen
    }

    /// Judges messages that the mailbox does not have under their identity.
    fn judge(
        &mut self,
        open: &[Choice],
        resumed: &HashMap<Choice, Vec<Resumed<'_>>>,
        live: &mut dyn Live,
    ) -> Result<()> {
        // Message-IDs; `None` for what cannot be read.
        let mut ids: Vec<Option<Option<u128>>> = Vec::with_capacity(open.len());
        for run in open.chunk_by(|a, b| a.0 == b.0) {
            let folder = run.first().map_or(0, |choice| choice.0);
            let Some(chosen) = self.found.backup.folders.get(folder as usize) else {
                continue;
            };
            let positions: Vec<u32> = run.iter().map(|choice| choice.1).collect();
            let learned = self.found.backup.learn(chosen, &positions)?;
            ids.extend(learned.into_iter().map(|l| l.map(|l| l.facts.message_id)));
        }
        let basis = live.basis();
        let mut sizes = HashSet::new();
        for (&choice, id) in open.iter().zip(&ids) {
            if *id == Some(None) {
                match self.measure(choice, basis) {
                    Ok(measured) => drop(sizes.insert(measured.size_on(basis))),
                    Err(e) if listing::is_for_all(&e) => return Err(e),
                    // It is told below.
                    Err(_) => {}
                }
            }
        }
        let wanted: HashSet<u128> = ids.iter().copied().flatten().flatten().collect();
        let present = live.find(&wanted, &sizes)?;
        for (&choice, id) in open.iter().zip(ids) {
            let verdict = match id {
                None => Verdict::Unreadable("cannot be read".into()),
                Some(id) => match self.look_up(choice, id, &present, basis, resumed) {
                    Ok(verdict) => verdict,
                    Err(e) if listing::is_for_all(&e) => return Err(e),
                    Err(e) => Verdict::Unreadable(e.to_string()),
                },
            };
            self.count(choice, verdict, id.flatten());
        }
        Ok(())
    }

    fn look_up(
        &mut self,
        choice: Choice,
        id: Option<u128>,
        present: &Present,
        basis: super::measure::Basis,
        resumed: &HashMap<Choice, Vec<Resumed<'_>>>,
    ) -> Result<Verdict> {
        // Folders, once for each copy.
        let (copies, digest): (Vec<u32>, Option<Digest>) = match id {
            Some(id) => {
                let same_id = present.by_id.get(&id).map(Vec::as_slice);
                let same_id = same_id.unwrap_or_default();
                if same_id.is_empty() {
                    return Ok(Verdict::Create);
                }
                let size = self.size(choice, basis)?;
                let same = same_id.iter().filter(|(_, other)| *other == size);
                (same.map(|(folder, _)| *folder).collect(), None)
            }
            None => {
                let digest = self.measure(choice, basis)?.digest;
                let same = present.by_digest.get(&digest).cloned();
                (same.unwrap_or_default(), Some(digest))
            }
        };
        let gone = || Error::new(Kind::Stale, "is no longer listed");
        let chosen = self.found.backup.folders.get(choice.0 as usize);
        let chosen = chosen.ok_or_else(gone)?;
        let name = |number: &u32| present.folders.get(*number as usize);
        let pending = resumed
            .get(&choice)
            .and_then(|all| all.iter().find(|r| *r.fate == Fate::Pending));
        if let Some(pending) = pending {
            // When that run began, the mailbox had the message nowhere. What is in the folder that this one was to go into is
            // this one, unless that run put another one there that is the same.
            let into = &pending.item.into;
            let there = copies
                .iter()
                .filter_map(name)
                .filter(|n| is_folder(n, into));
            let digest = digest.map(|d| super::maildir::hex(&d));
            let others = self.past.get(pending.past);
            let others = others.into_iter().flat_map(|past| &past.items);
            let others = others.filter(|(item, fate)| {
                let same = match (&digest, fate) {
                    (Some(digest), Fate::Put(place)) => place.digest == *digest,
                    _ => item.key == pending.item.key,
                };
                let put = match fate {
                    Fate::Put(_) => true,
                    _ => item.name.as_ref().is_some_and(|n| self.named.contains(n)),
                };
                item.into == *into && same && put
            });
            let (there, others) = (there.count(), others.count());
            let key = digest.unwrap_or_else(|| pending.item.key.clone());
            let claimed = self.claimed.entry((pending.past, into.clone(), key));
            let claimed = claimed.or_default();
            if there <= others + *claimed {
                return Ok(Verdict::Create);
            }
            *claimed += 1;
        }
        if copies.is_empty() {
            return Ok(Verdict::Create);
        }
        Ok(whereabouts(chosen, copies.iter().filter_map(name)))
    }

    /// The size of a message, as the mailbox counts.
    fn size(&mut self, choice: Choice, basis: super::measure::Basis) -> Result<u64> {
        if basis == super::measure::Basis::Stored {
            let chosen = self.found.backup.folders.get(choice.0 as usize);
            let item = chosen.and_then(|c| c.listing.get(choice.1 as usize));
            return Ok(item.map_or(0, |item| item.size));
        }
        Ok(self.measure(choice, basis)?.size_on(basis))
    }

    /// Reads a message for its size and digest.
    fn measure(&mut self, choice: Choice, basis: super::measure::Basis) -> Result<Measured> {
        if let Some(measured) = self.measured.get(&choice) {
            return Ok(*measured);
        }
        let gone = || Error::new(Kind::Stale, "is no longer listed");
        let chosen = self.found.backup.folders.get(choice.0 as usize);
        let mut measure = Measure::new(basis);
        self.found
            .backup
            .read(chosen.ok_or_else(gone)?, choice.1, &mut |bytes| {
                measure.feed(bytes);
                Ok(())
            })?;
        let measured = measure.finish();
        self.measured.insert(choice, measured);
        Ok(measured)
    }

    fn count(&mut self, choice: Choice, verdict: Verdict, id: Option<u128>) {
        let (folder, position) = choice;
        let plan = &mut self.found.plan;
        let Some(counts) = plan.folders.get_mut(folder as usize) else {
            return;
        };
        match verdict {
            Verdict::Create => {
                counts.create += 1;
                plan.create += 1;
                self.found.create.push((choice, id));
            }
            Verdict::There => {
                counts.already_there += 1;
                plan.already_there += 1;
            }
            Verdict::Moved(to) => {
                *counts.moved_to.entry(to.clone()).or_default() += 1;
                *plan.moved_to.entry(to).or_default() += 1;
            }
            Verdict::Unreadable(error) => {
                counts.unreadable += 1;
                plan.unreadable += 1;
                if plan.unreadable_names.len() < MOST_UNREADABLE {
                    let chosen = self.found.backup.folders.get(folder as usize);
                    let item = chosen.and_then(|c| c.listing.get(position as usize));
                    plan.unreadable_names.push(Unreadable {
                        folder: counts.folder.clone(),
                        message: item.map(|item| item.name.to_owned()),
                        error,
                    });
                }
            }
        }
    }
}

/// Whether two decoded names are the same folder.
fn is_folder(a: &str, b: &str) -> bool {
    a == b || a.eq_ignore_ascii_case("INBOX") && b.eq_ignore_ascii_case("INBOX")
}

/// What to say of a message that is in these folders.
fn whereabouts<'a>(chosen: &Chosen, folders: impl Iterator<Item = &'a String>) -> Verdict {
    let mut other = None;
    let target = chosen.target.name();
    for folder in folders {
        if is_folder(folder, &chosen.decoded) || is_folder(folder, &target) {
            return Verdict::There;
        }
        if other.is_none() {
            other = Some(folder.clone());
        }
    }
    other.map_or(Verdict::There, Verdict::Moved)
}
