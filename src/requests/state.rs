//! How far a request has come.

use crate::error::{Error, Kind, Result};
use serde::Serialize;
use std::fmt;

/// How far a request has come.
///
/// ```text
/// pending ─┬─> approved ──> running ─┬─> done
///          ├─> declined              ├─> partial
///          └─> lapsed                └─> failed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nobody has decided.
    Pending,
    /// It is to be carried out.
    Approved,
    /// It is being carried out, or was when the process ended.
    Running,
    /// Everything that was missing is back.
    Done,
    /// Some of it could not be read in the backup, or not be put back.
    Partial,
    /// It could not be carried out.
    Failed,
    /// An administrator has refused it.
    Declined,
    /// The backup was gone before anybody decided.
    Lapsed,
}

impl State {
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Approved,
        Self::Running,
        Self::Done,
        Self::Partial,
        Self::Failed,
        Self::Declined,
        Self::Lapsed,
    ];

    /// As the database, the command line and exports call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Running => "running",
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Declined => "declined",
            Self::Lapsed => "lapsed",
        }
    }

    /// # Errors
    /// [`Kind::Config`] if no state is called so.
    pub fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|state| state.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            let message = format!("\"{name}\" is no state of a request: there are {names}");
            Error::new(Kind::Config, message)
        })
    }

    /// Whether nothing will change any more.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Approved | Self::Running)
    }

    /// Whether this state may be followed by that one.
    pub(super) fn leads_to(self, next: Self) -> bool {
        match self {
            Self::Pending => matches!(next, Self::Approved | Self::Declined | Self::Lapsed),
            Self::Approved => next == Self::Running,
            Self::Running => matches!(next, Self::Done | Self::Partial | Self::Failed),
            _ => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
