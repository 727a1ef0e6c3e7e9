//! Votes for a leader.

use super::{Cast, ValueTally};
use crate::{Decision, IntersectionError, Rule};

/// The votes of one term for its leader: no two candidates can both be elected, in whatever order
/// votes come. Votes of other terms do not count.
///
/// At most one is elected as long as no node votes for two candidates in one term, not even after a
/// restart: a node stores its vote before it sends it. When the votes are split, it is lost, and
/// the next term has an election of its own. (D. Ongaro, J. Ousterhout: *In Search of an
/// Understandable Consensus Algorithm*, 2014, section 5.2.)
///
/// ```
/// use steadfast_quorum::{Cast, Decision, Election, Threshold};
///
/// let mut election = Election::new(4, Threshold::majority_of(5)?)?;
/// let _ = (election.vote(0, 4, "ada"), election.vote(1, 4, "ada"), election.vote(2, 4, "bob"));
/// assert_eq!(election.vote(3, 3, "ada"), Cast::OtherTerm);
/// assert_eq!(election.decide(), Decision::Pending);
/// let _ = (election.vote(3, 4, "bob"), election.vote(4, 4, "cyn"));
/// assert_eq!(election.decide(), Decision::Lost, "the votes are split");
/// assert!(Election::<&str, _>::new(4, Threshold::of(2, 4)?).is_err(), "two could be elected");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Election<C, R, const WORDS: usize = 1> {
    term: u64,
    tally: ValueTally<C, R, WORDS>,
}

impl<C: Eq, R: Rule<WORDS>, const WORDS: usize> Election<C, R, WORDS> {
    /// No node has voted in this term.
    ///
    /// # Errors
    /// Two quorums of the rule that have no node in common, so that two candidates could both be
    /// elected; or when that cannot be found out.
    pub fn new(term: u64, rule: R) -> Result<Self, IntersectionError<WORDS>> {
        rule.intersects(&&rule)?;
        Ok(Self { term, tally: ValueTally::new(rule) })
    }

    /// Takes a node's vote. One of another term is ignored; if that is a later one, this election
    /// is over.
    pub fn vote(&mut self, node: usize, term: u64, candidate: C) -> Cast {
        if term == self.term { self.tally.vote(node, candidate) } else { Cast::OtherTerm }
    }

    /// Notes that a node will not vote in this term: it has failed, or abstains.
    pub fn fail(&mut self, node: usize) -> Cast {
        self.tally.fail(node)
    }

    /// Won once a candidate is elected; lost once none can be, because the votes are split or too
    /// many nodes have failed.
    #[must_use]
    pub fn decide(&self) -> Decision {
        self.tally.decide()
    }

    /// The candidate that is elected.
    #[must_use]
    pub fn leader(&self) -> Option<&C> {
        self.tally.chosen()
    }

    /// The term.
    #[must_use]
    pub const fn term(&self) -> u64 {
        self.term
    }

    /// The votes.
    #[must_use]
    pub const fn tally(&self) -> &ValueTally<C, R, WORDS> {
        &self.tally
    }
}
