//! The configuration: TOML to typed settings.
//!
//! - All mistakes of a file are told at once, each with its file, line, key and cure; unknown keys are mistakes.
//! - A [`Config`] that [`load`] returns is right in itself: paths are absolute, templates and patterns have meaning,
//!   names are well formed. Whether paths exist and names resolve is for those to say who need them.
//! - What the file leaves out has its default; without the default file, everything has.
//!
//! The cast: [`Config`] and the types of its settings; `portal` has those of one table; `document` walks the
//! file; `value` knows what strings mean.

mod document;
mod portal;
mod value;

pub use document::Mistake;
pub use portal::Portal;
pub use value::Choice;

use crate::access::{Grant, OwnerRule, Policy, Principal};
use crate::error::{Error, Kind, Result};
use crate::language::Language;
use crate::restore::{self, imap::transport::Address};
use crate::store::Format;
use crate::time::Zone;
use document::{Mistakes, Section};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::de::DeTable;
use tracing::warn;
use value::wrong;

/// The file that is read unless another one is named.
pub const DEFAULT_FILE: &str = "/etc/mailtm/mailtm.toml";

/// Where the index is unless another place is named.
pub const DEFAULT_INDEX: &str = "/var/lib/mailtm/index";

/// A longer file is no configuration.
const MAX_FILE: u64 = 1 << 20;

/// A century of days to keep is all of them.
const MAX_DAYS: u32 = 36_500;

#[derive(Clone, Debug)]
pub struct Config {
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
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

/// Reads the file `path`, or the default one if it is there. Its mistakes are one error, a line each.
pub fn load(path: Option<&Path>) -> Result<Config> {
    let (config, mistakes) = examine(path)?;
    if mistakes.is_empty() {
        return Ok(config);
    }
    let lines: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
    wrong(lines.join("\n"))
}

/// Reads the file like [`load`] and tells its mistakes one by one; what they concern has its default. An error is
/// a file that cannot be read at all.
pub fn examine(path: Option<&Path>) -> Result<(Config, Vec<Mistake>)> {
    let file = path.unwrap_or(Path::new(DEFAULT_FILE));
    let bytes = match read(file) {
        Ok(bytes) => bytes,
        Err(e) if path.is_none() && e.kind() == io::ErrorKind::NotFound => {
            return Ok((Config::default(), Vec::new()));
        }
        Err(e) => {
            let cure = "name a readable configuration file with --config";
            return wrong(format!("{}: cannot be read ({e}): {cure}", file.display()));
        }
    };
    let (mut config, mistakes) = parse(file, &bytes);
    config.file = Some(file.to_owned());
    Ok((config, mistakes))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    warn_if_others_can_write(path, &file.metadata()?);
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other("it is longer than 1 MiB"));
    }
    Ok(bytes)
}

/// Whoever writes the configuration decides who reads whose mail.
fn warn_if_others_can_write(path: &Path, metadata: &Metadata) {
    let by_group = metadata.mode() & 0o020 != 0 && metadata.gid() != 0;
    let by_all = metadata.mode() & 0o002 != 0;
    let of_another = metadata.uid() != 0 && metadata.uid() != rustix::process::geteuid().as_raw();
    if metadata.is_file() && (by_group || by_all || of_another) {
        warn!(
            "{}: others can change it, and with it who may read which mail: chown root it and chmod go-w",
            path.display()
        );
    }
}

/// Makes a configuration of a file's bytes.
fn parse(file: &Path, bytes: &[u8]) -> (Config, Vec<Mistake>) {
    let mistakes = Mistakes::new(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => {
            let message = "not UTF-8 from here on: save the file as UTF-8 text".to_owned();
            mistakes.add(e.valid_up_to(), message);
            return (Config::default(), mistakes.finish(file, &[]));
        }
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    for e in errors {
        let at = e.span().map_or(0, |span| span.start);
        let start = memchr::memrchr(b'\n', &bytes[..at.min(bytes.len())]).map_or(0, |n| n + 1);
        let line = text.get(start..).and_then(|rest| rest.lines().next());
        let line: String = line.unwrap_or_default().trim().chars().take(60).collect();
        let message = format!("\"{line}\" is not TOML: {}", e.message());
        mistakes.add(at, message);
    }
    let broken = mistakes.lines();
    let config = walk(&Section::top(&table, &mistakes));
    (config, mistakes.finish(file, &broken))
}

fn walk(top: &Section<'_>) -> Config {
    let defaults = Config::default();
    Config {
        file: None,
        mountpoint: top.string("mountpoint", "\"/backups\"", value::absolute_path),
        timezone: top
            .string("timezone", "\"Europe/Rome\"", Zone::parse)
            .unwrap_or(defaults.timezone),
        granularity: top
            .string("granularity", "\"day\"", Granularity::parse)
            .unwrap_or(defaults.granularity),
        keep_days: top.integer("keep_days", 0..=MAX_DAYS),
        refresh: top
            .string("refresh", "\"30s\"", value::duration)
            .unwrap_or(defaults.refresh),
        names: top
            .string("names", "\"readable\"", Names::parse)
            .unwrap_or(defaults.names),
        language: top
            .string("language", "\"en\"", Language::parse)
            .unwrap_or(defaults.language),
        hide_unreadable: top
            .boolean("hide_unreadable")
            .unwrap_or(defaults.hide_unreadable),
        sandbox: top
            .string("sandbox", "\"auto\"", Switch::parse)
            .unwrap_or(defaults.sandbox),
        push: top
            .string("push", "\"auto\"", Switch::parse)
            .unwrap_or(defaults.push),
        about: top.table("about").and_then(|s| {
            s.string(
                "template",
                "\"/etc/mailtm/about.txt\"",
                value::absolute_path,
            )
        }),
        source: top.table("source").map_or(defaults.source.clone(), |s| {
            walk_source(&s, defaults.source)
        }),
        access: top.table("access").map_or(defaults.access.clone(), |s| {
            walk_access(&s, defaults.access)
        }),
        mbox: top.table("mbox").map_or(defaults.mbox.clone(), |s| Mbox {
            flags: s
                .string("flags", "\"status\"", MboxFlags::parse)
                .unwrap_or(defaults.mbox.flags),
            listed: s
                .string("listed", "\"always\"", Listed::parse)
                .unwrap_or(defaults.mbox.listed),
        }),
        index: top
            .table("index")
            .map_or(defaults.index.clone(), |s| Index {
                path: s
                    .string("path", "\"/var/lib/mailtm/index\"", value::absolute_path)
                    .unwrap_or(defaults.index.path),
                warm: s
                    .string("warm", "\"auto\"", Switch::parse)
                    .unwrap_or(defaults.index.warm),
                bodies: s.boolean("bodies").unwrap_or(defaults.index.bodies),
            }),
        restore: top.table("restore").map_or(defaults.restore, |s| Restore {
            method: s
                .string("method", "\"auto\"", restore::Method::parse)
                .unwrap_or_default(),
            imap: s.string("imap", "\"imaps://mail.example.com\"", Address::parse),
            master_user: s.string("master_user", "\"restorer\"", value::login),
            password_file: s.string(
                "password_file",
                "\"/etc/mailtm/imap.password\"",
                value::absolute_path,
            ),
            ca_file: s.string("ca_file", "\"/etc/mailtm/ca.pem\"", value::absolute_path),
        }),
        portal: top
            .table("portal")
            .map_or(defaults.portal, |s| portal::walk(&s)),
        metrics: top
            .table("metrics")
            .and_then(|s| s.string("listen", "\"127.0.0.1:9464\"", value::socket)),
    }
}

fn walk_source(section: &Section<'_>, defaults: Source) -> Source {
    let example = "\"{domain}/{user}/Maildir\"";
    let directories = "[\"/srv/vmail/.zfs/snapshot\"]";
    let snapshots = section.list("snapshots", directories, value::absolute_path);
    if snapshots.as_ref().is_some_and(Vec::is_empty) {
        let why = format!(
            "is empty: write such as snapshots = {directories}, or leave it out to name the directory on the command line"
        );
        section.refuse("snapshots", why);
    }
    let source = Source {
        typed: defaults.typed,
        snapshots: snapshots.unwrap_or_default(),
        name: section.string("name", "\"daily-%Y-%m-%d\"", value::snapshot_pattern),
        mailboxes: section
            .string_or_list("mailboxes", example, value::mailbox_template)
            .unwrap_or_default(),
        mailbox_name: section.string("mailbox_name", "\"{user}@{domain}\"", value::mailbox_name),
        format: section
            .string("format", "\"auto\"", value::store_format)
            .unwrap_or(defaults.format),
        mail_crypt_keys: section
            .list(
                "mail_crypt_keys",
                "[\"/etc/mailtm/ecprivkey.pem\"]",
                value::absolute_path,
            )
            .unwrap_or_default(),
        live: section.string("live", "\"/srv/vmail\"", value::absolute_path),
        timeout: section
            .string("timeout", "\"30s\"", value::duration)
            .unwrap_or(defaults.timeout),
    };
    let named_by_domain = source
        .mailbox_name
        .as_ref()
        .is_some_and(|name| name.contains("{domain}"));
    let no_domain = |t: &&String| t.contains("{user}") && !t.contains("{domain}");
    let without = source.mailboxes.iter().find(no_domain);
    if let Some(template) = without.filter(|_| named_by_domain) {
        section.refuse(
            "mailbox_name",
            format!("mailboxes = \"{template}\" finds no {{domain}}: write it there, or \"{{user}}\" here"),
        );
    }
    source
}

fn walk_access(section: &Section<'_>, defaults: Access) -> Access {
    Access {
        owner: section
            .string("owner", "\"store\"", value::owner)
            .unwrap_or(defaults.owner),
        admins: section
            .list("admins", "[\"root\", \"@mail-admins\"]", Principal::parse)
            .unwrap_or_default(),
        audit: section.boolean("audit").unwrap_or(defaults.audit),
        grants: section
            .tables("access.grant")
            .iter()
            .filter_map(walk_grant)
            .collect(),
    }
}

fn walk_grant(section: &Section<'_>) -> Option<Grant> {
    let (patterns, names) = ("[\"*@sales.example.com\"]", "[\"carla\", \"@sales-leads\"]");
    section.require("mailboxes", patterns);
    section.require("to", names);
    let mailboxes = section.list("mailboxes", patterns, |pattern| {
        Grant::new(&[pattern.to_owned()], Vec::new()).map(|_| pattern.to_owned())
    });
    let to = section.list("to", names, Principal::parse);
    match Grant::new(&mailboxes?, to?) {
        Ok(grant) => Some(grant),
        Err(e) => {
            section.refuse("mailboxes", e);
            None
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

    /// Fails unless it is known where the snapshots are.
    pub fn require_snapshots(&self) -> Result<()> {
        if self.source.snapshots.is_empty() {
            let file = self.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
            return Err(Error::new(
                Kind::Config,
                format!(
                    "{}: source.snapshots: missing: write snapshots = [\"/srv/vmail/.zfs/snapshot\"] under \
                     [source], or name the directory of snapshots on the command line",
                    file.display()
                ),
            ));
        }
        Ok(())
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
