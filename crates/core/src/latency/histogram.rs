//! Latencies of the last so many slices of time, counted in buckets.
//!
//! The buckets are log-linear: each doubling of the latency is cut into sixteen equal parts, so a
//! bucket is at most a sixteenth of its value wide, from a microsecond to 2.4 hours. That is above
//! any ceiling a limit may have: nothing a limit can depend on is cut off at the top.
//!
//! Time is cut into slices, each with buckets of its own and the number of the tick it counts. A
//! slice whose tick has left the window is not summed, and is cleared by the first sample that
//! falls on its place (lazy expiry): no timer runs, and an idle gap of a year costs as much as
//! none.
//!
//! No lock. The first sample of a tick claims the slice by a compare-and-swap that marks it as
//! being cleared, clears it, and then gives it its tick. Samples that fall on it meanwhile are
//! dropped; that takes a microsecond. A thread that is preempted between finding its slice and
//! counting may count into the slice's next tick (ABA): one sample in a later slice than it belongs
//! to, which no estimate can tell from a call that ended later.

use crate::{
    sync::{AtomicU32, AtomicU64, Ordering},
    time_window::Tick,
};

/// The first bucket holds all below 2^10 ns, about a microsecond: no timer is as fine.
const LOWEST_BITS: u32 = 10;
/// The last bucket ends at 2^43 ns, 2.4 hours.
const HIGHEST_BITS: u32 = 43;
/// Sixteen buckets to a doubling.
const PARTS_BITS: u32 = 4;
const PARTS: u64 = 1 << PARTS_BITS;
/// How many buckets there are.
pub(crate) const BUCKETS: usize = 1 + (((HIGHEST_BITS - LOWEST_BITS) as usize) << PARTS_BITS);
/// A count stays here: two thousand million in one bucket of one slice.
const MOST: u32 = 1 << 31;
/// And grows by no more at once: half of the room above it, so that two threads may do it together.
const MOST_TIMES: u32 = 1 << 30;
/// Set in a tag while its slice is being cleared, which makes it newer than any tick.
const CLEARING: u64 = 1 << 63;

/// Counts of latencies by bucket, for each slice of time in the window.
#[derive(Debug)]
pub(crate) struct Histogram {
    slices: Box<[Slice]>,
}

#[derive(Debug)]
struct Slice {
    /// The tick it counts, plus one; zero before the first.
    tag: AtomicU64,
    counts: Box<[AtomicU32]>,
}

impl Histogram {
    pub(crate) fn new(slices: u32) -> Self {
        Self { slices: (0..slices).map(|_| Slice::new(BUCKETS)).collect() }
    }

    /// Counts one latency so many times at `tick`, unless what stands on its place is newer or
    /// being cleared.
    pub(crate) fn record(&self, tick: Tick, nanos: u64, times: u32) {
        let slice = &self.slices[self.place(tick)];
        if !slice.claim(tick) {
            return;
        }
        let count = &slice.counts[bucket_of(nanos)];
        if count.load(Ordering::Relaxed) < MOST {
            // Relaxed: a count publishes nothing else.
            count.fetch_add(times.min(MOST_TIMES), Ordering::Relaxed);
        }
    }

    /// What the window that ends with `tick` holds, by bucket.
    pub(crate) fn counts(&self, tick: Tick) -> [u64; BUCKETS] {
        let mut sum = [0; BUCKETS];
        for slice in &self.slices {
            // Acquire pairs with the Release in `claim`: a thread that reads the tag reads the
            // slice as cleared.
            let tag = slice.tag.load(Ordering::Acquire);
            let age = (tick.0 + 1).wrapping_sub(tag);
            if tag == 0 || age >= self.slices.len() as u64 {
                continue;
            }
            for (sum, count) in sum.iter_mut().zip(&slice.counts) {
                *sum += u64::from(count.load(Ordering::Relaxed));
            }
        }
        sum
    }

    fn place(&self, tick: Tick) -> usize {
        // Below the number of slices.
        usize::try_from(tick.0 % self.slices.len() as u64).unwrap_or(0)
    }
}

impl Slice {
    fn new(buckets: usize) -> Self {
        Self { tag: AtomicU64::new(0), counts: (0..buckets).map(|_| AtomicU32::new(0)).collect() }
    }

    /// Whether the slice now counts `tick`.
    fn claim(&self, tick: Tick) -> bool {
        let tag = tick.0 + 1;
        // Acquire pairs with the Release below: a count added after this load is added to a cleared
        // slice.
        let current = self.tag.load(Ordering::Acquire);
        if current >= tag {
            return current == tag;
        }
        // Acquire: the clearing must not begin before the claim is ours.
        if self
            .tag
            .compare_exchange(current, CLEARING | tag, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            return false;
        }
        for count in &self.counts {
            count.store(0, Ordering::Relaxed);
        }
        // Release pairs with the Acquire loads above and in `counts`.
        self.tag.store(tag, Ordering::Release);
        true
    }
}

/// The upper edge in nanoseconds of the bucket that holds the `quantile` of all counted, and how
/// many those are. At most a sixteenth, or 1,024 ns, above the exact quantile, and never below it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts are far below 2^53, and a share of a count is a count"
)]
pub(crate) fn quantile(counts: &[u64; BUCKETS], quantile: f64) -> (u64, Option<u64>) {
    let total = counts.iter().sum::<u64>();
    let rank = ((quantile * total as f64).ceil() as u64).clamp(1, total.max(1));
    let mut below = 0;
    let bucket = counts.iter().position(|&count| {
        below += count;
        below >= rank
    });
    (total, bucket.map(upper_edge))
}

fn bucket_of(nanos: u64) -> usize {
    if nanos >> LOWEST_BITS == 0 {
        return 0;
    }
    let nanos = nanos.min((1 << HIGHEST_BITS) - 1);
    let octave = nanos.ilog2();
    let part = (nanos >> (octave - PARTS_BITS)) & (PARTS - 1);
    1 + (((octave - LOWEST_BITS) as usize) << PARTS_BITS) + part as usize
}

fn upper_edge(bucket: usize) -> u64 {
    let Some(above) = bucket.checked_sub(1) else { return 1 << LOWEST_BITS };
    let (octave, part) = (above >> PARTS_BITS, above as u64 & (PARTS - 1));
    (PARTS + part + 1) << (octave + (LOWEST_BITS - PARTS_BITS) as usize)
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_a_sixteenth_wide() {
        for exponent in 0..HIGHEST_BITS {
            for nanos in [
                (1u64 << exponent) - 1,
                1 << exponent,
                (1 << exponent) + 1,
                (1 << exponent) * 3 / 2,
            ] {
                let bucket = bucket_of(nanos);
                let upper = upper_edge(bucket);
                assert!(nanos < upper, "{nanos} in {bucket} up to {upper}");
                let lower = bucket.checked_sub(1).map_or(0, upper_edge);
                assert!(
                    nanos >= lower && upper - lower <= (lower / 16).max(1024),
                    "{nanos}: {lower}..{upper}"
                );
            }
        }
    }

    #[test]
    fn the_top_lies_above_any_ceiling_and_takes_what_is_beyond() {
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert!(
            upper_edge(BUCKETS - 1) == 1 << HIGHEST_BITS
                && 1u64 << HIGHEST_BITS > 2 * 3600 * 1_000_000_000
        );
    }

    proptest! {
        #[test]
        fn a_quantile_is_exact_to_a_bucket(
            samples in prop::collection::vec(prop_oneof![0u64..1 << 20, 1u64 << 20..1 << 40], 1..300),
            share in 0.001f64..0.999,
        ) {
            let histogram = Histogram::new(3);
            for (n, &sample) in samples.iter().enumerate() {
                histogram.record(Tick(n as u64 % 3), sample, 1);
            }
            let mut sorted = samples;
            sorted.sort_unstable();
            let rank = (share * sorted.len() as f64).ceil() as usize;
            let exact = sorted[rank.clamp(1, sorted.len()) - 1];
            let (total, estimate) = quantile(&histogram.counts(Tick(2)), share);
            let estimate = estimate.unwrap();
            prop_assert_eq!(total, sorted.len() as u64);
            prop_assert!(exact <= estimate && estimate <= exact + exact / 16 + 1024, "{} for {}", estimate, exact);
        }

        #[test]
        fn the_window_holds_what_a_naive_list_holds(
            slices in 1u32..8,
            steps in prop::collection::vec(prop_oneof![8 => Just(0u64), 3 => 1u64..4, 1 => 0u64..1 << 40], 1..100),
        ) {
            let histogram = Histogram::new(slices);
            let (mut tick, mut list) = (0u64, Vec::new());
            for step in steps {
                tick += step;
                list.push(tick);
                histogram.record(Tick(tick), 5000, 1);
                let naive = list.iter().filter(|&&at| tick - at < u64::from(slices)).count() as u64;
                prop_assert_eq!(quantile(&histogram.counts(Tick(tick)), 0.5).0, naive);
            }
        }
    }

    #[test]
    fn a_window_of_six_slices_takes_thirteen_kilobytes() {
        let bytes = 6 * (size_of::<Slice>() + BUCKETS * size_of::<AtomicU32>());
        assert!((12_500..13_500).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_sample_older_than_its_slice_is_dropped() {
        let histogram = Histogram::new(4);
        histogram.record(Tick(10), 5000, 1);
        histogram.record(Tick(6), 5000, 1);
        assert_eq!(quantile(&histogram.counts(Tick(10)), 0.5).0, 1);
    }

    #[test]
    fn samples_of_many_threads_are_all_counted_once_a_slice_is_claimed() {
        let histogram = Histogram::new(2);
        histogram.record(Tick(1), 5000, 1);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|n| histogram.record(Tick(1), n * 1000, 1)));
            }
        });
        assert_eq!(quantile(&histogram.counts(Tick(1)), 0.5).0, 40_001);
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(quantile(&[0; BUCKETS], 0.99), (0, None));
    }
}

#[cfg(steadfast_loom)]
#[cfg(test)]
mod loom_tests {
    use loom::{sync::Arc, thread};

    use super::*;

    #[test]
    fn a_thread_that_reads_a_tick_reads_its_slice_as_cleared_and_one_of_two_claims_it() {
        loom::model(|| {
            let slice = Arc::new(Slice::new(2));
            assert!(slice.claim(Tick(1)));
            slice.counts.iter().for_each(|count| count.store(5, Ordering::Relaxed));
            let claim = || {
                let slice = Arc::clone(&slice);
                thread::spawn(move || {
                    let claimed = slice.claim(Tick(7));
                    if claimed {
                        slice.counts[0].fetch_add(1, Ordering::Relaxed);
                    }
                    u32::from(claimed)
                })
            };
            let claims = [claim(), claim()];
            if slice.tag.load(Ordering::Acquire) == 8 {
                assert!(slice.counts.iter().all(|count| count.load(Ordering::Relaxed) <= 2));
            }
            let counted: u32 = claims.into_iter().map(|claim| claim.join().unwrap()).sum();
            assert!(counted >= 1 && slice.counts[0].load(Ordering::Relaxed) == counted);
            assert_eq!(slice.counts[1].load(Ordering::Relaxed), 0);
        });
    }
}
