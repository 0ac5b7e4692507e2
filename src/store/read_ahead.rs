//! Opening messages a few before they are wanted, where the disk is slow.
//!
//! Asked for one message after the other, a disk does one thing at a time and rests in between; told of the next ones, it
//! reads several at once. What is in memory anyway needs none of that and would only pay for it, so it begins when a
//! message has taken long.
//!
//! A message that cannot be opened ahead is opened when it is wanted, and what is wrong with it is told then. So many
//! are open ahead in the whole process at most that descriptors cannot run out.

use super::{Files, Messages, Stored};
use crate::error::Result;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A message that takes longer, with what is done with it, was waited for; one in memory takes a tenth of it.
const LONG: Duration = Duration::from_micros(150);

/// So many in a row, and it is the disk.
const IN_A_ROW: u8 = 2;

/// Messages that are open ahead of one reader.
const DEPTH: usize = 16;

/// Messages that are open ahead of all readers.
const MOST_OPEN: usize = 256;

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Messages of one folder that are read in an order which is known some way ahead.
pub struct ReadAhead<'f> {
    files: &'f dyn Files,
    messages: &'f Messages,
    /// How much of each message is wanted.
    reach: u64,
    /// Messages that are open already, by position.
    open: VecDeque<(usize, Stored<'f>)>,
    begun: Option<Instant>,
    /// Messages in a row that took long; no longer counted once it is the disk.
    waited: u8,
}

impl<'f> ReadAhead<'f> {
    /// `reach`: how many bytes of each message will be read.
    pub fn new(files: &'f dyn Files, messages: &'f Messages, reach: u64) -> Self {
        Self {
            files,
            messages,
            reach,
            open: VecDeque::new(),
            begun: None,
            waited: 0,
        }
    }

    /// Opens the message at a position. `next`: the positions that will be asked for after it, in order, as far as that is
    /// known.
    pub fn open(
        &mut self,
        position: usize,
        next: impl IntoIterator<Item = usize>,
    ) -> Result<Stored<'f>> {
        if self.waited < IN_A_ROW {
            let now = Instant::now();
            let begun = self.begun.replace(now);
            let long = begun.is_some_and(|begun| now.duration_since(begun) > LONG);
            self.waited = if long { self.waited + 1 } else { 0 };
        }
        let opened = self.take(position);
        if self.waited == IN_A_ROW && self.open.len() < DEPTH / 2 {
            self.go_ahead(next);
        }
        opened.map_or_else(|| self.open_now(position), Ok)
    }

    /// The message, if it is open; those before it were passed over.
    fn take(&mut self, position: usize) -> Option<Stored<'f>> {
        let at = self.open.iter().position(|(at, _)| *at == position);
        let passed = at.map_or(self.open.len(), |at| at + 1);
        OPEN.fetch_sub(passed, Ordering::Relaxed);
        let last = self.open.drain(..passed).next_back();
        last.filter(|_| at.is_some()).map(|(_, stored)| stored)
    }

    fn go_ahead(&mut self, next: impl IntoIterator<Item = usize>) {
        let known = self.open.len();
        for position in next.into_iter().take(DEPTH).skip(known) {
            if OPEN.fetch_add(1, Ordering::Relaxed) >= MOST_OPEN {
                OPEN.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            let stored = self.open_now(position).and_then(|stored| {
                stored.will_need(self.reach)?;
                Ok(stored)
            });
            match stored {
                Ok(stored) => self.open.push_back((position, stored)),
                Err(_) => {
                    OPEN.fetch_sub(1, Ordering::Relaxed);
                    return;
                }
            }
        }
    }

    fn open_now(&self, position: usize) -> Result<Stored<'f>> {
        let message = self.messages.get(position).ok_or_else(|| {
            let message = format!("no message at position {position}");
            crate::Error::new(crate::error::Kind::Stale, message)
        })?;
        self.files.open(self.messages, message)
    }
}

impl Drop for ReadAhead<'_> {
    fn drop(&mut self) {
        OPEN.fetch_sub(self.open.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Root;
    use crate::store::maildir::Maildir;
    use crate::store::{Store, Stored};
    use std::cell::RefCell;

    /// Tells which messages were opened, in order.
    struct Watched<'a>(Box<dyn Files + 'a>, RefCell<Vec<Vec<u8>>>);

    impl Files for Watched<'_> {
        fn open(&self, messages: &Messages, message: &crate::store::Message) -> Result<Stored<'_>> {
            let name = messages.store_name(message).to_vec();
            self.1.borrow_mut().push(name);
            self.0.open(messages, message)
        }
    }

    #[test]
    fn what_comes_next_is_open_once_the_disk_was_slow() {
        let dir = tempfile::tempdir().unwrap();
        let cur = dir.path().join("cur");
        std::fs::create_dir(&cur).unwrap();
        for number in 10..60 {
            std::fs::write(cur.join(format!("{number}")), format!("mail {number}")).unwrap();
        }
        let root = Root::new(dir.path());
        let store = Maildir::new(&root, b"");
        let messages = store.messages(b"", &Messages::default()).unwrap();
        let files = Watched(store.files(b""), RefCell::default());
        let mut ahead = ReadAhead::new(&files, &messages, 100);
        let read = |stored: Stored<'_>| {
            let mut text = [0; 7];
            stored.read_at(&mut text, 0).unwrap();
            String::from_utf8(text.to_vec()).unwrap()
        };
        assert_eq!(read(ahead.open(0, 1..50).unwrap()), "mail 10");
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(read(ahead.open(1, 2..50).unwrap()), "mail 11");
        assert_eq!(
            files.1.borrow().len(),
            2,
            "one alone may have waited for anything"
        );
        std::thread::sleep(Duration::from_millis(2));
        std::fs::remove_file(cur.join("14")).unwrap();
        for position in 2..4 {
            let stored = ahead.open(position, position + 1..50).unwrap();
            assert_eq!(read(stored), format!("mail {}", position + 10));
        }
        assert!(ahead.open(4, 5..50).is_err(), "a message that is gone");
        for position in [5, 20, 21, 6] {
            let stored = ahead.open(position, position + 1..50).unwrap();
            assert_eq!(read(stored), format!("mail {}", position + 10));
        }
        let opened = files.1.borrow();
        assert!(opened.len() > 20 && opened.len() < 60, "{opened:?}");
        drop(ahead);
        assert!(OPEN.load(Ordering::Relaxed) <= MOST_OPEN);
    }
}
