//! The first page of somebody who is signed in.

use super::Shared;
use super::answer::{Refusal, html};
use super::page::Page;
use super::person::Person;
use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::get;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/", get(start))
}

#[derive(Template)]
#[template(path = "start.html", config = "src/portal/templates/askama.toml")]
struct Start {
    page: Page,
    mailboxes: Vec<String>,
}

async fn start(person: Person) -> Result<Response, Refusal> {
    Ok(html(&Start {
        page: person.page(),
        mailboxes: person.mailboxes(None).await?,
    }))
}
