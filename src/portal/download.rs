//! Downloads: what is made piece by piece, at the pace of who takes it.
//!
//! Nothing is held but a few pieces, no thread waits for a slow connection, and when the client has gone the work ends.
//!
//! Invariants: what breaks off in the middle breaks the connection, so that nobody takes it for whole; nothing of a download is
//! shown as a page, and its name is one name.

use super::Shared;
use super::answer::Refusal;
use super::archive::Archive;
use crate::error::{Error, Kind, Result};
use crate::fs::browse::export::Mbox;
use crate::fs::{Fs, NodeId};
use crate::view::name;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
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

/// Given to be saved, it may do nothing where it is shown all the same.
const NOTHING: &str = "default-src 'none'; sandbox";

/// What is made piece by piece. After an error it may be asked again.
pub(super) trait Pieces: Send + 'static {
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
pub(super) async fn body(state: &Shared, pieces: impl Pieces) -> Result<Body, Refusal> {
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

/// A file of the mount, or the range of it that is asked for.
pub(super) async fn file(
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

/// An answer that is to be saved under a name, which need not be safe.
pub(super) fn download(body: Body, kind: &str, name: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_DISPOSITION, disposition("attachment", name)),
        (header::CONTENT_SECURITY_POLICY, NOTHING.to_owned()),
    ];
    (headers, body).into_response()
}

/// The header `Content-Disposition` (RFC 6266); `way` is `attachment` or `inline`. The name need not be safe.
pub(super) fn disposition(way: &str, name: &str) -> String {
    let name = name::file(name);
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
        let long = disposition("attachment", &format!("{}.docx", "a".repeat(400)));
        assert!(
            long.ends_with("%29%2Edocx") && long.contains(").docx\";"),
            "{long}"
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
