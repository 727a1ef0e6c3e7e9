//! How long a circuit stays open.

use std::time::Duration;

use steadfast_core::{Backoff, ConfigError, Jitter, parts::Splitter};

/// How long a circuit stays open: in growing steps up to a longest, each time a circuit opens again
/// without having closed. From the first step once it has closed.
///
/// The nth step is `first * factor^n`, at most `longest`. The open time is drawn from its **upper
/// half**: replicas of a client do not come back in step, and no circuit is open for next to no
/// time. (Of a step of 5 s full jitter, which is right for a retry, has drawn 6 ms.) So, with a
/// factor of two or more:
///
/// - as long as the steps grow by it, no open time is shorter than the one before;
/// - once the longest step is reached each is between half of it and all of it, and may be shorter
///   than the one before;
/// - no open time is ever shorter than half of the first step.
///
/// With a smaller factor the last one holds.
///
/// A service may know better. Where a failure since the circuit last changed its state says when to
/// come back (`Retry-After`, gRPC's pushback; the latest that does), the circuit stays open for as
/// long, but for no less than the time that was drawn, and for no longer than the longest step.
///
/// ```
/// use std::time::Duration;
/// use steadfast_breaker::{CircuitConfig, OpenTime};
///
/// let open_time = OpenTime::exponential(Duration::from_secs(2), Duration::from_secs(30))?;
/// let config = CircuitConfig::new().open_time(open_time);
/// # let _ = config;
/// # Ok::<(), steadfast_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenTime(Backoff);

impl OpenTime {
    /// Doubling steps from `first` up to `longest`.
    ///
    /// # Errors
    /// When `first` is zero, `longest` is below `first`, or above 365 days.
    pub fn exponential(first: Duration, longest: Duration) -> Result<Self, ConfigError> {
        ConfigError::require(!first.is_zero(), "first", first, "above zero")?;
        let rule = "at least the first open time";
        ConfigError::require(longest >= first, "longest", longest, rule)?;
        let backoff = Backoff::exponential(first, longest);
        let backoff = backoff.map_err(|error| error.in_field("longest"))?;
        Ok(Self(backoff.with_jitter(Jitter::Equal)))
    }

    /// The same time each time, without jitter: for a client that is alone.
    ///
    /// # Errors
    /// When `time` is zero or above 365 days.
    pub fn constant(time: Duration) -> Result<Self, ConfigError> {
        ConfigError::require(!time.is_zero(), "time", time, "above zero")?;
        Backoff::constant(time).map(Self).map_err(|error| error.in_field("time"))
    }

    /// A growth other than doubling.
    ///
    /// # Errors
    /// When `factor` is NaN, infinite or below 1.
    pub fn with_factor(self, factor: f64) -> Result<Self, ConfigError> {
        self.0.with_factor(factor).map(Self)
    }

    /// The whole of each step: for a client that is alone, and for tests.
    #[must_use]
    pub const fn without_jitter(self) -> Self {
        Self(self.0.with_jitter(Jitter::None))
    }

    /// The longest time a circuit stays open.
    #[must_use]
    pub const fn longest(&self) -> Duration {
        self.0.cap()
    }

    /// The open time of a circuit that has opened `trips` times since it was last closed.
    pub(crate) fn draw(&self, trips: u32, splitter: &Splitter) -> Duration {
        // The previous delay is for decorrelated jitter, which an open time never has.
        self.0.delay(trips, Duration::ZERO, &mut splitter.split())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(5);
    const LONGEST: Duration = Duration::from_secs(60);

    fn draws(open_time: OpenTime, seed: u64) -> Vec<Duration> {
        let splitter = Splitter::seeded(seed);
        (0..12).map(|trips| open_time.draw(trips, &splitter)).collect()
    }

    #[test]
    fn over_a_thousand_seeds_no_open_time_is_shorter_than_the_one_before_until_the_longest() {
        let open_time = OpenTime::exponential(FIRST, LONGEST).unwrap();
        let (mut shortest, mut longest) = (f64::MAX, 0f64);
        for seed in 0..1000 {
            let draws = draws(open_time, seed);
            // 5, 10, 20 and 40 s; then 60.
            assert!(draws[..4].is_sorted(), "seed {seed}: {draws:?}");
            for (trips, draw) in draws.iter().enumerate() {
                let step = (FIRST * (1 << trips)).min(LONGEST);
                assert!((step / 2..=step).contains(draw), "seed {seed}, {trips}: {draw:?}");
                let share = draw.as_secs_f64() / step.as_secs_f64();
                (shortest, longest) = (shortest.min(share), longest.max(share));
            }
        }
        assert!(shortest < 0.501 && longest > 0.999, "the whole half: {shortest}..={longest}");
    }

    #[test]
    fn once_the_longest_is_reached_an_open_time_may_be_shorter_than_the_one_before() {
        let open_time = OpenTime::exponential(FIRST, LONGEST).unwrap();
        let shorter = (0..1000).filter(|&seed| {
            let draws = draws(open_time, seed);
            draws[9] < draws[8]
        });
        let shorter = shorter.count();
        assert!((400..600).contains(&shorter), "{shorter} of 1,000: clients do not fall into step");
    }

    #[test]
    fn no_open_time_is_below_half_of_the_first_step_whatever_the_factor() {
        for factor in [1.0, 1.2, 3.0] {
            let open_time = OpenTime::exponential(FIRST, LONGEST).unwrap();
            let open_time = open_time.with_factor(factor).unwrap();
            let shortest = (0..1000).flat_map(|seed| draws(open_time, seed)).min().unwrap();
            assert!(shortest >= FIRST / 2, "factor {factor}: {shortest:?}");
        }
    }

    #[test]
    fn without_jitter_each_is_the_whole_step() {
        let seconds = |open_time| draws(open_time, 1).iter().map(Duration::as_secs).max();
        let exponential = OpenTime::exponential(FIRST, LONGEST).unwrap().without_jitter();
        assert_eq!(draws(exponential, 1)[..5].iter().map(Duration::as_secs).sum::<u64>(), 135);
        assert_eq!(seconds(exponential), Some(60));
        assert_eq!(seconds(OpenTime::constant(FIRST).unwrap()), Some(5));
    }

    #[test]
    fn bad_times_are_refused_by_field_and_value() {
        let field = |result: Result<OpenTime, ConfigError>| result.unwrap_err().field;
        assert_eq!(field(OpenTime::exponential(Duration::ZERO, LONGEST)), "first");
        assert_eq!(field(OpenTime::exponential(LONGEST, FIRST)), "longest");
        assert_eq!(field(OpenTime::exponential(FIRST, Duration::MAX)), "longest");
        assert_eq!(field(OpenTime::constant(Duration::ZERO)), "time");
        assert_eq!(field(OpenTime::constant(Duration::MAX)), "time");
        let factor = OpenTime::exponential(FIRST, LONGEST).unwrap().with_factor(0.5);
        assert_eq!(field(factor), "factor");
    }
}
