//! Detectors that wait for a margin beyond the expected arrival.

use std::{
    cmp::Ordering,
    sync::Arc,
    time::{Duration, Instant},
};

use steadfast_core::ConfigError;

use crate::{
    Calibration, Heard, Heartbeat, MarginConfig,
    calibration::{Asked, Calibrator},
    curve::{Curve, Shape},
    estimator::Circumstances,
    expected::Schedule,
    overtaken::Order,
    units::{nanoseconds, nanoseconds_up, seconds, whole_nanoseconds},
};

/// A detector of one peer that waits for a margin beyond the expected arrival. It reads no clock.
///
/// Its suspicion is the time since the expected arrival in multiples of the margin: 1 at the
/// deadline. A clock that goes back stands still until it is where it was.
///
/// ```
/// use std::time::{Duration, Instant};
/// use steadfast_phi::{Heard, Heartbeat, Margin, MarginConfig, MarginDetector, MistakeRate};
///
/// const HOUR: Duration = Duration::from_secs(3600);
/// let (period, start) = (Duration::from_millis(100), Instant::now());
/// let hourly = Margin::Calibrated(MistakeRate::once_in(HOUR));
/// let mut detector = MarginDetector::new(MarginConfig::two_windows(period, hourly).weighted())?;
/// for beat in 0..10 {
///     let arrival = start + beat * period;
///     detector.heartbeat(Heartbeat::new().sequence(beat.into()), arrival);
/// }
/// // The next is expected after a period, and the margin has learnt nothing yet.
/// let last = start + 9 * period;
/// assert!(detector.deadline() > Some(last + 2 * period));
/// let late = last + 10 * period;
/// assert_eq!(detector.heartbeat(Heartbeat::new().sequence(19), late), Heard::Mistake);
/// assert!(detector.margin() > 3 * period);
/// # Ok::<(), steadfast_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MarginDetector {
    rules: Arc<MarginRules>,
    last: Option<Instant>,
    learnt: MarginLearnt,
}

/// What all peers of a configuration have in common.
#[derive(Clone, Debug)]
pub(crate) struct MarginRules {
    period_ns: i64,
    margin: Margin,
}

/// The margin.
#[derive(Clone, Debug)]
enum Margin {
    /// Seconds.
    Constant(f64),
    Calibrated(Asked),
}

/// What was learnt of one peer, but for when it was heard last.
#[derive(Clone, Debug)]
pub(crate) struct MarginLearnt {
    incarnation: u64,
    schedule: Schedule,
    /// Left alone where the margin is constant.
    calibrator: Calibrator,
}

impl MarginDetector {
    /// No heartbeat was heard yet.
    ///
    /// # Errors
    /// When a number is outside the range its setter names.
    pub fn new(config: MarginConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let rules = MarginRules::new(&config);
        Ok(Self { last: None, learnt: rules.begin(&config), rules: Arc::new(rules) })
    }

    /// A heartbeat arrived `now`.
    ///
    /// One of an earlier incarnation, or with a number not above the highest of its own, is
    /// [`Stale`](Heard::Stale) and proves nothing: a sender that counts anew should say so by its
    /// incarnation, and is otherwise [found out](Heartbeat::sequence). One without a number among
    /// others that have some proves life, and is no sample of when they arrive.
    ///
    /// One that arrives at the deadline itself is a [`Mistake`](Heard::Mistake): it was due.
    pub fn heartbeat(&mut self, heartbeat: Heartbeat, now: Instant) -> Heard {
        let interval_ns = self.interval_ns(now);
        let convicted = self.span_ns(1.0).is_some_and(|ns| interval_ns >= ns);
        self.hear(heartbeat, now, Circumstances { convicted, paused: false })
    }

    fn hear(&mut self, heartbeat: Heartbeat, now: Instant, circumstances: Circumstances) -> Heard {
        let since = self.last.map(|_| self.interval_ns(now));
        let heard = self.learnt.hear(&self.rules, heartbeat, since, circumstances);
        if heard != Heard::Stale {
            // A clock that goes back stands still.
            self.last = Some(self.last.map_or(now, |last| last.max(now)));
        }
        heard
    }

    /// When the next heartbeat is expected; `None` before the first one. With a window longer than
    /// one heartbeat, that can be before the last arrival.
    #[must_use]
    pub fn expected(&self) -> Option<Instant> {
        let location = self.learnt.schedule.location(self.rules.period_ns);
        let ns = Duration::from_nanos(nanoseconds(location.abs())?);
        if location < 0.0 { self.last?.checked_sub(ns) } else { self.last?.checked_add(ns) }
    }

    /// How long beyond that the peer may be silent.
    #[must_use]
    pub fn margin(&self) -> Duration {
        Duration::from_nanos(nanoseconds(self.seconds()).unwrap_or(u64::MAX))
    }

    /// When the peer is convicted if no heartbeat arrives: the margin after the expected arrival,
    /// and not before the last one. `None` before the first heartbeat.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.suspect_at(1.0)
    }

    /// The suspicion `now`, in multiples of the margin: 0 before the first heartbeat and until the
    /// next is expected, 1 at the deadline.
    #[must_use]
    pub fn phi(&self, now: Instant) -> f64 {
        self.last.map_or(0.0, |_| self.curve().phi(seconds(self.interval_ns(now))))
    }

    /// When the suspicion reaches `threshold` if no heartbeat arrives; `None` before the first
    /// heartbeat, and for thresholds that are never reached.
    #[must_use]
    pub fn suspect_at(&self, threshold: f64) -> Option<Instant> {
        self.last?.checked_add(Duration::from_nanos(self.span_ns(threshold)?))
    }

    /// What the calibration has to show; `None` where the margin is constant.
    #[must_use]
    pub fn calibration(&self) -> Option<Calibration> {
        self.learnt.calibration(&self.rules)
    }

    fn curve(&self) -> Curve {
        self.learnt.curve(&self.rules)
    }

    fn seconds(&self) -> f64 {
        self.learnt.margin(&self.rules)
    }

    /// From the last arrival until the suspicion reaches `phi`.
    fn span_ns(&self, phi: f64) -> Option<u64> {
        if phi.is_nan() { None } else { nanoseconds_up(self.curve().silence(phi)?) }
    }

    /// From the last arrival to `now`; zero where there was none, or the clock went back.
    fn interval_ns(&self, now: Instant) -> u64 {
        let interval = self.last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        whole_nanoseconds(interval)
    }
}

impl MarginRules {
    /// Of a configuration that was checked.
    pub(crate) fn new(config: &MarginConfig) -> Self {
        let margin = config.margin().map_or_else(Margin::Calibrated, Margin::Constant);
        Self { period_ns: config.period_ns(), margin }
    }

    /// Nothing was learnt yet.
    pub(crate) fn begin(&self, config: &MarginConfig) -> MarginLearnt {
        let first = match &self.margin {
            Margin::Constant(margin) => *margin,
            Margin::Calibrated(asked) => asked.first,
        };
        let (schedule, calibrator) = (config.schedule(), Calibrator::new(first));
        MarginLearnt { incarnation: 0, schedule, calibrator }
    }
}

impl MarginLearnt {
    /// A heartbeat arrived so many nanoseconds after the last one, `None` if it is the first. Where
    /// the observer itself stood still, the time was not watched, and the arrival is no sample.
    /// (That the peer was convicted is a mistake all the same: a pause of the observer's convicts
    /// none, so the conviction was made before it or after it.)
    pub(crate) fn hear(
        &mut self,
        rules: &MarginRules,
        heartbeat: Heartbeat,
        since_ns: Option<u64>,
        Circumstances { convicted, paused }: Circumstances,
    ) -> Heard {
        let number = heartbeat.number();
        let order = match heartbeat.run().cmp(&self.incarnation) {
            _ if since_ns.is_none() => Order::Anew,
            Ordering::Less => Order::Stale,
            Ordering::Equal => self.schedule.order(number),
            Ordering::Greater => Order::Anew,
        };
        match order {
            Order::Next => {}
            Order::Stale => return Heard::Stale,
            Order::Anew => {
                self.incarnation = heartbeat.run();
                self.schedule.restart(number);
                return if since_ns.is_none() { Heard::First } else { Heard::Restarted };
            }
        }
        let interval_ns = since_ns.unwrap_or(0);
        if let Margin::Calibrated(asked) = &rules.margin {
            self.calibrator.watch(asked, if paused { 0 } else { interval_ns }, convicted);
        }
        let signed_ns = i64::try_from(interval_ns).unwrap_or(i64::MAX);
        self.schedule.hear(rules.period_ns, number, signed_ns, !paused);
        if convicted { Heard::Mistake } else { Heard::OnTime }
    }

    /// The location is negative where the next heartbeat was expected before the last arrival: then
    /// there is suspicion as soon as it has arrived.
    pub(crate) fn curve(&self, rules: &MarginRules) -> Curve {
        let location = self.schedule.location(rules.period_ns);
        Curve { shape: Shape::Margin, location, scale: self.margin(rules) }
    }

    /// What the calibration has to show; `None` where the margin is constant.
    pub(crate) fn calibration(&self, rules: &MarginRules) -> Option<Calibration> {
        let Margin::Calibrated(asked) = &rules.margin else { return None };
        Some(self.calibrator.state(asked, self.curve(rules).silence(1.0)?))
    }

    /// In seconds.
    fn margin(&self, rules: &MarginRules) -> f64 {
        match &rules.margin {
            Margin::Constant(margin) => *margin,
            Margin::Calibrated(asked) => self.calibrator.margin(asked),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp, clippy::cast_precision_loss, reason = "tests")]
mod tests;
