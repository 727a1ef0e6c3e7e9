//! The quorums of a rule, found by asking it which sets are quorums and nothing else.
//!
//! Reiter's hitting-set tree (R. Reiter: *A Theory of Diagnosis from First Principles*, Artificial
//! Intelligence 32, 1987): begin with no failed node. If the others hold a quorum, find a minimal
//! one in them, and go on with each of its nodes failed as well. Every minimal quorum is found: as
//! long as the one at hand is another, it has a node that is not in the one sought, and with that
//! node failed the sought one is still there. Where the others hold none, the failed nodes block
//! the rule. Breadth first, the first that block are the fewest.
//!
//! Only nodes that are in some minimal quorum ever fail, so nodes that change nothing cost nothing.

use std::collections::{HashSet, VecDeque};

use crate::{AnalysisError, IntersectionError, Nodes, Rule, SEARCH_LIMIT};

pub(crate) struct Search<'a, R: ?Sized, const WORDS: usize> {
    rule: &'a R,
    /// Sets of failed nodes to look at, those of fewer nodes first.
    next: VecDeque<Nodes<WORDS>>,
    seen: HashSet<Nodes<WORDS>>,
    /// The minimal quorums so far.
    found: HashSet<Nodes<WORDS>>,
    limit: usize,
}

/// What failed nodes leave behind.
enum Left<const WORDS: usize> {
    /// This quorum, found for the first time.
    New(Nodes<WORDS>),
    /// A quorum that is known.
    Known,
    /// No quorum: it took so many failed nodes.
    Nothing { failed: usize },
}

impl<'a, R: Rule<WORDS> + ?Sized, const WORDS: usize> Search<'a, R, WORDS> {
    pub(crate) fn new(rule: &'a R, limit: usize) -> Self {
        let next = VecDeque::from([Nodes::EMPTY]);
        Self { rule, next, seen: HashSet::from([Nodes::EMPTY]), found: HashSet::new(), limit }
    }

    /// The minimal quorums, each once, and an error if there was more to look at.
    pub(crate) fn quorums(mut self) -> impl Iterator<Item = Result<Nodes<WORDS>, AnalysisError>> {
        std::iter::from_fn(move || {
            loop {
                match self.look() {
                    Ok(Some(Left::New(quorum))) => return Some(Ok(quorum)),
                    Ok(Some(Left::Known | Left::Nothing { .. })) => {}
                    Ok(None) => return None,
                    Err(error) => {
                        self.next.clear();
                        return Some(Err(error));
                    }
                }
            }
        })
    }

    /// How many nodes may fail, whichever they are: one fewer than the fewest that leave nothing.
    pub(crate) fn resilience(mut self) -> Result<usize, AnalysisError> {
        while let Some(left) = self.look()? {
            if let Left::Nothing { failed } = left {
                return failed.checked_sub(1).ok_or(AnalysisError::NoQuorum);
            }
        }
        // No node at all is a quorum already: all may fail.
        Ok(self.rule.members().len())
    }

    /// A quorum of the other rule outside of one of this rule, if there is one.
    fn meets<Q: Rule<WORDS> + ?Sized>(self, other: &Q) -> Result<(), IntersectionError<WORDS>> {
        for quorum in self.quorums() {
            let first = quorum?;
            if let Some(second) = minimal(other, other.members() - first) {
                return Err(IntersectionError::Disjoint { first, second });
            }
        }
        Ok(())
    }

    /// Looks at the next set of failed nodes.
    fn look(&mut self) -> Result<Option<Left<WORDS>>, AnalysisError> {
        let Some(failed) = self.next.pop_front() else { return Ok(None) };
        let Some(quorum) = minimal(self.rule, self.rule.members() - failed) else {
            return Ok(Some(Left::Nothing { failed: failed.len() }));
        };
        for node in quorum {
            let mut failed = failed;
            failed.insert(node);
            if self.seen.len() >= self.limit && !self.seen.contains(&failed) {
                return Err(AnalysisError::TooLarge { limit: self.limit });
            }
            if self.seen.insert(failed) {
                self.next.push_back(failed);
            }
        }
        Ok(Some(if self.found.insert(quorum) { Left::New(quorum) } else { Left::Known }))
    }
}

/// Whether every quorum of one rule has a node in common with every quorum of the other: found out
/// from the other's side if that one has few quorums where this one has many.
pub(crate) fn meet<R, Q, const WORDS: usize>(
    one: &R,
    other: &Q,
) -> Result<(), IntersectionError<WORDS>>
where
    R: Rule<WORDS> + ?Sized,
    Q: Rule<WORDS> + ?Sized,
{
    match Search::new(one, SEARCH_LIMIT).meets(other) {
        Err(IntersectionError::Analysis(AnalysisError::TooLarge { .. })) => {
            Search::new(other, SEARCH_LIMIT).meets(one).map_err(IntersectionError::swapped)
        }
        found => found,
    }
}

/// A minimal quorum among these nodes, if they are one: the highest nodes are left out first.
pub(crate) fn minimal<R: Rule<WORDS> + ?Sized, const WORDS: usize>(
    rule: &R,
    mut nodes: Nodes<WORDS>,
) -> Option<Nodes<WORDS>> {
    if !rule.is_quorum(nodes) {
        return None;
    }
    for node in nodes.iter().rev() {
        let mut fewer = nodes;
        fewer.remove(node);
        if rule.is_quorum(fewer) {
            nodes = fewer;
        }
    }
    Some(nodes)
}
