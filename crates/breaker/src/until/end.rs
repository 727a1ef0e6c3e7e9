//! Judging until the end of the body.

use http::Response;
use http_body::Body;
use steadfast_core::{Verdict, http::ClassifyEnd};

use super::{
    Until,
    watched::{BoxError, WatchedBody},
};
use crate::{answered::Answered, permit::Permit};

/// Until the end of its body: see [`BreakerLayer::until_end`](crate::BreakerLayer::until_end).
#[derive(Clone, Copy, Debug, Default)]
pub struct AtEnd;

impl<B, C> Until<Response<B>, C> for AtEnd
where
    B: Body<Error: Into<BoxError>>,
    C: ClassifyEnd + Clone,
{
    type Out = Response<WatchedBody<B, C>>;

    // Always, and part by part: the response would otherwise be copied through memory twice more.
    #[inline(always)]
    fn settle(
        permit: &mut Permit,
        verdict: Verdict,
        response: Response<B>,
        classifier: &C,
    ) -> Self::Out {
        // The size hint would not tell: of an HTTP/2 HEAD it says what a GET would get.
        let is_over = permit.run(|| response.body().is_end_stream());
        let answered = if is_over || classifier.is_settled_by(&response) {
            permit.settle(verdict);
            Answered::settled()
        } else {
            permit.answer(verdict).unwrap_or(Answered::settled())
        };
        let (head, body) = response.into_parts();
        Response::from_parts(head, WatchedBody::new(body, answered, classifier.clone()))
    }
}
