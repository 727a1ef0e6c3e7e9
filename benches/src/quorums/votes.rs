//! Votes to ask about, seeded and hard to foresee.

use std::{fmt, hint::black_box, sync::Arc};

use steadfast_quorum::Nodes;

use crate::{chance::SplitMix64, subject::Subject};

/// The nodes that have voted yes, and those that have voted no.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Votes<const WORDS: usize = 1> {
    pub(crate) yes: Nodes<WORDS>,
    pub(crate) no: Nodes<WORDS>,
}

/// A mix holds so many words in all. Long enough that no branch predictor learns it by heart, short
/// enough that it stays in the second cache, from which it is read in order.
const MIX_WORDS: usize = 1 << 14;

/// Of nodes 0 to `nodes - 1`. Each time at least half of them have voted, whichever; how many of
/// these voted yes is as likely to be few as many. So a majority is won, lost and open about as
/// often, and what it is depends on all of the votes.
pub(crate) fn mix<const WORDS: usize>(nodes: usize) -> Vec<Votes<WORDS>> {
    let mut chance = SplitMix64::seeded(nodes as u64);
    (0..MIX_WORDS / (2 * WORDS)).map(|_| voted(nodes, &mut chance)).collect()
}

fn voted<const WORDS: usize>(nodes: usize, chance: &mut SplitMix64) -> Votes<WORDS> {
    let mut order: Vec<usize> = (0..nodes).collect();
    for place in (1..nodes).rev() {
        order.swap(place, chance.below(place + 1));
    }
    let count = nodes / 2 + chance.below(nodes - nodes / 2 + 1);
    let favour = chance.share();
    let (mut yes, mut no) = (Nodes::EMPTY, Nodes::EMPTY);
    for &node in &order[..count] {
        let set = if chance.share() <= favour { &mut yes } else { &mut no };
        set.insert(node);
    }
    Votes { yes, no }
}

/// Asks about one after the other, and begins again after the last. The answers are not used: a
/// branch on them could be mispredicted, and that time would not be the rule's.
#[derive(Clone)]
pub(crate) struct Asking<T, F> {
    mix: Arc<[T]>,
    next: usize,
    ask: F,
}

impl<T, F> Asking<T, F> {
    pub(crate) fn new(mix: Vec<T>, ask: F) -> Self {
        Self { mix: mix.into(), next: 0, ask }
    }
}

impl<T, A, F> Subject for Asking<T, F>
where
    T: Send + Sync + 'static,
    F: Fn(&T) -> A + Clone + Send + 'static,
{
    fn run(&mut self, calls: u64) -> u64 {
        let mut left =
            usize::try_from(calls).expect("a machine makes no more calls than it can count");
        while left > 0 {
            let votes = &self.mix[self.next..];
            let votes = &votes[..left.min(votes.len())];
            for votes in votes {
                black_box((self.ask)(black_box(votes)));
            }
            left -= votes.len();
            self.next = (self.next + votes.len()) % self.mix.len();
        }
        calls
    }

    fn fork(&self) -> Box<dyn Subject> {
        Box::new(Self { mix: Arc::clone(&self.mix), next: self.next, ask: self.ask.clone() })
    }
}

impl<T, F> fmt::Debug for Asking<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").field("mix", &self.mix.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use steadfast_quorum::{Decision, Rule};

    use super::*;
    use crate::quorums::rules;

    fn shares<const WORDS: usize>(rule: &dyn Rule<WORDS>, nodes: usize) -> [f64; 3] {
        let mix = mix(nodes);
        [Decision::Won, Decision::Pending, Decision::Lost].map(|decision| {
            let count =
                mix.iter().filter(|votes| rule.decide(votes.yes, votes.no) == decision).count();
            count as f64 / mix.len() as f64
        })
    }

    #[test]
    fn no_outcome_is_rare() {
        let all = [
            shares(&rules::majority::<1>(5), 5),
            shares(&rules::joint(), rules::JOINT),
            shares(&rules::weighted(), 5),
            shares(&rules::grid(), 9),
            shares(&rules::hierarchy(), 9),
            shares(&rules::sites(5), 25),
            shares(&rules::majority::<1>(64), 64),
            shares(&rules::majority::<4>(200), 200),
            shares(&rules::majority::<16>(1000), 1000),
        ];
        assert!(all.as_flattened().iter().all(|share| *share >= 0.1), "{all:.2?}");
    }
}
