//! What a request means to a restore.

use super::request::{Details, Id};
use super::store::Store;
use crate::error::Result;
use crate::restore::{self, Plan, Restorer};

impl Details {
    /// What is to be restored.
    pub(super) fn wanted(&self) -> restore::Request {
        let request = &self.request;
        restore::Request {
            date: request.date.clone(),
            taken: Some(request.snapshot_time),
            mailbox: request.mailbox.clone(),
            folder: request.folder.clone(),
            messages: self.messages.clone(),
            into: request.into.clone(),
        }
    }
}

impl Store {
    /// What would be put back. Changes nothing; takes as long as reading what is asked for.
    ///
    /// # Errors
    /// Those of [`Restorer::plan`].
    pub fn plan(&self, id: Id, restorer: &Restorer) -> Result<Plan> {
        restorer.plan(&self.get(id)?.wanted())
    }
}
