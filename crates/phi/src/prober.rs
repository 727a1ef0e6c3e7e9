//! Probes that fill the silence of a peer.

use std::{
    fmt,
    future::{Future, poll_fn},
    hash::Hash,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use steadfast_core::{
    ConfigError, Ratio,
    parts::{Splitter, Waiter, Waiters},
};
use tokio::time::{sleep_until, timeout};
use tower_service::Service;

use crate::{Peer, hub::CLOCK, telemetry};

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
    /// The same for another future, with chances of its own.
    fn fork(&self) -> Self {
        Self { chance: Splitter::seeded(self.chance.split_seed()), ..*self }
    }

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
/// where requests are few. **It probes while a clone of this handle lives: keep one** where the
/// service is kept.
///
/// [`run`](Self::run) makes the future that does it, which you spawn, and which keeps no handle:
///
/// ```
/// # use std::time::Duration;
/// # use steadfast_phi::{DetectorConfig, HeartbeatLayer, Peer, Prober, ProberConfig};
/// # use tower::{BoxError, Layer, service_fn};
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), steadfast_core::ConfigError> {
/// # let peer = Peer::new(DetectorConfig::default())?;
/// # let client = service_fn(|request: &'static str| async move { Ok::<_, BoxError>(request) });
/// # let service = HeartbeatLayer::new(peer.clone()).layer(client);
/// # let config = ProberConfig::new(Duration::from_secs(1));
/// // Not `tokio::spawn(Prober::new(config, peer)?.run(..))`: that drops the only handle.
/// let prober = Prober::new(config, peer.clone())?;
/// tokio::spawn(prober.run(service, || "are you there?"));
/// # tokio::time::sleep(Duration::from_secs(10)).await;
/// # assert!(peer.phi() < 1.0);
/// # drop(prober);
/// # Ok(())
/// # }
/// ```
///
/// When the last handle is dropped the future ends at once, also while a probe is under way. If
/// that was before its first poll it says so in a warning (feature `tracing`), since the peer was
/// never probed then. It also ends, within an interval and a probe's limit, when the
/// [`Detector`](crate::Detector) forgets the peer.
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
#[must_use = "its probes end when the last clone of it is dropped"]
pub struct Prober<K = ()>(Arc<Shared<K>>);

/// Dropped with the last handle.
struct Shared<K> {
    pace: Pace,
    peer: Peer<K>,
    ended: Waiters,
}

impl<K: Eq + Hash + Clone> Prober<K> {
    /// For probes of `peer`.
    ///
    /// # Errors
    /// When a number is outside the range its setter names.
    pub fn new(config: ProberConfig, peer: Peer<K>) -> Result<Self, ConfigError> {
        Ok(Self(Arc::new(Shared { pace: config.check()?, peer, ended: Waiters::new() })))
    }

    /// Probes the peer through `service` with what `make_request` makes, until the last clone of
    /// this handle is dropped. Spawn it; dropping it ends it.
    ///
    /// It keeps no handle itself: in `tokio::spawn(Prober::new(config, peer)?.run(..))` the only
    /// one is gone at the end of the line, and the peer is never probed. Bind the handle first, and
    /// keep it.
    pub fn run<S, F, Req>(
        &self,
        service: S,
        make_request: F,
    ) -> impl Future<Output = ()> + use<S, F, Req, K>
    where
        S: Service<Req> + Clone,
        F: FnMut() -> Req,
    {
        let Shared { pace, peer, ended } = &*self.0;
        let handles = Handles { left: Arc::downgrade(&self.0), waiter: ended.join() };
        let name = Arc::clone(&peer.hub.settings.name);
        let probes = probes(pace.fork(), peer.clone(), service, make_request);
        async move {
            if handles.left.strong_count() == 0 {
                telemetry::never_probed(&name);
            }
            until_gone(handles, probes).await;
        }
    }
}

/// Probes until the peer is forgotten.
async fn probes<S, F, Req, K>(pace: Pace, peer: Peer<K>, service: S, mut make_request: F)
where
    S: Service<Req> + Clone,
    F: FnMut() -> Req,
    K: Eq + Hash + Clone,
{
    let mut asked = CLOCK.now();
    let heard_of = peer.snapshot().silence.is_some();
    let mut silence = if heard_of { pace.silence() } else { pace.start() };
    while !peer.watched.is_forgotten() {
        let now = CLOCK.now();
        let due = quiet_since(&peer, asked, now) + silence;
        if due > now {
            sleep_until(due.into()).await;
        } else {
            (asked, silence) = (now, pace.silence());
            // What it fails with is no news of the peer.
            probe(fresh(&service), &mut make_request, pace.limit).await;
        }
    }
}

/// Since when the peer has neither been heard nor asked.
fn quiet_since<K>(peer: &Peer<K>, asked: Instant, now: Instant) -> Instant {
    let heard = peer.snapshot().silence.and_then(|silence| now.checked_sub(silence));
    heard.map_or(asked, |heard| heard.max(asked))
}

/// A clone for one probe. `None` if it panics.
fn fresh<S: Clone>(service: &S) -> Option<S> {
    catch_unwind(AssertUnwindSafe(|| service.clone())).ok()
}

/// One probe. Errors, panics and the limit end it, and nothing else.
async fn probe<S, Req>(service: Option<S>, make: &mut impl FnMut() -> Req, limit: Duration)
where
    S: Service<Req>,
{
    let Some(mut service) = service else { return };
    let mut call = Box::pin(async move {
        if poll_fn(|cx| service.poll_ready(cx)).await.is_ok() {
            drop(service.call(make()).await);
        }
    });
    // After a panic the future is not polled again, and the clone is gone with it. What the maker
    // of requests holds is the user's, who is told to expect this.
    let outcome = poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx)));
        polled.unwrap_or(Poll::Ready(()))
    });
    let _ = timeout(limit, outcome).await;
    // One that is given up may panic as it is dropped.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(call)));
}

/// What a future of a prober's sees of its handles.
struct Handles<K> {
    left: Weak<Shared<K>>,
    waiter: Waiter,
}

impl<K> Handles<K> {
    /// Ready once the last is dropped.
    fn poll_gone(&self, cx: &Context<'_>) -> Poll<()> {
        self.waiter.poll(cx, || (self.left.strong_count() == 0).then_some(()))
    }
}

/// Runs `future` until it is done or the last handle is dropped.
async fn until_gone<K>(handles: Handles<K>, future: impl Future<Output = ()>) {
    let mut future = pin!(future);
    poll_fn(|cx| match handles.poll_gone(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => future.as_mut().poll(cx),
    })
    .await;
}

impl<K> Drop for Shared<K> {
    /// The strong count is zero by now: a waiter that looks after this sees it.
    fn drop(&mut self) {
        self.ended.wake();
    }
}

impl<K> Clone for Prober<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> fmt::Debug for Prober<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prober").field("peer", &self.0.peer).finish_non_exhaustive()
    }
}
