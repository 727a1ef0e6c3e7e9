//! Two rules that meet.

use crate::{Dual, IntersectionError, Rule, RuleError, Threshold};

/// A rule for reads and one for writes of which it is proven that every read meets every write.
///
/// That a read sees the last write is all that it proves. Two writes need not meet: a program that
/// decides on the order of writes by a quorum of them asks [`Rule::intersects`] of the write rule
/// with itself.
///
/// ```
/// use steadfast_quorum::{Expr, Expression, IntersectionError, NodeSet, ReadWrite, Threshold};
///
/// let pair = ReadWrite::counts(2, 4, 5)?;
/// assert_eq!((pair.read().needed(), pair.write().needed()), (2, 4));
///
/// let refused = ReadWrite::new(Threshold::of(2, 5)?, Threshold::of(3, 5)?).unwrap_err();
/// assert_eq!(refused.to_string(), "the quorums {0, 1} and {2, 3, 4} have no node in common");
///
/// // A grid of 2 × 3: a row to read, a column of them to write.
/// let rows = Expr::any([Expr::all([0, 1, 2]), Expr::all([3, 4, 5])]);
/// let grid = ReadWrite::of_reads(Expression::new(rows)?);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReadWrite<R, W = R> {
    read: R,
    write: W,
}

impl<R, W> ReadWrite<R, W> {
    /// Reads by `read`, writes by `write`.
    ///
    /// # Errors
    /// When a read may miss a write, with quorums that do; or when it could not be found out.
    pub fn new<const WORDS: usize>(read: R, write: W) -> Result<Self, IntersectionError<WORDS>>
    where
        R: Rule<WORDS>,
        W: Rule<WORDS>,
    {
        read.intersects(&write)?;
        Ok(Self { read, write })
    }

    /// The rule for reads.
    #[must_use]
    pub const fn read(&self) -> &R {
        &self.read
    }

    /// The rule for writes.
    #[must_use]
    pub const fn write(&self) -> &W {
        &self.write
    }
}

impl<R: Clone> ReadWrite<R, Dual<R>> {
    /// Reads by `read`, writes by the weakest rule that meets every read: its [dual](Rule::dual).
    #[must_use]
    pub fn of_reads(read: R) -> Self {
        let write = Dual::new(read.clone());
        Self { read, write }
    }
}

impl ReadWrite<Threshold> {
    /// Reads by `read` of `count` nodes, writes by `write` of them: r, w and n.
    ///
    /// # Errors
    /// When r + w is not above n, with quorums that miss each other; or when there cannot be such a
    /// count.
    pub fn counts(read: usize, write: usize, count: usize) -> Result<Self, ReadWriteError> {
        Ok(Self::new(Threshold::of(read, count)?, Threshold::of(write, count)?)?)
    }
}

/// Why there is no such pair of counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadWriteError {
    /// One of the two cannot be.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// A read may miss a write.
    #[error(transparent)]
    Intersection(#[from] IntersectionError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeSet;

    #[test]
    fn counts_that_do_not_add_up_are_refused_with_quorums_that_miss_each_other() {
        for count in 1..=7 {
            for read in 1..=count {
                for write in 1..=count {
                    let pair = ReadWrite::counts(read, write, count);
                    assert_eq!(pair.is_ok(), read + write > count, "{read} + {write} of {count}");
                    if let Err(ReadWriteError::Intersection(IntersectionError::Disjoint {
                        first,
                        second,
                    })) = pair
                    {
                        assert!(
                            first.is_disjoint(second)
                                && first.len() == read
                                && second.len() == write
                        );
                        assert!((first | second).is_subset(NodeSet::first(count).unwrap()));
                    }
                }
            }
        }
    }
}
