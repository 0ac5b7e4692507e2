//! From a file to a [`Config`].

use super::document::{Lines, Mistake, Mistakes, Section};
use super::portal;
use super::value::{self, Choice, wrong};
use super::{
    Access, Config, DEFAULT_FILE, Granularity, Index, Listed, MAX_DAYS, Mbox, MboxFlags, Names,
    Restore, Source, Switch,
};
use crate::access::{Grant, Principal};
use crate::error::Result;
use crate::language::Language;
use crate::restore::{self, imap::transport::Address};
use crate::time::Zone;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use toml::de::DeTable;
use tracing::warn;

/// A longer file is no configuration.
const MAX_FILE: u64 = 1 << 20;

/// Reads the file `path`, or the default one if it is there. Its mistakes are one error, a line each.
pub fn load(path: Option<&Path>) -> Result<Config> {
    let (config, mistakes) = examine(path)?;
    if mistakes.is_empty() {
        return Ok(config);
    }
    let lines: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
    wrong(lines.join("\n"))
}

/// Reads the file like [`load`] and tells its mistakes one by one; what they concern has its default, or is left out of its list.
/// An error is a file that cannot be read at all.
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
pub(super) fn parse(file: &Path, bytes: &[u8]) -> (Config, Vec<Mistake>) {
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
    let mut config = walk(&Section::top(&table, &mistakes));
    config.lines = Lines::of(table.get_ref(), &mistakes);
    (config, mistakes.finish(file, &broken))
}

fn walk(top: &Section<'_>) -> Config {
    let defaults = Config::default();
    let mut config = Config {
        file: None,
        lines: Lines::default(),
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
        restore: top
            .table("restore")
            .map_or(defaults.restore, |s| walk_restore(&s)),
        portal: top
            .table("portal")
            .map_or(defaults.portal, |s| portal::walk(&s)),
        metrics: None,
    };
    let portal = top.has("portal").then_some(&config.portal);
    config.metrics = top.table("metrics").and_then(|s| walk_metrics(&s, portal));
    config
}

/// `portal`: if it is configured, its sockets are not to be had.
fn walk_metrics(section: &Section<'_>, portal: Option<&portal::Portal>) -> Option<SocketAddr> {
    let example = "\"127.0.0.1:9464\"";
    let at = section.string("listen", example, value::socket)?;
    let taken = portal.and_then(|portal| {
        let taken = [("listen", Some(portal.listen)), ("metrics", portal.metrics)];
        let mut taken = taken.into_iter();
        taken.find(|(_, taken)| taken.is_some_and(|taken| value::clash(taken, at)))
    });
    if let Some((key, _)) = taken {
        let why =
            format!("{at} is that of {key} under [portal]: write another port, such as {example}");
        section.refuse("listen", why);
    }
    Some(at)
}

fn walk_source(section: &Section<'_>, defaults: Source) -> Source {
    let example = "\"{domain}/{user}/Maildir\"";
    let directories = "[\"/srv/vmail/.zfs/snapshot\"]";
    let why = format!(
        ": write such as snapshots = {directories}, or leave it out to name the directory on the command line"
    );
    section.refuse_empty("snapshots", why);
    let why =
        format!(": write such as mailboxes = {example}, or leave it out to have them recognised");
    section.refuse_empty("mailboxes", why);
    let source = Source {
        typed: defaults.typed,
        snapshots: section.paths("snapshots", directories),
        name: section.string("name", "\"daily-%Y-%m-%d\"", value::snapshot_pattern),
        mailboxes: section
            .string_or_list("mailboxes", example, value::mailbox_template)
            .unwrap_or_default(),
        mailbox_name: section.string("mailbox_name", "\"{user}@{domain}\"", value::mailbox_name),
        format: section
            .string("format", "\"auto\"", value::store_format)
            .unwrap_or(defaults.format),
        mail_crypt_keys: section.paths("mail_crypt_keys", "[\"/etc/mailtm/ecprivkey.pem\"]"),
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

fn walk_restore(section: &Section<'_>) -> Restore {
    let (server, user) = ("\"imaps://mail.example.com\"", "\"restorer\"");
    let password = "\"/etc/mailtm/imap.password\"";
    let restore = Restore {
        method: section
            .string("method", "\"auto\"", restore::Method::parse)
            .unwrap_or_default(),
        imap: section.string("imap", server, Address::parse),
        master_user: section.string("master_user", user, value::login),
        password_file: section.string("password_file", password, value::absolute_path),
        ca_file: section.string("ca_file", "\"/etc/mailtm/ca.pem\"", value::absolute_path),
    };
    if restore.method == restore::Method::Imap {
        section.require("imap", server);
    }
    if section.has("imap") {
        section.require("master_user", user);
        section.require("password_file", password);
    }
    restore
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
    for (key, example) in [("mailboxes", patterns), ("to", names)] {
        let why = format!(", so it grants nothing: write such as {key} = {example}");
        section.refuse_empty(key, why);
    }
    match Grant::new(&mailboxes?, to?) {
        Ok(grant) => Some(grant),
        Err(e) => {
            section.refuse("mailboxes", e);
            None
        }
    }
}
