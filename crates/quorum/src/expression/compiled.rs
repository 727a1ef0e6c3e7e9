//! An expression in the form that is asked.

use std::collections::VecDeque;

use super::{Expr, Term, table::Table};
use crate::{Decision, Nodes, Rule, RuleError, Threshold};

/// A rule made of an [`Expr`]: its gates in a row, the nodes of each as a mask.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Expression<const WORDS: usize = 1> {
    members: Nodes<WORDS>,
    /// The first is the whole; the gates inside a gate stand side by side further on.
    gates: Box<[Gate<WORDS>]>,
    /// What the gates say, if there are few nodes.
    table: Table,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Gate<const WORDS: usize> {
    nodes: Nodes<WORDS>,
    needed: usize,
    /// Where the gates inside it begin and end.
    first: usize,
    end: usize,
}

/// Real quorum systems nest two or three deep. Each level is a call on the stack.
const MOST_DEEP: usize = 32;

impl<const WORDS: usize> Expression<WORDS> {
    /// The same as [`new`](Expression::new), over as many nodes as the type says.
    ///
    /// # Errors
    /// As [`new`](Expression::new).
    pub fn wide(expr: impl Into<Expr>) -> Result<Self, RuleError> {
        let mut expr = expr.into();
        if let Term::Node(_) = expr.0 {
            expr = Expr::all([expr]);
        }
        let (mut gates, mut members) = (Vec::new(), Nodes::EMPTY);
        let mut next = VecDeque::from([(&expr, 0)]);
        let mut planned = 1;
        while let Some((Expr(term), depth)) = next.pop_front() {
            let Term::Choose { needed, of } = term else { continue };
            if depth > MOST_DEEP {
                return Err(RuleError::TooDeep { most: MOST_DEEP });
            }
            if of.is_empty() {
                return Err(RuleError::NoMembers);
            }
            RuleError::check_needed(*needed as u64, of.len() as u64)?;
            let inside = of.iter().filter(|Expr(term)| matches!(term, Term::Choose { .. }));
            let first = planned;
            for expr in inside {
                next.push_back((expr, depth + 1));
                planned += 1;
            }
            let nodes = Nodes::of(of.iter().filter_map(|Expr(term)| match term {
                Term::Node(node) => Some(*node),
                Term::Choose { .. } => None,
            }))?;
            members |= nodes;
            gates.push(Gate { nodes, needed: *needed, first, end: planned });
        }
        let mut expression = Self { members, gates: gates.into(), table: Table::empty() };
        expression.table = Table::of(&expression);
        Ok(expression)
    }

    /// Whether enough of a gate's nodes and gates hold.
    #[inline]
    fn holds(&self, gate: &Gate<WORDS>, nodes: Nodes<WORDS>) -> bool {
        let Some(mut missing) = gate.needed.checked_sub((nodes & gate.nodes).len()) else {
            return true;
        };
        let inside = &self.gates[gate.first..gate.end];
        for (index, gate) in inside.iter().enumerate() {
            if missing == 0 || missing > inside.len() - index {
                break;
            }
            missing -= usize::from(self.holds(gate, nodes));
        }
        missing == 0
    }
}

impl Expression {
    /// The rule this expression describes, over nodes below 64; [`wide`](Expression::wide) takes
    /// more.
    ///
    /// # Errors
    /// When something is to be chosen from nothing, or more than there is; when a node stands twice
    /// in the same *all*, *any* or *choose*, or is too large; when it nests more than 32 deep.
    pub fn new(expr: impl Into<Expr>) -> Result<Self, RuleError> {
        Self::wide(expr)
    }
}

impl<const WORDS: usize> Rule<WORDS> for Expression<WORDS> {
    #[inline]
    fn is_quorum(&self, nodes: Nodes<WORDS>) -> bool {
        self.table
            .look_up(nodes & self.members)
            .unwrap_or_else(|| self.holds(&self.gates[0], nodes))
    }

    #[inline]
    fn decide(&self, yes: Nodes<WORDS>, no: Nodes<WORDS>) -> Decision {
        let (yes, open) = (yes & self.members, (yes | !no) & self.members);
        match (self.table.look_up(yes), self.table.look_up(open)) {
            (Some(won), Some(open)) => Decision::of(won, open),
            _ if self.holds(&self.gates[0], yes) => Decision::Won,
            _ => Decision::of(false, self.holds(&self.gates[0], open)),
        }
    }

    fn members(&self) -> Nodes<WORDS> {
        self.members
    }

    /// Where it is so many of some nodes, and no more than that.
    fn as_threshold(&self) -> Option<Threshold<WORDS>> {
        match &*self.gates {
            [gate] => Threshold::new(gate.needed, gate.nodes).ok(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused_with_its_numbers() {
        let refused = |expr| Expression::new(expr).unwrap_err();
        assert_eq!(refused(Expr::choose(3, [0, 1])), RuleError::Needed { needed: 3, of: 2 });
        assert_eq!(refused(Expr::choose(0, [0, 1])), RuleError::Needed { needed: 0, of: 2 });
        assert_eq!(refused(Expr::all([0, 64])), RuleError::NodeTooLarge { node: 64, capacity: 64 });
        assert_eq!(refused(Expr::choose(2, [7, 7, 8])), RuleError::NodeTwice { node: 7 });
        assert_eq!(refused(Expr::any(Vec::<usize>::new()) & 1), RuleError::NoMembers);
        assert_eq!(refused(Expr::grid(0, 3)), RuleError::NoMembers);
        let deep = (0..40).fold(Expr::from(0), |expr, _| Expr::all([expr]));
        assert_eq!(refused(deep), RuleError::TooDeep { most: 32 });
    }

    #[test]
    fn the_table_knows_what_the_gates_say() {
        let site = |first: usize| Expr::choose(2, first..first + 3);
        // Three gates and a node: once at numbers that the table holds, once at some that it does
        // not.
        let expr = |first: usize| {
            Expr::choose(3, [site(first + 3), site(first), site(first + 6), (first + 1).into()])
        };
        let (low, high) = (Expression::new(expr(0)).unwrap(), Expression::new(expr(50)).unwrap());
        for set in 0..1 << 9 {
            let [nodes, far] = [set, set << 50].map(Nodes::from_bits);
            assert_eq!(low.table.look_up(nodes), Some(low.holds(&low.gates[0], nodes)));
            assert_eq!(high.table.look_up(far), None);
            assert_eq!(low.is_quorum(nodes), high.is_quorum(far));
            for others in 0..1 << 9 {
                let [no, far_no] = [others, others << 50].map(Nodes::from_bits);
                assert_eq!(low.decide(nodes, no), high.decide(far, far_no));
            }
        }
    }

    #[test]
    fn a_node_alone_is_an_expression() {
        let rule = Expression::new(3).unwrap();
        assert!(rule.is_quorum(Nodes::of([3]).unwrap()) && !rule.is_quorum(Nodes::EMPTY));
    }
}
