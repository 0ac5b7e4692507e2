//! How it goes, in the text form of Prometheus: what the mount and the portal have in common of it.
//!
//! Each process tells of itself under its own prefix, such as `mailtm_mount_`. What cannot be found out at once is left out:
//! nobody who asks is to wait for a store.

use crate::fs::Fs;
use std::fmt::Write;

/// What the text is, for the header `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metrics that are being written down.
pub struct Text {
    prefix: &'static str,
    text: String,
}

/// How the values of a metric change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Up and down.
    Gauge,
    /// Only up, until the process ends.
    Counter,
}

impl Text {
    /// `prefix`: what all names begin with.
    pub fn new(prefix: &'static str) -> Self {
        Self {
            prefix,
            text: String::new(),
        }
    }

    /// A metric of one value.
    pub fn one(&mut self, name: &str, kind: Kind, help: &str, value: i64) {
        self.each(name, kind, help, &[("", "", value)]);
    }

    /// A metric of several values, each with the name of its label, what that says, and the value.
    pub fn each(&mut self, name: &str, kind: Kind, help: &str, values: &[(&str, &str, i64)]) {
        let name = format!("{}{name}", self.prefix);
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (label, said, value) in values {
            let _ = match label.is_empty() {
                true => writeln!(self.text, "{name} {value}"),
                false => writeln!(self.text, "{name}{{{label}=\"{said}\"}} {value}"),
            };
        }
    }

    /// What is shown: dates, mailboxes, and whether snapshots still come. `now`: seconds since 1970.
    pub fn shown(&mut self, fs: &Fs, now: i64) {
        let dates = fs.catalogue().dates();
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let help = "Dates that are shown.";
        self.one("dates", Kind::Gauge, help, count(dates.shown.len()));
        let help = "Snapshot directories that cannot be read at present.";
        let unreadable = count(fs.catalogue().unreadable().len());
        self.one("unreadable_directories", Kind::Gauge, help, unreadable);
        if let Some(mailboxes) = fs.newest_mailboxes() {
            let help = "Mailboxes of the newest date.";
            self.one("mailboxes", Kind::Gauge, help, count(mailboxes));
        }
        let Some(newest) = dates.newest_age(now) else {
            return;
        };
        let help = "Age of the newest snapshot.";
        self.one("newest_snapshot_age_seconds", Kind::Gauge, help, newest.age);
        if let Some(interval) = newest.interval {
            let help = "Usual time from one snapshot to the next.";
            self.one("snapshot_interval_seconds", Kind::Gauge, help, interval);
        }
        let help = "1 if the newest snapshot is older than one and a half times that.";
        self.one("snapshot_late", Kind::Gauge, help, newest.is_late().into());
    }

    pub fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form() {
        let mut text = Text::new("mailtm_x_");
        text.one("a", Kind::Gauge, "What.", 3);
        let values = [("class", "2xx", 1), ("class", "5xx", 0)];
        text.each("b_total", Kind::Counter, "More.", &values);
        assert_eq!(
            text.finish(),
            "# HELP mailtm_x_a What.\n# TYPE mailtm_x_a gauge\nmailtm_x_a 3\n\
             # HELP mailtm_x_b_total More.\n# TYPE mailtm_x_b_total counter\n\
             mailtm_x_b_total{class=\"2xx\"} 1\nmailtm_x_b_total{class=\"5xx\"} 0\n"
        );
    }
}
