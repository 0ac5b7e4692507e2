//! One error type with a closed kind.
//!
//! The kind decides what the kernel is told (`fuse` has the only table from kind to errno) and what a command's
//! exit code is; the message speaks to the person who can act: what was being done, to which file, line or mailbox,
//! and what to do. The kind never changes on the way up; context is put in front of the message.

use std::fmt;

/// What went wrong, as far as anybody has to decide on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No such name.
    NotFound,
    /// A node id or an open file of something that has vanished since.
    Stale,
    NotADirectory,
    IsADirectory,
    /// The store refused, is damaged, or took too long: the bytes can't be had.
    Unreadable,
    /// A stored message that is not what was learned of it.
    Altered,
    /// A stored message whose encoding is damaged or unknown.
    Undecodable,
    /// A stored message that is encrypted for a key that mailtm does not have.
    NoKey,
    /// No such extended attribute.
    NoData,
    /// A buffer that the caller gave is too small.
    TooSmall,
    Invalid,
    /// The answer needs the disk, and this thread may not wait for it now: ask again from a thread that may.
    WouldBlock,
    /// Wrong usage or configuration.
    Config,
    /// Everything else that makes a command fail.
    Failed,
}

/// An error with its kind and a message for the person who can act.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: Kind,
    message: String,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Says what was being done: `context: message`.
    #[must_use]
    pub fn context(self, context: impl fmt::Display) -> Self {
        Self {
            kind: self.kind,
            message: format!("{context}: {}", self.message),
        }
    }
}

/// Adds what was being done to an error on its way up.
pub trait Context<T> {
    fn context<C: fmt::Display>(self, context: impl FnOnce() -> C) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn context<C: fmt::Display>(self, context: impl FnOnce() -> C) -> Result<T> {
        self.map_err(|e| e.context(context()))
    }
}
