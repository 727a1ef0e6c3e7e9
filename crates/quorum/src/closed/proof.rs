//! That rules meet because parts of them do.

use super::{MOST_WORK, Meets, Pair};
use crate::{
    Nodes, Rule, Shape,
    search::meet,
    shape::{Gate, Part},
};

/// A proof that two shapes meet, of steps each of which is certain. What it does not find may still
/// be so.
///
/// - All of several parts meet what one of them meets. Any of several meet what all of them meet.
/// - A rule and its dual meet.
/// - Parts that weigh the same in both, and meet pairwise: two quorums have one of them in common
///   if they need more than all weigh, and those that do not meet once more.
/// - Two sums of weights: by [`Pair`].
/// - A rule of which nothing is known is searched.
pub(super) struct Proof {
    /// Pairs of parts still to be looked at, and searches still to be made, before it gives up.
    steps: usize,
    searches: usize,
    /// What all pairs together may look at.
    work: usize,
}

/// A grid of 30 × 30 takes some thousands.
const MOST_STEPS: usize = 1 << 17;
/// As with the joint rules of sixteen parts of which nothing is known.
const MOST_SEARCHES: usize = 16;

impl Proof {
    pub(super) const fn new() -> Self {
        Self { steps: MOST_STEPS, searches: MOST_SEARCHES, work: MOST_WORK }
    }

    /// Whether it finds one.
    pub(super) fn is_proven<const WORDS: usize>(
        &mut self,
        a: &Shape<'_, WORDS>,
        b: &Shape<'_, WORDS>,
    ) -> bool {
        let Some(left) = self.steps.checked_sub(1) else { return false };
        self.steps = left;
        if self.work == 0 {
            return false;
        }
        if a.is_never() || b.is_never() {
            return true;
        }
        if a.is_always() || b.is_always() {
            return false;
        }
        if let Some(pair) = Pair::of(a, b) {
            // To set them against each other is work too: parts may have thousands of nodes.
            self.work = self.work.saturating_sub(pair.nodes());
            return self.work > 0 && pair.answer(&mut self.work) == Some(Meets::Always);
        }
        // What is any of several parts meets the other only if each part does.
        if let Some(parts) = Parts::of(a).any {
            return parts.iter().all(|(_, part)| self.is_proven(part, b));
        }
        if let Some(parts) = Parts::of(b).any {
            return parts.iter().all(|(_, part)| self.is_proven(a, part));
        }
        is_dual(a, b)
            || self.is_proven_by_place(a, b)
            || self.is_found(a, b)
            || Parts::of(b).all.is_some_and(|parts| parts.iter().any(|(_, p)| self.is_proven(a, p)))
            || Parts::of(a).all.is_some_and(|parts| parts.iter().any(|(_, p)| self.is_proven(p, b)))
    }

    /// By parts that stand in the same places with the same weight.
    fn is_proven_by_place<const WORDS: usize>(
        &mut self,
        a: &Shape<'_, WORDS>,
        b: &Shape<'_, WORDS>,
    ) -> bool {
        let (Part::Gate(a), Part::Gate(b)) = (&a.0, &b.0) else { return false };
        let both = a.of.iter().zip(&b.of);
        if !have_same_weights(a, b) || a.needed + b.needed <= a.total {
            return false;
        }
        // The weight that two quorums have in common at least, and may have in parts that do not
        // meet.
        let mut spare = a.needed + b.needed - a.total;
        for ((weight, part), (_, other)) in both {
            if !self.is_proven(part, other) {
                match spare.checked_sub(*weight) {
                    Some(left) if left > 0 => spare = left,
                    _ => return false,
                }
            }
        }
        true
    }

    /// By a search, where one of them says nothing of itself.
    fn is_found<const WORDS: usize>(&mut self, a: &Shape<'_, WORDS>, b: &Shape<'_, WORDS>) -> bool {
        if !matches!(a.0, Part::Rule(_)) && !matches!(b.0, Part::Rule(_)) {
            return false;
        }
        let Some(left) = self.searches.checked_sub(1) else { return false };
        self.searches = left;
        meet(&Asked(a), &Asked(b)).is_ok()
    }
}

/// The parts of a gate with other gates in it, if it asks for all of them or for any.
struct Parts<'a, 's, const WORDS: usize> {
    all: Option<&'s [(u64, Shape<'a, WORDS>)]>,
    any: Option<&'s [(u64, Shape<'a, WORDS>)]>,
}

impl<'a, 's, const WORDS: usize> Parts<'a, 's, WORDS> {
    fn of(shape: &'s Shape<'a, WORDS>) -> Self {
        match &shape.0 {
            Part::Gate(gate) if !shape.is_flat() => Self {
                all: (gate.needed == gate.total).then_some(&*gate.of),
                any: (gate.needed == 1).then_some(&*gate.of),
            },
            _ => Self { all: None, any: None },
        }
    }
}

/// Whether one is the dual of the other, in the same form.
fn is_dual<const WORDS: usize>(a: &Shape<'_, WORDS>, b: &Shape<'_, WORDS>) -> bool {
    match (&a.0, &b.0) {
        (Part::Node(a), Part::Node(b)) => a == b,
        (Part::Rule(a), Part::Rule(b)) => a.is_dual != b.is_dual && a.is_same_rule(b),
        (Part::Gate(a), Part::Gate(b)) => {
            have_same_weights(a, b)
                && a.needed + b.needed == a.total + 1
                && a.of.iter().zip(&b.of).all(|((_, a), (_, b))| is_dual(a, b))
        }
        _ => false,
    }
}

fn have_same_weights<const WORDS: usize>(a: &Gate<'_, WORDS>, b: &Gate<'_, WORDS>) -> bool {
    let mut both = a.of.iter().zip(&b.of);
    a.of.len() == b.of.len() && both.all(|((weight, _), (other, _))| weight == other)
}

/// A shape as a rule, for a search.
struct Asked<'a, 's, const WORDS: usize>(&'s Shape<'a, WORDS>);

impl<const WORDS: usize> Rule<WORDS> for Asked<'_, '_, WORDS> {
    fn is_quorum(&self, nodes: Nodes<WORDS>) -> bool {
        self.0.holds(nodes)
    }

    fn members(&self) -> Nodes<WORDS> {
        self.0.nodes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Joint, Threshold};

    #[test]
    fn pairs_of_wide_parts_are_work_and_not_only_steps() {
        // A hundred parts on each side, none of which meets one of the other.
        let joint = |first: usize| {
            let part = |at: usize| Nodes::<8>::of(first + at..first + at + 100).unwrap();
            Joint::new((0..100).map(|at| Threshold::new(20, part(at)).unwrap())).unwrap()
        };
        let (a, b) = (joint(0), joint(50));
        let (a, b) = (Shape::of(&a), Shape::of(&b));
        let mut proof = Proof { work: 10_000, ..Proof::new() };
        assert!(!proof.is_proven(&a, &b));
        let steps = MOST_STEPS - proof.steps;
        assert!(proof.work == 0 && steps < 500, "{steps} steps");
        // Enough for all of them, if it is given.
        let mut proof = Proof::new();
        assert!(!proof.is_proven(&a, &b));
        assert!(proof.work > 0 && MOST_STEPS - proof.steps > 10_000, "{}", proof.steps);
    }
}
