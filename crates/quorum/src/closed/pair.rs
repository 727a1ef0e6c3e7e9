//! Two sums of weights.

mod sums;

use super::{MOST_STATES, Meets};
use crate::{Nodes, Shape};

/// So much weight against so much weight, over nodes that may weigh differently in the two.
pub(super) struct Pair<const WORDS: usize> {
    first: Side<WORDS>,
    second: Side<WORDS>,
    /// The nodes that weigh something in both: those that weigh most for the first and least for
    /// the second before the others.
    common: Vec<Common>,
    /// What the common nodes before each weigh together, for the first and for the second.
    before: Vec<(u64, u64)>,
}

struct Side<const WORDS: usize> {
    needed: u64,
    /// The nodes that weigh something here only, and what they weigh together.
    own: Nodes<WORDS>,
    weight: u64,
}

struct Common {
    node: usize,
    /// What it weighs for the first and for the second.
    weight: u64,
    its: u64,
}

/// Some of the common nodes given to the first, some to the second, the others still to be given.
#[derive(Clone, Copy)]
struct State<const WORDS: usize> {
    /// What the first has, and what the second has or may have.
    has: u64,
    left: u64,
    given: Nodes<WORDS>,
}

/// What can come of a state.
enum Outlook<const WORDS: usize> {
    /// Both get what they need, the first from these nodes.
    Apart(Nodes<WORDS>),
    /// Not both can get it.
    Short,
    Open,
}

impl<const WORDS: usize> Pair<WORDS> {
    /// If both are nothing but nodes.
    pub(super) fn of(a: &Shape<'_, WORDS>, b: &Shape<'_, WORDS>) -> Option<Self> {
        let ((needed, mine), (its_needed, its)) = (a.flat()?, b.flat()?);
        let mut first = Side { needed, own: Nodes::EMPTY, weight: 0 };
        let mut second = Side { needed: its_needed, own: Nodes::EMPTY, weight: 0 };
        let mut common = Vec::with_capacity(mine.len().min(its.len()));
        // Both are in the order of the nodes' numbers.
        let mut its = its.into_iter().peekable();
        for (node, weight) in mine {
            while let Some((other, weight)) = its.next_if(|(other, _)| *other < node) {
                second.add(other, weight);
            }
            match its.next_if(|(other, _)| *other == node) {
                Some((_, its)) => common.push(Common { node, weight, its }),
                None => first.add(node, weight),
            }
        }
        its.for_each(|(node, weight)| second.add(node, weight));
        common.sort_by(|a, b| wide(b.weight, a.its).cmp(&wide(a.weight, b.its)));
        let mut before = vec![(0, 0)];
        for (place, node) in common.iter().enumerate() {
            let (weight, its) = before[place];
            before.push((weight + node.weight, its + node.its));
        }
        Some(Self { first, second, common, before })
    }

    /// How many nodes weigh something in either.
    pub(super) fn nodes(&self) -> usize {
        self.common.len() + self.first.own.len() + self.second.own.len()
    }

    /// Whether they meet; nothing if it takes too much to know.
    ///
    /// From the bounds of the [`outlook`](Self::outlook), if they say. Where all nodes weigh the
    /// same in both, by the sums that there are. Otherwise node by node, over the states of which
    /// none is behind another, without those whose bounds say (G. Nemhauser, Z. Ullmann: *Discrete
    /// Dynamic Programming and Capital Allocation*, 1969).
    pub(super) fn answer(&self, work: &mut usize) -> Option<Meets<WORDS>> {
        let start = State {
            has: self.first.weight,
            left: self.second.weight + self.before.last().map_or(0, |(_, its)| *its),
            given: self.first.own,
        };
        match self.outlook(&start, 0) {
            Outlook::Apart(first) => return Some(Meets::Not { first }),
            Outlook::Short => return Some(Meets::Always),
            Outlook::Open => {}
        }
        if self.common.iter().all(|node| node.weight == node.its)
            && let Some(answer) = self.by_sums(&start, work)
        {
            return Some(answer);
        }
        let mut states = vec![start];
        for (place, node) in self.common.iter().enumerate() {
            if states.len() > MOST_STATES {
                return None;
            }
            *work = work.checked_sub(COST * states.len())?;
            let mut next = Vec::with_capacity(2 * states.len());
            for state in best(&states, node) {
                match self.outlook(&state, place + 1) {
                    Outlook::Apart(first) => return Some(Meets::Not { first }),
                    Outlook::Short => {}
                    Outlook::Open => next.push(state),
                }
            }
            states = next;
        }
        Some(Meets::Always)
    }

    /// What can come of a state with the common nodes from this place on still to be given.
    ///
    /// The first takes them in their order until it has what it needs. Cut in the last one as if a
    /// node could be divided, that leaves as much to the second as any choice can (G. Dantzig:
    /// *Discrete-Variable Extremum Problems*, 1957): if that is too little, they cannot both have
    /// enough. If with the last one whole it is still enough, they can.
    fn outlook(&self, state: &State<WORDS>, place: usize) -> Outlook<WORDS> {
        let Some(spare) = state.left.checked_sub(self.second.needed) else { return Outlook::Short };
        let missing = self.first.needed.saturating_sub(state.has);
        if missing == 0 {
            return Outlook::Apart(state.given);
        }
        let (had, gone) = self.before[place];
        let taken = self.before[place + 1..].partition_point(|(weight, _)| *weight - had < missing);
        let Some(last) = self.common.get(place + taken) else { return Outlook::Short };
        let (weight, its) = self.before[place + taken];
        let (missing, spent) = (missing - (weight - had), its - gone);
        let Some(spare) = spare.checked_sub(spent) else { return Outlook::Short };
        if spare >= last.its {
            let more = &self.common[place..=place + taken];
            return Outlook::Apart(more.iter().fold(state.given, |mut given, node| {
                given.insert(node.node);
                given
            }));
        }
        // The share of the last one that the first needs, against what the second can spare.
        if wide(spare, last.weight) < wide(missing, last.its) {
            Outlook::Short
        } else {
            Outlook::Open
        }
    }

    /// Where each common node weighs the same in both: whether a sum of them is enough for the
    /// first, and leaves enough to the second. Nothing if there are too many sums.
    fn by_sums(&self, start: &State<WORDS>, work: &mut usize) -> Option<Meets<WORDS>> {
        let least = self.first.needed.saturating_sub(start.has);
        let most = start.left.saturating_sub(self.second.needed);
        let weights: Vec<u64> = self.common.iter().map(|node| node.weight).collect();
        let found = sums::between(&weights, least, most, work)?;
        Some(found.map_or(Meets::Always, |places| {
            let mut first = start.given;
            for place in places {
                first.insert(self.common[place].node);
            }
            Meets::Not { first }
        }))
    }
}

/// What looking at a state counts, beside a sum that is looked at.
const COST: usize = 4;

/// The states after a node is given to either, the best of the first first: none is behind another
/// in both sums.
fn best<const WORDS: usize>(states: &[State<WORDS>], node: &Common) -> Vec<State<WORDS>> {
    let given = |state: &State<WORDS>| {
        let mut given = state.given;
        given.insert(node.node);
        State { has: state.has + node.weight, left: state.left - node.its, given }
    };
    let (mut to_first, mut to_second) =
        (states.iter().map(given).peekable(), states.iter().copied().peekable());
    let mut best: Vec<State<WORDS>> = Vec::with_capacity(2 * states.len());
    loop {
        let next = match (to_first.peek(), to_second.peek()) {
            (Some(one), Some(other)) if (one.has, one.left) >= (other.has, other.left) => {
                to_first.next()
            }
            (Some(_), None) => to_first.next(),
            _ => to_second.next(),
        };
        let Some(state) = next else { return best };
        if best.last().is_none_or(|before| state.left > before.left) {
            best.push(state);
        }
    }
}

const fn wide(a: u64, b: u64) -> u128 {
    a as u128 * b as u128
}

impl<const WORDS: usize> Side<WORDS> {
    fn add(&mut self, node: usize, weight: u64) {
        self.own.insert(node);
        self.weight += weight;
    }
}
