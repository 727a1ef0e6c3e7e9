//! What a circuit says of itself.

use std::{fmt, time::Duration};

use steadfast_core::Counts;

/// The state of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Calls pass and are counted.
    Closed,
    /// Calls are refused until the open time has passed.
    Open,
    /// A few probes pass; what becomes of them decides.
    HalfOpen,
    /// Calls are refused until the circuit is reset.
    ForcedOpen,
    /// Calls pass and are not counted.
    Disabled,
}

impl State {
    /// All states.
    pub const ALL: [Self; 5] =
        [Self::Closed, Self::Open, Self::HalfOpen, Self::ForcedOpen, Self::Disabled];

    /// The state as a metric label: `closed`, `open`, `half_open`, `forced_open`, `disabled`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a circuit changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The share of failures in the window reached its limit.
    FailureRatio,
    /// The share of slow calls in the window reached its limit.
    SlowCallRatio,
    /// As many failures in a row as are allowed, over the span that is asked for.
    ConsecutiveFailures,
    /// The open time has passed.
    OpenTimePassed,
    /// Enough probes succeeded.
    ProbesSucceeded,
    /// A probe failed, and the required number could no longer succeed.
    ProbesFailed,
    /// A probe did not come back in time, and the required number could no longer succeed.
    ProbesOverdue,
    /// The handle was used.
    Commanded,
}

/// One change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why.
    pub cause: Cause,
    /// How many transitions the circuit has made, this one included. A gap tells of missed ones.
    pub sequence: u64,
}

/// How many calls a circuit has refused since it was made, by its state at that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusals {
    /// While it was open.
    pub open: u64,
    /// While it was half-open, and no place among the probes was free.
    pub half_open: u64,
    /// While it was forced open.
    pub forced_open: u64,
}

impl Refusals {
    /// All of them.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.open + self.half_open + self.forced_open
    }
}

/// The state of a circuit as plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CircuitSnapshot {
    /// The state. An open circuit whose time has passed stays open until the next call.
    pub state: State,
    /// Whether refusals are only counted, not carried out.
    pub dry_run: bool,
    /// What the window holds; empty unless closed.
    pub counts: Counts,
    /// Failures in a row; not counted where the rule is off.
    pub consecutive_failures: u32,
    /// What is left of the open time, when open.
    pub open_for: Option<Duration>,
    /// How often the circuit has opened since it was last closed.
    pub trips: u32,
    /// Why it changed its state last; `None` before the first time.
    pub last_cause: Option<Cause>,
    /// What the window held as the rules last opened a closed circuit, the failure that did it
    /// included. It stays when the circuit closes.
    pub counts_at_trip: Option<Counts>,
    /// Probes under way and not overdue, when half-open.
    pub probes_in_flight: u32,
    /// How many calls it has refused. Each thread counts for itself, so those of this moment may be
    /// missing. A call that a dry run would have refused is none.
    pub refusals: Refusals,
    /// How many transitions the circuit has made.
    pub transitions: u64,
}
