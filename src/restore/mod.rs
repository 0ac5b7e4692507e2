//! Putting mail back: what a backup has and the mailbox has not any more.
//!
//! It runs apart from the mount, which stays read-only, and only ever adds messages:
//!
//! 1. A message is there if the mailbox has it in any folder: under the same store identity; or with the same
//!    Message-ID and size; or, if it has no Message-ID, with the same bytes. So what was moved is not put back, and a second run adds
//!    nothing, whatever the folder that the first one put it into.
//! 2. What the mailbox has is found out once more when a plan is carried out, under a lock that keeps other restores
//!    from the same mailbox. While that is not clear, nothing is put.
//! 3. A run that was killed at any point is gone on with by the next one. What was put is recognised by what it is; the
//!    log tells where the same message was to go to two places, and only one of them has it.
//! 4. Nothing is overwritten and nothing is deleted; but what a run has put can be taken away again, by its log, as
//!    long as nobody has changed it.
//! 5. What cannot be read in the backup is counted and named, never skipped.
//!
//! The cast: [`Restorer`] is what is configured, with [`plan`](Restorer::plan), [`apply`](Restorer::apply) and
//! [`undo`](Restorer::undo); `backup` is what is asked for, `live` what the mailbox is to it, and `plan` the difference;
//! [`journal`] is the log. [`maildir`] writes files, through [`gate`] alone; [`imap`] asks a mail server.

mod apply;
mod backup;
mod facts;
pub mod gate;
pub mod imap;
pub mod journal;
pub mod live;
pub mod maildir;
pub mod measure;
mod plan;
mod undo;

pub use apply::{Outcome, Progress};
pub use backup::check_into;
pub use plan::{FolderPlan, Plan, Unreadable};
pub use undo::Undone;

use crate::disk::Root;
use crate::error::{Error, Kind, Result};
use crate::snapshot::Dates;
use crate::store::{self, Format, Place};
use crate::view::View;
use crate::view::mailbox::Mailbox;
use imap::session::Session;
use live::Live;
use std::path::PathBuf;
use std::sync::Arc;

/// What is to be put back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// A date as it is shown, or `latest`.
    pub date: String,
    /// The time of the snapshot, in seconds since 1970, where the date may show another one than the one that is meant;
    /// `None`: the one that it shows.
    pub taken: Option<i64>,
    /// A mailbox as it is shown.
    pub mailbox: String,
    /// A folder as it is shown, `/` between its levels, with all below it; `None`: all folders.
    pub folder: Option<String>,
    /// IDs as they stand in the names of messages; empty: all messages.
    pub messages: Vec<String>,
    /// The folder to put everything into; `None`: the folders that the messages were in.
    pub into: Option<String>,
}

/// How messages are put into a mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// What the live mailbox is decides.
    #[default]
    Auto,
    /// As files of a Maildir.
    Maildir,
    /// Over IMAP, to the Dovecot of this host.
    Doveadm,
    /// Over IMAP, to a server.
    Imap,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Maildir => "maildir",
            Self::Doveadm => "doveadm",
            Self::Imap => "imap",
        }
    }
}

/// A mailbox, as far as it must be known to open the live one.
struct Whose {
    /// What the mail server knows its owner by.
    user: String,
    /// Relative to the root of the live store.
    path: Vec<u8>,
    format: Format,
}

/// The address that a mail server knows somebody by.
fn address(user: &str, domain: Option<&str>) -> String {
    match domain {
        Some(domain) => format!("{user}@{domain}"),
        None => user.to_owned(),
    }
}

/// An IMAP server, and who may act for its users there.
#[derive(Clone, Debug)]
pub struct Server {
    pub address: imap::transport::Address,
    pub master_user: String,
    /// Its first line is the master user's password.
    pub password_file: PathBuf,
    /// Certificates that are believed instead of the system's, in PEM.
    pub ca_file: Option<PathBuf>,
}

impl Server {
    fn password(&self) -> Result<String> {
        let path = &self.password_file;
        let wrong = |why: &dyn std::fmt::Display| {
            let cure = "write the master user's password into its first line";
            Error::new(
                Kind::Config,
                format!("restore.password_file: {}: {why}: {cure}", path.display()),
            )
        };
        let text = std::fs::read_to_string(path).map_err(|e| wrong(&e))?;
        match text.lines().next() {
            Some(line) if !line.is_empty() => Ok(line.to_owned()),
            _ => Err(wrong(&"empty")),
        }
    }

    fn begin(&self, user: &str) -> Result<Session> {
        let password = self.password()?;
        let stream = imap::transport::connect(
            &self.address,
            self.ca_file.as_deref(),
            imap::transport::SILENCE,
        )?;
        Session::begin(stream, Some((user, &self.master_user, &password)))
    }
}

/// What is needed to put mail back.
pub struct Restorer {
    pub view: View,
    pub dates: Arc<Dates>,
    /// The mail store as it is now.
    pub live: Option<PathBuf>,
    pub method: Method,
    pub server: Option<Server>,
    /// The directory of logs.
    pub logs: PathBuf,
}

impl Restorer {
    /// How messages are put into a mailbox.
    fn method_for(&self, mailbox: &Whose) -> Result<Method> {
        let wrong = |message: &str| Err(Error::new(Kind::Config, message));
        let is_maildir = mailbox.format == Format::MAILDIR;
        let is_dbox = matches!(mailbox.format.name(), "sdbox" | "mdbox");
        let may_be_files = is_maildir && matches!(self.method, Method::Auto | Method::Maildir);
        let has_index = may_be_files && self.has_index_of_names(mailbox)?;
        let method = match self.method {
            Method::Auto if is_maildir && !has_index && self.live.is_some() => Method::Maildir,
            Method::Auto if self.server.is_some() => Method::Imap,
            Method::Auto if (is_dbox || has_index) && imap::transport::has_doveadm() => {
                Method::Doveadm
            }
            Method::Auto if is_maildir => Method::Maildir,
            Method::Auto => {
                return wrong(
                    "restore.imap: missing: write imap = \"imaps://mail.example.com\" under [restore], with master_user \
                     and password_file; into a store of this format, mail is put through its server",
                );
            }
            other => other,
        };
        match method {
            Method::Maildir if !is_maildir => wrong(
                "restore.method: the mailbox is no Maildir: write \"imap\" or, on the host of a Dovecot, \"doveadm\"",
            ),
            Method::Maildir if has_index => wrong(
                "restore.method: the live Maildir has the names of its folders in an index (LAYOUT=index), which its server \
                 alone can change: write \"imap\" or, on the host of a Dovecot, \"doveadm\"",
            ),
            Method::Maildir if self.live.is_none() => wrong(
                "source.live: missing: write live = \"/srv/vmail\" under [source], the mail store as it is now, \
                 into which messages are put",
            ),
            Method::Imap if self.server.is_none() => wrong(
                "restore.imap: missing: write imap = \"imaps://mail.example.com\" under [restore], with master_user \
                 and password_file",
            ),
            method => Ok(method),
        }
    }

    /// Where a mailbox of a backup is in the live store: at its path; or, a Maildir that has moved to another directory, where
    /// the one mailbox of that user and domain is, if it has the same owner. Without a domain a name may be another user's.
    fn live_path(&self, mailbox: &Mailbox) -> Result<Vec<u8>> {
        let path = mailbox.path.clone();
        let may_have_moved = mailbox.format == Format::MAILDIR && mailbox.domain.is_some();
        let Some(live) = self.live.as_ref().filter(|_| may_have_moved) else {
            return Ok(path);
        };
        let root = Root::new(live);
        match Format::MAILDIR.is_at(&root, &path) {
            Ok(false) => {}
            Err(e) if matches!(e.kind(), Kind::NotFound | Kind::NotADirectory) => {}
            // What is wrong with it is told when it is opened.
            Ok(true) | Err(_) => return Ok(path),
        }
        let all = self.view.layout.find(&root)?;
        let mut same = all.namesakes(mailbox);
        let only = same.next().filter(|_| same.next().is_none());
        let is_it = |m: &&Mailbox| (m.uid, m.format) == (mailbox.uid, mailbox.format);
        let only = only.filter(is_it).filter(|_| all.is_complete());
        Ok(only.map_or(path, |m| m.path.clone()))
    }

    /// Whether the live Maildir has the names of its folders in an index: a directory that is made there is no folder.
    fn has_index_of_names(&self, mailbox: &Whose) -> Result<bool> {
        let Some(live) = &self.live else {
            return Ok(false);
        };
        let root = Root::new(live);
        let store = Format::MAILDIR.open(&root, Place::new(&mailbox.path));
        match store.folders() {
            Ok(found) => Ok(store::maildir::has_index_of_names(&found.folders)),
            Err(e) if matches!(e.kind(), Kind::NotFound | Kind::NotADirectory) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Opens a live mailbox.
    fn with_live<T>(
        &self,
        mailbox: &Whose,
        method: Method,
        work: impl FnOnce(&mut dyn Live) -> Result<T>,
    ) -> Result<T> {
        let session = match (method, &self.server) {
            (Method::Doveadm, _) => {
                let program = imap::transport::start(&mailbox.user)?;
                Some(Session::begin(program, None)?)
            }
            (Method::Imap, Some(server)) => Some(server.begin(&mailbox.user)?),
            _ => None,
        };
        if let Some(session) = session {
            return work(&mut imap::Mailbox::new(session)?);
        }
        let path = self.live.clone().unwrap_or_default();
        let root = Root::new(&path);
        let missing = || {
            let at = path.join(String::from_utf8_lossy(&mailbox.path).as_ref());
            let message = format!(
                "{}: no Maildir is there now: let the mail server make the mailbox first, or correct live under [source]",
                at.display()
            );
            Error::new(Kind::Failed, message)
        };
        match Format::MAILDIR.is_at(&root, &mailbox.path) {
            Ok(true) => {}
            Ok(false) => return Err(missing()),
            Err(e) if e.kind() == Kind::NotFound => return Err(missing()),
            Err(e) => return Err(e),
        }
        let store = Format::MAILDIR.open(&root, Place::new(&mailbox.path));
        let mut live = maildir::Mailbox::open(&root, store, &mailbox.path, &self.view)?;
        work(&mut live)
    }
}
