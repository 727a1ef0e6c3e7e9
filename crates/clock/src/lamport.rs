//! Lamport's logical clock: one counter that orders events without any time.
//!
//! L. Lamport: *Time, Clocks, and the Ordering of Events in a Distributed System* (1978). It costs
//! eight bytes a message. If *e* happened before *f*, then the number of *e* is the smaller one;
//! the converse does not hold. A [`VectorClock`](crate::VectorClock) tells concurrent events apart,
//! and the numbers of an [`Hlc`](crate::Hlc) are close to wall time.

use crate::sync::{AtomicU64, Ordering::Relaxed};

/// A Lamport clock that threads share.
///
/// Pairs of a number and a [`NodeId`](crate::NodeId) are the total order of the paper.
///
/// ```
/// use steadfast_clock::LamportClock;
///
/// let (here, there) = (LamportClock::new(), LamportClock::new());
/// there.merge(41)?;
/// let sent = there.tick();
/// let received = here.update(sent)?;
/// assert_eq!((sent, received), (42, 43));
/// assert!(here.update(u64::MAX).is_err());
/// assert_eq!(here.tick(), 44);
/// # Ok::<_, steadfast_clock::RemoteTooLarge>(())
/// ```
#[derive(Debug, Default)]
pub struct LamportClock {
    // Relaxed throughout: the promise is about this one word, whose modification order all threads
    // agree on. A change that happened before another comes first in it. The word guards nothing
    // else.
    last: AtomicU64,
}

impl LamportClock {
    /// What comes from outside must be less than this: 2⁶³. A clock that counts an event each
    /// nanosecond gets there in 292 years, and needs as long again to the end of the word: ticks
    /// never wrap.
    pub const LIMIT: u64 = 1 << 63;

    /// A clock whose first event is number 1.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A clock that goes on after `last`, the last number an earlier run gave out.
    ///
    /// # Errors
    /// When `last` is not below [`LIMIT`](Self::LIMIT).
    pub fn starting_after(last: u64) -> Result<Self, RemoteTooLarge> {
        RemoteTooLarge::check(last)?;
        Ok(Self { last: AtomicU64::new(last) })
    }

    /// Numbers a local event, or a message that is sent: rule IR1. No two ticks of a clock return
    /// the same number.
    #[inline]
    pub fn tick(&self) -> u64 {
        // Never wraps: see `LIMIT`.
        self.last.fetch_add(1, Relaxed) + 1
    }

    /// Numbers the receipt of a message that carries `remote`: one more than the larger of the two,
    /// rule IR2.
    ///
    /// The limit keeps out garbage: all ones, negative numbers, the bits of a float. A number just
    /// below it is believed, and the peers of this clock then refuse what it says: where peers may
    /// lie, an [`Hlc`](crate::Hlc) has wall time to hold them to.
    ///
    /// # Errors
    /// When `remote` is not below [`LIMIT`](Self::LIMIT); the clock stays what it was.
    pub fn update(&self, remote: u64) -> Result<u64, RemoteTooLarge> {
        // In two steps that cannot fail, instead of a loop. What another thread does in between
        // only makes the number larger.
        self.merge(remote)?;
        Ok(self.tick())
    }

    /// Adopts `remote` without numbering anything: all later numbers are larger.
    ///
    /// # Errors
    /// When `remote` is not below [`LIMIT`](Self::LIMIT); the clock stays what it was.
    pub fn merge(&self, remote: u64) -> Result<(), RemoteTooLarge> {
        RemoteTooLarge::check(remote)?;
        self.last.fetch_max(remote, Relaxed);
        Ok(())
    }

    /// The last number given out or adopted; 0 before the first.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last.load(Relaxed)
    }
}

/// A number that no honest Lamport clock has reached: at or above [`LamportClock::LIMIT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Lamport time {remote} is not below 2^63")]
#[non_exhaustive]
pub struct RemoteTooLarge {
    /// The number that was refused.
    pub remote: u64,
}

impl RemoteTooLarge {
    /// Refuses `remote`.
    #[must_use]
    pub const fn new(remote: u64) -> Self {
        Self { remote }
    }

    fn check(remote: u64) -> Result<(), Self> {
        if remote < LamportClock::LIMIT { Ok(()) } else { Err(Self::new(remote)) }
    }
}

#[cfg(all(test, not(steadfast_loom)))]
mod tests {
    use super::*;

    #[test]
    fn garbage_from_a_peer_neither_wraps_nor_moves_the_clock() {
        let clock = LamportClock::starting_after(7).unwrap();
        for garbage in [u64::MAX, u64::MAX - 1, LamportClock::LIMIT] {
            assert_eq!(clock.update(garbage), Err(RemoteTooLarge::new(garbage)));
            assert_eq!(clock.merge(garbage), Err(RemoteTooLarge::new(garbage)));
            assert!(LamportClock::starting_after(garbage).is_err());
        }
        assert_eq!(clock.tick(), 8);
    }

    #[test]
    fn the_largest_number_that_is_believed_leaves_room_for_centuries_of_ticks() {
        let clock = LamportClock::new();
        assert_eq!(clock.update(LamportClock::LIMIT - 1), Ok(LamportClock::LIMIT));
        assert_eq!(clock.tick(), LamportClock::LIMIT + 1);
        assert!(u64::MAX - clock.last() > 290 * 365 * 24 * 3600 * 1_000_000_000);
    }

    #[test]
    fn old_news_still_numbers_the_receipt() {
        let clock = LamportClock::starting_after(10).unwrap();
        assert_eq!(clock.update(3), Ok(11));
        assert_eq!(clock.update(11), Ok(12), "of equal numbers the receipt is the later");
        clock.merge(5).unwrap();
        assert_eq!(clock.last(), 12);
    }
}

#[cfg(all(test, steadfast_loom))]
mod loom_tests {
    use loom::{sync::Arc, thread};

    use super::*;

    /// Whatever the interleaving: no number is given out twice, each thread's grow, and a receipt
    /// lies above its message.
    #[test]
    fn numbers_are_unique_and_grow_beside_a_receipt_and_a_merge() {
        loom::model(|| {
            let clock = Arc::new(LamportClock::new());
            let receiver = {
                let clock = Arc::clone(&clock);
                thread::spawn(move || [clock.update(5).unwrap(), clock.tick()])
            };
            let merger = {
                let clock = Arc::clone(&clock);
                thread::spawn(move || {
                    clock.merge(7).unwrap();
                    clock.tick()
                })
            };
            let here = clock.tick();
            let (received, merged) = (receiver.join().unwrap(), merger.join().unwrap());
            assert!(
                received[0] > 5 && received[0] < received[1] && merged > 7,
                "{received:?} {merged}"
            );
            let mut all = [here, received[0], received[1], merged];
            all.sort_unstable();
            assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
            assert_eq!(clock.last(), all[3], "the last number given out");
        });
    }

    /// A message between threads that share the clock: its number travels with a release and an
    /// acquire, without an update.
    #[test]
    fn a_tick_after_a_message_of_the_same_process_lies_above_it() {
        loom::model(|| {
            let shared = Arc::new((LamportClock::new(), AtomicU64::new(0)));
            let sender = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    shared.1.store(shared.0.tick(), crate::sync::Ordering::Release)
                })
            };
            let sent = shared.1.load(crate::sync::Ordering::Acquire);
            assert!(shared.0.tick() > sent);
            sender.join().unwrap();
        });
    }
}
