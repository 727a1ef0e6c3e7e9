//! Votes for a leader.

use super::{Cast, ValueTally};
use crate::{Decision, IntersectionError, Rule};

/// The votes of one term for its leader. At most one is elected.
///
/// That holds only if no node votes for two candidates in one term, not even after a restart: whoever votes stores it first.
/// (D. Ongaro, J. Ousterhout: *In Search of an Understandable Consensus Algorithm*, 2014, section 5.2.)
///
/// ```
/// use steadfast_quorum::{Cast, Decision, Election, Threshold};
///
/// let mut election = Election::new(4, Threshold::majority_of(5)?)?;
/// let _ = (election.vote(0, 4, "ada"), election.vote(1, 4, "ada"), election.vote(2, 4, "bob"));
/// assert_eq!(election.vote(3, 3, "ada"), Cast::OtherTerm);
/// assert_eq!(election.decide(), Decision::Pending);
/// let _ = (election.vote(3, 4, "bob"), election.vote(4, 4, "cyn"));
/// assert_eq!(election.decide(), Decision::Lost, "the votes are split: on to the next term");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Election<C, R, const WORDS: usize = 1> {
    term: u64,
    tally: ValueTally<C, R, WORDS>,
}

/// Why an election by this rule could elect two: two of its quorums need not meet.
pub type ElectionError<const WORDS: usize = 1> = IntersectionError<WORDS>;

impl<C: Eq, R: Rule<WORDS>, const WORDS: usize> Election<C, R, WORDS> {
    /// Nobody has voted in this term.
    ///
    /// # Errors
    /// When two quorums of the rule have no node in common, and two candidates could both be elected; or when that cannot be
    /// found out.
    pub fn new(term: u64, rule: R) -> Result<Self, ElectionError<WORDS>> {
        rule.intersects(&&rule)?;
        Ok(Self { term, tally: ValueTally::new(rule) })
    }

    /// Takes a node's vote. One for another term is ignored; if it is a later one, this election is over.
    pub fn vote(&mut self, node: usize, term: u64, candidate: C) -> Cast {
        if term == self.term { self.tally.vote(node, candidate) } else { Cast::OtherTerm }
    }

    /// Notes that a node votes for nobody in this term.
    pub fn abstain(&mut self, node: usize) -> Cast {
        self.tally.fail(node)
    }

    /// Won once somebody is elected; lost once nobody can be, because too many have failed or the votes are split.
    #[must_use]
    pub fn decide(&self) -> Decision {
        self.tally.decide()
    }

    /// Who is elected.
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
