//! The handle.

use std::{fmt, sync::Arc, time::Duration};

#[cfg(feature = "keyed")]
use steadfast_core::PerKey;
use steadfast_core::{
    Classify, ConfigError, DefaultClassifier, Failure, Reconfigure, Select, Selected, Snapshot,
    parts::{Splitter, Striped},
};

use crate::{
    config::{CircuitConfig, OnOpen, Settings},
    error::CircuitOpen,
    future::Run,
    permit::Permit,
    shared::Shared,
    state::{CircuitSnapshot, State},
    telemetry::{Counted, Telemetry},
    transitions::Transitions,
};

/// A circuit: the state that all clones, layers and services made from it share.
///
/// A layer is made from a circuit and not the other way round: frameworks apply a layer more than
/// once (axum for each route), and of the circuits it would make none would ever open.
///
/// ```
/// use steadfast_breaker::{Circuit, CircuitOpen, State};
/// use steadfast_core::cause;
/// use tower::BoxError;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// // Without tower: round any future.
/// let circuit = Circuit::default();
/// let fetch = async || Err::<u32, _>(BoxError::from("connection reset"));
/// for _ in 0..20 {
///     circuit.run(fetch()).await.unwrap_err();
/// }
/// assert_eq!(circuit.state(), State::Open);
/// let refused = circuit.run(fetch()).await.unwrap_err();
/// assert!(cause::<CircuitOpen>(&*refused).is_some());
/// # }
/// ```
#[derive(Clone)]
pub struct Circuit {
    pub(crate) shared: Striped<Shared>,
    /// The settings', at hand for every call of `poll_ready`.
    on_open: OnOpen,
}

impl Circuit {
    /// A closed circuit.
    ///
    /// # Errors
    /// When the configuration cannot work: it names the field and the value.
    pub fn new(config: CircuitConfig) -> Result<Self, ConfigError> {
        let settings = config.check()?;
        let splitter = config.seed.map_or_else(Splitter::from_entropy, Splitter::seeded);
        let telemetry = Telemetry::new(&Counted::new(Arc::clone(&config.name)));
        let given = (config, settings);
        let shared = Striped::new(|lanes| Shared::new(given, splitter, telemetry, lanes));
        Ok(Self { shared, on_open: settings.on_open })
    }

    /// A circuit for each key (host, route, tenant), made as its key is first seen: at most about
    /// `capacity` of them, for the key that the function `key` finds in a request. What it returns
    /// goes into [`BreakerLayer::new`](crate::BreakerLayer::new).
    ///
    /// The circuits share one name in metrics: a key never becomes a label, and the state gauges
    /// count circuits by state. Of a seed each circuit has a split of its own, so that they do not
    /// all draw the same open times. All threads share a circuit's one reference count.
    ///
    /// # Errors
    /// When the configuration cannot work, or asks for [`OnOpen::NotReady`].
    #[cfg(feature = "keyed")]
    pub fn per_key<K, F>(
        config: CircuitConfig,
        capacity: std::num::NonZeroUsize,
        key: F,
    ) -> Result<PerKey<K, Self, F>, ConfigError>
    where
        K: Eq + std::hash::Hash + Clone,
    {
        let settings = config.check()?;
        let on_open = settings.on_open;
        let rule = "`Refuse`: readiness is asked before the key is known";
        ConfigError::require(on_open == OnOpen::Refuse, "on_open", on_open, rule)?;
        let splitter = config.seed.map_or_else(Splitter::from_entropy, Splitter::seeded);
        let telemetry = Telemetry::new(&Counted::new(Arc::clone(&config.name)));
        let pattern = Self::single((config, settings), splitter, telemetry);
        Ok(PerKey::of(capacity, pattern, key))
    }

    /// With one lane: a circuit of one key.
    fn single(given: (CircuitConfig, Settings), splitter: Splitter, telemetry: Telemetry) -> Self {
        let on_open = given.1.on_open;
        Self {
            shared: Striped::single(|lanes| Shared::new(given, splitter, telemetry, lanes)),
            on_open,
        }
    }

    /// Lets a call in, or refuses it. Does not wait.
    ///
    /// # Errors
    /// [`CircuitOpen`] while it is open, forced open, or half-open with all its probes under way.
    #[inline]
    pub fn try_admit(&self) -> Result<Permit, CircuitOpen> {
        Permit::admit(self.shared.lane()).map_err(CircuitOpen::from)
    }

    /// Runs a future under the circuit, without tower. Its outcome is judged as
    /// [`BreakerLayer`](crate::BreakerLayer) judges.
    ///
    /// The call is let in at the first poll. When the circuit is open the future is not polled, and
    /// fails with [`CircuitOpen`] as the error. Dropping it cancels the call.
    pub fn run<F, T, E>(&self, future: F) -> Run<F, DefaultClassifier>
    where
        F: Future<Output = Result<T, E>>,
        E: Failure + From<CircuitOpen>,
    {
        self.run_judged(future, DefaultClassifier)
    }

    /// The same, judged by `classifier`.
    pub fn run_judged<F, C, T, E>(&self, future: F, classifier: C) -> Run<F, C>
    where
        F: Future<Output = Result<T, E>>,
        C: Classify<T, E>,
        E: From<CircuitOpen>,
    {
        Run::new(Arc::clone(self.shared.lane()), future, classifier)
    }

    /// The name in metrics and events.
    #[must_use]
    pub fn name(&self) -> &str {
        self.shared.telemetry.name()
    }

    /// The state now. An open circuit whose time has passed stays open until the next call.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.word().state()
    }

    /// The state as plain data, for dashboards, tests and logs. It takes the circuit's lock.
    #[must_use]
    pub fn snapshot(&self) -> CircuitSnapshot {
        self.shared.snapshot()
    }

    /// The transitions from now on.
    #[must_use]
    pub fn subscribe(&self) -> Transitions {
        Transitions::new(self.shared.lane())
    }

    /// Changes the rules while calls go through: of this circuit, with all its clones, layers and
    /// services. All or nothing: the configuration is checked first.
    ///
    /// State, epoch, window and trips stay, and so do the open time that was told and the probes
    /// under way. The new rules hold from the next outcome: one that they would open at opens then,
    /// and not at once. A longer open time is drawn the next time the circuit opens. Calls that
    /// began without a limit for slow calls are never slow; those under way count by the limit as
    /// it is when they end.
    ///
    /// A count window may change its size: a smaller one forgets its oldest calls, a larger one
    /// fills up with calls to come. A row of failures goes on, unless the rule was switched off.
    ///
    /// To change one field, take [`config`](Self::config) and set it anew:
    ///
    /// ```
    /// use steadfast_breaker::Circuit;
    /// use steadfast_core::Ratio;
    ///
    /// let circuit = Circuit::default();
    /// circuit.reconfigure(circuit.config().failure_ratio(Ratio::percent(25)))?;
    /// # Ok::<(), steadfast_core::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// When the configuration cannot work, or changes what a circuit keeps for life: the kind of
    /// its window, a time window's length and buckets, `on_open`, the name, the clock, the seed.
    /// The error names the field and the value; nothing has changed.
    pub fn reconfigure(&self, config: CircuitConfig) -> Result<(), ConfigError> {
        self.shared.reconfigure(config)
    }

    /// The configuration as it is now.
    pub fn config(&self) -> CircuitConfig {
        self.shared.config()
    }

    /// Refuses every call until [`reset`](Self::reset).
    pub fn force_open(&self) {
        self.shared.command(State::ForcedOpen, false);
    }

    /// Refuses every call for this long, then lets probes decide as after any open time: for a
    /// service that is known to come back then. Whatever the state was, a dry run included. The
    /// next open time that the rules draw stays what it was.
    pub fn force_open_for(&self, time: Duration) {
        self.shared.open_for(time);
    }

    /// Lets every call pass uncounted until [`reset`](Self::reset).
    pub fn disable(&self) {
        self.shared.command(State::Disabled, false);
    }

    /// Starts afresh, closed. From now on the circuit opens and closes as usual, but refuses no
    /// call: what it would have refused is counted as `would_refuse`. Until [`reset`](Self::reset).
    pub fn dry_run(&self) {
        self.shared.command(State::Closed, true);
    }

    /// Closes the circuit, with an empty window and the shortest open time.
    pub fn reset(&self) {
        self.shared.command(State::Closed, false);
    }

    /// Whether a service is not ready while the circuit would refuse its calls.
    #[inline]
    pub(crate) fn may_be_unready(&self) -> bool {
        self.on_open == OnOpen::NotReady && !self.shared.word().is_closed()
    }
}

/// The circuit of every request.
impl<Req> Select<Req> for Circuit {
    type Handle = Self;

    #[inline(always)]
    fn select(&self, _request: &Req) -> Selected<'_, Self> {
        Selected::Shared(self)
    }

    #[inline(always)]
    fn common(&self) -> Option<&Self> {
        Some(self)
    }
}

impl Reconfigure for Circuit {
    type Config = CircuitConfig;

    fn reconfigure(&self, config: CircuitConfig) -> Result<(), ConfigError> {
        self.shared.reconfigure(config)
    }

    fn config(&self) -> CircuitConfig {
        self.shared.config()
    }

    fn another(&self) -> Self {
        let splitter = Splitter::seeded(self.shared.split_seed());
        let given = self.shared.configuration();
        Self::single(given, splitter, self.shared.telemetry.another())
    }

    fn follow(&self, pattern: &Self) {
        let (config, settings) = pattern.shared.configuration();
        self.shared.take_over(config, settings);
    }
}

impl Snapshot for Circuit {
    type State = CircuitSnapshot;

    fn snapshot(&self) -> CircuitSnapshot {
        Self::snapshot(self)
    }
}

impl fmt::Debug for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Circuit")
            .field("name", &self.name())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl Default for Circuit {
    fn default() -> Self {
        Self::new(CircuitConfig::new()).expect("the defaults are valid")
    }
}
