//! Taking mail away: a message, a folder or chosen messages, as EML, MBOX or Maildir.
//!
//! What there is to take, and what it is called; `download` gives it out. The bytes are the mount's.

use super::answer::Refusal;
use super::archive::{Archive, Folder};
use super::download::{body, download, file};
use super::form::Posted;
use super::message::summary;
use super::person::Person;
use super::place::{Message, Place, Visit, gone, when};
use super::text::Reading;
use super::{Shared, answer};
use crate::error::Result;
use crate::fs::Fs;
use crate::fs::browse::export::Mbox;
use crate::fs::browse::{Contents, When};
use crate::view::name;
use axum::Router;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use std::collections::HashSet;

/// Messages that can be chosen at once.
const MOST_CHOSEN: usize = 10_000;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/eml/{*where}", get(eml))
        .route("/mbox/{*where}", get(mbox))
        .route("/maildir/{*where}", get(maildir))
        .route("/take/mbox", post(chosen_mbox))
        .route("/take/maildir", post(chosen_maildir))
}

async fn eml(
    axum::extract::State(state): axum::extract::State<Shared>,
    Visit { at, .. }: Visit<Message>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let message = summary(&state, &at.place, &at.id).await?;
    let kind = "message/rfc822";
    file(
        &state,
        &headers,
        message.node,
        message.size,
        kind,
        &message.name,
    )
    .await
}

async fn mbox(
    axum::extract::State(state): axum::extract::State<Shared>,
    Visit { at: place, .. }: Visit<Place>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let there = place.clone();
    let found = state.read(move |fs| {
        let contents = fs.contents(&there.mailbox, &there.when, &there.folder)?;
        let contents = contents.ok_or_else(gone)?;
        match contents.mbox() {
            Some(node) => Ok(Ok((node, fs.getattr(node)?.size))),
            // What is gone is of several dates, and no file of the mount.
            None => {
                let positions: Vec<u32> = (0..contents.len() as u32).collect();
                Ok(Err(chosen(fs, &contents, &positions)?))
            }
        }
    });
    let name = format!("{}.mbox", file_name(&place));
    match found.await? {
        Ok((node, size)) => file(&state, &headers, node, size, "application/mbox", &name).await,
        Err(mbox) => Ok(download(
            body(&state, mbox).await?,
            "application/mbox",
            &name,
        )),
    }
}

async fn maildir(
    axum::extract::State(state): axum::extract::State<Shared>,
    Visit { at: place, .. }: Visit<Place>,
) -> Result<Response, Refusal> {
    let there = place.clone();
    let folders = state.read(move |fs| {
        if !there.folder.is_empty() {
            fs.contents(&there.mailbox, &there.when, &there.folder)?
                .ok_or_else(gone)?;
            return Ok(vec![(Vec::new(), there.folder.clone())]);
        }
        let folders = fs
            .maildir_folders(&there.mailbox, &there.when)?
            .ok_or_else(gone)?;
        let folders = folders.into_iter();
        Ok(folders
            .map(|folder| (folder.directory, folder.path))
            .collect())
    });
    let folders = folders.await?.into_iter().map(|(directory, path)| Folder {
        directory,
        path,
        chosen: None,
    });
    archive(&state, &place, folders.collect()).await
}

async fn archive(state: &Shared, place: &Place, folders: Vec<Folder>) -> Result<Response, Refusal> {
    let name = file_name(place);
    let archive = Archive::new(place.mailbox.clone(), place.when.clone(), &name, folders);
    let body = body(state, archive).await?;
    Ok(download(body, "application/x-tar", &format!("{name}.tar")))
}

/// What a form chooses: the fields `mailbox`, `date`, `folder` and any number of `id`.
async fn choice(posted: &Posted) -> Result<(Place, Vec<String>), Refusal> {
    let fields = &posted.fields;
    let place = Place {
        mailbox: fields.get("mailbox").to_owned(),
        when: when(fields.get("date")),
        folder: fields.get("folder").to_owned(),
    };
    place.enter(&posted.person).await?;
    let ids: Vec<String> = fields.all("id").map(str::to_owned).collect();
    if ids.len() > MOST_CHOSEN {
        return Err(Refusal::Senseless);
    }
    Ok((place, ids))
}

/// Says that nothing was chosen.
pub(super) fn nothing(person: &Person) -> Response {
    let (page, t) = (person.page(), Reading::of(person.language));
    answer::html(&answer::Said {
        title: t.nothing_chosen,
        about: t.nothing_chosen_about,
        page: &page,
    })
}

async fn chosen_mbox(
    axum::extract::State(state): axum::extract::State<Shared>,
    posted: Posted,
) -> Result<Response, Refusal> {
    let (place, ids) = choice(&posted).await?;
    if ids.is_empty() {
        return Ok(nothing(&posted.person));
    }
    let there = place.clone();
    let mbox = state.read(move |fs| {
        let (contents, positions) = all_there(fs, &there, &ids)?;
        chosen(fs, &contents, &positions)
    });
    let body = body(&state, mbox.await?).await?;
    let name = format!("{}.mbox", file_name(&place));
    Ok(download(body, "application/mbox", &name))
}

async fn chosen_maildir(
    axum::extract::State(state): axum::extract::State<Shared>,
    posted: Posted,
) -> Result<Response, Refusal> {
    let (place, ids) = choice(&posted).await?;
    if ids.is_empty() {
        return Ok(nothing(&posted.person));
    }
    let (there, wanted) = (place.clone(), ids.clone());
    let looked = state.read(move |fs| all_there(fs, &there, &wanted).map(|_| ()));
    looked.await?;
    let folder = Folder {
        directory: Vec::new(),
        path: place.folder.clone(),
        chosen: Some(ids),
    };
    archive(&state, &place, vec![folder]).await
}

/// A folder, and where the chosen messages are in it; an error if one is not there.
pub(super) fn all_there(fs: &Fs, place: &Place, ids: &[String]) -> Result<(Contents, Vec<u32>)> {
    let contents = fs.contents(&place.mailbox, &place.when, &place.folder)?;
    let contents = contents.ok_or_else(gone)?;
    let positions = fs.positions(&contents, ids);
    let distinct: HashSet<&String> = ids.iter().collect();
    match positions.len() == distinct.len() {
        true => Ok((contents, positions)),
        false => Err(gone()),
    }
}

fn chosen(fs: &Fs, contents: &Contents, positions: &[u32]) -> Result<Mbox> {
    let summaries = fs.summaries(contents, positions)?;
    let names = positions
        .iter()
        .map(|p| contents.store_name(*p).unwrap_or_default().to_vec());
    Ok(Mbox::of(names.zip(summaries).collect()))
}

/// What a download is called, without its ending.
fn file_name(place: &Place) -> String {
    let what = match (&place.when, place.folder.as_str()) {
        (When::Date(label), "") => format!("{} {label}", place.mailbox),
        (When::Date(label), folder) => format!("{} {label} {folder}", place.mailbox),
        (When::Deleted, folder) => format!("{} deleted {folder}", place.mailbox),
    };
    name::component(&what)
}
