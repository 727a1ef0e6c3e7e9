//! A limit that is a multiple of an estimate, and how it gets out of the death spiral.
//!
//! Only answers are samples. A call that expires has a latency *above* its limit, by an unknown
//! amount: whatever an estimate takes in its place is invented, and where a few calls in a hundred
//! hang, the inventions become the quantile. But an estimate that learns from answers within the
//! limit alone never recovers from a step in latency, and spirals down where the tail is heavy. So
//! a few calls are let go on beyond their limit, as the [`Explorers`] say, and what they find is
//! recorded for all that were not. Because a quantile moves late, the [`Peak`] bridges the time
//! until it does: it holds what the explorer's answer asks for.
//!
//! Without explorers, where the user has switched them off, the peak does it alone: each expiry
//! doubles the limit there and then, once for all calls that expire together.

use std::time::{Duration, Instant};

use steadfast_core::parts::{Bounds, Dated, LatencyQuantile, Tick, Ticks};

use crate::{
    config::{Kind, MultipleRule},
    cuts::{CutRun, Mark, Pace},
    ewma::EwmaEstimator,
    explorers::{Expiry, Exploration, Explorers},
    numbers::{Number, Range},
    peak::{LEAST_ROOM, Peak, Success},
    sync::{AtomicU64, Ordering},
};

/// Which quantiles tell that one call cut by its deadline was too slow: see [`cuts`](crate::cuts).
const LEAST_QUANTILE: f64 = 0.99;
/// The histogram's buckets are a sixteenth of their value wide.
const BUCKET: f64 = 17.0 / 16.0;

/// Where the estimate comes from.
#[derive(Debug)]
pub(crate) enum Source {
    Quantile(LatencyQuantile),
    Ewma(EwmaEstimator),
}

impl Source {
    fn change(&self, tick: Tick, rule: MultipleRule) {
        let minimum = rule.estimate.minimum_samples;
        match (self, rule.kind) {
            (Self::Quantile(source), Kind::Quantile(quantile)) => {
                source.change(tick, quantile, minimum);
            }
            (Self::Ewma(source), Kind::Ewma { weight }) => source.change(weight, minimum),
            // Refused before.
            _ => {}
        }
    }

    fn record(&self, tick: Tick, seconds: f64) {
        match self {
            Self::Quantile(quantile) => quantile.record(tick, nanos(seconds)),
            Self::Ewma(ewma) => ewma.record(tick, seconds),
        }
    }

    fn record_times(&self, tick: Tick, seconds: f64, times: u32) {
        match self {
            Self::Quantile(quantile) => quantile.record_times(tick, nanos(seconds), times),
            Self::Ewma(ewma) => ewma.record_times(tick, seconds, times),
        }
    }

    fn recorded(&self) -> u64 {
        match self {
            Self::Quantile(quantile) => quantile.recorded(),
            Self::Ewma(ewma) => ewma.recorded(),
        }
    }

    fn estimate(&self, tick: Tick) -> Option<f64> {
        match self {
            Self::Quantile(quantile) => quantile.estimate(tick),
            Self::Ewma(ewma) => ewma.estimate(tick),
        }
    }

    fn samples(&self, tick: Tick) -> u64 {
        match self {
            Self::Quantile(quantile) => quantile.samples(tick),
            Self::Ewma(ewma) => ewma.samples(tick),
        }
    }

    /// How many answers the window holds at least. An average knows only whether there was one.
    fn answers(&self, tick: Tick) -> u64 {
        match self {
            Self::Quantile(quantile) => quantile.samples(tick),
            Self::Ewma(ewma) => ewma.samples(tick).min(1),
        }
    }

    /// What every answer changes.
    fn mark(&self) -> Mark {
        match self {
            Self::Quantile(quantile) => (quantile.recorded(), 0),
            Self::Ewma(ewma) => ewma.mark(),
        }
    }

    /// Whether an estimate is longer than nearly all answers take. An average, or a lower quantile,
    /// is as long as many of them.
    fn tells_slow(&self) -> bool {
        matches!(self, Self::Quantile(quantile) if quantile.quantile() >= LEAST_QUANTILE)
    }
}

/// `clamp(max(estimate × factor, peak), floor, ceiling)`.
#[derive(Debug)]
pub(crate) struct Multiple {
    source: Source,
    factor: Number,
    bounds: Range,
    /// In seconds.
    cold_start: Number,
    /// How many ticks make a window.
    window: u32,
    peak: Peak,
    /// The last estimate while calls expire: [`Dated`].
    kept: AtomicU64,
    /// None when they are switched off.
    explorers: Option<Explorers>,
}

impl Multiple {
    pub(crate) fn new(
        source: Source,
        factor: f64,
        bounds: Bounds,
        cold_start: Duration,
        window: u32,
    ) -> Self {
        let explorers = Some(Explorers::new(bounds.ceiling, window));
        let (peak, kept) = (Peak::new(), AtomicU64::new(Dated::NONE.to_bits()));
        let (factor, bounds) = (Number::new(factor), Range::new(bounds));
        let cold_start = Number::new(cold_start.as_secs_f64());
        Self { source, factor, bounds, cold_start, window, peak, kept, explorers }
    }

    /// With no call let go on beyond its limit.
    pub(crate) fn without_explorers(self) -> Self {
        Self { explorers: None, ..self }
    }

    /// Goes on with these numbers. Samples stay, and what is held is cut to the new ceiling; a call
    /// that has read some of the old numbers gets a limit between the lesser floor and the greater
    /// ceiling.
    pub(crate) fn change(&self, tick: Tick, rule: MultipleRule) {
        let bounds = rule.estimate.bounds;
        self.source.change(tick, rule);
        self.factor.set(rule.factor);
        self.cold_start.set(rule.cold_start().as_secs_f64());
        self.bounds.set(bounds);
        self.peak.cut(bounds.ceiling.as_secs_f64());
        if let Some(explorers) = &self.explorers {
            explorers.change(bounds.ceiling);
        }
    }

    /// The limit of a call that begins to wait at `tick`.
    pub(crate) fn limit(&self, tick: Tick) -> Duration {
        let ordinary = self.ordinary(tick);
        match self.peak.seconds(tick, self.window) {
            Some(held) if held > ordinary => self.bounds.clamp(held),
            _ => self.bounds.clamp(ordinary),
        }
    }

    /// A call succeeded within its limit, after it had waited for `latency`.
    pub(crate) fn success(&self, tick: Tick, latency: Duration) {
        let latency = latency.as_secs_f64();
        self.source.record(tick, latency);
        self.answered();
        if self.peak.seconds(tick, self.window).is_some() {
            let (ordinary, ceiling) = (self.ordinary(tick), self.bounds.ceiling());
            self.peak.follow(
                tick,
                self.window,
                &Success { latency, factor: self.factor.value(), ordinary, ceiling },
            );
        }
    }

    /// The service has answered, but how soon is not known: the process stood still, and found the
    /// answer after the limit. That is no sample, and ends a row of expiries.
    pub(crate) fn answered(&self) {
        if let Some(explorers) = &self.explorers {
            explorers.answered();
        }
    }

    /// A call has waited for its limit: whether it may go on.
    pub(crate) fn expired(&self, expiry: &Expiry) -> Option<Exploration> {
        self.keep(expiry.tick);
        let current = self.limit(expiry.tick);
        let Some(explorers) = &self.explorers else {
            self.double(expiry.tick, expiry.limit.min(current));
            return None;
        };
        explorers.expired(expiry, current, self.source.recorded())
    }

    /// A call that could not go on did not end within `limit`.
    pub(crate) fn unexplored(&self, tick: Tick, limit: Duration) {
        self.keep(tick);
        match &self.explorers {
            Some(explorers) => explorers.unexplored(tick, limit),
            None => self.double(tick, limit.min(self.limit(tick))),
        }
    }

    /// An explorer has ended after `waited` in all, and gives its place back.
    pub(crate) fn ended(&self, exploration: &Exploration, waited: Duration) {
        if let Some(explorers) = &self.explorers {
            explorers.ended(exploration, waited);
        }
    }

    /// An explorer has waited in vain for as long as it may.
    pub(crate) fn in_vain(&self, exploration: &Exploration, now: Instant) {
        if let Some(explorers) = &self.explorers {
            explorers.in_vain(exploration, now);
        }
    }

    /// An explorer that has ended had succeeded after `latency`.
    pub(crate) fn found(&self, tick: Tick, latency: Duration) {
        let (latency, ceiling) = (latency.as_secs_f64(), self.bounds.ceiling());
        if let Some(explorers) = &self.explorers {
            explorers.found(self.source.recorded(), |weight| {
                self.source.record_times(tick, latency, weight);
                self.source.recorded()
            });
        }
        let asked = latency * self.factor.value().max(LEAST_ROOM);
        self.peak.raise(tick, self.window, asked.min(ceiling));
    }

    /// A call was cut by its caller's deadline, after it had waited for `waited`. Whether that is
    /// the service's failure.
    pub(crate) fn cut(&self, now: Instant, waited: Duration, ticks: &Ticks, run: &CutRun) -> bool {
        let tick = ticks.at(now);
        let slow = self.estimate(tick).filter(|_| self.source.tells_slow());
        if slow.is_some_and(|slow| waited.as_secs_f64() > slow * BUCKET) {
            return true;
        }
        let window = ticks.buckets().width() * self.window;
        let pace = || Pace::of(self.source.answers(tick), ticks.covered(now), window);
        waited.as_secs_f64() >= self.bounds.floor()
            && run.cut(now, window, || self.source.mark(), pace)
    }

    /// The estimate in seconds, once there are enough samples, and for as long as calls expire.
    pub(crate) fn estimate(&self, tick: Tick) -> Option<f64> {
        self.source.estimate(tick).or_else(|| self.kept().seconds(tick, self.window))
    }

    /// How many samples the estimate rests on.
    pub(crate) fn samples(&self, tick: Tick) -> u64 {
        self.source.samples(tick)
    }

    /// How many explorations have begun.
    pub(crate) fn explorations(&self) -> u64 {
        self.explorers.as_ref().map_or(0, Explorers::begun)
    }

    /// The held seconds.
    pub(crate) fn held(&self, tick: Tick) -> Option<f64> {
        self.peak.seconds(tick, self.window)
    }

    /// The limit without the peak and the bounds, in seconds.
    fn ordinary(&self, tick: Tick) -> f64 {
        match self.estimate(tick) {
            Some(estimate) => estimate * self.factor.value(),
            None => self.cold_start.value(),
        }
    }

    /// Keeps the estimate for another window: in silence its samples age out, and the cold start,
    /// which may be many times the limit, would come back.
    fn keep(&self, tick: Tick) {
        let kept = self.kept();
        let fresh = self.source.estimate(tick);
        if let Some(estimate) = fresh.or_else(|| kept.seconds(tick, self.window)) {
            // Relaxed: the word carries all there is to know. Of two threads the later one wins,
            // and both have seen an estimate of this window.
            self.kept.store(kept.renewed(tick, estimate).to_bits(), Ordering::Relaxed);
        }
    }

    fn kept(&self) -> Dated {
        Dated::from_bits(self.kept.load(Ordering::Relaxed))
    }

    fn double(&self, tick: Tick, limit: Duration) {
        let doubled = (2.0 * limit.as_secs_f64()).min(self.bounds.ceiling());
        self.peak.raise(tick, self.window, doubled);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest integer there is, and latencies are not negative"
)]
const fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shared::CLOCK;

    const MS: Duration = Duration::from_millis(1);
    const BOUNDS: Bounds = Bounds::new(Duration::from_millis(10), Duration::from_secs(5));
    const FACTORS: [f64; 4] = [1.0, 1.5, 2.0, 3.0];

    fn quantile(factor: f64) -> Multiple {
        Multiple::new(
            Source::Quantile(LatencyQuantile::new(0.99, 20, 6)),
            factor,
            BOUNDS,
            1000 * MS,
            6,
        )
    }

    fn ewma(factor: f64) -> Multiple {
        Multiple::new(Source::Ewma(EwmaEstimator::new(0.125, 20, 6)), factor, BOUNDS, 1000 * MS, 6)
    }

    /// One call of `latency`: whether it succeeded.
    fn call(multiple: &Multiple, tick: u64, latency: Duration) -> bool {
        let (limit, tick, now) = (multiple.limit(Tick(tick)), Tick(tick), CLOCK.now());
        if latency <= limit {
            multiple.success(tick, latency);
            return true;
        }
        let expiry = Expiry { tick, now, limit, waited: limit, most: Duration::MAX };
        let Some(exploration) = multiple.expired(&expiry) else { return false };
        if latency <= exploration.until {
            multiple.ended(&exploration, latency);
            multiple.found(tick, latency);
            return true;
        }
        multiple.in_vain(&exploration, now);
        false
    }

    fn settled(multiple: Multiple) -> Multiple {
        (0..100).for_each(|_| assert!(call(&multiple, 1, 50 * MS)));
        multiple
    }

    #[test]
    fn after_a_step_in_latency_it_succeeds_within_six_calls_and_keeps_succeeding_at_every_factor() {
        for factor in FACTORS {
            for multiple in [settled(quantile(factor)), settled(ewma(factor))] {
                let first = (1..=6).find(|_| call(&multiple, 1, 500 * MS));
                assert!(first.is_some(), "factor {factor}: {multiple:?}");
                // A thousand calls over many windows.
                for n in 0..1000u64 {
                    assert!(
                        call(&multiple, 1 + n / 50, 500 * MS),
                        "factor {factor}, call {n} after the first success"
                    );
                }
            }
        }
    }

    #[test]
    fn after_a_step_it_keeps_succeeding_when_latency_wavers_by_a_tenth() {
        for factor in FACTORS {
            let multiple = settled(quantile(factor));
            while !call(&multiple, 1, 500 * MS) {}
            let failures = (0..1000u64)
                .filter(|n| !call(&multiple, 1 + n / 50, MS * (450 + (n * 37 % 100) as u32)))
                .count();
            assert!(failures <= 10, "factor {factor}: {failures} of 1000");
        }
    }

    #[test]
    fn two_timeouts_apart_in_a_hundred_do_not_make_the_limit_more_than_two_and_a_half_times_what_it_was()
     {
        for factor in FACTORS {
            let multiple = settled(quantile(factor));
            let before = multiple.limit(Tick(1));
            let mut highest = before;
            for n in 0..100 {
                call(&multiple, 1, if n % 50 == 25 { 60_000 * MS } else { 50 * MS });
                highest = highest.max(multiple.limit(Tick(1)));
            }
            assert!(
                highest.as_secs_f64() <= 2.5 * before.as_secs_f64(),
                "factor {factor}: {before:?} to {highest:?}"
            );
        }
    }

    #[test]
    fn a_factor_of_one_does_not_spiral_to_death() {
        let multiple = settled(quantile(1.0));
        for latency in [75, 110, 160, 240, 360, 540, 800] {
            let successes = (0..20).filter(|_| call(&multiple, 1, latency * MS)).count();
            assert!(successes >= 15, "{successes} of 20 at {latency} ms");
        }
    }

    #[test]
    fn successes_alone_never_shrink_the_limit_fast() {
        let multiple = settled(quantile(2.0));
        while !call(&multiple, 1, 500 * MS) {}
        (0..20).for_each(|_| assert!(call(&multiple, 1, 500 * MS)));
        // Latency falls back at once; the limit does so by the peak, and then as the slow samples
        // age out.
        let mut last = multiple.limit(Tick(1));
        for n in 0..400u64 {
            call(&multiple, 1 + n / 50, 50 * MS);
            let limit = multiple.limit(Tick(1 + n / 50));
            assert!(
                n / 50 >= 6 || limit >= 900 * MS,
                "slow samples are still in the window: {limit:?} at {n}"
            );
            last = limit;
        }
        assert!(last < 120 * MS, "{last:?}");
    }

    #[test]
    fn below_the_minimum_of_fresh_samples_the_cold_start_limit_holds() {
        for multiple in [quantile(2.0), ewma(2.0)] {
            (0..19).for_each(|_| assert!(call(&multiple, 1, 50 * MS)));
            assert_eq!(multiple.limit(Tick(1)), 1000 * MS);
            call(&multiple, 1, 50 * MS);
            assert!(multiple.limit(Tick(1)) < 120 * MS);
            assert!(multiple.limit(Tick(6)) < 120 * MS);
            assert_eq!(multiple.limit(Tick(7)), 1000 * MS, "the samples have aged out");
        }
    }

    #[test]
    fn after_any_idle_gap_it_starts_cold_and_learns_again() {
        for gap in [6, 1000, 1 << 20, 1 << 31, (1 << 31) + 1, 3 << 30, (1 << 32) + 1000, 5 << 31] {
            for multiple in [settled(quantile(2.0)), settled(ewma(2.0))] {
                let limit = multiple.limit(Tick(1));
                multiple.unexplored(Tick(1), limit);
                assert_eq!(multiple.limit(Tick(1 + gap)), 1000 * MS, "{gap} ticks later");
                (0..20).for_each(|_| assert!(call(&multiple, 1 + gap, 300 * MS)));
                assert!(multiple.limit(Tick(1 + gap)) < 700 * MS, "{gap} ticks later");
            }
        }
    }

    #[test]
    fn a_cold_start_below_the_latency_grows_until_calls_succeed() {
        let multiple = Multiple::new(
            Source::Quantile(LatencyQuantile::new(0.99, 1000, 6)),
            2.0,
            BOUNDS,
            20 * MS,
            6,
        );
        assert!((0..6).any(|_| call(&multiple, 1, 500 * MS)));
        assert!((0..500).all(|_| call(&multiple, 1, 500 * MS)), "and stays while it is cold");
    }

    #[test]
    fn a_heavy_tail_does_not_drive_the_limit_up() {
        // A Pareto spread from 10 ms up with a shape of 1.5: no variance, and a quantile of 99 % at
        // 215 ms.
        const EXACT: f64 = 0.2154;
        for factor in FACTORS {
            let (multiple, calls) = (quantile(factor), 20_000u64);
            let (mut timeouts, mut sum, mut random) = (0, 0.0, 88_172_645_463_325_252u64);
            for n in 0..calls {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let uniform = ((random >> 11) + 1) as f64 / (1u64 << 53) as f64;
                let latency = Duration::from_secs_f64((0.01 * uniform.powf(-1.0 / 1.5)).min(100.0));
                timeouts += u64::from(!call(&multiple, 1 + n / 500, latency));
                sum += multiple.limit(Tick(1 + n / 500)).as_secs_f64();
            }
            let mean = sum / calls as f64;
            assert!((0.9..1.2).contains(&(mean / (factor * EXACT))), "factor {factor}: {mean} s");
            assert!(timeouts * 100 <= calls * 5 / 4, "factor {factor}: {timeouts} of {calls}");
        }
    }

    #[test]
    fn one_quick_answer_sets_no_estimate() {
        let multiple = quantile(2.0);
        multiple.success(Tick(1), MS / 100);
        assert_eq!(multiple.limit(Tick(1)), 1000 * MS);
    }

    proptest! {
        #[test]
        fn the_limit_stays_within_its_bounds_whatever_happens(
            factor in 1.0f64..1e6,
            steps in prop::collection::vec((0u8..3, 0u64..1 << 50, prop_oneof![6 => Just(0u64), 1 => 0u64..1 << 34]), 1..200),
        ) {
            for multiple in [quantile(factor), ewma(factor)] {
                let mut tick = 0;
                for &(what, nanos, step) in &steps {
                    tick += step;
                    let limit = multiple.limit(Tick(tick));
                    prop_assert!(BOUNDS.floor <= limit && limit <= BOUNDS.ceiling);
                    match what {
                        0 => multiple.success(Tick(tick), Duration::from_nanos(nanos)),
                        1 => multiple.unexplored(Tick(tick), limit),
                        _ => {
                            call(&multiple, tick, Duration::from_nanos(nanos));
                        }
                    }
                }
            }
        }
    }
}
