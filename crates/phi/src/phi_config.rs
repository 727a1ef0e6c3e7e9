//! How a φ-accrual detector of one peer is made.

mod presets;

use std::time::Duration;

use steadfast_core::ConfigError;

use crate::Distribution;

const HOUR: Duration = Duration::from_secs(3_600);
const MOST_SAMPLES: u32 = 65_536;

/// How suspicion of one peer is calculated from the times between its heartbeats: plain data,
/// checked by [`PhiAccrual::new`](crate::PhiAccrual::new).
///
/// [`akka`](Self::akka), [`cassandra`](Self::cassandra) and [`textbook`](Self::textbook) are those
/// detectors, number for number.
///
/// ```
/// use std::time::Duration;
/// use steadfast_phi::{Distribution, Outliers, PhiAccrual, PhiConfig};
///
/// let config = PhiConfig::new()
///     .first_interval(Duration::from_millis(200)) // as often as the peer is asked to send
///     .minimum_deviation(Duration::from_millis(20))
///     .acceptable_pause(Duration::from_millis(500))
///     .outliers(Outliers::DropAbove(Duration::from_secs(5)));
/// assert!(PhiAccrual::new(config).is_ok());
/// assert!(PhiAccrual::new(PhiConfig::new().threshold(f64::NAN)).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "a configuration does nothing until a detector is made of it"]
pub struct PhiConfig {
    pub(crate) threshold: f64,
    pub(crate) cap: f64,
    pub(crate) distribution: Distribution,
    pub(crate) history: HistoryKind,
    pub(crate) acceptable_pause: Duration,
    pub(crate) minimum_deviation: Duration,
    pub(crate) first_interval: Duration,
    pub(crate) prior: Prior,
    pub(crate) outliers: Outliers,
}

/// Where the intervals are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HistoryKind {
    Window(u32),
    Decaying(u32),
}

/// What becomes of an interval that does not look like the others.
///
/// One outage of a minute among 999 intervals of a second makes the deviation 1.9 s, and φ = 8 then
/// takes 11.7 s of silence for as long as the outage is in the window: that is what all but
/// [`Keep`](Self::Keep) are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outliers {
    /// It is a sample like any other: Hayashibara's. A change of period is learnt quickly, and an
    /// outage blunts the detector for a whole window.
    Keep,
    /// One by which its peer was convicted counts as the silence that convicted it, or that of
    /// φ = 3 (3.1 deviations) if the threshold is lower, since a deviation that is cut nearer by
    /// shrinks for ever. Of an outage the detector learns only that it was long; a tenfold period
    /// is learnt all the same, in about a fifth of a window. The default.
    #[default]
    ClampConvicted,
    /// One by which its peer was convicted is no sample: Akka's, which records only while the
    /// detector says "available" ("skip while suspected").
    ///
    /// A peer whose period is beyond the threshold from the start, as by a
    /// [`first_interval`](PhiConfig::first_interval) far too short, is *never* learnt.
    SkipConvicted,
    /// One above the maximum is no sample: Cassandra's. The maximum must be above every period that
    /// is to be learnt. Above zero, at most one hour.
    DropAbove(Duration),
    /// One above the maximum counts as the maximum. Above zero, at most one hour.
    ClampTo(Duration),
}

/// What is expected of a peer whose period is not known yet. A single heartbeat is not a history,
/// nor is one interval, whose deviation is zero.
///
/// All of them make use of the [`first_interval`](PhiConfig::first_interval).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Prior {
    /// Two samples, ¾ and 5/4 of the first interval, count beside the peer's own until it has so
    /// many (or as many as the window holds), and then no more. From 1 on.
    Until(u32),
    /// The same two samples are the oldest of the window, and leave when it slides over them:
    /// Akka's.
    TwoSamples,
    /// One sample, the first interval, is the oldest of the window: Cassandra's.
    OneSample,
}

impl PhiConfig {
    /// The defaults:
    ///
    /// - φ of the **normal** distribution, exact to the tail, as in the paper that φ is from
    ///   (Hayashibara and others, *The φ Accrual Failure Detector*, 2004).
    /// - **Threshold 8**, as in Akka, Pekko and Cassandra: 5.6 deviations above the mean.
    /// - A **window of 1,000**, as in the paper, Akka and Cassandra: the deviation is known to 2 %
    ///   (1 / √(2n)), and the window takes 4 kB.
    /// - A **minimum deviation of 100 ms**, as in Akka: heartbeats on a local network deviate by
    ///   tens of microseconds, and would convict their peer at the first hiccup of a scheduler or
    ///   a garbage collector. With it, φ = 8 is at least 0.56 s above the mean. Set a tenth of the
    ///   period where detection must be quicker.
    /// - **No acceptable pause**: what a pause costs in detection time is for the user to choose.
    /// - A **first interval of 1 s**, the period of Akka's and of Cassandra's heartbeats, with a
    ///   deviation of a quarter, until the peer has eight intervals of its own, whose deviation is
    ///   known to 25 %. *Set it to the period that the peer is asked to send at.* Left alone, a
    ///   peer that sends each 100 ms is convicted after 2.4 to 3.4 s of silence until its ninth
    ///   heartbeat and after 0.66 s from then on; one that sends each 10 s is convicted twice, and
    ///   one that sends each minute four times, before it is known.
    /// - Outliers are **clamped** where they convict, so that one outage does not blunt the
    ///   detector for a window.
    /// - **No cap**: φ is finite anyway.
    pub const fn new() -> Self {
        Self {
            threshold: 8.0,
            cap: f64::INFINITY,
            distribution: Distribution::Normal,
            history: HistoryKind::Window(1_000),
            acceptable_pause: Duration::ZERO,
            minimum_deviation: Duration::from_millis(100),
            first_interval: Duration::from_secs(1),
            prior: Prior::Until(8),
            outliers: Outliers::ClampConvicted,
        }
    }

    /// The φ at which the peer is convicted: above 0, finite, at most the [`cap`](Self::cap).
    pub const fn threshold(self, phi: f64) -> Self {
        Self { threshold: phi, ..self }
    }

    /// The most that φ can be: above 0, and infinite for no cap. A detector that calculates
    /// 1 − CDF in 64 bits and clamps it at 1e-15 has a cap of 15.
    pub const fn cap(self, phi: f64) -> Self {
        Self { cap: phi, ..self }
    }

    /// What the time between two heartbeats is taken to be distributed like.
    pub const fn distribution(self, distribution: Distribution) -> Self {
        Self { distribution, ..self }
    }

    /// The last so many intervals are the history: 1 to 65,536, four bytes each. Instead of
    /// [`decaying`](Self::decaying).
    pub const fn window(self, samples: u32) -> Self {
        Self { history: HistoryKind::Window(samples), ..self }
    }

    /// All intervals are the history, each with less weight the older it is, in constant memory: as
    /// much weight on the recent ones as a window of so many samples has, 1 to 65,536. Instead of
    /// [`window`](Self::window).
    pub const fn decaying(self, samples: u32) -> Self {
        Self { history: HistoryKind::Decaying(samples), ..self }
    }

    /// How much longer than the mean a peer may be silent before that says anything: at most one
    /// hour. Added to the mean of [`Normal`](Distribution::Normal) and
    /// [`Logistic`](Distribution::Logistic), as Akka does, and to the beginning of
    /// [`Exponential`](Distribution::Exponential).
    pub const fn acceptable_pause(self, pause: Duration) -> Self {
        Self { acceptable_pause: pause, ..self }
    }

    /// The deviation of peers whose intervals deviate by less: above zero, at most one hour. The
    /// exponential distribution has no use for it.
    pub const fn minimum_deviation(self, deviation: Duration) -> Self {
        Self { minimum_deviation: deviation, ..self }
    }

    /// What the time between two heartbeats is expected to be before there is a history: above
    /// zero, at most one hour. How it counts says the [`prior`](Self::prior).
    pub const fn first_interval(self, interval: Duration) -> Self {
        Self { first_interval: interval, ..self }
    }

    /// How the first interval counts, and for how long.
    pub const fn prior(self, prior: Prior) -> Self {
        Self { prior, ..self }
    }

    /// What becomes of an interval that does not look like the others.
    pub const fn outliers(self, outliers: Outliers) -> Self {
        Self { outliers, ..self }
    }

    /// Whether every number is in its range.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        ConfigError::require(self.cap > 0.0, "cap", self.cap, "above 0")?;
        ConfigError::require(
            self.threshold.is_finite() && self.threshold > 0.0,
            "threshold",
            self.threshold,
            "finite and above 0",
        )?;
        let reachable = self.threshold <= self.cap;
        ConfigError::require(reachable, "threshold", self.threshold, "at most the cap")?;
        let (field, samples) = match self.history {
            HistoryKind::Window(samples) => ("window", samples),
            HistoryKind::Decaying(samples) => ("decaying", samples),
        };
        let possible = (1..=MOST_SAMPLES).contains(&samples);
        ConfigError::require(possible, field, samples, "1 to 65,536 samples")?;
        let pause = self.acceptable_pause;
        ConfigError::require(pause <= HOUR, "acceptable_pause", pause, "at most one hour")?;
        positive("minimum_deviation", self.minimum_deviation)?;
        positive("first_interval", self.first_interval)?;
        ConfigError::require(self.prior != Prior::Until(0), "prior", self.prior, "from 1 on")?;
        match self.outliers {
            Outliers::DropAbove(maximum) | Outliers::ClampTo(maximum) => {
                positive("outliers", maximum)
            }
            _ => Ok(()),
        }
    }
}

impl Default for PhiConfig {
    fn default() -> Self {
        Self::new()
    }
}

fn positive(field: &'static str, value: Duration) -> Result<(), ConfigError> {
    let possible = !value.is_zero() && value <= HOUR;
    ConfigError::require(possible, field, value, "above zero and at most one hour")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(config: PhiConfig, field: &str, value: &str) {
        let error = config.check().expect_err("it cannot work");
        let message = error.to_string();
        assert!(message.contains(field) && message.contains(value), "{message}");
    }

    #[test]
    fn what_cannot_work_is_refused_with_field_and_value() {
        let config = PhiConfig::new();
        let (zero, long) = (Duration::ZERO, Duration::from_secs(3_601));
        refused(config.window(0), "window", "0");
        refused(config.window(65_537), "window", "65537");
        refused(config.decaying(0), "decaying", "0");
        refused(config.decaying(u32::MAX), "decaying", "4294967295");
        refused(config.threshold(0.0), "threshold", "0.0");
        refused(config.threshold(-1.0), "threshold", "-1.0");
        refused(config.threshold(f64::NAN), "threshold", "NaN");
        refused(config.threshold(f64::INFINITY), "threshold", "inf");
        refused(config.cap(7.5), "threshold", "8.0");
        refused(config.cap(0.0), "cap", "0.0");
        refused(config.cap(f64::NAN), "cap", "NaN");
        refused(config.acceptable_pause(long), "acceptable_pause", "3601s");
        refused(config.minimum_deviation(zero), "minimum_deviation", "0ns");
        refused(config.minimum_deviation(long), "minimum_deviation", "3601s");
        refused(config.first_interval(zero), "first_interval", "0ns");
        refused(config.first_interval(Duration::MAX), "first_interval", "s");
        refused(config.prior(Prior::Until(0)), "prior", "Until(0)");
        refused(config.outliers(Outliers::DropAbove(zero)), "outliers", "0ns");
        refused(config.outliers(Outliers::ClampTo(long)), "outliers", "3601s");
    }

    #[test]
    fn the_edges_of_each_range_are_taken() {
        let hour = Duration::from_secs(3_600);
        let nano = Duration::from_nanos(1);
        for config in [
            PhiConfig::new(),
            PhiConfig::new().window(1).threshold(f64::MIN_POSITIVE),
            PhiConfig::new().window(65_536).acceptable_pause(hour).minimum_deviation(hour),
            PhiConfig::new().decaying(1).first_interval(nano).minimum_deviation(nano),
            PhiConfig::new().decaying(65_536).first_interval(hour).cap(8.0),
            PhiConfig::new().outliers(Outliers::ClampTo(nano)).prior(Prior::Until(1)),
        ] {
            config.check().expect("in range");
        }
    }
}
