//! What a budget has taken in and given out, by time. Reads no clock: its callers pass the tick in.
//!
//! A budget promises a bound: at every withdrawal, what is withdrawn and not yet sent, together
//! with what was sent in the window that ends there, is at most a share of the requests in that
//! same window, plus a floor. A token bucket with refunds does not bound that, so both sides are
//! counted, in buckets of a thirty-second of the window, and each side errs the safe way: what was
//! sent is summed over 33 buckets (at least the window), requests over 32 (at most the window).
//!
//! What is not yet sent has no date, and what was sent is dated by its sending. So the bound holds
//! for what goes over the wire, however long the calls wait: of what was sent in any window, let
//! the last to be withdrawn be withdrawn at t. At t all of it was either pending, or sent in the
//! window that ended at t: and that was bounded.
//!
//! A request that succeeds must not pay for this: no clock, no wait for a lock, no line that
//! another core writes. So a request is counted in a lane that its thread owns, without a date
//! ([`ThreadCount`]). A *look* dates what was counted since the look before it, by the tick of that
//! earlier look: too early at worst, and then the request expires too early, which is safe. Each
//! withdrawal looks, and so does every 16th request of a lane, every 64th where a tick has many
//! ([`Pace`]), so that a healthy service has fresh credit when its first failures come.
//!
//! The books stand under a lock, held for a few instructions and the sum over the lanes, under
//! which nothing outside this file is called. A request only tries it: where another thread holds
//! it, that thread looks.

use std::sync::TryLockError;

use steadfast_core::{
    Ratio,
    parts::{ThreadCount, Tick, lane_count, lock},
};

use crate::{
    snapshot::BudgetSnapshot,
    sync::{AtomicU64, Mutex, MutexGuard, Ordering},
};

/// Of the window's requests a bucket is lost to rounding, and what was counted between two looks
/// may be dated a bucket early: two of 32 at worst, where requests are not rare.
pub(crate) const BUCKETS: u32 = 32;

/// One bucket more than the window has: the window begins somewhere inside the oldest.
const COVERING: usize = BUCKETS as usize + 1;

/// A request in so many of a lane may be one that looks: at 100/s, whatever the number of lanes, a
/// look comes about twice in a bucket of the default window.
const STEP: u64 = 16;

/// Of those, one in so many looks where they are many in a tick. A clock read is as dear as 20
/// requests that are only counted.
const STEPS_PER_LOOK: u64 = 4;

/// What may be withdrawn: a share of the requests in the window, and something on top.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    pub(crate) ratio: Ratio,
    pub(crate) floor: u64,
}

impl Allowance {
    #[expect(clippy::cast_precision_loss, reason = "counts of a window are far below 2^53")]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounding down is meant; never negative"
    )]
    fn of(self, requests: u64) -> u64 {
        // A product such as 0.29 * 100 may round to just below 29; one part in 10^12 is far below
        // one request.
        let share = self.ratio.value() * requests as f64 * (1.0 + 1e-12);
        (share as u64).saturating_add(self.floor)
    }
}

/// Requests and withdrawals of one window. Nothing here takes longer after a long idle gap.
#[derive(Debug)]
pub(crate) struct Ledger {
    requests: ThreadCount,
    /// One for each lane that a thread can own, and the last for the one that all others share.
    paces: Box<[Pace]>,
    /// The tick of the last look: another one in the same tick would change no date.
    looked: AtomicU64,
    /// No panic leaves them half changed: their methods call nothing else.
    books: Apart<Mutex<Books>>,
}

/// On cache lines of its own: the lock is written where retries are, the fields beside it are read
/// by every request.
#[derive(Debug)]
#[repr(align(128))]
struct Apart<T>(T);

impl Ledger {
    pub(crate) fn new(allowance: Allowance) -> Self {
        // Twice the cores, because not only a runtime's workers make calls.
        Self::with_lanes(allowance, (2 * lane_count()).clamp(8, 64))
    }

    fn with_lanes(allowance: Allowance, lanes: usize) -> Self {
        let requests = ThreadCount::new(lanes, phase);
        let paces = (0..=lanes).map(|_| Pace::default()).collect();
        let books = Mutex::new(Books { counted: requests.sum(), ..Books::new(allowance) });
        Self { requests, paces, looked: AtomicU64::new(0), books: Apart(books) }
    }

    /// Goes on with another allowance. What was counted and what was withdrawn stays: where that is
    /// more than is allowed now, nothing is available until enough of it has left the window.
    pub(crate) fn change(&self, allowance: Allowance) {
        lock(&self.books.0).allowance = allowance;
    }

    /// Counts a request of the calling thread, which has the number `thread`. Where it may be time
    /// for a look, it says at what the thread's lane stands.
    #[inline]
    pub(crate) fn count(&self, thread: usize) -> Option<u64> {
        let count = self.requests.add(thread);
        count.is_multiple_of(STEP).then_some(count)
    }

    /// Whether it is time for a look of the thread whose lane stands at `count`.
    pub(crate) fn is_due(&self, thread: usize, count: u64) -> bool {
        self.pace(thread).is_due(count)
    }

    /// That look: the clock reads `now`.
    pub(crate) fn glance_by(&self, thread: usize, count: u64, now: Tick) {
        self.pace(thread).looked(count, now);
        self.glance(now);
    }

    fn pace(&self, thread: usize) -> &Pace {
        &self.paces[thread.min(self.paces.len() - 1)]
    }

    /// The clock reads `now`, and a request has the time for a look, but not for another thread.
    fn glance(&self, now: Tick) {
        // Relaxed: where the tick is an older one, the look comes although it need not.
        if self.looked.load(Ordering::Relaxed) >= now.0 {
            return;
        }
        let books = match self.books.0.try_lock() {
            Ok(books) => books,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        drop(self.look(books, now));
    }

    /// Takes `cost` if the allowance covers it, and says whether it does; `cost` is pending until
    /// it is sent or refunded.
    ///
    /// The books' time never goes back: what other threads have sent, however much later than this
    /// thread read the clock, is dated no later than what is asked here.
    pub(crate) fn withdraw(&self, now: Tick, cost: u64) -> bool {
        let mut books = self.look(lock(&self.books.0), now);
        let is_covered = cost <= books.balance().available;
        if is_covered {
            books.pending = books.pending.saturating_add(cost);
        }
        is_covered
    }

    /// What was taken is sent now: from here on it counts for one window.
    pub(crate) fn send(&self, now: Tick, cost: u64) {
        self.look(lock(&self.books.0), now).send(cost);
    }

    /// Gives back what was taken and not sent.
    pub(crate) fn refund(&self, cost: u64) {
        lock(&self.books.0).settle(cost);
    }

    pub(crate) fn snapshot_at(&self, now: Tick) -> BudgetSnapshot {
        self.look(lock(&self.books.0), now).balance()
    }

    /// Dates what was counted since the look before.
    fn look<'a>(&self, mut books: MutexGuard<'a, Books>, now: Tick) -> MutexGuard<'a, Books> {
        books.look(now, self.requests.sum());
        // Relaxed: it publishes nothing but itself.
        self.looked.store(books.now.0, Ordering::Relaxed);
        books
    }
}

/// Where a lane's count begins. Lanes that count in step must not look in step, or all their looks
/// would come at once and long after one another: of any 2, 4, 8 or 16 lanes the looks are evenly
/// spread.
fn phase(lane: usize) -> u64 {
    const BITS: u32 = STEP.trailing_zeros();
    (lane as u64 % STEP).reverse_bits() >> (u64::BITS - BITS)
}

/// When a lane looks. In each tick its looks begin anew, `STEP` requests apart, and go on at twice
/// and four times that: so they come no later after one another than the tick is long, or `STEP`
/// requests, and a lane with very many requests reads the clock once in 64.
///
/// Written when a look finds a new tick, so that the lanes need not stand apart. In the lane that
/// threads share, one may read what another has half written: then the looks of a tick come in
/// another order, but still one in `STEPS_PER_LOOK` steps at least.
#[derive(Debug, Default)]
struct Pace {
    /// The tick of the lane's own last look.
    tick: AtomicU64,
    /// Where the lane stood at its first look in that tick.
    first: AtomicU64,
}

impl Pace {
    fn is_due(&self, count: u64) -> bool {
        let steps = count.wrapping_sub(self.first.load(Ordering::Relaxed)) / STEP;
        steps <= 2 || steps.is_multiple_of(STEPS_PER_LOOK)
    }

    fn looked(&self, count: u64, now: Tick) {
        // Relaxed: it decides about nothing but a clock read.
        if self.tick.load(Ordering::Relaxed) != now.0 {
            self.tick.store(now.0, Ordering::Relaxed);
            self.first.store(count, Ordering::Relaxed);
        }
    }
}

/// The dated counts. A bucket's place is its tick's remainder by their number.
#[derive(Clone, Debug)]
struct Books {
    allowance: Allowance,
    /// The tick of the last look, the newest bucket's.
    now: Tick,
    /// The lanes' sum at the last look.
    counted: u64,
    requests: [u64; COVERING],
    /// Withdrawn and not yet sent.
    pending: u64,
    sent: [u64; COVERING],
}

impl Books {
    const fn new(allowance: Allowance) -> Self {
        let (now, requests, sent) = (Tick(0), [0; COVERING], [0; COVERING]);
        Self { allowance, now, counted: 0, requests, pending: 0, sent }
    }

    /// The lanes add up to `counted` now. What is new was counted since the last look, and is dated
    /// then.
    fn look(&mut self, now: Tick, counted: u64) {
        let new = counted.saturating_sub(self.counted);
        self.requests[place(self.now.0)] += new;
        self.counted += new;
        let passed = now.0.saturating_sub(self.now.0);
        for tick in 1..=passed.min(COVERING as u64) {
            let place = place(self.now.0 + tick);
            (self.requests[place], self.sent[place]) = (0, 0);
        }
        self.now = self.now.max(now);
    }

    /// What is pending no longer is sent.
    fn send(&mut self, cost: u64) {
        self.settle(cost);
        let sent = &mut self.sent[place(self.now.0)];
        *sent = sent.saturating_add(cost);
    }

    /// Is pending no longer.
    fn settle(&mut self, cost: u64) {
        self.pending = self.pending.saturating_sub(cost);
    }

    fn balance(&self) -> BudgetSnapshot {
        // The place after the newest is the oldest one's.
        let requests = self.requests.iter().sum::<u64>() - self.requests[place(self.now.0 + 1)];
        let withdrawn = self.sent.iter().fold(self.pending, |sum, &cost| sum.saturating_add(cost));
        let available = self.allowance.of(requests).saturating_sub(withdrawn);
        BudgetSnapshot { requests, withdrawn, available }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "below 33")]
const fn place(tick: u64) -> usize {
    (tick % COVERING as u64) as usize
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;
    use rand::{RngExt, rngs::SmallRng};
    use steadfast_core::parts::Splitter;

    use super::*;

    fn allowance(ratio: f64, floor: u64) -> Allowance {
        Allowance { ratio: Ratio::new(ratio).unwrap(), floor }
    }

    fn ledger(ratio: f64, floor: u64) -> Ledger {
        Ledger::with_lanes(allowance(ratio, floor), 2)
    }

    fn count(ledger: &Ledger, requests: u32) {
        for _ in 0..requests {
            ledger.count(0);
        }
    }

    /// A request of a thread, which looks if it is its turn: whether it did.
    fn looks(ledger: &Ledger, thread: usize, tick: u64) -> bool {
        let due = ledger.count(thread).filter(|&count| ledger.is_due(thread, count));
        if let Some(count) = due {
            ledger.glance_by(thread, count, Tick(tick));
        }
        due.is_some()
    }

    /// Withdraws and sends at once.
    fn withdraws(ledger: &Ledger, tick: u64) -> bool {
        let is_covered = ledger.withdraw(Tick(tick), 1);
        if is_covered {
            ledger.send(Tick(tick), 1);
        }
        is_covered
    }

    #[test]
    fn the_allowance_is_the_share_rounded_down_and_the_floor() {
        for percent in 0..=100u8 {
            let allowance = Allowance { ratio: Ratio::percent(percent), floor: 3 };
            for requests in [0, 1, 7, 99, 100, 101, 1_000_000] {
                assert_eq!(
                    allowance.of(requests),
                    u64::from(percent) * requests / 100 + 3,
                    "{percent} % of {requests}"
                );
            }
        }
        let boundless = Allowance { ratio: Ratio::ONE, floor: u64::MAX };
        assert_eq!(boundless.of(u64::MAX), u64::MAX);
    }

    #[test]
    fn what_is_sent_counts_from_its_sending_and_never_from_before_a_later_look() {
        let ledger = ledger(0.0, 1);
        assert!(ledger.withdraw(Tick(5), 1));
        ledger.glance(Tick(20));
        ledger.send(Tick(19), 1);
        assert!(!withdraws(&ledger, 19));
        assert!(!withdraws(&ledger, 52), "the window may begin inside the oldest bucket");
        assert!(withdraws(&ledger, 53));
    }

    #[test]
    fn a_thread_that_read_the_clock_long_ago_withdraws_by_the_time_that_others_have_seen() {
        let ledger = ledger(1.0, 1);
        count(&ledger, 5);
        assert!(withdraws(&ledger, 40));
        assert!(
            !ledger.withdraw(Tick(0), 1),
            "the requests have left the window, what was sent has not"
        );
        assert!(!ledger.withdraw(Tick(72), 1));
        assert!(ledger.withdraw(Tick(73), 1));
    }

    #[test]
    fn each_side_leaves_the_window_on_the_safe_side() {
        let ledger = ledger(1.0, 0);
        ledger.glance(Tick(20));
        count(&ledger, 2);
        assert!(withdraws(&ledger, 51));
        assert_eq!(
            ledger.snapshot_at(Tick(52)),
            BudgetSnapshot { requests: 0, withdrawn: 1, available: 0 }
        );
        assert!(!withdraws(&ledger, 52));
    }

    #[test]
    fn what_waits_longer_than_the_window_is_still_charged() {
        let ledger = ledger(0.0, 1);
        assert!(ledger.withdraw(Tick(20), 1));
        assert!(!withdraws(&ledger, 500));
        ledger.refund(1);
        assert!(withdraws(&ledger, 500));
    }

    #[test]
    fn a_cost_above_all_there_is_is_refused() {
        let ledger = ledger(1.0, 10);
        assert!(!ledger.withdraw(Tick(0), u64::from(u32::MAX)));
        assert!(!ledger.withdraw(Tick(0), 11));
        assert!(ledger.withdraw(Tick(0), 10));
    }

    #[test]
    fn what_is_counted_between_two_looks_is_dated_at_the_first() {
        let ledger = ledger(1.0, 0);
        let requests = |tick| ledger.snapshot_at(Tick(tick)).requests;
        assert_eq!(requests(100), 0);
        count(&ledger, 3);
        assert_eq!(requests(110), 3);
        count(&ledger, 4);
        assert_eq!((requests(131), requests(132), requests(141), requests(142)), (7, 4, 4, 0));
        assert_eq!(requests(u64::MAX / 2), 0, "an idle gap of any length");
    }

    #[test]
    fn a_request_looks_no_more_than_once_in_a_tick_and_waits_for_no_lock() {
        let ledger = ledger(1.0, 0);
        ledger.glance(Tick(7));
        count(&ledger, 1);
        ledger.glance(Tick(7));
        assert_eq!(lock(&ledger.books.0).requests[7], 0, "not looked");
        let held = lock(&ledger.books.0);
        ledger.glance(Tick(8));
        assert_eq!(held.now, Tick(7));
        drop(held);
        ledger.glance(Tick(8));
        assert_eq!(lock(&ledger.books.0).requests[7], 1);
    }

    #[test]
    fn a_poisoned_lock_hides_no_credit() {
        let ledger = ledger(1.0, 0);
        std::thread::scope(|scope| {
            let panics = || {
                let _held = ledger.books.0.lock().unwrap();
                panic!("under the lock");
            };
            scope.spawn(panics).join().unwrap_err();
        });
        count(&ledger, 1);
        ledger.glance(Tick(1));
        assert!(ledger.withdraw(Tick(2), 1));
    }

    #[test]
    fn lanes_in_step_do_not_look_in_step() {
        for lanes in [1, 2, 4, 8, 16] {
            let phases: std::collections::BTreeSet<_> = (0..lanes).map(phase).collect();
            let even: Vec<_> = (0..lanes as u64).map(|lane| lane * STEP / lanes as u64).collect();
            assert_eq!(phases.into_iter().collect::<Vec<_>>(), even);
        }
    }

    #[test]
    fn a_lane_looks_at_every_16th_request_and_the_more_a_tick_has_the_fewer_look() {
        let ledger = ledger(1.0, 0);
        let looked = |tick, requests| -> Vec<u64> {
            (1..=requests).filter(|_| looks(&ledger, 0, tick)).collect()
        };
        assert_eq!(looked(7, 340), [16, 32, 48, 80, 144, 208, 272, 336]);
        assert_eq!(looked(8, 70), [60], "64 after the one before, at worst");
        assert_eq!(looked(8, 23), [6, 22], "16 and 32 after the first in this tick");
        for tick in 9..50 {
            assert_eq!(looked(tick, 16).len(), usize::from(tick > 9), "{tick}");
        }
    }

    #[test]
    fn whatever_other_threads_write_in_the_lane_they_share_a_look_comes_once_in_64_requests() {
        let mut rng = Splitter::seeded(3).split();
        let (ledger, mut since) = (ledger(1.0, 0), 0);
        for _ in 0..100_000 {
            let pace = ledger.pace(usize::MAX);
            match rng.random_range(0..200) {
                // By a thread that looks, has stood still since it counted, or is ahead.
                0 => {
                    pace.first.store(STEP * rng.random_range(0..8000), Ordering::Relaxed);
                    since = 0;
                }
                1 => pace.tick.store(rng.random_range(0..3), Ordering::Relaxed),
                _ => {}
            }
            since = if looks(&ledger, usize::MAX, 1) { 0 } else { since + 1 };
            assert!(since < STEP * STEPS_PER_LOOK, "{since}");
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Count(usize, u32),
        Pass(u64),
        Glance,
        Ask,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0usize..4, 1u32..80).prop_map(|(thread, number)| Step::Count(thread, number)),
            4 => prop_oneof![8 => 1u64..4, 2 => 1u64..40, 1 => 1u64..1 << 40].prop_map(Step::Pass),
            2 => Just(Step::Glance),
            2 => Just(Step::Ask),
        ]
    }

    proptest! {
        /// The naive model: every request with the tick of the look before it. What is counted is
        /// what the model counts, and never more than what was really there.
        #[test]
        fn every_look_counts_what_a_naive_list_counts(steps in prop::collection::vec(step(), 1..200)) {
            let ledger = ledger(1.0, 0);
            let (mut now, mut looked, mut list) = (0u64, 0u64, Vec::new());
            let number = |list: &[(u64, u64)], now: u64, at: fn(&(u64, u64)) -> u64| {
                list.iter().filter(|request| now - at(request) < u64::from(BUCKETS)).count() as u64
            };
            for step in steps {
                match step {
                    Step::Pass(ticks) => now += ticks,
                    Step::Glance => {
                        ledger.glance(Tick(now));
                        looked = now;
                    }
                    Step::Count(thread, requests) => for _ in 0..requests {
                        list.push((looked, now));
                        // Two lanes are owned; two threads share the third.
                        if looks(&ledger, thread, now) {
                            looked = now;
                        }
                    },
                    Step::Ask => {
                        let counted = ledger.snapshot_at(Tick(now)).requests;
                        looked = now;
                        prop_assert_eq!(counted, number(&list, now, |request| request.0));
                        prop_assert!(counted <= number(&list, now, |request| request.1));
                    }
                }
            }
        }
    }

    /// Which thread has the next request.
    #[derive(Clone, Copy, Debug)]
    enum Spread {
        Random,
        InTurn,
        /// As a scheduler that gives the same worker what it has woken: a run of requests each.
        Runs,
    }

    const WINDOW_S: f64 = 10.0;

    /// How much of the last window's requests is counted, from the third window on.
    struct Share {
        mean: f64,
        /// The least of random instants, one a second.
        worst: f64,
        /// The least before any of the requests.
        worst_of_all: f64,
    }

    /// Requests that come at random, at `rate` a second for so many minutes, to `threads` threads
    /// over `lanes` lanes. The share is asked for without a look that would help.
    fn counted_share(
        (lanes, threads): (usize, usize),
        (rate, minutes): (f64, f64),
        spread: Spread,
        rng: &mut SmallRng,
    ) -> Share {
        let ledger = Ledger::with_lanes(allowance(1.0, 0), lanes);
        let tick = |at: f64| Tick((at * f64::from(BUCKETS) / WINDOW_S) as u64);
        let (mut now, mut window, mut thread) = (0.0, VecDeque::new(), 0);
        let (mut sum, mut asked, mut worst, mut worst_of_all) = (0.0, 0.0, 1.0f64, 1.0f64);
        while now < 60.0 * minutes {
            now -= (1.0 - rng.random::<f64>()).ln() / rate;
            while window.front().is_some_and(|&at| at <= now - WINDOW_S) {
                window.pop_front();
            }
            if now > 2.0 * WINDOW_S {
                let mut books = lock(&ledger.books.0).clone();
                books.look(tick(now), ledger.requests.sum());
                let counted = books.balance().requests;
                assert!(counted <= window.len() as u64, "{counted} of {}", window.len());
                let share = counted as f64 / window.len() as f64;
                (sum, asked, worst_of_all) = (sum + share, asked + 1.0, worst_of_all.min(share));
                if rng.random_bool(1.0 / rate) {
                    worst = worst.min(share);
                }
            }
            window.push_back(now);
            thread = match spread {
                Spread::Random => rng.random_range(0..threads),
                Spread::InTurn => (thread + 1) % threads,
                Spread::Runs if rng.random_range(0..50) == 0 => rng.random_range(0..threads),
                Spread::Runs => thread,
            };
            looks(&ledger, thread, tick(now).0);
        }
        Share { mean: sum / asked, worst, worst_of_all }
    }

    #[test]
    fn at_a_hundred_a_second_nearly_all_requests_count_whatever_the_number_of_threads() {
        let mut rng = Splitter::seeded(10).split();
        let (mut table, mut holds) = (String::new(), true);
        for (threads, bar) in [(1, 0.90), (2, 0.90), (8, 0.80), (64, 0.70)] {
            // As many lanes as threads, and one beside the one that all others share.
            for (lanes, spread, minutes) in [
                (threads, Spread::Random, 100.0),
                (threads, Spread::InTurn, 10.0),
                (threads, Spread::Runs, 10.0),
                (1, Spread::Random, 10.0),
            ] {
                let share = counted_share((lanes, threads), (100.0, minutes), spread, &mut rng);
                let Share { mean, worst, worst_of_all } = share;
                table += &format!(
                    "{threads} threads, {lanes} lanes, {spread:?}: {mean:.3} (bar 0.93), at worst \
                     {worst:.3} (bar {bar:.2}), {worst_of_all:.3} before any request\n"
                );
                holds &= mean >= 0.93 && worst.min(worst_of_all) >= bar;
            }
        }
        // What more and fewer requests make of it.
        let busy = counted_share((8, 8), (1000.0, 5.0), Spread::Random, &mut rng).mean;
        let idle = counted_share((64, 64), (20.0, 20.0), Spread::Random, &mut rng).mean;
        table += &format!("8 threads at 1,000/s: {busy:.3}; 64 threads at 20/s: {idle:.3}\n");
        holds &= busy > 0.97 && idle > 0.7;
        println!("{table}");
        assert!(holds, "\n{table}");
    }
}

#[cfg(steadfast_loom)]
#[cfg(test)]
mod loom_tests {
    use loom::{sync::Arc, thread};

    use super::*;

    fn ledger(percent: u8, floor: u64) -> Arc<Ledger> {
        let allowance = Allowance { ratio: Ratio::percent(percent), floor };
        Arc::new(Ledger::with_lanes(allowance, 2))
    }

    /// Two threads each deposit and withdraw, at different times: what both took is covered by what
    /// both gave.
    #[test]
    fn concurrent_withdrawals_never_overdraw() {
        loom::model(|| {
            let ledger = ledger(50, 0);
            let take = |ledger: Arc<Ledger>, number: usize| {
                ledger.count(number);
                u64::from(ledger.withdraw(Tick(number as u64), 1))
            };
            let other = Arc::clone(&ledger);
            let there = thread::spawn(move || take(other, 1));
            let here = take(Arc::clone(&ledger), 0);
            let taken = here + there.join().unwrap();
            assert_eq!(taken, 1, "the second of the two sees both requests");
        });
    }

    /// A withdrawal is allowed by what was before a change or by what is after it, and what is out
    /// is known to both.
    #[test]
    fn a_change_and_two_withdrawals_at_once_allow_no_more_than_one_of_the_allowances() {
        loom::model(|| {
            let ledger = ledger(0, 1);
            let (changed, other) = (Arc::clone(&ledger), Arc::clone(&ledger));
            let changes = thread::spawn(move || {
                changed.change(Allowance { ratio: Ratio::ZERO, floor: 0 });
            });
            let there = thread::spawn(move || u64::from(other.withdraw(Tick(1), 1)));
            let taken = u64::from(ledger.withdraw(Tick(1), 1)) + there.join().unwrap();
            changes.join().unwrap();
            let balance = ledger.snapshot_at(Tick(1));
            assert!(taken <= 1, "{taken}");
            assert_eq!((balance.available, balance.withdrawn), (0, taken));
        });
    }

    /// A request is never dated later than the clock was when it was made, and none is lost.
    #[test]
    fn a_glance_and_a_withdrawal_at_once_leave_the_later_time_and_lose_no_request() {
        loom::model(|| {
            let ledger = ledger(100, 0);
            let other = Arc::clone(&ledger);
            let glancer = thread::spawn(move || {
                other.count(1);
                other.glance(Tick(3));
                other.count(1);
            });
            let withdrawn = ledger.withdraw(Tick(2), 1);
            glancer.join().unwrap();
            let balance = ledger.snapshot_at(Tick(3));
            assert_eq!((balance.requests, balance.withdrawn), (2, u64::from(withdrawn)));
            assert_eq!(ledger.snapshot_at(Tick(35)).requests, 0, "dated at 3 at the latest");
        });
    }

    /// Sums of one thread in one lane while another looks: what is counted never goes back, and is
    /// counted once.
    #[test]
    fn two_looks_at_once_count_each_request_once() {
        loom::model(|| {
            let ledger = ledger(100, 0);
            let other = Arc::clone(&ledger);
            let counter = thread::spawn(move || {
                other.count(0);
                other.count(0);
                other.glance(Tick(2));
            });
            ledger.glance(Tick(1));
            let seen = ledger.snapshot_at(Tick(1)).requests;
            assert!(seen <= 2, "{seen}");
            counter.join().unwrap();
            assert_eq!(ledger.snapshot_at(Tick(2)).requests, 2);
        });
    }

    /// A refund races a withdrawal: the one unit there is goes to one at a time.
    #[test]
    fn a_refund_gives_back_exactly_what_was_taken() {
        loom::model(|| {
            let ledger = ledger(0, 1);
            assert!(ledger.withdraw(Tick(0), 1));
            let other = Arc::clone(&ledger);
            let refunder = thread::spawn(move || other.refund(1));
            let taken = u64::from(ledger.withdraw(Tick(0), 1));
            refunder.join().unwrap();
            assert_eq!(ledger.snapshot_at(Tick(0)).withdrawn, taken);
        });
    }

    /// Sending races a withdrawal at a later tick: the unit is pending or sent, never neither.
    #[test]
    fn what_is_being_sent_is_never_out_of_the_books() {
        loom::model(|| {
            let ledger = ledger(0, 1);
            assert!(ledger.withdraw(Tick(0), 1));
            let other = Arc::clone(&ledger);
            let sender = thread::spawn(move || other.send(Tick(1), 1));
            assert!(!ledger.withdraw(Tick(2), 1));
            sender.join().unwrap();
            assert_eq!(ledger.snapshot_at(Tick(33)).withdrawn, 1);
        });
    }
}
