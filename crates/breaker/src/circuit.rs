//! The handle.

use std::future::Future;

use steadfast_core::{Classify, ConfigError, DefaultClassifier, Failure, Snapshot, parts::Striped};

use crate::{
    config::BreakerConfig,
    error::CircuitOpen,
    permit::Permit,
    shared::{Refused, Shared},
    state::{BreakerSnapshot, State},
    watch::Transitions,
};

/// A circuit: the state that all clones, layers and services made from it share.
///
/// A layer is made from a circuit and not the other way round, because frameworks apply a layer more than once (axum does so for
/// each route): state made by the layer would be a circuit for each, and none would ever open.
#[derive(Clone, Debug)]
pub struct Circuit {
    shared: Striped<Shared>,
}

impl Circuit {
    /// A closed circuit.
    ///
    /// # Errors
    /// When the configuration cannot work: it names the field and the value.
    #[expect(clippy::needless_pass_by_value, reason = "a builder is used up where it is built")]
    pub fn new(config: BreakerConfig) -> Result<Self, ConfigError> {
        Ok(Self { shared: Striped::try_new(|lanes| Shared::new(&config, lanes))? })
    }

    #[inline]
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Lets a call in, or refuses it. Does not wait.
    ///
    /// # Errors
    /// [`CircuitOpen`] while the circuit is open, forced open, or half-open with all its probes under way.
    #[inline]
    pub fn try_admit(&self) -> Result<Permit, CircuitOpen> {
        self.admit().map_err(CircuitOpen::from)
    }

    // Always: a permit that comes back through memory costs a success more than all the rest of its way.
    #[inline(always)]
    pub(crate) fn admit(&self) -> Result<Permit, Refused> {
        let lane = self.shared.lane();
        let admission = lane.admit()?;
        Ok(Permit::new(lane, admission))
    }

    /// Runs a future under the circuit, without tower. It is not polled when the circuit is open.
    ///
    /// # Errors
    /// The future's own error, or [`CircuitOpen`] as one.
    pub async fn run<F, T, E>(&self, future: F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        E: Failure + From<CircuitOpen>,
    {
        self.run_judged(&DefaultClassifier, future).await
    }

    /// Runs a future under the circuit, judged by `classifier`.
    ///
    /// # Errors
    /// The future's own error, or [`CircuitOpen`] as one.
    pub async fn run_judged<C, F, T, E>(&self, classifier: &C, future: F) -> Result<T, E>
    where
        C: Classify<T, E>,
        F: Future<Output = Result<T, E>>,
        E: From<CircuitOpen>,
    {
        let mut permit = self.try_admit()?;
        let mut future = std::pin::pin!(future);
        let outcome = std::future::poll_fn(|cx| permit.run(|| future.as_mut().poll(cx))).await;
        permit.record(classifier.classify(outcome.as_ref()));
        outcome
    }

    /// The state now. An open circuit whose time has passed stays open until somebody calls.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.state()
    }

    /// The transitions from now on.
    #[must_use]
    pub fn subscribe(&self) -> Transitions {
        Transitions::new(self)
    }

    /// Refuses every call until [`reset`](Self::reset).
    pub fn force_open(&self) {
        self.shared.command(State::ForcedOpen, false);
    }

    /// Lets every call pass uncounted until [`reset`](Self::reset).
    pub fn disable(&self) {
        self.shared.command(State::Disabled, false);
    }

    /// Starts afresh, closed. From now on the circuit opens and closes as usual, but refuses nobody: what it would have refused is
    /// counted as `would_refuse`. Until [`reset`](Self::reset).
    pub fn dry_run(&self) {
        self.shared.command(State::Closed, true);
    }

    /// Closes the circuit, with an empty window and the shortest open time, and lets it work on its own.
    pub fn reset(&self) {
        self.shared.command(State::Closed, false);
    }
}

impl Snapshot for Circuit {
    type State = BreakerSnapshot;

    fn snapshot(&self) -> BreakerSnapshot {
        self.shared.snapshot()
    }
}

impl Default for Circuit {
    fn default() -> Self {
        Self::new(BreakerConfig::new()).expect("the defaults are valid")
    }
}
