//! What a rule is made of.

use std::fmt;

use crate::{Nodes, Rule};

/// What a rule is made of, as far as it says so: nodes, weights, so many of several parts, each
/// again a shape, down to rules of which nothing is known but their answers.
///
/// Given by [`Rule::shape`]. What a rule [withstands](Rule::resilience) and whether it
/// [meets](Rule::intersects) another is then calculated, for hundreds of nodes, instead of
/// searched for among all sets of them.
///
/// ```
/// use steadfast_quorum::{Nodes, Rule, Shape};
///
/// /// A leader, and half of the weight of the others.
/// struct LeaderAndHalf {
///     weights: Vec<u32>,
/// }
///
/// impl LeaderAndHalf {
///     fn half(&self) -> u64 {
///         let all: u64 = self.weights.iter().copied().map(u64::from).sum();
///         all.div_ceil(2)
///     }
///
///     /// The leader is node 0.
///     fn others(&self) -> impl Iterator<Item = (usize, u32)> {
///         (1..).zip(self.weights.iter().copied())
///     }
/// }
///
/// impl Rule<4> for LeaderAndHalf {
///     fn is_quorum(&self, nodes: Nodes<4>) -> bool {
///         let others = self.others().filter(|(node, _)| nodes.contains(*node));
///         let weight: u64 = others.map(|(_, weight)| u64::from(weight)).sum();
///         nodes.contains(0) && weight >= self.half()
///     }
///
///     fn members(&self) -> Nodes<4> {
///         Nodes::first(self.weights.len() + 1).expect("at most 255 others")
///     }
///
///     fn shape(&self) -> Option<Shape<'_, 4>> {
///         Some(Shape::choose(2, [Shape::node(0), Shape::weights(self.half(), self.others())]))
///     }
/// }
///
/// let rule = LeaderAndHalf { weights: (100..200).collect() };
/// assert_eq!(rule.intersects(&rule), Ok(()), "by the leader");
/// assert_eq!(rule.resilience(), Ok(0), "nor is there a quorum without it");
/// ```
#[derive(Clone, PartialEq)]
pub struct Shape<'a, const WORDS: usize = 1>(pub(crate) Part<'a, WORDS>);

#[derive(Clone, PartialEq)]
pub(crate) enum Part<'a, const WORDS: usize> {
    Node(usize),
    Gate(Gate<'a, WORDS>),
    Rule(Opaque<'a, WORDS>),
}

/// So much weight of several parts. In normal form: no part weighs nothing or more than is needed,
/// no node stands in it twice, the weights have no common divisor. Where all are needed, or one is
/// enough, each weighs one, and no part is such a gate itself.
#[derive(Clone, PartialEq)]
pub(crate) struct Gate<'a, const WORDS: usize> {
    pub(crate) needed: u64,
    /// The weight of all parts.
    pub(crate) total: u64,
    /// The nodes by their numbers, then the others.
    pub(crate) of: Vec<(u64, Shape<'a, WORDS>)>,
}

/// A rule that says no more of itself, or its dual.
#[derive(Clone, Copy)]
pub(crate) struct Opaque<'a, const WORDS: usize> {
    pub(crate) rule: &'a dyn Rule<WORDS>,
    pub(crate) is_dual: bool,
}

impl<'a, const WORDS: usize> Shape<'a, WORDS> {
    /// A quorum is every set with this node. One that is not below [`Nodes::CAPACITY`] is in none.
    #[must_use]
    pub fn node(node: usize) -> Self {
        if node < Nodes::<WORDS>::CAPACITY { Self(Part::Node(node)) } else { Self::never() }
    }

    /// So many of the nodes.
    #[must_use]
    pub fn threshold(needed: usize, nodes: Nodes<WORDS>) -> Self {
        Self::choose(needed, nodes.iter().map(Self::node))
    }

    /// So much weight, of nodes that have so much each. What a node weighs that is named twice is
    /// added up.
    #[must_use]
    pub fn weights(needed: u64, weights: impl IntoIterator<Item = (usize, u32)>) -> Self {
        let nodes = weights.into_iter().map(|(node, weight)| (weight.into(), Self::node(node)));
        Self::gate(needed, nodes.collect())
    }

    /// So many of these. All of them is as many as there are.
    #[must_use]
    pub fn choose(needed: usize, of: impl IntoIterator<Item = Self>) -> Self {
        Self::gate(needed as u64, of.into_iter().map(|shape| (1, shape)).collect())
    }

    /// The shape of a rule: what it says, or that it says none. For the parts of a rule, and not
    /// for the rule itself, which would ask itself without end.
    #[must_use]
    pub fn of(rule: &'a dyn Rule<WORDS>) -> Self {
        rule.shape().unwrap_or(Self(Part::Rule(Opaque { rule, is_dual: false })))
    }

    /// The shape of the [dual](Rule::dual).
    #[must_use]
    pub fn dual(self) -> Self {
        match self.0 {
            Part::Node(_) => self,
            Part::Rule(Opaque { rule, is_dual }) => {
                Self(Part::Rule(Opaque { rule, is_dual: !is_dual }))
            }
            Part::Gate(Gate { needed, total, of }) => {
                let of = of.into_iter().map(|(weight, part)| (weight, part.dual())).collect();
                Self::gate((total + 1).saturating_sub(needed), of)
            }
        }
    }

    /// Each set is a quorum, the empty one too.
    fn always() -> Self {
        Self(Part::Gate(Gate { needed: 0, total: 0, of: Vec::new() }))
    }

    /// No set is one.
    fn never() -> Self {
        Self(Part::Gate(Gate { needed: 1, total: 0, of: Vec::new() }))
    }

    /// A gate in normal form.
    fn gate(mut needed: u64, mut of: Vec<(u64, Self)>) -> Self {
        of.retain(|(weight, part)| {
            if part.is_always() {
                needed = needed.saturating_sub(*weight);
            }
            *weight > 0 && !part.is_always() && !part.is_never()
        });
        if needed == 0 {
            return Self::always();
        }
        let mut of = add_up(of);
        of.iter_mut().for_each(|(weight, _)| *weight = needed.min(*weight));
        let divisor = of.iter().fold(0, |divisor, (weight, _)| common_divisor(divisor, *weight));
        if divisor > 1 {
            of.iter_mut().for_each(|(weight, _)| *weight /= divisor);
            needed = needed.div_ceil(divisor);
        }
        let total: u64 = of.iter().map(|(weight, _)| weight).sum();
        if total < needed {
            return Self::never();
        }
        if total == needed {
            return Self::chain(of, |gate| gate.needed == gate.total, |parts| parts);
        }
        if needed == 1 {
            return Self::chain(of, |gate| gate.needed == 1, |_| 1);
        }
        Self(Part::Gate(Gate { needed, total, of }))
    }

    /// All of these, or any of them, in one gate with those that are such gates themselves.
    fn chain(
        of: Vec<(u64, Self)>,
        is_such: fn(&Gate<'a, WORDS>) -> bool,
        needed: fn(u64) -> u64,
    ) -> Self {
        let mut parts = Vec::with_capacity(of.len());
        for (_, part) in of {
            match part.0 {
                Part::Gate(gate) if is_such(&gate) => parts.extend(gate.of),
                part => parts.push((1, Self(part))),
            }
        }
        let mut of = add_up(parts);
        of.iter_mut().for_each(|(weight, _)| *weight = 1);
        if of.len() == 1 {
            return of.remove(0).1;
        }
        let total = of.len() as u64;
        Self(Part::Gate(Gate { needed: needed(total), total, of }))
    }

    pub(crate) fn is_always(&self) -> bool {
        matches!(&self.0, Part::Gate(gate) if gate.needed == 0)
    }

    pub(crate) fn is_never(&self) -> bool {
        matches!(&self.0, Part::Gate(gate) if gate.needed > gate.total)
    }

    /// Whether it is made of nodes alone, without anything in between.
    pub(crate) fn is_flat(&self) -> bool {
        match &self.0 {
            Part::Node(_) => true,
            Part::Gate(gate) => gate.of.iter().all(|(_, part)| matches!(part.0, Part::Node(_))),
            Part::Rule(_) => false,
        }
    }

    /// What it takes of nodes, and what each weighs, if it is flat.
    pub(crate) fn flat(&self) -> Option<(u64, Vec<(usize, u64)>)> {
        let node = |(weight, part): &(u64, Self)| match part.0 {
            Part::Node(node) => Some((node, *weight)),
            _ => None,
        };
        match &self.0 {
            Part::Node(node) => Some((1, vec![(*node, 1)])),
            Part::Gate(gate) => {
                Some((gate.needed, gate.of.iter().map(node).collect::<Option<_>>()?))
            }
            Part::Rule(_) => None,
        }
    }

    /// The nodes it depends on.
    pub(crate) fn nodes(&self) -> Nodes<WORDS> {
        match &self.0 {
            Part::Node(node) => {
                let mut nodes = Nodes::EMPTY;
                nodes.insert(*node);
                nodes
            }
            Part::Gate(gate) => {
                gate.of.iter().fold(Nodes::EMPTY, |nodes, (_, part)| nodes | part.nodes())
            }
            Part::Rule(opaque) => opaque.rule.members(),
        }
    }

    /// Whether these nodes are a quorum.
    pub(crate) fn holds(&self, nodes: Nodes<WORDS>) -> bool {
        match &self.0 {
            Part::Node(node) => nodes.contains(*node),
            Part::Gate(gate) => {
                let holding = gate.of.iter().filter(|(_, part)| part.holds(nodes));
                holding.map(|(weight, _)| weight).sum::<u64>() >= gate.needed
            }
            Part::Rule(Opaque { rule, is_dual: false }) => rule.is_quorum(nodes & rule.members()),
            Part::Rule(Opaque { rule, is_dual: true }) => !rule.is_quorum(rule.members() - nodes),
        }
    }
}

/// The parts with each node once, by their numbers, and the others after them, by the lowest of
/// their nodes: in one order, however they were named.
fn add_up<const WORDS: usize>(
    mut of: Vec<(u64, Shape<'_, WORDS>)>,
) -> Vec<(u64, Shape<'_, WORDS>)> {
    let is_node = |part: &Shape<'_, WORDS>| matches!(part.0, Part::Node(_));
    of.sort_by_cached_key(|(_, part)| (!is_node(part), part.nodes().iter().next()));
    of.dedup_by(|(weight, part), (its, before)| {
        let is_same = is_node(part) && part == before;
        if is_same {
            *its += *weight;
        }
        is_same
    });
    of
}

const fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl<const WORDS: usize> Opaque<'_, WORDS> {
    /// Whether it is the same object, asked in the same way. Both halves of the pointers are equal
    /// then: two objects at one address, one inside the other or of no size, are told apart by what
    /// answers for them.
    pub(crate) fn is_same_rule(&self, other: &Self) -> bool {
        std::ptr::eq(self.rule, other.rule)
    }
}

impl<const WORDS: usize> PartialEq for Opaque<'_, WORDS> {
    fn eq(&self, other: &Self) -> bool {
        self.is_dual == other.is_dual && self.is_same_rule(other)
    }
}

impl<const WORDS: usize> fmt::Debug for Shape<'_, WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Part::Node(node) => write!(f, "{node}"),
            Part::Gate(gate) => {
                write!(f, "{} of ", gate.needed)?;
                f.debug_list().entries(&gate.of).finish()
            }
            Part::Rule(Opaque { rule, is_dual }) => {
                let dual = if *is_dual { "dual of a " } else { "" };
                write!(f, "{dual}rule over {}", rule.members())
            }
        }
    }
}
