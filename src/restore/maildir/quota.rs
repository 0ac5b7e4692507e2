//! `maildirsize`: how much is in a mailbox with a Maildir++ quota (Courier, Dovecot's `maildir` backend).
//!
//! Whoever adds or removes messages appends a line to it: how many bytes, how many messages; the server adds them up, and counts
//! again once the file is larger than 5120 bytes. All folders count. A run appends a line for every so many messages, after
//! these have got their names or lost them: if it is killed in between, the figure is wrong by these until the server counts again.
//!
//! Source of the format: <https://www.courier-mta.org/imap/README.maildirquota.html>.

use super::{Mailbox, name};
use crate::error::Result;
use crate::restore::gate::Dir;

const FILE: &[u8] = b"maildirsize";

/// Messages to a line at most.
const AT_ONCE: u64 = 100;

/// What has changed since the last line.
#[derive(Debug, Default)]
pub struct Quota {
    bytes: i64,
    messages: i64,
    changes: u64,
    /// Where the file is, if there is one.
    dir: Option<Dir>,
    /// Whether it is known whether there is one.
    is_looked_for: bool,
}

impl Quota {
    fn change(&mut self, bytes: i64, messages: i64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.messages += messages;
        self.changes += 1;
        if self.changes >= AT_ONCE {
            self.write();
        }
    }

    /// Appends what has changed. What the server is told of the quota is no reason to put no mail back.
    pub fn write(&mut self) {
        let (bytes, messages, changes) = (self.bytes, self.messages, self.changes);
        (self.bytes, self.messages, self.changes) = (0, 0, 0);
        let Some(dir) = self.dir.as_ref().filter(|_| changes > 0) else {
            return;
        };
        let append = || -> Result<bool> {
            dir.append(FILE, dir.ownership()?, &format!("{bytes} {messages}\n"))
        };
        match append() {
            Ok(true) => {}
            Ok(false) => tracing::warn!(
                "{}/maildirsize is no file of the mailbox's owner, and is left as it is: what was changed ({messages} \
                 messages) is not counted",
                dir.path().display()
            ),
            Err(e) => tracing::warn!(
                "what was changed ({messages} messages) is not counted for the quota: {e}"
            ),
        }
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        self.write();
    }
}

impl Mailbox<'_> {
    /// Takes note of a message that was put into the mailbox.
    pub(super) fn count_in(&mut self, bytes: u64) {
        self.count(i64::try_from(bytes).unwrap_or(i64::MAX), 1);
    }

    /// Takes note of a message that was taken away. `bytes`: of its file.
    pub(super) fn count_out(&mut self, file: &[u8], bytes: u64) {
        let bytes = name::size(file).unwrap_or(bytes);
        self.count(
            i64::try_from(bytes).unwrap_or(i64::MAX).saturating_neg(),
            -1,
        );
    }

    fn count(&mut self, bytes: i64, messages: i64) {
        if !std::mem::replace(&mut self.quota.is_looked_for, true) {
            match self.quota_dir() {
                Ok(dir) => self.quota.dir = dir,
                Err(e) => tracing::warn!("messages are not counted for the quota: {e}"),
            }
        }
        self.quota.change(bytes, messages);
    }

    /// The directory with the file: the mailbox, or where Dovecot keeps such files.
    fn quota_dir(&self) -> Result<Option<Dir>> {
        let dir = self.gate.dir(self.path)?;
        if dir.has(FILE)? {
            return Ok(Some(dir));
        }
        let Some((controls, _)) = self.controls()? else {
            return Ok(None);
        };
        let dir = self.gate.dir(&controls)?;
        Ok(dir.has(FILE)?.then_some(dir))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::gate::Gate;
    use std::os::unix::fs::symlink;

    fn written(plant: impl FnOnce(&std::path::Path), changes: &[(i64, i64)]) -> Option<String> {
        let scratch = tempfile::tempdir().unwrap();
        let mailbox = scratch.path().join("mailbox");
        std::fs::create_dir(&mailbox).unwrap();
        std::fs::write(scratch.path().join("other"), "1\n").unwrap();
        plant(&mailbox.join("maildirsize"));
        let gate = Gate::open(scratch.path()).unwrap();
        let mut quota = Quota {
            dir: Some(gate.dir(b"mailbox").unwrap()),
            ..Quota::default()
        };
        for (bytes, messages) in changes {
            quota.change(*bytes, *messages);
        }
        drop(quota);
        let other = std::fs::read_to_string(scratch.path().join("other")).unwrap();
        assert_eq!(other, "1\n");
        std::fs::read_to_string(mailbox.join("maildirsize")).ok()
    }

    #[test]
    fn what_is_added_and_removed_is_a_line() {
        let file =
            |text: &'static str| move |at: &std::path::Path| std::fs::write(at, text).unwrap();
        let added = [(100, 1), (50, 1)];
        assert_eq!(
            written(file("9S\n5 1\n"), &added).unwrap(),
            "9S\n5 1\n150 2\n"
        );
        assert_eq!(
            written(file("9S\n5 1"), &added).unwrap(),
            "9S\n5 1\n150 2\n"
        );
        assert_eq!(written(file("9S\n"), &[(-7, -1)]).unwrap(), "9S\n-7 -1\n");
        assert_eq!(written(file("9S\n"), &[]).unwrap(), "9S\n");
        let many = [(1, 1); 150];
        assert_eq!(
            written(file("9S\n"), &many).unwrap(),
            "9S\n100 100\n50 50\n"
        );
        assert_eq!(written(|_| {}, &added), None);
    }

    #[test]
    fn what_the_owner_has_planted_is_left_alone() {
        let link = |at: &std::path::Path| symlink("../other", at).unwrap();
        assert_eq!(written(link, &[(1, 1)]).unwrap(), "1\n");
        let hard =
            |at: &std::path::Path| std::fs::hard_link(at.with_file_name("../other"), at).unwrap();
        assert_eq!(written(hard, &[(1, 1)]).unwrap(), "1\n");
        let another = |at: &std::path::Path| {
            std::fs::write(at, "1\n").unwrap();
            std::os::unix::fs::lchown(at, Some(4_711), None).unwrap();
        };
        if rustix::process::geteuid().is_root() {
            assert_eq!(written(another, &[(1, 1)]).unwrap(), "1\n");
        }
        let directory = |at: &std::path::Path| std::fs::create_dir(at).unwrap();
        assert_eq!(written(directory, &[(1, 1)]), None);
        let mailbox = tempfile::tempdir().unwrap();
        let at = mailbox.path().join("maildirsize");
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &at, kind, rustix::fs::Mode::RWXU, 0).unwrap();
        let dir = Gate::open(mailbox.path()).unwrap().dir(b"").unwrap();
        let like = dir.ownership().unwrap();
        assert!(!matches!(dir.append(FILE, like, "1 1\n"), Ok(true)));
    }
}
