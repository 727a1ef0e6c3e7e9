//! State as plain data.

use std::sync::Arc;

use crate::FaultKind;

/// Whether requests meet faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// They do not, and are not counted.
    #[default]
    Off,
    /// They do, as the plan says.
    On,
    /// They do not, and what they would have met is counted.
    DryRun,
}

/// What was injected, to be compared with what was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultsSnapshot {
    /// Whether requests meet faults now.
    pub mode: Mode,
    /// Requests seen while the faults were on, or in a dry run.
    pub requests: u64,
    /// The rules of the plan, in its order, since it became the plan.
    pub rules: Vec<RuleSnapshot>,
}

/// What became of one rule's faults.
///
/// A fault that was decided is struck or skipped once that is known; one whose reply is still to
/// come is neither yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleSnapshot {
    /// The rule, by its name.
    pub name: Arc<str>,
    /// What it injects.
    pub kind: FaultKind,
    /// Requests that it would have struck, in a dry run.
    pub would_strike: u64,
    /// Faults injected.
    pub struck: u64,
    /// Faults that were decided and could not be done: a request that cannot be copied, a reply
    /// without a body, a service that failed by itself, a caller that left before there was a reply
    /// to spoil.
    pub skipped: u64,
}

impl FaultsSnapshot {
    /// The rule of this name.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<&RuleSnapshot> {
        self.rules.iter().find(|rule| &*rule.name == name)
    }

    /// Faults of this kind that were injected, by all rules.
    #[must_use]
    pub fn struck(&self, kind: FaultKind) -> u64 {
        self.rules.iter().filter(|rule| rule.kind == kind).map(|rule| rule.struck).sum()
    }
}
