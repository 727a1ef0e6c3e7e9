//! Outcomes of the last so many seconds, in buckets.
//!
//! Each bucket carries the number of the tick it counts. A bucket whose tick has left the window is
//! not summed, and is taken over by the next outcome that falls on its place (lazy expiry): nothing
//! is cleared when time passes, and an idle gap of a year costs as much as none.
//!
//! Failures are rare and stand in a plain [`TimeWindow`] behind the caller's lock; successes are
//! many and may be counted apart, each thread in buckets of its own ([`StripedSuccesses`]), so that
//! a success writes no line that another core writes.

use std::time::{Duration, Instant};

use crate::{
    ConfigError, Counts,
    sync::{AtomicU64, Ordering},
};

/// The number of a slice of time, counted from an origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

/// How time is cut into buckets: how many make a window, and how wide each is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    width: Duration,
    /// 2^64 divided by the width in nanoseconds, rounded up: a division on the request path is
    /// dearer than all the rest.
    per_nano: u64,
    number: u32,
}

/// Narrower buckets are finer than the timers and clocks around them.
const NARROWEST: Duration = Duration::from_millis(1);
/// Wider ones would let a window remember last week.
const WIDEST: Duration = Duration::from_secs(24 * 3600);
/// Summing visits every bucket.
const MOST: u32 = 1024;

impl Buckets {
    /// `number` buckets over a window of `length`. The window holds the bucket now being filled and
    /// the `number - 1` before it: at most `length`, at least `length` less one bucket.
    ///
    /// # Errors
    /// When `number` is 0 or above 1024, or a bucket would be narrower than 1 ms or wider than a
    /// day.
    pub fn new(length: Duration, number: u32) -> Result<Self, ConfigError> {
        ConfigError::require((1..=MOST).contains(&number), "buckets", number, "from 1 to 1024")?;
        let width = length / number;
        ConfigError::require(
            (NARROWEST..=WIDEST).contains(&width),
            "length",
            length,
            "1 ms to 24 h for each bucket",
        )?;
        let nanos = u64::try_from(width.as_nanos()).unwrap_or(u64::MAX);
        Ok(Self { width, per_nano: u64::MAX / nanos + 1, number })
    }

    /// The width of one bucket.
    #[must_use]
    pub const fn width(self) -> Duration {
        self.width
    }

    /// How many buckets make a window.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.number
    }

    /// The tick `now` falls in, counted from `origin`; the first one for any earlier instant.
    #[inline]
    #[must_use]
    pub fn tick(self, origin: Instant, now: Instant) -> Tick {
        let since = now.saturating_duration_since(origin);
        // Wraps after 584 years.
        self.tick_at(
            since
                .as_secs()
                .wrapping_mul(1_000_000_000)
                .wrapping_add(u64::from(since.subsec_nanos())),
        )
    }

    /// The tick in which `nanos` nanoseconds have passed since the origin.
    ///
    /// The edges between ticks creep ahead of the clock, by less than 0.2 % of a bucket for each
    /// year since the origin.
    #[inline]
    #[must_use]
    pub fn tick_at(self, nanos: u64) -> Tick {
        Tick(((u128::from(nanos) * u128::from(self.per_nano)) >> 64) as u64)
    }

    /// The oldest tick in the window that ends with `tick`.
    fn oldest(self, tick: Tick) -> u64 {
        tick.0.saturating_sub(u64::from(self.number) - 1)
    }

    fn place(self, tick: Tick) -> usize {
        // Below `number`, which is at most 1024.
        usize::try_from(tick.0 % u64::from(self.number)).unwrap_or(0)
    }
}

/// A window over the last few ticks, exact to a bucket. No clock inside. Summing is O(buckets),
/// after any gap.
#[derive(Clone, Debug)]
pub struct TimeWindow {
    buckets: Buckets,
    slots: Box<[(Tick, Counts)]>,
}

impl TimeWindow {
    /// An empty window.
    #[must_use]
    pub fn new(buckets: Buckets) -> Self {
        Self { buckets, slots: vec![(Tick(0), Counts::default()); buckets.number as usize].into() }
    }

    /// Adds outcomes at `tick`. Outcomes older than what stands in their bucket are out of the
    /// window, and are dropped.
    pub fn record(&mut self, tick: Tick, counts: Counts) {
        let slot = &mut self.slots[self.buckets.place(tick)];
        if slot.0 < tick {
            *slot = (tick, counts);
        } else if slot.0 == tick {
            slot.1 += counts;
        }
    }

    /// Turns a success of the tick `at` into a failure, in the window that ends with `now`: one
    /// failure more, and no outcome more. The success may be counted apart. One that has left the
    /// window takes its failure with it.
    pub fn turn(&mut self, at: Tick, now: Tick) {
        if self.buckets.oldest(now) <= at.0 {
            self.record(at, Counts { total: 0, failures: 1, slow: 0 });
        }
    }

    /// What the window that ends with `tick` holds.
    #[must_use]
    pub fn counts(&self, tick: Tick) -> Counts {
        let oldest = self.buckets.oldest(tick);
        let mut sum = Counts::default();
        for (at, counts) in &self.slots {
            if (oldest..=tick.0).contains(&at.0) {
                sum += *counts;
            }
        }
        sum
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.slots.fill((Tick(0), Counts::default()));
    }
}

/// Successes by tick, each thread in buckets of its own. Adding is one compare-and-swap on a line
/// no other core writes.
///
/// Exact: no success is lost or counted twice, whatever the threads do.
#[derive(Debug)]
pub struct StripedSuccesses {
    number: u64,
    /// The stripes one after another, each of `stride` words of which the first `mask + 1` are
    /// used. More than the buckets, where they are no power of two: what has left the window is not
    /// summed anyway.
    words: Box<[AtomicU64]>,
    stride: usize,
    mask: usize,
}

/// Two cache lines between the stripes, because processors fetch lines in pairs.
const APART: usize = 128 / size_of::<u64>();

/// A bucket is one word, its tick above and its count below, so that a count can never be added to
/// another tick's. 28 bits count 268 million successes in a bucket of one thread, then stay there;
/// 36 bits of tick last two years at 1 ms, and then compare as serial numbers do.
const COUNT_BITS: u32 = 28;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
const TICKS: u64 = 1 << (u64::BITS - COUNT_BITS);

impl StripedSuccesses {
    /// Empty buckets for each of `stripes` lanes.
    #[must_use]
    pub fn new(buckets: Buckets, stripes: usize) -> Self {
        let slots = (buckets.number as usize).next_power_of_two();
        let stride = slots.next_multiple_of(APART) + APART;
        let words = (0..stride * stripes.max(1)).map(|_| AtomicU64::new(0)).collect();
        Self { number: buckets.number.into(), words, stride, mask: slots - 1 }
    }

    /// Counts one success at `tick` in a lane below the number of stripes. One that is older than
    /// what stands in its bucket is out of the window, and is dropped.
    #[inline]
    pub fn add(&self, lane: usize, tick: Tick) {
        self.add_many(lane, tick, 1);
    }

    /// Counts `number` successes at once, and says how many this lane then holds at `tick`: none
    /// when they were dropped.
    #[inline]
    #[expect(clippy::must_use_candidate, reason = "adding is the point, the count a by-product")]
    pub fn add_many(&self, lane: usize, tick: Tick, number: u64) -> u64 {
        let number = number.min(COUNT);
        let Some(word) = self.words.get(lane * self.stride + self.place(tick)) else { return 0 };
        let tag = tick.0 << COUNT_BITS;
        // The word carries the whole state and publishes nothing else. The exchange is sequentially
        // consistent, as is the load in `sum`, for callers that write a flag and then sum, against
        // threads that add and then read the flag: store buffering (Dekker), where one side must
        // see the other. On x86-64 and with AArch64's LSE it costs no more than a relaxed one.
        let mut current = word.load(Ordering::Relaxed);
        loop {
            let age = (tag.wrapping_sub(current & !COUNT)) >> COUNT_BITS;
            let count = match age {
                // Nothing has been counted here yet.
                _ if current & COUNT == 0 => number,
                0 => ((current & COUNT) + number).min(COUNT),
                // The bucket is newer than these successes, which come from a straggler. Any other
                // tick has left the window.
                _ if TICKS - age <= 2 * self.number => return 0,
                _ => number,
            };
            match word.compare_exchange_weak(
                current,
                tag | count,
                Ordering::SeqCst,
                Ordering::Relaxed,
            ) {
                Ok(_) => return count,
                Err(seen) => current = seen,
            }
        }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "masked to at most ten bits")]
    const fn place(&self, tick: Tick) -> usize {
        tick.0 as usize & self.mask
    }

    /// How many successes the window that ends with `tick` holds. O(buckets × stripes).
    #[must_use]
    pub fn sum(&self, tick: Tick) -> u64 {
        let newest = tick.0 << COUNT_BITS;
        let in_window = |word: &AtomicU64| {
            let word = word.load(Ordering::SeqCst);
            let age = newest.wrapping_sub(word & !COUNT) >> COUNT_BITS;
            if age < self.number { word & COUNT } else { 0 }
        };
        self.words.iter().map(in_window).sum()
    }

    /// Where the latest success stands. If it is where it was at an earlier look, no success has
    /// been counted since then, but perhaps a straggler of an older tick. `None` where that cannot
    /// be told, because the count of the current tick is full. O(buckets × stripes).
    ///
    /// `now` is the current tick. Ticks are told apart as long as their numbers are (see above),
    /// less two windows by which other threads' clocks may be ahead.
    #[must_use]
    pub fn latest(&self, now: Tick) -> Option<LatestSuccess> {
        let newest = now.0.wrapping_add(2 * self.number);
        let mut latest = LatestSuccess { tick: Tick(0), count: 0 };
        for word in &self.words {
            let word = word.load(Ordering::SeqCst);
            let (tag, count) = (word >> COUNT_BITS, word & COUNT);
            let tick = Tick(newest.wrapping_sub(newest.wrapping_sub(tag) % TICKS));
            match count {
                0 => {}
                // Once its tick is over, only stragglers can be hidden by it.
                COUNT if tick >= now => return None,
                _ if latest.count > 0 && tick < latest.tick => {}
                _ if tick == latest.tick => latest.count += count,
                _ => latest = LatestSuccess { tick, count },
            }
        }
        Some(latest)
    }
}

/// The tick of the latest success, and how many there are at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatestSuccess {
    tick: Tick,
    count: u64,
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn buckets(number: u32) -> Buckets {
        Buckets::new(Duration::from_millis(100) * number, number).unwrap()
    }

    proptest! {
        #[test]
        fn both_windows_count_what_a_naive_list_counts(
            number in 1u32..12,
            start in prop_oneof![Just(0u64), Just(TICKS - 20), 0u64..1 << 40],
            steps in prop::collection::vec((prop_oneof![8 => Just(0u64), 3 => 1u64..4, 1 => 0u64..2000, 1 => 0u64..1 << 37], 0usize..3), 1..200),
        ) {
            let buckets = buckets(number);
            let (mut plain, striped) = (TimeWindow::new(buckets), StripedSuccesses::new(buckets, 3));
            let mut list = Vec::new();
            // Ticks begin past the first window, as they do when they are counted from an origin
            // one window back.
            let mut tick = start + u64::from(number);
            for (step, lane) in steps {
                tick += step;
                list.push(tick);
                let before = striped.latest(Tick(tick));
                plain.record(Tick(tick), Counts { total: 1, failures: 0, slow: 0 });
                striped.add(lane, Tick(tick));
                let naive = list.iter().filter(|&&at| tick - at < u64::from(number)).count() as u64;
                prop_assert_eq!(plain.counts(Tick(tick)).total, naive);
                prop_assert_eq!(striped.sum(Tick(tick)), naive);
                let latest = striped.latest(Tick(tick));
                // A look is the same at any time, and from any tick nearby.
                let later = Tick(tick + 5000);
                if tick - list[0] < TICKS - 10_000 {
                    prop_assert!(latest.is_some() && latest != before);
                    prop_assert_eq!(latest, striped.latest(later));
                }
            }
        }
    }

    proptest! {
        /// Successes in stripes, and some of them turned later: a failure leaves with its success.
        #[test]
        fn a_turned_success_is_a_failure_for_as_long_as_it_is_in_the_window(
            number in 1u32..8,
            steps in prop::collection::vec((0u64..4, 0usize..3, any::<prop::sample::Index>()), 1..150),
        ) {
            let buckets = buckets(number);
            let (mut marked, striped) = (TimeWindow::new(buckets), StripedSuccesses::new(buckets, 2));
            // Each success: its tick, and whether it was turned within its window.
            let mut list: Vec<(u64, bool)> = Vec::new();
            let mut tick = u64::from(number);
            let in_window = |at: u64, now: u64| now - at < u64::from(number);
            for (passes, step, which) in steps {
                tick += passes;
                if step > 0 || list.is_empty() {
                    striped.add(step % 2, Tick(tick));
                    list.push((tick, false));
                } else {
                    let at = which.index(list.len());
                    if !list[at].1 {
                        marked.turn(Tick(list[at].0), Tick(tick));
                        list[at].1 = in_window(list[at].0, tick);
                    }
                }
                for now in tick..tick + u64::from(number) + 1 {
                    let here = list.iter().filter(|(at, _)| in_window(*at, now));
                    let failures = here.clone().filter(|(_, turned)| *turned).count() as u64;
                    let (total, counts) = (striped.sum(Tick(now)), marked.counts(Tick(now)));
                    prop_assert_eq!((total, counts.failures), (here.count() as u64, failures));
                    prop_assert!(counts.failures <= total + counts.total);
                }
            }
        }
    }

    #[test]
    fn an_outcome_older_than_its_bucket_is_dropped() {
        let (mut plain, striped) =
            (TimeWindow::new(buckets(4)), StripedSuccesses::new(buckets(4), 1));
        for tick in [10, 6, 2] {
            plain.record(Tick(tick), Counts { total: 1, failures: 0, slow: 0 });
            striped.add(0, Tick(tick));
        }
        assert_eq!((plain.counts(Tick(10)).total, striped.sum(Tick(10))), (1, 1));
    }

    #[test]
    fn a_full_count_does_not_hide_successes() {
        let striped = StripedSuccesses::new(buckets(4), 1);
        assert_eq!(striped.latest(Tick(10)), striped.latest(Tick(1000)), "none at all");
        striped.add_many(0, Tick(10), COUNT - 1);
        assert!(striped.latest(Tick(10)).is_some());
        striped.add(0, Tick(10));
        assert_eq!(striped.latest(Tick(10)), None);
        let over = striped.latest(Tick(11));
        assert!(over.is_some(), "none is added to a tick that is over");
        assert_eq!(striped.latest(Tick(1000)), over);
        striped.add(0, Tick(11));
        assert_ne!(striped.latest(Tick(11)), over);
    }

    #[test]
    fn bad_buckets_are_refused() {
        assert_eq!(Buckets::new(Duration::from_secs(1), 0).unwrap_err().field, "buckets");
        assert_eq!(Buckets::new(Duration::from_secs(1), 1025).unwrap_err().field, "buckets");
        assert_eq!(Buckets::new(Duration::ZERO, 10).unwrap_err().field, "length");
        assert_eq!(Buckets::new(Duration::MAX, 10).unwrap_err().field, "length");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any origin will do")]
    fn ticks_follow_the_clock_and_start_at_the_origin() {
        let (origin, buckets) = (Instant::now(), buckets(10));
        assert_eq!(buckets.tick(origin + Duration::from_secs(5), origin), Tick(0));
        assert_eq!(buckets.tick(origin, origin + Duration::from_millis(99)), Tick(0));
        assert_eq!(buckets.tick(origin, origin + Duration::from_millis(100)), Tick(1));
    }

    #[test]
    fn successes_of_many_threads_are_all_counted() {
        let striped = StripedSuccesses::new(buckets(8), 4);
        std::thread::scope(|scope| {
            for lane in 0..4 {
                let striped = &striped;
                scope.spawn(move || {
                    (0..80_000u64).for_each(|n| striped.add(lane, Tick(100 + n / 10_000)));
                });
            }
        });
        assert_eq!(striped.sum(Tick(107)), 4 * 80_000);
    }
}
