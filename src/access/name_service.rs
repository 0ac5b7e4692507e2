//! Names to ids and users to groups, through NSS, behind one cache.
//!
//! A name that does not resolve is warned of once, until it resolves, and asked for again after a minute. Locks are
//! held for a hash look-up, never while NSS is asked: it may hang.

use super::{Principal, SETTLED, UNSETTLED};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// How long the groups of a caller are believed.
const GROUPS: Duration = Duration::from_secs(60);

/// Names or callers kept.
const MAX_CACHED: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct NameService {
    ids: Cache<Principal, Option<u32>>,
    groups: Cache<u32, Arc<[u32]>>,
}

impl NameService {
    /// The id of somebody whom the configuration names; digits are the id itself.
    pub(super) fn id(&self, principal: &Principal, now: Instant) -> Option<u32> {
        let (Principal::User(name) | Principal::Group(name)) = principal;
        if name.bytes().all(|b| b.is_ascii_digit()) {
            return name.parse().ok().filter(|id| *id != u32::MAX);
        }
        self.look_up(principal, now, |kind| {
            warn!("no {kind} {name:?}, whom the configuration lets in: check the name, or the name service (getent)");
        })
    }

    /// The uid of a user whose name was worked out of a mailbox's.
    pub(super) fn owner(&self, name: &str, now: Instant) -> Option<u32> {
        self.look_up(&Principal::User(name.to_owned()), now, |_| {
            debug!("no user {name:?}: that mailbox belongs to nobody");
        })
    }

    fn look_up(
        &self,
        principal: &Principal,
        now: Instant,
        tell: impl Fn(&'static str),
    ) -> Option<u32> {
        let before = match self.ids.get(principal) {
            Some((id, until)) if now < until => return id,
            other => other.map(|(id, _)| id),
        };
        let (kind, id) = match principal {
            Principal::User(name) => {
                let user = uzers::get_user_by_name(name);
                ("user", user.map(|user| user.uid()))
            }
            Principal::Group(name) => {
                let group = uzers::get_group_by_name(name);
                ("group", group.map(|group| group.gid()))
            }
        };
        let id = id.filter(|id| *id != u32::MAX);
        if id.is_none() && before != Some(None) {
            tell(kind);
        }
        let life = if id.is_some() { SETTLED } else { UNSETTLED };
        self.ids.put(principal.clone(), id, now + life);
        id
    }

    /// The groups of a user, primary one included; none if the user is unknown.
    pub(super) fn groups_of(&self, uid: u32, now: Instant) -> Arc<[u32]> {
        match self.groups.get(&uid) {
            Some((groups, until)) if now < until => return groups,
            _ => {}
        }
        let groups: Arc<[u32]> = uzers::get_user_by_uid(uid)
            .and_then(|user| uzers::get_user_groups(user.name(), user.primary_group_id()))
            .unwrap_or_default()
            .iter()
            .map(uzers::Group::gid)
            .collect();
        self.groups.put(uid, groups.clone(), now + GROUPS);
        groups
    }
}

/// Values with the moment until which they hold. An old one stays, to be compared with the new.
#[derive(Debug)]
struct Cache<K, V>(Mutex<HashMap<K, (V, Instant)>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    fn get(&self, key: &K) -> Option<(V, Instant)> {
        self.0.lock().ok()?.get(key).cloned()
    }

    fn put(&self, key: K, value: V, until: Instant) {
        if let Ok(mut cache) = self.0.lock() {
            if cache.len() >= MAX_CACHED {
                cache.clear();
            }
            cache.insert(key, (value, until));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn digits_are_ids_and_names_are_looked_up() {
        let names = NameService::default();
        let now = Instant::now();
        let user = |name: &str| Principal::User(name.into());
        let group = |name: &str| Principal::Group(name.into());
        assert_eq!(names.id(&user("root"), now), Some(0));
        assert_eq!(names.id(&group("root"), now), Some(0));
        assert_eq!(names.id(&user("4242"), now), Some(4242));
        assert_eq!(names.id(&group("4242"), now), Some(4242));
        assert_eq!(names.id(&user("nobody of that name"), now), None);
        // A mailbox's name is never an id.
        assert_eq!(names.owner("4242", now), None);
        assert_eq!(names.owner("with\0nul", now), None);
    }

    #[test]
    fn an_unknown_name_is_told_of_once_and_tried_again() {
        let names = NameService::default();
        let unknown = Principal::User("nobody of that name".into());
        let told = Cell::new(0);
        let tell = |_: &'static str| told.set(told.get() + 1);
        let start = Instant::now();
        for seconds in [0, 30, 61, 200] {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(names.look_up(&unknown, now, tell), None);
        }
        assert_eq!(told.get(), 1);

        // As if it had been unknown until now: the answer changes after the minute, not before.
        let root = Principal::User("root".into());
        names.ids.put(root.clone(), None, start + UNSETTLED);
        let soon = start + Duration::from_secs(59);
        assert_eq!(names.look_up(&root, soon, tell), None);
        let later = start + Duration::from_secs(60);
        assert_eq!(names.look_up(&root, later, tell), Some(0));
    }
}
