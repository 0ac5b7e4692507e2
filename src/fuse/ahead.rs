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

/// Reads in order that make a walk.
const WALK: u32 = 3;
/// Messages in the first window and in the largest.
const WINDOW: Range<u32> = 8..128;
/// A longer message is not pushed: its own reading ahead serves it well.
const LARGEST: u64 = 64 << 10;
/// Walks that are followed at once.
const WALKS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);
/// Messages that one thread takes at once.
const CHUNK: u32 = 4;
const THREADS: usize = 2;
/// Windows that wait to be pushed; more are dropped, the oldest first.
const MOST_WAITING: usize = 64;

/// How far a client has come in a folder. The numbers are ordinals.
#[derive(Clone, Copy, Debug)]
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
                        for ordinal in ordinals {
                            push(&fs, &notifier, folder.with_ordinal(ordinal));
                        }
                    }
                })?;
        }
        Ok(())
    }

    /// Takes note of a READ.
    pub(super) fn saw(&self, id: NodeId, offset: u64) {
        let ordinal = id.parts().ordinal;
        if offset != 0 || ordinal < node::FIRST_MESSAGE {
            return;
        }
        let mut state = self.lock();
        let folder = id.with_ordinal(0);
        let carried = state.carried;
        let walk = state.walks.get_or_insert_mut(folder, || Walk {
            last: ordinal,
            run: 0,
            window: 0,
            signal: 0,
            end: 0,
        });
        let wanted = walk.step(ordinal, carried);
        let window = walk.window;
        let Some(wanted) = wanted else {
            if walk.run <= 1 {
                // Another way through the folder: what was about to be pushed is not wanted.
                state.waiting.retain(|(waiting, _)| *waiting != folder);
            }
            return;
        };
        state.carried = window / 2;
        let signal = state.walks.peek(&folder).map_or(0, |walk| walk.signal);
        for range in [wanted.start..signal, signal + 1..wanted.end] {
            if !range.is_empty() {
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
        let chunk = range.start..range.end.min(range.start + CHUNK);
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
        let reached = self.window > 0 && ordinal >= self.signal && ordinal < self.end;
        self.last = ordinal;
        if !is_next && !in_window {
            *self = Self {
                last: ordinal,
                run: 1,
                window: 0,
                signal: 0,
                end: 0,
            };
            return None;
        }
        self.run = self.run.saturating_add(1);
        let begin = if self.window == 0 && self.run >= WALK {
            self.window = carried.clamp(WINDOW.start, WINDOW.end);
            ordinal + 1
        } else if reached {
            self.window = (self.window * 2).min(WINDOW.end);
            self.end
        } else {
            return None;
        };
        self.end = begin + self.window;
        self.signal = begin + self.window / 2;
        Some(begin..self.end)
    }
}

fn push(fs: &Fs, notifier: &Notifier, id: NodeId) {
    match fs.short_message(id, LARGEST) {
        Ok(Some(bytes)) => {
            // A node that the kernel does not know is no error: it is asked for when it is wanted.
            if let Err(e) = notifier.store(INodeNo(id.0), 0, &bytes) {
                tracing::trace!("not pushed: {e}");
            }
        }
        Ok(None) => {}
        Err(e) => tracing::debug!("not pushed: {e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client that reads these messages makes be pushed.
    fn walk(ordinals: impl IntoIterator<Item = u32>) -> Vec<Range<u32>> {
        let mut walk = Walk {
            last: 0,
            run: 0,
            window: 0,
            signal: 0,
            end: 0,
        };
        ordinals
            .into_iter()
            .filter_map(|ordinal| walk.step(ordinal, 0))
            .collect()
    }

    #[test]
    fn three_in_order_are_a_walk_and_its_windows_double() {
        assert_eq!(walk([2, 3]), []);
        assert_eq!(walk([2, 3, 4, 5]), vec![5..13; 1]);
        // 9 is the one left out of the first window, 21 of the second.
        assert_eq!(walk([2, 3, 4, 5, 9, 21]), [5..13, 13..29, 29..61]);
    }

    #[test]
    fn another_order_is_no_walk() {
        assert_eq!(walk([9, 8, 7, 6, 5, 4]), []);
        assert_eq!(walk([2, 4, 6, 8, 10]), []);
        assert_eq!(walk([2, 3, 4, 5, 500, 501]), vec![5..13; 1]);
    }

    #[test]
    fn windows_stop_growing() {
        let mut walk = Walk {
            last: 0,
            run: 0,
            window: 0,
            signal: 0,
            end: 0,
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
