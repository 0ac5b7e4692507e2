//! All configured directories' snapshots merged: what is shown under which label, and how two such states differ.
//!
//! Pure: the same lists give the same state, whatever the order in which directories were scanned.

use super::Snapshot;
use super::directory::natural;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// The snapshots at one moment. Never changes.
#[derive(Debug, Default)]
pub struct Dates {
    /// Grows by one with every change.
    pub generation: u64,
    /// By label: of the snapshots with one label, the last; of those with one moment too, that of the directory
    /// configured later; of those, the one whose name is later (`_9` before `_10`).
    pub shown: BTreeMap<String, Arc<Snapshot>>,
    /// Every snapshot within `keep_days`, oldest first, those included that a later one of their label hides.
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
    /// moment, each moment has a label of its own.
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

    /// Labels that more than one snapshot has, sorted.
    pub fn clashes(&self) -> Vec<String> {
        let mut count = BTreeMap::new();
        for snapshot in &self.all {
            *count.entry(snapshot.label.as_str()).or_insert(0usize) += 1;
        }
        let several = count.into_iter().filter(|(_, n)| *n > 1);
        several.map(|(label, _)| label.to_owned()).collect()
    }

    /// The label that `latest` points to.
    pub fn latest(&self) -> Option<&str> {
        self.shown.last_key_value().map(|(label, _)| label.as_str())
    }

    /// What is shown, newest first.
    pub fn newest_first(&self) -> impl DoubleEndedIterator<Item = &Arc<Snapshot>> {
        self.shown.values().rev()
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

/// Moments that have one label (in one minute, or in the hour that comes twice when summer time ends) get one each: the
/// first keeps it, a later one has that of the next minute that is nobody's. `all` is sorted by moment.
fn spread(all: &mut [Arc<Snapshot>], label: impl Fn(i64) -> String) {
    let mut taken: HashSet<String> = all.iter().map(|s| s.label.clone()).collect();
    // By label: the moment that the last search for a free one came to.
    let mut searched: HashMap<String, i64> = HashMap::new();
    let mut last: Option<(i64, String)> = None;
    for snapshot in all {
        let own = match &last {
            Some((time, label)) if *time == snapshot.time => label.clone(),
            _ => match searched.get_mut(&snapshot.label) {
                None => {
                    searched.insert(snapshot.label.clone(), snapshot.time);
                    snapshot.label.clone()
                }
                Some(time) => {
                    *time = snapshot.time.max(*time);
                    loop {
                        *time = time.saturating_add(60);
                        let free = label(*time);
                        if taken.insert(free.clone()) {
                            break free;
                        }
                    }
                }
            },
        };
        if own != snapshot.label {
            let mut apart = Snapshot::clone(snapshot);
            apart.label.clone_from(&own);
            *snapshot = Arc::new(apart);
        }
        last = Some((snapshot.time, own));
    }
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
