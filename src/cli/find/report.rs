//! What was found, for people and for scripts.
//!
//! Everything that comes out of a message has passed [`printable`].

use super::super::terminal::{fit, printable, printable_line, width};
use crate::config::Config;
use crate::fs::search::{Answer, Found, Place};
use chrono::NaiveDateTime;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Columns of a table where there is no terminal.
const WIDE: usize = 160;

/// Narrower than this nobody can read a table.
const NARROW: usize = 60;

/// The JSON object.
#[derive(Debug, Serialize)]
pub struct Report {
    mailboxes: usize,
    found: Vec<Message>,
    more: bool,
    unreadable: Counted,
    incomplete: Counted,
    silent: Vec<String>,
    behind: bool,
}

#[derive(Debug, Serialize)]
struct Counted {
    count: u64,
    examples: Vec<String>,
}

impl Counted {
    fn new(count: u64, examples: &[String]) -> Self {
        Self {
            count,
            examples: examples.iter().map(|example| printable(example)).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Message {
    mailbox: String,
    from: String,
    to: String,
    subject: String,
    attachments: Vec<String>,
    received: String,
    size: u64,
    first_date: String,
    last_date: String,
    folder: Option<String>,
    gone_since: Option<String>,
    path: String,
    places: Vec<Spot>,
    #[serde(skip)]
    local: NaiveDateTime,
}

#[derive(Debug, Serialize)]
struct Spot {
    folder: String,
    name: String,
    first_date: String,
    last_date: String,
    dates: usize,
    present: bool,
    path: String,
}

impl Report {
    pub fn new(answer: &Answer, silent: &[PathBuf], config: &Config) -> Self {
        Self {
            mailboxes: answer.mailboxes,
            found: answer
                .found
                .iter()
                .map(|found| message(found, config))
                .collect(),
            more: answer.more,
            unreadable: Counted::new(answer.unread, &answer.unread_examples),
            incomplete: Counted::new(answer.failed, &answer.failed_examples),
            silent: silent
                .iter()
                .map(|path| printable(&path.to_string_lossy()))
                .collect(),
            behind: answer.is_behind,
        }
    }

    /// Two lines for each message: what it is, and its path, which is never cut. `columns`: those of the terminal.
    pub fn table(&self, columns: Option<usize>) -> String {
        if self.found.is_empty() {
            return String::new();
        }
        let columns = columns.unwrap_or(WIDE).max(NARROW);
        let rows: Vec<[String; 5]> = self.found.iter().map(Message::row).collect();
        let heads = ["RECEIVED", "FROM", "SUBJECT", "ON DATES", "NOW"].map(str::to_owned);
        let mut widths = [0; 5];
        for row in rows.iter().chain([&heads]) {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = width(cell).max(*widest);
            }
        }
        let [received, from, subject, dates, now] = &mut widths;
        // Dates stand as they are; the others share what is left, the subject getting the most.
        let room = columns.saturating_sub(*received + *dates + 8);
        *now = (*now).min(room / 3);
        *from = (*from).min(room / 4);
        *subject = (*subject).min(room.saturating_sub(*now + *from)).max(1);
        let line = |row: &[String; 5]| {
            let cells: Vec<String> = row
                .iter()
                .zip(widths)
                .map(|(cell, width)| fit(cell, width))
                .collect();
            cells.join("  ").trim_end().to_owned()
        };
        let mut text = line(&heads) + "\n";
        for (row, message) in rows.iter().zip(&self.found) {
            text.push_str(&format!("{}\n  {}\n", line(row), message.path));
        }
        text
    }
}

impl Message {
    fn row(&self) -> [String; 5] {
        let or = |text: &str, otherwise: &str| match printable_line(text) {
            text if text.is_empty() => otherwise.to_owned(),
            text => text,
        };
        let dates = if self.first_date == self.last_date {
            self.first_date.clone()
        } else {
            format!("{} – {}", self.first_date, self.last_date)
        };
        let now = match (&self.folder, &self.gone_since) {
            (Some(folder), _) => format!("in {folder}"),
            (None, Some(date)) => format!("gone since {date}"),
            (None, None) => "gone".to_owned(),
        };
        [
            self.local.format("%Y-%m-%d %H:%M").to_string(),
            or(&self.from, "unknown"),
            or(&self.subject, "no subject"),
            dates,
            now,
        ]
    }
}

fn message(found: &Found, config: &Config) -> Message {
    let zone = &config.timezone;
    let local = zone.local(found.received);
    let offset = (local.and_utc().timestamp() - found.received) / 60;
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.abs() / 60, offset.abs() % 60);
    let received = format!(
        "{}{sign}{hours:02}:{minutes:02}",
        local.format("%Y-%m-%dT%H:%M:%S")
    );
    let spot = |place: &Place| {
        let path: &Path = Path::new(&place.last);
        let path = path
            .join(&found.mailbox)
            .join(&place.folder)
            .join(&place.name);
        let path = match &config.mountpoint {
            Some(mountpoint) => mountpoint.join(path),
            None => path,
        };
        Spot {
            folder: place.folder.clone(),
            name: place.name.clone(),
            first_date: place.first.clone(),
            last_date: place.last.clone(),
            dates: place.dates,
            present: place.is_present,
            path: path.to_string_lossy().into_owned(),
        }
    };
    let places: Vec<Spot> = found.places.iter().map(spot).collect();
    Message {
        mailbox: found.mailbox.clone(),
        from: printable_line(&found.sender),
        to: printable_line(&found.recipients),
        subject: printable_line(&found.subject),
        attachments: found
            .attachments
            .iter()
            .map(|name| printable_line(name))
            .collect(),
        received,
        size: found.size,
        first_date: found.first.clone(),
        last_date: found.last.clone(),
        folder: found.folder.clone(),
        gone_since: found.gone_since.clone(),
        path: places
            .last()
            .map(|place| place.path.clone())
            .unwrap_or_default(),
        places,
        local,
    }
}
