//! Verdicts on HTTP responses.

use http::{Response, StatusCode};

use super::{is_replayed, retry_after::retry_after};
use crate::{
    Classify, Executed, Failure, Grounds, Refusal, SystemWallClock, Verdict, WallClock,
    classify::{judge_error, sent_by_peer},
};

/// Judges a response by its status and `Retry-After`, an error by its source chain, as the
/// [`DefaultClassifier`](crate::DefaultClassifier) does: a body that failed on its way up is
/// ignored.
///
/// | status | verdict |
/// |---|---|
/// | 1xx, 2xx, 3xx | success |
/// | 429 | throttled, not executed, with its `Retry-After` |
/// | 421, 425 | transient, not executed: the server says it did not process the request |
/// | 500, 502, 503, 504 and other 5xx | transient, may have been executed, with its `Retry-After` |
/// | 408, 409 with `Retry-After` | repeatable, may have been executed: the service is healthy |
/// | 501, 505, 506, 510, 511 and other 4xx | permanent: the same request will fare no better |
/// | any of 400 and above with `Idempotent-Replayed: true` | permanent: stored under the request's key, and answered again |
///
/// "Not executed" is taken back where the response comes from a sealed handler of this process, or
/// from a refusal that may have come after the call. A response that a layer of this process made
/// when the caller's own deadline was over
/// ([`DeadlineExceeded`](crate::RefusalKind::DeadlineExceeded)) is ignored.
///
/// A response is judged by its head. Where failures may come later, in the body or the trailers,
/// put [`CollectLayer`](super::CollectLayer) inside the layers that judge: then a body that broke
/// off is an error here. A breaker's `until_end` sees them without holding the response back.
///
/// A `Retry-After` that is a date is read against the response's `Date`, and where there is none
/// against the system's wall clock, or the one that is given to [`wall_clock`](Self::wall_clock).
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpClassifier;

/// The [`HttpClassifier`] with a wall clock of the program's own, which
/// [`HttpClassifier::wall_clock`] makes.
#[derive(Clone, Copy, Debug)]
pub struct ClockedHttpClassifier<W> {
    clock: W,
}

impl HttpClassifier {
    /// The same, with a `Retry-After` that is a date read against `clock`, where the response has
    /// no `Date`: one that is kept right, such as a hybrid logical clock's, or one of a test.
    #[must_use]
    pub const fn wall_clock<W: WallClock>(self, clock: W) -> ClockedHttpClassifier<W> {
        ClockedHttpClassifier { clock }
    }
}

impl<B, Err: Failure> Classify<Response<B>, Err> for HttpClassifier {
    fn classify(&self, outcome: Result<&Response<B>, &Err>) -> Verdict {
        self.wall_clock(SystemWallClock).classify(outcome)
    }

    /// A response that no layer here made of a refusal, or an error that only a peer can have sent:
    /// a reset or `GOAWAY` of HTTP/2.
    fn answered(&self, outcome: Result<&Response<B>, &Err>) -> bool {
        outcome
            .map_or_else(|error| sent_by_peer(error.as_error()), |response| !is_refusal(response))
    }

    fn refused<R: Refusal>(&self, refusal: R) -> Option<Err> {
        Err::refused(refusal)
    }
}

impl<B, Err: Failure, W: WallClock> Classify<Response<B>, Err> for ClockedHttpClassifier<W> {
    fn classify(&self, outcome: Result<&Response<B>, &Err>) -> Verdict {
        match outcome {
            Ok(response) => judge_response(response, &self.clock),
            Err(error) => judge_error(error.as_error()),
        }
    }

    fn answered(&self, outcome: Result<&Response<B>, &Err>) -> bool {
        HttpClassifier.answered(outcome)
    }

    fn refused<R: Refusal>(&self, refusal: R) -> Option<Err> {
        Err::refused(refusal)
    }
}

/// Whether a layer of this process made the response of a refusal: extensions do not travel.
pub(crate) fn is_refusal<B>(response: &Response<B>) -> bool {
    response.extensions().get::<Grounds>().is_some()
}

/// Whether a layer of this process made the response when the caller's own deadline was over.
pub(crate) fn is_callers_deadline<B>(response: &Response<B>) -> bool {
    response.extensions().get().is_some_and(Grounds::is_callers_deadline)
}

/// What a status that promises "not executed" is worth. The response's extensions can take that
/// promise back, never make one: a sealed handler had begun to work
/// ([`SealResponseLayer`](super::SealResponseLayer)), a refusal may have come after the call.
fn promised<B>(response: &Response<B>) -> Executed {
    let refused = response.extensions().get().map(|grounds: &Grounds| grounds.executed);
    let sealed = response.extensions().get().copied();
    if [refused, sealed].contains(&Some(Executed::Maybe)) { Executed::Maybe } else { Executed::No }
}

fn judge_response<B>(response: &Response<B>, clock: &impl WallClock) -> Verdict {
    let status = response.status();
    if status.as_u16() < 400 {
        return Verdict::Success;
    }
    if is_callers_deadline(response) {
        return Verdict::Ignored;
    }
    // Whatever it once said of the service: nothing failed now, and asking again changes nothing.
    if is_replayed(response.headers()) {
        return Verdict::Permanent;
    }
    let retry_after = || retry_after(response.headers(), || clock.now());
    match status {
        StatusCode::TOO_MANY_REQUESTS => {
            Verdict::Throttled { executed: promised(response), pushback: retry_after().into() }
        }
        StatusCode::MISDIRECTED_REQUEST | StatusCode::TOO_EARLY => {
            Verdict::Transient { executed: promised(response), pushback: retry_after().into() }
        }
        StatusCode::NOT_IMPLEMENTED
        | StatusCode::HTTP_VERSION_NOT_SUPPORTED
        | StatusCode::VARIANT_ALSO_NEGOTIATES
        | StatusCode::NOT_EXTENDED
        | StatusCode::NETWORK_AUTHENTICATION_REQUIRED => Verdict::Permanent,
        StatusCode::REQUEST_TIMEOUT => {
            Verdict::Repeatable { executed: Executed::Maybe, retry_after: retry_after() }
        }
        StatusCode::CONFLICT => match retry_after() {
            Some(after) => {
                Verdict::Repeatable { executed: Executed::Maybe, retry_after: Some(after) }
            }
            None => Verdict::Permanent,
        },
        status if status.is_server_error() => {
            Verdict::Transient { executed: Executed::Maybe, pushback: retry_after().into() }
        }
        _ => Verdict::Permanent,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::Arc,
        time::{Duration, SystemTime},
    };

    use http::header::RETRY_AFTER;

    use super::*;
    use crate::{ManualWallClock, RefusalKind};

    fn judge(status: u16, retry_after: Option<&str>) -> Verdict {
        let mut response = Response::builder().status(status);
        if let Some(value) = retry_after {
            response = response.header(RETRY_AFTER, value);
        }
        HttpClassifier.classify(Ok::<_, &io::Error>(&response.body(()).unwrap()))
    }

    #[test]
    fn every_status_has_its_verdict() {
        for status in 200..600 {
            let expected = match status {
                200..400 => Verdict::Success,
                429 => Verdict::throttled(),
                421 | 425 => Verdict::transient(Executed::No),
                501 | 505 | 506 | 510 | 511 => Verdict::Permanent,
                408 => Verdict::Repeatable { executed: Executed::Maybe, retry_after: None },
                500..600 => Verdict::transient(Executed::Maybe),
                _ => Verdict::Permanent,
            };
            assert_eq!(judge(status, None), expected, "{status}");
        }
    }

    #[test]
    fn what_the_server_says_about_coming_back_is_kept() {
        let seconds = Some(Duration::from_secs(7));
        assert_eq!(
            judge(429, Some("7")),
            Verdict::Throttled { executed: Executed::No, pushback: seconds.into() }
        );
        assert_eq!(judge(503, Some("7")).retry_after(), seconds);
        let repeatable =
            |retry_after| Verdict::Repeatable { executed: Executed::Maybe, retry_after };
        assert_eq!(judge(408, Some("7")), repeatable(seconds));
        assert_eq!(judge(409, Some("7")), repeatable(seconds));
        assert_eq!(judge(409, Some("0")), repeatable(Some(Duration::ZERO)));
        assert_eq!(judge(409, Some("soon")), Verdict::Permanent);
        assert_eq!(judge(404, Some("7")).retry_after(), None);
        assert_eq!(judge(503, Some("soon")).retry_after(), None);
    }

    #[test]
    fn a_date_to_come_back_at_is_read_against_the_clock_that_is_given() {
        let date = "Sun, 09 Sep 2001 01:46:50 GMT";
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let clock = Arc::new(ManualWallClock::new(now));
        let classifier = HttpClassifier.wall_clock(Arc::clone(&clock));
        let wait = |sent: Option<&str>| {
            let mut response = Response::builder().status(503).header(RETRY_AFTER, date);
            if let Some(sent) = sent {
                response = response.header(http::header::DATE, sent);
            }
            let response = response.body(()).unwrap();
            let verdict = classifier.classify(Ok::<_, &io::Error>(&response));
            let sent_by_peer = Classify::<_, io::Error>::answered(&classifier, Ok(&response));
            assert!(sent_by_peer);
            verdict.retry_after().unwrap().as_secs()
        };
        assert_eq!(wait(None), 10);
        clock.step_back(Duration::from_secs(3600));
        assert_eq!(wait(None), 3610);
        assert_eq!(wait(Some("Sun, 09 Sep 2001 01:46:43 GMT")), 7, "its own date comes first");
        assert_eq!(wait(Some("some day")), 3610);
        // Without a clock, and without a date, the system's: long after that.
        let verdict = judge(503, Some(date));
        assert_eq!(verdict.retry_after(), Some(Duration::ZERO));
    }

    #[test]
    fn a_failure_that_was_stored_is_final_and_a_success_stays_one() {
        let judge = |status: u16, replayed: &str| {
            let response = Response::builder().status(status).header(RETRY_AFTER, "7");
            let response = response.header("idempotent-replayed", replayed).body(()).unwrap();
            HttpClassifier.classify(Ok::<_, &io::Error>(&response))
        };
        assert_eq!(judge(201, "true"), Verdict::Success);
        for status in [408, 409, 421, 422, 425, 429, 500, 502, 503, 504] {
            assert_eq!(judge(status, "true"), Verdict::Permanent, "{status}");
        }
        for no in ["false", "", "True, true"] {
            assert_eq!(judge(500, no).retry_after(), Some(Duration::from_secs(7)), "{no:?}");
        }
    }

    #[test]
    fn a_response_made_of_the_callers_deadline_is_ignored_and_one_of_a_timeout_is_not() {
        let judge = |kind| {
            let mut response = Response::builder().status(504).body(()).unwrap();
            response.extensions_mut().insert(Grounds::maybe_executed(kind));
            HttpClassifier.classify(Ok::<_, &io::Error>(&response))
        };
        assert_eq!(judge(RefusalKind::DeadlineExceeded), Verdict::Ignored);
        assert_eq!(judge(RefusalKind::TimedOut), Verdict::transient(Executed::Maybe));
    }

    #[test]
    fn only_a_refused_connection_was_certainly_not_executed() {
        let judge = |kind: io::ErrorKind| {
            HttpClassifier.classify(Err::<&Response<()>, _>(&io::Error::from(kind)))
        };
        assert_eq!(judge(io::ErrorKind::ConnectionRefused), Verdict::transient(Executed::No));
        for kind in
            [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe, io::ErrorKind::TimedOut]
        {
            assert_eq!(judge(kind), Verdict::transient(Executed::Maybe));
        }
    }
}
