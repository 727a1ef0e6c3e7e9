//! How a detector is made.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
    time::Duration,
};

use steadfast_core::{ConfigError, HandleName};

use crate::{
    MarginConfig, PhiConfig,
    curve::Shape,
    estimator::{Estimator, Rules},
    status::{Level, Standing},
};

/// How the suspicion of each peer is calculated.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Method {
    /// φ of a distribution.
    Phi(PhiConfig),
    /// A margin beyond the expected arrival; φ is then in multiples of the margin, and the
    /// threshold is 1.
    Margin(MarginConfig),
}

/// How peers are watched: plain data, checked by [`Detector::new`](crate::Detector::new) and
/// [`Peer::new`](crate::Peer::new).
#[derive(Clone, Debug)]
#[must_use = "a configuration does nothing until a detector is made of it"]
pub struct DetectorConfig {
    method: Method,
    suspect: f64,
    trust_after: NonZeroU32,
    capacity: NonZeroUsize,
    local_pause: Duration,
    trial_interval: Duration,
    name: Option<Arc<str>>,
}

/// A process that stands still for longer than this between two looks is not watched by anything.
/// The runtime's timer counts in milliseconds and is late by one or two when all is well: taken for
/// pauses, these would keep every peer from being convicted.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// A configuration that was checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The method, and what it knows of a peer that was never heard.
    pub(crate) rules: Arc<Rules>,
    pub(crate) estimator: Estimator,
    /// The suspicion at which a peer is suspected.
    pub(crate) suspect: f64,
    /// The suspicion at which a peer is convicted.
    pub(crate) convict: f64,
    pub(crate) trust_after: NonZeroU32,
    pub(crate) capacity: NonZeroUsize,
    pub(crate) local_pause: Duration,
    /// How long after a trial the next may be sent.
    pub(crate) trial_interval: Duration,
    /// What the curves of all peers have in common.
    pub(crate) shape: Shape,
    /// Of the two thresholds in that shape, so that a deadline is one multiplication away.
    scores: [Option<f64>; 2],
    /// Whether there is a calibration to be shown.
    pub(crate) is_calibrated: bool,
    pub(crate) name: Arc<str>,
    /// The same, for refusals.
    pub(crate) handle: Option<HandleName>,
}

impl DetectorConfig {
    /// Suspected at half the threshold, trusted again after two heartbeats, at most 10,000 peers,
    /// a local pause from 100 ms on, and a trial each second.
    pub fn new(method: impl Into<Method>) -> Self {
        Self {
            method: method.into(),
            suspect: 0.5,
            trust_after: NonZeroU32::new(2).expect("two"),
            capacity: NonZeroUsize::new(10_000).expect("ten thousand"),
            local_pause: Duration::from_millis(100),
            trial_interval: Duration::from_secs(1),
            name: None,
        }
    }

    /// The share of the threshold at which a peer is suspected: above 0, at most 1.
    pub const fn suspect(mut self, share: f64) -> Self {
        self.suspect = share;
        self
    }

    /// How many heartbeats in a row, each on time, make a convicted peer trusted again: at most
    /// 2^30 − 1, 2 by default. They come after the one that ended the conviction, and on time is
    /// one that comes before the peer would be suspected. One alone may have waited in a queue.
    pub const fn trust_after(mut self, heartbeats: NonZeroU32) -> Self {
        self.trust_after = heartbeats;
        self
    }

    /// How many peers there may be.
    pub const fn capacity(mut self, peers: NonZeroUsize) -> Self {
        self.capacity = peers;
        self
    }

    /// How late the detector's own timer must be for this process to have stood still: 10 ms to
    /// an hour, 100 ms by default.
    ///
    /// A detector that was stopped, starved or suspended hears no heartbeats, and would convict
    /// all of its peers when it goes on. So a timer that is later than this convicts none of them:
    /// all silence counts from now, the interval that spans the pause is no sample and no mistake,
    /// and the pause is counted. The same if a heartbeat or a reader comes before the late timer.
    /// It needs a timer: some [`Transitions`](crate::Transitions) that is being polled.
    ///
    /// The default: a lateness below it is silence that is blamed on the peers, so it should be
    /// short beside a deadline (a second and more); one above it puts convictions off by a
    /// deadline, so it should be rare. A thread that shares its core waits for a few time slices,
    /// 10 to 50 ms, and a container over its quota for the rest of a period of 100 ms.
    /// (Cassandra takes 5 s, `MAX_LOCAL_PAUSE_IN_MS`, for heartbeats each second and 18 s of
    /// silence.) A pause that ends before the timer was due is not seen; it needs two of them, one
    /// for each threshold, to convict a peer that was trusted.
    pub const fn local_pause(mut self, lateness: Duration) -> Self {
        self.local_pause = lateness;
        self
    }

    /// How often [`SuspectLayer`](crate::SuspectLayer) lets one request through to a peer that is
    /// not trusted: 1 ms to 1 h.
    ///
    /// The default is a second: a peer that is back is found within one, and one that is dead costs
    /// each of its callers at most one request a second. It is the period in which Akka and
    /// Cassandra speak to their peers, those held for dead included. What a trial costs is the time
    /// that the request waits in vain; where that hurts, have a [`Prober`](crate::Prober) send
    /// something cheaper, and set an hour here.
    pub const fn trial_interval(mut self, interval: Duration) -> Self {
        self.trial_interval = interval;
        self
    }

    /// The name that labels metrics and events.
    pub fn named(self, name: impl Into<Arc<str>>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    pub(crate) fn check(self) -> Result<Settings, ConfigError> {
        let convict = match &self.method {
            Method::Phi(config) => config.check().map(|()| config.threshold)?,
            Method::Margin(config) => config.check().map(|()| 1.0)?,
        };
        ConfigError::require(
            self.suspect > 0.0 && self.suspect <= 1.0,
            "suspect",
            self.suspect,
            "above 0 and at most 1",
        )?;
        let (shortest, longest) = (Duration::from_millis(1), Duration::from_secs(3600));
        ConfigError::require(
            (shortest..=longest).contains(&self.trial_interval),
            "trial_interval",
            self.trial_interval,
            "1 ms to 1 h",
        )?;
        ConfigError::require(
            self.trust_after.get() <= Standing::MOST,
            "trust_after",
            self.trust_after,
            "below 2^30",
        )?;
        ConfigError::require(
            (SHORTEST_PAUSE..=LONGEST_PAUSE).contains(&self.local_pause),
            "local_pause",
            self.local_pause,
            "10 ms to an hour",
        )?;
        let (rules, estimator) = match &self.method {
            Method::Phi(config) => Rules::phi(config),
            Method::Margin(config) => Rules::margin(config),
        };
        let shape = estimator.curve(&rules).shape;
        let scores = [convict * self.suspect, convict].map(|threshold| shape.score(threshold));
        let name = self.name.unwrap_or_else(|| "default".into());
        Ok(Settings {
            suspect: convict * self.suspect,
            convict,
            trust_after: self.trust_after,
            capacity: self.capacity,
            local_pause: self.local_pause,
            trial_interval: self.trial_interval,
            shape,
            scores,
            is_calibrated: estimator.calibration(&rules).is_some(),
            rules: Arc::new(rules),
            estimator,
            handle: HandleName::new(&name),
            name,
        })
    }
}

impl Default for DetectorConfig {
    fn default() -> Self {
        Self::new(PhiConfig::new())
    }
}

impl From<PhiConfig> for Method {
    fn from(config: PhiConfig) -> Self {
        Self::Phi(config)
    }
}

impl From<MarginConfig> for Method {
    fn from(config: MarginConfig) -> Self {
        Self::Margin(config)
    }
}

impl Settings {
    /// How many scales beyond the location a threshold is reached; `None` if it never is.
    #[inline]
    pub(crate) const fn score(&self, level: Level) -> Option<f64> {
        self.scores[level as usize]
    }
}
