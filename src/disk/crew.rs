//! Looking at many things of one store with several threads: a disk does several things at once, and so does a processor.
//!
//! Where work is shared, the thread that asks works too, so that its progress is the progress of all. The others have no deadline
//! of their own: they end when all is done, when one of them fails, or when nobody waits for the outcome any more.

use super::{lane, stop};
use crate::error::{Error, Kind, Result};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{OnceLock, mpsc};
use std::thread::ScopedJoinHandle;

/// Another thread is worth starting for so many shares.
const SHARES_EACH: usize = 2;

/// Hands out shares of the work.
pub struct Shares<'a> {
    next: AtomicUsize,
    things: usize,
    at_once: usize,
    failed: AtomicBool,
    is_given_up: &'a (dyn Fn() -> bool + Sync),
}

impl Shares<'_> {
    /// Which things to look at next; `None` when there is nothing more to do.
    pub fn next(&self) -> Option<Range<usize>> {
        let from = self.next.fetch_add(self.at_once, Ordering::Relaxed);
        let over = from >= self.things || self.failed.load(Ordering::Relaxed);
        (!over && !(self.is_given_up)()).then(|| from..self.things.min(from + self.at_once))
    }
}

/// How many there are is a dozen files to be read, and no different later.
fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, NonZeroUsize::get))
}

/// Has `work` take shares of so many things, `at_once` of them each time, on this thread and as many others as there are
/// cores for; what each thread returned.
///
/// # Errors
/// The first of `work`; [`Kind::Unreadable`] if the request was given up, or the work told to stop, before all was done.
pub fn share<R: Send>(
    things: usize,
    at_once: usize,
    work: impl Fn(&Shares<'_>) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    share_among(cores(), things, at_once, work)
}

/// The same on so many threads at most, this one among them.
///
/// # Errors
/// As for [`share`].
pub fn share_among<R: Send>(
    threads: usize,
    things: usize,
    at_once: usize,
    work: impl Fn(&Shares<'_>) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let (beat, stop) = (lane::current_beat(), stop::current());
    let is_given_up = || stop.is_set() || beat.as_ref().is_some_and(|beat| beat.is_expired());
    let shares = Shares {
        next: AtomicUsize::new(0),
        things,
        at_once,
        failed: AtomicBool::new(false),
        is_given_up: &is_given_up,
    };
    // Also on the other threads, and in what the work shares out itself.
    let work = || {
        stop.ends(|| work(&shares))
            .inspect_err(|_| shares.failed.store(true, Ordering::Relaxed))
    };
    let others = (things / (SHARES_EACH * at_once)).min(threads.saturating_sub(1));
    let done = std::thread::scope(|scope| {
        let others: Vec<_> = (0..others)
            .filter_map(|_| {
                std::thread::Builder::new()
                    .name("mailtm-crew".into())
                    .spawn_scoped(scope, work)
                    .ok()
            })
            .collect();
        let mut done = vec![work()];
        done.extend(others.into_iter().map(join));
        done
    });
    let done = done.into_iter().collect::<Result<Vec<R>>>()?;
    if is_given_up() {
        let message = "given up before all was looked at";
        return Err(Error::new(Kind::Unreadable, message));
    }
    Ok(done)
}

/// Makes something of each piece of work, on a thread of its own, while this thread takes what was made of the pieces before.
/// When `take` answers false no more is made; what has been made is taken. Whoever has a deadline does all himself, so that his
/// progress is seen.
///
/// # Errors
/// A fault, if `make` panics. The inner one is the first of `take`, which ends everything.
pub fn ahead<P: Sync, T: Send, E>(
    pieces: &[P],
    make: impl Fn(&P) -> T + Sync,
    mut take: impl FnMut(&P, T) -> std::result::Result<bool, E>,
) -> Result<std::result::Result<(), E>> {
    let alone = pieces.len() < 2 || lane::current_beat().is_some();
    let (stop, is_enough) = (stop::current(), &AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (send, made) = mpsc::sync_channel(1);
        let (make, is_over) = (&make, || is_enough.load(Ordering::Relaxed));
        let work = move || {
            let mut go_on = |piece| !is_over() && send.send(make(piece)).is_ok();
            stop.ends(|| pieces.iter().all(&mut go_on));
            Ok(())
        };
        let builder = std::thread::Builder::new().name("mailtm-ahead".into());
        let other = match alone {
            true => None,
            false => builder.spawn_scoped(scope, work).ok(),
        };
        let Some(other) = other else {
            for piece in pieces {
                match take(piece, make(piece)) {
                    Ok(true) => {}
                    other => return Ok(other.map(drop)),
                }
            }
            return Ok(Ok(()));
        };
        let mut taken = Ok(());
        for (piece, made) in pieces.iter().zip(made.iter()) {
            match take(piece, made) {
                Ok(go_on) => is_enough.store(!go_on, Ordering::Relaxed),
                Err(e) => {
                    taken = Err(e);
                    break;
                }
            }
        }
        drop(made);
        join(other).map(|()| taken)
    })
}

/// What a thread has returned.
pub(super) fn join<R>(thread: ScopedJoinHandle<'_, Result<R>>) -> Result<R> {
    let fault = || Error::new(Kind::Failed, "a fault in mailtm itself");
    thread.join().unwrap_or_else(|_| Err(fault()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::stop::Stop;

    fn seen(things: usize, at_once: usize) -> Vec<usize> {
        let work = |shares: &Shares<'_>| {
            let mut seen = Vec::new();
            while let Some(some) = shares.next() {
                seen.extend(some);
            }
            Ok(seen)
        };
        let mut seen = share(things, at_once, work).unwrap().concat();
        seen.sort_unstable();
        seen
    }

    #[test]
    fn what_is_made_ahead_is_taken_in_order_until_it_is_enough() {
        let pieces: Vec<u32> = (0..50).collect();
        let mut taken = Vec::new();
        let all = ahead(
            &pieces,
            |piece| piece * 2,
            |piece, made| {
                taken.push((*piece, made));
                Ok::<bool, ()>(true)
            },
        );
        assert_eq!((all.unwrap(), taken.len()), (Ok(()), 50));
        assert!(taken.iter().all(|(piece, made)| piece * 2 == *made));
        assert!(taken.is_sorted());
        let (mut taken, made) = (0, AtomicUsize::new(0));
        let make = |_: &u32| made.fetch_add(1, Ordering::Relaxed);
        let enough = ahead(&pieces, make, |_, _| {
            taken += 1;
            Ok::<bool, ()>(taken < 10)
        });
        assert_eq!(enough.unwrap(), Ok(()));
        assert_eq!(taken, made.into_inner());
        assert!((10..14).contains(&taken), "{taken}");
        let mut taken = 0;
        let fails = ahead(
            &pieces,
            |_| (),
            |_, ()| {
                taken += 1;
                if taken < 3 { Ok(true) } else { Err(taken) }
            },
        );
        assert_eq!(fails.unwrap(), Err(3));
        let panics = |piece: &u32| assert!(*piece < 5);
        let panicked = ahead(&pieces, panics, |_, ()| Ok::<bool, ()>(true));
        assert!(panicked.is_err());
    }

    #[test]
    fn each_thing_is_looked_at_once() {
        for (things, at_once) in [(0, 1), (1, 8), (8, 8), (1000, 7), (10_000, 64)] {
            let expected: Vec<usize> = (0..things).collect();
            assert_eq!(seen(things, at_once), expected, "{things} {at_once}");
        }
    }

    #[test]
    fn a_failure_ends_it_and_is_told() {
        let looked_at = AtomicUsize::new(0);
        let work = |shares: &Shares<'_>| -> Result<()> {
            while let Some(some) = shares.next() {
                looked_at.fetch_add(some.len(), Ordering::Relaxed);
                if some.contains(&5) {
                    return Err(Error::new(Kind::Stale, "the fifth"));
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            Ok(())
        };
        let error = share(100_000, 10, work).unwrap_err();
        assert_eq!(error.kind(), Kind::Stale);
        assert!(looked_at.into_inner() < 100_000);
    }

    #[test]
    fn what_shares_out_work_of_its_own_is_told_to_stop_too() {
        let (stop, tried) = (Stop::default(), AtomicUsize::new(0));
        let work = |shares: &Shares<'_>| -> Result<()> {
            while shares.next().is_some() {
                tried.fetch_add(1, Ordering::Relaxed);
                stop.stop();
                share(10, 1, |_| Ok(()))?;
            }
            Ok(())
        };
        stop.ends(|| share_among(4, 1000, 1, work)).unwrap_err();
        assert!(tried.into_inner() <= 4);
    }

    #[test]
    fn who_is_told_to_stop_has_not_seen_all() {
        let stop = Stop::default();
        let work = |shares: &Shares<'_>| {
            while shares.next().is_some() {
                stop.stop();
            }
            Ok(())
        };
        let error = stop.ends(|| share(1000, 1, work)).unwrap_err();
        assert_eq!(error.kind(), Kind::Unreadable);
    }
}
