//! Which number belongs to which key: one table of serial numbers in memory.
//!
//! Compact, since a big server has hundreds of thousands of folders: keys lie end to end in one arena, about 60 bytes
//! a folder in all plus its key. Every operation is quick whatever the keys and seeds, also when the owner of a
//! mailbox chose his folders' names so that all want the same number.

use crate::error::{Error, Kind, Result};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// What is numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// Numbers of 16 bits.
    Snapshot,
    /// Numbers of 25 bits.
    Folder,
}

impl Table {
    pub(super) const ALL: [Self; 2] = [Self::Snapshot, Self::Folder];

    /// How many numbers there are: 1 up to and including this; 0 is nobody's.
    pub fn capacity(self) -> u32 {
        match self {
            Self::Snapshot => (1 << 16) - 1,
            Self::Folder => (1 << 25) - 1,
        }
    }

    /// As the file calls it.
    pub(super) fn code(self) -> i64 {
        match self {
            Self::Snapshot => 0,
            Self::Folder => 1,
        }
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }

    fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshots",
            Self::Folder => "folders",
        }
    }
}

struct Record {
    /// Where its key ends in the arena; it begins where the one before ends.
    end: usize,
    number: u32,
}

/// Keys and their numbers.
#[derive(Default)]
pub(super) struct Numbers {
    keys: Vec<u8>,
    records: Vec<Record>,
    by_number: HashMap<u32, u32>,
    /// From the keyed hash of a key, so that nobody can prepare collisions.
    by_hash: HashMap<u64, u32>,
    /// Keys whose hash was taken.
    collided: HashMap<Box<[u8]>, u32>,
    hasher: RandomState,
}

impl Numbers {
    pub fn shrink_to_fit(&mut self) {
        self.keys.shrink_to_fit();
        self.records.shrink_to_fit();
    }

    pub fn number(&self, key: &[u8]) -> Option<u32> {
        let record = self.by_hash.get(&self.hasher.hash_one(key))?;
        if self.key_at(*record)? == key {
            return Some(self.records.get(*record as usize)?.number);
        }
        self.collided.get(key).copied()
    }

    pub fn key(&self, number: u32) -> Option<Arc<[u8]>> {
        self.key_at(*self.by_number.get(&number)?).map(Arc::from)
    }

    /// Takes in that a number means a key; `false` if it means another one already. A key that has a number keeps it,
    /// and then two numbers mean the same key.
    pub fn adopt(&mut self, number: u32, key: &[u8]) -> bool {
        if let Some(record) = self.by_number.get(&number) {
            return self.key_at(*record) == Some(key);
        }
        let record = self.records.len() as u32;
        self.keys.extend_from_slice(key);
        self.records.push(Record {
            end: self.keys.len(),
            number,
        });
        self.by_number.insert(number, record);
        match self.by_hash.entry(self.hasher.hash_one(key)) {
            Entry::Vacant(free) => {
                free.insert(record);
            }
            Entry::Occupied(first)
                if key_in(&self.keys, &self.records, *first.get()) == Some(key) => {}
            Entry::Occupied(_) => {
                self.collided.entry(key.into()).or_insert(number);
            }
        }
        true
    }

    /// All numbers and keys, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        (0..)
            .zip(&self.records)
            .filter_map(|(i, record)| Some((record.number, self.key_at(i)?)))
    }

    fn key_at(&self, record: u32) -> Option<&[u8]> {
        key_in(&self.keys, &self.records, record)
    }
}

fn key_in<'k>(keys: &'k [u8], records: &[Record], record: u32) -> Option<&'k [u8]> {
    let record = record as usize;
    let begin = match record.checked_sub(1) {
        Some(before) => records.get(before)?.end,
        None => 0,
    };
    keys.get(begin..records.get(record)?.end)
}

/// The numbers of a table that are taken, one bit each, so that a free one is found by the word.
pub(super) struct Taken {
    table: Table,
    words: Vec<u64>,
    count: u32,
}

impl Taken {
    pub fn new(table: Table) -> Self {
        let words = table.capacity() as usize / 64 + 1;
        let mut taken = Self {
            table,
            words: vec![0; words],
            count: 0,
        };
        taken.set(0);
        taken.count = 0;
        taken
    }

    /// Whether so many more can be had.
    pub fn check_room(&self, more: usize) -> Result<()> {
        if more <= (self.table.capacity() - self.count) as usize {
            return Ok(());
        }
        Err(Error::new(
            Kind::Failed,
            format!(
                "the table of serial numbers is full: {} of {} {} have one, {more} more need one; \
                 numbers are never reused, so only a new index (remove its directory and remount) gives room",
                self.count,
                self.table.capacity(),
                self.table.name(),
            ),
        ))
    }

    pub fn set(&mut self, number: u32) {
        if let Some(word) = self.words.get_mut(number as usize / 64) {
            let bit = 1 << (number % 64);
            self.count += u32::from(*word & bit == 0);
            *word |= bit;
        }
    }

    /// Takes the number that a seed wants, or the next one upward that is free. `None` if there is none.
    pub fn take(&mut self, seed: u64) -> Option<u32> {
        let capacity = self.table.capacity();
        let wanted = 1 + (seed % u64::from(capacity)) as u32;
        let number = self.first_free(wanted).or_else(|| self.first_free(1))?;
        self.set(number);
        Some(number)
    }

    /// The first free number from this one up to the capacity.
    fn first_free(&self, from: u32) -> Option<u32> {
        let first = from as usize / 64;
        let mut below = (1u64 << (from % 64)) - 1;
        for (i, word) in self.words.iter().enumerate().skip(first) {
            let free = !(word | below);
            if free != 0 {
                let number = i as u32 * 64 + free.trailing_zeros();
                return (number <= self.table.capacity()).then_some(number);
            }
            below = 0;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_clash_takes_the_next_free_number_and_wraps() {
        let mut taken = Taken::new(Table::Snapshot);
        let last = u64::from(Table::Snapshot.capacity()) - 1;
        assert_eq!(taken.take(last), Some(65_535));
        assert_eq!(taken.take(last), Some(1));
        assert_eq!(taken.take(0), Some(2));
        assert_eq!(taken.take(last + 1 + 62), Some(63));
        assert_eq!(taken.take(62), Some(64));
        assert_eq!(taken.take(62), Some(65));
    }

    #[test]
    fn a_full_table_has_every_number_once() {
        let mut taken = Taken::new(Table::Snapshot);
        let mut seen: Vec<u32> = (0..65_535u64)
            .map(|i| taken.take(i * i * 7).unwrap())
            .collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(1..=65_535));
        assert_eq!(taken.take(1), None);
        assert!(taken.check_room(0).is_ok());
        assert_eq!(taken.check_room(1).unwrap_err().kind(), Kind::Failed);
    }

    #[test]
    fn seeds_that_all_clash_stay_quick() {
        let begin = std::time::Instant::now();
        let mut taken = Taken::new(Table::Folder);
        for i in 0..100_000 {
            assert_eq!(taken.take(7), Some(8 + i));
        }
        assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
    }

    proptest! {
        #[test]
        fn same_as_two_plain_maps(
            given in proptest::collection::vec((1u32..40, "[ab]{0,3}"), 0..60)
        ) {
            let (mut numbers, mut keys) = (Numbers::default(), BTreeMap::new());
            let mut first = BTreeMap::new();
            for (number, key) in &given {
                let same = keys.get(number).is_none_or(|old| old == key);
                prop_assert_eq!(numbers.adopt(*number, key.as_bytes()), same);
                if !keys.contains_key(number) {
                    keys.insert(*number, key.clone());
                    first.entry(key.clone()).or_insert(*number);
                }
            }
            for number in 0..41 {
                let key = numbers.key(number);
                prop_assert_eq!(key.as_deref(), keys.get(&number).map(String::as_bytes));
            }
            for (_, key) in &given {
                prop_assert_eq!(numbers.number(key.as_bytes()), first.get(key).copied());
            }
            prop_assert_eq!(numbers.iter().count(), keys.len());
        }
    }
}
