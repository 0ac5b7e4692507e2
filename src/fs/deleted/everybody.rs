//! The mailboxes that have a directory in `deleted`: all that some shown date holds.

use crate::error::{Error, Kind, Result};
use crate::fs::cache::Value;
use crate::fs::node::NodeId;
use crate::fs::shown::Shown;
use crate::fs::{Attr, Caller, Cookie, Entry, Fs, Open};
use crate::view::mailbox::Mailbox;
use crate::view::name;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// The mailboxes of all dates.
#[derive(Default)]
pub(super) struct Everybody {
    /// In order of their paths.
    all: Vec<Arc<Somebody>>,
    by_name: HashMap<String, u32>,
    complete: bool,
}

/// A mailbox of some date.
pub struct Somebody {
    /// As the newest date has it that holds it.
    pub mailbox: Mailbox,
    pub open: Arc<Open>,
    pub serial: u32,
    /// What it is called in `deleted`.
    pub name: String,
}

impl Somebody {
    pub(super) fn id(&self) -> NodeId {
        NodeId::new(0, self.serial, 0)
    }
}

impl Value for Everybody {
    fn is_settled(&self) -> bool {
        self.complete
    }
}

impl Fs {
    /// The mailboxes of all dates.
    pub(super) fn everybody(&self) -> Result<Arc<Everybody>> {
        let shown = self.shown();
        let Some(newest) = shown.by_time.last() else {
            return Ok(Arc::new(Everybody {
                complete: self.catalogue.unreadable().is_empty(),
                ..Everybody::default()
            }));
        };
        let good_for = shown.is_believed_for();
        self.deleted
            .everybody
            .get_for(&shown.generation, newest.root.lane(), good_for, || {
                let everybody = self.gather(&shown)?;
                let weight = everybody.all.iter().map(|somebody| {
                    size_of::<Somebody>()
                        + somebody.mailbox.path.len()
                        + 4 * somebody.name.len()
                        + 96
                });
                let weight = weight.sum();
                Ok((everybody, weight))
            })
    }

    fn gather(&self, shown: &Shown) -> Result<Everybody> {
        let mut everybody = Everybody {
            complete: true,
            ..Everybody::default()
        };
        let mut paths = HashSet::new();
        let mut names = HashSet::new();
        for open in shown.by_time.iter().rev() {
            let populated = match self.populated(open) {
                // Removed a moment ago: the catalogue will notice.
                Err(e) if e.kind() == Kind::Stale => {
                    everybody.complete = false;
                    continue;
                }
                populated => populated?,
            };
            everybody.complete &= populated.mailboxes.is_complete();
            for (mailbox, serial) in populated.mailboxes.iter().zip(&populated.serials) {
                if !paths.insert(mailbox.path.clone()) {
                    continue;
                }
                let mut name = mailbox.name.clone();
                let mut chars = name::ID_CHARS;
                // A mailbox of another path had the name on a later date.
                while !names.insert(name::fold(&name)) && chars <= name::MAX_ID_CHARS {
                    let id = name::id(&mailbox.path, chars);
                    name = name::component(&format!("{} ({id})", mailbox.name));
                    chars += name::ID_CHARS;
                }
                everybody.all.push(Arc::new(Somebody {
                    mailbox: mailbox.clone(),
                    open: open.clone(),
                    serial: *serial,
                    name,
                }));
            }
        }
        everybody
            .all
            .sort_by(|a, b| a.mailbox.path.cmp(&b.mailbox.path));
        let names = (0..)
            .zip(&everybody.all)
            .map(|(i, somebody)| (somebody.name.clone(), i));
        everybody.by_name = names.collect();
        Ok(everybody)
    }

    pub(super) fn somebody_at(&self, path: &[u8]) -> Result<Option<Arc<Somebody>>> {
        let everybody = self.everybody()?;
        let at = |somebody: &Arc<Somebody>| somebody.mailbox.path.as_slice().cmp(path);
        let found = everybody.all.binary_search_by(at).ok();
        Ok(found.and_then(|at| everybody.all.get(at)).cloned())
    }

    pub(in crate::fs) fn lookup_somebody(&self, name: &str) -> Result<Option<Attr>> {
        let somebody = self.somebody_named(name)?;
        let attr = somebody.map(|somebody| self.somebody_attr(&somebody));
        attr.transpose()
    }

    pub(in crate::fs) fn somebody_named(&self, name: &str) -> Result<Option<Arc<Somebody>>> {
        let everybody = self.everybody()?;
        let found = everybody
            .by_name
            .get(name)
            .and_then(|&at| everybody.all.get(at as usize));
        match found {
            Some(somebody) => Ok(Some(somebody.clone())),
            None if everybody.complete => Ok(None),
            None => Err(Error::new(
                Kind::Unreadable,
                format!("{name}: not all directories that may hold mailboxes could be read"),
            )),
        }
    }

    /// The mailboxes that the caller is shown, from `from` on.
    pub(in crate::fs) fn everybody_entries(
        &self,
        caller: Caller,
        from: Cookie,
        mut add: impl FnMut(Entry) -> bool,
    ) -> Result<()> {
        let everybody = self.everybody()?;
        let newest = self.deleted_attr().mtime;
        let policy = self.policy();
        let asking = policy.asking(caller.uid, caller.gid, caller.thread);
        for (position, somebody) in everybody.all.iter().enumerate().skip(from.index()) {
            let permissions = self.permissions_of(&somebody.open, &somebody.mailbox)?;
            if policy.hide_unreadable && !asking.may_enter(&permissions) {
                continue;
            }
            let mut attr = self.directory_attr(somebody, somebody.id(), newest)?;
            if self.deleted.live.is_some() {
                // When the live mailbox changed is told to who asks for it by name.
                attr.ttl = Duration::ZERO;
            }
            let next = Cookie::after(position);
            if add(Entry {
                name: somebody.name.clone().into(),
                next,
                attr,
            }) {
                break;
            }
        }
        Ok(())
    }
}
