//! Probes that fill the silence of a peer.

use std::{
    fmt,
    future::{Future, poll_fn},
    hash::Hash,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use steadfast_core::{ConfigError, Ratio, Snapshot, parts::Splitter};
use tokio::time::{sleep_until, timeout};
use tower_service::Service;

use crate::{
    Peer,
    hub::CLOCK,
    interest::{Interest, InterestWatch},
};

/// When a peer is probed: plain data, checked by [`Prober::new`].
#[derive(Clone, Copy, Debug)]
#[must_use = "a configuration does nothing until a prober is made of it"]
pub struct ProberConfig {
    interval: Duration,
    jitter: Ratio,
    timeout: Option<Duration>,
    seed: Option<u64>,
}

/// A prober that hurries more than this is a load test.
const SHORTEST: Duration = Duration::from_millis(1);
/// A peer that is silent for longer is not watched.
const LONGEST: Duration = Duration::from_secs(3600);

impl ProberConfig {
    /// Probes a peer that has been silent for `interval`: 1 ms to 1 h. Up to a fifth of it earlier,
    /// by chance, and each probe may take as long as `interval`.
    ///
    /// Choose it well below the silence that convicts the peer, so that a probe or two may be lost:
    /// a third of it is a good start.
    pub const fn new(interval: Duration) -> Self {
        Self { interval, jitter: Ratio::percent(20), timeout: None, seed: None }
    }

    /// How much of the interval chance may take away, so that many probers do not fall into step.
    /// Never lengthens it.
    pub const fn jitter(mut self, share: Ratio) -> Self {
        self.jitter = share;
        self
    }

    /// How long one probe may take, the wait for the service to be ready included: 1 ms to 1 h.
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// The seed of the jitter, for tests. Without it each prober has its own.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    fn check(self) -> Result<Pace, ConfigError> {
        let limit = self.timeout.unwrap_or(self.interval);
        for (field, value) in [("interval", self.interval), ("timeout", limit)] {
            let holds = (SHORTEST..=LONGEST).contains(&value);
            ConfigError::require(holds, field, value, "1 ms to 1 h")?;
        }
        let chance = self.seed.map_or_else(Splitter::from_entropy, Splitter::seeded);
        let (interval, jitter) = (self.interval, self.jitter.value());
        Ok(Pace { interval, jitter, limit, chance })
    }
}

/// A configuration that was checked.
#[derive(Debug)]
struct Pace {
    interval: Duration,
    jitter: f64,
    limit: Duration,
    chance: Splitter,
}

impl Pace {
    /// The silence after which the next probe is sent.
    fn silence(&self) -> Duration {
        let taken = self.jitter * unit(&self.chance);
        self.interval.mul_f64(1.0 - taken).max(SHORTEST)
    }

    /// When a peer that was never heard of is first probed: anywhere in the interval, since many
    /// probers may start at once.
    fn start(&self) -> Duration {
        self.interval.mul_f64(unit(&self.chance))
    }
}

/// A number from 0 up to 1: the upper 53 bits of a word.
#[expect(clippy::cast_precision_loss, reason = "53 bits are what an f64 holds")]
fn unit(chance: &Splitter) -> f64 {
    (chance.split_seed() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Sends a probe through a service when its peer has been silent, so that silence means something
/// where requests are few.
///
/// The service has the [`HeartbeatLayer`](crate::HeartbeatLayer) of that peer in it: its answer to
/// the probe is the heartbeat, and the prober itself says nothing of the peer. Give it the service
/// *inside* of a [`SuspectLayer`](crate::SuspectLayer), a breaker and a retry, which would refuse
/// probes or repeat them. It is cloned for each probe, and holds nothing between them.
///
/// One probe is under way at a time. One that fails, or takes longer than its limit, is given up
/// and said nothing of: the silence goes on, and the next follows when its time has come. A panic
/// of the service or of the request's maker is caught; the panic hook has reported it by then, and
/// the next probe has a fresh clone.
///
/// **It ends** when the program has dropped every other handle of the peer and, where it is one of
/// a [`Detector`](crate::Detector), of the detector, its other peers and their streams; at once,
/// also while a probe is under way. The handles inside its own service do not count: they are
/// cloned with it. Handles in places that a clone shares with its original do count: in the worker
/// of a `Buffer`, in a `PerKey`, in what `make_request` has captured. It also ends, within an
/// interval and a probe's limit, when the detector forgets the peer.
///
/// ```
/// use std::time::Duration;
/// use steadfast_phi::{DetectorConfig, HeartbeatLayer, Peer, Prober, ProberConfig};
/// use tower::{BoxError, Layer, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), steadfast_core::ConfigError> {
/// let peer = Peer::new(DetectorConfig::default())?;
/// let client = service_fn(|request: &'static str| async move { Ok::<_, BoxError>(request) });
/// let service = HeartbeatLayer::new(peer.clone()).layer(client);
///
/// let config = ProberConfig::new(Duration::from_secs(1));
/// let prober = Prober::new(config, peer.clone(), service.clone(), || "are you there?")?;
/// let task = tokio::spawn(prober.run());
/// tokio::time::sleep(Duration::from_secs(10)).await;
/// assert!(peer.phi() < 1.0);
///
/// drop((peer, service));
/// task.await.expect("it ends by itself");
/// # Ok(())
/// # }
/// ```
pub struct Prober<S, F, K = ()> {
    pace: Pace,
    peer: Peer<K>,
    interest: InterestWatch,
    service: S,
    make_request: F,
}

impl<S: Clone, F, K: Eq + Hash + Clone> Prober<S, F, K> {
    /// Probes `peer` through `service` with what `make_request` makes, once [`run`](Self::run) is
    /// spawned.
    ///
    /// # Errors
    /// When a number is outside the range its setter names.
    // By value, like everything that goes into a service; the original is dropped here, after the
    // clone that keeps no prober going.
    #[expect(clippy::needless_pass_by_value, reason = "see above")]
    pub fn new(
        config: ProberConfig,
        peer: Peer<K>,
        service: S,
        make_request: F,
    ) -> Result<Self, ConfigError> {
        let pace = config.check()?;
        let interest = peer.interest.watch();
        let service = Interest::lent(|| service.clone());
        Ok(Self { pace, peer: peer.unattended(), interest, service, make_request })
    }

    /// Probes until every other handle is dropped. Spawn it; dropping it ends it.
    pub async fn run<Req>(mut self)
    where
        S: Service<Req>,
        F: FnMut() -> Req,
    {
        let mut asked = CLOCK.now();
        let heard_of = self.peer.snapshot().silence.is_some();
        let mut silence = if heard_of { self.pace.silence() } else { self.pace.start() };
        loop {
            let now = CLOCK.now();
            let due = self.quiet_since(asked, now) + silence;
            let ended = if due > now {
                until(&self.interest, sleep_until(due.into())).await.is_none()
            } else {
                (asked, silence) = (now, self.pace.silence());
                let probe = probe(fresh(&self.service), &mut self.make_request);
                // What it fails with is no news of the peer.
                until(&self.interest, timeout(self.pace.limit, probe)).await.is_none()
            };
            if ended {
                return;
            }
            if self.is_forgotten() {
                return;
            }
        }
    }

    /// Since when the peer has neither been heard nor asked.
    fn quiet_since(&self, asked: Instant, now: Instant) -> Instant {
        let heard = self.peer.snapshot().silence.and_then(|silence| now.checked_sub(silence));
        heard.map_or(asked, |heard| heard.max(asked))
    }

    fn is_forgotten(&self) -> bool {
        self.peer.watched.is_forgotten()
    }
}

/// A clone for one probe. `None` if it panics.
fn fresh<S: Clone>(service: &S) -> Option<S> {
    catch_unwind(AssertUnwindSafe(|| service.clone())).ok()
}

/// One probe. Errors and panics end it, and nothing else.
async fn probe<S, Req>(service: Option<S>, make_request: &mut impl FnMut() -> Req)
where
    S: Service<Req>,
{
    let Some(mut service) = service else { return };
    let mut call = pin!(async move {
        if poll_fn(|cx| service.poll_ready(cx)).await.is_ok() {
            drop(service.call(make_request()).await);
        }
    });
    // After a panic the future is not polled again, and the clone is gone with it. What the maker
    // of requests holds is the user's, who is told to expect this.
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx)));
        polled.unwrap_or(Poll::Ready(()))
    })
    .await;
}

/// Runs `future` until it is done or interest has ended; `None` if that came first.
async fn until<T>(interest: &InterestWatch, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match interest.poll_ended(cx) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => future.as_mut().poll(cx).map(Some),
    })
    .await
}

impl<S, F, K> fmt::Debug for Prober<S, F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prober").field("peer", &self.peer).finish_non_exhaustive()
    }
}
