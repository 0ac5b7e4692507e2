//! Searching a mailbox, on one date or all.

use super::Shared;
use super::answer::{Refusal, html};
use super::form::Fields;
use super::list::size;
use super::page::Page;
use super::person::Person;
use super::place::{Place, Trail, of_mailbox};
use super::state::{PATIENCE, turn};
use super::text::{Reading, fill};
use crate::fs::Fs;
use crate::fs::browse::When;
use crate::fs::search::{Answer, Asker, Found, Request};
use crate::index::search::{Field, Query, Term};
use crate::language::Language;
use crate::message::words;
use crate::special;
use askama::Template;
use axum::Router;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::get;
use chrono::{Days, NaiveDate, NaiveTime};
use globset::{GlobBuilder, escape};
use tokio::sync::Semaphore;

/// Messages that are shown.
const MOST: usize = 200;

/// Bytes of a field that are searched for.
const LONGEST: usize = 500;

/// Attachments that are named, and characters of a name.
const MOST_ATTACHMENTS: usize = 3;
const LONGEST_NAME: usize = 40;

/// Learning what is new takes a processor: so many at a time.
static SEARCHING: Semaphore = Semaphore::const_new(4);

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/search/{*where}", get(search))
}

/// A message that was found. All texts are hostile.
struct Row {
    /// `None`: no date that is shown has it any more under this name.
    address: Option<String>,
    sender: String,
    subject: String,
    received: String,
    size: String,
    folder: String,
    seen: String,
    gone: String,
    /// What is said of its attachments; empty if none is known.
    attachments: String,
}

#[derive(Template)]
#[template(path = "search.html", config = "src/portal/templates/askama.toml")]
struct Search<'a> {
    page: Page,
    t: &'static Reading,
    title: String,
    here: String,
    calendar: String,
    /// What was asked, to be changed.
    asked: &'a Asked,
    /// Label, what people read, and whether it is asked for.
    dates: Vec<(String, String, bool)>,
    /// What is said of what is searched.
    scope: &'a str,
    mistake: &'a str,
    /// `None`: nothing was asked yet.
    found: Option<Vec<Row>>,
    said: Vec<String>,
}

/// The fields of the form, as they were filled in.
struct Asked {
    words: String,
    from: String,
    subject: String,
    since: String,
    till: String,
    on: String,
    gone: bool,
}

impl Asked {
    fn of(fields: &Fields) -> Self {
        let field = |name: &str| {
            let text = fields.get(name).trim();
            let mut end = LONGEST.min(text.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.get(..end).unwrap_or_default().to_owned()
        };
        Self {
            words: field("words"),
            from: field("from"),
            subject: field("subject"),
            since: field("since"),
            till: field("till"),
            on: field("on"),
            gone: !fields.get("gone").is_empty(),
        }
    }

    fn terms(&self) -> Vec<Term> {
        let words = self.words.split_whitespace();
        let fields = words.map(|word| (Field::Any, word)).chain([
            (Field::Sender, self.from.as_str()),
            (Field::Subject, self.subject.as_str()),
        ]);
        let terms = fields.map(|(field, text)| Term {
            field,
            words: words::of(text),
            begins: true,
        });
        terms.filter(|term| !term.words.is_empty()).collect()
    }

    /// What is searched for; the words for people if it cannot be.
    fn query(&self, fs: &Fs, t: &'static Reading) -> Result<Query, &'static str> {
        let day = |text: &str| match text {
            "" => Ok(None),
            text => text.parse::<NaiveDate>().map(Some).map_err(|_| t.not_a_day),
        };
        let midnight = |day: NaiveDate| fs.moment(day.and_time(NaiveTime::MIN));
        let (since, till) = (day(&self.since)?, day(&self.till)?);
        let after = till.and_then(|day| day.checked_add_days(Days::new(1)));
        let query = Query {
            terms: self.terms(),
            since: since.map(midnight),
            until: after.map(midnight),
            gone: self.gone,
        };
        let is_empty = query.terms.is_empty() && since.or(till).is_none() && !query.gone;
        if is_empty {
            Err(t.nothing_asked)
        } else {
            Ok(query)
        }
    }
}

async fn search(
    axum::extract::State(state): axum::extract::State<Shared>,
    person: Person,
    trail: Trail,
    uri: Uri,
) -> Result<Response, Refusal> {
    let mailbox = trail.mailbox()?.to_owned();
    // On all dates that have it: what is found may be of any of them.
    person.enter(&mailbox, None).await?;
    let language = person.language;
    let t = Reading::of(language);
    let fields = Fields::of(&uri);
    let asked = Asked::of(&fields);
    let dates = person.dates(&mailbox).await?;
    let is_date = dates.iter().any(|date| date.label == asked.on);
    let mut page = Search {
        page: person.page(),
        t,
        title: fill(t.search_in, &[&mailbox]),
        here: of_mailbox("search", &mailbox),
        calendar: of_mailbox("calendar", &mailbox),
        dates: dates
            .iter()
            .rev()
            .map(|date| {
                let day = format!(
                    "{}, {}",
                    person.language.day(date.taken.date()),
                    date.taken.format("%H:%M")
                );
                (date.label.clone(), day, date.label == asked.on)
            })
            .collect(),
        asked: &asked,
        scope: match state.fs.searches_bodies() {
            true => t.searches_all,
            false => t.searches_headers,
        },
        mistake: "",
        found: None,
        said: Vec::new(),
    };
    if uri.query().is_none_or(str::is_empty) {
        return Ok(html(&page));
    }
    let query = match asked.query(&state.fs, t) {
        Ok(query) => query,
        Err(mistake) => {
            page.mistake = mistake;
            return Ok(html(&page));
        }
    };
    let name = GlobBuilder::new(&escape(&mailbox))
        .literal_separator(false)
        .build();
    let request = Request {
        query,
        mailboxes: vec![name.map_err(|_| Refusal::NotFound)?.compile_matcher()],
        folder: None,
        on: is_date.then(|| asked.on.clone()),
        limit: MOST,
    };
    let _turn = turn(&SEARCHING, PATIENCE).await?;
    let found = state.read(move |fs| {
        // Who may read it was asked already, by other rules than those of a Unix user.
        let anybody = Asker {
            uid: 0,
            groups: vec![0],
        };
        let mut answer = fs.find(&request, &anybody, &mut |_| true)?;
        answer.found.retain(|found| found.mailbox == mailbox);
        let rows = answer.found.iter();
        let on = request.on.as_deref();
        let rows: Vec<Row> = rows
            .map(|found| row(fs, found, on, language))
            .collect::<Result<_, _>>()?;
        Ok((rows, said(&answer, t)))
    });
    let (rows, said) = found.await?;
    page.found = Some(rows);
    page.said = said;
    Ok(html(&page))
}

/// What people have to know about an answer.
fn said(answer: &Answer, t: &'static Reading) -> Vec<String> {
    let mut said = vec![match answer.found.len() {
        0 => t.found_none.to_owned(),
        n => fill(t.found, &[&n]),
    }];
    if answer.more {
        said.push(fill(t.found_more, &[&answer.found.len()]));
    }
    if answer.is_behind || answer.stopped {
        said.push(t.behind.to_owned());
    }
    let unsearched = answer.unread + answer.failed;
    if unsearched > 0 {
        said.push(fill(t.unsearched, &[&unsearched]));
    }
    said
}

/// `on`: the date that is asked for.
fn row(fs: &Fs, found: &Found, on: Option<&str>, language: Language) -> crate::Result<Row> {
    let t = Reading::of(language);
    let or = |text: &str, otherwise: &str| match text.trim().is_empty() {
        true => otherwise.to_owned(),
        false => text.to_owned(),
    };
    let on_date = |place: &&crate::fs::search::Place| {
        on.is_none_or(|on| place.first.as_str() <= on && on <= place.last.as_str())
    };
    let last = found
        .places
        .iter()
        .rev()
        .find(on_date)
        .or(found.places.last());
    let mut address = None;
    if let Some(seen) = last {
        let place = Place {
            mailbox: found.mailbox.clone(),
            when: When::Date(on.unwrap_or(&seen.last).to_owned()),
            folder: seen.folder.clone(),
        };
        let id = fs.id_of(&place.mailbox, &place.when, &place.folder, &seen.name)?;
        address = id.map(|id| place.message("message", &id));
    }
    Ok(Row {
        address,
        sender: or(&found.sender, t.unknown_sender),
        subject: or(&found.subject, t.no_subject),
        received: fs
            .local(found.received)
            .format("%Y-%m-%d %H:%M")
            .to_string(),
        size: size(found.size),
        folder: last.map_or_else(String::new, |place| {
            special::called(&place.folder, language)
        }),
        seen: match found.first == found.last {
            true => found.first.clone(),
            false => fill(t.seen_from_to, &[&found.first, &found.last]),
        },
        attachments: match attachments(&found.attachments) {
            none if none.is_empty() => none,
            names => fill(t.attached, &[&names]),
        },
        gone: match &found.gone_since {
            Some(date) => fill(t.gone_since, &[date]),
            None => String::new(),
        },
    })
}

/// Names of attachments, as many as there is room for.
fn attachments(names: &[String]) -> String {
    let some = names.iter().filter(|name| !name.trim().is_empty());
    let some = some.take(MOST_ATTACHMENTS).map(|name| {
        let short: String = name.chars().take(LONGEST_NAME).collect();
        match short.len() < name.len() {
            true => short + "…",
            false => short,
        }
    });
    let mut text = some.collect::<Vec<_>>().join(", ");
    if names.len() > MOST_ATTACHMENTS {
        text.push_str(", …");
    }
    text
}
