//! How far a client has come in a folder, and which messages are wanted next.

use std::ops::Range;
use std::time::{Duration, Instant};

/// Reads in order that make a walk.
const WALK: u32 = 3;
/// Messages in the first window and in the largest.
const WINDOW: Range<u32> = 16..256;
/// A client that has caught up reads so many messages himself: what is pushed to him while he asks for the same is wasted.
pub(super) const LEAD: u32 = 1;
/// How long the kernel may take to take in a listing that it is sent: many times what it does.
const TAKING_IN: Duration = Duration::from_millis(10);

/// How far a client has come in a folder. The numbers are ordinals.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Walk {
    pub last: u32,
    /// Reads in order so far.
    pub run: u32,
    /// Messages in the current window; 0 before the first.
    pub window: u32,
    /// The message that is left out of it.
    pub signal: u32,
    /// Where the next window begins.
    end: u32,
    /// Behind the last message that the kernel was told of in a listing with attributes: it takes no pages for others.
    known: u32,
    /// When that was.
    told: Option<Instant>,
}

impl Walk {
    /// Takes note of the message that is read; answers the window to be pushed now, if one is.
    pub fn step(&mut self, ordinal: u32, carried: u32) -> Option<Range<u32>> {
        let is_next = ordinal == self.last.wrapping_add(1);
        // A message of the window that was read before it could be pushed is progress like the one left out.
        let in_window = self.window > 0 && ordinal > self.last && ordinal < self.end;
        let reached = self.window > 0 && ordinal >= self.signal;
        self.last = ordinal;
        if !is_next && !in_window {
            let (known, told) = (self.known, self.told);
            *self = Self {
                last: ordinal,
                run: 1,
                known,
                told,
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

    /// Takes note that the kernel is told of the messages up to this one; what the last window had no room for is pushed.
    pub fn list(&mut self, ordinal: u32) -> Option<Range<u32>> {
        self.told = Some(Instant::now());
        let more = self.window > 0 && self.end == self.known;
        self.known = self.known.max(ordinal + 1);
        if more { self.open(self.window) } else { None }
    }

    /// Whether this message is still to be pushed: the client goes on as he did, and is not about to read it himself.
    pub fn wants(&self, ordinal: u32) -> bool {
        self.window > 0 && ordinal > self.last.saturating_add(LEAD)
    }

    /// Whether the last listing may still be on its way.
    pub fn is_being_told(&self) -> bool {
        self.told.is_some_and(|told| told.elapsed() < TAKING_IN)
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
