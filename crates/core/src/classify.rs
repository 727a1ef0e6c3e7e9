//! From an outcome to a verdict.

use std::{error::Error, io};

use crate::{Executed, Failure, Grounds, Refusal, Sealed, Verdict, causes};

/// Judges the outcome of one call. Breaker, timeout, retry and failure detector all read the same
/// verdict.
///
/// Closures `Fn(Result<&Res, &Err>) -> Verdict` are classifiers. A classifier runs on the request
/// path and outside every lock; it must not block.
///
/// ```
/// use steadfast_core::{Classify, Executed, Verdict};
/// let classify = |outcome: Result<&u16, &std::io::Error>| match outcome {
///     Ok(500..) | Err(_) => Verdict::transient(Executed::Maybe),
///     Ok(_) => Verdict::Success,
/// };
/// assert_eq!(classify.classify(Ok(&200)), Verdict::Success);
/// ```
pub trait Classify<Res, Err> {
    /// The verdict on one outcome.
    fn classify(&self, outcome: Result<&Res, &Err>) -> Verdict;

    /// Whether the peer itself spoke: a reply of any kind proves that it lives, a 503 as well as a
    /// 200.
    ///
    /// A verdict cannot tell: a 503 and a silence are both a transient failure that may have been
    /// executed. True for a response, and for an error that only the peer can have sent; in doubt
    /// false. A closure knows no errors: for it only a response is an answer.
    fn answered(&self, outcome: Result<&Res, &Err>) -> bool {
        outcome.is_ok()
    }

    /// A refusal as the service's error, if that can hold any (see [`Failure::refused`]). A closure
    /// knows no errors: for it none can.
    fn refused<R: Refusal>(&self, refusal: R) -> Option<Err>
    where
        Self: Sized,
    {
        let _ = refusal;
        None
    }
}

impl<F, Res, Err> Classify<Res, Err> for F
where
    F: Fn(Result<&Res, &Err>) -> Verdict,
{
    fn classify(&self, outcome: Result<&Res, &Err>) -> Verdict {
        self(outcome)
    }
}

/// Every response is a success; an error is judged by what stands in its source chain.
///
/// The outermost error of the chain that says something decides: the [`Grounds`] of a layer's
/// refusal, a [`Sealed`] error, which may have been executed whatever is inside, a refused
/// connection, which was never executed; with the feature `http`, a stream that an HTTP/2 peer
/// never processed, and a request whose body failed on its way up; with the feature `hyper-util`, a
/// client of hyper-util's that could not connect: its name was not resolved, TLS failed, or it took
/// too long. Anything else is a transient failure that may have been executed.
///
/// A client that follows redirects inside of a call (reqwest) says of its last hop that it could
/// not connect, when the first was executed. Switch them off, or put the stack round it by
/// `steadfast-reqwest`, which tells the two apart.
///
/// **A body that fails on its way up** is [ignored](Verdict::Ignored): a client that breaks its
/// upload off says nothing of the upstream that a proxy streams it to, and no repetition would have
/// a whole body. hyper says that it was the body's, and so do all clients made of it (hyper-util,
/// reqwest, tonic's channel). An upstream that closes in mid-upload has failed as ever.
///
/// What is *inside* a service is not told apart from the way to it: a handler that calls another
/// service and passes on what that one failed with has been executed all the same. Put
/// [`SealLayer`](crate::SealLayer) round it.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultClassifier;

impl<Res, Err: Failure> Classify<Res, Err> for DefaultClassifier {
    fn classify(&self, outcome: Result<&Res, &Err>) -> Verdict {
        match outcome {
            Ok(_) => Verdict::Success,
            Err(error) => judge_error(error.as_error()),
        }
    }

    /// A response, or an error that only a peer can have sent: with the feature `http` a reset or
    /// `GOAWAY` of HTTP/2, with the feature `tonic` a `Status` without a source.
    fn answered(&self, outcome: Result<&Res, &Err>) -> bool {
        outcome.map_or_else(|error| sent_by_peer(error.as_error()), |_| true)
    }

    fn refused<R: Refusal>(&self, refusal: R) -> Option<Err> {
        Err::refused(refusal)
    }
}

/// Every response is a success and every error a transient failure that may have been executed.
///
/// For error types that do not implement [`Failure`], when nothing finer is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct EveryError;

impl<Res, Err> Classify<Res, Err> for EveryError {
    fn classify(&self, outcome: Result<&Res, &Err>) -> Verdict {
        match outcome {
            Ok(_) => Verdict::Success,
            Err(_) => Verdict::transient(Executed::Maybe),
        }
    }
}

/// The verdict on an error by its source chain alone.
pub(crate) fn judge_error(error: &(dyn Error + 'static)) -> Verdict {
    causes(error).find_map(judge_link).unwrap_or(Verdict::transient(Executed::Maybe))
}

/// Whether only a peer can have sent an error, by its source chain alone.
///
/// [`Grounds`] end the search: a layer made them here, and the status below them with them. So does
/// a [`Sealed`] error: what is below it was said to the sealed service by another one, and a seal
/// says only that the service had begun to work.
///
/// A body that failed on its way up ends it as well: what is below came from the other side, such
/// as the reset by which a client gave up its upload.
pub(crate) fn sent_by_peer(error: &(dyn Error + 'static)) -> bool {
    causes(error)
        .take_while(|error| {
            !error.is::<Grounds>() && !error.is::<Sealed>() && !is_broken_upload(*error)
        })
        .any(is_of_peer)
}

/// Whether the body of a request failed on its way up, by the source chain alone.
///
/// A refusal or a seal further out decides before it.
#[cfg(feature = "tonic")]
pub(crate) fn is_of_broken_upload(error: &(dyn Error + 'static)) -> bool {
    causes(error).find_map(judge_link) == Some(Verdict::Ignored)
}

/// Whether one link of a chain can only have come from a peer.
fn is_of_peer(error: &(dyn Error + 'static)) -> bool {
    #[cfg(feature = "http")]
    if error.downcast_ref::<h2::Error>().is_some_and(h2::Error::is_remote) {
        return true;
    }
    // tonic keeps the error from which it made a status as that one's source; a status off the wire
    // has none.
    #[cfg(feature = "tonic")]
    if error.is::<tonic::Status>() && error.source().is_none() {
        return true;
    }
    let _ = error;
    false
}

/// What one link of a chain says, if anything.
fn judge_link(error: &(dyn Error + 'static)) -> Option<Verdict> {
    if let Some(grounds) = error.downcast_ref::<Grounds>() {
        return Some(Verdict::from(*grounds));
    }
    if is_broken_upload(error) {
        return Some(Verdict::Ignored);
    }
    #[cfg(feature = "http")]
    if error.downcast_ref::<h2::Error>().is_some_and(never_processed) {
        return Some(Verdict::transient(Executed::No));
    }
    #[cfg(feature = "hyper-util")]
    if error.downcast_ref().is_some_and(hyper_util::client::legacy::Error::is_connect) {
        return Some(Verdict::transient(Executed::No));
    }
    if let Some(sealed) = error.downcast_ref::<Sealed>() {
        return Some(Verdict::from(sealed.grounds()));
    }
    // Other I/O errors arise while connecting as well as after sending: only this one is certain.
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    error.downcast_ref().is_some_and(refused).then_some(Verdict::transient(Executed::No))
}

/// Whether one link of a chain says that the program's own side broke a request off in its body.
///
/// On HTTP/1, and where a body ends before its `Content-Length`, hyper gives the body's error. On
/// HTTP/2 it resets the stream, and h2 gives the call just that reset. Neither is ever made of what
/// a peer does: its resets are remote, and those of h2 itself, such as for a peer that breaks the
/// protocol, are the library's.
#[cfg(feature = "http")]
fn is_broken_upload(error: &(dyn Error + 'static)) -> bool {
    let reset_here =
        |error: &h2::Error| error.is_reset() && !error.is_remote() && !error.is_library();
    error.downcast_ref().is_some_and(is_of_body) || error.downcast_ref().is_some_and(reset_here)
}

/// Whether hyper speaks of the request's body.
///
/// hyper counts more as its user's: a call that uses it in a wrong way, of which it says no cause,
/// and the end of a connection's task, of which it does. That task also ends when something in it
/// panics over what the peer sent, and it is gone for the next attempt: a failure as ever. hyper
/// tells it by its words alone; a test over real connections sees to it that they stay.
#[cfg(feature = "http")]
fn is_of_body(error: &hyper::Error) -> bool {
    error.is_body_write_aborted()
        || error.is_user() && error.source().is_some() && error.to_string() != DISPATCH_GONE
}

#[cfg(feature = "http")]
const DISPATCH_GONE: &str = "dispatch task is gone";

/// Without HTTP there is no body.
#[cfg(not(feature = "http"))]
const fn is_broken_upload(_: &(dyn Error + 'static)) -> bool {
    false
}

/// RFC 9113, section 8.7: a stream reset with `REFUSED_STREAM`, or one above the last stream of a
/// received `GOAWAY`, was not processed. h2 gives the remote `GOAWAY` as an error to just those
/// streams.
#[cfg(feature = "http")]
fn never_processed(error: &h2::Error) -> bool {
    let refused =
        error.is_reset() && error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    refused || (error.is_go_away() && error.is_remote())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RefusalKind;

    type BoxError = Box<dyn Error + Send + Sync>;

    /// `answered` of the default classifier on an error.
    fn answered(error: impl Into<BoxError>) -> bool {
        DefaultClassifier.answered(Err::<&(), _>(&error.into()))
    }

    #[test]
    fn every_response_is_an_answer_and_no_error_that_was_made_here() {
        assert!(DefaultClassifier.answered(Ok::<_, &BoxError>(&())));
        assert!(!answered("a message"));
        assert!(
            !answered(io::Error::from(io::ErrorKind::ConnectionRefused)),
            "the peer's kernel, or a proxy, said that"
        );
        assert!(
            !answered(Grounds::maybe_executed(RefusalKind::TimedOut)),
            "with `tonic` there is a status below it"
        );
        assert!(!answered(Sealed::new("a handler's")));
    }

    #[test]
    fn closures_and_the_coarsest_classifier_know_only_responses() {
        let closure = |_: Result<&(), &io::Error>| Verdict::Ignored;
        let error = io::Error::other("any");
        assert!(closure.answered(Ok(&())) && !closure.answered(Err(&error)));
        assert!(
            EveryError.answered(Ok::<_, &io::Error>(&()))
                && !EveryError.answered(Err::<&(), _>(&error))
        );
    }

    #[test]
    fn that_the_callers_time_was_over_passes_a_seal_and_makes_no_promise() {
        let sealed = |grounds: Grounds| Sealed::new(Sealed::new(grounds));
        for (kind, verdict) in [
            (RefusalKind::DeadlineExceeded, Verdict::Ignored),
            (RefusalKind::TimedOut, Verdict::transient(Executed::Maybe)),
            (RefusalKind::TooMany, Verdict::transient(Executed::Maybe)),
        ] {
            let sealed = sealed(Grounds::not_executed(kind));
            assert_eq!(sealed.grounds().executed, Executed::Maybe, "{kind}");
            assert_eq!(DefaultClassifier.classify(Err::<&(), _>(&sealed)), verdict, "{kind}");
        }
    }

    #[test]
    fn a_refusal_is_a_failure_that_the_default_classifier_looks_into() {
        let sealed = Sealed::new("worked");
        assert_eq!(
            DefaultClassifier.classify(Err::<&(), _>(&sealed)),
            Verdict::transient(Executed::Maybe)
        );
    }
}
