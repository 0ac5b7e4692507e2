//! The same mailbox in the live mail store.

use super::{Layout, Mailbox, Mailboxes};
use crate::disk::Root;
use crate::error::{Error, Kind, Result};
use crate::store::beside::home;
use std::sync::Arc;

impl Layout {
    /// The mailbox in the live mail store: at the same path; or, as one of another format may be, elsewhere in the same home
    /// directory; or else the one of the same user and domain among `all`, of the same owner if there are several. `None` if there
    /// is none.
    ///
    /// # Errors
    /// [`Kind::Unreadable`] also if there is no mailbox at all: then this is hardly the live store.
    pub fn counterpart(
        &self,
        root: &Root,
        mailbox: &Mailbox,
        all: impl FnOnce() -> Result<Arc<Mailboxes>>,
    ) -> Result<Option<Mailbox>> {
        let missing = |e: &Error| matches!(e.kind(), Kind::NotFound | Kind::NotADirectory);
        let at_path = match mailbox.parts.is_empty() {
            true => self.store_at(root, &mailbox.path),
            // Its folders may have become others.
            false => Err(Error::new(Kind::NotFound, "a mailbox of many places")),
        };
        let store = match at_path {
            // A spool that somebody has emptied is a file as before.
            Ok(None) if mailbox.inbox.as_ref() == Some(&mailbox.path) => {
                Some((mailbox.path.clone(), mailbox.format))
            }
            Ok(None) => Some((mailbox.path.clone(), self.presumed())),
            Err(e) if missing(&e) => {
                match home(&mailbox.path).map(|home| self.store_at(root, home)) {
                    Some(Err(e)) if missing(&e) => None,
                    found => found.transpose()?.flatten(),
                }
            }
            found => found?,
        };
        if let Some((path, format)) = store {
            let changed = root.stat(&path)?.mtime;
            let there = |inbox: &Vec<u8>| !root.stat(inbox).is_err_and(|e| missing(&e));
            let inbox = mailbox.inbox.clone();
            return Ok(Some(Mailbox {
                path,
                format,
                changed,
                inbox: inbox.filter(there),
                ..mailbox.clone()
            }));
        }
        let all = all()?;
        let found = all.namesakes(mailbox).min_by_key(|m| m.uid != mailbox.uid);
        let found = found.cloned();
        if found.is_none() && (all.iter().len() == 0 || !all.is_complete()) {
            let message = format!(
                "{}: holds no mailbox, or not all of it can be read: see whether it is mounted, and whether it is \
                 the live mail store",
                root.path().display()
            );
            return Err(Error::new(Kind::Unreadable, message));
        }
        Ok(found)
    }
}
