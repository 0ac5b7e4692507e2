//! One message: the page, the frame with its HTML, its attachments, its source.
//!
//! The HTML is at an address of its own, under a policy of its own, and shown in a frame that may run nothing and is of no
//! origin. An attachment is given to be saved; a picture or plain text may be looked at, and then under a policy that
//! lets it do nothing.

use super::answer::{Refusal, html};
use super::download::disposition;
use super::folders::{Dates, crumbs};
use super::form::Fields;
use super::letter::html::policy;
use super::letter::text::{Piece, pieces};
use super::letter::{Attachment, DEEPEST, Form, LARGEST, Letter, Parts, within};
use super::list::size;
use super::page::Page;
use super::place::{Message, Part, Place, Visit, gone};
use super::state::{self, PATIENCE};
use super::text::Reading;
use super::{Shared, State};
use crate::error::{Error, Kind, Result};
use crate::fs::browse::{Order, Summary};
use crate::fs::{Fs, NodeId};
use crate::message::field::is_visible;
use askama::Template;
use axum::Router;
use axum::http::{Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;

/// A message that is longer takes a turn, as what is made of it takes several times its length.
const LONG: u64 = 4 << 20;
static LONG_ONES: Semaphore = Semaphore::const_new(2);

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// Of a frame or an attachment that is looked at: it may do nothing.
const NOTHING: &str = "default-src 'none'; sandbox";

/// Bytes of the source that are shown.
const MOST_SOURCE: u64 = 4 << 20;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/message/{*where}", get(message))
        .route("/frame/{*where}", get(frame))
        .route("/attachment/{*where}", get(attachment))
        .route("/source/{*where}", get(source))
}

/// What is shown of an attachment.
struct Shown {
    name: String,
    kind: String,
    size: String,
    download: String,
    /// Where it can be looked at.
    open: Option<String>,
}

#[derive(Template)]
#[template(path = "message.html", config = "src/portal/templates/askama.toml")]
struct View<'a> {
    page: Page,
    t: &'static Reading,
    place: &'a Place,
    dates: &'a Dates,
    crumbs: Vec<(String, String)>,
    id: &'a str,
    /// Which message within the message; empty: itself.
    inner: String,
    subject: &'a str,
    received: String,
    size: String,
    is_readable: bool,
    is_too_large: bool,
    letter: &'a Letter,
    pieces: Vec<Piece<'a>>,
    /// Where the frame is; `None`: the text is shown.
    frame: Option<String>,
    /// Where this page shows the other form, and pictures from elsewhere.
    text_address: String,
    html_address: String,
    remote_address: Option<String>,
    older: Option<(String, String)>,
    newer: Option<(String, String)>,
    attachments: Vec<Shown>,
}

impl View<'_> {
    fn address(&self, page: &str) -> String {
        self.place.message(page, self.id)
    }
}

/// What is read for the page.
struct Found {
    summary: Summary,
    older: Option<Summary>,
    newer: Option<Summary>,
    /// `None`: it cannot be read, or is too long.
    letter: Option<Letter>,
}

async fn message(
    axum::extract::State(state): axum::extract::State<Shared>,
    Visit { person, at }: Visit<Message>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let Message { place, id } = &at;
    let t = Reading::of(person.language);
    let fields = Fields::of(&uri);
    let inner = numbers(fields.get("in"))?;
    let summary = summary(&state, place, id).await?;
    let _turn = turn(&summary).await?;
    let (there, wanted, inside) = (place.clone(), summary.clone(), inner.clone());
    let found = state.read(move |fs| {
        let contents = fs.contents(&there.mailbox, &there.when, &there.folder)?;
        let contents = contents.ok_or_else(gone)?;
        let [newer, older] = fs.beside(&contents, Order::default(), &wanted.id)?;
        let letter = match whole(fs, &wanted) {
            _ if wanted.size > LARGEST => None,
            Ok(bytes) => Some(Letter::of(&within(&bytes, &inside).ok_or_else(gone)?)),
            Err(e) if matches!(e.kind(), Kind::Unreadable | Kind::Undecodable | Kind::NoKey) => {
                tracing::warn!("{e}");
                None
            }
            Err(e) => return Err(e),
        };
        Ok(Found {
            summary: wanted.clone(),
            older,
            newer,
            letter,
        })
    });
    let found = found.await?;
    let is_too_large = found.summary.size > LARGEST;
    let letter = found.letter.clone().unwrap_or_default();
    let in_inner = match inner.is_empty() {
        true => String::new(),
        false => format!("in={}", dotted(&inner)),
    };
    let (as_html, remote) = (fields.get("as") != "text", fields.get("remote") == "yes");
    let with = |page: &str, query: &[&str]| {
        let query: Vec<&str> = query.iter().copied().filter(|q| !q.is_empty()).collect();
        let address = place.message(page, id);
        match query.is_empty() {
            true => address,
            false => format!("{address}?{}", query.join("&")),
        }
    };
    let frame_query = if remote { "remote=yes" } else { "" };
    let shows_html = letter.has_html && as_html;
    let beside = |message: Option<Summary>| {
        let message = message?;
        let address = place.message("message", &message.id);
        Some((message.subject, address))
    };
    let dates = Dates::around(&person, place).await?;
    let subject = match (letter.fields.subject.trim(), found.summary.subject.trim()) {
        (own, _) if is_visible(own) => own,
        (_, "") => t.no_subject,
        (_, listed) => listed,
    };
    let page = person.page();
    Ok(html(&View {
        page,
        t,
        place,
        dates: &dates,
        crumbs: crumbs(place, person.language),
        id,
        inner: dotted(&inner),
        subject,
        received: state
            .fs
            .local(found.summary.received)
            .format("%Y-%m-%d %H:%M")
            .to_string(),
        size: size(found.summary.size),
        is_readable: found.letter.is_some(),
        is_too_large,
        pieces: if shows_html {
            Vec::new()
        } else {
            pieces(&letter.text)
        },
        frame: shows_html.then(|| with("frame", &[&in_inner, frame_query])),
        text_address: with("message", &[&in_inner, "as=text"]),
        html_address: with("message", &[&in_inner, "as=html"]),
        remote_address: (shows_html && letter.has_remote && !remote)
            .then(|| with("message", &[&in_inner, "as=html", "remote=yes"])),
        older: beside(found.older.clone()),
        newer: beside(found.newer.clone()),
        attachments: letter
            .attachments
            .iter()
            .map(|attachment| shown(place, id, &inner, attachment))
            .collect(),
        letter: &letter,
    }))
}

fn shown(place: &Place, id: &str, inner: &[u32], attachment: &Attachment) -> Shown {
    let path = [inner, &[attachment.number]].concat();
    let download = place.part("attachment", id, &dotted(&path));
    let open = match attachment.form {
        Form::Message if path.len() <= DEEPEST => Some(format!(
            "{}?in={}",
            place.message("message", id),
            dotted(&path)
        )),
        Form::Picture(_) | Form::Text => Some(format!("{download}?open=yes")),
        Form::Message | Form::File => None,
    };
    Shown {
        name: attachment.name.clone(),
        kind: attachment.kind.clone(),
        size: size(attachment.size as u64),
        download,
        open,
    }
}

async fn frame(
    axum::extract::State(state): axum::extract::State<Shared>,
    Visit { at, .. }: Visit<Message>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let Message { place, id } = &at;
    let fields = Fields::of(&uri);
    let (inner, remote) = (numbers(fields.get("in"))?, fields.get("remote") == "yes");
    let made = with_message(&state, place, id, move |bytes| {
        let message = within(bytes, &inner)?;
        Parts::of(&message)?.clean_html(remote)
    });
    let headers = [(header::CONTENT_SECURITY_POLICY, policy(remote))];
    Ok((headers, Html(made.await?)).into_response())
}

async fn attachment(
    axum::extract::State(state): axum::extract::State<Shared>,
    Visit { at, .. }: Visit<Part>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let Part { place, id, part } = &at;
    let mut path = numbers(part)?;
    let number = path.pop().ok_or(Refusal::NotFound)?;
    let taken = with_message(&state, place, id, move |bytes| {
        let message = within(bytes, &path)?;
        Parts::of(&message)?.take(number)
    });
    let (attachment, bytes) = taken.await?;
    let open = Fields::of(&uri).get("open") == "yes";
    let (kind, way) = match attachment.form {
        Form::Picture(kind) if open => (kind, "inline"),
        Form::Text if open => ("text/plain", "inline"),
        _ => ("application/octet-stream", "attachment"),
    };
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (
            header::CONTENT_DISPOSITION,
            disposition(way, &attachment.name),
        ),
        (header::CONTENT_SECURITY_POLICY, NOTHING.to_owned()),
    ];
    Ok((headers, bytes).into_response())
}

/// The message as it was sent, as text; no more than can be looked at.
async fn source(
    axum::extract::State(state): axum::extract::State<Shared>,
    Visit { at, .. }: Visit<Message>,
) -> Result<Response, Refusal> {
    let message = summary(&state, &at.place, &at.id).await?;
    let _turn = turn(&message).await?;
    let bytes = state.read(move |fs| read(fs, message.node, message.size.min(MOST_SOURCE)));
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, NOTHING),
    ];
    Ok((headers, bytes.await?).into_response())
}

/// What is told of a message.
pub(super) async fn summary(state: &State, place: &Place, id: &str) -> Result<Summary, Refusal> {
    let (place, id) = (place.clone(), id.to_owned());
    let found = state.read(move |fs| {
        let contents = fs.contents(&place.mailbox, &place.when, &place.folder)?;
        let contents = contents.ok_or_else(gone)?;
        fs.message(&contents, &id)?.ok_or_else(gone)
    });
    found.await
}

/// A turn to take a message apart, if it is a long one.
async fn turn(message: &Summary) -> Result<Option<tokio::sync::SemaphorePermit<'static>>, Refusal> {
    if message.size <= LONG || message.size > LARGEST {
        return Ok(None);
    }
    state::turn(&LONG_ONES, PATIENCE).await.map(Some)
}

/// Makes something of the bytes of a message; nothing is [`Refusal::NotFound`].
async fn with_message<T: Send + 'static>(
    state: &State,
    place: &Place,
    id: &str,
    make: impl Fn(&[u8]) -> Option<T> + Send + Sync + 'static,
) -> Result<T, Refusal> {
    let message = summary(state, place, id).await?;
    let _turn = turn(&message).await?;
    let made = state.read(move |fs| make(&whole(fs, &message)?).ok_or_else(gone));
    made.await
}

fn whole(fs: &Fs, message: &Summary) -> Result<Vec<u8>> {
    if message.size > LARGEST {
        let error = format!("{}: is too large to be shown", message.name);
        return Err(Error::new(Kind::NotFound, error));
    }
    read(fs, message.node, message.size)
}

/// The first bytes of a message.
fn read(fs: &Fs, node: NodeId, size: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < size {
        let left = usize::try_from(size).unwrap_or(usize::MAX) - bytes.len();
        let piece = fs.read(node, bytes.len() as u64, left.min(PIECE))?;
        if piece.is_empty() {
            return Err(Error::new(Kind::Unreadable, "a message ends too early"));
        }
        bytes.extend(piece);
    }
    Ok(bytes)
}

/// Numbers of parts as an address has them, such as `2.1`; none if it is empty.
fn numbers(text: &str) -> Result<Vec<u32>, Refusal> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let numbers = text.split('.').take(DEEPEST + 2).map(str::parse);
    numbers
        .collect::<Result<_, _>>()
        .map_err(|_| Refusal::NotFound)
}

fn dotted(numbers: &[u32]) -> String {
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    numbers.join(".")
}
