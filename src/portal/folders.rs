//! The folders of a mailbox on a date, those first that everybody has; and the way from a date to another.

use super::answer::{Refusal, html, see_other};
use super::form::Fields;
use super::page::Page;
use super::person::Person;
use super::place::{Place, Trail, of_mailbox, when};
use super::text::{Reading, fill};
use super::{Shared, State};
use crate::fs::browse::{Date, Folder, When};
use crate::language::Language;
use crate::special::{self, Use};
use askama::Template;
use axum::Router;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::get;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long folders are counted before the page is shown with what is known.
const COUNTING: Duration = Duration::from_secs(2);

/// Folders that one page shows.
const MOST: usize = 5000;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/folders/{*where}", get(folders))
        .route("/switch/{*where}", get(switch))
}

/// The other dates of a mailbox, to go to from a page.
pub(super) struct Dates {
    /// Label, what people read, and whether it is the one of the page.
    pub all: Vec<(String, String, bool)>,
    /// Where a form goes that has the field `time`.
    pub switch: String,
    /// Where the same is on the date before and after.
    pub earlier: Option<String>,
    pub later: Option<String>,
    /// In words, or what is said of what is gone.
    pub taken: String,
    pub kept: String,
    pub calendar: String,
    pub search: String,
}

impl Dates {
    pub async fn around(person: &Person, place: &Place) -> Result<Self, Refusal> {
        let t = Reading::of(person.language);
        let dates = person.dates(&place.mailbox).await?;
        let here = dates.iter().position(|date| date.label == place.time());
        let label = |date: &Date| {
            let day = person.language.day(date.taken.date());
            format!("{day}, {}", date.taken.format("%H:%M"))
        };
        let switch = place.address("switch");
        // Not to the folder itself: it may not be there then.
        let beside = |at: Option<usize>| {
            let date = at.and_then(|at| dates.get(at))?;
            let time: String = form_urlencoded::byte_serialize(date.label.as_bytes()).collect();
            Some(format!("{switch}?time={time}"))
        };
        let mut all: Vec<(String, String, bool)> = dates
            .iter()
            .rev()
            .map(|date| (date.label.clone(), label(date), date.label == place.time()))
            .collect();
        let deleted = place.at(When::Deleted);
        all.push((
            deleted.time().to_owned(),
            t.gone.to_owned(),
            place.is_deleted(),
        ));
        let date = here.and_then(|here| dates.get(here));
        let kept = date.and_then(|date| date.expires);
        Ok(Self {
            all,
            earlier: beside(here.and_then(|here| here.checked_sub(1))),
            later: beside(here.map(|here| here + 1)),
            switch,
            taken: match date {
                Some(date) => fill(t.taken, &[&label(date)]),
                None => t.gone_about.to_owned(),
            },
            kept: kept.map_or_else(String::new, |day| {
                fill(t.kept_until, &[&person.language.day(day)])
            }),
            calendar: of_mailbox("calendar", &place.mailbox),
            search: of_mailbox("search", &place.mailbox),
        })
    }
}

/// A folder as the page shows it.
struct Shown {
    /// Empty if there is nothing in it to be listed.
    address: String,
    name: String,
    /// What it is called in the store, where people know it by another name.
    stored: String,
    depth: usize,
    /// Empty where it is not known.
    messages: String,
    unread: String,
}

#[derive(Template)]
#[template(path = "folders.html", config = "src/portal/templates/askama.toml")]
struct Listed<'a> {
    page: Page,
    t: &'static Reading,
    place: &'a Place,
    dates: &'a Dates,
    folders: Vec<Shown>,
    /// Not all are counted.
    is_counting: bool,
    /// What is said of those that have no room on the page.
    more: String,
    /// A folder that was looked for and is not there.
    missing: String,
}

async fn folders(
    axum::extract::State(state): axum::extract::State<Shared>,
    person: Person,
    trail: Trail,
    uri: Uri,
) -> Result<Response, Refusal> {
    let place = trail.place()?;
    if !place.folder.is_empty() {
        return Err(Refusal::NotFound);
    }
    if place.time() == "latest" {
        let dates = person.dates(&place.mailbox).await?;
        let latest = dates.last().ok_or(Refusal::NotFound)?;
        let latest = place.at(When::Date(latest.label.clone()));
        return Ok(see_other(&latest.address("folders")));
    }
    place.enter(&person).await?;
    let t = Reading::of(person.language);
    let there = place.clone();
    let found =
        state.read(move |fs| fs.folders(&there.mailbox, &there.when, Instant::now() + COUNTING));
    let found = found.await?.ok_or(Refusal::NotFound)?;
    let is_counting = found.iter().any(|f| f.holds_messages && f.tally.is_none());
    let dates = Dates::around(&person, &place).await?;
    let missing = Fields::of(&uri).get("missing").to_owned();
    Ok(html(&Listed {
        page: person.page(),
        t,
        place: &place,
        dates: &dates,
        folders: arranged(found.get(..MOST).unwrap_or(&found), &place, person.language),
        is_counting,
        more: match found.len().saturating_sub(MOST) {
            0 => String::new(),
            more => fill(t.more_folders, &[&more]),
        },
        missing: if missing.is_empty() {
            missing
        } else {
            let missing = special::called(&missing, person.language);
            fill(t.not_then, &[&missing])
        },
    }))
}

/// The folders that everybody has, with what is below each, then the others.
fn arranged(folders: &[Folder], place: &Place, language: Language) -> Vec<Shown> {
    let t = Reading::of(language);
    let mut groups: Vec<(Option<Use>, Vec<&Folder>)> = Vec::new();
    // By the name of the folder that is at the top of each.
    let mut tops: HashMap<&[String], usize> = HashMap::new();
    for folder in folders {
        let special = special::use_of(&folder.decoded);
        let above = (1..folder.decoded.len()).rev();
        let mut above = above.filter_map(|levels| tops.get(folder.decoded.get(..levels)?));
        // What everybody has below INBOX stands beside it.
        let group = above.next().filter(|_| special.is_none()).copied();
        match group.and_then(|group| groups.get_mut(group)) {
            Some((_, group)) => group.push(folder),
            None => {
                tops.insert(&folder.decoded, groups.len());
                groups.push((special, vec![folder]));
            }
        }
    }
    groups.sort_by_key(|(special, _)| (special.is_none(), *special));
    let shown = |(special, group): (Option<Use>, Vec<&Folder>)| {
        let top = group.first().map_or(1, |folder| folder.decoded.len());
        let shown = group.into_iter().enumerate().map(move |(at, folder)| {
            let known = special
                .filter(|_| at == 0)
                .map(|special| special.name(language));
            let tally = folder.tally;
            Shown {
                address: match folder.holds_messages {
                    true => place.folder(&folder.path).address("list"),
                    false => String::new(),
                },
                name: known.unwrap_or(&folder.name).to_owned(),
                stored: match known {
                    Some(known) if !known.eq_ignore_ascii_case(&folder.name) => folder.name.clone(),
                    _ => String::new(),
                },
                depth: folder.decoded.len().saturating_sub(top).min(8),
                messages: match tally.map(|tally| tally.messages) {
                    None => String::new(),
                    Some(1) => t.one_message.to_owned(),
                    Some(n) => fill(t.messages, &[&n]),
                },
                unread: match tally.map(|tally| tally.unread) {
                    None | Some(0) => String::new(),
                    Some(n) => fill(t.unread, &[&n]),
                },
            }
        });
        shown.collect::<Vec<_>>()
    };
    groups.into_iter().flat_map(shown).collect()
}

/// The same folder at another time; if it is not there then, the folders that are.
async fn switch(
    axum::extract::State(state): axum::extract::State<Shared>,
    person: Person,
    trail: Trail,
    uri: Uri,
) -> Result<Response, Refusal> {
    let place = trail.place()?.at(when(Fields::of(&uri).get("time")));
    place.enter(&person).await?;
    let whole = place.folder("").address("folders");
    if place.folder.is_empty() {
        return Ok(see_other(&whole));
    }
    Ok(see_other(&match exists(&state, &place).await? {
        true => place.address("list"),
        false => {
            let missing = form_urlencoded::byte_serialize(place.folder.as_bytes());
            format!("{whole}?missing={}", missing.collect::<String>())
        }
    }))
}

/// Whether there is a folder, or some below it.
async fn exists(state: &State, place: &Place) -> Result<bool, Refusal> {
    let place = place.clone();
    let found = state.read(move |fs| {
        let folders = fs.folders(&place.mailbox, &place.when, Instant::now())?;
        Ok(folders.is_some_and(|all| all.iter().any(|folder| folder.path == place.folder)))
    });
    found.await
}

#[derive(Template)]
#[template(path = "below.html", config = "src/portal/templates/askama.toml")]
struct Below<'a> {
    page: Page,
    t: &'static Reading,
    place: &'a Place,
    dates: &'a Dates,
    crumbs: Vec<(String, String)>,
    /// What people call it, with those above it.
    called: String,
    folders: Vec<Shown>,
    is_counting: bool,
}

/// What is below a parent that is no folder itself.
pub(super) async fn below(
    state: &State,
    person: &Person,
    place: &Place,
) -> Result<Response, Refusal> {
    let (there, above) = (place.clone(), format!("{}/", place.folder));
    let found = state.read(move |fs| {
        let mut found = fs.folders(&there.mailbox, &there.when, Instant::now() + COUNTING)?;
        if let Some(found) = &mut found {
            found.retain(|folder| folder.path.starts_with(&above));
        }
        Ok(found)
    });
    let found = found.await?.filter(|found| !found.is_empty());
    let found = found.ok_or(Refusal::NotFound)?;
    let dates = Dates::around(person, place).await?;
    Ok(html(&Below {
        page: person.page(),
        t: Reading::of(person.language),
        place,
        dates: &dates,
        crumbs: crumbs(place, person.language),
        called: special::called(&place.folder, person.language),
        is_counting: found.iter().any(|f| f.holds_messages && f.tally.is_none()),
        folders: arranged(found.get(..MOST).unwrap_or(&found), place, person.language),
    }))
}

/// A folder's name and those of the folders above it, each with where it leads.
pub(super) fn crumbs(place: &Place, language: Language) -> Vec<(String, String)> {
    let names: Vec<String> = place.folder.split('/').map(str::to_owned).collect();
    let crumb = |level: usize| {
        let path = names.get(..=level)?;
        Some((
            special::name(path, language)?,
            place.folder(&path.join("/")).address("list"),
        ))
    };
    (0..names.len()).filter_map(crumb).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_everybody_has_come_first() {
        let folder = |path: &str| Folder {
            path: path.into(),
            name: path.rsplit('/').next().unwrap().into(),
            decoded: path.split('/').map(str::to_owned).collect(),
            holds_messages: true,
            tally: None,
        };
        let paths = [
            "Archive",
            "Archive/2024",
            "Clients",
            "Clients/Rossi",
            "INBOX",
            "INBOX/Cestino",
            "INBOX/Cestino/Old",
            "INBOX/Work",
            "Sent",
        ];
        let folders: Vec<Folder> = paths.iter().map(|path| folder(path)).collect();
        let place = Place {
            mailbox: "a".into(),
            when: When::Deleted,
            folder: String::new(),
        };
        let shown = arranged(&folders, &place, Language::Italian);
        let told: Vec<(&str, &str, usize)> = shown
            .iter()
            .map(|f| (f.name.as_str(), f.stored.as_str(), f.depth))
            .collect();
        let names: Vec<&str> = told.iter().map(|(name, ..)| *name).collect();
        assert_eq!(
            names,
            [
                "Ricevuti", "Work", "Inviati", "Archivio", "2024", "Cestino", "Old", "Clients",
                "Rossi"
            ]
        );
        assert_eq!(told[0], ("Ricevuti", "INBOX", 0));
        assert_eq!(told[4], ("2024", "", 1));
    }
}
