//! What a restore reads: an IMAP server's answers, a live mailbox's lists, and its own logs.

use super::{scratch_directory, text, with_file};
use mailtm::restore::gate::Gate;
use mailtm::restore::imap::session::{Session, takes_password};
use mailtm::restore::imap::transport::Transport;
use mailtm::restore::journal::{Past, escape, unescape};
use mailtm::restore::maildir::subscriptions;
use std::fs;
use std::io::{self, Cursor, Read, Write};
use tempfile::TempDir;

/// A server that has its say whatever it is told.
struct Says(Cursor<Vec<u8>>);

impl Read for Says {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // In pieces, as from a network.
        let len = buffer.len().min(1 + self.0.position() as usize % 97);
        self.0.read(&mut buffer[..len])
    }
}

impl Write for Says {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Says {}

pub fn imap(input: &[u8]) {
    let says = || Box::new(Says(Cursor::new(input.to_vec())));
    let accepted = takes_password(says(), "alice@example.com", "secret");
    let said_so = input.windows(5).any(|line| line == b"m1 OK");
    assert!(said_so || !accepted.is_ok_and(|accepted| accepted));
    let Ok(mut session) = Session::begin(says(), Some(("alice", "master", "secret"))) else {
        return;
    };
    let Ok(folders) = session.folders() else {
        return;
    };
    for folder in folders {
        if session.open(&folder.name, false).is_err() {
            return;
        }
        let mut literals = 0;
        let _ = session.fetch("1:*", "UID FLAGS", &mut |response| {
            literals += response.literals.iter().map(Vec::len).sum::<usize>();
        });
        assert!(literals <= input.len());
        let mut bytes = 0;
        let _ = session.read(1, &mut |part: &[u8]| bytes += part.len());
        assert!(bytes <= input.len());
    }
}

/// The log of a restore.
pub fn journal(input: &[u8]) {
    assert_eq!(unescape(&escape(input)), input);
    let _ = unescape(&text(input));
    with_file(input, |file| {
        let _ = Past::read(file);
    });
}

/// The live mailbox's list of subscriptions, to which a folder is added: once, and nothing else changes.
pub fn subscriptions(input: &[u8]) {
    thread_local! {
        static MAILBOX: TempDir = scratch_directory();
    }
    MAILBOX.with(|dir| {
        let file = dir.path().join("subscriptions");
        fs::write(&file, input).unwrap();
        let gate = Gate::open(dir.path()).unwrap();
        let mailbox = gate.dir(b"").unwrap();
        let like = mailbox.ownership().unwrap();
        let levels = [b"A".to_vec(), b"B".to_vec()];
        let add = || {
            subscriptions::add(&mailbox, like, &levels, b'.').unwrap();
            fs::read(&file).unwrap()
        };
        let after = add();
        let is_it = |line: &&[u8]| *line == b"A.B" || *line == b"A\tB";
        assert!(after.starts_with(input));
        assert!(after.split(|&b| b == b'\n').any(|line| is_it(&line)));
        assert!(after.len() <= input.len() + 5, "more than a line was added");
        assert_eq!(add(), after);
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "no lock is left"
        );
    });
}
