//! RFC 6298, "Computing TCP's Retransmission Timer", to the letter.
//!
//! The whole state is one word, so that a sample and an expiry can never mix: the count of
//! doublings, SRTT and RTTVAR. What the RFC says of a connection is said here of a limit shared by
//! concurrent calls. One rule has to be added for that: an expiry doubles only when it is the
//! expiry of the *current* RTO, so calls that began together and expire together double once.
//! Current means equal: an RTO from before a sample or a doubling, shorter or longer, is of another
//! state, and the same word always gives the same RTO.

use std::time::Duration;

use steadfast_core::parts::Bounds;

use crate::{
    numbers::{Number, Range},
    sync::{AtomicU64, Ordering},
};

/// RTTVAR's gain, beta in section 2.3.
const BETA: f64 = 0.25;
/// SRTT's gain, alpha in section 2.3.
const ALPHA: f64 = 0.125;
/// K in section 2.2.
const K: f64 = 4.0;
/// Seconds as a float without its sign and its two lowest bits: six digits, and no limit to the
/// range.
const FLOAT_BITS: u32 = 29;
const FLOAT: u64 = (1 << FLOAT_BITS) - 1;
const DOUBLINGS_SHIFT: u32 = 2 * FLOAT_BITS;

/// `RTO = SRTT + max(G, 4 × RTTVAR)`, doubled by each expiry of the current RTO until a fresh
/// sample.
#[derive(Debug)]
pub(crate) struct Rfc6298Estimator {
    bounds: Range,
    /// In seconds, as is the first RTO.
    granularity: Number,
    initial: Number,
    word: AtomicU64,
}

/// The word, unfolded. An SRTT of zero means that there has been no sample.
#[derive(Clone, Copy, Debug)]
struct State {
    doublings: u32,
    srtt: f64,
    rttvar: f64,
}

impl Rfc6298Estimator {
    pub(crate) fn new(bounds: Bounds, granularity: Duration, initial: Duration) -> Self {
        let [granularity, initial] =
            [granularity, initial].map(|duration| Number::new(duration.as_secs_f64()));
        Self { bounds: Range::new(bounds), granularity, initial, word: AtomicU64::new(0) }
    }

    /// Goes on with other numbers. What was learned stays.
    pub(crate) fn change(&self, bounds: Bounds, granularity: Duration, initial: Duration) {
        self.granularity.set(granularity.as_secs_f64());
        self.initial.set(initial.as_secs_f64());
        self.bounds.set(bounds);
    }

    /// The current RTO.
    pub(crate) fn limit(&self) -> Duration {
        self.rto(State::unpack(self.load()))
    }

    /// A fresh sample. The caller has applied Karn's rule: the request was not a retransmission.
    pub(crate) fn success(&self, latency: Duration) {
        let r = latency.as_secs_f64().max(1e-9);
        self.update(|state| {
            let (srtt, rttvar) = if state.srtt > 0.0 {
                // RTTVAR first: it uses the SRTT from before this sample (section 2.3).
                let rttvar = (1.0 - BETA) * state.rttvar + BETA * (state.srtt - r).abs();
                ((1.0 - ALPHA) * state.srtt + ALPHA * r, rttvar)
            } else {
                (r, r / 2.0)
            };
            Some(State { doublings: 0, srtt, rttvar })
        });
    }

    /// A call did not end within `limit`.
    pub(crate) fn timeout(&self, limit: Duration) {
        self.update(|state| {
            let current = self.rto(state);
            let expired = limit == current && current.as_secs_f64() < self.bounds.ceiling();
            expired.then(|| State { doublings: state.doublings + 1, ..state })
        });
    }

    /// SRTT, once there has been a sample.
    pub(crate) fn srtt(&self) -> Option<f64> {
        let state = State::unpack(self.load());
        (state.srtt > 0.0).then_some(state.srtt)
    }

    /// How many times the RTO has been doubled since the last fresh sample.
    pub(crate) fn doublings(&self) -> u32 {
        State::unpack(self.load()).doublings
    }

    fn rto(&self, state: State) -> Duration {
        let base = self.bounds.clamp(if state.srtt > 0.0 {
            state.srtt + self.granularity.value().max(K * state.rttvar)
        } else {
            self.initial.value()
        });
        // At most an hour, which is 42 bits, moved up by at most 63: it fits.
        let ceiling = self.bounds.clamp(f64::INFINITY).as_nanos();
        let doubled = (base.as_nanos() << state.doublings).min(ceiling);
        Duration::from_nanos(u64::try_from(doubled).unwrap_or(u64::MAX))
    }

    fn load(&self) -> u64 {
        // Relaxed, here and below: the word carries all there is to know, and publishes nothing
        // else.
        self.word.load(Ordering::Relaxed)
    }

    fn update(&self, mut next: impl FnMut(State) -> Option<State>) {
        let mut current = self.load();
        while let Some(wanted) = next(State::unpack(current)) {
            match self.word.compare_exchange_weak(
                current,
                wanted.pack(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(seen) => current = seen,
            }
        }
    }
}

impl State {
    fn pack(self) -> u64 {
        u64::from(self.doublings.min(63)) << DOUBLINGS_SHIFT
            | fold(self.srtt) << FLOAT_BITS
            | fold(self.rttvar)
    }

    fn unpack(word: u64) -> Self {
        Self {
            doublings: (word >> DOUBLINGS_SHIFT) as u32,
            srtt: unfold(word >> FLOAT_BITS & FLOAT),
            rttvar: unfold(word & FLOAT),
        }
    }
}

/// Rounded to the nearest. Seconds are not negative, so the sign is not missed.
#[expect(clippy::cast_possible_truncation, reason = "six digits are enough")]
fn fold(seconds: f64) -> u64 {
    u64::from((seconds as f32).to_bits() + 2) >> 2
}

#[expect(clippy::cast_possible_truncation, reason = "29 bits, moved up by two")]
fn unfold(bits: u64) -> f64 {
    f64::from(f32::from_bits((bits << 2) as u32))
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const BOUNDS: Bounds = Bounds::new(Duration::from_millis(10), Duration::from_secs(60));

    fn estimator() -> Rfc6298Estimator {
        Rfc6298Estimator::new(BOUNDS, MS, 1000 * MS)
    }

    fn assert_close(actual: Duration, expected_secs: f64) {
        let actual = actual.as_secs_f64();
        assert!(
            (actual - expected_secs).abs() <= expected_secs * 1e-5,
            "{actual} is not {expected_secs}"
        );
    }

    #[test]
    fn the_first_sample_sets_srtt_to_it_and_rttvar_to_half() {
        let rfc = estimator();
        assert_eq!(rfc.limit(), 1000 * MS, "before the first sample the initial RTO holds");
        rfc.success(100 * MS);
        assert_close(rfc.limit(), 0.1 + 4.0 * 0.05);
    }

    #[test]
    fn rttvar_uses_the_old_srtt() {
        let rfc = estimator();
        rfc.success(100 * MS);
        rfc.success(200 * MS);
        // With the new SRTT, 112.5 ms, it would be 0.059375.
        let rttvar = 0.75 * 0.05 + 0.25 * 0.1;
        assert_close(rfc.limit(), 0.1125 + 4.0 * rttvar);
    }

    #[test]
    fn the_granularity_is_the_least_there_is_above_srtt() {
        let rfc = Rfc6298Estimator::new(BOUNDS, 20 * MS, 1000 * MS);
        (0..200).for_each(|_| rfc.success(100 * MS));
        assert_close(rfc.limit(), 0.120);
    }

    #[test]
    fn an_expiry_doubles_and_it_stays_doubled_until_a_fresh_sample() {
        let rfc = estimator();
        rfc.success(100 * MS);
        rfc.timeout(rfc.limit());
        assert_close(rfc.limit(), 0.6);
        rfc.timeout(rfc.limit());
        assert_close(rfc.limit(), 1.2);
        assert_eq!(rfc.doublings(), 2);
        rfc.success(100 * MS);
        assert_close(rfc.limit(), 0.1 + 4.0 * 0.0375);
    }

    #[test]
    fn many_calls_that_expire_together_double_once() {
        let rfc = estimator();
        let limit = rfc.limit();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..100).for_each(|_| rfc.timeout(limit)));
            }
        });
        assert_eq!(rfc.limit(), 2 * limit);
    }

    #[test]
    fn calls_that_began_under_an_older_and_longer_rto_do_not_double_the_current_one() {
        let rfc = estimator();
        let cold = rfc.limit();
        (0..20).for_each(|_| rfc.success(50 * MS));
        let current = rfc.limit();
        assert!(current < cold / 10);
        (0..20).for_each(|_| rfc.timeout(cold));
        assert_eq!((rfc.limit(), rfc.doublings()), (current, 0));
        rfc.timeout(current);
        assert_eq!(rfc.doublings(), 1, "the current one's own expiry does");
    }

    #[test]
    fn doubling_ends_at_the_ceiling_and_never_overflows() {
        let nanosecond = Duration::from_nanos(1);
        let hour = Duration::from_secs(3600);
        let rfc = Rfc6298Estimator::new(Bounds::new(nanosecond, hour), nanosecond, nanosecond);
        (0..1000).for_each(|_| rfc.timeout(rfc.limit()));
        assert_eq!(rfc.limit(), hour);
        (0..1000).for_each(|_| rfc.timeout(Duration::MAX));
        assert_eq!(rfc.limit(), hour);
    }

    proptest! {
        #[test]
        fn a_batch_of_any_age_doubles_at_most_once(
            steps in prop::collection::vec((prop::option::of(1u64..30_000_000), 0usize..8), 1..100),
        ) {
            let rfc = estimator();
            let mut begun = Vec::new();
            for (sample, age) in steps {
                begun.push(rfc.limit());
                if let Some(micros) = sample {
                    rfc.success(Duration::from_micros(micros));
                }
                let batch = begun[begun.len().saturating_sub(1 + age)];
                let (before, current) = (rfc.doublings(), rfc.limit());
                (0..5).for_each(|_| rfc.timeout(batch));
                let doubles = batch == current && current < BOUNDS.ceiling;
                prop_assert_eq!(rfc.doublings(), before + u32::from(doubles));
            }
        }

        #[test]
        fn it_says_what_a_literal_model_says(steps in prop::collection::vec(prop::option::of(1u64..30_000_000), 1..300)) {
            let rfc = estimator();
            let (mut srtt, mut rttvar, mut rto) = (None, 0.0, 1.0f64);
            for step in steps {
                if let Some(micros) = step {
                    let r = micros as f64 / 1e6;
                    rfc.success(Duration::from_micros(micros));
                    if let Some(old) = srtt {
                        rttvar = 0.75 * rttvar + 0.25 * f64::abs(old - r);
                        srtt = Some(0.875 * old + 0.125 * r);
                    } else {
                        (srtt, rttvar) = (Some(r), r / 2.0);
                    }
                    rto = (srtt.unwrap() + f64::max(0.001, 4.0 * rttvar)).clamp(0.01, 60.0);
                } else {
                    rfc.timeout(rfc.limit());
                    rto = (2.0 * rto).min(60.0);
                }
                let limit = rfc.limit().as_secs_f64();
                prop_assert!((limit - rto).abs() <= rto * 2e-5, "{} is not {}", limit, rto);
            }
        }
    }
}

#[cfg(steadfast_loom)]
#[cfg(test)]
mod loom_tests {
    use loom::{sync::Arc, thread};

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn estimator() -> Arc<Rfc6298Estimator> {
        Arc::new(Rfc6298Estimator::new(Bounds::new(ms(10), ms(60_000)), ms(1), ms(1000)))
    }

    fn expire(rfc: &Arc<Rfc6298Estimator>, limit: Duration) -> thread::JoinHandle<()> {
        let rfc = Arc::clone(rfc);
        thread::spawn(move || rfc.timeout(limit))
    }

    #[test]
    fn two_expiries_of_one_rto_and_a_sample_at_once_leave_the_sample_whether_it_is_longer_or_shorter()
     {
        for (sample, rto) in [(400, 1200), (50, 150)] {
            loom::model(move || {
                let rfc = estimator();
                let limit = rfc.limit();
                let others = [expire(&rfc, limit), expire(&rfc, limit)];
                rfc.success(ms(sample));
                others.into_iter().for_each(|other| other.join().unwrap());
                // What expired is the RTO from before the sample: after the sample it doubles
                // nothing.
                assert_eq!(rfc.doublings(), 0);
                assert!(rfc.limit().abs_diff(ms(rto)) < ms(1));
            });
        }
    }

    #[test]
    fn three_expiries_of_one_rto_at_once_double_once() {
        loom::model(|| {
            let rfc = estimator();
            let limit = rfc.limit();
            let others = [expire(&rfc, limit), expire(&rfc, limit)];
            rfc.timeout(limit);
            others.into_iter().for_each(|other| other.join().unwrap());
            assert_eq!((rfc.doublings(), rfc.limit()), (1, ms(2000)));
        });
    }
}
