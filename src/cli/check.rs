//! `mailtm check`: what would be shown, to whom, and every mistake in the configuration.
//!
//! Nothing is mounted and nothing is written, the index included. Without `--deep` the time for looking into mailboxes is
//! limited, whatever their number; what was not looked at is said. Names out of a mail store are hostile: control
//! characters are escaped.
//!
//! Exit code: 0 if all is well or there are warnings only, 1 if it could not be found out, 2 for mistakes in the
//! configuration (a snapshot directory that is missing is one), 3 if some mail cannot be read, a directory of snapshots that does
//! not answer among it.
//!
//! # The JSON object
//!
//! | key | what it holds |
//! | --- | --- |
//! | `configuration` | path of the file that was read; `null` if none |
//! | `mistakes` | `file`, `line` (each may be `null`) and `message`; if there are any, no key below is there |
//! | `timezone` | `name` (empty: the system's), `utc_offset_minutes` now |
//! | `mount_point` | `path`, `state`: `free`, `mounted`, `dead`, `occupied`, `missing`, `not_empty`, `unusable`; or `null` |
//! | `index` | `path`, `state`: `usable`, `absent` (it will be made), `unusable`; `bytes` |
//! | `live` | `path`, `present`; or `null` |
//! | `sandbox` | `wanted`; whether this kernel can restrict `files` and system `calls` |
//! | `source` | `why` these directories, `below`: the path inside each snapshot |
//! | `directories` | for each: `path`, `trouble`: why it cannot be read now, or `null`; `kind`, `snapshots`, `dated_by` (`how`: `pattern`, `name`, `info_xml`, `root_time`; `style`, `count`), `not_snapshots` (`name`, `why`) |
//! | `dates` | `granularity`, `keep_days`, `snapshots`, `labels`, `first`, `last`, `newest_age_seconds`, `usual_interval_seconds`, `late` |
//! | `mailboxes` | of the newest date, or `null`: `date`, `count`, `templates` (empty: recognised), `shapes` and `domains` with counts, `examples`, `renamed` (`name`, `path`) |
//! | `contents` | of the newest date, or `null`: `mailboxes` looked into, `folders`, `messages`, `empty` mailboxes and `oddities` (each `count`, `examples`), `formats`, `messages_opened`, and their `compressions` |
//! | `access` | or `null`: `owner`, `admins`, `unresolved` names, `grants` (`patterns` with counts, `to`), `mailboxes` looked into, `owners_unresolved`, `only_admins` (each `count`, `examples`), `shared_owners` (`uid`, `name`, `count`), `entries` of each mailbox if there are few: `mailbox`, `owner`, `users`, `groups` |
//! | `deep` | with `--deep`, else `null`: `dates`, `mailboxes`, `messages`, `bytes`, `compressions` |
//! | `unreadable` | `date`, `mailbox`, `folder`, `message` (each but the first may be `null`), `error`; with a folder and no message it may be that only what the store says of the folder is damaged |
//! | `unreadable_count` | how many there are; `unreadable` names the first of very many |
//! | `warnings` | what is wrong, and the cure |
//!
//! Counts by name are objects with `name` and `count`, the largest first.
//!
//! The cast: [`report`] is the whole answer and `text` its form for people, with `words` for numbers; `findings` is what is wrong; `surroundings`, `snapshots`, `mailboxes`,
//! `contents`, `entry`, `named` and `portal` each find out a part of it; `deep` reads every message.

mod contents;
mod deep;
mod entry;
mod findings;
mod mailboxes;
mod named;
mod portal;
mod report;
mod snapshots;
mod surroundings;
mod text;
mod words;

use super::terminal::printable;
use super::{PARTLY_DONE, WRONG_USAGE, failed, print, use_source};
use crate::config::{self, Config};
use crate::disk::Root;
use crate::error::{Context, Kind, Result};
use crate::mount;
use crate::mount::probe::{self, Silent};
use clap::Args;
use contents::Effort;
use findings::Findings;
use report::{Facts, Mistake, Report};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Say what would be shown, to whom, and every mistake in the configuration; mount nothing
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Configuration file [default: /etc/mailtm/mailtm.toml, if it is there]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read every message of every date, and name those that cannot be read
    #[arg(long)]
    deep: bool,
    /// Report as JSON
    #[arg(long)]
    json: bool,
    /// Directory of snapshots, or a live directory that has one
    #[arg(value_name = "SOURCE")]
    source: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let (mut config, mistakes) = config::examine(arguments.config.as_deref())?;
    use_source(&mut config, arguments.source.as_deref())?;
    let mut report = Report {
        configuration: config
            .file
            .as_ref()
            .map(|file| printable(&file.to_string_lossy())),
        mistakes: Vec::new(),
        facts: None,
    };
    let of_source = |message: String| match config.source.typed {
        true => Mistake::typed(&message),
        false => config.mistake(message).into(),
    };
    let (silent, unanswered) = match probe::stores(&config) {
        Ok(silent) => (silent, None),
        Err(e) => (all_silent(&config), Some(e)),
    };
    let outside = [named::mistakes(&config, &silent), portal::mistakes(&config)].concat();
    let outside = outside.into_iter().filter(|it| !follows(it, &mistakes));
    let missing = unusable_directories(&config, &silent);
    let unnamed = config
        .no_snapshots()
        .filter(|_| !config.tells_of_snapshots(&mistakes));
    report.mistakes = mistakes
        .iter()
        .cloned()
        .chain(unnamed)
        .map(Mistake::from)
        .chain(missing.into_iter().map(of_source))
        .chain(outside.map(|message| config.mistake(message).into()))
        .collect();
    let line = |mistake: &Mistake| mistake.line.unwrap_or(usize::MAX);
    report.mistakes.sort_by_key(line);
    if let Some(e) = unanswered.filter(|_| report.mistakes.is_empty()) {
        return Err(e);
    }
    if report.mistakes.is_empty() {
        match facts(&config, &silent, arguments.deep) {
            Ok(facts) => report.facts = Some(facts),
            Err(e) if e.kind() == Kind::Config => report.mistakes.push(of_source(e.to_string())),
            Err(e) => return Err(e),
        }
    }
    let said = if arguments.json {
        let json = serde_json::to_string(&report);
        json.map_err(|e| failed(&io::Error::from(e), "writing JSON"))? + "\n"
    } else {
        text::of(&report)
    };
    print(said)?;
    Ok(match &report.facts {
        None => ExitCode::from(WRONG_USAGE),
        Some(facts) if facts.is_partial() => ExitCode::from(PARTLY_DONE),
        Some(_) => ExitCode::SUCCESS,
    })
}

/// None of the directories that mail is read from is looked at.
fn all_silent(config: &Config) -> Vec<Silent> {
    let source = &config.source;
    let paths = source.snapshots.iter().chain(&source.live);
    let silent = |path: &PathBuf| Silent {
        path: path.clone(),
        above: PathBuf::from("/"),
    };
    paths.map(silent).collect()
}

/// What is wrong with each snapshot directory: it is not there, or has none. Those that are silent are not looked at.
fn unusable_directories(config: &Config, silent: &[Silent]) -> Vec<String> {
    let answers = |path: &&PathBuf| !probe::is_among(silent, path);
    let wrong = config
        .source
        .snapshots
        .iter()
        .filter(answers)
        .filter_map(|path| {
            let why = match std::fs::metadata(path) {
                Ok(metadata) if metadata.is_dir() => return None,
                Ok(_) => "it is not a directory: name a directory whose children are snapshots",
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    "there is no such directory: make or mount it, or correct the path"
                }
                Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
                    "something above it is not a directory: correct the path"
                }
                // Whoever reads it says what is the matter.
                Err(_) => return None,
            };
            Some(format!("source.snapshots: {}: {why}", path.display()))
        });
    let wrong: Vec<String> = wrong.collect();
    let is_one = matches!(config.source.snapshots.as_slice(), [one] if answers(&one));
    if !wrong.is_empty() || !is_one {
        return wrong;
    }
    let none = mount::found_source(config).err();
    let none = none.filter(|e| e.kind() == Kind::Config);
    none.map(|e| e.context("source.snapshots").to_string())
        .into_iter()
        .collect()
}

/// Whether a key is told to be missing because of a mistake that was told of it.
fn follows(message: &str, mistakes: &[config::Mistake]) -> bool {
    if !message.contains(": missing") {
        return false;
    }
    let key = |message: &str| message.split_once(": ").map(|(key, _)| key.to_owned());
    let is_same = |mistake: &config::Mistake| key(&mistake.message) == key(message);
    mistakes.iter().any(is_same)
}

fn facts(config: &Config, silent: &[Silent], deep: bool) -> Result<Facts> {
    let mut findings = Findings::default();
    let source = mount::found_source(config).context(|| "source.snapshots")?;
    let layout = mount::layout(config)?;
    let keys = mount::keys(config)?;
    mount::about(config)?;
    surroundings::keys(config, &mut findings);
    portal::judge(config, &mut findings);
    let catalogue = mount::catalogue(config, &source, silent)?;
    let dates = catalogue.dates();
    let directories =
        snapshots::directories(config, &catalogue.directories(), &dates, &mut findings);
    let mut facts = Facts {
        timezone: surroundings::timezone(config),
        mount_point: surroundings::mount_point(config, &mut findings)?,
        index: surroundings::index(config, &mut findings),
        live: surroundings::live(config, silent, &mut findings),
        sandbox: surroundings::sandbox(config, &mut findings),
        source: snapshots::source(&source),
        directories,
        dates: snapshots::dates(config, &dates, &mut findings),
        ..Facts::default()
    };
    if let Some(newest) = dates.newest_first().next() {
        let root = Root::new(&newest.root);
        let found = mailboxes::find(&layout, newest, &root, &mut findings);
        if let Some(found) = found {
            facts.mailboxes = Some(mailboxes::facts(&layout, newest, &found));
            mailboxes::judge(&layout, &root, &found, &mut findings);
            facts.contents = Some(if deep {
                // What cannot be read is found again, and told, by reading everything.
                let mut aside = Findings::default();
                contents::survey(newest, &root, &found, &keys, Effort::Unlimited, &mut aside)
            } else {
                contents::survey(newest, &root, &found, &keys, Effort::Quick, &mut findings)
            });
            facts.access = Some(entry::facts(config, &found, &mut findings));
        }
    }
    if deep {
        facts.deep = Some(deep::read(&dates, &layout, &keys, &mut findings)?);
    }
    facts.findings = findings;
    Ok(facts)
}
