//! Guesses of passwords are slowed down: by account, and by where they come from.
//!
//! The first few cost nothing. Then each wrong one doubles the time until the next is looked at, up to a bound that a guesser
//! finds too long and an owner bears. An attempt counts as wrong from the moment that it begins, so that many at once get no
//! further than one after the other. A right password makes up for the wrong ones of its account, not for those of
//! its place: else whoever knows one password could guess others at will.
//!
//! Memory is bounded: of too many, those that matter least are forgotten. The accounts are kept in the database and survive a restart.

use super::sessions::{Digest, Guesses};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Who is at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub IpAddr);

/// What is free and how long one waits at most, in seconds.
struct Rule {
    free: u32,
    longest: i64,
}

const ACCOUNT: Rule = Rule {
    free: 5,
    longest: 300,
};

/// An office shares one address.
const PLACE: Rule = Rule {
    free: 30,
    longest: 600,
};

/// After so many seconds without another wrong one, all is forgotten.
pub(super) const MEMORY: i64 = 3600;

/// Entries of each table.
const MOST: usize = 10_000;

impl Rule {
    /// For how long nothing is looked at.
    fn wait(&self, guesses: Guesses, now: i64) -> i64 {
        let over = match guesses.failures.checked_sub(self.free) {
            Some(over) if now - guesses.last < MEMORY => over,
            _ => return 0,
        };
        let delay = self.longest.min(1 << over.min(30));
        (guesses.last + delay - now).clamp(0, self.longest)
    }
}

#[derive(Default)]
struct Tables {
    accounts: HashMap<Digest, Guesses>,
    places: HashMap<IpAddr, Guesses>,
}

/// An attempt under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub account: Digest,
    place: IpAddr,
}

pub(super) struct Throttle {
    tables: Mutex<Tables>,
}

impl Throttle {
    /// With the accounts that were kept.
    pub fn new(accounts: Vec<(Digest, Guesses)>) -> Self {
        Self {
            tables: Mutex::new(Tables {
                accounts: accounts.into_iter().take(MOST).collect(),
                places: HashMap::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an attempt.
    ///
    /// # Errors
    /// How long to wait before the next.
    pub fn begin(&self, address: &str, from: IpAddr, now: i64) -> Result<Attempt, Duration> {
        let attempt = Attempt {
            account: Sha256::digest(address.to_lowercase()).into(),
            place: network(from),
        };
        let mut tables = self.lock();
        let account = tables.accounts.get(&attempt.account);
        let place = tables.places.get(&attempt.place);
        let wait = account
            .map_or(0, |guesses| ACCOUNT.wait(*guesses, now))
            .max(place.map_or(0, |guesses| PLACE.wait(*guesses, now)));
        if wait > 0 {
            return Err(Duration::from_secs(wait.unsigned_abs()));
        }
        count(&mut tables.accounts, attempt.account, now);
        count(&mut tables.places, attempt.place, now);
        Ok(attempt)
    }

    /// The password was right.
    pub fn was_right(&self, attempt: &Attempt) {
        let mut tables = self.lock();
        tables.accounts.remove(&attempt.account);
        take_back(&mut tables.places, &attempt.place);
    }

    /// Nobody could say whether the password was right.
    pub fn was_nothing(&self, attempt: &Attempt) {
        let mut tables = self.lock();
        take_back(&mut tables.accounts, &attempt.account);
        take_back(&mut tables.places, &attempt.place);
    }

    /// What is known of an account.
    pub fn of_account(&self, attempt: &Attempt) -> Option<Guesses> {
        self.lock().accounts.get(&attempt.account).copied()
    }
}

fn count<K: Hash + Eq + Clone>(table: &mut HashMap<K, Guesses>, key: K, now: i64) {
    if table.len() >= MOST && !table.contains_key(&key) {
        table.retain(|_, guesses| now - guesses.last < MEMORY);
        let least = table
            .iter()
            .min_by_key(|(_, guesses)| (guesses.failures, guesses.last))
            .map(|(key, _)| key.clone());
        if let Some(least) = least.filter(|_| table.len() >= MOST) {
            table.remove(&least);
        }
    }
    let guesses = table.entry(key).or_insert(Guesses {
        failures: 0,
        last: now,
    });
    if now - guesses.last >= MEMORY {
        guesses.failures = 0;
    }
    guesses.failures = guesses.failures.saturating_add(1);
    guesses.last = now;
}

fn take_back<K: Hash + Eq>(table: &mut HashMap<K, Guesses>, key: &K) {
    if let Some(guesses) = table.get_mut(key) {
        guesses.failures = guesses.failures.saturating_sub(1);
        if guesses.failures == 0 {
            table.remove(key);
        }
    }
}

/// Whoever has one IPv6 address has the whole network of it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn place(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    #[test]
    fn an_account_waits_longer_each_time_wherever_the_guesses_come_from() {
        let throttle = Throttle::new(Vec::new());
        let mut now = 1_800_000_000;
        let mut waits = Vec::new();
        for n in 0..16 {
            while let Err(wait) = throttle.begin("Ann@a.example", place(n), now) {
                waits.push(wait.as_secs());
                now += i64::try_from(wait.as_secs()).unwrap();
            }
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert!(throttle.begin("ann@A.EXAMPLE", place(99), now).is_err());
        assert!(throttle.begin("bob@a.example", place(99), now).is_ok());
        assert!(
            throttle
                .begin("ann@a.example", place(99), now + MEMORY)
                .is_ok()
        );
    }

    #[test]
    fn a_right_password_makes_up_for_the_account_and_not_for_the_place() {
        let throttle = Throttle::new(Vec::new());
        for n in 0..PLACE.free {
            throttle.begin(&format!("a{n}"), HERE, 1000).unwrap();
        }
        assert!(
            throttle.begin("ann", HERE, 1000).is_err(),
            "the place waits"
        );
        let attempt = throttle.begin("ann", HERE, 1001).unwrap();
        throttle.was_right(&attempt);
        assert_eq!(throttle.of_account(&attempt), None);
        assert!(throttle.begin("ann", HERE, 1001).is_err(), "it still waits");

        let throttle = Throttle::new(Vec::new());
        for _ in 0..100 {
            let attempt = throttle.begin("ann", HERE, 1000).unwrap();
            throttle.was_nothing(&attempt);
        }
    }

    #[test]
    fn many_at_once_get_no_further() {
        let throttle = Throttle::new(Vec::new());
        let begun = (0..100).filter(|_| throttle.begin("ann", HERE, 1000).is_ok());
        assert_eq!(begun.count(), ACCOUNT.free as usize);
    }

    #[test]
    fn memory_is_bounded_and_keeps_those_that_matter() {
        let throttle = Throttle::new(Vec::new());
        for _ in 0..4 {
            throttle.begin("ann", place(0), 1000).unwrap();
        }
        for n in 0..MOST as u32 + 500 {
            throttle.begin(&n.to_string(), place(n + 1), 1001).unwrap();
        }
        let tables = throttle.lock();
        assert_eq!((tables.accounts.len(), tables.places.len()), (MOST, MOST));
        let ann: Digest = Sha256::digest("ann").into();
        assert_eq!(tables.accounts[&ann].failures, 4);
    }

    #[test]
    fn a_network_is_one_place() {
        let at = |text: &str| network(text.parse().unwrap());
        assert_eq!(at("2001:db8:1:2:3::4"), at("2001:db8:1:2:ffff::"));
        assert_ne!(at("2001:db8:1:3::"), at("2001:db8:1:2::"));
        assert_eq!(at("::ffff:192.0.2.1"), HERE);
    }
}
