//! One fault of a plan: when it strikes.

use std::sync::Arc;

use crate::Fault;

/// One fault, and which requests it strikes.
#[derive(Clone, Debug)]
#[must_use]
pub struct Rule {
    #[expect(dead_code, reason = "for the draws, to come")]
    pub(crate) name: Arc<str>,
    pub(crate) fault: Fault,
    pub(crate) probability: f64,
}

impl Rule {
    /// Strikes every request. `name` is the rule's own in its plan, and seeds its draws.
    pub fn new(name: impl Into<Arc<str>>, fault: Fault) -> Self {
        Self { name: name.into(), fault, probability: 1.0 }
    }

    /// How likely it strikes a request that it could strike: 0 to 1.
    pub const fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }
}
