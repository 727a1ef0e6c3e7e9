//! The state behind a limit, shared by all its handles and calls.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use steadfast_core::{
    TimeSource,
    parts::{Buckets, LatencyQuantile},
};

use crate::{
    config::{Estimate, MultipleSettings, SLICES, Settings},
    ewma::EwmaEstimator,
    multiple::{Multiple, Source},
    rfc6298::Rfc6298Estimator,
    snapshot::LimitSnapshot,
    telemetry::Telemetry,
};

/// Latency is measured by the fine clock only; a coarse one is blind to most of it.
pub(crate) const CLOCK: TimeSource = TimeSource::Tokio;

/// What finds the limit, and what is told about it.
#[derive(Debug)]
pub(crate) struct Shared {
    estimator: Estimator,
    /// Limits that are kept by key share it.
    pub(crate) telemetry: Arc<Telemetry>,
}

#[derive(Debug)]
enum Estimator {
    Unlimited,
    Fixed(Duration),
    Multiple { multiple: Multiple, buckets: Buckets, origin: Instant },
    Rfc6298(Rfc6298Estimator),
}

impl Shared {
    pub(crate) fn new(settings: Settings, telemetry: Arc<Telemetry>) -> Self {
        Self { estimator: Estimator::new(settings), telemetry }
    }

    /// The limit of a call that begins to wait now; `None` when it may wait for ever.
    pub(crate) fn limit(&self, now: Instant) -> Option<Duration> {
        Some(match &self.estimator {
            Estimator::Unlimited => return None,
            Estimator::Fixed(limit) => *limit,
            Estimator::Multiple { multiple, buckets, origin } => multiple.limit(buckets.tick(*origin, now).0),
            Estimator::Rfc6298(rfc) => rfc.limit(),
        })
    }

    /// Shows the limit. Only calls do: a look at it, at start-up say, would come before the
    /// program's recorder.
    pub(crate) fn show(&self, now: Instant) {
        self.telemetry.limit_is(|| self.limit(now));
    }

    /// Whether only a deadline ends a call.
    pub(crate) const fn is_unlimited(&self) -> bool {
        matches!(self.estimator, Estimator::Unlimited)
    }

    /// Whether latencies matter: a clock need not be read for a limit that never changes.
    pub(crate) const fn learns(&self) -> bool {
        matches!(self.estimator, Estimator::Multiple { .. } | Estimator::Rfc6298(_))
    }

    /// A call succeeded after it had waited for `latency`.
    pub(crate) fn success(&self, now: Instant, latency: Duration, is_retry: bool) {
        match &self.estimator {
            Estimator::Unlimited | Estimator::Fixed(_) => {}
            Estimator::Multiple { multiple, buckets, origin } => {
                multiple.success(buckets.tick(*origin, now).0, latency);
            }
            // Karn's rule: an answer may belong to any of the attempts.
            Estimator::Rfc6298(_) if is_retry => {}
            Estimator::Rfc6298(rfc) => rfc.success(latency),
        }
    }

    /// A call succeeded, but only after its `limit`: its latency is the pause of this process, and
    /// no sample. To RFC 6298 it is nothing at all, for the timer that would have doubled the limit
    /// has not fired.
    pub(crate) fn late(&self, now: Instant, limit: Duration) {
        if let Estimator::Multiple { multiple, buckets, origin } = &self.estimator {
            multiple.late(buckets.tick(*origin, now).0, limit);
        }
    }

    /// A call did not end within `limit`.
    pub(crate) fn timeout(&self, now: Instant, limit: Duration) {
        match &self.estimator {
            Estimator::Unlimited | Estimator::Fixed(_) => {}
            Estimator::Multiple { multiple, buckets, origin } => multiple.timeout(buckets.tick(*origin, now).0, limit),
            Estimator::Rfc6298(rfc) => rfc.timeout(limit),
        }
    }

    /// A call was given up, by no fault of its own, after it had waited for `waited`.
    pub(crate) fn interrupted(&self, now: Instant, waited: Duration) {
        if let Estimator::Multiple { multiple, buckets, origin } = &self.estimator {
            multiple.interrupted(buckets.tick(*origin, now).0, waited);
        }
    }

    pub(crate) fn snapshot(&self, now: Instant) -> LimitSnapshot {
        let limit = self.limit(now).unwrap_or(Duration::MAX);
        let seconds = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        match &self.estimator {
            Estimator::Unlimited | Estimator::Fixed(_) => LimitSnapshot::of(limit),
            Estimator::Multiple { multiple, buckets, origin } => {
                let tick = buckets.tick(*origin, now).0;
                LimitSnapshot {
                    estimate: multiple.estimate(tick).map(seconds),
                    samples: multiple.samples(tick),
                    held: multiple.held(tick).map(seconds),
                    ..LimitSnapshot::of(limit)
                }
            }
            Estimator::Rfc6298(rfc) => LimitSnapshot {
                estimate: rfc.srtt().map(seconds),
                doublings: rfc.doublings(),
                ..LimitSnapshot::of(limit)
            },
        }
    }
}

impl Estimator {
    fn new(settings: Settings) -> Self {
        match settings {
            Settings::Unlimited => Self::Unlimited,
            Settings::Fixed(limit) => Self::Fixed(limit),
            Settings::Multiple(settings) => Self::multiple(settings),
            Settings::Rfc6298 { bounds, granularity, initial } => {
                Self::Rfc6298(Rfc6298Estimator::new(bounds, granularity, initial))
            }
        }
    }

    fn multiple(settings: MultipleSettings) -> Self {
        let MultipleSettings { estimate, bounds, factor, cold_start, minimum_samples, buckets } = settings;
        let source = match estimate {
            Estimate::Quantile(quantile) => Source::Quantile(LatencyQuantile::new(quantile, minimum_samples, SLICES)),
            Estimate::Ewma { weight } => Source::Ewma(EwmaEstimator::new(weight, minimum_samples, SLICES)),
        };
        let multiple = Multiple::new(source, factor, bounds, cold_start, SLICES);
        Self::Multiple { multiple, buckets, origin: CLOCK.now() }
    }
}
