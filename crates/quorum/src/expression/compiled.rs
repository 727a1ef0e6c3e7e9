//! An expression in the form that is asked.

use std::collections::VecDeque;

use super::{Expr, MOST_DEEP, Operator, Term, table::Table};
use crate::{Decision, Nodes, Rule, RuleError, Shape};

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

impl<const WORDS: usize> Expression<WORDS> {
    /// The same as [`new`](Expression::new), over as many nodes as the type says.
    ///
    /// # Errors
    /// As [`new`](Expression::new).
    pub fn wide(expr: impl Into<Expr>) -> Result<Self, RuleError> {
        let mut expr = expr.into();
        if let Term::Node(_) = expr.term {
            expr = Expr::all([expr]);
        }
        let (mut gates, mut members) = (Vec::new(), Nodes::EMPTY);
        let mut next = VecDeque::from([&expr]);
        let mut planned = 1;
        while let Some(expr) = next.pop_front() {
            let (nodes, needed, of) = match &expr.term {
                Term::Node(_) => continue,
                Term::TooDeep => return Err(RuleError::TooDeep { most: MOST_DEEP }),
                Term::Choose { needed, of } => {
                    RuleError::check_needed(*needed as u64, of.len() as u64).map_err(|error| {
                        if of.is_empty() { RuleError::NoMembers } else { error }
                    })?;
                    (Nodes::of(nodes_of(of))?, *needed, of)
                }
                Term::Chain { operator, of } => {
                    let nodes = once_each(nodes_of(of))?;
                    let links = nodes.len() + of.iter().filter(|expr| expr.is_gate()).count();
                    (nodes, if *operator == Operator::And { links } else { 1 }, of)
                }
            };
            let first = planned;
            for expr in of.iter().filter(|expr| expr.is_gate()) {
                next.push_back(expr);
                planned += 1;
            }
            members |= nodes;
            gates.push(Gate { nodes, needed, first, end: planned });
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

    fn shape_of(&self, gate: &Gate<WORDS>) -> Shape<'static, WORDS> {
        let inside = self.gates[gate.first..gate.end].iter().map(|gate| self.shape_of(gate));
        Shape::choose(gate.needed, gate.nodes.iter().map(Shape::node).chain(inside))
    }
}

impl Expression {
    /// The rule this expression describes, over nodes below 64; [`wide`](Expression::wide) takes
    /// more.
    ///
    /// # Errors
    /// When something is to be chosen from nothing, or more than there is; when a node stands twice
    /// in the same list of *all*, *any* or *choose*, or is too large; when it nests more than 32
    /// deep, where a chain of one operator is one level.
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

    fn shape(&self) -> Option<Shape<'_, WORDS>> {
        Some(self.shape_of(&self.gates[0]))
    }
}

/// The nodes in a list of expressions.
fn nodes_of(of: &[Expr]) -> impl Iterator<Item = usize> {
    of.iter().filter_map(|expr| match expr.term {
        Term::Node(node) => Some(node),
        _ => None,
    })
}

/// These nodes, some of which may be named more than once.
fn once_each<const WORDS: usize>(
    nodes: impl Iterator<Item = usize>,
) -> Result<Nodes<WORDS>, RuleError> {
    let mut set = Nodes::EMPTY;
    for node in nodes {
        if !set.contains(node) {
            set |= Nodes::of([node])?;
        }
    }
    Ok(set)
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
        let gates = |count: usize| (0..count).fold(Expr::from(0), |expr, _| Expr::all([expr]));
        assert!(Expression::new(gates(33)).is_ok());
        assert_eq!(refused(gates(34)), RuleError::TooDeep { most: 32 });
    }

    #[test]
    fn a_chain_of_an_operator_is_one_level_however_it_is_built() {
        let chained = |from: Expr, link: fn(Expr, Expr) -> Expr| {
            Expression::<4>::wide((1..200).map(Expr::from).fold(from, link)).unwrap()
        };
        for link in [|a, b| a & b, |a, b: Expr| b & a] as [fn(Expr, Expr) -> Expr; 2] {
            let rule = chained(0.into(), link);
            assert_eq!((rule.gates.len(), rule.gates[0].needed), (1, 200));
        }
        for link in [|a, b| a | b, |a, b: Expr| b | a] as [fn(Expr, Expr) -> Expr; 2] {
            let rule = chained(0.into(), link);
            assert_eq!((rule.gates.len(), rule.gates[0].needed), (1, 1));
        }
        // Two chains become one, and another operator is another level.
        let rule = Expression::new((Expr::from(0) & 1) & (Expr::from(2) & 3) | 4).unwrap();
        assert_eq!(rule.gates.len(), 2);
        assert!(rule.is_quorum(Nodes::from_bits(0b1111)) && rule.is_quorum(Nodes::from_bits(16)));
        assert!(!rule.is_quorum(Nodes::from_bits(0b0111)));
        // A list is no chain: what stands twice in it is refused, and a node of a chain is not.
        let twice = Expr::all([7, 7]) & 8;
        assert_eq!(Expression::new(twice).unwrap_err(), RuleError::NodeTwice { node: 7 });
        let rule = Expression::new((Expr::from(0) & 1) & (Expr::from(1) & 2)).unwrap();
        assert!(rule.is_quorum(Nodes::from_bits(0b111)) && !rule.is_quorum(Nodes::from_bits(0b11)));
    }

    /// On a stack that a hundred levels would not overflow, and a thousand would.
    #[test]
    fn what_nests_too_deeply_is_built_copied_shown_and_dropped_on_a_small_stack() {
        let work = || {
            let mut deep = Expr::from(0);
            for level in 0..100_000 {
                deep = if level % 2 == 0 { deep & (level % 64) } else { Expr::from(level) | deep };
            }
            assert_eq!(deep, deep.clone());
            assert!(format!("{deep:?}").len() < 100);
            let error = Expression::new(deep.clone()).unwrap_err();
            assert_eq!(error, RuleError::TooDeep { most: 32 });
            let error = Expression::new(Expr::any([deep, 3.into()])).unwrap_err();
            assert_eq!(error, RuleError::TooDeep { most: 32 });
            // As deep as it may be, and as long as one likes.
            let deepest = (0..16).fold(Expr::from(0), |expr, _| (expr & 1) | 2);
            assert!(format!("{:?}", deepest.clone()).len() > 1000);
            let rule = Expression::new(deepest).unwrap();
            assert!(rule.is_quorum(Nodes::from_bits(0b100)) && !rule.is_quorum(Nodes::EMPTY));
            let long = (0..100_000).fold(Expr::from(0), |expr, node| expr & (node % 64));
            assert_eq!(Expression::new(long).unwrap().gates.len(), 1);
        };
        let thread = std::thread::Builder::new().stack_size(128 * 1024).spawn(work).unwrap();
        thread.join().unwrap();
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
