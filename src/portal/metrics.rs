//! How it goes, in the text form of Prometheus, on a listener of its own (`portal.metrics`).
//!
//! | name | what it counts |
//! | --- | --- |
//! | `mailtm_portal_dates` | dates that are shown |
//! | `mailtm_portal_unreadable_directories` | snapshot directories that do not answer, or cannot be read for another reason |
//! | `mailtm_portal_mailboxes` | mailboxes of the newest date |
//! | `mailtm_portal_newest_snapshot_age_seconds`, `…_snapshot_interval_seconds`, `…_snapshot_late` | age of the newest snapshot, the usual interval, 1 if one is missing |
//! | `mailtm_portal_sessions` | sessions that have not ended |
//! | `mailtm_portal_requests{state}` | requests for a restore by state: `pending` … `lapsed` |
//! | `mailtm_portal_letters_waiting` | letters that no mail server has taken yet |
//! | `mailtm_portal_sign_ins_total{outcome}` | `right`, `wrong`, or `unknown`: the mail server could not be asked |
//! | `mailtm_portal_answers_total{class}` | answers over HTTP by class of status: `2xx` … `5xx` |

use super::Shared;
use super::sessions::now;
use crate::error::Error;
use crate::metrics::{CONTENT_TYPE, Kind, Text};
use crate::requests::State as Stage;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
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

async fn show(State(state): State<Shared>) -> Response {
    let mut text = Text::new("mailtm_portal_");
    text.shown(&state.fs, now());
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let asked = state.clone();
    if let Ok(Ok(sessions)) = state.wait(move || asked.sessions.count()).await {
        let help = "Sessions that have not ended.";
        text.one("sessions", Kind::Gauge, help, count(sessions));
    }
    let asked = state.clone();
    let requests = state.wait(move || {
        let counts = asked.requests.counts()?;
        Ok::<_, Error>((counts, asked.requests.letters_waiting()?))
    });
    if let Ok(Ok((counts, letters))) = requests.await {
        let states = Stage::ALL.map(|stage| {
            let many = counts.get(&stage).copied().unwrap_or_default();
            ("state", stage.name(), count(many))
        });
        let help = "Requests for a restore by state.";
        text.each("requests", Kind::Gauge, help, &states);
        let help = "Letters that no mail server has taken yet.";
        text.one("letters_waiting", Kind::Gauge, help, count(letters));
    }
    let load = |n: &AtomicU64| count(n.load(Ordering::Relaxed));
    let sign_ins = &state.metrics.sign_ins;
    let outcomes = [
        ("outcome", "right", load(&sign_ins.right)),
        ("outcome", "wrong", load(&sign_ins.wrong)),
        ("outcome", "unknown", load(&sign_ins.unknown)),
    ];
    let help = "Passwords that were asked about.";
    text.each("sign_ins_total", Kind::Counter, help, &outcomes);
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    let answers = classes.iter().zip(&state.metrics.answers);
    let answers: Vec<_> = answers.map(|(c, n)| ("class", *c, load(n))).collect();
    let help = "Answers over HTTP by class of status.";
    text.each("answers_total", Kind::Counter, help, &answers);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text.finish()).into_response()
}
