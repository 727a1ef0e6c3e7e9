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
    pub(crate) fn arm(&self, mut earliest: impl FnMut() -> u64) -> u64 {
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

/// The locks that the callers have are part of the models: that of a shard round `set_top`, that of
/// the alarm round `arm`.
#[cfg(all(test, steadfast_loom))]
mod loom_tests {
    use loom::{sync::Arc, thread};
    use steadfast_core::parts::lock;

    use super::*;
    use crate::sync::Mutex;

    struct Model {
        arming: Arming,
        alarm: Mutex<()>,
        shards: [Mutex<()>; 2],
        /// Since when silence counts.
        resumed: AtomicU64,
    }

    impl Model {
        fn new(tops: [u64; 2]) -> Arc<Self> {
            let arming = Arming::new(2);
            (0..2).for_each(|shard| arming.set_top(shard, tops[shard]));
            let (alarm, shards) = (Mutex::new(()), [Mutex::new(()), Mutex::new(())]);
            Arc::new(Self { arming, alarm, shards, resumed: AtomicU64::new(0) })
        }

        /// One whose timer is set.
        fn armed(tops: [u64; 2]) -> Arc<Self> {
            let model = Self::new(tops);
            model.arm();
            model
        }

        /// A reader, or a thread that moves the timer.
        fn arm(&self) {
            let _alarm = lock(&self.alarm);
            self.arming.arm(|| self.arming.earliest());
        }

        /// A thread that moves a top, to an earlier or a later deadline.
        fn set(&self, shard: usize, due: u64) {
            let guard = lock(&self.shards[shard]);
            self.arming.set_top(shard, due);
            drop(guard);
        }

        /// A thread that files a deadline which becomes a top.
        fn file(&self, shard: usize, due: u64) {
            self.set(shard, due);
            if self.arming.is_early(due) {
                self.arm();
            }
        }

        fn check(&self) {
            let (earliest, armed) = (self.arming.earliest(), self.arming.armed());
            assert!(earliest >= armed, "{earliest} is due before the timer's {armed}");
        }
    }

    fn bounded() -> loom::model::Builder {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model
    }

    #[test]
    fn loom_a_deadline_that_is_filed_while_a_reader_arms_is_seen_by_one_of_the_two() {
        loom::model(|| {
            let model = Model::new([9, NEVER]);
            let other = Arc::clone(&model);
            let thread = thread::spawn(move || other.file(1, 5));
            model.arm();
            thread.join().unwrap();
            model.check();
        });
    }

    #[test]
    fn loom_no_timer_is_late_when_tops_are_moved_and_filed_while_two_threads_arm() {
        bounded().check(|| {
            let model = Model::armed([4, 9]);
            let others = [Arc::clone(&model), Arc::clone(&model)];
            let [mover, filer] = others;
            // The timer's top goes later, and the thread that saw to that moves the timer.
            let mover = thread::spawn(move || {
                mover.set(0, 8);
                mover.arm();
            });
            let filer = thread::spawn(move || filer.file(1, 5));
            model.arm();
            mover.join().unwrap();
            filer.join().unwrap();
            model.check();
        });
    }

    /// That it disarms no timer that was set meanwhile is shown by the exchange alone: loom orders
    /// no store and exchange that race, and lets the exchange's value come after the store's.
    #[test]
    fn loom_a_thread_that_finds_the_timer_disarmed_sees_the_pause_that_disarmed_it() {
        loom::model(|| {
            let model = Model::armed([5, NEVER]);
            let other = Arc::clone(&model);
            let thread = thread::spawn(move || {
                other.resumed.fetch_max(7, Ordering::AcqRel);
                assert!(other.arming.disarm(5));
            });
            if model.arming.is_claimed() {
                assert_eq!(model.resumed.load(Ordering::Acquire), 7);
            }
            thread.join().unwrap();
            assert!(!model.arming.disarm(5), "once");
            model.set(0, 9);
            model.arm();
            assert!(!model.arming.disarm(5) && model.arming.armed() == 9);
        });
    }
}
