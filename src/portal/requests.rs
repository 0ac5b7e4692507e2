//! Requests as people see them: one's own, and each by itself. Administrators see every one, with what it would do, and decide
//! there; everybody else's are not there for anybody else.

use super::answer::{Refusal, html, see_other};
use super::form::{Fields, Posted};
use super::page::Page;
use super::person::Person;
use super::text::{self, fill};
use super::{Shared, State};
use crate::error::Kind;
use crate::language::Language;
use crate::requests::{Details, Filter, Id, LONGEST_NOTE, Report, Request, State as Stage};
use crate::restore::Plan;
use crate::restore::live::about_name;
use crate::special;
use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::time::Duration;

/// Requests on a page.
const ON_A_PAGE: u32 = 50;

/// How long a page waits for a plan.
const PLANNING: Duration = Duration::from_secs(25);

/// Folders of a plan on a page.
const MOST_FOLDERS: usize = 1000;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/requests", get(own))
        .route("/requests/{id}", get(one))
        .route("/requests/{id}/approve", post(approve))
        .route("/requests/{id}/decline", post(decline))
        .route("/panel", get(panel))
        .route("/panel/requests.csv", get(export))
}

/// A line of a list.
struct Line {
    id: Id,
    /// `Request 17`
    called: String,
    stage: Tag,
    mailbox: String,
    asked: String,
    asked_by: String,
    day: String,
    what: String,
}

#[derive(Template)]
#[template(path = "requests.html", config = "src/portal/templates/askama.toml")]
struct List {
    page: Page,
    t: &'static text::Requests,
    /// For administrators: everybody's.
    is_panel: bool,
    /// Some were made just now.
    is_new: bool,
    /// The state that is shown alone, by its name.
    only: String,
    /// All states: name, and what they are called.
    stages: Vec<(&'static str, &'static str)>,
    lines: Vec<Line>,
    /// Where the older ones are.
    older: Option<String>,
}

#[derive(Template)]
#[template(path = "request.html", config = "src/portal/templates/askama.toml")]
struct One {
    page: Page,
    t: &'static text::Requests,
    line: Line,
    request: Request,
    expires: Option<String>,
    /// When, what became of it, who did that, and why.
    events: Vec<(String, Tag, String, String)>,
    can_decide: bool,
    trouble: Option<String>,
    is_new: bool,
    planned: Planned,
    mistake: &'static str,
    longest_note: usize,
}

/// What is known of what a request would do.
enum Planned {
    /// It is not asked.
    No,
    /// The sentence that sums it up.
    Yes(Box<Plan>, String),
    Failed(String),
    Slow(String),
}

/// A state as it is shown.
struct Tag {
    called: &'static str,
    /// Of the style.
    class: &'static str,
}

fn tag(t: &'static text::Requests, stage: Stage) -> Tag {
    let (called, class) = match stage {
        Stage::Pending => (t.pending, ""),
        Stage::Approved => (t.approved, ""),
        Stage::Running => (t.running, ""),
        Stage::Done => (t.done, "good"),
        Stage::Partial => (t.partial, "warn"),
        Stage::Failed => (t.failed, "warn"),
        Stage::Declined => (t.declined, "warn"),
        Stage::Lapsed => (t.lapsed, "warn"),
    };
    Tag { called, class }
}

fn line(state: &State, language: Language, request: &Request) -> Line {
    let t = text::Requests::of(language);
    let folder = request.folder.as_deref();
    let folder = folder.map(|folder| special::called(folder, language));
    let what = match (&folder, request.message_count) {
        (None, _) => t.everything.to_owned(),
        (Some(folder), 0) => fill(t.a_folder, &[folder]),
        (Some(folder), 1) => fill(t.one_message, &[folder]),
        (Some(folder), n) => fill(t.some_messages, &[&n, folder]),
    };
    let taken = state.fs.local(request.snapshot_time);
    Line {
        id: request.id,
        called: fill(t.request, &[&request.id]),
        stage: tag(t, request.state),
        mailbox: request.mailbox.clone(),
        asked: moment(state, request.asked),
        asked_by: request.asked_by.clone(),
        day: format!("{}, {}", language.day(taken.date()), taken.format("%H:%M")),
        what,
    }
}

fn moment(state: &State, secs: i64) -> String {
    let local = state.fs.local(secs);
    local.format("%Y-%m-%d %H:%M").to_string()
}

async fn own(
    axum::extract::State(state): axum::extract::State<Shared>,
    person: Person,
    uri: Uri,
) -> Result<Response, Refusal> {
    let filter = Filter {
        asked_by: Some(person.address.clone()),
        ..Filter::default()
    };
    list(&state, &person, &Fields::of(&uri), filter, false).await
}

async fn panel(
    axum::extract::State(state): axum::extract::State<Shared>,
    person: Person,
    uri: Uri,
) -> Result<Response, Refusal> {
    if !person.is_admin {
        return Err(Refusal::NotFound);
    }
    let fields = Fields::of(&uri);
    // What waits for them comes up by itself.
    let only = fields.all("state").next().unwrap_or(Stage::Pending.name());
    let filter = Filter {
        state: Stage::named(only).ok(),
        ..Filter::default()
    };
    list(&state, &person, &fields, filter, true).await
}

async fn list(
    state: &Shared,
    person: &Person,
    fields: &Fields,
    filter: Filter,
    is_panel: bool,
) -> Result<Response, Refusal> {
    let filter = Filter {
        before: fields.get("before").parse().ok(),
        limit: Some(ON_A_PAGE),
        ..filter
    };
    let only = filter.state.map_or("", Stage::name).to_owned();
    let requests = state.requests.clone();
    let found = state.wait(move || requests.list(&filter)).await??;
    let is_full = found.len() == ON_A_PAGE as usize;
    let last = found.last().filter(|_| is_full);
    let path = if is_panel { "/panel" } else { "/requests" };
    let t = text::Requests::of(person.language);
    let stages = Stage::ALL.map(|stage| (stage.name(), tag(t, stage).called));
    Ok(html(&List {
        page: person.page(),
        t,
        is_panel,
        is_new: !fields.get("new").is_empty(),
        stages: stages.to_vec(),
        older: last.map(|last| format!("{path}?state={only}&before={}", last.id)),
        only,
        lines: found
            .iter()
            .map(|request| line(state, person.language, request))
            .collect(),
    }))
}

/// The requests as a table for accounting.
async fn export(
    axum::extract::State(state): axum::extract::State<Shared>,
    person: Person,
    uri: Uri,
) -> Result<Response, Refusal> {
    if !person.is_admin {
        return Err(Refusal::NotFound);
    }
    let filter = Filter {
        state: Stage::named(Fields::of(&uri).get("state")).ok(),
        ..Filter::default()
    };
    let requests = state.requests.clone();
    let csv = state.wait(move || requests.csv(&filter)).await??;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"requests.csv\"",
        ),
    ];
    Ok((headers, csv).into_response())
}

/// A request that this person may see.
async fn details(state: &State, person: &Person, id: &str) -> Result<Details, Refusal> {
    let id: Id = id.parse().map_err(|_| Refusal::NotFound)?;
    let requests = state.requests.clone();
    let details = state.wait(move || requests.get(id)).await??;
    let is_own = details.request.asked_by == person.address;
    match is_own || person.is_admin {
        true => Ok(details),
        false => Err(Refusal::NotFound),
    }
}

async fn one(
    axum::extract::State(state): axum::extract::State<Shared>,
    person: Person,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let t = text::Requests::of(person.language);
    let fields = Fields::of(&uri);
    let mistake = match fields.get("mistake") {
        "late" => t.late,
        "reason" => t.needs_reason,
        _ => "",
    };
    let details = details(&state, &person, &id).await?;
    let mut request = details.request;
    request.why = told(t, person.is_admin, request.state, request.why);
    let planned = match person.is_admin && !request.state.is_final() {
        true => plan(&state, t, request.id).await?,
        false => Planned::No,
    };
    let events = details.events.into_iter().map(|event| {
        let why = told(t, person.is_admin, event.to, event.why).unwrap_or_default();
        (moment(&state, event.at), tag(t, event.to), event.who, why)
    });
    Ok(html(&One {
        page: person.page(),
        t,
        line: line(&state, person.language, &request),
        expires: request.expires.map(|day| person.language.day(day)),
        events: events.collect(),
        trouble: told(t, person.is_admin, request.state, details.trouble)
            .filter(|_| !request.state.is_final()),
        is_new: !fields.get("new").is_empty(),
        can_decide: person.is_admin && request.state == Stage::Pending,
        request,
        planned,
        mistake,
        longest_note: LONGEST_NOTE,
    }))
}

/// Why a request came to a state, as far as this person is told: a decision's reason was written for him, and the name of the
/// folder is his own; what else went wrong speaks to administrators, of places on the server.
fn told(
    t: &'static text::Requests,
    is_admin: bool,
    stage: Stage,
    why: Option<String>,
) -> Option<String> {
    match stage {
        Stage::Lapsed => why.map(|_| t.backup_is_gone.to_owned()),
        _ if is_admin || stage == Stage::Declined => why,
        Stage::Failed => about_name(&why?).map(str::to_owned),
        _ => None,
    }
}

/// What a request would do now.
async fn plan(state: &Shared, t: &'static text::Requests, id: Id) -> Result<Planned, Refusal> {
    let turn = state.planning.clone().acquire_owned();
    let slow = || Planned::Slow(fill(t.plan_slow, &[&id]));
    let Ok(Ok(turn)) = tokio::time::timeout(PLANNING, turn).await else {
        return Ok(slow());
    };
    let shared = state.clone();
    let planned = state.wait(move || {
        let plan = (shared.restorers)().and_then(|restorer| shared.requests.plan(id, &restorer));
        // Not before: a plan that nobody waits for any more is still being worked out.
        drop(turn);
        plan
    });
    let Ok(planned) = tokio::time::timeout(PLANNING, planned).await else {
        return Ok(slow());
    };
    match planned? {
        Ok(mut plan) => {
            let moved: u64 = plan.moved_to.values().sum();
            let counts: [&dyn std::fmt::Display; 4] =
                [&plan.create, &plan.already_there, &moved, &plan.unreadable];
            let sum = fill(t.plan_sum, &counts);
            plan.folders.truncate(MOST_FOLDERS);
            Ok(Planned::Yes(Box::new(plan), sum))
        }
        Err(e) => {
            tracing::warn!("the plan of request {id}: {e}");
            Ok(Planned::Failed(e.to_string()))
        }
    }
}

async fn approve(
    axum::extract::State(state): axum::extract::State<Shared>,
    Path(id): Path<String>,
    Posted { person, .. }: Posted,
) -> Result<Response, Refusal> {
    let id = for_admins(&state, &person, &id).await?;
    let (requests, who) = (state.requests.clone(), person.address.clone());
    let decided = state.wait(move || requests.approve(id, &who)).await?;
    if decided.is_ok() {
        (state.decided)();
    }
    after(&person, id, decided)
}

async fn decline(
    axum::extract::State(state): axum::extract::State<Shared>,
    Path(id): Path<String>,
    Posted { person, fields, .. }: Posted,
) -> Result<Response, Refusal> {
    let id = for_admins(&state, &person, &id).await?;
    let why = fields.get("reason").trim().to_owned();
    if why.is_empty() || why.chars().count() > LONGEST_NOTE {
        return Ok(see_other(&format!("/requests/{id}?mistake=reason")));
    }
    let (requests, who) = (state.requests.clone(), person.address.clone());
    let decided = state.wait(move || requests.decline(id, &who, &why)).await?;
    if decided.is_ok() {
        (state.decided)();
    }
    after(&person, id, decided)
}

async fn for_admins(state: &State, person: &Person, id: &str) -> Result<Id, Refusal> {
    if !person.is_admin {
        return Err(Refusal::NotFound);
    }
    Ok(details(state, person, id).await?.request.id)
}

/// Where the browser goes after a decision.
fn after(person: &Person, id: Id, decided: crate::error::Result<()>) -> Result<Response, Refusal> {
    match decided {
        Ok(()) => {
            tracing::info!(address = person.address, request = %id, "decided");
            Ok(see_other(&format!("/requests/{id}")))
        }
        Err(e) if e.kind() == Kind::Invalid => {
            tracing::info!(address = person.address, request = %id, "not decided: {e}");
            Ok(see_other(&format!("/requests/{id}?mistake=late")))
        }
        Err(e) => Err(e.into()),
    }
}

impl One {
    fn report(&self) -> Option<&Report> {
        self.request.report.as_ref()
    }

    fn called(&self, folder: &str) -> String {
        special::called(folder, self.page.language)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_server_keeps_things_is_for_administrators() {
        let why = || Some("/srv/vmail: no Maildir is there now".to_owned());
        let t = text::Requests::of(Language::Italian);
        for stage in [Stage::Failed, Stage::Approved, Stage::Running] {
            assert_eq!(told(t, false, stage, why()), None);
            assert_eq!(told(t, true, stage, why()), why());
        }
        let name = "\"cur\" cannot name a folder of this mailbox: choose another name";
        let why_not = Some(format!("/srv/vmail: {name}"));
        let failed = told(t, false, Stage::Failed, why_not);
        assert_eq!(failed.as_deref(), Some(name));
        assert_eq!(told(t, false, Stage::Declined, why()), why());
        let lapsed = told(t, false, Stage::Lapsed, why());
        assert_eq!(lapsed.as_deref(), Some(t.backup_is_gone));
    }
}
