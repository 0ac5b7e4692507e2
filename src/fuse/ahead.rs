//! Pushes messages into the kernel ahead of a client that walks through a folder.
//!
//! A message is one READ, and what a READ costs is mostly the way to the daemon and back; so who reads a folder in
//! order, one message after the other, waits for that way 20,000 times. Once a walk is recognised, the messages that
//! come next are stored into the kernel's cache before they are asked for.
//!
//! Invariants:
//!
//! 1. Only bytes that a READ of the same node would give are stored, from offset 0 to the end; nothing below a date
//!    ever changes, so what is stored is never wrong. Who may read it is still the kernel's to say.
//! 2. Stores are never sent from a thread that answers requests: a store waits for a page that a READ has locked, and that
//!    READ may wait for the thread.
//! 3. What is pushed is bounded: a window of messages for each walk, of a size that makes pushing cheaper than asking;
//!    a READ that is not of the walk ends it.
//!
//! A hit in the cache is invisible here. So one message in the middle of every window is left out: its READ says that
//! the client has come so far, and that the next window is wanted.
//!
//! The kernel takes pages only for what it knows, and it knows the messages that it has been sent in a listing. So what is
//! pushed begins with the listing, is tried again for a moment until that is taken in, and ends where it ends.
//!
//! The cast: [`Walk`] is how far a client has come, [`Ahead`] what all of them want, and the threads that push it.

mod walk;

use super::session::Pages;
use crate::fs::{Fs, NodeId, node};
use lru::LruCache;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use walk::{LEAD, Walk};

/// The ordinals of messages.
const MESSAGES: Range<u32> = node::FIRST_MESSAGE..node::MAILDIR;
/// A longer message is not pushed: its own reading ahead serves it well.
const LARGEST: u64 = 64 << 10;
/// Walks that are followed at once.
const WALKS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);
/// Messages that one thread takes at once.
const CHUNK: u32 = 8;
const THREADS: usize = 2;
/// Windows that wait to be pushed; more are dropped, the oldest first.
const MOST_WAITING: usize = 64;
/// As many messages of a chunk may be unknown to the kernel, such as those of `new` to who has listed `cur` alone.
const REFUSALS: u32 = 4;
/// How long it takes until what was refused too early is tried again.
const MOMENT: Duration = Duration::from_micros(50);
/// How long a thread that pushes waits until it looks whether anybody mounts any more.
const IDLE: Duration = Duration::from_secs(5);

/// Messages of a folder, by their ordinals.
type Stretch = (NodeId, Range<u32>);

struct State {
    walks: LruCache<NodeId, Walk>,
    /// The window of the walk that came furthest lately: how the next folder's begins.
    carried: u32,
    waiting: VecDeque<Stretch>,
}

/// Follows what is read, and pushes what comes next.
pub(super) struct Ahead {
    state: Mutex<State>,
    more: Condvar,
}

impl Ahead {
    pub(super) fn new() -> Arc<Self> {
        let state = State {
            walks: LruCache::new(WALKS),
            carried: 0,
            waiting: VecDeque::new(),
        };
        Arc::new(Self {
            state: Mutex::new(state),
            more: Condvar::new(),
        })
    }

    /// Starts the threads that push.
    pub(super) fn start(self: &Arc<Self>, fs: &Arc<Fs>, pages: &Arc<Pages>) -> std::io::Result<()> {
        for _ in 0..THREADS {
            let (ahead, fs, pages) = (Arc::downgrade(self), fs.clone(), pages.clone());
            std::thread::Builder::new()
                .name("mailtm-ahead".into())
                .spawn(move || {
                    while let Some(ahead) = ahead.upgrade() {
                        if let Some(stretch) = ahead.take() {
                            ahead.push(&fs, &pages, stretch);
                        }
                    }
                })?;
        }
        Ok(())
    }

    /// Takes note of a READ.
    pub(super) fn saw(&self, id: NodeId, offset: u64) {
        let ordinal = id.parts().ordinal;
        if offset == 0 && MESSAGES.contains(&ordinal) {
            self.follow(id, |walk, carried| walk.step(ordinal, carried));
        }
    }

    /// Takes note of messages that are listed with their attributes, up to this one.
    pub(super) fn listed(&self, id: NodeId) {
        let ordinal = id.parts().ordinal;
        if MESSAGES.contains(&ordinal) {
            self.follow(id, |walk, _| walk.list(ordinal));
        }
    }

    fn follow(&self, id: NodeId, step: impl FnOnce(&mut Walk, u32) -> Option<Range<u32>>) {
        if self.lock().follow(id.with_ordinal(0), step) {
            self.more.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to push; gives up now and then.
    fn take(&self) -> Option<Stretch> {
        let mut state = self.lock();
        if state.waiting.is_empty() {
            let woken = self.more.wait_timeout(state, IDLE);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.take()
    }

    fn push(&self, fs: &Fs, pages: &Pages, (folder, ordinals): Stretch) {
        let mut refused = 0;
        let wanted = |id: NodeId| self.lock().wants(id);
        let pushed = fs.short_messages(folder, ordinals, LARGEST, wanted, |id, bytes| {
            while wanted(id) {
                match pages.store(id, bytes) {
                    Ok(()) => break,
                    Err(Errno::NOENT) if self.lock().is_being_told(folder) => {
                        std::thread::sleep(MOMENT);
                    }
                    // It is asked for when it is wanted.
                    Err(Errno::NOENT) if refused < REFUSALS => {
                        refused += 1;
                        break;
                    }
                    Err(e) => {
                        tracing::debug!("no more is pushed of what is next in a folder: {e}");
                        self.lock().forget(folder);
                        return ControlFlow::Break(());
                    }
                }
            }
            ControlFlow::Continue(())
        });
        if let Err(e) = pushed {
            tracing::debug!("not pushed: {e}");
        }
    }
}

impl State {
    /// Takes a step of a walk; answers whether there is more to be pushed by it.
    fn follow(
        &mut self,
        folder: NodeId,
        step: impl FnOnce(&mut Walk, u32) -> Option<Range<u32>>,
    ) -> bool {
        let carried = self.carried;
        let walk = self.walks.get_or_insert_mut(folder, Walk::default);
        let Some(wanted) = step(walk, carried) else {
            if walk.run <= 1 {
                // Another way through the folder.
                self.forget(folder);
            }
            return false;
        };
        self.carried = walk.window / 2;
        let signal = walk.signal.clamp(wanted.start, wanted.end);
        for range in [wanted.start..signal, signal + 1..wanted.end] {
            if range.start < range.end {
                self.waiting.push_back((folder, range));
            }
        }
        while self.waiting.len() > MOST_WAITING {
            self.waiting.pop_front();
        }
        true
    }

    /// The next messages for one thread: of the walk whose client has the fewest before him.
    fn take(&mut self) -> Option<Stretch> {
        let before_him = |(folder, range): &Stretch| {
            let last = self.walks.peek(folder).map_or(0, |walk| walk.last);
            (range.start.saturating_sub(last), last)
        };
        let places = self.waiting.iter().map(before_him).enumerate();
        let (place, (_, last)) = places.min_by_key(|(_, (distance, _))| *distance)?;
        let (folder, range) = self.waiting.remove(place)?;
        let start = range.start.max(last + 1 + LEAD).min(range.end);
        let chunk = start..range.end.min(start.saturating_add(CHUNK));
        if chunk.end < range.end {
            self.waiting.push_back((folder, chunk.end..range.end));
        }
        Some((folder, chunk))
    }

    fn wants(&self, id: NodeId) -> bool {
        let walk = self.walks.peek(&id.with_ordinal(0));
        walk.is_some_and(|walk| walk.wants(id.parts().ordinal))
    }

    /// Whether the kernel may be about to take in a listing of a folder.
    fn is_being_told(&self, folder: NodeId) -> bool {
        let walk = self.walks.peek(&folder);
        walk.is_some_and(Walk::is_being_told)
    }

    /// What was about to be pushed is not wanted.
    fn forget(&mut self, folder: NodeId) {
        self.waiting.retain(|(waiting, _)| *waiting != folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: NodeId = NodeId(7 << 40);

    /// A client who has read the first messages of a listed folder up to the one before this.
    fn read(ahead: &Ahead, folder: NodeId, before: u32) {
        ahead.listed(folder.with_ordinal(10_000));
        for ordinal in node::FIRST_MESSAGE..before {
            ahead.saw(folder.with_ordinal(ordinal), 0);
        }
    }

    #[test]
    fn what_a_client_reads_himself_is_not_pushed_any_more() {
        let ahead = Ahead::new();
        read(&ahead, FOLDER, 5);
        let wants = |ordinal| ahead.lock().wants(FOLDER.with_ordinal(ordinal));
        // He is about to read 5, and 9 is the signal.
        assert_eq!(ahead.take(), Some((FOLDER, 6..9)));
        assert!(wants(6) && wants(8));
        ahead.saw(FOLDER.with_ordinal(8), 0);
        assert!(!wants(8));
        // Nor is anything, once he goes another way.
        assert!(wants(20));
        ahead.saw(FOLDER.with_ordinal(900), 0);
        assert!(!wants(20));
        assert!(ahead.lock().waiting.is_empty());
    }

    #[test]
    fn the_client_with_the_fewest_before_him_comes_first() {
        let ahead = Ahead::new();
        let other = NodeId(9 << 40);
        read(&ahead, FOLDER, 5);
        read(&ahead, other, 5);
        let taken: Vec<_> = std::iter::from_fn(|| ahead.lock().take()).take(4).collect();
        let starts: Vec<_> = taken.iter().map(|(at, range)| (*at, range.start)).collect();
        assert_eq!(starts, [(FOLDER, 6), (other, 6), (FOLDER, 10), (other, 10)]);
    }
}
