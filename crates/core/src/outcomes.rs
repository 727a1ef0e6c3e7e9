//! Counters over a closed set of outcomes.

use std::sync::{Arc, OnceLock};

use metrics::{Counter, counter};

/// One counter metric with a label for the layer's name and one for the outcome, out of a closed set.
///
/// The handles are made together, on first use: made before the program installs its recorder they would stay no-ops.
pub struct OutcomeCounters {
    metric: &'static str,
    label: &'static str,
    key: &'static str,
    name: Arc<str>,
    outcomes: &'static [&'static str],
    counters: OnceLock<Box<[Counter]>>,
}

impl OutcomeCounters {
    /// Counters named `metric`, labelled `label = name` and `outcome =` one of `outcomes`.
    #[must_use]
    pub const fn new(
        metric: &'static str,
        label: &'static str,
        name: Arc<str>,
        outcomes: &'static [&'static str],
    ) -> Self {
        Self { metric, label, key: "outcome", name, outcomes, counters: OnceLock::new() }
    }

    /// The same with another label than `outcome` for the closed set.
    #[must_use]
    pub const fn by(mut self, key: &'static str) -> Self {
        self.key = key;
        self
    }

    /// Counts one call with the outcome at `index` of the closed set.
    ///
    /// # Panics
    /// When `index` is outside the set.
    #[inline]
    pub fn increment(&self, index: usize) {
        self.counters.get_or_init(|| self.make())[index].increment(1);
    }

    fn make(&self) -> Box<[Counter]> {
        let counter =
            |&outcome: &&'static str| counter!(self.metric, self.label => Arc::clone(&self.name), self.key => outcome);
        self.outcomes.iter().map(counter).collect()
    }
}

impl std::fmt::Debug for OutcomeCounters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutcomeCounters")
            .field("metric", &self.metric)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
