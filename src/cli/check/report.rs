//! The whole answer of `mailtm check`, in the shape of its JSON object.
//!
//! Strings that come from outside have passed [`printable`].

use super::contents::Contents;
use super::deep::Deep;
use super::entry::Access;
use super::mailboxes::Mailboxes;
use super::snapshots::{Dates, Directory, Source};
use super::surroundings::{Index, Live, MountPoint, Sandbox, Timezone};
use crate::cli::terminal::printable;
use crate::config;
use crate::error::{Error, Kind};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// How many things are named as examples.
pub const EXAMPLES: usize = 10;

/// Messages that are named at most; each of the others is logged.
const MOST_UNREADABLE: usize = 100_000;

#[derive(Debug, Serialize)]
pub struct Report {
    pub configuration: Option<String>,
    pub mistakes: Vec<Mistake>,
    /// None if there are mistakes.
    #[serde(flatten)]
    pub facts: Option<Facts>,
}

#[derive(Debug, Default, Serialize)]
pub struct Facts {
    pub timezone: Timezone,
    pub mount_point: Option<MountPoint>,
    pub index: Index,
    pub live: Option<Live>,
    pub sandbox: Sandbox,
    pub source: Source,
    pub directories: Vec<Directory>,
    pub dates: Dates,
    pub mailboxes: Option<Mailboxes>,
    pub contents: Option<Contents>,
    pub access: Option<Access>,
    pub deep: Option<Deep>,
    #[serde(flatten)]
    pub findings: Findings,
}

/// A mistake in the configuration.
#[derive(Debug, Serialize)]
pub struct Mistake {
    pub file: Option<String>,
    /// Counted from 1.
    pub line: Option<usize>,
    pub message: String,
}

impl Mistake {
    /// One that is on no certain line.
    pub fn new(file: Option<&Path>, message: String) -> Self {
        Self {
            file: file.map(|file| printable(&file.to_string_lossy())),
            line: None,
            message,
        }
    }
}

impl From<config::Mistake> for Mistake {
    fn from(mistake: config::Mistake) -> Self {
        Self {
            line: Some(mistake.line).filter(|line| *line > 0),
            ..Self::new(Some(&mistake.file), printable(&mistake.message))
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        f.write_str(&self.message)
    }
}

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
    fn mistakes_as_text_and_as_json() {
        let mistake = Mistake::from(config::Mistake {
            file: "/x.toml".into(),
            line: 3,
            message: "unknown key \"a\tb\"".to_owned(),
        });
        assert_eq!(mistake.to_string(), "/x.toml:3: unknown key \"a\\tb\"");
        let whole = Mistake::new(Some(Path::new("/x.toml")), "no".into());
        assert_eq!(whole.to_string(), "/x.toml: no");
        let report = Report {
            configuration: None,
            mistakes: vec![whole, Mistake::new(None, "never".into())],
            facts: None,
        };
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"configuration":null,"mistakes":[{"file":"/x.toml","line":null,"message":"no"},{"file":null,"line":null,"message":"never"}]}"#
        );
    }

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
