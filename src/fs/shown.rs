//! The snapshots that are shown, and taking over what the catalogue has found.
//!
//! Invariant: the state is replaced as a whole and counts its generations. Who answers takes it once and works with that, so that no answer mixes two states.

use super::growth::Filling;
use super::node::{self, NodeId};
use super::{Fs, Invalidation};
use crate::access::Policy;
use crate::disk::Root;
use crate::error::Result;
use crate::index::Table;
use crate::snapshot::{Changes, Snapshot};
use crate::time::Time;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long new roots are waited for; a store that hangs is gone on without.
const SETTLING: Duration = Duration::from_secs(1);

/// How long a snapshot may be filled after it has appeared, and how long a look at it is good meanwhile.
pub(super) const YOUTH: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_secs(1);

/// A snapshot that is shown, or hidden behind a later one of its date.
#[derive(Debug)]
pub struct Open {
    pub snapshot: Arc<Snapshot>,
    pub serial: u32,
    pub root: Root,
    /// Tells it from all others that ever were; as the snapshot's key, as long as it has not grown.
    pub identity: Vec<u8>,
    /// When it was seen first, if it was not there at the start.
    pub(super) appeared: Option<Instant>,
    pub(super) filling: Arc<Filling>,
}

impl Open {
    /// How long it is believed which mailboxes it has and which folders are in them: not for long where it has just appeared, for
    /// a program may be filling it that makes snapshots by copying.
    pub fn is_believed_for(&self) -> Option<Duration> {
        let is_young = self.appeared.is_some_and(|at| at.elapsed() < YOUTH);
        (is_young && self.has_just_changed()).then_some(GLANCE)
    }

    /// Whether something was put into its root a moment ago: into that of a true snapshot nothing is.
    fn has_just_changed(&self) -> bool {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mtime = self.root.stat(b"").map(|stat| stat.mtime.secs);
        mtime.is_ok_and(|mtime| {
            now.as_secs().cast_signed() - mtime < 2 * YOUTH.as_secs().cast_signed()
        })
    }
}

/// The snapshots there are, with their serials, and who may see what of them.
pub(super) struct Shown {
    /// Grows by one with every change.
    pub generation: u64,
    pub policy: Arc<Policy>,
    pub by_serial: HashMap<u32, Arc<Open>>,
    pub by_label: BTreeMap<String, Arc<Open>>,
    /// The same, oldest first: labels need not be in that order.
    pub by_time: Vec<Arc<Open>>,
    /// The mtime of what lists the dates: another one for other dates, since an NFS client keeps its listing until that
    /// changes, and the same after a restart.
    pub changed: Time,
    /// When the last of them that was not there at the start was seen first.
    appeared: Option<Instant>,
}

/// The newest date's time to the second, and behind that a number which is another one for other dates.
fn changed(by_time: &[Arc<Open>]) -> Time {
    let mut dates = Sha256::new();
    for open in by_time {
        dates.update(&open.snapshot.label);
        dates.update([0]);
        dates.update(&open.identity);
        dates.update([0]);
    }
    let [a, b, c, d, ..] = <[u8; 32]>::from(dates.finalize());
    let newest = by_time.last();
    Time {
        secs: newest.map_or(0, |open| open.snapshot.time),
        nanos: u32::from_le_bytes([a, b, c, d]) % 1_000_000_000,
    }
}

impl Shown {
    /// What is shown before the catalogue was asked.
    pub fn nothing(policy: Policy) -> Self {
        Self {
            generation: 0,
            policy: Arc::new(policy),
            by_serial: HashMap::new(),
            by_label: BTreeMap::new(),
            by_time: Vec::new(),
            changed: Time::default(),
            appeared: None,
        }
    }

    /// How long that is believed which rests on all dates; as [`Open::is_believed_for`].
    pub fn is_believed_for(&self) -> Option<Duration> {
        // There may be thousands, and this is asked for every name.
        self.appeared.filter(|at| at.elapsed() < YOUTH)?;
        self.by_time.iter().find_map(|open| open.is_believed_for())
    }

    pub fn newest_is(&self, open: &Open) -> bool {
        let newest = self.by_time.last();
        newest.is_some_and(|newest| newest.serial == open.serial)
    }
}

impl Fs {
    /// Lets another policy decide from now on. What the kernel was told by the old one is found and pushed by a
    /// [`review`](Self::review), which is to follow.
    pub fn set_policy(&self, policy: Policy) {
        let _guard = self
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = self.shown();
        let shown = Arc::new(Shown {
            generation: before.generation + 1,
            policy: Arc::new(policy),
            by_serial: before.by_serial.clone(),
            by_label: before.by_label.clone(),
            by_time: before.by_time.clone(),
            changed: before.changed,
            appeared: before.appeared,
        });
        self.owners.keep(shown.generation, || {
            *self.shown.write().unwrap_or_else(PoisonError::into_inner) = shown.clone();
        });
    }

    /// Takes over what the catalogue has found; says what the kernel should forget. Waits for the disk a second at most. It is to be
    /// followed by [`review`](Self::review).
    pub fn update(&self, changes: &Changes) -> Result<Vec<Invalidation>> {
        let _guard = self
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = self.shown();
        let (after, new_roots) = self.show(&before)?;
        settle(new_roots);
        let gone: HashSet<u32> = before
            .by_serial
            .keys()
            .filter(|serial| !after.by_serial.contains_key(serial))
            .copied()
            .collect();
        let mut forget = forgotten(&before, &after, changes, &gone);
        let generation = after.generation;
        self.owners.replace(generation, || {
            *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(after);
        });
        forget.extend(self.deleted.renew(generation));
        if !gone.is_empty() {
            self.forget_snapshots(&gone);
        }
        Ok(forget)
    }

    /// What the catalogue has found, after what was shown before; and the roots that are new in it.
    fn show(&self, before: &Shown) -> Result<(Shown, Vec<Root>)> {
        let dates = self.catalogue.dates();
        let identities = dates.all.iter();
        let identities = identities.map(|s| self.growth.identity(&self.index, &s.key));
        let identities: Vec<Vec<u8>> = identities.collect();
        self.growth
            .keep(&dates.all.iter().map(|s| s.key.as_slice()).collect());
        let seeds = dates.all.iter().map(|s| s.seed);
        let keys = identities.iter().map(Vec::as_slice).zip(seeds);
        let keys: Vec<(&[u8], u64)> = keys.collect();
        let serials = self.index.serials(Table::Snapshot, &keys)?;
        let mut by_serial = HashMap::with_capacity(serials.len());
        let mut by_key = HashMap::with_capacity(serials.len());
        let mut new_roots = Vec::new();
        for ((snapshot, serial), identity) in dates.all.iter().zip(serials).zip(identities) {
            let kept = before
                .by_serial
                .get(&serial)
                .filter(|open| open.snapshot.root == snapshot.root);
            let root = match kept {
                Some(open) => open.root.clone(),
                None => {
                    let told = Arc::clone(&self.view.told);
                    let root = Root::new(&snapshot.root).telling(told);
                    new_roots.push(root.clone());
                    root
                }
            };
            let open = Arc::new(Open {
                snapshot: snapshot.clone(),
                serial,
                root,
                identity,
                filling: kept.map(|open| open.filling.clone()).unwrap_or_default(),
                appeared: match kept {
                    Some(open) => open.appeared,
                    None => (before.generation > 0).then(Instant::now),
                },
            });
            by_key.insert(snapshot.key.as_slice(), Arc::clone(&open));
            by_serial.insert(serial, open);
        }
        let mut by_label = BTreeMap::new();
        let mut by_time = Vec::new();
        for snapshot in dates.newest_first().rev() {
            if let Some(open) = by_key.get(snapshot.key.as_slice()) {
                by_label.insert(snapshot.label.clone(), Arc::clone(open));
                by_time.push(Arc::clone(open));
            }
        }
        let shown = Shown {
            generation: before.generation + 1,
            policy: Arc::clone(&before.policy),
            changed: changed(&by_time),
            appeared: by_time.iter().filter_map(|open| open.appeared).max(),
            by_serial,
            by_label,
            by_time,
        };
        Ok((shown, new_roots))
    }

    /// Lets go what is kept of snapshots that are no longer there.
    fn forget_snapshots(&self, gone: &HashSet<u32>) {
        self.mailboxes.forget(|serial| gone.contains(serial));
        self.trees.forget(|(serial, _)| gone.contains(serial));
        self.forget_messages(|snapshot, _| gone.contains(&snapshot));
        self.searched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|serial| !gone.contains(serial));
        self.warmed().retain(|serial| !gone.contains(serial));
        self.altered.forget_snapshots(gone);
    }

    /// Drops what was worked out of the messages of folders, by snapshot and place.
    pub(super) fn forget_messages(&self, is_gone: impl Fn(u32, u32) -> bool) {
        let is_gone = |snapshot: &u32, place: &u32| is_gone(*snapshot, *place);
        self.listings.forget(|(s, p)| is_gone(s, p));
        self.drafts.forget(|(s, p)| is_gone(s, p));
        self.parts.forget(|(s, p, _)| is_gone(s, p));
        self.layouts.forget(|(s, p)| is_gone(s, p));
        self.orders.forget(|(s, p, _)| is_gone(s, p));
        self.tallies.forget(|(s, p)| is_gone(s, p));
        let is_node_gone = |id: &NodeId| {
            let parts = id.parts();
            is_gone(&parts.snapshot, &parts.place)
        };
        self.decoded.forget(is_node_gone);
        self.mbox_sizes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|id, _| !is_node_gone(id));
    }

    pub(super) fn shown(&self) -> Arc<Shown> {
        self.shown
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What the kernel should forget when `after` is shown instead of `before`, without the snapshots that are `gone`.
fn forgotten(
    before: &Shown,
    after: &Shown,
    changes: &Changes,
    gone: &HashSet<u32>,
) -> Vec<Invalidation> {
    let mut forget = Vec::new();
    let moved = changes
        .appeared
        .iter()
        .chain(&changes.vanished)
        .chain(&changes.replaced);
    for label in moved {
        for above in [node::ROOT, node::MAILDIRS] {
            forget.push(Invalidation::Name(above, label.clone()));
        }
    }
    for &serial in gone {
        for ordinal in [0, node::MAILDIR_DATE] {
            forget.push(Invalidation::Node(NodeId::new(serial, 0, ordinal)));
        }
    }
    let latest = |shown: &Shown| Some(shown.by_time.last()?.snapshot.label.clone());
    if latest(after) != latest(before) {
        forget.extend([
            Invalidation::Name(node::ROOT, "latest".into()),
            Invalidation::Node(node::LATEST),
        ]);
    }
    forget.push(Invalidation::Node(node::ROOT));
    forget.push(Invalidation::Node(node::MAILDIRS));
    forget
}

/// Looks at new roots while they are where the catalogue has just seen them; in a thread of its own, for a store may hang.
fn settle(roots: Vec<Root>) {
    let (done, settled) = mpsc::channel();
    let settling = std::thread::Builder::new()
        .name("mailtm-roots".into())
        .spawn(move || {
            for root in roots {
                if let Err(e) = root.settle() {
                    tracing::debug!("{e}");
                }
            }
            // Nobody listens any more if it has taken too long.
            let _ = done.send(());
        });
    match settling {
        Ok(_) => drop(settled.recv_timeout(SETTLING)),
        Err(e) => tracing::debug!("new snapshots are looked at when they are used: {e}"),
    }
}
