//! Node by node: what sets of the nodes so far can lead to.
//!
//! Each node is given to one of two rules. What matters of the nodes given so far is not which they
//! are, but what each gate has and may still get: equal states are one, and a state that is behind
//! another in every gate is none. What is won or cannot be won any more is not told apart further.
//! So the states are as few as sums of weights are, or as the gates that are open at one time: a
//! grid has a handful, whatever its size. (It is the dynamic programme of the knapsack problem,
//! with a gate for each constraint, and the frontier of a decision diagram.)

use std::cmp::Reverse;

use super::{MOST_STATES, Meets};
use crate::{
    Nodes, Shape,
    shape::{Gate, Part},
};

/// What a state counts, beside its gates.
const COST: usize = 4;
/// Up to so many states, each is compared with each.
const FEW: usize = 64;
/// The mark of a gate that is won.
const WON: u64 = u64::MAX;

pub(super) struct Sweep<'w, const WORDS: usize> {
    gates: Vec<OpenGate>,
    /// The nodes in the order in which they are given away, and where they count.
    nodes: Vec<Entry>,
    /// Whether nodes that are not the first's are the second's; otherwise they are counted.
    has_second: bool,
    /// What all sides are still to be given to each gate directly.
    rest: Vec<u64>,
    scratch: Scratch,
    /// How much may still be looked at.
    work: &'w mut usize,
}

/// What is known of each gate of a state while it is settled.
#[derive(Default)]
struct Scratch {
    /// The weight of the gates inside it that are won, and of those that may be.
    gained: Vec<(u64, u64)>,
    is_lost: Vec<bool>,
}

/// A gate, before those inside it.
struct OpenGate {
    needed: u64,
    /// The gate it is in, and what it weighs there.
    parent: Option<(usize, u64)>,
    /// Whether it is of the second rule.
    is_second: bool,
    /// The last place in the order of nodes at which it may change.
    end: usize,
}

/// A node, and what it weighs in which gates of each rule.
struct Entry {
    node: usize,
    weights: [Vec<(usize, u64)>; 2],
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct State<const WORDS: usize> {
    /// What each gate was given directly, and by gates that have ended.
    sums: Box<[u64]>,
    /// How many nodes the first has, where they are counted.
    cost: Reverse<usize>,
    given: Nodes<WORDS>,
}

/// What may still become of a state, for the rule on each side.
#[derive(Clone, Copy)]
struct Outlook {
    won: [bool; 2],
    open: [bool; 2],
}

impl<'w, const WORDS: usize> Sweep<'w, WORDS> {
    /// Whether the two meet, in the order of the first one's nodes; nothing if that takes too much,
    /// or if one of them does not say what it is made of.
    pub(super) fn meets(
        a: &Shape<'_, WORDS>,
        b: &Shape<'_, WORDS>,
        work: &'w mut usize,
    ) -> Option<Meets<WORDS>> {
        if a.is_always() && b.is_always() {
            return Some(Meets::Not { first: Nodes::EMPTY });
        }
        let mut sweep = Self::new(&[a, b], work)?;
        let mut states = vec![sweep.start()];
        for place in 0..sweep.nodes.len() {
            let mut next = Vec::with_capacity(2 * states.len());
            sweep.pass(place);
            for state in states {
                for side in [0, 1] {
                    let mut state = state.clone();
                    let outlook = sweep.give(&mut state, place, side)?;
                    match (outlook.won, outlook.open) {
                        // All others to the second, or to the first.
                        ([true, _], [_, true]) => return Some(Meets::Not { first: state.given }),
                        ([_, true], [true, _]) => {
                            let first = state.given | sweep.after(place);
                            return Some(Meets::Not { first });
                        }
                        (_, [true, true]) => next.push(state),
                        _ => {}
                    }
                }
            }
            states = sweep.best(next)?;
        }
        Some(Meets::Always)
    }

    /// How many nodes the smallest quorum has, if there is one; nothing if that takes too much.
    pub(super) fn least(shape: &Shape<'_, WORDS>, work: &'w mut usize) -> Option<Option<usize>> {
        let mut sweep = Self::new(&[shape], work)?;
        let (mut states, mut fewest) = (vec![sweep.start()], usize::MAX);
        for place in 0..sweep.nodes.len() {
            let mut next = Vec::with_capacity(2 * states.len());
            sweep.pass(place);
            for state in states {
                for side in [0, 1] {
                    let mut state = state.clone();
                    let outlook = sweep.give(&mut state, place, side)?;
                    if outlook.won[0] {
                        fewest = fewest.min(state.cost.0);
                    } else if outlook.open[0] && state.cost.0 + 1 < fewest {
                        next.push(state);
                    }
                }
            }
            states = sweep.best(next)?;
        }
        Some((fewest < usize::MAX).then_some(fewest))
    }

    fn new(shapes: &[&Shape<'_, WORDS>], work: &'w mut usize) -> Option<Self> {
        let mut sweep = Self {
            gates: Vec::new(),
            nodes: Vec::new(),
            has_second: shapes.len() > 1,
            rest: Vec::new(),
            scratch: Scratch::default(),
            work,
        };
        let mut places = vec![None; Nodes::<WORDS>::CAPACITY];
        for (side, shape) in shapes.iter().enumerate() {
            let root = sweep.gate(1, None, side);
            match &shape.0 {
                Part::Gate(gate) => sweep.add(gate, root, side, &mut places)?,
                Part::Node(node) => sweep.weigh(*node, (root, 1), side, &mut places),
                Part::Rule(_) => return None,
            }
        }
        sweep.scratch.gained = vec![(0, 0); sweep.gates.len()];
        sweep.scratch.is_lost = vec![false; sweep.gates.len()];
        Some(sweep)
    }

    fn gate(&mut self, needed: u64, parent: Option<(usize, u64)>, side: usize) -> usize {
        self.gates.push(OpenGate { needed, parent, is_second: side == 1, end: 0 });
        self.rest.push(0);
        self.gates.len() - 1
    }

    /// A gate and all inside it.
    fn add(
        &mut self,
        gate: &Gate<'_, WORDS>,
        index: usize,
        side: usize,
        places: &mut [Option<usize>],
    ) -> Option<()> {
        self.gates[index].needed = gate.needed;
        for (weight, part) in &gate.of {
            match &part.0 {
                Part::Node(node) => self.weigh(*node, (index, *weight), side, places),
                Part::Gate(inner) => {
                    let inside = self.gate(inner.needed, Some((index, *weight)), side);
                    self.add(inner, inside, side, places)?;
                }
                Part::Rule(_) => return None,
            }
        }
        Some(())
    }

    /// A node counts in a gate: its place is that of its first mention.
    fn weigh(
        &mut self,
        node: usize,
        (gate, weight): (usize, u64),
        side: usize,
        places: &mut [Option<usize>],
    ) {
        let place = *places[node].get_or_insert_with(|| {
            self.nodes.push(Entry { node, weights: [Vec::new(), Vec::new()] });
            self.nodes.len() - 1
        });
        self.nodes[place].weights[side].push((gate, weight));
        self.rest[gate] += weight;
        let mut inside = Some(gate);
        while let Some(gate) = inside {
            self.gates[gate].end = self.gates[gate].end.max(place);
            inside = self.gates[gate].parent.map(|(parent, _)| parent);
        }
    }

    fn start(&self) -> State<WORDS> {
        State { sums: vec![0; self.gates.len()].into(), cost: Reverse(0), given: Nodes::EMPTY }
    }

    /// The nodes behind this place.
    fn after(&self, place: usize) -> Nodes<WORDS> {
        let mut after = Nodes::EMPTY;
        for entry in &self.nodes[place + 1..] {
            after.insert(entry.node);
        }
        after
    }

    /// The node at this place is not still to come.
    fn pass(&mut self, place: usize) {
        for (gate, weight) in self.nodes[place].weights.iter().flatten() {
            self.rest[*gate] -= weight;
        }
    }

    /// Gives the node at this place to one of the two.
    fn give(&mut self, state: &mut State<WORDS>, place: usize, side: usize) -> Option<Outlook> {
        *self.work = self.work.checked_sub(COST + self.gates.len())?;
        let entry = &self.nodes[place];
        if side == 0 {
            state.given.insert(entry.node);
            state.cost.0 += usize::from(!self.has_second);
        }
        for (gate, weight) in &entry.weights[side] {
            let sum = &mut state.sums[*gate];
            if *sum != WON {
                *sum = (*sum + weight).min(self.gates[*gate].needed);
            }
        }
        Some(self.settle(&mut state.sums, place))
    }

    /// Brings a state into the one form that says what is still open. From the innermost gates
    /// outwards: what is won, what can still be. Then inwards: in a gate that is won or lost,
    /// everything is as good as won or lost.
    fn settle(&mut self, sums: &mut [u64], place: usize) -> Outlook {
        let mut outlook = Outlook { won: [false; 2], open: [true; 2] };
        let Scratch { gained, is_lost } = &mut self.scratch;
        gained.fill((0, 0));
        is_lost.fill(false);
        for (index, gate) in self.gates.iter().enumerate().rev() {
            if gate.end < place {
                continue;
            }
            let (has, may_have) = gained[index];
            let is_won = sums[index] == WON || sums[index] + has >= gate.needed;
            let is_open = is_won || sums[index] + has + may_have + self.rest[index] >= gate.needed;
            if is_won {
                sums[index] = WON;
            } else if !is_open {
                sums[index] = 0;
                is_lost[index] = true;
            }
            let Some((parent, weight)) = gate.parent else {
                let side = usize::from(gate.is_second);
                (outlook.won[side], outlook.open[side]) = (is_won, is_open);
                continue;
            };
            if gate.end == place {
                // Its end: what it leaves behind is what it gave.
                if is_won && sums[parent] != WON {
                    sums[parent] = (sums[parent] + weight).min(self.gates[parent].needed);
                }
                sums[index] = 0;
            } else if is_won {
                gained[parent].0 += weight;
            } else if is_open {
                gained[parent].1 += weight;
            }
        }
        for (index, gate) in self.gates.iter().enumerate() {
            let Some((parent, _)) = gate.parent.filter(|_| gate.end > place) else { continue };
            if is_lost[parent] {
                is_lost[index] = true;
                sums[index] = 0;
            } else if sums[parent] == WON {
                sums[index] = WON;
            }
        }
        outlook
    }

    /// The states that are not behind another in everything. Where there are many, not all of
    /// those that are get found.
    fn best(&mut self, mut states: Vec<State<WORDS>>) -> Option<Vec<State<WORDS>>> {
        let Some(first) = states.first() else { return Some(states) };
        let differ = |index: &usize| {
            let sum = first.sums[*index];
            states.iter().any(|state| state.sums[*index] != sum)
        };
        let varying: Vec<usize> = (0..first.sums.len()).filter(differ).collect();
        let costs_differ = states.iter().any(|state| state.cost != first.cost);
        *self.work = self.work.checked_sub(states.len() * (first.sums.len() + varying.len()))?;
        // From the best down: a state is behind none that comes after it.
        states.sort_unstable_by(|a, b| (&b.sums, b.cost).cmp(&(&a.sums, a.cost)));
        states.dedup_by(|later, earlier| later.sums == earlier.sums);
        let is_behind = |state: &State<WORDS>, other: &State<WORDS>| {
            state.cost <= other.cost
                && varying.iter().all(|index| state.sums[*index] <= other.sums[*index])
        };
        if states.len() > MOST_STATES {
            return None;
        }
        let mut best: Vec<State<WORDS>> = Vec::with_capacity(states.len());
        // With two things that vary, and in the order of one, only the last kept matters.
        let is_stair = varying.len() + usize::from(costs_differ) <= 2;
        let compared = if is_stair { 1 } else { FEW };
        for state in states {
            *self.work = self.work.checked_sub(varying.len() * compared.min(best.len()))?;
            let mut others = best.iter().rev().take(compared);
            if !others.any(|other| is_behind(&state, other)) {
                best.push(state);
            }
        }
        Some(best)
    }
}
