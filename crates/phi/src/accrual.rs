//! φ of one peer.

mod history;

#[cfg(test)]
mod tests;

use std::{
    cmp::Ordering,
    sync::Arc,
    time::{Duration, Instant},
};

use steadfast_core::ConfigError;

use self::history::History;
use crate::{
    Distribution, Heard, Heartbeat, Outliers, PhiConfig, Prior,
    curve::{Curve, Shape},
    estimator::Circumstances,
    overtaken::{Order, Overtaken},
    units::{nanoseconds_up, whole_nanoseconds},
    window::Moments,
};

/// Below this φ no interval is clamped; see [`Outliers::ClampConvicted`].
const LEAST_CLAMP: f64 = 3.0;

/// The least scale of a curve: the mean of heartbeats that all came at one instant is zero.
const LEAST_SCALE: f64 = 1e-6;

/// A φ-accrual detector of one peer: how unlikely the present silence is, judged by the intervals
/// between the heartbeats so far. It reads no clock.
///
/// A heartbeat and a query take constant time. It takes 112 bytes, and with a window about 80 and
/// four for each sample more; clones of one detector share their configuration.
///
/// ```
/// use std::time::{Duration, Instant};
/// use steadfast_phi::{PhiAccrual, PhiConfig};
///
/// let mut peer = PhiAccrual::new(PhiConfig::cassandra()).unwrap();
/// let start = Instant::now();
/// for second in 0..100 {
///     peer.heartbeat(start + Duration::from_secs(second));
/// }
/// let last = start + Duration::from_secs(99);
/// assert!(peer.phi(last + Duration::from_secs(1)) < 0.5);
/// // φ = 8 is 18.4 mean intervals; the first of them was taken to be two seconds.
/// let dead = peer.suspect_at(8.0).unwrap();
/// assert_eq!((dead - last).as_millis(), 18_604);
/// assert!(peer.phi(dead + Duration::from_millis(1)) >= 8.0);
/// ```
#[derive(Clone, Debug)]
pub struct PhiAccrual {
    settings: Arc<PhiRules>,
    learnt: PhiLearnt,
    /// Of the history, and of the prior while that counts.
    moments: Moments,
    /// The latest instant that a heartbeat arrived at.
    last: Option<Instant>,
}

/// What was learnt of one peer, but for when it was heard last.
#[derive(Clone, Debug)]
pub(crate) struct PhiLearnt {
    history: History,
    incarnation: u64,
    /// The highest number heard from this incarnation, and whether there was one.
    highest: u64,
    numbered: bool,
    overtaken: Overtaken,
}

/// A configuration that was checked, in the units that are calculated with.
#[derive(Debug)]
pub(crate) struct PhiRules {
    shape: Shape,
    exponential: bool,
    pause: f64,
    minimum_deviation: f64,
    first_interval: f64,
    /// The prior counts while there are fewer samples.
    until: u32,
    /// The score of the threshold: how many scales of silence above the location it is.
    convicted: f64,
    /// The same of the silence at which [`Outliers::ClampConvicted`] clamps.
    clamped: f64,
    outliers: Outliers,
}

impl PhiAccrual {
    /// No heartbeat was heard yet.
    ///
    /// # Errors
    /// When a number is outside the range its setter names.
    pub fn new(config: PhiConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let (settings, learnt) = (PhiRules::new(&config), PhiLearnt::new(&config));
        let moments = settings.moments(&learnt.history);
        Ok(Self { settings: Arc::new(settings), learnt, moments, last: None })
    }

    /// A heartbeat without a number arrived `now`.
    ///
    /// One that is told of after a later one (two threads took their instants in one order and came
    /// in the other; a clock went back) counts as an interval of zero, and the silence goes on from
    /// the later instant. So the intervals still add up to the time that passed.
    #[inline]
    pub fn heartbeat(&mut self, now: Instant) -> Heard {
        self.heartbeat_with(Heartbeat::new().incarnation(self.learnt.incarnation), now)
    }

    /// A heartbeat arrived `now` that says more of itself.
    ///
    /// One of an earlier incarnation, or with a number not above the highest of its incarnation, is
    /// [`Stale`](Heard::Stale) and proves nothing: it left its sender before one that was heard
    /// already. (A sender that counts anew within an incarnation is
    /// [found out](Heartbeat::sequence).) The first of a later incarnation is
    /// [`Restarted`](Heard::Restarted): the time that its sender was gone is no sample, and what
    /// was learnt stays. A gap in the numbers is no
    /// matter: what counts is how long the peer is silent.
    pub fn heartbeat_with(&mut self, heartbeat: Heartbeat, now: Instant) -> Heard {
        let since = self.last.map(|last| nanos(now.saturating_duration_since(last)));
        // Without a verdict of an observer's, the silence itself convicts.
        let convicted = since.is_some_and(|silence| {
            let due = nanoseconds_up(self.curve().silence_at(self.settings.convicted));
            due.is_some_and(|due| silence.unsigned_abs() >= due)
        });
        self.hear(heartbeat, now, since, Circumstances { convicted, paused: false })
    }

    #[inline]
    fn hear(
        &mut self,
        heartbeat: Heartbeat,
        now: Instant,
        since: Option<i64>,
        circumstances: Circumstances,
    ) -> Heard {
        let heard = self.learnt.hear(&self.settings, heartbeat, since, circumstances);
        if heard == Heard::Stale {
            return heard;
        }
        self.last = Some(self.last.map_or(now, |last| last.max(now)));
        if matches!(heard, Heard::OnTime | Heard::Mistake) {
            self.moments = self.settings.moments(&self.learnt.history);
        }
        heard
    }

    /// The suspicion `now`: 0 before the first heartbeat. Never NaN, finite, at most the cap, and
    /// never less for a later `now`. Before the last heartbeat it is what it was at it.
    #[must_use]
    pub fn phi(&self, now: Instant) -> f64 {
        if self.last.is_none() {
            return 0.0;
        }
        self.curve().phi(seconds(self.silence(now)))
    }

    /// When φ reaches `threshold` if no heartbeat arrives: the inverse of [`phi`](Self::phi).
    /// Rounded up to a nanosecond: a heartbeat at this instant or after it is late. `None` before
    /// the first heartbeat, for thresholds above the cap and NaN, and for instants that the clock
    /// cannot tell.
    #[must_use]
    pub fn suspect_at(&self, threshold: f64) -> Option<Instant> {
        if threshold.is_nan() {
            return None;
        }
        let ns = nanoseconds_up(self.curve().silence(threshold)?)?;
        self.last?.checked_add(Duration::from_nanos(ns))
    }

    /// When the last heartbeat arrived.
    #[must_use]
    pub const fn last(&self) -> Option<Instant> {
        self.last
    }

    /// How many intervals the history holds, seeds among them: at most as many as the window.
    #[must_use]
    pub const fn samples(&self) -> u32 {
        self.moments.count
    }

    /// The mean interval, that of the prior included while that counts. The acceptable pause is not
    /// in it.
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.moments.mean)
    }

    /// The standard deviation (of the population) that φ is calculated with: at least the minimum.
    #[must_use]
    pub fn deviation(&self) -> Duration {
        Duration::from_secs_f64(self.moments.deviation.max(self.settings.minimum_deviation))
    }

    fn curve(&self) -> Curve {
        self.settings.curve(self.moments)
    }

    /// Nanoseconds since the last heartbeat.
    fn silence(&self, now: Instant) -> i64 {
        self.last.map_or(0, |last| nanos(now.saturating_duration_since(last)))
    }
}

impl PhiLearnt {
    /// Nothing but the prior.
    pub(crate) fn new(config: &PhiConfig) -> Self {
        Self {
            history: History::new(config),
            incarnation: 0,
            highest: 0,
            numbered: false,
            overtaken: Overtaken::default(),
        }
    }

    /// A heartbeat arrived so many nanoseconds after the last one, `None` if it is the first.
    #[inline]
    pub(crate) fn hear(
        &mut self,
        rules: &PhiRules,
        heartbeat: Heartbeat,
        since: Option<i64>,
        Circumstances { convicted, paused }: Circumstances,
    ) -> Heard {
        let Some(interval) = since else {
            self.begin(heartbeat);
            return Heard::First;
        };
        let order = match heartbeat.run().cmp(&self.incarnation) {
            Ordering::Less => Order::Stale,
            Ordering::Equal => {
                let highest = self.numbered.then_some(self.highest);
                self.overtaken.order(heartbeat.number(), highest)
            }
            Ordering::Greater => Order::Anew,
        };
        match order {
            Order::Next => {}
            Order::Stale => return Heard::Stale,
            Order::Anew => {
                self.begin(heartbeat);
                return Heard::Restarted;
            }
        }
        if let Some(number) = heartbeat.number() {
            (self.highest, self.numbered) = (number, true);
        }
        if !paused && let Some(sample) = self.sample(rules, interval, convicted) {
            self.history.push(sample);
        }
        if convicted { Heard::Mistake } else { Heard::OnTime }
    }

    /// The first heartbeat of a sender, or of one that begins again.
    #[cold]
    fn begin(&mut self, heartbeat: Heartbeat) {
        self.incarnation = heartbeat.run();
        self.numbered = heartbeat.number().is_some();
        self.highest = heartbeat.number().unwrap_or(0);
        self.overtaken = Overtaken::default();
    }

    /// How suspicion grows with the silence since the last heartbeat.
    pub(crate) fn curve(&self, rules: &PhiRules) -> Curve {
        rules.curve(rules.moments(&self.history))
    }

    /// What the history is told of an interval, in nanoseconds; `None` if nothing.
    fn sample(&self, rules: &PhiRules, interval: i64, convicted: bool) -> Option<i64> {
        match rules.outliers {
            Outliers::Keep => Some(interval),
            Outliers::ClampConvicted if convicted => {
                let most = self.curve(rules).silence_at(rules.clamped) * 1e9;
                Some(interval.min(most as i64))
            }
            Outliers::ClampConvicted => Some(interval),
            Outliers::SkipConvicted => (!convicted).then_some(interval),
            Outliers::DropAbove(most) => (interval <= nanos(most)).then_some(interval),
            Outliers::ClampTo(most) => Some(interval.min(nanos(most))),
        }
    }
}

impl PhiRules {
    /// How suspicion grows with the silence since the last heartbeat.
    fn curve(&self, Moments { mean, deviation, .. }: Moments) -> Curve {
        let (location, scale) = if self.exponential {
            (self.pause, mean.max(LEAST_SCALE))
        } else {
            (mean + self.pause, deviation.max(self.minimum_deviation))
        };
        Curve { shape: self.shape, location, scale }
    }

    /// Of a configuration that was checked.
    pub(crate) fn new(config: &PhiConfig) -> Self {
        Self {
            shape: Shape::Phi { distribution: config.distribution, cap: config.cap },
            exponential: config.distribution == Distribution::Exponential,
            pause: config.acceptable_pause.as_secs_f64(),
            minimum_deviation: config.minimum_deviation.as_secs_f64(),
            first_interval: config.first_interval.as_secs_f64(),
            until: match config.prior {
                Prior::Until(samples) => samples.min(history::limit(config)),
                Prior::TwoSamples | Prior::OneSample => 0,
            },
            convicted: config.distribution.score(config.threshold),
            clamped: config.distribution.score(config.threshold.max(LEAST_CLAMP)),
            outliers: config.outliers,
        }
    }

    /// Mean and deviation of the history, with the prior's two samples beside it while they count.
    fn moments(&self, history: &History) -> Moments {
        let own = history.moments();
        if own.count >= self.until {
            return own;
        }
        // The variance of two groups together is that within them and that between them: a sum
        // of squares, so no digits are lost.
        let (count, all) = (f64::from(own.count), f64::from(own.count) + 2.0);
        let apart = own.mean - self.first_interval;
        let within = count * own.deviation.powi(2) + 2.0 * (self.first_interval / 4.0).powi(2);
        let between = 2.0 * count / all * apart.powi(2);
        Moments {
            count: own.count,
            mean: (count * own.mean + 2.0 * self.first_interval) / all,
            deviation: ((within + between) / all).sqrt(),
        }
    }
}

/// A span in nanoseconds, at most 292 years, for which a signed number is converted in one
/// instruction.
fn nanos(span: Duration) -> i64 {
    i64::try_from(whole_nanoseconds(span)).unwrap_or(i64::MAX)
}

/// A span in seconds, without the division of `as_secs_f64`.
fn seconds(nanos: i64) -> f64 {
    nanos as f64 * 1e-9
}
