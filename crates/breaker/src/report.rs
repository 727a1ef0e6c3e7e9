//! What a circuit tells the outside, always after its lock is free. Without the features it is nothing.

use std::sync::Arc;

use crate::state::Transition;

/// The closed set of what can become of a call; the labels are part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallOutcome {
    Success,
    Failure,
    Throttled,
    Permanent,
    Ignored,
    Cancelled,
    Refused,
    WouldRefuse,
    Repeatable,
}

#[cfg(feature = "metrics")]
const OUTCOMES: &[&str] =
    &["success", "failure", "throttled", "permanent", "ignored", "cancelled", "refused", "would_refuse", "repeatable"];

#[derive(Debug)]
pub(crate) struct Report {
    #[cfg(feature = "tracing")]
    name: Arc<str>,
    #[cfg(feature = "metrics")]
    metrics: recorded::Metrics,
}

impl Report {
    pub(crate) fn new(name: &Arc<str>) -> Self {
        let _ = name;
        Self {
            #[cfg(feature = "tracing")]
            name: Arc::clone(name),
            #[cfg(feature = "metrics")]
            metrics: recorded::Metrics::new(name, OUTCOMES),
        }
    }

    #[inline]
    pub(crate) fn call(&self, outcome: CallOutcome) {
        let _ = outcome;
        #[cfg(feature = "metrics")]
        self.metrics.calls.increment(outcome as usize);
        #[cfg(feature = "metrics")]
        self.metrics.begin();
    }

    pub(crate) fn transition(&self, transition: Transition) {
        let _ = transition;
        #[cfg(feature = "metrics")]
        self.metrics.transition(transition);
        #[cfg(feature = "tracing")]
        tracing::info!(
            target: "steadfast::breaker",
            breaker = &*self.name,
            from = transition.from.name(),
            to = transition.to.name(),
            cause = ?transition.cause,
            "circuit changed its state"
        );
    }
}

#[cfg(feature = "metrics")]
mod recorded {
    use std::sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering},
    };

    use metrics::{Counter, Gauge, counter, gauge};
    use steadfast_core::parts::OutcomeCounters;

    use crate::state::{State, Transition};

    #[derive(Debug)]
    pub(super) struct Metrics {
        name: Arc<str>,
        pub(super) calls: OutcomeCounters,
        states: OnceLock<States>,
        /// How often each state was entered less how often it was left: what the gauges must give back on drop.
        held: [AtomicI64; 5],
    }

    struct States {
        gauges: [Gauge; 5],
        transitions: [Counter; 5],
    }

    impl std::fmt::Debug for States {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("States").finish_non_exhaustive()
        }
    }

    impl Metrics {
        pub(super) fn new(name: &Arc<str>, outcomes: &'static [&'static str]) -> Self {
            let calls = OutcomeCounters::new("steadfast_breaker_calls_total", "breaker", Arc::clone(name), outcomes);
            Self { name: Arc::clone(name), calls, states: OnceLock::new(), held: Default::default() }
        }

        /// The first call shows the circuit in its first state.
        #[inline]
        pub(super) fn begin(&self) {
            self.states();
        }

        /// Entering adds one and leaving takes one away: two transitions that are reported in the wrong order still leave the
        /// gauges right, and circuits that share a name add up.
        pub(super) fn transition(&self, transition: Transition) {
            let states = self.states();
            self.shift(states, transition.from, -1);
            self.shift(states, transition.to, 1);
            states.transitions[transition.to as usize].increment(1);
        }

        fn shift(&self, states: &States, state: State, by: i64) {
            // Relaxed: read only in drop, which is ordered after every use.
            self.held[state as usize].fetch_add(by, Ordering::Relaxed);
            match by {
                1.. => states.gauges[state as usize].increment(1.0),
                _ => states.gauges[state as usize].decrement(1.0),
            }
        }

        fn states(&self) -> &States {
            if let Some(states) = self.states.get() {
                return states;
            }
            let mut first = false;
            let states = self.states.get_or_init(|| {
                first = true;
                self.make()
            });
            if first {
                self.shift(states, State::Closed, 1);
            }
            states
        }

        fn make(&self) -> States {
            let gauge = |state: State| gauge!("steadfast_breaker_state", "breaker" => Arc::clone(&self.name), "state" => state.name());
            let transitions = |to: State| counter!("steadfast_breaker_transitions_total", "breaker" => Arc::clone(&self.name), "to" => to.name());
            States { gauges: State::ALL.map(gauge), transitions: State::ALL.map(transitions) }
        }
    }

    impl Drop for Metrics {
        fn drop(&mut self) {
            let Some(states) = self.states.get() else { return };
            for (gauge, held) in states.gauges.iter().zip(&mut self.held) {
                if *held.get_mut() > 0 {
                    gauge.decrement(1.0);
                }
            }
        }
    }
}
