//! Until when an answer is judged: at its head, or until its end.

#[cfg(feature = "http")]
mod end;
#[cfg(feature = "http")]
mod watched;

use steadfast_core::Verdict;

#[cfg(feature = "http")]
pub use self::{end::AtEnd, watched::WatchedBody};
use crate::permit::Permit;

/// Until when the layer judges an answer `Res` by a classifier `C`: [`AtHead`], or `AtEnd`. There
/// is no other.
pub trait Until<Res, C> {
    /// What the service answers.
    type Out;

    /// Takes in the verdict on the answer's head.
    fn settle(permit: &mut Permit, verdict: Verdict, response: Res, classifier: &C) -> Self::Out;
}

/// At its head, as it comes: its body, if it has one, says nothing more.
#[derive(Clone, Copy, Debug, Default)]
pub struct AtHead;

impl<Res, C> Until<Res, C> for AtHead {
    type Out = Res;

    #[inline(always)]
    fn settle(permit: &mut Permit, verdict: Verdict, response: Res, _classifier: &C) -> Res {
        permit.settle(verdict);
        response
    }
}
