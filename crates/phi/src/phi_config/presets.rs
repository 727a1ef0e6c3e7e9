//! The detectors that others ship, number for number.

use std::time::Duration;

use super::{Outliers, PhiConfig, Prior};
use crate::Distribution;

impl PhiConfig {
    /// Akka's and Pekko's cluster, so that their users can move over with their numbers
    /// (`akka.cluster.failure-detector` of its `reference.conf`, and
    /// `akka.remote.PhiAccrualFailureDetector`):
    ///
    /// - `threshold = 8.0`; Akka advises 12 on virtual machines.
    /// - [`Logistic`](Distribution::Logistic), Akka's approximation of the normal distribution,
    ///   which says 8 where the distribution says 7.06.
    /// - `max-sample-size = 1000`.
    /// - `min-std-deviation = 100 ms`: "too low standard deviation might result in too much
    ///   sensitivity for sudden, but normal, deviations".
    /// - `acceptable-heartbeat-pause = 3 s`: garbage collections, and two lost heartbeats.
    /// - `heartbeat-interval = 1 s`, the first estimate: two samples of 0.75 and 1.25 s, "with
    ///   rather high standard deviation", that stay in the window until it slides over them.
    /// - An interval at whose end the peer was not available is no sample, "since a long pause will
    ///   skew the stats".
    ///
    /// Akka counts in whole milliseconds. This counts in microseconds; where arrivals are at whole
    /// milliseconds, φ is Akka's.
    pub const fn akka() -> Self {
        Self::new()
            .threshold(8.0)
            .distribution(Distribution::Logistic)
            .window(1_000)
            .minimum_deviation(Duration::from_millis(100))
            .acceptable_pause(Duration::from_secs(3))
            .first_interval(Duration::from_secs(1))
            .prior(Prior::TwoSamples)
            .outliers(Outliers::SkipConvicted)
    }

    /// Cassandra's (`org.apache.cassandra.gms.FailureDetector` and its `ArrivalWindow`):
    ///
    /// - `phi_convict_threshold: 8`, which it compares with φ = t / mean / ln 10 (CASSANDRA-2597):
    ///   18.4 mean intervals of silence. (Without the ln 10, 8 means a chance of 3.4e-4.)
    /// - [`Exponential`](Distribution::Exponential): only the mean counts.
    /// - `SAMPLE_SIZE = 1000`.
    /// - The first sample is twice the gossip interval of 1 s, since "it's better to err high", and
    ///   stays in the window until it slides over it.
    /// - `fd_max_interval_ms`, by default as long as that first sample: an interval above 2 s is no
    ///   sample, since "we'd rather mark it down quickly instead of adapting".
    ///
    /// Its guard against its own pauses (`cassandra.max_local_pause_in_ms`) is
    /// `DetectorConfig::local_pause`.
    pub const fn cassandra() -> Self {
        Self::new()
            .threshold(8.0)
            .distribution(Distribution::Exponential)
            .window(1_000)
            .first_interval(Duration::from_secs(2))
            .prior(Prior::OneSample)
            .outliers(Outliers::DropAbove(Duration::from_secs(2)))
    }

    /// The detector as textbooks write it: φ = −log10(max(1 − CDF, 1e-15)) of a normal distribution
    /// over the last 100 intervals, so that a reader finds the numbers of the book.
    ///
    /// - Threshold 8; a window of 100.
    /// - The clamp at 1e-15 is a [`cap`](Self::cap) of 15: there 1 − CDF in 64 bits ends. Below it,
    ///   this is exact where the book's subtraction has lost digits (at 15 by 5 %).
    /// - Population variance, as everywhere here, and a deviation of at least 0.1 ms.
    /// - Every interval is a sample, and there is no acceptable pause.
    /// - Books leave open what holds before there are two intervals, when the deviation is zero or
    ///   unknown. Here it is the prior of [`new`](Self::new), and after two only their own numbers
    ///   count.
    pub const fn textbook() -> Self {
        Self::new()
            .threshold(8.0)
            .cap(15.0)
            .distribution(Distribution::Normal)
            .window(100)
            .minimum_deviation(Duration::from_micros(100))
            .prior(Prior::Until(2))
            .outliers(Outliers::Keep)
    }
}
