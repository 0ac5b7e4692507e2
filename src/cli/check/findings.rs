//! What is found to be wrong, and how much of it is told.
//!
//! Strings that come from outside have passed [`printable`].

use crate::cli::terminal::printable;
use crate::error::{Error, Kind};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// How many things are named as examples.
pub const EXAMPLES: usize = 10;

/// Messages that are named at most; each of the others is logged.
const MOST_UNREADABLE: usize = 100_000;

/// What is wrong.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    pub unreadable: Vec<Unreadable>,
    pub unreadable_count: u64,
    /// Each with its cure.
    pub warnings: Vec<String>,
}

/// A message, a folder (all of it, or what its own files say of it), a mailbox or all of a date that cannot be read.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unreadable {
    pub date: String,
    pub mailbox: Option<String>,
    /// Decoded, with `/` between its levels.
    pub folder: Option<String>,
    /// The name of the stored file.
    pub message: Option<String>,
    pub error: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.date)?;
        for part in [&self.mailbox, &self.folder, &self.message]
            .into_iter()
            .flatten()
        {
            write!(f, " {part}")?;
        }
        write!(f, ": {}", self.error)
    }
}

impl Findings {
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    pub fn cannot_read(&mut self, what: Unreadable) {
        self.unreadable_count += 1;
        if self.unreadable.len() < MOST_UNREADABLE {
            self.unreadable.push(what);
        } else {
            tracing::warn!("cannot be read: {what}");
        }
    }

    /// Notes an error in reading. A snapshot that is removed meanwhile is no damage.
    pub fn failed(&mut self, what: Unreadable, e: &Error) {
        if e.kind() != Kind::Stale {
            let error = printable(&e.to_string());
            return self.cannot_read(Unreadable { error, ..what });
        }
        let gone = format!(
            "the snapshot of {} was removed while it was read",
            what.date
        );
        if !self.warnings.contains(&gone) {
            self.warn(gone);
        }
    }

    /// Notes a folder whose own files are damaged.
    pub fn damaged(&mut self, folder: Unreadable, damage: &str) {
        let error = printable(damage);
        self.cannot_read(Unreadable { error, ..folder });
    }

    /// Takes over what another part has found.
    pub fn extend(&mut self, other: Self) {
        let unnamed = other.unreadable_count - other.unreadable.len() as u64;
        for warning in other.warnings {
            if !self.warnings.contains(&warning) {
                self.warn(warning);
            }
        }
        for what in other.unreadable {
            self.cannot_read(what);
        }
        self.unreadable_count += unnamed;
    }
}

/// How many there are of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counted {
    pub name: String,
    pub count: u64,
}

/// Counts by name, the largest first, then by name.
pub fn counted(counts: BTreeMap<String, u64>) -> Vec<Counted> {
    let mut list: Vec<Counted> = counts
        .into_iter()
        .map(|(name, count)| Counted { name, count })
        .collect();
    list.sort_by_key(|counted| std::cmp::Reverse(counted.count));
    list
}

/// A number of things, and the names of the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sample {
    pub count: u64,
    pub examples: Vec<String>,
}

impl Sample {
    /// Adds `count` of them, all of one name; nothing if there are none.
    pub fn add(&mut self, count: u64, name: &str) {
        self.count += count;
        if count > 0 && self.examples.len() < EXAMPLES {
            self.examples.push(name.to_owned());
        }
    }
}

/// Bytes of a store as [`printable`] text.
pub fn printable_bytes(bytes: &[u8]) -> String {
    printable(&String::from_utf8_lossy(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_named_is_counted() {
        let mut part = Findings::default();
        part.cannot_read(Unreadable::default());
        part.unreadable_count += 5;
        let mut all = Findings::default();
        all.extend(part);
        assert_eq!((all.unreadable.len(), all.unreadable_count), (1, 6));
    }
}
