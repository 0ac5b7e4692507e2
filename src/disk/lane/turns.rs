//! Turns for work on a lane that may take very long, such as measuring all messages of a folder: whoever owns a mailbox can make it
//! take hours. Such work gets most of a lane's threads, never all, and that of one mailbox two; what finds no turn free waits in a queue,
//! where it takes no thread. Who waits for work of its own mailbox waits as long as that makes progress; for that of others, it is given up
//! after the timeout like everything else.

use super::{Beat, CURRENT, LANE_THREADS, Lane, Queued, lock};
use crate::error::{Error, Kind, Result};
use std::collections::VecDeque;
use std::sync::Arc;

/// How many turns there are on a lane at once, and how many of them for one mailbox.
const TURNS: usize = LANE_THREADS * 3 / 4;
const TURNS_OF_ONE: usize = 2;

/// The turns that are taken on a lane, by what stands for the mailbox, and the requests that wait for one.
#[derive(Default)]
pub(super) struct Turns {
    taken: Vec<(u64, Arc<Beat>)>,
    waiting: VecDeque<(u64, Queued)>,
}

impl Turns {
    fn has_room(&self, mailbox: u64) -> bool {
        self.taken.len() < TURNS && self.of(mailbox).count() < TURNS_OF_ONE
    }

    /// The pulses of those that have a turn for a mailbox.
    fn of(&self, mailbox: u64) -> impl Iterator<Item = &Arc<Beat>> {
        let its_own = self
            .taken
            .iter()
            .filter(move |(other, _)| *other == mailbox);
        its_own.map(|(_, beat)| beat)
    }

    /// The next request that may go on.
    fn next(&mut self) -> Option<Queued> {
        self.waiting.retain(|(_, queued)| !queued.beat.is_expired());
        let place = self
            .waiting
            .iter()
            .position(|(mailbox, _)| self.has_room(*mailbox));
        self.waiting.remove(place?).map(|(_, queued)| queued)
    }
}

impl std::fmt::Debug for Turns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (taken, waiting) = (self.taken.len(), self.waiting.len());
        write!(f, "{taken} taken, {waiting} waiting")
    }
}

/// A turn; given back when it is dropped.
pub struct Turn {
    lane: Arc<Lane>,
    mailbox: u64,
    beat: Arc<Beat>,
}

impl Lane {
    /// Takes a turn for work that may take very long. `None` on a thread that runs no request: it holds up nobody.
    ///
    /// # Errors
    /// [`Kind::WouldBlock`]: no turn is free; the request will be run again when one is.
    pub fn turn(self: &Arc<Self>, mailbox: u64) -> Result<Option<Turn>> {
        CURRENT.with_borrow_mut(|current| {
            let Some(current) = current else {
                return Ok(None);
            };
            let mut turns = lock(&self.turns);
            if turns.has_room(mailbox) {
                turns.taken.push((mailbox, current.beat.clone()));
                return Ok(Some(Turn {
                    lane: self.clone(),
                    mailbox,
                    beat: current.beat.clone(),
                }));
            }
            current.refused_by = Some(self.clone());
            current.awaits_turn_of = Some(mailbox);
            let message = format!("{}: others are at work that takes long", self.name);
            Err(Error::new(Kind::WouldBlock, message))
        })
    }

    /// Runs a request again when there is a turn for its mailbox.
    pub(super) fn await_turn(self: &Arc<Self>, mailbox: u64, queued: Queued) {
        let next = {
            let mut turns = lock(&self.turns);
            turns.waiting.push_back((mailbox, queued));
            // One may have become free meanwhile.
            turns.next()
        };
        self.go_on(next);
    }

    /// Lets the next go on that waits, if there is a turn: one that was let go on may have needed none, or have been given up.
    pub(super) fn pass_on(self: &Arc<Self>) {
        let next = lock(&self.turns).next();
        self.go_on(next);
    }

    /// Lets those that wait take over the progress of the work that they wait for.
    pub(super) fn follow_turns(&self) {
        let turns = lock(&self.turns);
        for (mailbox, queued) in &turns.waiting {
            turns.of(*mailbox).for_each(|beat| queued.beat.follow(beat));
        }
    }

    fn go_on(self: &Arc<Self>, next: Option<Queued>) {
        if let Some(queued) = next {
            self.submit_or_expire(queued);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut turns = lock(&self.lane.turns);
            let is_this = |(mailbox, beat): &(u64, Arc<Beat>)| {
                *mailbox == self.mailbox && Arc::ptr_eq(beat, &self.beat)
            };
            if let Some(place) = turns.taken.iter().position(is_this) {
                turns.taken.swap_remove(place);
            }
            turns.next()
        };
        self.lane.go_on(next);
    }
}
