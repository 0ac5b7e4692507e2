//! How much of a mailbox is looked at: its owner decides how many folders and messages there are.

use crate::disk::lane;
use crate::error::{Error, Kind, Result};

/// Folders nested deeper than this are not looked for; IMAP servers allow some 20 levels.
pub const DEEPEST: usize = 64;

/// Messages in a folder at most: more than there are numbers for.
pub const MOST_MESSAGES: usize = 1 << 22;

/// Directories of folders in a mailbox at most, each counted with the square of its depth: a folder's name has one
/// component for each level, and so has that of each directory above it.
const MOST_LEVELS: u64 = 4 << 20;

/// Room for the folders of a mailbox.
pub struct Room<'a> {
    left: u64,
    mailbox: &'a [u8],
}

impl<'a> Room<'a> {
    /// `mailbox`: its path, for the error.
    pub fn new(mailbox: &'a [u8]) -> Self {
        Self {
            left: MOST_LEVELS,
            mailbox,
        }
    }

    /// Takes the room of a directory at a depth.
    ///
    /// # Errors
    /// [`Kind::Unreadable`] if there is none left.
    pub fn take(&mut self, depth: usize) -> Result<()> {
        self.left = self.left.checked_sub((depth * depth) as u64).ok_or_else(|| {
            Error::new(
                Kind::Unreadable,
                format!(
                    "{}: more folders, or more deeply nested ones, than a mailbox can have here: it is not shown",
                    String::from_utf8_lossy(self.mailbox)
                ),
            )
        })?;
        Ok(())
    }
}

/// Whether an error is about one thing in a mailbox, and neither about the snapshot nor about who may wait for it.
pub fn is_of_one(error: &Error) -> bool {
    matches!(error.kind(), Kind::Unreadable | Kind::Undecodable)
        && !lane::current_beat().is_some_and(|beat| beat.is_expired())
}
