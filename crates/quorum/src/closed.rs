//! What can be calculated of rules that say what they are made of.
//!
//! Two rules meet if no set of nodes is a quorum of the one while the nodes outside of it are one
//! of the other. Three things are tried, each of which is exact where it has an answer:
//!
//! - [`pair`]: of two sums of weights, by the weights a quorum must leave over;
//! - [`proof`]: of rules made of parts, by parts that meet;
//! - [`sweep`]: node by node, by what is still to come for each part.
//!
//! Where none has an answer, it is searched for.

mod pair;
mod proof;
mod sweep;
#[cfg(test)]
mod tests;

use self::{pair::Pair, proof::Proof, sweep::Sweep};
use crate::{
    AnalysisError, Dual, IntersectionError, Nodes, Rule, SEARCH_LIMIT, Shape,
    search::{Search, meet, minimal},
    shape::{Gate, Opaque, Part},
};

/// How many states and sums are looked at before each of the three gives up, counted in what takes
/// some nanoseconds: some tenths of a second.
const MOST_WORK: usize = 1 << 24;

/// How many states are kept at one time, of some dozens of bytes and a set of nodes each.
const MOST_STATES: usize = 1 << 16;

/// Whether every quorum of one rule has a node in common with every quorum of the other.
pub(crate) fn meets<const WORDS: usize>(
    one: &dyn Rule<WORDS>,
    other: &dyn Rule<WORDS>,
) -> Result<(), IntersectionError<WORDS>> {
    let (a, b) = (Shape::of(one), Shape::of(other));
    if let (Part::Rule(a), Part::Rule(b)) = (&a.0, &b.0)
        && !a.is_same_rule(b)
    {
        return meet(one, other);
    }
    let answer = match Pair::of(&a, &b) {
        Some(pair) => pair.answer(&mut { MOST_WORK }),
        None if Proof::new().is_proven(&a, &b) => Some(Meets::Always),
        None => swept(&a, &b),
    };
    match answer {
        Some(Meets::Always) => Ok(()),
        Some(Meets::Not { first }) => apart(one, other, first).map_or_else(
            // A rule that is not what it says is taken by what it does.
            || meet(one, other),
            |(first, second)| Err(IntersectionError::Disjoint { first, second }),
        ),
        None => meet(one, other),
    }
}

/// What was found out of two shapes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meets<const WORDS: usize> {
    /// Any two quorums have a node in common.
    Always,
    /// These nodes are a quorum of the first, and all others one of the second.
    Not { first: Nodes<WORDS> },
}

/// The nodes of each in their own order: one of them may be far narrower.
fn swept<const WORDS: usize>(a: &Shape<'_, WORDS>, b: &Shape<'_, WORDS>) -> Option<Meets<WORDS>> {
    let found = Sweep::meets(a, b, &mut { MOST_WORK });
    found.or_else(|| match Sweep::meets(b, a, &mut { MOST_WORK })? {
        Meets::Always => Some(Meets::Always),
        Meets::Not { first } => Some(Meets::Not { first: (a.nodes() | b.nodes()) - first }),
    })
}

/// Minimal quorums among these nodes and among the others.
fn apart<const WORDS: usize>(
    one: &dyn Rule<WORDS>,
    other: &dyn Rule<WORDS>,
    nodes: Nodes<WORDS>,
) -> Option<(Nodes<WORDS>, Nodes<WORDS>)> {
    let first = minimal(one, one.members() & nodes)?;
    Some((first, minimal(other, other.members() - first)?))
}

/// How many nodes may fail, whichever they are: one fewer than the fewest that block it, which are
/// the smallest quorum of its dual.
pub(crate) fn resilience<const WORDS: usize>(
    rule: &dyn Rule<WORDS>,
) -> Result<usize, AnalysisError> {
    let shape = Shape::of(rule);
    if let Part::Rule(_) = shape.0 {
        return Search::new(rule, SEARCH_LIMIT).resilience();
    }
    match least(&shape.dual()) {
        Ok(Some(fewest)) => fewest.checked_sub(1).ok_or(AnalysisError::NoQuorum),
        Ok(None) => Ok(rule.members().len()),
        Err(_) => Search::new(rule, SEARCH_LIMIT).resilience(),
    }
}

/// How many nodes the smallest quorum has; none if there is no quorum.
fn least<const WORDS: usize>(shape: &Shape<'_, WORDS>) -> Result<Option<usize>, AnalysisError> {
    match &shape.0 {
        Part::Node(_) => Ok(Some(1)),
        Part::Gate(gate) if gate.needed == 0 => Ok(Some(0)),
        Part::Gate(gate) if gate.needed > gate.total => Ok(None),
        Part::Gate(gate) => least_of(shape, gate),
        Part::Rule(Opaque { rule, is_dual }) => {
            // What blocks the dual of a rule is a quorum of it.
            let blocked = if *is_dual { rule.resilience() } else { resilience(&Dual::new(*rule)) };
            match blocked {
                Ok(most) if most == rule.members().len() => Ok(None),
                Ok(most) => Ok(Some(most + 1)),
                Err(AnalysisError::NoQuorum) => Ok(Some(0)),
                Err(error) => Err(error),
            }
        }
    }
}

fn least_of<const WORDS: usize>(
    shape: &Shape<'_, WORDS>,
    gate: &Gate<'_, WORDS>,
) -> Result<Option<usize>, AnalysisError> {
    // Any one of them: it does not matter what they have in common.
    let may_overlap = gate.needed == 1;
    if may_overlap || are_disjoint(gate) {
        let mut parts = Vec::with_capacity(gate.of.len());
        for (weight, part) in &gate.of {
            // A part without a quorum was left out when the gate was made, unless only the search
            // knows that it has none.
            if let Some(nodes) = least(part)? {
                parts.push((*weight, nodes));
            }
        }
        if may_overlap {
            return Ok(parts.into_iter().map(|(_, nodes)| nodes).min());
        }
        if let Some(fewest) = fewest(gate.needed, parts) {
            return Ok(fewest);
        }
    }
    Sweep::least(shape, &mut { MOST_WORK }).ok_or(AnalysisError::TooLarge { limit: SEARCH_LIMIT })
}

/// The fewest nodes in parts that have so much weight together and none in common: the heaviest
/// parts if all are as large, the smallest if all weigh the same. Otherwise it is not known.
fn fewest(needed: u64, mut parts: Vec<(u64, usize)>) -> Option<Option<usize>> {
    let (weight, nodes) = *parts.first()?;
    if parts.iter().all(|(_, its)| *its == nodes) {
        parts.sort_unstable_by(|a, b| b.cmp(a));
    } else if parts.iter().all(|(its, _)| *its == weight) {
        parts.sort_unstable_by_key(|(_, nodes)| *nodes);
    } else {
        return None;
    }
    let (mut weight, mut nodes) = (0, 0);
    for (its, more) in parts {
        weight += its;
        nodes += more;
        if weight >= needed {
            return Some(Some(nodes));
        }
    }
    Some(None)
}

/// Whether no node is in two parts.
fn are_disjoint<const WORDS: usize>(gate: &Gate<'_, WORDS>) -> bool {
    let mut seen = Nodes::EMPTY;
    gate.of.iter().all(|(_, part)| {
        let nodes = part.nodes();
        let is_new = seen.is_disjoint(nodes);
        seen |= nodes;
        is_new
    })
}
