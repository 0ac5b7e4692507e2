//! What a server keeps of expunged messages in folders that are not shown, over the same storage (`lazy_expunge`): it counts as
//! theirs where the indexes of other folders are torn.

use crate::harness::dovecot::Fetched;
use crate::harness::{Scratch, sha256};
use crate::{DATE, files, one_day, read};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The digests of messages.
fn digests<'a>(messages: impl IntoIterator<Item = &'a Fetched>) -> BTreeSet<String> {
    messages.into_iter().map(|m| sha256(&m.bytes)).collect()
}

/// A mailbox of which some messages were expunged.
struct Mailbox {
    scratch: Scratch,
    snapshot: PathBuf,
    top: PathBuf,
    /// What it has, and what it had.
    truth: Vec<Fetched>,
    gone: BTreeSet<String>,
}

/// `None` if Dovecot is not here.
fn mailbox(options: &str) -> Option<Mailbox> {
    let scratch = Scratch::new();
    let location = format!("mdbox:~/mdbox{options}");
    let (store, dovecot, before) = one_day(&scratch, &location)?;
    dovecot.set("mail_plugins = zlib lazy_expunge");
    dovecot.set("plugin {\n  lazy_expunge = EXPUNGED/\n}");
    dovecot.set(&format!(
        "namespace expunged {{\n  prefix = EXPUNGED/\n  separator = /\n  hidden = yes\n  list = no\n  subscriptions = no\n  \
         location = {location}:MAILBOXDIR=expunged:LISTINDEX=expunged.list.index\n}}"
    ));
    for (folder, which) in [("INBOX", "4:9"), ("A & B", "1")] {
        dovecot.adm(&["expunge", "mailbox", folder, which]);
    }
    let truth = dovecot.fetch();
    let gone = &digests(&before) - &digests(&truth);
    assert!(gone.len() >= 3, "{}", gone.len());
    let snapshot = store.path.join(DATE);
    let top = snapshot.join("example.com/alice");
    Some(Mailbox {
        scratch,
        snapshot,
        top,
        truth,
        gone,
    })
}

/// The logs of folders that are below directories of this name.
fn logs(top: &Path, below: &str) -> Vec<PathBuf> {
    let all = files(top, &|name| name == "dovecot.index.log");
    let is_below = |path: &PathBuf| path.components().any(|c| c.as_os_str() == below);
    all.into_iter().filter(is_below).collect()
}

/// Leaves nothing that can be read of a log.
fn tear(log: &Path) {
    let whole = fs::read(log).unwrap();
    fs::write(log, &whole[..20]).unwrap();
}

impl Mailbox {
    /// What is shown of all folders.
    fn shown(&self) -> BTreeSet<String> {
        let names: BTreeSet<&String> = self.truth.iter().map(|m| &m.folder).collect();
        let read = |name: &&String| read(&self.snapshot, "mdbox", name).unwrap();
        names.iter().flat_map(read).flatten().collect()
    }
}

#[test]
fn what_was_expunged_is_in_no_folder_with_a_torn_index() {
    for options in ["", ":LAYOUT=index", ":INDEX=~/index"] {
        let Some(mailbox) = mailbox(options) else {
            return;
        };
        let torn = logs(&mailbox.top, "mailboxes");
        assert!(torn.len() > 5 && !logs(&mailbox.top, "expunged").is_empty());
        assert_eq!(mailbox.shown(), digests(&mailbox.truth), "{options}: sound");
        torn.iter().for_each(|log| tear(log));
        let shown = mailbox.shown();
        assert_eq!(shown, digests(&mailbox.truth), "{options}: all are torn");
        drop(mailbox.scratch);
    }
}

#[test]
fn where_the_index_of_expunged_messages_is_torn_too_nothing_is_lost_and_the_doubt_is_told() {
    let Some(mailbox) = mailbox("") else {
        return;
    };
    let inbox = mailbox
        .top
        .join("mdbox/mailboxes/INBOX/dbox-Mails/dovecot.index.log");
    let own: Vec<&Fetched> = mailbox
        .truth
        .iter()
        .filter(|m| m.folder == "INBOX")
        .collect();
    let of_inbox = || {
        let shown = read(&mailbox.snapshot, "mdbox", "INBOX").unwrap();
        shown.into_iter().flatten().collect::<BTreeSet<String>>()
    };
    tear(&inbox);
    assert_eq!(of_inbox(), digests(own.iter().copied()));
    for log in logs(&mailbox.top, "expunged") {
        tear(&log);
    }
    // What was found for a folder holds until its own index changes, or the map does.
    tear(&inbox);
    let shown = of_inbox();
    assert!(shown.is_superset(&digests(own)), "none is lost");
    assert!(shown.is_superset(&mailbox.gone), "they may be of INBOX");
}
