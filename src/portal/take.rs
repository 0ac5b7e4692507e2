//! Taking mail away: a message, a folder or chosen messages, as EML, MBOX or Maildir.
//!
//! Everything is made piece by piece, at the pace of who takes it: nothing is held but a piece, no thread waits for a slow
//! connection, and when the client has gone the work ends.
//!
//! Invariants: the bytes are the mount's; what breaks off in the middle breaks the connection, so that nobody takes it for whole.

use super::answer::Refusal;
use super::archive::{Archive, Folder};
use super::form::Posted;
use super::message::summary;
use super::person::Person;
use super::place::{Message, Place, Visit, when};
use super::text::{Reading, Shell};
use super::{Shared, answer};
use crate::error::{Error, Kind, Result};
use crate::fs::browse::export::Mbox;
use crate::fs::browse::{Contents, When};
use crate::fs::{Fs, NodeId};
use crate::view::name;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Bytes of a file that are read at once.
const PIECE: usize = 512 << 10;

/// Pieces that wait for the client.
const AHEAD: usize = 2;

/// Bytes of all pieces of a download at a time: one is made, and one is with the connection.
pub(super) const AHEAD_BYTES: u64 = ((AHEAD + 2) * PIECE) as u64;

/// How often, and how long apart, a turn is asked for again while many are reading.
const ATTEMPTS: usize = 60;
const PAUSE: Duration = Duration::from_secs(1);

/// Messages that can be chosen at once.
const MOST_CHOSEN: usize = 10_000;

/// Given to be saved, it may do nothing where it is shown all the same.
const NOTHING: &str = "default-src 'none'; sandbox";

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/eml/{*where}", get(eml))
        .route("/mbox/{*where}", get(mbox))
        .route("/maildir/{*where}", get(maildir))
        .route("/take/mbox", post(chosen_mbox))
        .route("/take/maildir", post(chosen_maildir))
}

/// What is made piece by piece. After an error it may be asked again.
trait Pieces: Send + 'static {
    fn next(&mut self, fs: &Fs) -> Result<Option<Vec<u8>>>;
}

impl Pieces for Mbox {
    fn next(&mut self, fs: &Fs) -> Result<Option<Vec<u8>>> {
        self.next(fs)
    }
}

impl Pieces for Archive {
    fn next(&mut self, fs: &Fs) -> Result<Option<Vec<u8>>> {
        self.next(fs)
    }
}

/// A range of a file of the mount.
struct File {
    node: NodeId,
    range: Range<u64>,
}

impl Pieces for File {
    fn next(&mut self, fs: &Fs) -> Result<Option<Vec<u8>>> {
        let left = self.range.end.saturating_sub(self.range.start);
        if left == 0 {
            return Ok(None);
        }
        let len = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let bytes = fs.read(self.node, self.range.start, len)?;
        if bytes.is_empty() {
            return Err(Error::new(Kind::Unreadable, "a file ends too early"));
        }
        self.range.start += bytes.len() as u64;
        Ok(Some(bytes))
    }
}

/// A body of these pieces. The first is made before there is an answer, so that what fails at once is told.
async fn body(state: &Shared, pieces: impl Pieces) -> Result<Body, Refusal> {
    let pieces = Arc::new(Mutex::new(pieces));
    let Some(first) = piece(state, &pieces).await? else {
        return Ok(Body::empty());
    };
    let (send, receive) = mpsc::channel::<io::Result<Vec<u8>>>(AHEAD);
    let state = state.clone();
    tokio::spawn(async move {
        let mut next = Ok(Some(first));
        loop {
            let (piece, is_last) = match next {
                Ok(None) => return,
                Ok(Some(piece)) => (Ok(piece), false),
                Err(refusal) => {
                    tracing::warn!("a download breaks off: {refusal:?}");
                    (
                        Err(io::Error::other("the backup cannot be read further")),
                        true,
                    )
                }
            };
            // Nobody takes it any more if the client has gone.
            if send.send(piece).await.is_err() || is_last {
                return;
            }
            next = piece_in_time(&state, &pieces).await;
        }
    });
    Ok(Body::from_stream(ReceiverStream::new(receive)))
}

async fn piece_in_time<P: Pieces>(
    state: &Shared,
    pieces: &Arc<Mutex<P>>,
) -> Result<Option<Vec<u8>>, Refusal> {
    for _ in 0..ATTEMPTS {
        match piece(state, pieces).await {
            Err(Refusal::Busy) => tokio::time::sleep(PAUSE).await,
            made => return made,
        }
    }
    Err(Refusal::Busy)
}

async fn piece<P: Pieces>(
    state: &Shared,
    pieces: &Arc<Mutex<P>>,
) -> Result<Option<Vec<u8>>, Refusal> {
    let pieces = pieces.clone();
    let made = state.read(move |fs| {
        let mut pieces = pieces.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.next(fs)
    });
    made.await
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

/// A file of the mount, or the range of it that is asked for.
async fn file(
    state: &Shared,
    asked: &HeaderMap,
    node: NodeId,
    size: u64,
    kind: &str,
    name: &str,
) -> Result<Response, Refusal> {
    let tag = format!("\"{:x}-{size:x}\"", node.0);
    let range = match range(asked, &tag, size) {
        Asked::All => None,
        Asked::Part(range) => Some(range),
        Asked::Nothing => {
            let headers = [(header::CONTENT_RANGE, format!("bytes */{size}"))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response());
        }
    };
    let pieces = File {
        node,
        range: range.clone().unwrap_or(0..size),
    };
    let len = pieces.range.end - pieces.range.start;
    let mut response = download(body(state, pieces).await?, kind, name);
    let mut put = |name, value: String| {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    };
    put(header::CONTENT_LENGTH, len.to_string());
    put(header::ACCEPT_RANGES, "bytes".into());
    put(header::ETAG, tag);
    if let Some(range) = range {
        put(
            header::CONTENT_RANGE,
            format!("bytes {}-{}/{size}", range.start, range.end - 1),
        );
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// What part of a file is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    All,
    Part(Range<u64>),
    /// None of it is in the file.
    Nothing,
}

fn range(headers: &HeaderMap, tag: &str, size: u64) -> Asked {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_RANGE).is_some_and(|wanted| wanted != tag) {
        return Asked::All;
    }
    let asked = text(header::RANGE).and_then(|asked| asked.strip_prefix("bytes="));
    let Some((from, to)) = asked.and_then(|asked| asked.split_once('-')) else {
        return Asked::All;
    };
    let part = match (from.trim().parse::<u64>(), to.trim().parse::<u64>()) {
        (Ok(from), Ok(to)) if from <= to => from..to.saturating_add(1).min(size),
        (Ok(from), Err(_)) if to.trim().is_empty() => from..size,
        (Err(_), Ok(last)) if from.trim().is_empty() => size.saturating_sub(last)..size,
        // Several ranges, or nothing that makes sense: the whole is always right.
        _ => return Asked::All,
    };
    match part.start < part.end {
        true => Asked::Part(part),
        false => Asked::Nothing,
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
fn nothing(person: &Person) -> Response {
    let page = person.page();
    answer::html(&answer::Said {
        title: Reading::of(person.language).nothing_chosen,
        about: Shell::of(person.language).not_understood_about,
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

pub(super) fn gone() -> Error {
    Error::new(Kind::NotFound, "no such folder or message")
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

fn download(body: Body, kind: &str, name: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_DISPOSITION, disposition("attachment", name)),
        (header::CONTENT_SECURITY_POLICY, NOTHING.to_owned()),
    ];
    (headers, body).into_response()
}

/// The header `Content-Disposition` (RFC 6266); `way` is `attachment` or `inline`. The name need not be safe.
pub(super) fn disposition(way: &str, name: &str) -> String {
    let name = name::component(name);
    let plain: String = name
        .chars()
        .map(|c| match c {
            ' '..='~' if !"\"\\%".contains(c) => c,
            _ => '_',
        })
        .collect();
    let encoded = utf8_percent_encode(&name, NON_ALPHANUMERIC);
    format!("{way}; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_downloads() {
        assert_eq!(
            disposition("attachment", "Grüße \"x\".pdf"),
            "attachment; filename=\"Gr__e _x_.pdf\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%5Fx%5F%2Epdf"
        );
        for name in [
            "../../etc/passwd",
            "a\r\nSet-Cookie: x",
            "\u{202e}fdp.exe",
            "",
            "CON",
            &"ü".repeat(5000),
        ] {
            let header = disposition("inline", name);
            assert!(
                header.is_ascii() && !header.contains(['\r', '\n', '/']),
                "{header}"
            );
            assert!(header.parse::<axum::http::HeaderValue>().is_ok());
        }
    }

    #[test]
    fn ranges_that_are_asked_for() {
        let of = |text: &str, tag: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, text.parse().unwrap());
            if let Some(tag) = tag {
                headers.insert(header::IF_RANGE, tag.parse().unwrap());
            }
            range(&headers, "\"t\"", 10)
        };
        for (text, expected) in [
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=2-99", Asked::Part(2..10)),
            ("bytes=7-", Asked::Part(7..10)),
            ("bytes=-3", Asked::Part(7..10)),
            ("bytes=-99", Asked::Part(0..10)),
            ("bytes=10-", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=3-2", Asked::All),
            ("bytes=0-1,3-4", Asked::All),
            ("bytes=x", Asked::All),
            ("lines=1-2", Asked::All),
        ] {
            assert_eq!(of(text, None), expected, "{text}");
        }
        assert_eq!(of("bytes=1-2", Some("\"t\"")), Asked::Part(1..3));
        assert_eq!(of("bytes=1-2", Some("\"old\"")), Asked::All);
        assert_eq!(range(&HeaderMap::new(), "\"t\"", 10), Asked::All);
    }
}
