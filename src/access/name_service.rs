//! Names to ids and users to groups, through NSS, behind one cache.
//!
//! A name that does not resolve is warned of once, until it resolves, and asked for again after a minute. Locks are
//! held for a hash look-up, never while NSS is asked: it may hang.
//!
//! In the configuration digits are a name where somebody has it, and a number only where it is sure that nobody does. The
//! C library does not always tell a service that fails from one that does not know the name: so it has to know root, and what
//! was somebody's name once is no number any more.

use super::{Principal, SETTLED, UNSETTLED};
use nix::unistd::{Gid, Group, Uid, User};
use std::collections::{HashMap, HashSet};
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
    owners: Cache<String, Option<u32>>,
    groups: Cache<u32, Arc<[u32]>>,
    /// Digits that were found to be somebody's name.
    names_of_digits: Mutex<HashSet<Principal>>,
}

impl NameService {
    /// The id of somebody whom the configuration names: by that name or, if it is nobody's, by number.
    pub(super) fn id(&self, principal: &Principal, now: Instant) -> Option<u32> {
        let find = || self.id_now(principal, by_name, is_nobodys_name);
        self.ids.look_up(principal, now, find, || {
            let (kind, name) = match principal {
                Principal::User(name) => ("user", name),
                Principal::Group(name) => ("group", name),
            };
            warn!("no {kind} {name:?}, whom the configuration lets in: check the name, or the name service (getent)");
        })
    }

    /// The uid of a user whose name was worked out of a mailbox's, which is never a number.
    pub(super) fn owner(&self, name: &str, now: Instant) -> Option<u32> {
        let name = name.to_owned();
        let find = || by_name(&Principal::User(name.clone()));
        self.owners.look_up(&name, now, find, || {
            debug!("no user {name:?}: that mailbox belongs to nobody");
        })
    }

    fn id_now(
        &self,
        principal: &Principal,
        by_name: impl FnOnce(&Principal) -> Option<u32>,
        is_nobodys_name: impl FnOnce(&Principal) -> nix::Result<bool>,
    ) -> Option<u32> {
        let found = by_name(principal);
        let Some(number) = principal.number() else {
            return found;
        };
        let mut names = self.names_of_digits.lock().ok()?;
        if found.is_some() {
            names.insert(principal.clone());
            return found;
        }
        let was_a_name = names.contains(principal);
        drop(names);
        if was_a_name {
            return None;
        }
        match is_nobodys_name(principal) {
            Ok(true) => Some(number),
            Ok(false) => None,
            Err(e) => {
                debug!("whether \"{principal}\" is a name is not known: {e}");
                None
            }
        }
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

/// Who has a name.
fn by_name(principal: &Principal) -> Option<u32> {
    let id = match principal {
        Principal::User(name) => uzers::get_user_by_name(name).map(|user| user.uid()),
        Principal::Group(name) => uzers::get_group_by_name(name).map(|group| group.gid()),
    };
    id.filter(|id| *id != u32::MAX)
}

/// Whether the name service knows that nobody has a name. One that does not even know root knows nothing.
fn is_nobodys_name(principal: &Principal) -> nix::Result<bool> {
    let (has_name, has_root) = match principal {
        Principal::User(name) => (
            User::from_name(name)?.is_some(),
            User::from_uid(Uid::from_raw(0))?.is_some(),
        ),
        Principal::Group(name) => (
            Group::from_name(name)?.is_some(),
            Group::from_gid(Gid::from_raw(0))?.is_some(),
        ),
    };
    Ok(has_root && !has_name)
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

impl<K: Hash + Eq + Clone> Cache<K, Option<u32>> {
    /// What is known, or is found now. Of what is not found is told when it was not known so before.
    fn look_up(
        &self,
        key: &K,
        now: Instant,
        find: impl FnOnce() -> Option<u32>,
        tell: impl FnOnce(),
    ) -> Option<u32> {
        let before = match self.get(key) {
            Some((id, until)) if now < until => return id,
            other => other.map(|(id, _)| id),
        };
        let id = find();
        if id.is_none() && before != Some(None) {
            tell();
        }
        let life = if id.is_some() { SETTLED } else { UNSETTLED };
        self.put(key.clone(), id, now + life);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn user(name: &str) -> Principal {
        Principal::User(name.into())
    }

    fn group(name: &str) -> Principal {
        Principal::Group(name.into())
    }

    #[test]
    fn names_are_looked_up_and_digits_that_are_no_name_are_ids() {
        let names = NameService::default();
        let now = Instant::now();
        assert_eq!(names.id(&user("root"), now), Some(0));
        assert_eq!(names.id(&group("root"), now), Some(0));
        assert_eq!(names.id(&user("4242"), now), Some(4242));
        assert_eq!(names.id(&group("4242"), now), Some(4242));
        assert_eq!(names.id(&user("nobody of that name"), now), None);
        // As long as a name, and none.
        assert_eq!(names.id(&user("393331234567"), now), None);
        assert_eq!(names.id(&user("4294967295"), now), None);
        assert_eq!(names.id(&user("+4242"), now), None);
        // A mailbox's name is never an id, whatever the configuration says of it.
        assert_eq!(names.owner("4242", now), None);
        assert_eq!(names.owner("with\0nul", now), None);
    }

    #[test]
    fn digits_are_a_number_only_where_they_are_surely_nobodys_name() {
        let named = |_: &Principal| Some(8777);
        let unnamed = |_: &Principal| None;
        let sure = |_: &Principal| Ok(true);
        let unsure = |_: &Principal| Ok(false);
        let failing = |_: &Principal| Err(nix::Error::ECONNREFUSED);
        for digits in [user("7777"), group("7777")] {
            let names = NameService::default();
            assert_eq!(names.id_now(&digits, unnamed, failing), None);
            assert_eq!(names.id_now(&digits, unnamed, unsure), None);
            assert_eq!(names.id_now(&digits, unnamed, sure), Some(7777));
            assert_eq!(names.id_now(&digits, named, sure), Some(8777));
            // The account is removed, or so says a service that has just lost its server.
            assert_eq!(names.id_now(&digits, unnamed, sure), None);
            assert_eq!(names.id_now(&digits, named, sure), Some(8777));
        }
        let names = NameService::default();
        assert_eq!(names.id_now(&user("7777"), named, sure), Some(8777));
        assert_eq!(names.id_now(&group("7777"), unnamed, sure), Some(7777));
        assert_eq!(names.id_now(&user("carla"), unnamed, sure), None);
    }

    #[test]
    fn an_unknown_name_is_told_of_once_and_tried_again() {
        let names = NameService::default();
        let unknown = user("nobody of that name");
        let told = Cell::new(0);
        let look_up = |principal: &Principal, now| {
            let tell = || told.set(told.get() + 1);
            names
                .ids
                .look_up(principal, now, || by_name(principal), tell)
        };
        let start = Instant::now();
        for seconds in [0, 30, 61, 200] {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(look_up(&unknown, now), None);
        }
        assert_eq!(told.get(), 1);

        // As if it had been unknown until now: the answer changes after the minute, not before.
        let root = user("root");
        names.ids.put(root.clone(), None, start + UNSETTLED);
        let soon = start + Duration::from_secs(59);
        assert_eq!(look_up(&root, soon), None);
        let later = start + Duration::from_secs(60);
        assert_eq!(look_up(&root, later), Some(0));
    }
}
