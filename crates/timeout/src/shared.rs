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
    config::{LimitConfig, MultipleRule, Rule, SLICES},
    ewma::EwmaEstimator,
    limit::LimitSnapshot,
    multiple::{Multiple, Source},
    rfc6298::Rfc6298Estimator,
    telemetry::Telemetry,
};

/// Latency is measured by the fine clock only; a coarse one is blind to most of it.
pub(crate) const CLOCK: TimeSource = TimeSource::Tokio;

/// What finds the limit, and what is told about it.
#[derive(Debug)]
pub(crate) struct Shared {
    estimator: Arc<Estimator>,
    pub(crate) telemetry: Telemetry,
}

#[derive(Debug)]
enum Estimator {
    Unlimited,
    Fixed(Duration),
    Multiple { multiple: Multiple, buckets: Buckets, origin: Instant },
    Rfc6298(Rfc6298Estimator),
}

impl Shared {
    /// With `gauge`, a limit that has a name is shown under it.
    pub(crate) fn new(config: &LimitConfig, gauge: bool) -> Self {
        let gauge = gauge && config.name.is_some();
        let name = config.name.clone().unwrap_or_else(|| Arc::from("default"));
        Self { estimator: Arc::new(Estimator::new(config.rule)), telemetry: Telemetry::new(name, gauge) }
    }

    /// The same limit, told of under another name.
    pub(crate) fn renamed(&self, name: Arc<str>) -> Self {
        Self { estimator: Arc::clone(&self.estimator), telemetry: Telemetry::new(name, true) }
    }

    /// The limit of a call that begins to wait now; `None` when it may wait for ever.
    pub(crate) fn limit(&self, now: Instant) -> Option<Duration> {
        Some(match &*self.estimator {
            Estimator::Unlimited => return None,
            Estimator::Fixed(limit) => *limit,
            Estimator::Multiple { multiple, buckets, origin } => multiple.limit(buckets.tick(*origin, now).0),
            Estimator::Rfc6298(rfc) => rfc.limit(),
        })
    }

    /// Shows the limit. Only calls do: a look at it, at start-up say, would come before the program's recorder.
    pub(crate) fn show(&self, now: Instant) {
        self.telemetry.limit_is(|| self.limit(now));
    }

    /// Whether only a deadline ends a call.
    pub(crate) fn is_unlimited(&self) -> bool {
        matches!(*self.estimator, Estimator::Unlimited)
    }

    /// Whether latencies matter: a clock need not be read for a limit that never changes.
    pub(crate) fn learns(&self) -> bool {
        matches!(*self.estimator, Estimator::Multiple { .. } | Estimator::Rfc6298(_))
    }

    /// A call succeeded after it had waited for `latency`.
    pub(crate) fn success(&self, now: Instant, latency: Duration, is_retry: bool) {
        match &*self.estimator {
            Estimator::Unlimited | Estimator::Fixed(_) => {}
            Estimator::Multiple { multiple, buckets, origin } => {
                multiple.success(buckets.tick(*origin, now).0, latency);
            }
            // Karn's rule: nobody can tell which of the attempts an answer belongs to.
            Estimator::Rfc6298(_) if is_retry => {}
            Estimator::Rfc6298(rfc) => rfc.success(latency),
        }
    }

    /// A call succeeded, but only after its `limit`: its latency is the pause of this process, and no sample. To RFC 6298 it is
    /// nothing at all, for the timer that would have doubled the limit has not fired.
    pub(crate) fn late(&self, now: Instant, limit: Duration) {
        if let Estimator::Multiple { multiple, buckets, origin } = &*self.estimator {
            multiple.late(buckets.tick(*origin, now).0, limit);
        }
    }

    /// A call did not end within `limit`.
    pub(crate) fn timeout(&self, now: Instant, limit: Duration) {
        match &*self.estimator {
            Estimator::Unlimited | Estimator::Fixed(_) => {}
            Estimator::Multiple { multiple, buckets, origin } => multiple.timeout(buckets.tick(*origin, now).0, limit),
            Estimator::Rfc6298(rfc) => rfc.timeout(limit),
        }
    }

    /// A call was given up, by no fault of its own, after it had waited for `waited`.
    pub(crate) fn interrupted(&self, now: Instant, waited: Duration) {
        if let Estimator::Multiple { multiple, buckets, origin } = &*self.estimator {
            multiple.interrupted(buckets.tick(*origin, now).0, waited);
        }
    }

    pub(crate) fn snapshot(&self, now: Instant) -> LimitSnapshot {
        let limit = self.limit(now).unwrap_or(Duration::MAX);
        let seconds = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        match &*self.estimator {
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
    fn new(rule: Rule) -> Self {
        let multiple = |source, rule: MultipleRule| Self::Multiple {
            multiple: Multiple::new(source, rule.factor, rule.bounds, rule.cold_start, SLICES),
            buckets: rule.buckets,
            origin: CLOCK.now(),
        };
        match rule {
            Rule::Unlimited => Self::Unlimited,
            Rule::Fixed(limit) => Self::Fixed(limit),
            Rule::Quantile { quantile, multiple: rule } => {
                let source = LatencyQuantile::new(quantile, rule.minimum_samples, SLICES);
                multiple(Source::Quantile(source), rule)
            }
            Rule::Ewma { weight, multiple: rule } => {
                multiple(Source::Ewma(EwmaEstimator::new(weight, rule.minimum_samples, SLICES)), rule)
            }
            Rule::Rfc6298 { bounds, granularity, initial } => {
                Self::Rfc6298(Rfc6298Estimator::new(bounds, granularity, initial))
            }
        }
    }
}
