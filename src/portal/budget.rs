//! How much memory people may take up with what they send and with answers that they are slow to take.
//!
//! A form is read whole, and most answers are made whole; both are there until the other end is done with them, and that can last.
//! So what is long is counted, against whoever it is for and in sum, and what would be too much is refused as
//! [`Refusal::Busy`](super::answer::Refusal::Busy).
//!
//! Invariants: what is counted is given back when it is gone, however it ends; one person alone cannot use up what there is
//! for all.
//!
//! The cast: [`Budget`] counts, [`Share`] is a part of it, [`Held`] the body of an answer that goes with one.

use axum::Error;
use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

/// What one person may take up, in bytes: the longest message that is taken apart, and some more.
const OF_ONE: u64 = 80 << 20;

/// What all may take up together.
const OF_ALL: u64 = 512 << 20;

/// An answer that is no longer, in bytes, is not counted.
const SHORT: u64 = 128 << 10;

/// What an answer takes up that is made while it is taken.
const STREAM: u64 = super::download::AHEAD_BYTES;

/// So much of an answer is handed over to the connection at once.
const PIECE: usize = 64 << 10;

/// Counts what is taken up.
#[derive(Debug, Default)]
pub(super) struct Budget(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    all: u64,
    of: HashMap<String, u64>,
}

/// Bytes that somebody takes up as long as this is kept.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    who: String,
    bytes: u64,
}

impl Budget {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A share for somebody; `None` if that would be too much.
    pub fn take(self: &Arc<Self>, who: &str, bytes: u64) -> Option<Share> {
        let mut taken = self.lock();
        let own = taken.of.get(who).copied().unwrap_or_default();
        let (own, all) = (own.checked_add(bytes)?, taken.all.checked_add(bytes)?);
        if own > OF_ONE || all > OF_ALL {
            return None;
        }
        taken.all = all;
        taken.of.insert(who.to_owned(), own);
        Some(Share {
            budget: self.clone(),
            who: who.to_owned(),
            bytes,
        })
    }

    /// The body of an answer to somebody, with its share if it is long; `None` if that would be too much.
    pub fn hold(self: &Arc<Self>, who: &str, body: Body) -> Option<Body> {
        let whole = HttpBody::size_hint(&body).exact();
        if whole.is_some_and(|bytes| bytes <= SHORT) {
            return Some(body);
        }
        let held = Held {
            _share: self.take(who, whole.unwrap_or(STREAM))?,
            is_whole: whole.is_some(),
            body,
            rest: Bytes::new(),
        };
        Some(Body::new(held))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.budget.lock();
        taken.all = taken.all.saturating_sub(self.bytes);
        if let Some(own) = taken.of.get_mut(&self.who) {
            *own = own.saturating_sub(self.bytes);
            if *own == 0 {
                taken.of.remove(&self.who);
            }
        }
    }
}

/// A body with the share of what it takes up.
struct Held {
    _share: Share,
    /// It is in memory from the start.
    is_whole: bool,
    body: Body,
    /// What has come and is not handed over.
    rest: Bytes,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.rest.is_empty() {
            let next = ready!(Pin::new(&mut self.body).poll_frame(context));
            let frame = match next {
                Some(Ok(frame)) if self.is_whole => frame,
                other => return Poll::Ready(other),
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(other) => return Poll::Ready(Some(Ok(other))),
            }
        }
        let len = PIECE.min(self.rest.len());
        let piece = self.rest.split_to(len);
        // A copy: a part of it would keep the whole in memory after the share is given back.
        Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(&piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let coming = HttpBody::size_hint(&self.body).exact();
        coming.map_or_else(SizeHint::default, |bytes| {
            SizeHint::with_exact(bytes + self.rest.len() as u64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cannot_use_up_what_there_is_for_all() {
        let budget = Arc::new(Budget::default());
        let whole = budget.take("ann", OF_ONE).unwrap();
        assert!(budget.take("ann", 1).is_none());
        let others: Vec<Share> = (0..OF_ALL / OF_ONE - 1)
            .map(|n| budget.take(&n.to_string(), OF_ONE).unwrap())
            .collect();
        assert!(budget.take("bob", OF_ONE).is_none(), "of all");
        assert!(budget.take("bob", u64::MAX).is_none());
        drop(whole);
        let bob = budget.take("bob", OF_ONE).unwrap();
        drop((others, bob));
        let taken = budget.lock();
        assert_eq!((taken.all, taken.of.len()), (0, 0));
    }

    #[tokio::test]
    async fn a_long_answer_is_counted_until_it_is_taken() {
        let budget = Arc::new(Budget::default());
        let text: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
        let body = budget.hold("ann", Body::from(text.clone())).unwrap();
        assert_eq!(HttpBody::size_hint(&body).exact(), Some(3_000_000));
        assert_eq!(budget.lock().of["ann"], 3_000_000);
        assert!(axum::body::to_bytes(body, usize::MAX).await.unwrap() == text);
        assert_eq!(budget.lock().all, 0);

        let short = budget.hold("ann", Body::from("short"));
        assert_eq!(budget.lock().all, 0);
        drop(short);
        let pieces = [Ok::<_, Error>("a"), Ok("b")];
        let stream = Body::from_stream(tokio_stream::iter(pieces));
        let stream = budget.hold("ann", stream).unwrap();
        assert_eq!(budget.lock().all, STREAM);
        assert_eq!(axum::body::to_bytes(stream, 9).await.unwrap(), "ab");
        assert_eq!(budget.lock().all, 0);
    }
}
