//! Which fault meets which request, and what happens to processes and links, by time.

use std::sync::Arc;

use steadfast_core::ConfigError;

use crate::{Event, Outage, Rule, timeline};

/// Rules, outages and a seed: plain data.
///
/// Rules are for requests and work in a layer. A request meets one fault at most: that of the
/// first rule, in the order they were added, that strikes it. So a later rule strikes its share of
/// the requests that the earlier ones left.
///
/// Outages are for processes and links, and make the plan's [`timeline`](Self::timeline).
///
/// The same plan gives the same faults: a draw is a hash of the seed, the rule's name, and the
/// number of the request or its key. A schedule in time repeats only where time does, under a
/// paused clock.
///
/// ```
/// use std::time::Duration;
/// use steadfast_chaos::{FailureMode, Fault, Outage, Plan, Rule};
///
/// # fn main() -> Result<(), steadfast_core::ConfigError> {
/// let second = Duration::from_secs;
/// let plan = Plan::new(7)
///     .rule(Rule::new("lost replies", Fault::ReplyLost).probability(0.01))
///     .outage(Outage::new("a", FailureMode::Killed).during(second(3)..second(11)));
/// // It begins, and it ends.
/// assert_eq!(plan.timeline()?.len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Plan {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) seed: u64,
    pub(crate) rules: Vec<Rule>,
    pub(crate) outages: Vec<Outage>,
}

impl Plan {
    /// No faults yet.
    pub const fn new(seed: u64) -> Self {
        Self { name: None, seed, rules: Vec::new(), outages: Vec::new() }
    }

    /// The name in metrics and events.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// One rule more, behind those there are. Each has a name of its own.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// One outage more.
    pub fn outage(mut self, outage: Outage) -> Self {
        self.outages.push(outage);
        self
    }

    /// What happens to processes and links, sorted by time. Where one thing ends as another
    /// begins, the end comes first.
    ///
    /// # Errors
    /// When a number of the plan is outside the range its setter names, two rules have one name,
    /// or two outages clash.
    pub fn timeline(&self) -> Result<Vec<Event>, ConfigError> {
        self.check()?;
        Ok(timeline::of(self.seed, &self.outages))
    }

    /// Its rules, in their order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Its outages, in the order they were added.
    pub fn outages(&self) -> &[Outage] {
        &self.outages
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        (0..self.rules.len()).try_for_each(|place| self.check_rule(place))?;
        (0..self.outages.len()).try_for_each(|place| self.check_outage(place))
    }

    /// One rule, by itself and beside those before it.
    pub(crate) fn check_rule(&self, place: usize) -> Result<(), ConfigError> {
        let (before, rule) = (&self.rules[..place], &self.rules[place]);
        rule.check()?;
        let is_taken = before.iter().any(|earlier| earlier.name == rule.name);
        ConfigError::require(!is_taken, "name", &rule.name, "the name of one rule only")
    }

    /// One outage, by itself and beside those before it.
    pub(crate) fn check_outage(&self, place: usize) -> Result<(), ConfigError> {
        let (before, outage) = (&self.outages[..place], &self.outages[place]);
        outage.check()?;
        match before.iter().find(|earlier| earlier.clashes(outage)) {
            None => Ok(()),
            Some(earlier) => Err(outage.clash(earlier)),
        }
    }
}
