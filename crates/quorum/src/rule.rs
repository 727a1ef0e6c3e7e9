//! What a quorum is.

use std::fmt;

use crate::{AnalysisError, Dual, IntersectionError, Nodes, Shape, closed, search::Search};

/// Which sets of nodes may decide.
///
/// The one method a rule must have is [`is_quorum`](Self::is_quorum); everything else follows from
/// it. A rule is **monotone**: a set with a quorum in it is a quorum. What follows is wrong for a
/// rule that is not.
///
/// ```
/// use steadfast_quorum::{Decision, NodeSet, Rule};
///
/// /// Node 0 and one of nodes 1 and 2.
/// struct LeaderAndOne;
///
/// impl Rule for LeaderAndOne {
///     fn is_quorum(&self, nodes: NodeSet) -> bool {
///         nodes.contains(0) && (nodes.contains(1) || nodes.contains(2))
///     }
/// }
///
/// let (leader, rest) = (NodeSet::of([0])?, NodeSet::of([1, 2])?);
/// assert_eq!(LeaderAndOne.decide(rest, NodeSet::EMPTY), Decision::Pending);
/// assert_eq!(LeaderAndOne.decide(NodeSet::EMPTY, leader), Decision::Lost);
/// assert_eq!(LeaderAndOne.minimal_quorums(100)?, [NodeSet::of([0, 1])?, NodeSet::of([0, 2])?]);
/// assert_eq!(LeaderAndOne.resilience()?, 0);
/// assert!(LeaderAndOne.intersects(&LeaderAndOne).is_ok());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub trait Rule<const WORDS: usize = 1> {
    /// Whether these nodes together are a quorum. Nodes that are no members change nothing.
    fn is_quorum(&self, nodes: Nodes<WORDS>) -> bool;

    /// The nodes that take part; unless a rule says otherwise, every node there can be.
    ///
    /// A [`Tally`](crate::Tally) tells strangers by it, and a call needs a service for each.
    fn members(&self) -> Nodes<WORDS> {
        Nodes::ALL
    }

    /// What the rule is made of, if it says so. What is searched for elsewhere is then calculated.
    ///
    /// A set is a quorum of the shape if, and only if, it is one of the rule.
    fn shape(&self) -> Option<Shape<'_, WORDS>> {
        None
    }

    /// Whether it is won, lost or open once these nodes have voted yes and those no.
    ///
    /// As early as it is certain: won when `yes` is a quorum; lost when it would not be one if all
    /// others still voted yes. A node in both has voted yes. As votes come in, neither outcome ever
    /// turns.
    #[inline]
    fn decide(&self, yes: Nodes<WORDS>, no: Nodes<WORDS>) -> Decision {
        let members = self.members();
        Decision::of(self.is_quorum(yes & members), self.is_quorum((yes | !no) & members))
    }

    /// The highest index that a quorum has acknowledged: `acknowledged[node]` is how far each node
    /// has come.
    ///
    /// With the indexes up to which each node has stored a log, it is the index up to which the log
    /// is committed (in Raft, if the entry is of the leader's term). `None` if all the nodes of the
    /// slice are no quorum: nothing is committed. Looks at each node once for each different index.
    fn committed_index(&self, acknowledged: &[u64]) -> Option<u64> {
        let members = self.members();
        let acknowledged = &acknowledged[..acknowledged.len().min(Nodes::<WORDS>::CAPACITY)];
        let of_members =
            || acknowledged.iter().copied().enumerate().filter(|(node, _)| members.contains(*node));
        let (mut reached, mut above) = (Nodes::EMPTY, None);
        loop {
            let below = |index: &u64| above.is_none_or(|above| *index < above);
            let index = of_members().map(|(_, index)| index).filter(below).max()?;
            for (node, _) in of_members().filter(|(_, reached)| *reached == index) {
                reached.insert(node);
            }
            if self.is_quorum(reached) {
                return Some(index);
            }
            above = Some(index);
        }
    }

    /// All quorums that are none without any one of their nodes, the smallest sets of failed nodes
    /// looked at first.
    ///
    /// # Errors
    /// When it would have to look at more than `limit` sets of failed nodes. There may be
    /// exponentially many.
    fn minimal_quorums(&self, limit: usize) -> Result<Vec<Nodes<WORDS>>, AnalysisError> {
        Search::new(self, limit).quorums().collect()
    }

    /// How many nodes may fail, whichever they are, so that a quorum is left.
    ///
    /// # Errors
    /// When not even all members are a quorum, or when it is [too much](AnalysisError::TooLarge) to
    /// look at.
    fn resilience(&self) -> Result<usize, AnalysisError> {
        closed::resilience(&self)
    }

    /// Whether every quorum of this rule has a node in common with every quorum of the other: what
    /// reads and writes must have, and what any rule must have with itself if two decisions are not
    /// to contradict each other.
    ///
    /// # Errors
    /// A quorum of each that have no node in common; or when it is
    /// [too much](AnalysisError::TooLarge) to look at.
    fn intersects(&self, other: &dyn Rule<WORDS>) -> Result<(), IntersectionError<WORDS>> {
        closed::meets(&self, other)
    }

    /// The rule whose quorums are the sets that have a node in common with every quorum of this
    /// one.
    ///
    /// A rule and its dual always [intersect](Self::intersects): the dual is the weakest rule that
    /// does.
    fn dual(self) -> Dual<Self>
    where
        Self: Sized,
    {
        Dual::new(self)
    }
}

/// How many sets of failed nodes are looked at before a search gives up. Enough for any rule over
/// 16 nodes, and for many over more; some megabytes and some tens of milliseconds.
pub const SEARCH_LIMIT: usize = 1 << 16;

/// What votes say so far. Lost is less than pending, and pending less than won: of several
/// questions that must all be won, the least decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// No quorum can vote yes any more, whatever is still to come.
    Lost,
    /// It depends on what is still to come.
    Pending,
    /// A quorum has voted yes, whatever is still to come.
    Won,
}

impl Decision {
    /// What it is when the votes for yes are a quorum or not, and all that may still vote yes with
    /// them are one or not.
    ///
    /// Votes cannot be foreseen, and a branch that is guessed wrong takes longer than most rules
    /// take to answer. There is none here: the sum is the number of the variant.
    #[inline]
    pub(crate) const fn of(won: bool, open: bool) -> Self {
        match won as u8 + (won | open) as u8 {
            0 => Self::Lost,
            1 => Self::Pending,
            _ => Self::Won,
        }
    }

    /// Whether it is won or lost.
    #[inline]
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending)
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Pending => "pending",
        })
    }
}

/// A pointer to a rule is that rule, with what it knows better than to search for it.
macro_rules! forward {
    ($(<$rule:ident> $pointer:ty),+) => {
        $(impl<$rule: Rule<WORDS> + ?Sized, const WORDS: usize> Rule<WORDS> for $pointer {
            #[inline]
            fn is_quorum(&self, nodes: Nodes<WORDS>) -> bool {
                (**self).is_quorum(nodes)
            }

            fn members(&self) -> Nodes<WORDS> {
                (**self).members()
            }

            fn shape(&self) -> Option<Shape<'_, WORDS>> {
                (**self).shape()
            }

            #[inline]
            fn decide(&self, yes: Nodes<WORDS>, no: Nodes<WORDS>) -> Decision {
                (**self).decide(yes, no)
            }

            fn committed_index(&self, acknowledged: &[u64]) -> Option<u64> {
                (**self).committed_index(acknowledged)
            }

            fn minimal_quorums(&self, limit: usize) -> Result<Vec<Nodes<WORDS>>, AnalysisError> {
                (**self).minimal_quorums(limit)
            }

            fn resilience(&self) -> Result<usize, AnalysisError> {
                (**self).resilience()
            }

            fn intersects(&self, other: &dyn Rule<WORDS>) -> Result<(), IntersectionError<WORDS>> {
                (**self).intersects(other)
            }
        })+
    };
}

forward!(<R> &R, <R> Box<R>, <R> std::sync::Arc<R>);
