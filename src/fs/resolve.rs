//! From a node id to what it means.

use super::deleted::{Kept, Somebody};
use super::inside::Inside;
use super::maildir::Part;
use super::node::{self, NodeId, Parts, Place};
use super::{Fs, Open};
use crate::error::Result;
use crate::index::Table;
use crate::view::tree::Branch;
use std::sync::Arc;

/// What a node id means. Positions are those of a directory in the mailbox's tree, and of a message in its folder.
pub enum Meaning {
    Root,
    Latest,
    Date(Arc<Open>),
    Mailbox(Inside),
    About(Inside),
    Branch(Inside, u32),
    Mbox(Inside, u32),
    Message(Inside, u32, usize),
    Deleted,
    DeletedMailbox(Arc<Somebody>),
    DeletedFolder(Arc<Somebody>, Arc<Kept>, u32),
    Maildirs,
    MaildirDate(Arc<Open>),
    /// `None`: the mailbox itself, which is its INBOX.
    Maildir(Inside, Option<u32>, Part),
}

impl Fs {
    /// # Errors
    /// [`Kind::Stale`]: the id means nothing, or nothing any more.
    pub(super) fn resolve(&self, id: NodeId) -> Result<Meaning> {
        if !id.is_possible() {
            return Err(id.stale());
        }
        if id == node::ROOT {
            return Ok(Meaning::Root);
        }
        if id == node::LATEST {
            return Ok(Meaning::Latest);
        }
        if id == node::DELETED {
            return Ok(Meaning::Deleted);
        }
        if id == node::MAILDIRS {
            return Ok(Meaning::Maildirs);
        }
        let Parts {
            snapshot,
            place,
            ordinal,
        } = id.parts();
        if snapshot == 0 {
            return match (place, ordinal) {
                (0, _) | (_, 1..) => Err(id.stale()),
                _ => Ok(match self.in_deleted(id, place)? {
                    (somebody, None) => Meaning::DeletedMailbox(somebody),
                    (somebody, Some((kept, position))) => {
                        Meaning::DeletedFolder(somebody, kept, position)
                    }
                }),
            };
        }
        let open = self
            .shown()
            .by_serial
            .get(&snapshot)
            .cloned()
            .ok_or_else(|| id.stale())?;
        if place == 0 {
            return match ordinal {
                0 => Ok(Meaning::Date(open)),
                node::MAILDIR_DATE => Ok(Meaning::MaildirDate(open)),
                _ => Err(id.stale()),
            };
        }
        let key = match self.index.key_of(Table::Folder, place) {
            Some(key) => key,
            None => self.find_again(&open, place)?,
        };
        let Place { mailbox, source } = Place::decode(&key)?;
        let populated = self.populated(&open)?;
        let mailbox = populated.mailboxes.at(&mailbox).ok_or_else(|| id.stale())?;
        let inside = self.inside(&open, &populated, mailbox)?;
        if source.is_none() {
            return match ordinal {
                0 => Ok(Meaning::Mailbox(inside)),
                1 => Ok(Meaning::About(inside)),
                node::MAILDIR.. => {
                    let part = self.maildir_part(id, &inside, None)?;
                    Ok(Meaning::Maildir(inside, None, part))
                }
                _ => Err(id.stale()),
            };
        }
        let position = *inside
            .nested
            .by_serial
            .get(&place)
            .ok_or_else(|| id.stale())?;
        let is_folder = inside.folder(position).is_some();
        match ordinal {
            0 => Ok(Meaning::Branch(inside, position)),
            _ if !is_folder => Err(id.stale()),
            1 => Ok(Meaning::Mbox(inside, position)),
            node::MAILDIR.. => {
                let part = self.maildir_part(id, &inside, Some(position))?;
                Ok(Meaning::Maildir(inside, Some(position), part))
            }
            _ => Ok(Meaning::Message(
                inside,
                position,
                (ordinal - node::FIRST_MESSAGE) as usize,
            )),
        }
    }

    pub(super) fn parent(&self, id: NodeId) -> Result<NodeId> {
        Ok(match self.resolve(id)? {
            Meaning::Root | Meaning::Latest | Meaning::Date(_) => node::ROOT,
            Meaning::Deleted | Meaning::Maildirs => node::ROOT,
            Meaning::MaildirDate(_) => node::MAILDIRS,
            Meaning::Maildir(inside, folder, part) => self.above_maildir(&inside, folder, part)?,
            Meaning::DeletedMailbox(_) => node::DELETED,
            Meaning::DeletedFolder(somebody, kept, position) => {
                self.above_lost(&somebody, &kept, position)?
            }
            Meaning::Mailbox(inside) => NodeId::new(inside.open.serial, 0, 0),
            Meaning::About(inside) => inside.id,
            Meaning::Branch(inside, position) | Meaning::Mbox(inside, position) => {
                match inside.branch(position).and_then(|branch| branch.above) {
                    Some(above) => self.branch_id(&inside, above)?,
                    None => inside.id,
                }
            }
            Meaning::Message(..) => id.with_ordinal(0),
        })
    }

    /// The path below the mount point, for people to read.
    pub(super) fn path(&self, meaning: &Meaning, id: NodeId) -> Result<String> {
        let (Meaning::Mbox(inside, position)
        | Meaning::Message(inside, position, _)
        | Meaning::Branch(inside, position)) = meaning
        else {
            return Ok(format!("node {:#x}", id.0));
        };
        let mut names = Vec::new();
        match meaning {
            Meaning::Mbox(..) => names.extend(inside.branch(*position).map(Branch::mbox_name)),
            Meaning::Message(_, _, message) => {
                let listing = self.listing(inside, *position)?.ok_or_else(|| id.stale())?;
                names.extend(listing.get(*message).map(|item| item.name.to_owned()));
                names.extend(inside.branch(*position).map(|branch| branch.name.clone()));
            }
            _ => names.extend(inside.branch(*position).map(|branch| branch.name.clone())),
        }
        let mut above = inside.branch(*position).and_then(|branch| branch.above);
        while let Some(branch) = above.and_then(|position| inside.branch(position)) {
            names.push(branch.name.clone());
            above = branch.above;
        }
        names.extend([
            inside.mailbox.name.clone(),
            inside.open.snapshot.label.clone(),
        ]);
        names.reverse();
        Ok(names.join("/"))
    }
}
