//! Where Dovecot keeps a live Maildir's control files: beside the messages, or in a directory of their own (`CONTROL=`).

use super::keywords::{self, Keywords};
use super::{Mailbox, subscriptions};
use crate::error::{Kind, Result};
use crate::restore::gate::{Dir, Ownership};
use crate::store::maildir::INBOX_CONTROLS;
use crate::store::{beside, join};

/// Dovecot's file of the numbers of messages, in each folder's directory of control files.
const UIDS: &[u8] = b"dovecot-uidlist";

impl Mailbox<'_> {
    /// The keywords of a folder, whose directory is `dir`; `None` if it is not known where Dovecot keeps them.
    pub(super) fn keywords_of(
        &self,
        folder: &[u8],
        dir: Dir,
        like: Ownership,
    ) -> Result<Option<Keywords>> {
        // Where Dovecot keeps its files beside the messages, INBOX has this one.
        if self.gate.dir(self.path)?.has(UIDS)? || dir.has(UIDS)? {
            return Keywords::read(dir, like).map(Some);
        }
        let Some((controls, inbox)) = self.controls()? else {
            return match dir.has(keywords::FILE)? {
                true => Keywords::read(dir, like).map(Some),
                false => Ok(None),
            };
        };
        let mut control = self.gate.dir(&controls)?;
        let like = control.ownership()?;
        let path = if folder.is_empty() { inbox } else { folder };
        for level in path.split(|&b| b == b'/').filter(|l| !l.is_empty()) {
            control = control.make(level, like)?.0;
        }
        Keywords::read(control, like).map(Some)
    }

    /// The directory beside the mailbox that Dovecot keeps its files in (`CONTROL=`), and the one in it that is INBOX's.
    pub(super) fn controls(&self) -> Result<Option<(Vec<u8>, &'static [u8])>> {
        let mut found = Vec::new();
        for controls in beside::directories(self.root, self.path)? {
            for inbox in INBOX_CONTROLS {
                match self.gate.dir(&join(&controls, inbox)) {
                    Ok(dir) if dir.has(UIDS)? && !dir.has(b"cur")? => {
                        found.push((controls.clone(), inbox));
                    }
                    Ok(_) => {}
                    Err(e) if matches!(e.kind(), Kind::NotFound | Kind::NotADirectory) => {}
                    Err(e) => return Err(e),
                }
            }
        }
        let one = found.pop();
        Ok(one.filter(|_| found.is_empty()))
    }

    /// Subscribes to a new folder, where Dovecot keeps its files.
    pub(super) fn subscribe(&self, levels: &[Vec<u8>], separator: u8) -> Result<()> {
        let mut dir = self.gate.dir(self.path)?;
        if !dir.has(subscriptions::FILE)?
            && let Some((controls, _)) = self.controls()?
        {
            dir = self.gate.dir(&controls)?;
        }
        subscriptions::add(&dir, dir.ownership()?, levels, separator)
    }
}
