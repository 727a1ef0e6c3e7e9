//! What is told of a clock, when the features are on.

use std::{sync::Arc, time::Duration};

use crate::Jump;

/// A clock's name, and what is shown under it.
#[derive(Debug)]
pub(crate) struct Telemetry {
    #[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "only events and metrics are named"))]
    name: Arc<str>,
}

impl Telemetry {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self { name }
    }

    /// Somebody compared the wall clock with time, which happens about once a second.
    #[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "nothing is said without the features"))]
    pub(crate) fn looked(&self, lead: impl FnOnce() -> Duration, jump: Option<Jump>) {
        #[cfg(feature = "tracing")]
        if let Some(jump) = jump {
            tracing::warn!(clock = &*self.name, ?jump, lead = ?lead(), "the wall clock was set");
        }
    }

    /// A stamp was too far ahead.
    pub(crate) fn refused(&self) {}
}
