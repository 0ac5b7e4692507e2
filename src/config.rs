//! The configuration: TOML to typed settings.
//!
//! - All mistakes of a file are told at once, each with its file, line, key and cure; unknown keys are mistakes.
//! - A [`Config`] that [`load`] returns is right in itself: paths are absolute, templates and patterns have meaning,
//!   names are well formed. Whether paths exist and names resolve is for those to say who need them, with the line that
//!   [`Config::mistake`] knows.
//! - What the file leaves out has its default; without the default file, everything has.
//!
//! The cast: [`Config`] and the types of its settings; `portal` has those of one table; `read` makes them of a file, `document` walks
//! that, `value` knows what strings mean.

mod document;
mod portal;
mod read;
mod value;

pub use document::{Lines, Mistake};
pub use portal::Portal;
pub use read::{examine, load};
pub use value::Choice;

use crate::access::{Grant, OwnerRule, Policy, Principal};
use crate::error::{Error, Result};
use crate::language::Language;
use crate::restore::{self, imap::transport::Address};
use crate::store::Format;
use crate::time::Zone;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use value::wrong;

/// The file that is read unless another one is named.
pub const DEFAULT_FILE: &str = "/etc/mailtm/mailtm.toml";

/// Where the index is unless another place is named.
pub const DEFAULT_INDEX: &str = "/var/lib/mailtm/index";

/// A century of days to keep is all of them.
const MAX_DAYS: u32 = 36_500;

#[derive(Clone, Debug)]
pub struct Config {
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// Where its values stand.
    pub lines: Lines,
    pub mountpoint: Option<PathBuf>,
    pub timezone: Zone,
    pub granularity: Granularity,
    /// Days before today that are shown; all if `None`.
    pub keep_days: Option<u32>,
    /// How soon new snapshots appear and removed ones vanish.
    pub refresh: Duration,
    pub names: Names,
    /// Of what those are told whose mail it is.
    pub language: Language,
    pub hide_unreadable: bool,
    /// Whether the mount gives up what it does not need.
    pub sandbox: Switch,
    /// Whether messages are pushed to the kernel ahead of those who read one after the other.
    pub push: Switch,
    /// A file with the administrator's words for the text in each mailbox.
    pub about: Option<PathBuf>,
    pub source: Source,
    pub access: Access,
    pub mbox: Mbox,
    pub index: Index,
    pub restore: Restore,
    pub portal: Portal,
    /// Where the mount serves metrics; nowhere if `None`.
    pub metrics: Option<SocketAddr>,
}

/// What a date's directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
    Day,
    Snapshot,
}

/// How messages are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    Readable,
    Unique,
}

/// What is done as far as it can be, or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    Auto,
    Off,
}

/// Where the mail is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Directories whose children are snapshots; or, from the command line, a live directory that has one.
    pub snapshots: Vec<PathBuf>,
    /// Whether `snapshots` is from the command line.
    pub typed: bool,
    /// A strftime pattern of snapshot names; recognised if `None`.
    pub name: Option<String>,
    /// Templates of mailbox paths below a snapshot's root, with `{user}`, `{domain}` and `*`; recognised if empty.
    pub mailboxes: Vec<String>,
    /// How mailboxes are named. If `None`: `{user}@{domain}`, or `{user}` where the template has no domain.
    pub mailbox_name: Option<String>,
    /// Of the mail stores; recognised if `None`.
    pub format: Option<Format>,
    /// PEM files of the private keys that open encrypted messages.
    pub mail_crypt_keys: Vec<PathBuf>,
    /// The mail store as it is now.
    pub live: Option<PathBuf>,
    /// A read of the store that takes longer fails.
    pub timeout: Duration,
}

#[derive(Clone, Debug)]
pub struct Access {
    pub owner: OwnerRule,
    pub admins: Vec<Principal>,
    pub grants: Vec<Grant>,
    pub audit: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mbox {
    pub flags: MboxFlags,
    pub listed: Listed,
}

/// What an `.mbox` says of its messages' flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MboxFlags {
    Status,
    None,
}

/// When an `.mbox` stands in its directory's listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    Always,
    WhenSized,
    Never,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    pub path: PathBuf,
    /// Whether the mount itself learns new snapshots, quietly; otherwise `mailtm warm` does alone.
    pub warm: Switch,
    /// Whether the text of messages is kept for searching, too.
    pub bodies: bool,
}

/// How mail is put back.
#[derive(Clone, Debug, Default)]
pub struct Restore {
    pub method: restore::Method,
    /// The IMAP server that mail is put back through.
    pub imap: Option<Address>,
    /// Who may act for all its users.
    pub master_user: Option<String>,
    pub password_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
}

impl Choice for Granularity {
    const WORDS: &'static [(&'static str, Self)] =
        &[("day", Self::Day), ("snapshot", Self::Snapshot)];
}

impl Choice for Language {
    const WORDS: &'static [(&'static str, Self)] = &[("en", Self::English), ("it", Self::Italian)];
}

impl Choice for Names {
    const WORDS: &'static [(&'static str, Self)] =
        &[("readable", Self::Readable), ("unique", Self::Unique)];
}

impl Choice for MboxFlags {
    const WORDS: &'static [(&'static str, Self)] =
        &[("status", Self::Status), ("none", Self::None)];
}

impl Choice for Listed {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("always", Self::Always),
        ("when-sized", Self::WhenSized),
        ("never", Self::Never),
    ];
}

impl Choice for Switch {
    const WORDS: &'static [(&'static str, Self)] = &[("auto", Self::Auto), ("off", Self::Off)];
}

impl Choice for restore::Method {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("maildir", Self::Maildir),
        ("doveadm", Self::Doveadm),
        ("imap", Self::Imap),
    ];
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: None,
            lines: Lines::default(),
            mountpoint: None,
            timezone: Zone::System,
            granularity: Granularity::Day,
            keep_days: None,
            refresh: Duration::from_secs(30),
            names: Names::Readable,
            language: Language::English,
            hide_unreadable: true,
            sandbox: Switch::Auto,
            push: Switch::Auto,
            about: None,
            source: Source {
                snapshots: Vec::new(),
                typed: false,
                name: None,
                mailboxes: Vec::new(),
                mailbox_name: None,
                format: None,
                mail_crypt_keys: Vec::new(),
                live: None,
                timeout: Duration::from_secs(30),
            },
            access: Access {
                owner: OwnerRule::Store,
                admins: Vec::new(),
                grants: Vec::new(),
                audit: false,
            },
            mbox: Mbox {
                flags: MboxFlags::Status,
                listed: Listed::Always,
            },
            index: Index {
                path: PathBuf::from(DEFAULT_INDEX),
                warm: Switch::Auto,
                bodies: false,
            },
            restore: Restore::default(),
            portal: Portal::default(),
            metrics: None,
        }
    }
}

impl Config {
    /// Sets a top-level key from a mount option; `false` if there is no such key.
    pub fn set(&mut self, key: &str, text: &str) -> Result<bool> {
        match key {
            "timezone" => self.timezone = Zone::parse(text)?,
            "granularity" => self.granularity = Granularity::parse(text)?,
            "refresh" => self.refresh = value::duration(text)?,
            "names" => self.names = Names::parse(text)?,
            "language" => self.language = Language::parse(text)?,
            "keep_days" => match text.parse() {
                Ok(days) if days <= MAX_DAYS => self.keep_days = Some(days),
                _ => {
                    return wrong(format!(
                        "\"{text}\" is no number of days from 0 to {MAX_DAYS}"
                    ));
                }
            },
            "hide_unreadable" => match text {
                "" | "true" => self.hide_unreadable = true,
                "false" => self.hide_unreadable = false,
                _ => return wrong(format!("\"{text}\" is not allowed: write true or false")),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The settings that another configuration has otherwise, but for those of the access policy; tables by their name.
    pub fn differs_besides_access(&self, other: &Self) -> Vec<&'static str> {
        let differs = [
            ("mountpoint", self.mountpoint != other.mountpoint),
            ("timezone", self.timezone != other.timezone),
            ("granularity", self.granularity != other.granularity),
            ("keep_days", self.keep_days != other.keep_days),
            ("refresh", self.refresh != other.refresh),
            ("language", self.language != other.language),
            ("names", self.names != other.names),
            ("sandbox", self.sandbox != other.sandbox),
            ("push", self.push != other.push),
            ("[about]", self.about != other.about),
            ("[source]", self.source != other.source),
            ("[mbox]", self.mbox != other.mbox),
            ("[index]", self.index != other.index),
            ("[metrics]", self.metrics != other.metrics),
        ];
        let differing = differs.into_iter().filter(|(_, differs)| *differs);
        differing.map(|(name, _)| name).collect()
    }

    /// What shows only when a thing is looked at that the file names. The message begins with the key.
    pub fn mistake(&self, message: impl Into<String>) -> Mistake {
        let message = message.into();
        let file = self.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
        Mistake {
            file: file.to_owned(),
            line: self.lines.about(&message).unwrap_or(0),
            message,
        }
    }

    /// The same of an error, which stays what it is.
    pub fn placed(&self, e: &Error) -> Error {
        Error::new(e.kind(), self.mistake(e.to_string()).to_string())
    }

    /// Fails unless it is known where the snapshots are.
    pub fn require_snapshots(&self) -> Result<()> {
        match self.no_snapshots() {
            None => Ok(()),
            Some(mistake) => wrong(mistake.to_string()),
        }
    }

    /// What is wrong if it is not known where the snapshots are.
    pub fn no_snapshots(&self) -> Option<Mistake> {
        let message = "source.snapshots: missing: write snapshots = [\"/srv/vmail/.zfs/snapshot\"] under \
                       [source], or name the directory of snapshots on the command line";
        let is_missing = self.source.snapshots.is_empty();
        is_missing.then(|| self.mistake(message))
    }

    /// Whether it was told already why it is not known where the snapshots are.
    pub fn tells_of_snapshots(&self, mistakes: &[Mistake]) -> bool {
        let is_unread = self.lines.is_empty() && !mistakes.is_empty();
        is_unread
            || mistakes
                .iter()
                .any(|mistake| mistake.message.contains("snapshots"))
    }

    /// Who may see what.
    pub fn policy(&self) -> Policy {
        Policy::new(
            self.access.owner.clone(),
            self.access.admins.clone(),
            self.access.grants.clone(),
            self.access.audit,
            self.hide_unreadable,
        )
    }
}

#[cfg(test)]
mod tests;
