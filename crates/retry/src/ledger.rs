//! What a budget has taken in and given out, by time. Reads no clock: its callers pass the tick in.
//!
//! A budget promises a bound: at every withdrawal, what is withdrawn and not yet sent, together
//! with what was sent in the window that ends there, is at most a share of the requests in that
//! same window, plus a floor. A token bucket with refunds does not bound that, so both sides are
//! counted, in buckets of a tenth of the window, and each side errs the safe way: what was sent is
//! summed over eleven buckets (at least the window), deposits over ten (at most the window).
//!
//! What is not yet sent has no date, and what was sent is dated by its sending. So the bound holds
//! for what goes over the wire, however long the calls wait: of what was sent in any window, let
//! the last to be withdrawn be withdrawn at t. At t all of it was either pending, or sent in the
//! window that ended at t: and that was bounded.
//!
//! A request that succeeds must not pay for this: no clock, no lock, no line that another core
//! writes. So a deposit is dated by the *last check of the clock* by any thread: one shared word
//! that seldom changes. That date can only be too early, and then the deposit expires too early:
//! safe again. Each withdrawal checks the clock, and each lane checks it once in so many deposits,
//! so that a healthy service has fresh credit when its first failures come.
//!
//! Service handles collect deposits of one moment and post them together. While the budget is *in
//! demand*, every deposit is posted at once: then none that a withdrawal could draw on is still in
//! a handle's pocket.
//!
//! The withdrawals stand in a table under a lock, held for a few instructions, under which nothing
//! outside this file is called.

use steadfast_core::{
    Ratio,
    parts::{Buckets, StripedSuccesses, Tick, lock},
};

use crate::{
    snapshot::BudgetSnapshot,
    sync::{AtomicU64, Mutex, Ordering},
};

/// Ten buckets lose at most a tenth of the window's deposits to rounding.
pub(crate) const BUCKETS: u32 = 10;

/// One bucket more than the window has: the window begins somewhere inside the oldest.
const COVERING: usize = BUCKETS as usize + 1;

/// How many deposits of one lane in one bucket pass between two checks of the clock: a clock read
/// costs as much as a dozen posts, and at the rates where the share outweighs a floor of 10/s (50/s
/// and more) this is a few buckets.
const DEPOSITS_PER_CHECK: u64 = 64;

/// The last check of the clock: the tick it fell in, and for how many ticks more the budget counts
/// as in demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(u64);

/// Demand lasts one window after a withdrawal was asked for: up to ten ticks.
const DEMAND_BITS: u32 = 4;
const DEMAND: u64 = (1 << DEMAND_BITS) - 1;

impl Moment {
    /// A moment that is never now: its tick is out of reach.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    const fn new(tick: Tick, demand: u64) -> Self {
        Self(tick.0 << DEMAND_BITS | demand)
    }

    pub(crate) const fn tick(self) -> Tick {
        Tick(self.0 >> DEMAND_BITS)
    }

    pub(crate) const fn is_in_demand(self) -> bool {
        self.0 & DEMAND > 0
    }

    /// The moment after the clock was read as `tick`. Time goes forward only, in whatever order
    /// threads come; demand fades with it.
    fn at(self, tick: Tick) -> Self {
        let tick = tick.max(self.tick());
        Self::new(tick, (self.0 & DEMAND).saturating_sub(tick.0 - self.tick().0))
    }

    fn demanded(self) -> Self {
        Self::new(self.tick(), u64::from(BUCKETS))
    }
}

/// What may be withdrawn: a share of the deposits in the window, and something on top.
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
    fn of(self, deposits: u64) -> u64 {
        // A product such as 0.29 * 100 may round to just below 29; one part in 10^12 is far below
        // one deposit.
        let share = self.ratio.value() * deposits as f64 * (1.0 + 1e-12);
        (share as u64).saturating_add(self.floor)
    }
}

/// Deposits and withdrawals of one window. Nothing here takes longer after a long idle gap.
#[derive(Debug)]
pub(crate) struct Ledger {
    allowance: Allowance,
    now: AtomicU64,
    deposits: StripedSuccesses,
    /// No panic leaves it half changed: its methods call nothing else.
    withdrawn: Mutex<Withdrawn>,
}

impl Ledger {
    pub(crate) fn new(allowance: Allowance, buckets: Buckets, lanes: usize) -> Self {
        Self {
            allowance,
            now: AtomicU64::new(Moment::new(Tick(0), 0).0),
            deposits: StripedSuccesses::new(buckets, lanes),
            withdrawn: Mutex::new(Withdrawn::default()),
        }
    }

    /// The last check of the clock.
    #[inline]
    pub(crate) fn moment(&self) -> Moment {
        // Relaxed: an older moment only dates a deposit earlier.
        Moment(self.now.load(Ordering::Relaxed))
    }

    /// Posts deposits made at `tick`, and says whether it is time for another check of the clock.
    #[inline]
    pub(crate) fn deposit(&self, lane: usize, tick: Tick, number: u64) -> bool {
        let held = self.deposits.add_many(lane, tick, number);
        // None are held where the moment is long gone: another thread has checked the clock since.
        held / DEPOSITS_PER_CHECK != held.saturating_sub(number) / DEPOSITS_PER_CHECK
    }

    /// The clock was checked, and read `tick`.
    pub(crate) fn check(&self, tick: Tick) {
        self.advance(|moment| moment.at(tick));
    }

    /// Takes `cost` if the allowance covers it, and says whether it does; `cost` is pending until
    /// it is sent or refunded.
    ///
    /// The shared moment is advanced under the lock, and never goes back: what other threads have
    /// sent, however much later than this thread read the clock, is dated no later than what is
    /// asked here.
    pub(crate) fn withdraw(&self, now: Tick, cost: u64) -> bool {
        let mut withdrawn = lock(&self.withdrawn);
        let tick = self.advance(|moment| moment.at(now).demanded()).tick();
        let is_covered = cost <= self.balance(&withdrawn, tick).available;
        if is_covered {
            withdrawn.pending = withdrawn.pending.saturating_add(cost);
        }
        is_covered
    }

    /// What was taken is sent now: from here on it counts for one window. The moment is advanced
    /// under the lock, so that the ticks in the table come in order.
    pub(crate) fn send(&self, now: Tick, cost: u64) {
        let mut withdrawn = lock(&self.withdrawn);
        let tick = self.advance(|moment| moment.at(now)).tick();
        withdrawn.settle(cost);
        withdrawn.add(tick, cost);
    }

    /// Gives back what was taken and not sent.
    pub(crate) fn refund(&self, cost: u64) {
        lock(&self.withdrawn).settle(cost);
    }

    pub(crate) fn snapshot_at(&self, tick: Tick) -> BudgetSnapshot {
        let withdrawn = lock(&self.withdrawn);
        self.balance(&withdrawn, self.moment().at(tick).tick())
    }

    fn balance(&self, withdrawn: &Withdrawn, tick: Tick) -> BudgetSnapshot {
        let (requests, withdrawn) = (self.deposits.sum(tick), withdrawn.sum(tick));
        BudgetSnapshot {
            requests,
            withdrawn,
            available: self.allowance.of(requests).saturating_sub(withdrawn),
        }
    }

    /// Relaxed, for one word that publishes nothing but itself: what is posted under a tick is in
    /// the deposits' own words.
    fn advance(&self, next: impl Fn(Moment) -> Moment) -> Moment {
        let moved = |current| Some(next(Moment(current)).0).filter(|&new| new != current);
        let before = self.now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved);
        next(Moment(before.unwrap_or_else(|unmoved| unmoved)))
    }
}

/// What was withdrawn: all that is not yet sent, and what was sent, by tick. A place whose tick has
/// left the window is not summed, and is reused by what is sent next.
#[derive(Debug, Default)]
struct Withdrawn {
    pending: u64,
    sent: [(Tick, u64); COVERING],
}

impl Withdrawn {
    /// Ticks come in order.
    fn add(&mut self, tick: Tick, cost: u64) {
        let place = self.place(tick);
        if place.0 != tick {
            *place = (tick, 0);
        }
        place.1 = place.1.saturating_add(cost);
    }

    /// Is pending no longer.
    fn settle(&mut self, cost: u64) {
        self.pending = self.pending.saturating_sub(cost);
    }

    fn sum(&self, tick: Tick) -> u64 {
        let oldest = tick.0.saturating_sub(u64::from(BUCKETS));
        let in_window = |&&(at, _): &&(Tick, u64)| (oldest..=tick.0).contains(&at.0);
        self.sent
            .iter()
            .filter(in_window)
            .fold(self.pending, |sum, &(_, cost)| sum.saturating_add(cost))
    }

    fn place(&mut self, tick: Tick) -> &mut (Tick, u64) {
        // Below eleven.
        &mut self.sent[usize::try_from(tick.0 % COVERING as u64).unwrap_or(0)]
    }
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ledger(ratio: f64, floor: u64) -> Ledger {
        let allowance = Allowance { ratio: Ratio::new(ratio).unwrap(), floor };
        Ledger::new(allowance, Buckets::new(Duration::from_secs(10), BUCKETS).unwrap(), 2)
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
            for deposits in [0, 1, 7, 99, 100, 101, 1_000_000] {
                assert_eq!(
                    allowance.of(deposits),
                    u64::from(percent) * deposits / 100 + 3,
                    "{percent} % of {deposits}"
                );
            }
        }
        let boundless = Allowance { ratio: Ratio::ONE, floor: u64::MAX };
        assert_eq!(boundless.of(u64::MAX), u64::MAX);
    }

    #[test]
    fn demand_lasts_one_window_and_time_never_goes_back() {
        let ledger = ledger(0.0, 0);
        assert!(!ledger.moment().is_in_demand());
        assert!(!withdraws(&ledger, 100));
        assert!(ledger.moment().is_in_demand());
        ledger.check(Tick(50));
        assert_eq!((ledger.moment().tick(), ledger.moment().is_in_demand()), (Tick(100), true));
        ledger.check(Tick(109));
        assert!(ledger.moment().is_in_demand());
        ledger.check(Tick(110));
        assert_eq!((ledger.moment().tick(), ledger.moment().is_in_demand()), (Tick(110), false));
    }

    #[test]
    fn what_is_sent_counts_from_its_sending_and_never_from_before_a_later_check() {
        let ledger = ledger(0.0, 1);
        assert!(ledger.withdraw(Tick(5), 1));
        ledger.check(Tick(20));
        ledger.send(Tick(19), 1);
        assert!(!withdraws(&ledger, 19));
        assert!(!withdraws(&ledger, 30), "the window may begin inside the oldest bucket");
        assert!(withdraws(&ledger, 31));
    }

    #[test]
    fn a_thread_that_read_the_clock_long_ago_withdraws_by_the_time_that_others_have_seen() {
        let ledger = ledger(1.0, 1);
        ledger.deposit(0, Tick(0), 5);
        assert!(withdraws(&ledger, 20));
        assert!(
            !ledger.withdraw(Tick(0), 1),
            "the deposits have left the window, what was sent has not"
        );
        assert!(!ledger.withdraw(Tick(29), 1));
        assert!(ledger.withdraw(Tick(31), 1));
    }

    #[test]
    fn each_side_leaves_the_window_on_the_safe_side() {
        let ledger = ledger(1.0, 0);
        ledger.check(Tick(20));
        ledger.deposit(0, Tick(20), 2);
        assert!(withdraws(&ledger, 29));
        assert_eq!(
            ledger.snapshot_at(Tick(30)),
            BudgetSnapshot { requests: 0, withdrawn: 1, available: 0 }
        );
        assert!(!withdraws(&ledger, 30));
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
}

#[cfg(steadfast_loom)]
#[cfg(test)]
mod loom_tests {
    use std::time::Duration;

    use loom::{sync::Arc, thread};

    use super::*;

    fn ledger(percent: u8, floor: u64) -> Arc<Ledger> {
        let allowance = Allowance { ratio: Ratio::percent(percent), floor };
        Arc::new(Ledger::new(allowance, Buckets::new(Duration::from_secs(10), BUCKETS).unwrap(), 1))
    }

    /// Two threads each deposit and withdraw, at different times: what both took is covered by what
    /// both gave.
    #[test]
    fn concurrent_withdrawals_never_overdraw() {
        loom::model(|| {
            let ledger = ledger(50, 0);
            let take = |ledger: Arc<Ledger>, tick: u64| {
                ledger.deposit(0, ledger.moment().tick(), 1);
                u64::from(ledger.withdraw(Tick(tick), 1))
            };
            let other = Arc::clone(&ledger);
            let there = thread::spawn(move || take(other, 1));
            let here = take(Arc::clone(&ledger), 0);
            let taken = here + there.join().unwrap();
            assert_eq!(taken, 1, "the second of the two sees both deposits");
        });
    }

    /// A deposit is never dated later than the clock was when it was made, and none is lost.
    #[test]
    fn a_check_and_a_withdrawal_at_once_leave_the_later_time_and_the_demand() {
        loom::model(|| {
            let ledger = ledger(100, 0);
            let other = Arc::clone(&ledger);
            let checker = thread::spawn(move || {
                other.check(Tick(3));
                let tick = other.moment().tick();
                assert!(tick >= Tick(3), "time goes forward only");
                other.deposit(0, tick, 1);
            });
            let withdrawn = ledger.withdraw(Tick(2), 1);
            checker.join().unwrap();
            assert!(ledger.moment().is_in_demand());
            assert_eq!(ledger.moment().tick(), Tick(3));
            let balance = ledger.snapshot_at(Tick(3));
            assert_eq!((balance.requests, balance.withdrawn), (1, u64::from(withdrawn)));
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
            assert_eq!(ledger.snapshot_at(Tick(11)).withdrawn, 1);
        });
    }
}
