//! The contract that every layer keeps, one clause at a time.
//!
//! A layer under test is a closure that wraps a [`Probe`]; each clause gets a fresh probe, polls by
//! hand and never waits, with tokio's clock paused. So a clause that hangs in production fails here
//! at once.
//!
//! Configure the layer so that it has no reason to refuse: a hundred cancelled calls, one panic or
//! three failures must not trip it. What it does when it refuses is for its own tests.

mod cancellation;
mod panics;
mod readiness;
mod response;
mod rig;

use std::fmt;

use tower_service::Service;

use self::rig::{Check, panic_text, with_paused_clock};
use crate::{BoxError, Probe};

/// A service the suite can test: a [`Probe`] wrapped in a layer. Implemented for everything of that
/// shape.
pub trait Subject: Service<u32, Response = u32, Error = BoxError> + Clone {}

impl<S: Service<u32, Response = u32, Error = BoxError> + Clone> Subject for S {}

/// Checks every clause.
///
/// Call it from a plain `#[test]`; it brings its own paused clock.
///
/// # Panics
/// When clauses are broken; the message names each and says how.
pub fn suite<S: Subject>(make: impl Fn(Probe) -> S) {
    let broken = broken(make);
    let report: Vec<String> = broken.iter().map(|breach| format!("  {breach}")).collect();
    assert!(
        broken.is_empty(),
        "the layer breaks {} clauses of the contract:\n{}",
        broken.len(),
        report.join("\n")
    );
}

/// Checks every clause and returns those that are broken, in the order of [`Clause::ALL`].
pub fn broken<S: Subject>(make: impl Fn(Probe) -> S) -> Vec<Breach> {
    Clause::ALL.into_iter().filter_map(|clause| check(clause, &make).err()).collect()
}

/// Checks one clause. A panic of the layer breaks the clause too.
///
/// # Errors
/// When the clause is broken: how.
pub fn check<S: Subject>(clause: Clause, make: impl Fn(Probe) -> S) -> Result<(), Breach> {
    let checked = with_paused_clock(|| clause.case::<S>()(&make));
    let checked =
        checked.unwrap_or_else(|payload| Err(format!("it panicked: {}", panic_text(&*payload))));
    checked.map_err(|how| Breach { clause, how })
}

/// A broken clause, and how it was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Breach {
    /// The clause.
    pub clause: Clause,
    /// What was seen.
    pub how: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({}): {}", self.clause, self.clause, self.how)
    }
}

impl std::error::Error for Breach {}

macro_rules! clauses {
    ($($(#[doc = $doc:literal])+ $name:ident => $case:path,)+) => {
        /// What a layer owes to the services on both sides of it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Clause {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Clause {
            /// Every clause, in the order in which they are checked.
            pub const ALL: [Self; [$(stringify!($name)),+].len()] = [$(Self::$name),+];

            fn case<S: Subject>(self) -> fn(&dyn Fn(Probe) -> S) -> Check {
                match self {
                    $(Self::$name => $case,)+
                }
            }
        }

        impl fmt::Display for Clause {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name => concat!($($doc),+).trim_ascii(),)+
                })
            }
        }
    };
}

clauses! {
    /// Readiness is good for one call: after it the inner service is asked again.
    ReadinessIsForOneCall => readiness::is_for_one_call,
    /// A clone has no readiness of its own: it asks the inner service.
    CloneDropsReadiness => readiness::is_dropped_by_clone,
    /// The instance that was made ready is the one that is called.
    ReadiedInstanceIsCalled => readiness::is_called_where_it_was_given,
    /// While the inner service is not ready, neither is the layer.
    PendingIsPassedOn => readiness::pending_is_passed_on,
    /// A task that waits for readiness is woken when the inner service is ready.
    ReadinessWakes => readiness::wakes,
    /// No task is woken for nothing, neither while it waits for readiness nor for a response.
    NeverBusyWakes => readiness::never_busy_wakes,
    /// An inner service that fails its readiness is reported as it is.
    ReadinessErrorIsPassedOn => readiness::error_is_passed_on,
    /// Readiness never fails on the layer's own account.
    ReadinessNeverFailsByItself => readiness::never_fails_by_itself,
    /// A success costs one call of the inner service.
    OneCallForOneRequest => response::costs_one_call,
    /// A pending response is woken by the inner one and is then done with one more poll of it.
    ResponseWakes => response::wakes,
    /// The task that polled last is the one that is woken.
    LatestTaskIsWoken => response::wakes_the_latest_task,
    /// An inner future that is done is not polled again.
    NeverPollsWhatIsDone => response::is_not_polled_when_done,
    /// An error of the inner service comes out unchanged.
    ErrorIsUnchanged => response::error_is_unchanged,
    /// Several calls under way at once each get their own answer, in any order.
    CallsRunSideBySide => response::calls_run_side_by_side,
    /// A response that comes long after others, and after its service is gone, does no harm.
    StragglerDoesNoHarm => response::straggler_does_no_harm,
    /// A service dropped before its call leaves nothing behind.
    DropBeforeCall => cancellation::before_call,
    /// A future dropped before its first poll leaves nothing behind.
    DropBeforePoll => cancellation::before_poll,
    /// A future dropped while it is pending leaves nothing behind.
    DropWhilePending => cancellation::while_pending,
    /// A future dropped after its outcome leaves nothing behind.
    DropWhenDone => cancellation::when_done,
    /// A panic of the inner service in `poll_ready` comes out, and the next call works.
    PanicInReadiness => panics::in_readiness,
    /// A panic of the inner service in `call` comes out, and the next call works.
    PanicInCall => panics::in_call,
    /// A panic of the inner future comes out, and the next call works.
    PanicInFuture => panics::in_future,
}
