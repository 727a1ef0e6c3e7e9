//! Verdicts on how the body of a response ends.

use std::error::Error;

use http::{HeaderMap, Response};

use super::{ClockedHttpClassifier, HttpClassifier};
use crate::{Verdict, WallClock, classify::judge_error};

/// Judges how the body of a response ends, beside [`Classify`](crate::Classify), which judges its
/// head: for a breaker's `until_end`.
///
/// [`HttpClassifier`] judges an error of the body by its source chain, and every other end is good.
/// The `GrpcClassifier` reads the status in the trailers too, and an end without one is `UNKNOWN`.
/// For a classifier of your own, which is then no closure but a type:
///
/// ```
/// use http::Response;
/// use steadfast_core::{Classify, Failure, Verdict, http::{BodyEnd, ClassifyEnd, HttpClassifier}};
///
/// /// 404 is a failure here.
/// #[derive(Clone, Copy)]
/// struct Mine;
///
/// impl<B, E: Failure> Classify<Response<B>, E> for Mine {
///     fn classify(&self, outcome: Result<&Response<B>, &E>) -> Verdict {
///         match outcome {
///             Ok(response) if response.status() == 404 => Verdict::transient(
///                 steadfast_core::Executed::No,
///             ),
///             outcome => HttpClassifier.classify(outcome),
///         }
///     }
/// }
///
/// impl ClassifyEnd for Mine {
///     fn classify_end(&self, end: BodyEnd<'_>) -> Verdict {
///         HttpClassifier.classify_end(end)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not judge how a body ends",
    note = "the classifiers of `.http()` and `.grpc()` do",
    note = "or write `impl ClassifyEnd for {Self}`: a closure cannot"
)]
pub trait ClassifyEnd {
    /// The verdict on the end of a body whose head was good.
    fn classify_end(&self, end: BodyEnd<'_>) -> Verdict;

    /// Whether a head has said all there is to say: then the end of its body is not judged.
    fn is_settled_by<B>(&self, head: &Response<B>) -> bool {
        let _ = head;
        false
    }
}

/// How a body has ended.
#[derive(Clone, Copy, Debug)]
pub enum BodyEnd<'a> {
    /// It failed with this error.
    Failed(&'a (dyn Error + 'static)),
    /// It came to its end, with trailers or without.
    Ended(Option<&'a HeaderMap>),
}

impl ClassifyEnd for HttpClassifier {
    #[inline]
    fn classify_end(&self, end: BodyEnd<'_>) -> Verdict {
        match end {
            BodyEnd::Failed(error) => judge_error(error),
            BodyEnd::Ended(_) => Verdict::Success,
        }
    }
}

impl<W: WallClock> ClassifyEnd for ClockedHttpClassifier<W> {
    fn classify_end(&self, end: BodyEnd<'_>) -> Verdict {
        HttpClassifier.classify_end(end)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::{Executed, Grounds, RefusalKind};

    #[test]
    fn a_body_that_fails_is_judged_by_its_source_chain_and_any_other_end_is_good() {
        let failed =
            |error: &(dyn Error + 'static)| HttpClassifier.classify_end(BodyEnd::Failed(error));
        let transient = Verdict::transient(Executed::Maybe);
        assert_eq!(failed(&io::Error::from(io::ErrorKind::UnexpectedEof)), transient);
        assert_eq!(failed(&Grounds::maybe_executed(RefusalKind::TimedOut)), transient);
        let callers = Grounds::maybe_executed(RefusalKind::DeadlineExceeded);
        assert_eq!(failed(&io::Error::other(callers)), Verdict::Ignored, "the caller's time");
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("14"));
        for trailers in [None, Some(&trailers)] {
            let end = BodyEnd::Ended(trailers);
            assert_eq!(HttpClassifier.classify_end(end), Verdict::Success);
        }
        assert!(!HttpClassifier.is_settled_by(&Response::new(())));
    }
}
