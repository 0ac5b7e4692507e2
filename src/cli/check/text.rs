//! The report for people: what is there in two columns, then what cannot be read, then what is wrong and the cure.

use super::contents::Contents;
use super::deep::Deep;
use super::entry::{Access, Entry};
use super::findings::{Counted, EXAMPLES};
use super::mailboxes::Mailboxes;
use super::report::{Facts, Report};
use super::snapshots::{Dates, Directory};
use super::surroundings::{IndexState, MountState, Timezone};
use super::words::{and_more, bytes, list, number, span, things};
use std::collections::BTreeMap;

/// Width of the first column.
const LABEL: usize = 15;

/// The report as lines.
pub fn of(report: &Report) -> String {
    let mut page = Page::default();
    for mistake in &report.mistakes {
        page.plain(&mistake.to_string());
    }
    if let Some(facts) = &report.facts {
        page.facts(report.configuration.as_deref(), facts);
    }
    page.0
}

/// The lines so far.
#[derive(Default)]
struct Page(String);

impl Page {
    fn plain(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    /// A line of the second column; an empty label goes on with what the line above began.
    fn line(&mut self, label: &str, text: impl AsRef<str>) {
        self.plain(&format!("{label:<LABEL$}{}", text.as_ref()));
    }

    fn facts(&mut self, configuration: Option<&str>, facts: &Facts) {
        self.line(
            "configuration",
            configuration.map_or("none, all defaults".to_owned(), |file| {
                format!("{file}: no mistakes")
            }),
        );
        self.line("time zone", timezone(&facts.timezone));
        if let Some(mount_point) = &facts.mount_point {
            let state = match mount_point.state {
                MountState::Free => "free",
                MountState::Mounted => "mounted now",
                MountState::Dead => {
                    "left behind by a mailtm that was killed; the next mount clears it away"
                }
                MountState::Occupied => "in use by something else",
                MountState::Missing => "not there",
                MountState::NotEmpty => "not empty",
                MountState::Unusable => "cannot be opened",
            };
            self.line("mount point", format!("{}: {state}", mount_point.path));
        }
        self.line(
            "index",
            match facts.index.state {
                IndexState::Usable => {
                    format!("{}: usable, {}", facts.index.path, bytes(facts.index.bytes))
                }
                IndexState::Absent => format!("{}: not there yet, can be made", facts.index.path),
                IndexState::Unusable => format!("{}: not usable", facts.index.path),
            },
        );
        if let Some(live) = &facts.live {
            let state = if live.present { "there" } else { "not there" };
            self.line("live store", format!("{}: {state}", live.path));
        }
        self.line(
            "sandbox",
            match (
                facts.sandbox.wanted,
                facts.sandbox.files,
                facts.sandbox.calls,
            ) {
                (false, _, _) => "off",
                (true, true, true) => "rights, files, system calls",
                (true, true, false) => "rights, files",
                (true, false, true) => "rights, system calls",
                (true, false, false) => "rights",
            },
        );
        for directory in &facts.directories {
            self.directory(directory);
        }
        self.line("", &facts.source.why);
        if !facts.source.below.is_empty() {
            self.line(
                "",
                format!("in each of them, {} is shown", facts.source.below),
            );
        }
        self.line("dates", dates(&facts.dates));
        if let Some(mailboxes) = &facts.mailboxes {
            self.mailboxes(mailboxes);
        }
        if let (Some(contents), Some(mailboxes)) = (&facts.contents, &facts.mailboxes) {
            self.contents(contents, mailboxes.count);
        }
        if let (Some(access), Some(mailboxes)) = (&facts.access, &facts.mailboxes) {
            self.access(access, mailboxes.count);
        }
        if let Some(deep) = &facts.deep {
            self.deep(deep, facts.findings.unreadable_count);
        }
        let findings = &facts.findings;
        for what in &findings.unreadable {
            self.plain(&format!("cannot be read: {what}"));
        }
        let unnamed = findings.unreadable_count - findings.unreadable.len() as u64;
        if unnamed > 0 {
            self.plain(&format!(
                "cannot be read: {} more, named in the log",
                number(unnamed)
            ));
        }
        for warning in &findings.warnings {
            self.plain(&format!("warning: {warning}"));
        }
    }

    fn directory(&mut self, directory: &Directory) {
        if directory.trouble.is_some() {
            return self.line(
                "snapshots",
                format!("{}: cannot be read now", directory.path),
            );
        }
        let ways: Vec<String> = directory
            .dated_by
            .iter()
            .map(|dated| {
                let how = match (dated.how, dated.style) {
                    ("pattern", _) => "the pattern".to_owned(),
                    ("name", Some(style)) => format!("their names ({style})"),
                    ("info_xml", _) => "info.xml".to_owned(),
                    _ => "the time of the directory".to_owned(),
                };
                match directory.dated_by.len() {
                    1 => how,
                    _ => format!("{how}: {}", number(dated.count as u64)),
                }
            })
            .collect();
        let dated = match ways.len() {
            0 => String::new(),
            _ => format!(", dated by {}", ways.join(", ")),
        };
        self.line(
            "snapshots",
            format!(
                "{} ({}): {}{dated}",
                directory.path,
                directory.kind,
                number(directory.snapshots as u64)
            ),
        );
        let mut others: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for other in &directory.not_snapshots {
            others.entry(other.why).or_default().push(&other.name);
        }
        for (why, names) in others {
            self.line(
                "",
                format!("no snapshots, {why}: {}", list(names.into_iter(), EXAMPLES)),
            );
        }
    }

    fn mailboxes(&mut self, mailboxes: &Mailboxes) {
        let found = if mailboxes.templates.is_empty() {
            let shapes: Vec<String> = mailboxes.shapes.iter().map(|s| s.name.clone()).collect();
            match shapes.len() {
                0 => "recognised by content".to_owned(),
                _ => format!(
                    "recognised by content in {}",
                    list(shapes.iter().map(String::as_str), EXAMPLES)
                ),
            }
        } else {
            format!("by {}", mailboxes.templates.join(", "))
        };
        self.line(
            "mailboxes",
            format!(
                "{} on {}, {found}",
                number(mailboxes.count as u64),
                mailboxes.date
            ),
        );
        let named: Vec<String> = mailboxes
            .domains
            .iter()
            .filter(|domain| !domain.name.is_empty())
            .map(|domain| format!("{} {}", domain.name, number(domain.count)))
            .collect();
        if named.len() > 1 {
            self.line("", list(named.iter().map(String::as_str), EXAMPLES));
        }
        let left = mailboxes
            .count
            .saturating_sub(EXAMPLES.min(mailboxes.examples.len()));
        let examples: Vec<&str> = mailboxes
            .examples
            .iter()
            .take(EXAMPLES)
            .map(String::as_str)
            .collect();
        if !examples.is_empty() {
            self.line("", and_more(&examples, left as u64));
        }
    }

    fn contents(&mut self, contents: &Contents, all: usize) {
        let of = match contents.mailboxes {
            looked if looked < all => format!(
                " of the {} that there was time to look into",
                things(looked as u64, "mailbox")
            ),
            _ => String::new(),
        };
        self.line(
            "messages",
            format!(
                "{} in {}{of}",
                number(contents.messages),
                things(contents.folders, "folder")
            ),
        );
        let compressions = match (contents.messages_opened, contents.compressions.as_slice()) {
            (0, _) => String::new(),
            (opened, []) => format!("; {} opened, none compressed", things(opened, "message")),
            (opened, found) => {
                format!(
                    "; {} opened, of them {}",
                    things(opened, "message"),
                    counts(found)
                )
            }
        };
        if !contents.formats.is_empty() {
            self.line(
                "format",
                format!("{}{compressions}", counts(&contents.formats)),
            );
        }
        let empty = &contents.empty;
        if empty.count > 0 {
            let examples: Vec<&str> = empty.examples.iter().map(String::as_str).collect();
            self.line(
                "",
                format!(
                    "{} empty, as those of POP3 programs are that leave no mail on the server: {}",
                    number(empty.count),
                    and_more(&examples, empty.count - examples.len() as u64)
                ),
            );
        }
        let oddities = &contents.oddities;
        if oddities.count > 0 {
            self.line(
                "",
                format!(
                    "{} links, special files or directories where mail should be are not shown: {}",
                    number(oddities.count),
                    list(oddities.examples.iter().map(String::as_str), EXAMPLES)
                ),
            );
        }
    }

    fn access(&mut self, access: &Access, all: usize) {
        let owner = match access.owner.as_str() {
            "store" => "who owns the mailbox directory (owner = \"store\")".to_owned(),
            template => format!("the user {template}"),
        };
        self.line("access", format!("each mailbox to its owner, {owner}"));
        let admins = match access.admins.as_slice() {
            [] => "only root".to_owned(),
            names => names.join(", "),
        };
        self.line("", format!("all mailboxes: {admins}"));
        for grant in &access.grants {
            let patterns: Vec<String> = grant
                .patterns
                .iter()
                .map(|p| format!("{} ({})", p.pattern, number(p.mailboxes)))
                .collect();
            self.line(
                "",
                format!("{}: {}", patterns.join(", "), grant.to.join(", ")),
            );
        }
        if access.mailboxes < all {
            self.line(
                "",
                format!(
                    "there was time to look up {} owners",
                    number(access.mailboxes as u64)
                ),
            );
        }
        if access.only_admins.count > 0 {
            let count = things(access.only_admins.count, "mailbox");
            self.line("", format!("{count} for admins only"));
        }
        let width = access
            .entries
            .iter()
            .map(|entry| entry.mailbox.chars().count())
            .max();
        for entry in &access.entries {
            let width = width.unwrap_or_default();
            self.line("", format!("  {:width$}  {}", entry.mailbox, who(entry)));
        }
    }

    fn deep(&mut self, deep: &Deep, unreadable: u64) {
        let compressions = match deep.compressions.as_slice() {
            [] => String::new(),
            found => format!(", {}", counts(found)),
        };
        self.line(
            "read",
            format!(
                "{} ({}{compressions}) of {} on {}; {}",
                things(deep.messages, "message"),
                bytes(deep.bytes),
                things(deep.mailboxes as u64, "mailbox"),
                things(deep.dates as u64, "date"),
                match unreadable {
                    0 => "all can be read".to_owned(),
                    count => format!("{} cannot be read", number(count)),
                }
            ),
        );
    }
}

fn timezone(zone: &Timezone) -> String {
    let name = match zone.name.as_str() {
        "" => "the system's",
        name => name,
    };
    let minutes = zone.utc_offset_minutes;
    let sign = if minutes < 0 { '-' } else { '+' };
    let (hours, rest) = (minutes.abs() / 60, minutes.abs() % 60);
    format!("{name}, UTC{sign}{hours:02}:{rest:02} now")
}

fn dates(dates: &Dates) -> String {
    let (Some(first), Some(last)) = (&dates.first, &dates.last) else {
        return "none: the mount would be empty".to_owned();
    };
    let mut text = match dates.labels.len() {
        1 => format!("1, {first}"),
        count => format!("{}, {first} to {last}", number(count as u64)),
    };
    if dates.snapshots > dates.labels.len() {
        let all = number(dates.snapshots as u64);
        text.push_str(&format!(", each the last of its snapshots ({all} in all)"));
    }
    if let Some(days) = dates.keep_days {
        text.push_str(&format!(", with keep_days = {days}"));
    }
    match dates.newest_age_seconds {
        Some(age) if age >= 0 => text.push_str(&format!("; the newest is {} old", span(age))),
        _ => {}
    }
    text
}

fn who(entry: &Entry) -> String {
    let mut parts = vec![match &entry.owner {
        Some(owner) => format!("owner {owner}"),
        None => "no owner".to_owned(),
    }];
    parts.extend(entry.users.iter().cloned());
    parts.extend(entry.groups.iter().map(|group| format!("@{group}")));
    parts.join(", ")
}

fn counts(counted: &[Counted]) -> String {
    let each: Vec<String> = counted
        .iter()
        .map(|c| format!("{} {}", number(c.count), c.name))
        .collect();
    list(each.iter().map(String::as_str), EXAMPLES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_zones() {
        let zone = |name: &str, utc_offset_minutes| {
            timezone(&Timezone {
                name: name.into(),
                utc_offset_minutes,
            })
        };
        assert_eq!(zone("Europe/Rome", 60), "Europe/Rome, UTC+01:00 now");
        assert_eq!(zone("", -210), "the system's, UTC-03:30 now");
    }
}
