//! The way back: taking away what a run has put, as long as nobody has changed it.

use super::journal::{Fate, Line, Log, Logs, Past, unescape};
use super::live::{Removal, Target};
use super::{Method, Restorer, Whose, address};
use crate::error::Result;
use crate::store::Format;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What was taken away again, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Undone {
    pub mailbox: String,
    pub log: PathBuf,
    pub remove: u64,
    /// Messages with other flags or other bytes than they were put with; they stay.
    pub changed: u64,
    /// Messages that are not where they were put; they are left where they are.
    pub gone: u64,
}

impl Restorer {
    /// Takes away what the run of a log has put, where it is still as it was put; without `really`, says what would be done.
    /// Folders that the run made stay.
    pub fn undo(&self, log: &Path, really: bool) -> Result<Undone> {
        let past = Past::read(log)?;
        let _lock = match really {
            true => Some(Logs::lock(&self.logs, &past.run.mailbox)?),
            false => None,
        };
        let path = past.run.live.as_ref().unwrap_or(&past.run.path);
        let mailbox = Whose {
            user: address(&past.run.user, past.run.domain.as_deref()),
            path: unescape(path),
            format: Format::named(&past.run.format).unwrap_or(Format::MAILDIR),
        };
        let mut undone = Undone {
            mailbox: past.run.mailbox.clone(),
            log: log.to_owned(),
            ..Undone::default()
        };
        // What was put as files is taken away as files.
        let was_files = past.run.method == Method::Maildir.name() && self.live.is_some();
        let method = match was_files {
            true => Method::Maildir,
            false => self.method_for(&mailbox)?,
        };
        self.with_live(&mailbox, method, |live| {
            let mut log = match really {
                true => Some(Log::open(log)?),
                false => None,
            };
            for (item, fate) in &past.items {
                let place = match fate {
                    Fate::Put(place) => Some(place.clone()),
                    // Put, perhaps, just before the run was killed.
                    Fate::Pending => match &item.name {
                        Some(name) => live.put_as(&Target::named(&item.into), name)?,
                        None => None,
                    },
                    Fate::Settled | Fate::Removed => None,
                };
                let Some(place) = place else {
                    continue;
                };
                match live.remove(&place, really)? {
                    Removal::Removed => {
                        undone.remove += 1;
                        if let Some(log) = &mut log {
                            log.append(&Line::Removed { item: item.item })?;
                        }
                    }
                    Removal::Changed => undone.changed += 1,
                    Removal::Gone => undone.gone += 1,
                }
            }
            live.sync()?;
            if let Some(log) = &mut log {
                log.append(&Line::End)?;
                log.sync()?;
            }
            Ok(undone)
        })
    }
}
