//! All configured directories' snapshots merged: what is shown under which label, and how two such states differ.
//!
//! Pure: the same lists give the same state, whatever the order in which directories were scanned.

use super::Snapshot;
use super::directory::natural;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// How a label begins.
const DATE: &str = "YYYY-MM-DD";

/// The snapshots at one moment. Never changes.
#[derive(Debug, Default)]
pub struct Dates {
    /// Grows by one with every change.
    pub generation: u64,
    /// By label: of the snapshots with one label, the last in `all`.
    pub shown: BTreeMap<String, Arc<Snapshot>>,
    /// Every snapshot within `keep_days`, oldest first, those included that a later one of their label hides. Of those
    /// with one moment the one of the directory configured later is later; of those, the one whose name is (`_9` before
    /// `_10`).
    pub all: Vec<Arc<Snapshot>>,
    /// Every directory has a snapshot. One that has none may be a file system that is not mounted.
    pub is_whole: bool,
}

/// How old the newest snapshot is, and how old it may be expected to be. All in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewestAge {
    pub age: i64,
    /// The median interval between snapshots; `None` if there are not three to tell it from.
    pub interval: Option<i64>,
}

impl NewestAge {
    /// Whether a snapshot is missing: the newest is older than one and a half intervals.
    pub fn is_late(&self) -> bool {
        self.interval
            .is_some_and(|interval| self.age > interval.saturating_add(interval / 2))
    }
}

impl Dates {
    /// Merges what the directories hold, in the order in which they are configured. With `label`, which gives that of a
    /// moment, each snapshot has a label of its own.
    pub(super) fn merge(
        lists: Vec<Vec<Arc<Snapshot>>>,
        keeps: impl Fn(i64) -> bool,
        label: Option<&dyn Fn(i64) -> String>,
    ) -> Self {
        let is_whole = lists.iter().all(|list| !list.is_empty());
        let ranks = lists.into_iter().enumerate();
        let mut ranked: Vec<_> = ranks
            .flat_map(|(rank, list)| list.into_iter().map(move |s| (rank, s)))
            .filter(|(_, s)| keeps(s.time))
            .collect();
        ranked.sort_by(|(a_rank, a), (b_rank, b)| {
            let order = a.time.cmp(&b.time).then_with(|| a_rank.cmp(b_rank));
            order.then_with(|| natural(&a.name, &b.name))
        });
        let mut all: Vec<_> = ranked.into_iter().map(|(_, snapshot)| snapshot).collect();
        tell_apart(&mut all);
        if let Some(label) = label {
            spread(&mut all, label);
        }
        let shown = all
            .iter()
            .map(|s| (s.label.clone(), Arc::clone(s)))
            .collect();
        Self {
            generation: 0,
            shown,
            all,
            is_whole,
        }
    }

    /// The label that `latest` points to.
    pub fn latest(&self) -> Option<&str> {
        self.newest_first().next().map(|s| s.label.as_str())
    }

    /// What is shown, newest first: by moment, as labels need not be in that order.
    pub fn newest_first(&self) -> impl DoubleEndedIterator<Item = &Arc<Snapshot>> {
        let is_shown = |s: &&Arc<Snapshot>| {
            let shown = self.shown.get(&s.label);
            shown.is_some_and(|shown| Arc::ptr_eq(shown, s))
        };
        self.all.iter().rev().filter(is_shown)
    }

    /// How old the newest snapshot is at `now`; `None` if there are none.
    pub fn newest_age(&self, now: i64) -> Option<NewestAge> {
        let newest = self.all.last()?.time;
        let mut moments: Vec<i64> = self.all.iter().map(|s| s.time).collect();
        moments.dedup();
        let pairs = moments.iter().zip(moments.iter().skip(1));
        let mut intervals: Vec<i64> = pairs.map(|(a, b)| b.saturating_sub(*a)).collect();
        intervals.sort_unstable();
        let median = intervals.get(intervals.len() / 2).copied();
        Some(NewestAge {
            age: now.saturating_sub(newest),
            interval: median.filter(|_| intervals.len() > 1),
        })
    }
}

/// Snapshots that nothing but their path tells apart (undated names, one inode number and one time, as mounted LVM
/// snapshots may have) get the path into their keys.
fn tell_apart(all: &mut [Arc<Snapshot>]) {
    let mut count: HashMap<Vec<u8>, usize> = HashMap::new();
    for snapshot in all.iter() {
        *count.entry(snapshot.key.clone()).or_default() += 1;
    }
    for snapshot in all.iter_mut() {
        if count.get(&snapshot.key).is_some_and(|n| *n > 1) {
            let path = snapshot.dir.join(&snapshot.name);
            let mut apart = Snapshot::clone(snapshot);
            apart.key.extend(path.as_os_str().as_bytes());
            *snapshot = Arc::new(apart);
        }
    }
}

/// Snapshots that have one label (in one minute, or in the hour that comes twice when summer time ends) get one each: the
/// first keeps it, a later one has the next that is nobody's. `all` is sorted by moment.
fn spread(all: &mut [Arc<Snapshot>], label: &dyn Fn(i64) -> String) {
    let mut taken: HashSet<String> = all.iter().map(|s| s.label.clone()).collect();
    let mut searches = HashMap::new();
    for snapshot in all {
        match searches.entry(snapshot.label.clone()) {
            Entry::Vacant(first) => {
                first.insert(others(snapshot.time, label));
            }
            Entry::Occupied(mut search) => {
                if let Some(own) = search.get_mut().find(|free| taken.insert(free.clone())) {
                    Arc::make_mut(snapshot).label = own;
                }
            }
        }
    }
}

/// The labels of the minutes after a moment, and then of those before it, as far as they are of its date; those of later
/// dates after them.
fn others(time: i64, label: &dyn Fn(i64) -> String) -> impl Iterator<Item = String> {
    let date = move |label: &str| label.get(..DATE.len()).map(str::to_owned);
    let own = date(&label(time));
    let minutes = move |step: i64| {
        (1..).map(move |n: i64| label(time.saturating_add(n.saturating_mul(step))))
    };
    let of_date = move |step| {
        let own = own.clone();
        minutes(step).take_while(move |label| date(label) == own)
    };
    of_date(60).chain(of_date(-60)).chain(minutes(60))
}

/// How a state differs from an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Labels that were not shown before.
    pub appeared: Vec<String>,
    /// Labels that are not shown any more.
    pub vanished: Vec<String>,
    /// Labels that show another snapshot than before.
    pub replaced: Vec<String>,
    /// Labels that show the same snapshot at another path, as after a rotation: what was opened by path must be
    /// opened anew, nothing that was learned changes.
    pub moved: Vec<String>,
    /// Snapshots that are no more, shown or not.
    pub gone: Vec<Arc<Snapshot>>,
}

impl Changes {
    /// What changed from `old` to `new`.
    pub fn between(old: &Dates, new: &Dates) -> Self {
        let mut changes = Self::default();
        for (label, snapshot) in &new.shown {
            match old.shown.get(label) {
                None => changes.appeared.push(label.clone()),
                Some(before) if before.key != snapshot.key => changes.replaced.push(label.clone()),
                Some(before) if before.root != snapshot.root => changes.moved.push(label.clone()),
                Some(_) => {}
            }
        }
        let absent = |label: &&String| !new.shown.contains_key(*label);
        changes.vanished = old.shown.keys().filter(absent).cloned().collect();
        let kept: HashSet<&[u8]> = new.all.iter().map(|s| s.key.as_slice()).collect();
        let gone = old.all.iter().filter(|s| !kept.contains(s.key.as_slice()));
        changes.gone = gone.cloned().collect();
        changes
    }
}
