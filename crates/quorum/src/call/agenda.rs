//! What all calls of one service have in common.

use std::{fmt, sync::Arc};

use super::{pace::Pace, telemetry::Telemetry};
use crate::{Nodes, Rule};

pub(crate) struct Agenda<P, const WORDS: usize> {
    pub(crate) rule: Box<dyn Rule<WORDS> + Send + Sync>,
    /// The nodes by place: the first is preferred.
    pub(crate) order: Box<[usize]>,
    /// The members that have a service, and those that have none.
    pub(crate) present: Nodes<WORDS>,
    pub(crate) absent: Nodes<WORDS>,
    pub(crate) pace: Pace,
    pub(crate) telemetry: Telemetry,
    pub(crate) plan: P,
}

pub(crate) type Shared<P, const WORDS: usize> = Arc<Agenda<P, WORDS>>;

impl<P, const WORDS: usize> fmt::Debug for Agenda<P, WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agenda").field("order", &self.order).field("pace", &self.pace).finish_non_exhaustive()
    }
}
