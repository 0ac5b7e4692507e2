//! Choosing a mailbox and a date: the first page, and the calendar of a mailbox.

use super::Shared;
use super::answer::{Refusal, html};
use super::page::Page;
use super::person::Person;
use super::place::{Place, Trail, of_mailbox};
use super::text::{Reading, fill};
use crate::fs::browse::{Date, When};
use crate::language::Language;
use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use chrono::{Datelike, Days, NaiveDate};

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/", get(start))
        .route("/calendar/{*where}", get(calendar))
}

#[derive(Template)]
#[template(path = "mailboxes.html", config = "src/portal/templates/askama.toml")]
struct Mailboxes {
    page: Page,
    t: &'static Reading,
    /// Name, and where its calendar is.
    mailboxes: Vec<(String, String)>,
}

/// The mailboxes that somebody may read; if there is but one, its calendar.
async fn start(person: Person) -> Result<Response, Refusal> {
    let mailboxes = person.mailboxes(None).await?;
    let only = match mailboxes.as_slice() {
        [only] => Some(only.as_str()),
        // His own may be in older backups alone.
        [] => person.own_mailbox(),
        _ => None,
    };
    if let Some(only) = only {
        return calendar_of(&person, only).await;
    }
    let link = |name: String| (name.clone(), of_mailbox("calendar", &name));
    Ok(html(&Mailboxes {
        page: person.page(),
        t: Reading::of(person.language),
        mailboxes: mailboxes.into_iter().map(link).collect(),
    }))
}

/// A date as people choose it.
struct Choice {
    address: String,
    /// Time of the day, where a day may have several.
    time: String,
    /// In words.
    taken: String,
    kept: String,
    /// The last day, in figures.
    until: String,
}

/// A day in a month's grid.
struct Day {
    /// 0 before the first of the month.
    number: u32,
    choices: Vec<Choice>,
}

struct Month {
    name: String,
    /// Seven days each.
    weeks: Vec<Vec<Day>>,
}

#[derive(Template)]
#[template(path = "calendar.html", config = "src/portal/templates/askama.toml")]
struct Calendar<'a> {
    page: Page,
    t: &'static Reading,
    title: String,
    latest: Option<Choice>,
    months: Vec<Month>,
    deleted: String,
    search: String,
    weekdays: Vec<&'a str>,
}

async fn calendar(person: Person, trail: Trail) -> Result<Response, Refusal> {
    calendar_of(&person, trail.mailbox()?).await
}

async fn calendar_of(person: &Person, mailbox: &str) -> Result<Response, Refusal> {
    let dates = person.dates(mailbox).await?;
    if dates.is_empty() && person.own_mailbox() != Some(mailbox) {
        return Err(Refusal::NotFound);
    }
    let t = Reading::of(person.language);
    let place = Place {
        mailbox: mailbox.to_owned(),
        when: When::Deleted,
        folder: String::new(),
    };
    let latest = dates.last();
    Ok(html(&Calendar {
        page: person.page(),
        t,
        title: fill(t.calendar, &[&mailbox]),
        latest: latest.map(|date| choice(date, &place, person.language)),
        months: months(&dates, &place, person.language),
        deleted: place.address("folders"),
        search: of_mailbox("search", mailbox),
        weekdays: t.weekdays.split(' ').collect(),
    }))
}

fn choice(date: &Date, place: &Place, language: Language) -> Choice {
    let t = Reading::of(language);
    let day = language.day(date.taken.date());
    let expires = |text, day: &dyn std::fmt::Display| fill(text, &[day]);
    Choice {
        address: place.at(When::Date(date.label.clone())).address("folders"),
        time: date.taken.format("%H:%M").to_string(),
        taken: format!("{day}, {}", date.taken.format("%H:%M")),
        kept: date
            .expires
            .map(|day| expires(t.kept_until, &language.day(day)))
            .unwrap_or_default(),
        until: date
            .expires
            .map(|day| expires(t.until, &short(day, language)))
            .unwrap_or_default(),
    }
}

/// Day and month.
fn short(day: NaiveDate, language: Language) -> String {
    let month = month_name(day, language);
    let month: String = month.chars().take(3).collect();
    format!("{} {month}", day.day())
}

fn month_name(day: NaiveDate, language: Language) -> &'static str {
    let mut names = Reading::of(language).months.split(' ');
    names.nth(day.month0() as usize).unwrap_or_default()
}

/// The months that have a date, the newest first.
fn months(dates: &[Date], place: &Place, language: Language) -> Vec<Month> {
    let month_of = |date: &Date| (date.taken.year(), date.taken.month());
    let groups = dates.chunk_by(|a, b| month_of(a) == month_of(b));
    let mut months: Vec<Month> = groups
        .filter_map(|group| month(group, place, language))
        .collect();
    months.reverse();
    months
}

fn month(dates: &[Date], place: &Place, language: Language) -> Option<Month> {
    let first = dates.first()?.taken.date().with_day(1)?;
    let blank = || Day {
        number: 0,
        choices: Vec::new(),
    };
    let before = first.weekday().num_days_from_monday() as usize;
    let mut days: Vec<Day> = std::iter::repeat_with(blank).take(before).collect();
    let mut day = first;
    while day.month() == first.month() {
        let here = dates.iter().filter(|date| date.taken.date() == day);
        days.push(Day {
            number: day.day(),
            choices: here.map(|date| choice(date, place, language)).collect(),
        });
        day = day.checked_add_days(Days::new(1))?;
    }
    let rest = days.len().next_multiple_of(7) - days.len();
    days.extend(std::iter::repeat_with(blank).take(rest));
    let mut weeks = Vec::new();
    let mut days = days.into_iter().peekable();
    while days.peek().is_some() {
        weeks.push(days.by_ref().take(7).collect());
    }
    Some(Month {
        name: format!("{} {}", month_name(first, language), first.year()),
        weeks,
    })
}
