//! Asking for a restore: the form, and what it sends.
//!
//! A page that lets somebody choose sends the fields `mailbox`, `date`, and, if it is not about everything, `folder` and any
//! number of `id`, to `/ask`, by GET or by POST. The form that is shown then has a token of its own, so that sending it twice asks
//! once.
//!
//! Messages chosen in `deleted` are of several backups: one request is made for each of these, all of them or none.

use super::answer::{Refusal, html, see_other};
use super::form::{Fields, Posted};
use super::page::Page;
use super::person::Person;
use super::place::{Place, gone, when};
use super::sessions::hex;
use super::take::{all_there, nothing};
use super::text::{self, fill};
use super::{Shared, State};
use crate::error::Kind;
use crate::fs::browse::{Origin, When};
use crate::requests::{LONGEST_NOTE, MOST_MESSAGES, New};
use crate::restore::check_into;
use crate::special;
use askama::Template;
use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use sha2::{Digest as _, Sha256};
use std::time::Instant;

/// Subjects that the form shows.
const SUBJECTS: usize = 10;

/// Longest field that names something, in bytes.
const LONGEST_NAME: usize = 4096;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/ask", get(ask).post(ask_for_chosen))
        .route("/ask/send", post(send))
}

/// What is asked for, after it was seen to exist and to be readable for who asks.
struct Wanted {
    mailbox: String,
    /// As the form says it.
    time: String,
    folder: Option<String>,
    ids: Vec<String>,
    /// At least one.
    portions: Vec<Portion>,
}

/// What is asked for of one backup.
struct Portion {
    date: String,
    snapshot_time: i64,
    folder: Option<String>,
    ids: Vec<String>,
}

impl Portion {
    /// The token of its request, which is the same for the same form.
    fn token(&self, nonce: &str) -> String {
        let mut digest = Sha256::new();
        for part in [
            nonce,
            &self.date,
            self.folder.as_deref().unwrap_or_default(),
        ] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        hex(&digest.finalize())
    }
}

/// What the form shows.
struct Shown {
    what: String,
    subjects: Vec<String>,
    /// What is said of those that are not shown.
    more: Option<String>,
    /// Each backup's day, and until when it is kept.
    backups: Vec<(String, Option<String>)>,
    /// What is said if there are several.
    several: String,
}

#[derive(Template)]
#[template(path = "ask.html", config = "src/portal/templates/askama.toml")]
struct Form<'a> {
    page: Page,
    t: &'static text::Requests,
    wanted: &'a Wanted,
    shown: &'a Shown,
    cost: Option<&'a str>,
    nonce: String,
    mistake: &'a str,
    into: &'a str,
    is_into: bool,
    note: &'a str,
    longest_note: usize,
}

async fn ask(
    axum::extract::State(state): axum::extract::State<Shared>,
    person: Person,
    uri: Uri,
) -> Result<Response, Refusal> {
    form(&state, &person, &Fields::of(&uri)).await
}

async fn ask_for_chosen(
    axum::extract::State(state): axum::extract::State<Shared>,
    Posted { person, fields, .. }: Posted,
) -> Result<Response, Refusal> {
    // Not the whole folder, which is asked for by itself.
    if fields.all("id").next().is_none() {
        return Ok(nothing(&person));
    }
    form(&state, &person, &fields).await
}

async fn form(state: &Shared, person: &Person, fields: &Fields) -> Result<Response, Refusal> {
    let wanted = wanted(state, person, fields).await?;
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|e| {
        tracing::error!("random numbers: {e}");
        Refusal::Fault
    })?;
    show(state, person, &wanted, fields, hex(&nonce), "").await
}

async fn show(
    state: &Shared,
    person: &Person,
    wanted: &Wanted,
    fields: &Fields,
    nonce: String,
    mistake: &str,
) -> Result<Response, Refusal> {
    let t = text::Requests::of(person.language);
    let shown = shown(state, person, wanted).await?;
    Ok(html(&Form {
        page: person.page(),
        t,
        wanted,
        shown: &shown,
        cost: state.options.cost.as_deref(),
        nonce,
        mistake,
        into: fields.get("into"),
        is_into: fields.get("where") == "one",
        note: fields.get("note"),
        longest_note: LONGEST_NOTE,
    }))
}

/// Looks at what is asked for: it exists, and he may read it.
async fn wanted(state: &State, person: &Person, fields: &Fields) -> Result<Wanted, Refusal> {
    let names = [
        fields.get("mailbox"),
        fields.get("date"),
        fields.get("folder"),
    ];
    let ids: Vec<String> = fields.all("id").map(str::to_owned).collect();
    let odd = |id: &String| id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric());
    if names.iter().any(|name| name.len() > LONGEST_NAME)
        || ids.len() > MOST_MESSAGES
        || ids.iter().any(|id| id.len() > 64 || odd(id))
    {
        return Err(Refusal::Senseless);
    }
    let [mailbox, date, folder] = names.map(str::to_owned);
    let folder = Some(folder).filter(|folder| !folder.is_empty());
    if folder.is_none() && !ids.is_empty() {
        return Err(Refusal::Senseless);
    }
    let (time, portions) = match when(&date) {
        When::Deleted => {
            person.enter(&mailbox, None).await?;
            let folder = folder.clone().ok_or(Refusal::NotFound)?;
            (date, of_deleted(state, &mailbox, folder, &ids).await?)
        }
        When::Date(date) => {
            let portion = of_date(state, person, &mailbox, date, &folder, &ids).await?;
            (portion.date.clone(), vec![portion])
        }
    };
    Ok(Wanted {
        mailbox,
        time,
        folder,
        ids,
        portions,
    })
}

async fn of_date(
    state: &State,
    person: &Person,
    mailbox: &str,
    date: String,
    folder: &Option<String>,
    ids: &[String],
) -> Result<Portion, Refusal> {
    let dates = state.fs.catalogue().dates();
    let date = match date.as_str() {
        "latest" => dates.latest().unwrap_or_default().to_owned(),
        _ => date,
    };
    let snapshot_time = dates.shown.get(&date).ok_or(Refusal::NotFound)?.time;
    person.enter(mailbox, Some(&date)).await?;
    if let Some(folder) = folder {
        let (mailbox, when, path) = (mailbox.to_owned(), When::Date(date.clone()), folder.clone());
        let folders = state.read(move |fs| {
            // Nobody counts them.
            let folders = fs.folders(&mailbox, &when, Instant::now())?;
            let mut folders = folders.iter().flatten();
            Ok(folders.any(|folder| folder.path == path))
        });
        if !folders.await? {
            return Err(Refusal::NotFound);
        }
    }
    Ok(Portion {
        date,
        snapshot_time,
        folder: folder.clone(),
        ids: ids.to_vec(),
    })
}

/// The backups that have what was chosen among deleted messages; none of which may be missing.
async fn of_deleted(
    state: &State,
    mailbox: &str,
    folder: String,
    ids: &[String],
) -> Result<Vec<Portion>, Refusal> {
    if ids.is_empty() {
        return Err(Refusal::Senseless);
    }
    let ids = ids.to_vec();
    let place = Place {
        mailbox: mailbox.to_owned(),
        when: When::Deleted,
        folder,
    };
    let origins = state.read(move |fs| {
        let (contents, positions) = all_there(fs, &place, &ids)?;
        let origins = positions.iter().map(|at| fs.origin(&contents, *at));
        origins.collect::<Option<Vec<Origin>>>().ok_or_else(gone)
    });
    let dates = state.fs.catalogue().dates();
    let mut portions: Vec<Portion> = Vec::new();
    let mut origins = origins.await?;
    origins.sort();
    for Origin { date, folder, id } in origins {
        let is_same = |p: &&mut Portion| p.date == date && p.folder.as_ref() == Some(&folder);
        match portions.last_mut().filter(is_same) {
            Some(portion) => portion.ids.push(id),
            None => portions.push(Portion {
                snapshot_time: dates.shown.get(&date).ok_or(Refusal::NotFound)?.time,
                date,
                folder: Some(folder),
                ids: vec![id],
            }),
        }
    }
    Ok(portions)
}

async fn shown(state: &State, person: &Person, wanted: &Wanted) -> Result<Shown, Refusal> {
    let t = text::Requests::of(person.language);
    let some: Vec<String> = wanted.ids.iter().take(SUBJECTS).cloned().collect();
    let folder = wanted.folder.clone().unwrap_or_default();
    let called = wanted.folder.as_deref();
    let called = called.map(|folder| special::called(folder, person.language));
    let what = match (&called, wanted.ids.len()) {
        (None, _) => t.everything.to_owned(),
        (Some(folder), 0) => fill(t.a_folder, &[folder]),
        (Some(folder), 1) => fill(t.one_message, &[folder]),
        (Some(folder), n) => fill(t.some_messages, &[&n, folder]),
    };
    let (mailbox, when) = (wanted.mailbox.clone(), when(&wanted.time));
    let subjects = state.read(move |fs| {
        let mut subjects = Vec::new();
        if some.is_empty() {
            return Ok(subjects);
        }
        let contents = fs.contents(&mailbox, &when, &folder)?.ok_or_else(gone)?;
        for id in &some {
            let message = fs.message(&contents, id)?.ok_or_else(gone)?;
            subjects.push(message.subject);
        }
        Ok(subjects)
    });
    let subjects = subjects.await?;
    let dates = state.fs.dates();
    let backup = |portion: &Portion| {
        let date = dates.iter().find(|date| date.label == portion.date)?;
        let day = person.language.day(date.taken.date());
        let kept = |day| fill(t.kept_until, &[&person.language.day(day)]);
        let expires = date.expires.map(kept);
        Some((format!("{day}, {}", date.taken.format("%H:%M")), expires))
    };
    let backups = wanted.portions.iter().map(backup);
    let more = wanted.ids.len().saturating_sub(subjects.len());
    Ok(Shown {
        what,
        more: (more > 0).then(|| fill(t.and_more, &[&more])),
        subjects,
        backups: backups.collect::<Option<_>>().ok_or(Refusal::NotFound)?,
        several: match wanted.portions.len() {
            1 => String::new(),
            n => fill(t.several_backups, &[&n]),
        },
    })
}

async fn send(
    axum::extract::State(state): axum::extract::State<Shared>,
    Posted { person, fields, .. }: Posted,
) -> Result<Response, Refusal> {
    let t = text::Requests::of(person.language);
    let wanted = wanted(&state, &person, &fields).await?;
    let nonce = fields.get("nonce").to_owned();
    if nonce.len() != 32 || !nonce.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Refusal::Senseless);
    }
    let into = match fields.get("where") {
        "one" => Some(fields.get("into").trim().to_owned()),
        _ => None,
    };
    let again = async |mistake: &str| {
        let page = show(&state, &person, &wanted, &fields, nonce.clone(), mistake).await?;
        Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
    };
    if into.as_ref().is_some_and(|into| into.is_empty()) {
        return again(t.wants_a_folder).await;
    }
    if into
        .as_deref()
        .is_some_and(|into| check_into(into).is_err())
    {
        return again(t.odd_folder).await;
    }
    let new = wanted.portions.iter().map(|portion| New {
        token: portion.token(&nonce),
        mailbox: wanted.mailbox.clone(),
        asked_by: person.address.clone(),
        date: portion.date.clone(),
        snapshot_time: portion.snapshot_time,
        folder: portion.folder.clone(),
        messages: portion.ids.clone(),
        into: into.clone(),
        note: fields.get("note").to_owned(),
        language: person.language,
    });
    let (requests, new) = (state.requests.clone(), new.collect());
    match state.wait(move || requests.make_all(new)).await? {
        Ok(ids) => Ok(see_other(&match ids.as_slice() {
            [id] => format!("/requests/{id}?new=1"),
            _ => "/requests?new=1".to_owned(),
        })),
        Err(e) if e.kind() == Kind::Invalid => {
            tracing::info!(address = person.address, "a request was not taken: {e}");
            again(t.not_kept).await
        }
        Err(e) => Err(e.into()),
    }
}
