//! A plan under way: pure, and in the order of the requests.

use std::time::Duration;

use steadfast_core::ConfigError;

use crate::{Fault, Plan, draw};

/// A plan, and how far it has come. It reads no clock.
#[derive(Clone, Debug)]
pub struct Course {
    plan: Plan,
    next: u64,
}

/// What is known of a request when it is decided.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Facts<'a> {
    /// Since the plan began.
    pub elapsed: Duration,
    /// What the user calls this kind of request, for the rules that strike only some.
    pub tag: Option<&'a str>,
    /// What the user knows the request by: then the draw goes by it, and not by the number.
    pub key: Option<u64>,
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

impl Course {
    /// Before the first request.
    ///
    /// # Errors
    /// When a number of the plan is outside the range its setter names.
    pub fn new(plan: Plan) -> Result<Self, ConfigError> {
        plan.check()?;
        Ok(Self { plan, next: 0 })
    }

    /// What meets the next request.
    pub fn decide(&mut self, facts: &Facts<'_>) -> Option<Strike> {
        let number = self.next;
        self.next += 1;
        let subject = facts.key.unwrap_or(number);
        let seed = self.plan.seed;
        self.plan.rules.iter().enumerate().find_map(|(place, rule)| {
            let is_struck = draw::uniform(seed, place as u64, subject) < rule.probability;
            let chance = draw::uniform(!seed, place as u64, subject);
            is_struck.then_some(Strike { number, rule: place, fault: rule.fault, chance })
        })
    }
}
