//! What a circuit tells metrics and events, always with its lock free.

use std::sync::Arc;

#[cfg(not(feature = "metrics"))]
use steadfast_core::parts::silent::{Counters, StateGauges};
#[cfg(feature = "metrics")]
use steadfast_core::parts::{Counters, StateGauges};
use steadfast_core::{
    HandleName,
    parts::{Labels, Reconfigured},
};

use crate::{
    outcome::Outcome,
    state::{State, Transition},
};

/// What a circuit shows of itself.
#[derive(Debug)]
pub(crate) struct Telemetry {
    counted: Arc<Counted>,
    /// Each circuit's own: it gives back the state it is in when it is dropped.
    states: StateGauges<State>,
}

/// What all circuits of one configuration count together.
#[derive(Debug)]
pub(crate) struct Counted {
    name: Arc<str>,
    /// The same, for refusals.
    handle: Option<HandleName>,
    calls: Counters<Outcome>,
    transitions: Counters<To>,
    bad_ends: Counters<Horizon>,
    reconfigurations: Counters<Reconfigured>,
}

impl Counted {
    pub(crate) fn new(name: Arc<str>) -> Arc<Self> {
        let calls = Counters::new("steadfast_breaker_calls_total", "breaker", Arc::clone(&name));
        let transitions =
            Counters::new("steadfast_breaker_transitions_total", "breaker", Arc::clone(&name));
        let bad_ends =
            Counters::new("steadfast_breaker_bad_ends_total", "breaker", Arc::clone(&name));
        let reconfigurations =
            Counters::new("steadfast_breaker_reconfigurations_total", "breaker", Arc::clone(&name));
        let handle = HandleName::new(&name);
        Arc::new(Self { name, handle, calls, transitions, bad_ends, reconfigurations })
    }
}

/// The state that a transition leads to.
#[derive(Clone, Copy, Debug)]
struct To(State);

impl Labels for To {
    const KEY: &'static str = "to";
    const ALL: &'static [Self] = &[
        Self(State::Closed),
        Self(State::Open),
        Self(State::HalfOpen),
        Self(State::ForcedOpen),
        Self(State::Disabled),
    ];

    fn label(self) -> &'static str {
        self.0.name()
    }

    fn index(self) -> usize {
        self.0 as usize
    }
}

/// When an answer with a good head ended badly.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Horizon {
    Within,
    /// Too late to say anything.
    Beyond,
}

impl Labels for Horizon {
    const KEY: &'static str = "horizon";
    const ALL: &'static [Self] = &[Self::Within, Self::Beyond];

    fn label(self) -> &'static str {
        match self {
            Self::Within => "within",
            Self::Beyond => "beyond",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

impl Labels for State {
    const KEY: &'static str = "state";
    const ALL: &'static [Self] = &Self::ALL;

    fn label(self) -> &'static str {
        self.name()
    }

    fn index(self) -> usize {
        self as usize
    }
}

impl Telemetry {
    pub(crate) fn new(counted: &Arc<Counted>) -> Self {
        let states =
            StateGauges::new("steadfast_breaker_state", "breaker", Arc::clone(&counted.name));
        Self { counted: Arc::clone(counted), states: states.starting_in(State::Closed) }
    }

    /// Of a circuit of another key.
    pub(crate) fn another(&self) -> Self {
        Self::new(&self.counted)
    }

    pub(crate) fn name(&self) -> &str {
        &self.counted.name
    }

    pub(crate) fn handle(&self) -> Option<HandleName> {
        self.counted.handle
    }

    /// Counts one call. The first shows the circuit in its first state.
    #[inline]
    pub(crate) fn call(&self, outcome: Outcome) {
        self.counted.calls.increment(outcome);
        self.states.show();
    }

    /// Counts an answer with a good head and a bad end. One beyond the horizon is an event too:
    /// nothing else tells of it.
    pub(crate) fn bad_end(&self, horizon: Horizon) {
        self.counted.bad_ends.increment(horizon);
        #[cfg(feature = "tracing")]
        if let Horizon::Beyond = horizon {
            tracing::debug!(
                target: "steadfast::breaker",
                breaker = self.name(),
                "an answer ended badly beyond the horizon, and counts for nothing"
            );
        }
    }

    /// The caller has the error of a configuration that was refused: it is counted only.
    pub(crate) fn reconfigured(&self, applied: bool) {
        let outcome = if applied { Reconfigured::Applied } else { Reconfigured::Refused };
        self.counted.reconfigurations.increment(outcome);
        #[cfg(feature = "tracing")]
        if applied {
            tracing::info!(
                target: "steadfast::breaker",
                breaker = self.name(),
                "circuit was reconfigured"
            );
        }
    }

    pub(crate) fn transition(&self, transition: Transition) {
        self.states.change(transition.from, transition.to);
        self.counted.transitions.increment(To(transition.to));
        #[cfg(feature = "tracing")]
        tracing::info!(
            target: "steadfast::breaker",
            breaker = self.name(),
            from = transition.from.name(),
            to = transition.to.name(),
            cause = ?transition.cause,
            "circuit changed its state"
        );
    }
}
