//! At which instant the timer is armed, against deadlines that come and go meanwhile.
//!
//! *The one that files a deadline stores it, then reads the armed instant; the one that arms stores
//! the instant, then reads the deadlines again.* Both have a fence between, so at least one of them
//! sees the other, and no deadline is earlier than the timer for longer than that takes.

use super::NEVER;
use crate::sync::{AtomicU64, Ordering, fence};

/// No reader waits, or one is on its way: there is nothing to move.
const CLAIMED: u64 = u64::MAX;
/// A timer is moved on by heartbeats only if that gains an eighth of what is left: a peer of many
/// then moves it a few times in a deadline's length, not at each heartbeat, and it still never
/// rings while heartbeats come.
const WORTH: u64 = 8;

#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Arming {
    /// Beside each other in a cache line that heartbeats read and rarely write.
    armed: AtomicU64,
    /// From when on a heartbeat looks whether the timer can be moved on.
    look_at: AtomicU64,
    /// The earliest deadline in each shard, as filed.
    tops: Box<[AtomicU64]>,
}

impl Arming {
    pub(crate) fn new(shards: usize) -> Self {
        let tops = (0..shards).map(|_| AtomicU64::new(NEVER)).collect();
        Self { armed: AtomicU64::new(CLAIMED), look_at: AtomicU64::new(u64::MAX), tops }
    }

    pub(crate) fn shards(&self) -> usize {
        self.tops.len()
    }

    /// When the timer rings; past all instants if it is not set.
    #[inline]
    pub(crate) fn armed(&self) -> u64 {
        // Acquire: pairs with `disarm`.
        self.armed.load(Ordering::Acquire)
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.armed() < NEVER
    }

    pub(crate) fn is_claimed(&self) -> bool {
        self.armed() == CLAIMED
    }

    #[inline]
    pub(crate) fn top(&self, shard: usize) -> u64 {
        // Relaxed: a thread that must not miss it has the shard's lock, or a fence before this.
        self.tops[shard].load(Ordering::Relaxed)
    }

    /// Only under the shard's lock.
    pub(crate) fn set_top(&self, shard: usize, due: u64) {
        self.tops[shard].store(due, Ordering::Release);
    }

    /// Whether `due`, which was filed and is a top now, comes before the timer.
    pub(crate) fn is_early(&self, due: u64) -> bool {
        // Pairs with the fence in `arm`.
        fence(Ordering::SeqCst);
        let armed = self.armed();
        due < armed && armed != CLAIMED
    }

    pub(crate) fn earliest(&self) -> u64 {
        self.first().1
    }

    /// The shard whose deadline is the earliest, that deadline, and the earliest of the others.
    pub(crate) fn first(&self) -> (usize, u64, u64) {
        let (mut shard, mut first, mut second) = (0, NEVER, NEVER);
        for (n, top) in self.tops.iter().enumerate() {
            let top = top.load(Ordering::Acquire);
            if top < first {
                (shard, second, first) = (n, first, top);
            } else {
                second = second.min(top);
            }
        }
        (shard, first, second)
    }

    /// Notes that the timer is being set to the earliest deadline, and says what that is;
    /// [`NEVER`] if there is none. Under the lock of the alarm.
    pub(crate) fn arm(&self, earliest: impl Fn() -> u64) -> u64 {
        loop {
            let at = earliest();
            self.armed.store(at, Ordering::Release);
            self.look_at.store(0, Ordering::Relaxed);
            // Pairs with the fence in `is_early`.
            fence(Ordering::SeqCst);
            if self.earliest() >= at {
                return at;
            }
        }
    }

    /// A reader is on its way, or none is left.
    pub(crate) fn claim(&self) {
        self.armed.store(CLAIMED, Ordering::Release);
    }

    /// The same for the one that found it late. False if it has been moved meanwhile.
    pub(crate) fn disarm(&self, armed: u64) -> bool {
        let (to, order) = (CLAIMED, Ordering::AcqRel);
        self.armed.compare_exchange(armed, to, order, Ordering::Relaxed).is_ok()
    }

    /// Whether it is time to look if the timer can be moved on.
    #[inline]
    pub(crate) fn is_time(&self, now: u64) -> bool {
        now >= self.look_at.load(Ordering::Relaxed)
    }

    /// Has one thread look, and the next one in an eighth of what is left. Returns until when a
    /// deadline keeps the timer where it is: what comes later than this is worth a move. `None` if
    /// there is no timer, or another thread looks.
    pub(crate) fn begin(&self, now: u64) -> Option<u64> {
        let (look_at, armed) = (self.look_at.load(Ordering::Relaxed), self.armed());
        let gain = armed.saturating_sub(now) / WORTH;
        let later = if armed < NEVER { now + gain.max(1) } else { u64::MAX };
        let order = Ordering::Relaxed;
        let is_ours =
            look_at <= now && self.look_at.compare_exchange(look_at, later, order, order).is_ok();
        (is_ours && armed < NEVER).then(|| armed.saturating_add(gain))
    }

    /// There is more to be done: by the next heartbeat.
    pub(crate) fn go_on(&self) {
        self.look_at.store(0, Ordering::Relaxed);
    }
}
