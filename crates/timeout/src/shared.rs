//! The state behind a limit, shared by all its handles and calls.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use steadfast_core::{
    Deadline, TimeSource,
    parts::{Buckets, QuantileConfig, Tick, Ticks},
};

use crate::{
    config::{Kind, LimitConfig, MultipleRule, Settings},
    cuts::CutRun,
    ewma::EwmaEstimator,
    explorers::{Expiry, Exploration},
    multiple::{Multiple, Source},
    numbers::Fixed,
    rfc6298::Rfc6298Estimator,
    snapshot::LimitSnapshot,
    sync::Mutex,
    telemetry::Telemetry,
};

/// Latency is measured by the fine clock only; a coarse one is blind to most of it.
pub(crate) const CLOCK: TimeSource = TimeSource::Tokio;

/// What finds the limit, and what is told about it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) estimator: Estimator,
    /// Limits that are kept by key share it.
    pub(crate) telemetry: Arc<Telemetry>,
    /// Whether a failure at the deadline is judged as a cut.
    judges: bool,
    /// What all this was made from, or changed to. No call reads it.
    pub(crate) config: Mutex<LimitConfig>,
}

#[derive(Debug)]
pub(crate) enum Estimator {
    Fixed(Fixed),
    Multiple(Multiple, Ticks, Box<CutRun>),
    Rfc6298(Rfc6298Estimator),
}

impl Shared {
    /// `settings` are those of `config`.
    pub(crate) fn new(config: LimitConfig, settings: Settings, telemetry: Arc<Telemetry>) -> Self {
        let estimator = Estimator::new(settings);
        Self { estimator, telemetry, judges: true, config: Mutex::new(config) }
    }

    /// No limit at all: deadlines are kept, and every other end of a call is left as it is.
    #[cfg(feature = "http")]
    pub(crate) fn only_deadlines(telemetry: Arc<Telemetry>) -> Self {
        let (config, endless) = (LimitConfig::fixed(Duration::MAX), Settings::Fixed(Duration::MAX));
        Self { judges: false, ..Self::new(config, endless, telemetry) }
    }

    /// The limit of a call that begins to wait now.
    pub(crate) fn limit(&self, now: Instant) -> Duration {
        match &self.estimator {
            Estimator::Fixed(fixed) => fixed.limit(),
            Estimator::Multiple(multiple, ticks, _) => multiple.limit(ticks.at(now)),
            Estimator::Rfc6298(rfc) => rfc.limit(),
        }
    }

    /// Whether only a deadline ends a call.
    pub(crate) fn is_endless(&self) -> bool {
        matches!(&self.estimator, Estimator::Fixed(fixed) if fixed.is_endless())
    }

    /// Whether a failure at the deadline is judged as a cut. Not where no classifier is asked.
    pub(crate) const fn judges(&self) -> bool {
        self.judges
    }

    /// Shows the limit. Only calls do: a look at it, at start-up say, would come before the
    /// program's recorder.
    pub(crate) fn show(&self, now: Instant) {
        self.telemetry.limit_is(|| self.shown(self.limit(now)));
    }

    /// The same where the limit is known.
    #[inline]
    pub(crate) fn shows(&self, limit: Duration) {
        self.telemetry.limit_is(|| self.shown(limit));
    }

    /// There is no number of seconds to show where a request may wait for ever: zero, which is what
    /// a gauge shows that has shown nothing yet, and then is not there.
    fn shown(&self, limit: Duration) -> Duration {
        if self.is_endless() { Duration::ZERO } else { limit }
    }

    /// Whether latencies matter: a clock need not be read for a limit that never changes.
    pub(crate) const fn learns(&self) -> bool {
        matches!(self.estimator, Estimator::Multiple(..) | Estimator::Rfc6298(_))
    }

    /// A call succeeded after it had waited for `latency`.
    pub(crate) fn success(&self, now: Instant, latency: Duration, is_retry: bool) {
        if let Some((multiple, tick)) = self.multiple(now) {
            multiple.success(tick, latency);
        } else if let Estimator::Rfc6298(rfc) = &self.estimator
            // Karn's rule: an answer may belong to any of the attempts.
            && !is_retry
        {
            rfc.success(latency);
        }
    }

    /// A call succeeded, but only after its limit: its latency is the pause of this process, and
    /// no sample. To RFC 6298 it is nothing at all, for the timer that would have doubled the limit
    /// has not fired.
    pub(crate) fn late(&self) {
        if let Estimator::Multiple(multiple, _, run) = &self.estimator {
            multiple.answered();
            run.interrupt();
        }
    }

    /// The service has given an answer that is no success, and yet shows it to be alive.
    pub(crate) fn replied(&self) {
        if let Estimator::Multiple(.., run) = &self.estimator {
            run.interrupt();
        }
    }

    /// A call was cut by its caller's deadline after it had waited for `waited`, or failed just
    /// then. Whether that is the service's failure: a limit that does not learn, or knows no spread
    /// but its own limit's, cannot tell.
    pub(crate) fn cut(&self, now: Instant, waited: Duration) -> bool {
        match &self.estimator {
            Estimator::Multiple(multiple, ticks, run) => multiple.cut(now, waited, ticks, run),
            _ => false,
        }
    }

    /// A call has waited for `limit` since `since`, and may wait for `most` in all by its deadline:
    /// whether it may go on.
    pub(crate) fn expired(
        &self,
        since: Instant,
        limit: Duration,
        most: Duration,
    ) -> Option<Exploration> {
        // A timer fires at its instant or a little later, unless the process stood still.
        let now = Deadline::after(since, limit).instant();
        match &self.estimator {
            Estimator::Fixed(_) => None,
            Estimator::Multiple(multiple, ticks, _) => {
                let waited = CLOCK.now().saturating_duration_since(since);
                multiple.expired(&Expiry { tick: ticks.at(now), now, limit, waited, most })
            }
            Estimator::Rfc6298(rfc) => {
                rfc.timeout(limit);
                None
            }
        }
    }

    /// A call that is measured elsewhere did not end within `limit`.
    pub(crate) fn unexplored(&self, now: Instant, limit: Duration) {
        if let Some((multiple, tick)) = self.multiple(now) {
            multiple.unexplored(tick, limit);
        } else if let Estimator::Rfc6298(rfc) = &self.estimator {
            rfc.timeout(limit);
        }
    }

    /// An explorer has ended after `waited`, and gives its place back.
    pub(crate) fn explorer_ended(&self, exploration: &Exploration, waited: Duration) {
        if let Estimator::Multiple(multiple, ..) = &self.estimator {
            multiple.ended(exploration, waited);
        }
    }

    /// An explorer has waited in vain for as long as it may.
    pub(crate) fn explorer_in_vain(&self, now: Instant, exploration: &Exploration) {
        if let Estimator::Multiple(multiple, ..) = &self.estimator {
            multiple.in_vain(exploration, now);
        }
    }

    /// An explorer that has ended had succeeded after `latency`.
    pub(crate) fn explorer_found(&self, now: Instant, latency: Duration) {
        if let Some((multiple, tick)) = self.multiple(now) {
            multiple.found(tick, latency);
        }
    }

    pub(crate) fn snapshot(&self, now: Instant) -> LimitSnapshot {
        let limit = self.limit(now);
        let seconds = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let mut snapshot = LimitSnapshot {
            limit,
            estimate: None,
            samples: 0,
            held: None,
            explorations: 0,
            doublings: 0,
        };
        if let Some((multiple, tick)) = self.multiple(now) {
            snapshot.estimate = multiple.estimate(tick).map(seconds);
            snapshot.samples = multiple.samples(tick);
            snapshot.held = multiple.held(tick).map(seconds);
            snapshot.explorations = multiple.explorations();
        } else if let Estimator::Rfc6298(rfc) = &self.estimator {
            snapshot.estimate = rfc.srtt().map(seconds);
            snapshot.doublings = rfc.doublings();
        }
        snapshot
    }

    /// The multiple of an estimate, if that is the rule, and its tick.
    fn multiple(&self, now: Instant) -> Option<(&Multiple, Tick)> {
        match &self.estimator {
            Estimator::Multiple(multiple, ticks, _) => Some((multiple, ticks.at(now))),
            _ => None,
        }
    }
}

impl Estimator {
    fn new(settings: Settings) -> Self {
        match settings {
            Settings::Fixed(limit) => Self::Fixed(Fixed::new(limit)),
            Settings::Multiple(rule, buckets) => Self::multiple(rule, buckets),
            Settings::Rfc6298(rule) => Self::Rfc6298(Rfc6298Estimator::new(
                rule.bounds,
                rule.granularity,
                rule.cold_start(),
            )),
        }
    }

    fn multiple(rule: MultipleRule, buckets: Buckets) -> Self {
        let MultipleRule { kind, estimate, factor, explore, .. } = rule;
        let window = buckets.number();
        let source = match kind {
            Kind::Quantile(quantile) => {
                Source::Quantile(QuantileConfig { quantile, estimate }.latencies())
            }
            Kind::Ewma { weight } => {
                Source::Ewma(EwmaEstimator::new(weight, estimate.minimum_samples, window))
            }
        };
        let multiple = Multiple::new(source, factor, estimate.bounds, rule.cold_start(), window);
        let multiple = if explore { multiple } else { multiple.without_explorers() };
        Self::Multiple(multiple, Ticks::start(CLOCK, buckets), Box::new(CutRun::new()))
    }
}
