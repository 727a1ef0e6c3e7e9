//! A search of all states, breadth first: the shortest counterexample is found first.

use std::{
    collections::HashSet,
    fmt::{self, Debug},
    hash::{BuildHasherDefault, Hash, Hasher},
};

/// An action, and the state after it; `Err` where a promise is broken, and which.
pub(crate) type Step<M> =
    (<M as Model>::Action, Result<<M as Model>::State, <M as Model>::Promise>);

/// What can happen, one step at a time.
pub(crate) trait Model {
    /// Each is kept twice: small, and alike where the difference makes none.
    type State: Clone + Eq + Hash;
    /// For the eye.
    type Action: Debug;
    type Promise: Copy + Debug;

    fn start(&self) -> Self::State;

    /// Adds every action that can come next.
    fn next(&self, state: &Self::State, found: &mut Vec<Step<Self>>)
    where
        Self: Sized;
}

/// What a search has found.
pub(crate) struct Found<M: Model> {
    pub(crate) states: usize,
    pub(crate) depth: usize,
    pub(crate) broken: Option<(M::Promise, Vec<M::Action>)>,
}

impl<M: Model> Found<M> {
    /// # Panics
    /// When a promise is broken: with the steps that lead there. When there are fewer states than
    /// `least`: a world in which hardly anything can happen keeps every promise.
    pub(crate) fn holds(&self, name: &str, least: usize) {
        println!("{name}: {self}");
        assert!(self.broken.is_none(), "{name}: {self}");
        assert!(self.states >= least, "{name}: {self}");
    }

    /// # Panics
    /// When no promise is broken, or after another number of steps.
    pub(crate) fn breaks(&self, name: &str, steps: usize) -> M::Promise {
        println!("{name}: {self}");
        let broken = self.broken.as_ref().map(|(_, trace)| trace.len());
        assert_eq!(broken, Some(steps), "{name}: {self}");
        self.broken.as_ref().expect("it was looked at").0
    }
}

impl<M: Model> fmt::Display for Found<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} states, depth {}", self.states, self.depth)?;
        let Some((promise, trace)) = &self.broken else { return write!(f, ", all promises hold") };
        write!(f, "; {promise:?} is broken after {} steps:", trace.len())?;
        trace.iter().enumerate().try_for_each(|(at, step)| write!(f, "\n  {:2} {step:?}", at + 1))
    }
}

/// A multiplication for each eight bytes: keys are no enemy's here.
#[derive(Default)]
struct Fast(u64);

impl Hasher for Fast {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let mixed = (self.0.rotate_left(5) ^ u64::from_le_bytes(word))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.0 = mixed ^ (mixed >> 29);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Comes to every state of `model`, or to the first step that breaks a promise.
pub(crate) fn explore<M: Model>(model: &M) -> Found<M> {
    // Each state once, in the order of their depths, with the place of the one before. The steps
    // between are not kept: those of a trace are taken again.
    let mut reached = vec![(model.start(), 0_u32)];
    let mut seen: HashSet<_, BuildHasherDefault<Fast>> = HashSet::default();
    seen.insert(model.start());
    let (mut next, mut depth, mut level_ends) = (0, 0, 1);
    let mut steps = vec![];
    while next < reached.len() {
        if next == level_ends {
            (depth, level_ends) = (depth + 1, reached.len());
        }
        model.next(&reached[next].0.clone(), &mut steps);
        for (action, after) in steps.drain(..) {
            match after {
                Ok(after) => {
                    if seen.insert(after.clone()) {
                        let before = u32::try_from(next).expect("fewer than 2^32 states");
                        reached.push((after, before));
                    }
                }
                Err(promise) => {
                    let mut trace = trace(model, &reached, next);
                    trace.push(action);
                    let broken = Some((promise, trace));
                    return Found { states: reached.len(), depth: depth + 1, broken };
                }
            }
        }
        next += 1;
    }
    Found { states: reached.len(), depth, broken: None }
}

/// The steps from the start to the state at this place.
fn trace<M: Model>(model: &M, reached: &[(M::State, u32)], mut at: usize) -> Vec<M::Action> {
    let (mut trace, mut steps) = (vec![], vec![]);
    while at != 0 {
        let (state, before) = &reached[at];
        at = *before as usize;
        model.next(&reached[at].0, &mut steps);
        let step = steps.drain(..).find(|(_, after)| after.as_ref().is_ok_and(|it| it == state));
        trace.push(step.expect("the same step leads there again").0);
    }
    trace.reverse();
    trace
}
