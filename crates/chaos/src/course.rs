//! A plan under way: pure, and in the order of the requests.

use std::sync::Arc;

use steadfast_core::ConfigError;

use crate::{Facts, Fault, Plan, Rule, burst::Burst, draw::Stream, rule::check_probability};

/// A plan, and how far it has come. It reads no clock, and neither waits nor allocates to decide.
#[derive(Clone, Debug)]
pub struct Course {
    plan: Plan,
    progress: Vec<Progress>,
    next: u64,
}

/// How far one rule has come.
#[derive(Clone, Debug)]
struct Progress {
    /// What decides whether a request is struck.
    draws: Stream,
    /// What a strike's own number is taken from.
    chances: Stream,
    burst: Option<Burst>,
    /// Requests that the rule's conditions let through.
    admitted: u64,
    /// Requests that met its fault.
    struck: u64,
}

/// A fault that meets a request.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Strike {
    /// The number of the request, counted from 0 in the order of `call`.
    pub number: u64,
    /// The place of its rule in the plan.
    pub rule: usize,
    /// What happens.
    pub fault: Fault,
    /// A number of the strike's own, from 0 up to 1: how long its delay is, which bit it flips.
    pub chance: f64,
}

/// A rate that was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RateError {
    /// The plan has no rule of that name.
    #[error("the plan has no rule {name:?}")]
    UnknownRule {
        /// The name that was asked for.
        name: Arc<str>,
    },
    /// The rate is none.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl Course {
    /// Before the first request.
    ///
    /// # Errors
    /// When a number of the plan is outside the range its setter names, two rules have one name,
    /// or two outages clash.
    pub fn new(plan: Plan) -> Result<Self, ConfigError> {
        plan.check()?;
        let progress = plan.rules.iter().map(|rule| Progress::new(plan.seed, rule)).collect();
        Ok(Self { plan, progress, next: 0 })
    }

    /// What meets the next request: the fault of the first rule that strikes it, and so of one at
    /// most. Requests are numbered by this call.
    pub fn decide(&mut self, facts: &Facts<'_>) -> Option<Strike> {
        let number = self.next;
        self.next += 1;
        let subject = facts.key.unwrap_or(number);
        let mut strike = None;
        // All rules see the request, so that none counts otherwise for what comes before it.
        for (place, (rule, progress)) in self.plan.rules.iter().zip(&mut self.progress).enumerate()
        {
            // At each request, so that no stretch of them is ever made up for at once.
            let is_on = progress.burst.as_mut().is_none_or(|burst| burst.is_on(number));
            let could = rule.admits(number, facts) && progress.counts(rule) && is_on;
            if could && strike.is_none() && progress.draws.at(subject) < rule.probability {
                progress.struck += 1;
                let chance = progress.chances.at(subject);
                strike = Some(Strike { number, rule: place, fault: rule.fault, chance });
            }
        }
        strike
    }

    /// Changes the rate of a rule from the next request on: 0 to 1. Draws stay as they are, so a
    /// higher rate strikes the requests that the lower one would have, and more.
    ///
    /// # Errors
    /// When no rule has that name, or the rate is none. Nothing has changed then.
    pub fn set_probability(&mut self, name: &str, probability: f64) -> Result<(), RateError> {
        let rule = self.plan.rules.iter_mut().find(|rule| &*rule.name == name);
        let rule = rule.ok_or_else(|| RateError::UnknownRule { name: name.into() })?;
        check_probability(name, probability)?;
        rule.probability = probability;
        Ok(())
    }

    /// Begins another plan, with request 0.
    ///
    /// # Errors
    /// As [`new`](Self::new). The plan before goes on then.
    pub fn replace(&mut self, plan: Plan) -> Result<(), ConfigError> {
        *self = Self::new(plan)?;
        Ok(())
    }

    /// The plan, with the rates as they are now.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How many requests were decided.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.next
    }

    /// How many requests each rule struck, in the plan's order.
    #[must_use]
    pub fn struck(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.progress.iter().map(|progress| progress.struck)
    }
}

impl Progress {
    fn new(seed: u64, rule: &Rule) -> Self {
        let stream = |purpose| Stream::new(seed, &[purpose, &rule.name]);
        let burst = rule.burst.map(|(enter, leave)| Burst::new(enter, leave, stream("burst")));
        Self { draws: stream("strike"), chances: stream("chance"), burst, admitted: 0, struck: 0 }
    }

    /// Counts a request that the rule admits: whether it is one of every `n`, and below the bound.
    fn counts(&mut self, rule: &Rule) -> bool {
        self.admitted += 1;
        rule.every.is_none_or(|every| self.admitted.is_multiple_of(every.get()))
            && rule.at_most.is_none_or(|most| self.struck < most.get())
    }
}

#[cfg(test)]
mod tests;
