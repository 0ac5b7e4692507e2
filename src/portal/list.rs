//! The messages of a folder, by the page.

use super::Shared;
use super::answer::{Refusal, html};
use super::folders::{self, Dates, crumbs};
use super::form::Fields;
use super::page::Page;
use super::place::{Place, Visit};
use super::text::{Reading, fill};
use crate::fs::Fs;
use crate::fs::browse::{Order, SortBy, Summary};
use crate::special;
use askama::Template;
use axum::Router;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::get;

/// Messages on a page.
const ON_A_PAGE: usize = 50;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/list/{*where}", get(list))
}

/// A message as lists show it. Sender and subject are hostile.
pub(super) struct Row {
    pub id: String,
    /// What is said of the box that chooses it.
    pub choose: String,
    pub address: String,
    pub sender: String,
    pub subject: String,
    pub received: String,
    pub size: String,
    pub is_unread: bool,
    pub is_answered: bool,
    pub is_flagged: bool,
    pub is_readable: bool,
}

impl Row {
    pub fn of(fs: &Fs, place: &Place, t: &'static Reading, message: Summary) -> Self {
        let or = |text: String, otherwise: &str| match text.trim().is_empty() {
            true => otherwise.to_owned(),
            false => text,
        };
        let subject = or(message.subject, t.no_subject);
        Self {
            address: place.message("message", &message.id),
            sender: or(message.sender, t.unknown_sender),
            choose: fill(t.choose_one, &[&subject]),
            subject,
            received: fs
                .local(message.received)
                .format("%Y-%m-%d %H:%M")
                .to_string(),
            size: size(message.size),
            // Nobody waits for mail that is gone.
            is_unread: !message.flags.seen() && !place.is_deleted(),
            is_answered: message.flags.answered(),
            is_flagged: message.flags.flagged(),
            is_readable: message.is_readable,
            id: message.id,
        }
    }
}

/// A size for people.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    match value < 9.95 {
        true => format!("{value:.1} {unit}"),
        false => format!("{value:.0} {unit}"),
    }
}

/// A column by which messages can be sorted.
struct Column {
    name: &'static str,
    address: String,
    is_number: bool,
    /// `ascending` or `descending`, if they are sorted by it.
    sorted: &'static str,
    said: &'static str,
}

#[derive(Template)]
#[template(path = "list.html", config = "src/portal/templates/askama.toml")]
struct List<'a> {
    page: Page,
    t: &'static Reading,
    place: &'a Place,
    dates: &'a Dates,
    crumbs: Vec<(String, String)>,
    /// What people call it, with those above it.
    called: String,
    columns: Vec<Column>,
    messages: Vec<Row>,
    count: String,
    unread: String,
    shown: String,
    first: Option<String>,
    previous: Option<String>,
    next: Option<String>,
    last: Option<String>,
}

async fn list(
    axum::extract::State(state): axum::extract::State<Shared>,
    Visit { person, at: place }: Visit<Place>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let t = Reading::of(person.language);
    let fields = Fields::of(&uri);
    let order = order(&fields);
    let wanted: usize = fields.get("page").parse().unwrap_or(1).max(1);
    let there = place.clone();
    let read = state.read(move |fs| {
        let Some(contents) = fs.contents(&there.mailbox, &there.when, &there.folder)? else {
            return Ok(None);
        };
        let pages = contents.len().div_ceil(ON_A_PAGE).max(1);
        let number = wanted.min(pages);
        let start = (number - 1) * ON_A_PAGE;
        let page = fs.page(&contents, order, start..start + ON_A_PAGE)?;
        let rows = page.messages.into_iter();
        let rows: Vec<Row> = rows
            .map(|message| Row::of(fs, &there, t, message))
            .collect();
        Ok(Some((rows, contents.tally(), number, pages)))
    });
    let Some((rows, tally, number, pages)) = read.await? else {
        return folders::below(&state, &person, &place).await;
    };
    let here = place.address("list");
    let at = |page: usize| Some(format!("{here}?{}&page={page}", query(order)));
    let start = (number - 1) * ON_A_PAGE;
    let dates = Dates::around(&person, &place).await?;
    Ok(html(&List {
        page: person.page(),
        t,
        place: &place,
        dates: &dates,
        crumbs: crumbs(&place, person.language),
        called: special::called(&place.folder, person.language),
        columns: columns(&here, order, t),
        count: match tally.messages {
            1 => t.one_message.to_owned(),
            n => fill(t.messages, &[&n]),
        },
        unread: match tally.unread {
            0 => String::new(),
            n => fill(t.unread, &[&n]),
        },
        shown: fill(
            t.page_of,
            &[&(start + 1), &(start + rows.len()), &tally.messages],
        ),
        first: (number > 1).then(|| at(1)).flatten(),
        previous: (number > 1).then(|| at(number - 1)).flatten(),
        next: (number < pages).then(|| at(number + 1)).flatten(),
        last: (number < pages).then(|| at(pages)).flatten(),
        messages: rows,
    }))
}

const COLUMNS: [(SortBy, &str); 4] = [
    (SortBy::Sender, "sender"),
    (SortBy::Subject, "subject"),
    (SortBy::Received, "received"),
    (SortBy::Size, "size"),
];

fn order(fields: &Fields) -> Order {
    let asked = COLUMNS.iter().find(|(_, name)| *name == fields.get("sort"));
    let by = asked.map_or(SortBy::default(), |(by, _)| *by);
    let descending = match fields.get("order") {
        "up" => false,
        "down" => true,
        _ => by == SortBy::Received,
    };
    Order { by, descending }
}

fn query(order: Order) -> String {
    let name = COLUMNS.iter().find(|(by, _)| *by == order.by);
    let name = name.map_or("received", |(_, name)| *name);
    let direction = if order.descending { "down" } else { "up" };
    format!("sort={name}&order={direction}")
}

fn columns(here: &str, order: Order, t: &'static Reading) -> Vec<Column> {
    let column = |(by, _): &(SortBy, &str)| {
        let is_sorted = *by == order.by;
        // What is new and what is large is looked for first.
        let first = matches!(by, SortBy::Received | SortBy::Size);
        let other = Order {
            by: *by,
            descending: if is_sorted { !order.descending } else { first },
        };
        Column {
            name: match by {
                SortBy::Sender => t.from,
                SortBy::Subject => t.subject,
                SortBy::Received => t.received,
                SortBy::Size => t.size,
            },
            address: format!("{here}?{}", query(other)),
            is_number: *by == SortBy::Size,
            sorted: match (is_sorted, order.descending) {
                (false, _) => "",
                (true, true) => "descending",
                (true, false) => "ascending",
            },
            said: match (is_sorted, order.descending) {
                (false, _) => "",
                (true, true) => t.sorted_down,
                (true, false) => t.sorted_up,
            },
        }
    };
    COLUMNS.iter().map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        for (bytes, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 KB"),
            (12_345, "12 KB"),
            (999_999, "1.0 MB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}
