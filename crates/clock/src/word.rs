//! The one word that threads share.
//!
//! Every access is relaxed. All that is asked of the word is its modification order, and that is
//! what a single atomic has: a read-modify-write sees the one before it, and if *e* happened before
//! *f*, then the word's change in *e* comes before that in *f*. The word guards nothing else, so
//! there is nothing to acquire or release.

use crate::{
    DriftTooLarge, Physical, Timestamp,
    state::{Allowance, receive, tick},
    sync::{AtomicU64, Ordering::Relaxed},
};

/// The last timestamp given out or adopted. On a line of its own, for each tick writes it.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Word(AtomicU64);

impl Word {
    pub(crate) fn new(start: Timestamp) -> Self {
        Self(AtomicU64::new(start.to_bits()))
    }

    #[inline]
    pub(crate) fn last(&self) -> Timestamp {
        Timestamp::from_bits(self.0.load(Relaxed))
    }

    /// [`tick`], in two steps.
    ///
    /// The first counts, without looking: that cannot fail, so that two threads never undo each
    /// other's work. While the word is at or ahead of the wall clock, which it is for all but the
    /// first tick of a grain, the count is the timestamp. Otherwise the count is given to no
    /// caller, others may have built on it, and the second step brings the word up to the wall
    /// clock.
    #[inline]
    pub(crate) fn tick(&self, wall: Physical) -> Timestamp {
        // Never wraps: see `Physical::LIMIT`.
        let counted = Timestamp::from_bits(self.0.fetch_add(1, Relaxed)).next();
        // A wall clock beyond the limit is held to it by the second step: there every tick takes
        // both.
        if counted >= Timestamp::from(wall) { counted } else { self.catch_up(counted, wall) }
    }

    /// The second step of a tick. Out of line: a busy clock needs it once in a grain, and the first
    /// step is so short that its preparation shows.
    #[cold]
    #[inline(never)]
    fn catch_up(&self, counted: Timestamp, wall: Physical) -> Timestamp {
        self.advance(counted, |last| tick(last, wall))
    }

    /// [`receive`], unless `remote` is too far ahead.
    #[inline]
    pub(crate) fn update(
        &self,
        wall: Physical,
        remote: Timestamp,
        allowance: Allowance,
    ) -> Result<Timestamp, DriftTooLarge> {
        let last = self.last();
        // What is no news now will be none when the word is written: it only grows.
        allowance.check(last, wall, remote)?;
        Ok(self.advance(last, |last| receive(last, wall, remote)))
    }

    /// Adopts `remote`, unless it is too far ahead.
    #[inline]
    pub(crate) fn merge(
        &self,
        wall: Physical,
        remote: Timestamp,
        allowance: Allowance,
    ) -> Result<(), DriftTooLarge> {
        allowance.check(self.last(), wall, remote)?;
        self.0.fetch_max(remote.to_bits(), Relaxed);
        Ok(())
    }

    /// Compare-and-swap loop: moves the word to what `next` makes of it, and returns that.
    /// Lock-free: each failed round is another thread's success.
    #[inline]
    fn advance(&self, mut seen: Timestamp, next: impl Fn(Timestamp) -> Timestamp) -> Timestamp {
        loop {
            let to = next(seen);
            match self.0.compare_exchange_weak(seen.to_bits(), to.to_bits(), Relaxed, Relaxed) {
                Ok(_) => return to,
                Err(now) => seen = Timestamp::from_bits(now),
            }
        }
    }
}

#[cfg(all(test, steadfast_loom))]
mod loom_tests {
    use std::time::Duration;

    use loom::{sync::Arc, thread};

    use super::*;

    fn at(grains: u64) -> Physical {
        Physical::from_grains(grains)
    }

    fn allowance() -> Allowance {
        Allowance::new(Duration::from_secs(1))
    }

    /// Whatever the interleaving: no two stamps are the same, each thread's grow, none is behind
    /// the wall clock it read.
    #[test]
    fn stamps_are_unique_and_grow_while_wall_clocks_disagree() {
        loom::model(|| {
            let word = Arc::new(Word::new(at(5).into()));
            let ticker = |walls: [u64; 2]| {
                let word = Arc::clone(&word);
                move || walls.map(|wall| (word.tick(at(wall)), at(wall)))
            };
            let other = thread::spawn(ticker([7, 6]));
            let mut stamps = ticker([6, 9])().to_vec();
            stamps.extend(other.join().unwrap());
            assert!(stamps[0].0 < stamps[1].0 && stamps[2].0 < stamps[3].0, "{stamps:?}");
            assert!(stamps.iter().all(|(stamp, wall)| stamp.physical() >= *wall), "{stamps:?}");
            stamps.sort_unstable();
            assert!(stamps.windows(2).all(|pair| pair[0].0 < pair[1].0), "{stamps:?}");
            assert_eq!(word.last(), stamps[3].0, "the word is the last one given out");
        });
    }

    #[test]
    fn what_was_received_or_adopted_lies_before_all_that_follows() {
        loom::model(|| {
            let word = Arc::new(Word::new(Timestamp::MIN));
            let remote = Timestamp::new(at(40), 3);
            let receiver = {
                let word = Arc::clone(&word);
                thread::spawn(move || word.update(at(30), remote, allowance()).unwrap())
            };
            let merger = {
                let word = Arc::clone(&word);
                thread::spawn(move || {
                    word.merge(at(30), remote.next(), allowance()).unwrap();
                    word.tick(at(2))
                })
            };
            let (here, received, after) =
                (word.tick(at(35)), receiver.join().unwrap(), merger.join().unwrap());
            assert!(received > remote && after > remote.next());
            let mut all = [here, received, after];
            all.sort_unstable();
            assert!(all[0] < all[1] && all[1] < all[2], "{all:?}");
        });
    }

    /// A message: stamped, published by a release, read by an acquire. The receiver's own tick
    /// follows it without an update, because both threads share the clock.
    #[test]
    fn happened_before_within_the_process_is_enough() {
        loom::model(|| {
            let shared = Arc::new((Word::new(Timestamp::MIN), AtomicU64::new(0)));
            let sender = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let sent = shared.0.tick(at(9));
                    shared.1.store(sent.to_bits(), crate::sync::Ordering::Release);
                })
            };
            let sent = shared.1.load(crate::sync::Ordering::Acquire);
            assert!(shared.0.tick(at(1)).to_bits() > sent);
            sender.join().unwrap();
        });
    }
}
