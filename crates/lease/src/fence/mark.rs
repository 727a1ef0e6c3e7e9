//! What a call presents and what a resource remembers, and the one rule between them.

use steadfast_core::FencingToken;

use super::refused::Fenced;

/// The fencing token of a call and, where its holder numbers its calls, the call's number; and the
/// highest of these that a resource has seen.
///
/// Marks are ordered by token, then by number; a call without a number comes before all that have
/// one.
///
/// ```
/// use steadfast_lease::{FenceMark, FencingToken};
///
/// let [old, new] = [33_u64, 34].map(|token| FencingToken::try_from(token).unwrap());
/// let (most, highest) = (FencingToken::MAX, Some(FenceMark::new(new)));
/// assert!(FenceMark::new(new).check(highest, || most).is_ok(), "an equal token passes");
/// let fenced = FenceMark::new(old).check(highest, || most).unwrap_err();
/// assert_eq!(fenced.highest(), Some(new));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FenceMark {
    token: FencingToken,
    sequence: Option<u64>,
}

impl FenceMark {
    /// A call under `token`, without a number.
    #[must_use]
    pub const fn new(token: FencingToken) -> Self {
        Self { token, sequence: None }
    }

    /// The same with a number, which the holder raises with every call, reads and repetitions
    /// among them.
    ///
    /// Equal tokens pass, so a holder's own write that it gave up on can land after its next one:
    /// the fence tells holders apart, and not the calls of one. Numbers tell those apart too. They
    /// must stand on the reads that a write depends on as well as on writes.
    #[must_use]
    pub const fn numbered(self, sequence: u64) -> Self {
        Self { sequence: Some(sequence), ..self }
    }

    /// The token.
    #[must_use]
    pub const fn token(self) -> FencingToken {
        self.token
    }

    /// The number of the call under its token.
    #[must_use]
    pub const fn sequence(self) -> Option<u64> {
        self.sequence
    }

    /// Whether a call that presents this mark may pass a resource whose highest mark is `highest`.
    /// If so, this becomes the highest, in the same step.
    ///
    /// | the token is | the call |
    /// |---|---|
    /// | below the highest | is stale |
    /// | the highest, and neither has a number | passes |
    /// | the highest, and the call's number is above the highest number | passes |
    /// | the highest, and it is not | is out of order |
    /// | above the highest, or the first, and at most `most` | passes, and its token is the highest |
    /// | above `most` | is too far ahead |
    ///
    /// `most` is asked for the greatest token that is believed only when a token above the highest
    /// comes: one token that nothing surpasses would close the resource.
    ///
    /// # Errors
    /// When it may not pass. The call was not executed.
    pub fn check(
        self,
        highest: Option<Self>,
        most: impl FnOnce() -> FencingToken,
    ) -> Result<(), Fenced> {
        match highest {
            Some(highest) if self.token < highest.token => {
                Err(Fenced::stale(self.token, highest.token))
            }
            Some(highest) if self.token == highest.token => match (self.sequence, highest.sequence)
            {
                (None, None) => Ok(()),
                (presented, Some(highest)) if presented <= Some(highest) => {
                    Err(Fenced::out_of_order(self.token, presented, highest))
                }
                _ => Ok(()),
            },
            _ => {
                let most = most();
                if self.token > most {
                    Err(Fenced::too_far_ahead(self.token, most))
                } else {
                    Ok(())
                }
            }
        }
    }
}

impl From<FencingToken> for FenceMark {
    fn from(token: FencingToken) -> Self {
        Self::new(token)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fence::refused::FencedReason;

    fn token(number: u64) -> FencingToken {
        FencingToken::try_from(number).unwrap()
    }

    fn mark(number: u64, sequence: Option<u64>) -> FenceMark {
        FenceMark { token: token(number), sequence }
    }

    fn reason(presented: FenceMark, highest: Option<FenceMark>) -> Option<FencedReason> {
        presented.check(highest, || token(100)).err().map(|fenced| fenced.reason)
    }

    #[test]
    fn a_stale_token_is_refused_and_an_equal_or_newer_one_passes() {
        let highest = Some(mark(5, None));
        assert_eq!(
            reason(mark(4, None), highest),
            Some(FencedReason::Stale { presented: token(4), highest: token(5) })
        );
        assert_eq!(reason(mark(5, None), highest), None);
        assert_eq!(reason(mark(6, None), highest), None);
        assert_eq!(reason(mark(0, None), None), None, "the first");
    }

    #[test]
    fn a_number_begun_must_go_on_and_grow_under_its_token_only() {
        let numbered = Some(mark(5, Some(7)));
        for stays in [None, Some(0), Some(6), Some(7)] {
            assert_eq!(
                reason(mark(5, stays), numbered),
                Some(FencedReason::OutOfOrder { token: token(5), presented: stays, highest: 7 })
            );
        }
        assert_eq!(reason(mark(5, Some(8)), numbered), None);
        assert_eq!(reason(mark(6, None), numbered), None, "of another holder");
        assert_eq!(reason(mark(6, Some(0)), numbered), None);
        assert_eq!(reason(mark(5, Some(0)), Some(mark(5, None))), None, "it begins");
    }

    #[test]
    fn a_token_beyond_belief_is_refused_unless_it_is_the_highest_already() {
        let too_far = FencedReason::TooFarAhead { presented: token(101), most: token(100) };
        assert_eq!(reason(mark(101, None), None), Some(too_far));
        assert_eq!(reason(mark(101, None), Some(mark(100, None))), Some(too_far));
        assert_eq!(reason(mark(100, None), None), None);
        assert_eq!(reason(mark(101, None), Some(mark(101, None))), None);
    }

    proptest! {
        #[test]
        fn what_passes_is_never_below_what_passed(
            calls in prop::collection::vec((0..4_u64, prop::option::of(0..4_u64)), 0..40),
        ) {
            let mut highest = None;
            let mut passed = Vec::<(u64, Option<u64>)>::new();
            for (number, sequence) in calls {
                let presented = mark(number, sequence);
                // The rule, over the whole history instead of the highest mark.
                let stale = passed.iter().any(|&(other, _)| other > number);
                let of_own = passed.iter().filter(|&&(other, _)| other == number);
                let disordered = of_own.clone().any(|&(_, other)| match (sequence, other) {
                    (Some(own), Some(other)) => own <= other,
                    (None, Some(_)) => true,
                    (_, None) => false,
                });
                let may_pass = !stale && !disordered;
                prop_assert_eq!(presented.check(highest, || FencingToken::MAX).is_ok(), may_pass);
                if may_pass {
                    highest = Some(presented);
                    passed.push((number, sequence));
                }
            }
        }
    }
}
