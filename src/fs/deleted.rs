//! `deleted`: what its node ids mean, and keeping what was told of it true.
//!
//! A mailbox has a directory there as long as some shown date holds it, under its path in the newest of them. What is in the
//! directory depends on the dates that are shown and on the mailbox's present state: the live mailbox if there is a live store,
//! else the mailbox in the newest snapshot. It is worked out when somebody looks into it, and remembered under the state
//! that it was worked out for.
//!
//! Invariant: the kernel keeps the names in there until it is told otherwise. So which mailboxes it was told of is
//! remembered; when the dates change or the live mailbox does, everything that was told of it is invalidated, and once more a while
//! later, for an answer may have been under way. A live mailbox that nobody has asked for in a while is invalidated and no
//! longer followed.
//!
//! The cast: `everybody` are the mailboxes of all dates, `moments` what a mailbox is or was like, `entries` answers for the
//! directories; here is what is kept, and for how long.

mod entries;
mod everybody;
mod moments;

pub(super) use entries::LostMessages;
pub use everybody::Somebody;
pub(super) use moments::Live;

use super::cache::{Cache, Value};
use super::node::{self, NodeId, Place};
use super::shown::Shown;
use super::{Fs, Invalidation, Open};
use crate::disk::Root;
use crate::error::{Error, Kind, Result};
use crate::time::Time;
use crate::view::deleted::{self, Lost, Moment};
use crate::view::listing::{Listing, is_for_all};
use crate::view::mailbox::{Layout, Mailboxes};
use everybody::Everybody;
use moments::Nothing;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a live mailbox is followed that nobody asks for.
const DISUSE: Duration = Duration::from_secs(600);

/// How often a live mailbox is compared again that changes while it is read.
const ATTEMPTS: usize = 3;

/// What is kept of `deleted`.
pub(super) struct Deleted {
    live: Option<Root>,
    /// The live store is known not to answer.
    live_is_left_out: AtomicBool,
    /// Of the live store.
    layout: Layout,
    everybody: Cache<u64, Everybody>,
    lost: Cache<State, Kept>,
    /// By what folder it is and its stamp.
    live_listings: Cache<[u8; 32], Listing>,
    live_mailboxes: Mutex<Option<(Instant, Arc<Mailboxes>)>>,
    told: Mutex<HashMap<u32, Told>>,
}

/// A mailbox's serial, the generation of the dates, and what the live mailbox is like.
type State = (u32, u64, u64);

/// What is gone from a mailbox.
pub struct Kept {
    pub lost: Lost,
    pub serials: Vec<u32>,
    by_serial: HashMap<u32, u32>,
    /// Those that were compared with the present state, newest first.
    pub dates: Vec<Arc<Open>>,
    /// The last change of the present state.
    pub changed: Time,
}

impl Kept {
    fn id(&self, position: u32) -> Result<NodeId> {
        let serial = self.serials.get(position as usize);
        let serial = serial.ok_or_else(|| Error::new(Kind::Stale, "no such directory"))?;
        Ok(NodeId::new(0, *serial, 0))
    }
}

impl Value for Kept {
    fn is_settled(&self) -> bool {
        self.lost.complete
    }
}

/// What the kernel may have been told of a mailbox's directory.
struct Told {
    somebody: Arc<Somebody>,
    /// The state of the live mailbox, and when that was seen.
    live: u64,
    changed: Time,
    checked: Instant,
    used: Instant,
    /// Directories in it: the one above, the name, and itself.
    directories: HashSet<(NodeId, String, NodeId)>,
    /// How often it is to be invalidated.
    due: u8,
}

impl Told {
    /// What the kernel has to forget. It is pushed when no lock is held any more: the kernel makes a push wait for a listing
    /// that is under way, and the listing may wait for the lock.
    fn forgotten(&self) -> Vec<Invalidation> {
        let mut all = vec![Invalidation::Name(
            node::DELETED,
            self.somebody.name.clone(),
        )];
        for (above, name, id) in &self.directories {
            all.push(Invalidation::Name(*above, name.clone()));
            all.push(Invalidation::Node(*id));
        }
        all.push(Invalidation::Node(self.somebody.id()));
        all
    }
}

impl Deleted {
    pub fn new(live: Option<PathBuf>, layout: &Layout) -> Self {
        // The live store may have another format by now.
        let layout = Layout {
            format: None,
            ..layout.clone()
        };
        Self {
            live: live.map(Root::new),
            live_is_left_out: AtomicBool::new(false),
            layout,
            everybody: Cache::new(16 << 20),
            lost: Cache::new(16 << 20),
            live_listings: Cache::new(32 << 20),
            live_mailboxes: Mutex::default(),
            told: Mutex::default(),
        }
    }

    fn told(&self) -> MutexGuard<'_, HashMap<u32, Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that other snapshots are shown; what the kernel should forget.
    pub fn renew(&self, generation: u64) -> Vec<Invalidation> {
        self.everybody.forget(|other| *other != generation);
        self.lost.forget(|(_, other, _)| *other != generation);
        let mut all = vec![Invalidation::Node(node::DELETED)];
        for told in self.told().values_mut() {
            told.due = 1;
            all.extend(told.forgotten());
        }
        all
    }

    /// What the kernel should forget now of a mailbox that has changed.
    fn due(&self, serial: u32) -> Vec<Invalidation> {
        match self.told().get_mut(&serial) {
            Some(told) if told.due > 0 => {
                told.due -= 1;
                told.forgotten()
            }
            _ => Vec::new(),
        }
    }

    /// What the kernel should forget of a mailbox that others may enter than it was told.
    pub fn of_mailbox(&self, serial: u32) -> Vec<Invalidation> {
        let told = self.told();
        told.get(&serial).map(Told::forgotten).unwrap_or_default()
    }
}

impl Fs {
    /// Whether the present state of mailboxes is in a live store, and not in the newest snapshot.
    pub(super) fn has_live(&self) -> bool {
        self.deleted.live.is_some()
    }

    /// What the present state of a mailbox is like, and its last change.
    fn present(&self, shown: &Shown, somebody: &Arc<Somebody>) -> Result<(u64, Time)> {
        let known = self
            .deleted
            .told()
            .get_mut(&somebody.serial)
            .and_then(|told| {
                told.used = Instant::now();
                let fresh = told.checked.elapsed() < self.options.refresh;
                (fresh && Arc::ptr_eq(&told.somebody, somebody))
                    .then_some((told.live, told.changed))
            });
        match known {
            Some(known) => Ok(known),
            None => {
                let live = self.live(&somebody.mailbox)?;
                Ok(self.note_state(shown, somebody, live.as_ref()))
            }
        }
    }

    /// Takes note of the state of a mailbox, which is about to be told.
    fn note_state(
        &self,
        shown: &Shown,
        somebody: &Arc<Somebody>,
        live: Option<&Live<'_>>,
    ) -> (u64, Time) {
        let mark = live.map_or(0, |live| live.mark);
        let changed = changed(shown.changed, live);
        let now = Instant::now();
        let mut all = self.deleted.told();
        let told = all.entry(somebody.serial).or_insert_with(|| Told {
            somebody: somebody.clone(),
            live: mark,
            changed,
            checked: now,
            used: now,
            directories: HashSet::new(),
            due: 0,
        });
        if told.live != mark {
            told.due = 2;
        }
        told.somebody = somebody.clone();
        (told.live, told.changed, told.checked) = (mark, changed, now);
        (mark, changed)
    }

    /// What is gone from a mailbox.
    pub(super) fn lost(&self, somebody: &Arc<Somebody>) -> Result<Arc<Kept>> {
        let shown = self.shown();
        let (live, _) = self.present(&shown, somebody)?;
        let state = (somebody.serial, shown.generation, live);
        let kept = self.deleted.lost.get_for(
            &state,
            somebody.open.root.lane(),
            shown.is_believed_for(),
            || {
                let kept = self.search(&shown, somebody)?;
                let weight = kept.lost.weight() + kept.serials.len() * 48 + kept.dates.len() * 8;
                Ok((kept, weight))
            },
        )?;
        if let Some(told) = self.deleted.told().get_mut(&somebody.serial) {
            for (position, branch) in (0..).zip(kept.lost.tree.iter()) {
                let above = branch
                    .above
                    .map_or(Ok(somebody.id()), |above| kept.id(above))?;
                told.directories
                    .insert((above, branch.name.clone(), kept.id(position)?));
            }
        }
        Ok(kept)
    }

    fn search(&self, shown: &Shown, somebody: &Arc<Somebody>) -> Result<Kept> {
        let mut dates = Vec::new();
        let mut complete = true;
        let is_live = self.deleted.live.is_some();
        for open in shown.by_time.iter().rev() {
            match self.dated(open, &somebody.mailbox.path) {
                Ok(dated) => dates.push((open, dated)),
                // Without a live store this is the present state.
                Err(e) if dates.is_empty() && !is_live => return Err(e),
                Err(e) if is_for_all(&e) && e.kind() != Kind::Stale => return Err(e),
                Err(e) => {
                    tracing::warn!("what is gone since is not known of a date: {e}");
                    complete = false;
                }
            }
        }
        let mut attempts = 1;
        let (mut lost, changed, dates) = loop {
            let live = self.live(&somebody.mailbox)?;
            let (present, older) = match (&live, dates.split_first()) {
                (None, Some(((_, newest), older))) => (newest.as_ref().map(as_moment), older),
                (live, _) => (live.as_ref().map(as_moment), dates.as_slice()),
            };
            let older = older
                .iter()
                .filter_map(|(open, dated)| Some((open, dated.as_ref()?)));
            let (opens, moments): (Vec<_>, Vec<_>) = older
                .map(|(open, dated)| (Arc::clone(open), as_moment(dated)))
                .unzip();
            let nothing = Nothing::default();
            let lost = deleted::lost(present.unwrap_or(&nothing), &moments)?;
            let (mark, changed) = self.note_state(shown, somebody, live.as_ref());
            let same = match &live {
                None => true,
                Some(_) => self
                    .live(&somebody.mailbox)?
                    .is_none_or(|live| live.mark == mark),
            };
            if same || attempts == ATTEMPTS {
                complete &= same;
                break (lost, changed, opens);
            }
            attempts += 1;
        };
        lost.complete &= complete;
        let path = &somebody.mailbox.path;
        let keys = lost
            .tree
            .iter()
            .map(|branch| Place::encode(path, Some(&branch.source)));
        let serials = self.serials(&keys.collect::<Vec<_>>())?;
        Ok(Kept {
            by_serial: serials.iter().copied().zip(0..).collect(),
            lost,
            serials,
            dates,
            changed,
        })
    }

    /// Looks whether the live mailboxes that were told of have changed, and pushes what the kernel should forget. Waits as
    /// long as the live store does: to be called every `refresh`, from a thread of its own.
    pub fn follow_deleted(&self, mut push: impl FnMut(Invalidation)) -> Result<()> {
        let mut disused = Vec::new();
        let told: Vec<Arc<Somebody>> = {
            let mut all = self.deleted.told();
            all.retain(|_, told| {
                let followed = told.used.elapsed() < DISUSE;
                if !followed {
                    disused.extend(told.forgotten());
                }
                followed
            });
            all.values().map(|told| told.somebody.clone()).collect()
        };
        disused.into_iter().for_each(&mut push);
        let mut result = Ok(());
        for somebody in told {
            match self.live(&somebody.mailbox) {
                Ok(None) => {}
                Ok(live) => {
                    self.note_state(&self.shown(), &somebody, live.as_ref());
                }
                Err(e) => result = Err(e),
            }
            self.deleted
                .due(somebody.serial)
                .into_iter()
                .for_each(&mut push);
        }
        result
    }
}

/// The mtime of what is gone from a mailbox: the last change of the dates or of the live mailbox to the second, and behind that
/// a number which is another one for other dates or another state, since an NFS client keeps its listing until that changes.
fn changed(dates: Time, live: Option<&Live<'_>>) -> Time {
    let Some(live) = live else {
        return dates;
    };
    let number = (live.mark ^ u64::from(dates.nanos)) % 1_000_000_000;
    Time {
        secs: live.changed.secs.max(dates.secs),
        nanos: number as u32,
    }
}

fn as_moment<'a>(moment: &'a (impl Moment + 'a)) -> &'a (dyn Moment + 'a) {
    moment
}
