//! How it goes, in the text form of Prometheus, on a listener of its own (`portal.metrics`).
//!
//! | name | what it counts |
//! | --- | --- |
//! | `mailtm_portal_dates` | dates that are shown |
//! | `mailtm_portal_newest_snapshot_age_seconds` | age of the newest snapshot |
//! | `mailtm_portal_mailboxes` | mailboxes of the newest date |
//! | `mailtm_portal_sessions` | sessions that have not ended |
//! | `mailtm_portal_requests{state}` | requests for a restore by state: `pending` … `lapsed` |
//! | `mailtm_portal_letters_waiting` | letters that no mail server has taken yet |
//! | `mailtm_portal_sign_ins_total{outcome}` | `right`, `wrong`, or `unknown`: the mail server could not be asked |
//! | `mailtm_portal_answers_total{class}` | answers over HTTP by class of status: `2xx` … `5xx` |

use super::Shared;
use super::sessions::now;
use crate::error::Error;
use crate::requests::State as Stage;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted while the portal runs.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    /// By hundreds of the status, from 100 on.
    answers: [AtomicU64; 5],
    pub sign_ins: SignIns,
}

#[derive(Debug, Default)]
pub(super) struct SignIns {
    right: AtomicU64,
    wrong: AtomicU64,
    unknown: AtomicU64,
}

impl SignIns {
    pub fn right(&self) {
        self.right.fetch_add(1, Ordering::Relaxed);
    }

    pub fn wrong(&self) {
        self.wrong.fetch_add(1, Ordering::Relaxed);
    }

    pub fn unknown(&self) {
        self.unknown.fetch_add(1, Ordering::Relaxed);
    }
}

impl Metrics {
    pub fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100);
        if let Some(count) = class.checked_sub(1).and_then(|at| self.answers.get(at)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/metrics", get(show))
}

/// One metric: its lines of what it is, and its values.
struct Text(String);

impl Text {
    fn add(&mut self, name: &str, kind: &str, help: &str, values: &[(&str, i64)]) {
        let name = format!("mailtm_portal_{name}");
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (labels, value) in values {
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }
}

async fn show(State(state): State<Shared>) -> Response {
    let mut text = Text(String::new());
    let dates = state.fs.catalogue().dates();
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let shown = count(dates.shown.len());
    text.add("dates", "gauge", "Dates that are shown.", &[("", shown)]);
    if let Some(newest) = dates.newest_age(now()) {
        let help = "Age of the newest snapshot.";
        let age = newest.age;
        text.add("newest_snapshot_age_seconds", "gauge", help, &[("", age)]);
    }
    // What cannot be found out now is left out.
    if let Ok(mailboxes) = state.read(|fs| fs.newest_mailboxes()).await {
        let help = "Mailboxes of the newest date.";
        text.add("mailboxes", "gauge", help, &[("", count(mailboxes))]);
    }
    let asked = state.clone();
    if let Ok(Ok(sessions)) = state.wait(move || asked.sessions.count()).await {
        let sessions = i64::try_from(sessions).unwrap_or(i64::MAX);
        let help = "Sessions that have not ended.";
        text.add("sessions", "gauge", help, &[("", sessions)]);
    }
    let asked = state.clone();
    let requests = state.wait(move || {
        let counts = asked.requests.counts()?;
        Ok::<_, Error>((counts, asked.requests.letters_waiting()?))
    });
    if let Ok(Ok((counts, letters))) = requests.await {
        let states = Stage::ALL.map(|stage| {
            let many = counts.get(&stage).copied().unwrap_or_default();
            let many = i64::try_from(many).unwrap_or(i64::MAX);
            (format!("{{state=\"{stage}\"}}"), many)
        });
        let states: Vec<(&str, i64)> = states.iter().map(|(s, n)| (s.as_str(), *n)).collect();
        let help = "Requests for a restore by state.";
        text.add("requests", "gauge", help, &states);
        let help = "Letters that no mail server has taken yet.";
        let letters = i64::try_from(letters).unwrap_or(i64::MAX);
        text.add("letters_waiting", "gauge", help, &[("", letters)]);
    }
    let load = |n: &AtomicU64| i64::try_from(n.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
    let sign_ins = &state.metrics.sign_ins;
    text.add(
        "sign_ins_total",
        "counter",
        "Passwords that were asked about.",
        &[
            ("{outcome=\"right\"}", load(&sign_ins.right)),
            ("{outcome=\"wrong\"}", load(&sign_ins.wrong)),
            ("{outcome=\"unknown\"}", load(&sign_ins.unknown)),
        ],
    );
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"].map(|class| format!("{{class=\"{class}\"}}"));
    let answers = classes.iter().zip(&state.metrics.answers);
    let answers: Vec<(&str, i64)> = answers.map(|(c, n)| (c.as_str(), load(n))).collect();
    let help = "Answers over HTTP by class of status.";
    text.add("answers_total", "counter", help, &answers);
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text.0).into_response()
}
