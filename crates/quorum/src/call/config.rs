//! Configuration: plain data, checked once by the call that is made from it.

use std::{sync::Arc, time::Duration};

use steadfast_core::ConfigError;

use super::pace::{Hedge, Pace};

/// Which nodes a [`QuorumCall`](crate::QuorumCall) calls, and when.
///
/// | | sends | waits for |
/// |---|---|---|
/// | [`all_at_once`](Self::all_at_once) | to every node | the fastest quorum |
/// | [`quorum_first`](Self::quorum_first) | to a quorum; one more on each failure | the slowest of a quorum |
/// | [`staggered`](Self::staggered), [`hedged`](Self::hedged) | the same, and one more after each delay | in between |
///
/// ```
/// use std::time::Duration;
/// use steadfast_quorum::{CallConfig, Hedge, QuorumCall, Threshold};
/// use tower::{BoxError, Service, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), BoxError> {
/// // Two of three; the third is asked when one of them is slow, or fails.
/// let hedge = Hedge::new(Duration::from_millis(2), Duration::from_millis(100));
/// let nodes = (0..3).map(|number| {
///     (number, service_fn(move |_key: &'static str| async move { Ok::<_, BoxError>(number) }))
/// });
/// let config = CallConfig::hedged(hedge).named("read");
/// let mut read = QuorumCall::new(Threshold::majority_of(3)?, nodes, config)?;
/// assert_eq!(read.ready().await?.call("breakfast").await?.yes().len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct CallConfig {
    pace: PaceConfig,
    name: Option<Arc<str>>,
    rotates: bool,
}

#[derive(Clone, Copy, Debug)]
enum PaceConfig {
    AllAtOnce,
    QuorumFirst,
    Staggered(Duration),
    Hedged(Hedge),
}

/// A [`CallConfig`] that was checked. Clones learn latencies together.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) pace: Pace,
    pub(crate) name: Arc<str>,
    pub(crate) rotates: bool,
}

impl CallConfig {
    /// Calls every node at once: the lowest latency, for the most requests. For writes, which all
    /// nodes should get anyway.
    pub const fn all_at_once() -> Self {
        Self::new(PaceConfig::AllAtOnce)
    }

    /// Calls a quorum, the nodes that were named first preferred, and one more at once on each
    /// failure: the fewest requests. One slow node holds up a call for as long as it is slow.
    pub const fn quorum_first() -> Self {
        Self::new(PaceConfig::QuorumFirst)
    }

    /// Calls a quorum, one more at once on each failure, and one more after each `delay`, which is
    /// above zero.
    pub const fn staggered(delay: Duration) -> Self {
        Self::new(PaceConfig::Staggered(delay))
    }

    /// Calls a quorum, one more at once on each failure, and one more after each delay, which is
    /// learned from the latencies of the nodes. Clones of a call learn together.
    pub const fn hedged(hedge: Hedge) -> Self {
        Self::new(PaceConfig::Hedged(hedge))
    }

    const fn new(pace: PaceConfig) -> Self {
        Self { pace, name: None, rotates: false }
    }

    /// Each call prefers the node after the one that the call before preferred, so that all nodes
    /// get their share where not all are called. All clones of a call take turns together. Without
    /// it every call prefers the nodes that were named first, such as those that are near.
    pub const fn rotate(mut self) -> Self {
        self.rotates = true;
        self
    }

    /// The name that labels metrics and events. The default is `default`.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    pub(crate) fn check(self) -> Result<Settings, ConfigError> {
        let Self { pace, name, rotates } = self;
        let pace = match pace {
            PaceConfig::AllAtOnce => Pace::AllAtOnce,
            PaceConfig::QuorumFirst => Pace::QuorumFirst,
            PaceConfig::Staggered(delay) => {
                ConfigError::require(!delay.is_zero(), "delay", delay, "above zero")?;
                Pace::Staggered(delay)
            }
            PaceConfig::Hedged(hedge) => Pace::Hedged(Arc::new(hedge.learn()?)),
        };
        Ok(Settings { pace, name: name.unwrap_or_else(|| Arc::from("default")), rotates })
    }
}
