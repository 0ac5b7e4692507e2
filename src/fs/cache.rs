//! What was read once is kept while there is room, and read by one thread at a time.
//!
//! Everything that is cached is a pure function of its key (below a date nothing changes), so an entry is never
//! wrong and never refreshed; only its room is taken away, least recently used first. But one in which something could
//! not be read is made again after a while, and one of what may still be growing soon. Nothing is held locked while an
//! entry is made. Who asks for an entry that is being made waits for it and takes over its maker's progress, so that
//! a long listing is not given up while it goes on. Errors are not kept.

use crate::disk::lane::{self, Beat, Lane};
use crate::error::{Error, Kind, Result};
use lru::LruCache;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often a waiter looks whether what it waits for still makes progress.
const LOOK: Duration = Duration::from_millis(100);

/// How long an entry is good in which something could not be read.
const UNSETTLED: Duration = Duration::from_secs(30);

/// What a cache keeps.
pub trait Value {
    /// Whether all of it could be read, so that making it again would give the same.
    fn is_settled(&self) -> bool {
        true
    }
}

impl Value for Vec<u8> {}
impl Value for Vec<u32> {}

struct Kept<V> {
    value: Arc<V>,
    bytes: usize,
    /// No longer good from then on.
    until: Option<Instant>,
}

struct State<K, V> {
    kept: LruCache<K, Kept<V>>,
    bytes: usize,
    /// The pulse of the request that makes an entry; commands and background work have none.
    making: HashMap<K, Option<Arc<Beat>>>,
    /// Those of them that were [forgotten](Cache::forget) meanwhile: they are not kept.
    outdated: HashSet<K>,
}

/// A cache bounded by bytes.
pub struct Cache<K, V> {
    limit: usize,
    state: Mutex<State<K, V>>,
    made: Condvar,
}

impl<K: Hash + Eq + Clone, V: Value> Cache<K, V> {
    /// `limit`: bytes. The entry used last is kept, whatever its size.
    pub fn new(limit: usize) -> Self {
        let state = State {
            kept: LruCache::unbounded(),
            bytes: 0,
            making: HashMap::new(),
            outdated: HashSet::new(),
        };
        Self {
            limit,
            state: Mutex::new(state),
            made: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<K, V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn peek(&self, key: &K) -> Option<Arc<V>> {
        self.lock().kept.get(key).map(|kept| kept.value.clone())
    }

    /// Whether an entry is there or about to be: who asks for it need not have it made.
    pub fn is_at_hand(&self, key: &K) -> bool {
        let state = self.lock();
        state.kept.contains(key) || state.making.contains_key(key)
    }

    /// The entry of a key; made by `make`, which also tells how many bytes it takes.
    pub fn get(
        &self,
        key: &K,
        lane: &Arc<Lane>,
        make: impl FnOnce() -> Result<(V, usize)>,
    ) -> Result<Arc<V>> {
        self.get_for(key, lane, None, make)
    }

    /// The same, of what is to be looked at again after a time, if one is given.
    pub fn get_for(
        &self,
        key: &K,
        lane: &Arc<Lane>,
        good_for: Option<Duration>,
        make: impl FnOnce() -> Result<(V, usize)>,
    ) -> Result<Arc<V>> {
        let mut state = self.lock();
        loop {
            let good = |kept: &&Kept<V>| kept.until.is_none_or(|until| Instant::now() < until);
            if let Some(kept) = state.kept.get(key).filter(good) {
                return Ok(kept.value.clone());
            }
            let Some(maker) = state.making.get(key).cloned() else {
                break;
            };
            // To wait for another is to wait for the disk.
            lane.enter()?;
            if let (Some(own), Some(maker)) = (lane::current_beat(), maker) {
                own.follow(&maker);
                if maker.is_expired() {
                    return Err(Error::new(
                        Kind::Unreadable,
                        "given up waiting for the disk",
                    ));
                }
            }
            state = self
                .made
                .wait_timeout(state, LOOK)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state.making.insert(key.clone(), lane::current_beat());
        drop(state);
        let making = Making { cache: self, key };
        let (value, bytes) = make()?;
        let value = self.keep(key, value, bytes, good_for);
        drop(making);
        Ok(value)
    }

    /// Keeps an entry that was made in another way.
    pub fn put(&self, key: &K, value: V, bytes: usize) {
        self.keep(key, value, bytes, None);
    }

    fn keep(&self, key: &K, value: V, bytes: usize, good_for: Option<Duration>) -> Arc<V> {
        let value = Arc::new(value);
        let mut state = self.lock();
        if state.outdated.contains(key) {
            return value;
        }
        state.bytes += bytes;
        let kept = Kept {
            until: good_for
                .or((!value.is_settled()).then_some(UNSETTLED))
                .map(|time| Instant::now() + time),
            value: value.clone(),
            bytes,
        };
        if let Some(old) = state.kept.put(key.clone(), kept) {
            state.bytes -= old.bytes;
        }
        while state.bytes > self.limit && state.kept.len() > 1 {
            if let Some((_, old)) = state.kept.pop_lru() {
                state.bytes -= old.bytes;
            }
        }
        value
    }

    /// Drops the entries of which `is_gone` says so.
    pub fn forget(&self, is_gone: impl Fn(&K) -> bool) {
        let mut state = self.lock();
        let made = state.making.keys().filter(|key| is_gone(key));
        let made: Vec<K> = made.cloned().collect();
        state.outdated.extend(made);
        let gone: Vec<K> = state
            .kept
            .iter()
            .map(|(key, _)| key)
            .filter(|key| is_gone(key))
            .cloned()
            .collect();
        for key in gone {
            if let Some(old) = state.kept.pop(&key) {
                state.bytes -= old.bytes;
            }
        }
    }
}

/// Ends the making of an entry, also when it fails or panics.
struct Making<'a, K: Hash + Eq + Clone, V: Value> {
    cache: &'a Cache<K, V>,
    key: &'a K,
}

impl<K: Hash + Eq + Clone, V: Value> Drop for Making<'_, K, V> {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        state.making.remove(self.key);
        state.outdated.remove(self.key);
        drop(state);
        self.cache.made.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    impl Value for i32 {}
    impl Value for () {}

    fn lane() -> Arc<Lane> {
        Arc::new(Lane::new("test".into()))
    }

    #[test]
    fn bounded_by_bytes_least_recently_used_first() {
        let (cache, lane) = (Cache::new(10), lane());
        for key in [1, 2, 1, 3] {
            cache.get(&key, &lane, || Ok((key, 4))).unwrap();
        }
        assert!(cache.peek(&1).is_some() && cache.peek(&2).is_none() && cache.peek(&3).is_some());
        cache.get(&4, &lane, || Ok((4, 100))).unwrap();
        assert!(cache.peek(&4).is_some() && cache.peek(&1).is_none());
    }

    #[test]
    fn made_once_for_all_who_ask_and_again_after_an_error() {
        let (cache, lane, count) = (Cache::new(10), lane(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let make = || {
                        count.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(Duration::from_millis(50));
                        Ok(((), 1))
                    };
                    cache.get(&1, &lane, make).unwrap();
                });
            }
        });
        assert_eq!(count.load(Ordering::Relaxed), 1);
        assert!(
            cache
                .get(&2, &lane, || Err(Error::new(Kind::Unreadable, "")))
                .is_err()
        );
        assert!(cache.get(&2, &lane, || Ok(((), 1))).is_ok());
    }

    #[test]
    fn what_is_forgotten_while_it_is_made_is_not_kept() {
        let cache: Cache<i32, i32> = Cache::new(100);
        let lane = Arc::new(Lane::new("test".into()));
        let made = cache.get(&1, &lane, || {
            cache.forget(|key| *key == 1);
            Ok((7, 1))
        });
        assert_eq!(*made.unwrap(), 7);
        assert!(cache.peek(&1).is_none());
        assert_eq!(*cache.get(&1, &lane, || Ok((8, 1))).unwrap(), 8);
        let other = cache.get(&2, &lane, || {
            cache.forget(|key| *key == 1);
            Ok((9, 1))
        });
        assert!(other.is_ok() && cache.peek(&2).is_some());
    }
}
