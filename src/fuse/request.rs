//! A request on its way: its operation, its reply, and whoever is first to answer.

use super::counts::Counts;
use crate::disk::lane::{Job, Outcome};
use crate::error::{Error, Kind, Result};
use fuser::{
    Errno, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyXattr,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// What sending came to: done, or the reply back with an error that nothing was sent for yet.
pub(super) type Sent<R> = std::result::Result<(), (R, Error)>;

/// What a request is about, which decides what a vanished snapshot looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    /// A name in a directory.
    Name,
    /// The bytes of a file.
    Bytes,
    /// A node, by its id.
    Node,
}

/// A request on its way.
pub(super) struct Pending<F, R, O, S> {
    fs: Arc<F>,
    counts: Arc<Counts>,
    /// Taken by whoever answers.
    reply: Mutex<Option<R>>,
    context: Context,
    operation: O,
    send: S,
}

impl<F, R, O, S> Pending<F, R, O, S> {
    pub(super) fn new(
        fs: Arc<F>,
        counts: Arc<Counts>,
        reply: R,
        context: Context,
        operation: O,
        send: S,
    ) -> Self {
        Self {
            fs,
            counts,
            reply: Mutex::new(Some(reply)),
            context,
            operation,
            send,
        }
    }

    fn take(&self) -> Option<R> {
        self.reply
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn put_back(&self, reply: R) {
        *self.reply.lock().unwrap_or_else(PoisonError::into_inner) = Some(reply);
    }
}

impl<F, R, T, O, S> Job for Pending<F, R, O, S>
where
    R: Reply,
    F: Send + Sync + 'static,
    O: Fn(&F) -> Result<T> + Send + Sync + 'static,
    S: Fn(&F, R, T) -> Sent<R> + Send + Sync + 'static,
{
    fn run(&self) -> Outcome {
        let result = catch_unwind(AssertUnwindSafe(|| (self.operation)(&self.fs))).unwrap_or_else(|_| {
            tracing::error!("a request failed by a fault in mailtm itself; it was answered with an I/O error");
            Err(Error::new(Kind::Unreadable, "a fault in mailtm itself"))
        });
        let failed = match result {
            Ok(value) => {
                let Some(reply) = self.take() else {
                    return Outcome::Answered;
                };
                match catch_unwind(AssertUnwindSafe(|| (self.send)(&self.fs, reply, value))) {
                    Ok(Ok(())) => {
                        self.counts.answered();
                        return Outcome::Answered;
                    }
                    Ok(Err((reply, error))) => {
                        self.put_back(reply);
                        error
                    }
                    // The reply, dropped unanswered, answers EIO by itself.
                    Err(_) => return Outcome::Answered,
                }
            }
            Err(error) => error,
        };
        if failed.kind() == Kind::WouldBlock {
            return Outcome::Refused;
        }
        if let Some(reply) = self.take() {
            match failed.kind() {
                // What cannot be decoded was told of where that was found.
                Kind::Unreadable => tracing::warn!("{failed}"),
                kind => tracing::debug!("{kind:?}: {failed}"),
            }
            let errno = errno(failed.kind(), self.context);
            self.counts.failed(errno);
            reply.fail(errno);
        }
        Outcome::Answered
    }

    fn expire(&self) {
        if let Some(reply) = self.take() {
            self.counts.expire();
            reply.fail(Errno::EIO);
        }
    }
}

/// The one table from what went wrong to what the kernel is told.
fn errno(kind: Kind, context: Context) -> Errno {
    match (kind, context) {
        // What was found has something else in its place, or nothing.
        (Kind::Stale | Kind::NotFound | Kind::NotADirectory, Context::Bytes) => Errno::EIO,
        (Kind::Stale | Kind::NotFound, Context::Name) => Errno::ENOENT,
        (Kind::Stale | Kind::NotFound, Context::Node) => Errno::ESTALE,
        (Kind::NotADirectory, _) => Errno::ENOTDIR,
        (Kind::IsADirectory, _) => Errno::EISDIR,
        (Kind::NoData, _) => Errno::ENODATA,
        (Kind::TooSmall, _) => Errno::ERANGE,
        (Kind::Invalid, _) => Errno::EINVAL,
        (
            Kind::Unreadable
            | Kind::Altered
            | Kind::Undecodable
            | Kind::NoKey
            | Kind::WouldBlock
            | Kind::Config
            | Kind::Failed,
            _,
        ) => Errno::EIO,
    }
}

/// A reply that can say no.
pub(super) trait Reply: Send + 'static {
    fn fail(self, errno: Errno);
}

macro_rules! replies {
    ($($reply:ty),*) => {
        $(impl Reply for $reply {
            fn fail(self, errno: Errno) {
                self.error(errno);
            }
        })*
    };
}

replies!(
    ReplyAttr,
    ReplyData,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyEntry,
    ReplyOpen,
    ReplyStatfs,
    ReplyXattr
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::lane::Workers;
    use std::sync::mpsc;
    use std::time::Duration;

    /// Tells what it was answered.
    struct Told(mpsc::Sender<Option<i32>>);

    impl Reply for Told {
        fn fail(self, errno: Errno) {
            self.0.send(Some(errno.code())).unwrap();
        }
    }

    fn answered(operation: impl Fn(&()) -> Result<()> + Send + Sync + 'static) -> Option<i32> {
        let workers = Workers::start(Duration::from_secs(5), 1).unwrap();
        let (tell, told) = mpsc::channel();
        let send = |_: &(), reply: Told, ()| {
            reply.0.send(None).unwrap();
            Ok(())
        };
        let counts = Arc::new(Counts::default());
        let (told_by, context) = (Told(tell), Context::Name);
        let pending = Pending::new(
            Arc::new(()),
            counts.clone(),
            told_by,
            context,
            operation,
            send,
        );
        workers.run(Arc::new(pending));
        let answer = told.recv_timeout(Duration::from_secs(5)).unwrap();
        assert!(counts.requests() <= 1);
        assert_eq!(counts.unreadable(), u64::from(answer == Some(libc::EIO)));
        answer
    }

    #[test]
    fn a_panic_is_answered_with_an_io_error_and_the_thread_goes_on() {
        assert_eq!(answered(|_| panic!("a fault")), Some(libc::EIO));
        assert_eq!(answered(|_| Ok(())), None);
    }

    #[test]
    fn errors_are_told_as_what_the_request_was_about() {
        let stale = || Error::new(Kind::Stale, "gone");
        assert_eq!(answered(move |_| Err(stale())), Some(libc::ENOENT));
        assert_eq!(errno(Kind::Stale, Context::Bytes).code(), libc::EIO);
        assert_eq!(errno(Kind::NotADirectory, Context::Bytes).code(), libc::EIO);
        assert_eq!(errno(Kind::Stale, Context::Node).code(), libc::ESTALE);
    }
}
