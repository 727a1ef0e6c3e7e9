//! What all handles of one layer share.

use steadfast_core::parts::Splitter;

use crate::{budget::Budget, plan::Plan, telemetry::Telemetry};

/// The layer's state and rules. `R` holds those that are types of the user's.
#[derive(Debug)]
pub(crate) struct Shared<R> {
    pub(crate) rules: R,
    pub(crate) plan: Plan,
    pub(crate) budget: Budget,
    pub(crate) splitter: Splitter,
    pub(crate) telemetry: Telemetry,
}

/// The behaviours of a retry layer: how it judges, how it replays, how it reads a request's deadline.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules<C, P, X> {
    pub(crate) classify: C,
    pub(crate) replay: P,
    pub(crate) context: X,
}
