//! The whole answer of `mailtm check`, in the shape of its JSON object.
//!
//! Strings that come from outside have passed [`printable`].

use super::contents::Contents;
use super::deep::Deep;
use super::entry::Access;
use super::findings::Findings;
use super::mailboxes::Mailboxes;
use super::snapshots::{Dates, Directory, Source};
use super::surroundings::{Index, Live, MountPoint, Sandbox, Timezone};
use crate::cli::terminal::printable;
use crate::config;
use serde::Serialize;
use std::fmt;

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

impl Facts {
    /// Whether something could not be read.
    pub fn is_partial(&self) -> bool {
        let has_trouble = |directory: &Directory| directory.trouble.is_some();
        self.findings.unreadable_count > 0 || self.directories.iter().any(has_trouble)
    }
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
    /// One that is in no file.
    pub fn typed(message: &str) -> Self {
        Self {
            file: None,
            line: None,
            message: printable(message),
        }
    }
}

impl From<config::Mistake> for Mistake {
    fn from(mistake: config::Mistake) -> Self {
        Self {
            file: Some(printable(&mistake.file.to_string_lossy())),
            line: Some(mistake.line).filter(|line| *line > 0),
            message: printable(&mistake.message),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_as_text_and_as_json() {
        let at = |line: usize, message: &str| {
            Mistake::from(config::Mistake {
                file: "/x.toml".into(),
                line,
                message: message.to_owned(),
            })
        };
        let mistake = at(3, "unknown key \"a\tb\"");
        assert_eq!(mistake.to_string(), "/x.toml:3: unknown key \"a\\tb\"");
        let whole = at(0, "no");
        assert_eq!(whole.to_string(), "/x.toml: no");
        let report = Report {
            configuration: None,
            mistakes: vec![whole, Mistake::typed("never")],
            facts: None,
        };
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"configuration":null,"mistakes":[{"file":"/x.toml","line":null,"message":"no"},{"file":null,"line":null,"message":"never"}]}"#
        );
    }
}
