//! Which snapshots there are: the directories they are in, how each was dated, and which dates are shown.

use super::findings::{EXAMPLES, Findings, printable_bytes};
use super::surroundings::now;
use super::words::{list, number, span, things};
use crate::cli::terminal::printable;
use crate::config::{self, Config};
use crate::snapshot::{self, DatedBy, Listed, Snapshot, source};
use serde::Serialize;
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// A snapshot dated this much later than now, in seconds, has a wrong date.
const FUTURE: i64 = 86_400;

#[derive(Debug, Default, Serialize)]
pub struct Source {
    pub why: String,
    /// Empty: the snapshots' roots.
    pub below: String,
}

/// A directory of snapshots.
#[derive(Debug, Serialize)]
pub struct Directory {
    pub path: String,
    /// Why it cannot be read now; then nothing is known of it.
    pub trouble: Option<String>,
    /// Who makes snapshots there.
    pub kind: &'static str,
    /// Those within `keep_days`.
    pub snapshots: usize,
    pub dated_by: Vec<Dated>,
    pub not_snapshots: Vec<NotSnapshot>,
}

/// How many snapshots got their date in one way.
#[derive(Debug, Serialize)]
pub struct Dated {
    pub how: &'static str,
    /// Whose spelling a name has.
    pub style: Option<&'static str>,
    pub count: usize,
}

#[derive(Debug, Serialize)]
pub struct NotSnapshot {
    pub name: String,
    pub why: &'static str,
}

#[derive(Debug, Default, Serialize)]
pub struct Dates {
    pub granularity: &'static str,
    pub keep_days: Option<u32>,
    /// All of them, those behind a later one of their date included.
    pub snapshots: usize,
    pub labels: Vec<String>,
    pub first: Option<String>,
    pub last: Option<String>,
    pub newest_age_seconds: Option<i64>,
    pub usual_interval_seconds: Option<i64>,
    pub late: bool,
}

pub fn source(source: &source::Source) -> Source {
    Source {
        why: printable(&source.why),
        below: path(&source.below),
    }
}

pub fn directories(
    config: &Config,
    listed: &[Listed],
    dates: &snapshot::Dates,
    findings: &mut Findings,
) -> Vec<Directory> {
    if let [_, _, ..] = config.source.snapshots.as_slice() {
        for listed in listed.iter().filter(|listed| listed.trouble.is_none()) {
            judge_live(&listed.path, findings);
        }
    }
    let directory = |listed: &Listed| {
        judge(config, listed, dates, findings);
        let not_snapshots = listed.others.iter().map(|(name, why)| NotSnapshot {
            name: printable_bytes(name.as_bytes()),
            why,
        });
        Directory {
            path: path(&listed.path),
            trouble: listed.trouble.as_ref().map(|e| printable(&e.to_string())),
            kind: listed.kind,
            snapshots: listed.snapshots.len(),
            dated_by: dated_by(&listed.snapshots),
            not_snapshots: not_snapshots.collect(),
        }
    };
    listed.iter().map(directory).collect()
}

/// Of several directories each is taken for one of snapshots, as it stands.
fn judge_live(named: &Path, findings: &mut Findings) {
    let Ok(found) = source::resolve(named, &source::Said::default()) else {
        return;
    };
    let itself = named.canonicalize().is_ok_and(|n| found.snapshots == [n]);
    if !itself {
        let meant: Vec<String> = found.snapshots.iter().map(|dir| path(dir)).collect();
        findings.warn(format!(
            "{} is taken for a directory of snapshots, as it is one of several; it has its own: write {} instead",
            path(named),
            meant.join(", ")
        ));
    }
}

fn judge(config: &Config, listed: &Listed, dates: &snapshot::Dates, findings: &mut Findings) {
    let at = path(&listed.path);
    if let Some(trouble) = &listed.trouble {
        return findings.warn(printable(&trouble.to_string()));
    }
    if listed.snapshots.is_empty() {
        let why = match (&config.source.name, listed.others.len(), config.keep_days) {
            (Some(name), 1.., _) => format!(
                "none of its {} names matches the pattern {name:?}: correct name under [source]",
                listed.others.len()
            ),
            (None, 1.., _) => {
                "nothing in it is one: correct snapshots, or set name under [source]".to_owned()
            }
            (_, 0, Some(_)) => {
                "it is empty, or all are older than keep_days: see whether snapshots are taken"
                    .to_owned()
            }
            (_, 0, None) => "it is empty: see whether snapshots are taken".to_owned(),
        };
        findings.warn(format!("{at} holds no snapshots to show: {why}"));
        return;
    }
    if let Some(two) = listed.two_series() {
        findings.warn(printable(&format!("{at}: {two}")));
    }
    let undated: Vec<&Arc<Snapshot>> = listed
        .snapshots
        .iter()
        .filter(|s| s.dated_by == DatedBy::RootTime)
        .collect();
    if undated.is_empty() || undated.len() == listed.snapshots.len() {
        return;
    }
    let names = undated.iter().map(|s| printable_bytes(s.name.as_bytes()));
    let hiding: Vec<String> = undated
        .iter()
        .filter(|s| hides_another(s, dates))
        .map(|s| {
            format!(
                "{} hides another of {}",
                printable_bytes(s.name.as_bytes()),
                s.label
            )
        })
        .collect();
    let effect = if hiding.is_empty() {
        "they may hide a date's real snapshot".to_owned()
    } else {
        list(hiding.iter().map(String::as_str), EXAMPLES)
    };
    let names: Vec<String> = names.collect();
    findings.warn(format!(
        "{at}: {} of {} with no date in the name, dated by the time of the directory ({}); {effect}: \
         set name under [source] to how the real ones are called, or move the others away",
        number(undated.len() as u64),
        things(listed.snapshots.len() as u64, "snapshot"),
        list(names.iter().map(String::as_str), EXAMPLES),
    ));
}

/// Whether a snapshot is shown in place of one whose date is written down.
fn hides_another(undated: &Snapshot, dates: &snapshot::Dates) -> bool {
    let is_shown = dates
        .shown
        .get(&undated.label)
        .is_some_and(|shown| shown.key == undated.key);
    is_shown
        && dates
            .all
            .iter()
            .any(|s| s.label == undated.label && s.dated_by != DatedBy::RootTime)
}

fn dated_by(snapshots: &[Arc<Snapshot>]) -> Vec<Dated> {
    let mut counts = BTreeMap::new();
    for snapshot in snapshots {
        let way = match snapshot.dated_by {
            DatedBy::Pattern => ("pattern", None),
            DatedBy::Name(style) => ("name", Some(style.as_str())),
            DatedBy::InfoXml => ("info_xml", None),
            DatedBy::RootTime => ("root_time", None),
        };
        *counts.entry(way).or_insert(0) += 1;
    }
    counts
        .into_iter()
        .map(|((how, style), count)| Dated { how, style, count })
        .collect()
}

pub fn dates(config: &Config, dates: &snapshot::Dates, findings: &mut Findings) -> Dates {
    let labels: Vec<String> = dates.shown.keys().cloned().collect();
    let granularity = match config.granularity {
        config::Granularity::Day => "day",
        config::Granularity::Snapshot => "snapshot",
    };
    let newest = dates.newest_age(now());
    let late = newest.is_some_and(|newest| newest.is_late());
    if let Some(newest) = newest {
        if late {
            findings.warn(format!(
                "the newest snapshot is {} old, though there is one every {} as a rule: see whether the program that \
                 takes snapshots still runs",
                span(newest.age),
                span(newest.interval.unwrap_or_default())
            ));
        }
        if newest.age < -FUTURE {
            findings.warn(format!(
                "the newest snapshot is dated {} from now: set timezone, or name under [source], so that its date is \
                 understood; or see whether a clock is wrong",
                span(-newest.age)
            ));
        }
    }
    Dates {
        granularity,
        keep_days: config.keep_days,
        snapshots: dates.all.len(),
        first: labels.first().cloned(),
        last: labels.last().cloned(),
        labels,
        newest_age_seconds: newest.map(|newest| newest.age),
        usual_interval_seconds: newest.and_then(|newest| newest.interval),
        late,
    }
}

fn path(path: &Path) -> String {
    printable(&path.to_string_lossy())
}
