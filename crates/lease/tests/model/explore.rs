//! A search of all states, breadth first: the shortest counterexample is found first.

use std::{
    collections::HashMap,
    fmt::{self, Debug},
    hash::Hash,
};

/// An action, and the state after it; `Err` where a promise is broken, and which.
pub(crate) type Step<A, S> = (A, Result<S, &'static str>);

/// What can happen, one step at a time.
pub(crate) trait Model {
    type State: Clone + Eq + Hash;
    type Action: Copy + Debug;

    fn start(&self) -> Self::State;

    /// Adds every action that can come next.
    fn next(&self, state: &Self::State, found: &mut Vec<Step<Self::Action, Self::State>>);
}

/// What a search has found.
pub(crate) struct Found<A> {
    pub(crate) states: usize,
    pub(crate) depth: usize,
    pub(crate) broken: Option<(&'static str, Vec<A>)>,
}

impl<A: Debug> Found<A> {
    /// # Panics
    /// When a promise is broken: with the steps that lead there.
    pub(crate) fn holds(&self, name: &str) {
        println!("{name}: {self}");
        assert!(self.broken.is_none(), "{name}: {self}");
    }

    /// # Panics
    /// When no promise is broken, or after another number of steps.
    pub(crate) fn breaks(&self, name: &str, steps: usize) {
        println!("{name}: {self}");
        let broken = self.broken.as_ref().map(|(_, trace)| trace.len());
        assert_eq!(broken, Some(steps), "{name}: {self}");
    }
}

impl<A: Debug> fmt::Display for Found<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} states, depth {}", self.states, self.depth)?;
        let Some((promise, trace)) = &self.broken else { return write!(f, ", all promises hold") };
        write!(f, "; {promise} after {} steps:", trace.len())?;
        trace.iter().enumerate().try_for_each(|(at, step)| write!(f, "\n  {:2} {step:?}", at + 1))
    }
}

/// Comes to every state of `model`, or to the first that breaks a promise.
pub(crate) fn explore<M: Model>(model: &M) -> Found<M::Action> {
    let start = model.start();
    // Each state once, with the place of the one before and the step between.
    let mut ways: Vec<(u32, Option<M::Action>)> = vec![(0, None)];
    let mut seen = HashMap::from([(start.clone(), 0_u32)]);
    let (mut level, mut depth, mut found) = (vec![start], 0, Vec::new());
    let trace = |ways: &[(u32, Option<M::Action>)], mut place: u32, last| {
        let mut trace = vec![last];
        while let (before, Some(action)) = ways[place as usize] {
            trace.push(action);
            place = before;
        }
        trace.reverse();
        trace
    };
    while !level.is_empty() {
        let mut further = Vec::new();
        for state in level {
            let place = seen[&state];
            model.next(&state, &mut found);
            for (action, after) in found.drain(..) {
                let after = match after {
                    Ok(after) => after,
                    Err(promise) => {
                        let broken = Some((promise, trace(&ways, place, action)));
                        return Found { states: seen.len(), depth: depth + 1, broken };
                    }
                };
                if !seen.contains_key(&after) {
                    let id = u32::try_from(ways.len()).expect("fewer than 2^32 states");
                    seen.insert(after.clone(), id);
                    ways.push((place, Some(action)));
                    further.push(after);
                }
            }
        }
        depth += usize::from(!further.is_empty());
        level = further;
    }
    Found { states: seen.len(), depth, broken: None }
}
