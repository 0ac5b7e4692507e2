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

use crate::fs::{Fs, NodeId, node};
use fuser::{INodeNo, Notifier};
use lru::LruCache;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The ordinals of messages.
const MESSAGES: Range<u32> = node::FIRST_MESSAGE..node::MAILDIR;
/// Reads in order that make a walk.
const WALK: u32 = 3;
/// Messages in the first window and in the largest.
const WINDOW: Range<u32> = 16..256;
/// A longer message is not pushed: its own reading ahead serves it well.
const LARGEST: u64 = 64 << 10;
/// Walks that are followed at once.
const WALKS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);
/// Messages that one thread takes at once.
const CHUNK: u32 = 8;
/// A client that has caught up reads so many messages itself: what is pushed to it while it asks for the same is wasted,
/// and the two would go on side by side.
const LEAD: u32 = 8;
const THREADS: usize = 2;
/// Windows that wait to be pushed; more are dropped, the oldest first.
const MOST_WAITING: usize = 64;

/// How far a client has come in a folder. The numbers are ordinals.
#[derive(Clone, Copy, Debug, Default)]
struct Walk {
    last: u32,
    /// Reads in order so far.
    run: u32,
    /// Messages in the current window; 0 before the first.
    window: u32,
    /// The message that is left out of it.
    signal: u32,
    /// Where the next window begins.
    end: u32,
    /// Behind the last message that has been listed with its attributes: the kernel knows no other, and takes no pages
    /// for what it does not know.
    known: u32,
}

struct State {
    walks: LruCache<NodeId, Walk>,
    /// The window of the walk that came furthest lately: how the next folder's begins.
    carried: u32,
    waiting: VecDeque<(NodeId, Range<u32>)>,
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
    pub(super) fn start(
        self: &Arc<Self>,
        fs: &Arc<Fs>,
        notifier: &Notifier,
    ) -> std::io::Result<()> {
        for _ in 0..THREADS {
            let (ahead, fs, notifier) = (Arc::downgrade(self), fs.clone(), notifier.clone());
            std::thread::Builder::new()
                .name("mailtm-ahead".into())
                .spawn(move || {
                    while let Some(ahead) = ahead.upgrade() {
                        let Some((folder, ordinals)) = ahead.take() else {
                            continue;
                        };
                        push(&fs, &notifier, folder, ordinals);
                    }
                })?;
        }
        Ok(())
    }

    /// Takes note of a READ.
    pub(super) fn saw(&self, id: NodeId, offset: u64) {
        let ordinal = id.parts().ordinal;
        if offset != 0 || !MESSAGES.contains(&ordinal) {
            return;
        }
        let folder = id.with_ordinal(0);
        self.follow(folder, |walk, carried| walk.step(ordinal, carried));
    }

    /// Takes note of messages that are listed with their attributes, up to this one.
    pub(super) fn listed(&self, id: NodeId) {
        let ordinal = id.parts().ordinal;
        if MESSAGES.contains(&ordinal) {
            self.follow(id.with_ordinal(0), |walk, _| walk.list(ordinal));
        }
    }

    fn follow(&self, folder: NodeId, step: impl FnOnce(&mut Walk, u32) -> Option<Range<u32>>) {
        let mut state = self.lock();
        let carried = state.carried;
        let walk = state.walks.get_or_insert_mut(folder, Walk::default);
        let wanted = step(walk, carried);
        let Walk {
            run,
            window,
            signal,
            ..
        } = *walk;
        let Some(wanted) = wanted else {
            if run <= 1 {
                // Another way through the folder: what was about to be pushed is not wanted.
                state.waiting.retain(|(waiting, _)| *waiting != folder);
            }
            return;
        };
        state.carried = window / 2;
        let signal = signal.clamp(wanted.start, wanted.end);
        for range in [wanted.start..signal, signal + 1..wanted.end] {
            if range.start < range.end {
                state.waiting.push_back((folder, range));
            }
        }
        while state.waiting.len() > MOST_WAITING {
            state.waiting.pop_front();
        }
        drop(state);
        self.more.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to push; gives up now and then, so that the thread sees when nobody mounts any more.
    fn take(&self) -> Option<(NodeId, Range<u32>)> {
        let mut state = self.lock();
        if state.waiting.is_empty() {
            let wait = std::time::Duration::from_secs(5);
            state = self
                .more
                .wait_timeout(state, wait)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let (folder, range) = state.waiting.pop_front()?;
        let reached = state.walks.peek(&folder).map_or(0, |walk| walk.last);
        let start = match range.start <= reached.saturating_add(LEAD) {
            true => range.start.max(reached.saturating_add(1 + LEAD)),
            false => range.start,
        };
        let chunk = start..range.end.min(start.saturating_add(CHUNK));
        if chunk.end < range.end {
            state.waiting.push_front((folder, chunk.end..range.end));
        }
        Some((folder, chunk))
    }
}

impl Walk {
    /// Takes note of the message that is read; answers the window to be pushed now, if one is.
    fn step(&mut self, ordinal: u32, carried: u32) -> Option<Range<u32>> {
        let is_next = ordinal == self.last.wrapping_add(1);
        // A message of the window that was read before it could be pushed is progress like the one left out.
        let in_window = self.window > 0 && ordinal > self.last && ordinal < self.end;
        let reached = self.window > 0 && ordinal >= self.signal;
        self.last = ordinal;
        if !is_next && !in_window {
            let known = self.known;
            *self = Self {
                last: ordinal,
                run: 1,
                known,
                ..Self::default()
            };
            return None;
        }
        self.run = self.run.saturating_add(1);
        if self.window == 0 && self.run >= WALK {
            self.end = ordinal + 1;
            self.open(carried.clamp(WINDOW.start, WINDOW.end))
        } else if reached {
            self.open((self.window * 2).min(WINDOW.end))
        } else {
            None
        }
    }

    /// Takes note that the kernel knows the messages up to this one; what the last window had no room for is pushed.
    fn list(&mut self, ordinal: u32) -> Option<Range<u32>> {
        let more = self.window > 0 && self.end == self.known;
        self.known = self.known.max(ordinal + 1);
        if more { self.open(self.window) } else { None }
    }

    /// Begins a window where the last one ended.
    fn open(&mut self, window: u32) -> Option<Range<u32>> {
        let begin = self.end.max(self.last + 1);
        self.window = window;
        self.end = self.known.min(begin.saturating_add(window)).max(begin);
        self.signal = begin + (self.end - begin) / 4;
        (begin < self.end).then_some(begin..self.end)
    }
}

fn push(fs: &Fs, notifier: &Notifier, folder: NodeId, ordinals: Range<u32>) {
    let pushed = fs.short_messages(folder, ordinals, LARGEST, |id, bytes| {
        // A node that the kernel does not know is no error: it is asked for when it is wanted.
        if let Err(e) = notifier.store(INodeNo(id.0), 0, bytes) {
            tracing::trace!("not pushed: {e}");
        }
    });
    if let Err(e) = pushed {
        tracing::debug!("not pushed: {e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client that reads these messages of a listed folder makes be pushed.
    fn walk(ordinals: impl IntoIterator<Item = u32>) -> Vec<Range<u32>> {
        let mut walk = Walk {
            known: 10_000,
            ..Walk::default()
        };
        let steps = ordinals.into_iter();
        steps.filter_map(|ordinal| walk.step(ordinal, 0)).collect()
    }

    #[test]
    fn three_in_order_are_a_walk_and_its_windows_double() {
        assert_eq!(walk([2, 3]), []);
        assert_eq!(walk([2, 3, 4, 5]), vec![5..21; 1]);
        // 9 is the one left out of the first window, 29 of the second.
        assert_eq!(walk([2, 3, 4, 9, 29]), [5..21, 21..53, 53..117]);
    }

    #[test]
    fn only_what_is_listed_is_pushed() {
        let mut walk = Walk::default();
        assert_eq!(walk.list(9), None);
        let pushed: Vec<_> = (2..=4)
            .filter_map(|ordinal| walk.step(ordinal, 0))
            .collect();
        assert_eq!(pushed, vec![5..10; 1]);
        assert_eq!(walk.list(500), Some(10..26));
        assert_eq!(walk.list(600), None, "the walk has not come so far");
    }

    #[test]
    fn another_order_is_no_walk() {
        assert_eq!(walk([9, 8, 7, 6, 5, 4]), []);
        assert_eq!(walk([2, 4, 6, 8, 10]), []);
        assert_eq!(walk([2, 3, 4, 5, 500, 501]), vec![5..21; 1]);
    }

    #[test]
    fn windows_stop_growing() {
        let mut walk = Walk {
            known: u32::MAX,
            ..Walk::default()
        };
        let mut ordinal = 1;
        for _ in 0..20 {
            ordinal += 1;
            while walk.step(ordinal, 0).is_none() {
                ordinal = if walk.signal > ordinal {
                    walk.signal
                } else {
                    ordinal + 1
                };
            }
        }
        assert_eq!(walk.window, WINDOW.end);
    }
}
