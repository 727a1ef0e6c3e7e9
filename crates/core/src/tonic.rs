//! What the seams mean on gRPC: statuses for refusals, verdicts on calls.

use std::{error::Error, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Response, header::CONTENT_TYPE};
use tonic::{Code, Status};

use crate::{
    Classify, Executed, Failure, Grounds, Pushback, Refusal, Verdict, cause,
    classify::{is_of_broken_upload, judge_error, sent_by_peer},
    http::{
        BodyEnd, ClassifyEnd, Render, RespondLayer, Trailers, is_callers_deadline, is_refusal,
        is_replayed,
    },
    status::static_status,
};

/// What a server says beside its message, in base64.
const DETAILS: &str = "grpc-status-details-bin";

/// The protocol of browsers, in which the trailers are a frame of data.
const GRPC_WEB: &str = "application/grpc-web";

/// What a server says about when to come back (gRFC A6).
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// The status a refusal becomes: its kind's code, and its own words but for the handle's name.
///
/// A conflict that passes and a request that took too long to arrive say when to come back, in
/// `grpc-retry-pushback-ms`: `ABORTED` without it is final to the caller. The status in a refusal's
/// source chain has its code only.
#[must_use]
pub fn status_of(refusal: &dyn Refusal) -> Status {
    let mut status = Status::new(static_status(refusal.kind()).code(), refusal.detail());
    if let Verdict::Repeatable { retry_after, .. } = refusal.grounds().into() {
        // Rounded up: a client that obeys must not be early.
        let after_ms = retry_after.unwrap_or_default().as_nanos().div_ceil(1_000_000);
        // The header has 32 bits, one of them for the sign.
        let after_ms = i32::try_from(after_ms).unwrap_or(i32::MAX);
        status.metadata_mut().insert(PUSHBACK, after_ms.into());
    }
    status
}

/// Judges a gRPC call by its status, whether it comes as an error or in the response head, an error
/// by its source chain.
///
/// | code | verdict |
/// |---|---|
/// | `OK` | success |
/// | `UNAVAILABLE`, `DEADLINE_EXCEEDED` | transient, may have been executed |
/// | `INTERNAL`, `UNKNOWN`, `DATA_LOSS` | transient, may have been executed |
/// | `RESOURCE_EXHAUSTED` | throttled, may have been executed: also sent for too large an answer |
/// | `CANCELLED`, and what a layer of this process made of the caller's own deadline | ignored |
/// | `ABORTED` with a pushback | repeatable, may have been executed: a conflict that passes |
/// | `ABORTED` without one | permanent: the caller must begin again further out |
/// | all others | permanent |
/// | any but `OK` with `idempotent-replayed: true` | permanent: stored under the call's key, and answered again |
/// | an error of a request body that failed on its way up, whatever the code | ignored |
///
/// A status in the trailers is seen when [`CollectLayer`](crate::http::CollectLayer) stands inside
/// the judging layer, and by a breaker's `until_end`. The server's word on being asked again is
/// read from `grpc-retry-pushback-ms` beside the status. One that is negative or cannot be read is
/// [`Pushback::Never`] (gRFC A6): the failure counts, and is not repeated.
#[derive(Clone, Copy, Debug, Default)]
pub struct GrpcClassifier;

impl<B, Err: Failure> Classify<Response<B>, Err> for GrpcClassifier {
    fn classify(&self, outcome: Result<&Response<B>, &Err>) -> Verdict {
        match outcome {
            Ok(response) => judge_response(response),
            Err(error) => judge_failure(error.as_error()),
        }
    }

    /// A response that no layer here made of a refusal, or an error that only a peer can have sent:
    /// a `Status` without a source, a reset or `GOAWAY` of HTTP/2.
    fn answered(&self, outcome: Result<&Response<B>, &Err>) -> bool {
        outcome
            .map_or_else(|error| sent_by_peer(error.as_error()), |response| !is_refusal(response))
    }

    fn refused<R: Refusal>(&self, refusal: R) -> Option<Err> {
        Err::refused(refusal)
    }
}

/// The end of a body: its error as that of a call, the status in its trailers, and without one the
/// `UNKNOWN` that clients make of it.
///
/// A head settles the call where it holds a status, where it is no answer of gRPC's own (its HTTP
/// status is no 2xx), where it is a stored one, and under gRPC-Web, whose trailers are in the data.
impl ClassifyEnd for GrpcClassifier {
    fn classify_end(&self, end: BodyEnd<'_>) -> Verdict {
        match end {
            BodyEnd::Failed(error) => judge_failure(error),
            BodyEnd::Ended(trailers) => match trailers.and_then(status_in) {
                Some(status) => judge_status(&status, trailers.is_some_and(is_replayed)),
                None => Verdict::transient(Executed::Maybe),
            },
        }
    }

    fn is_settled_by<B>(&self, head: &Response<B>) -> bool {
        let headers = head.headers();
        let is_web = headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(GRPC_WEB.as_bytes()));
        is_web
            || !head.status().is_success()
            || headers.contains_key(Status::GRPC_STATUS)
            || is_replayed(headers)
    }
}

fn judge_failure(error: &(dyn Error + 'static)) -> Verdict {
    match cause::<Status>(error) {
        // A refusal's facts say more than the status made from them, and so does a body that failed
        // on its way up.
        Some(status) if cause::<Grounds>(error).is_none() && !is_of_broken_upload(error) => {
            judge_status(status, is_replayed(status.metadata().as_ref()))
        }
        _ => judge_error(error),
    }
}

fn judge_response<B>(response: &Response<B>) -> Verdict {
    if is_callers_deadline(response) {
        return Verdict::Ignored;
    }
    let trailers = || {
        let Trailers(trailers) = response.extensions().get()?;
        status_in(trailers)
    };
    match status_in(response.headers()).or_else(trailers) {
        Some(status) => judge_status(&status, is_replayed(response.headers())),
        None => match response.status().as_u16() {
            200..300 => Verdict::Success,
            // As gRPC maps the answers of proxies: unauthenticated, permission denied,
            // unimplemented.
            401 | 403 | 404 => Verdict::Permanent,
            _ => Verdict::transient(Executed::Maybe),
        },
    }
}

/// The status in a head or in trailers, but for its details: tonic panics over details that it
/// cannot read, and what a peer sends must not.
fn status_in(headers: &HeaderMap) -> Option<Status> {
    if !headers.contains_key(DETAILS) {
        return Status::from_header_map(headers);
    }
    let mut headers = headers.clone();
    headers.remove(DETAILS);
    Status::from_header_map(&headers)
}

fn judge_status(status: &Status, is_replayed: bool) -> Verdict {
    let executed = Executed::Maybe;
    match status.code() {
        Code::Ok => Verdict::Success,
        // Nothing failed now, and asking again changes nothing.
        _ if is_replayed => Verdict::Permanent,
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Internal
        | Code::Unknown
        | Code::DataLoss => Verdict::Transient { executed, pushback: pushback(status) },
        Code::ResourceExhausted => Verdict::Throttled { executed, pushback: pushback(status) },
        Code::Aborted => match pushback(status).retry_after() {
            Some(after) => Verdict::Repeatable { executed, retry_after: Some(after) },
            None => Verdict::Permanent,
        },
        Code::Cancelled => Verdict::Ignored,
        _ => Verdict::Permanent,
    }
}

/// When the server asks to be tried again: milliseconds in 32 bits with a sign, which is at most 25
/// days. What is negative or cannot be read, and several that are not one word, mean "not at all".
fn pushback(status: &Status) -> Pushback {
    let mut values = status.metadata().get_all(PUSHBACK).iter();
    let Some(value) = values.next() else { return Pushback::Unsaid };
    if values.next().is_some() {
        return Pushback::Never;
    }
    let ms = value.to_str().ok().and_then(|value| value.parse::<i32>().ok());
    match ms.and_then(|ms| u64::try_from(ms).ok()) {
        Some(ms) => Pushback::After(Duration::from_millis(ms)),
        None => Pushback::Never,
    }
}

/// Wraps a stack of layers round a gRPC service and answers every refusal with its status, as tonic
/// does for an `Err` of a handler: HTTP 200 and `grpc-status` in the head. The error type stays
/// what it was. The refusal's [`Grounds`] stand in the response's extensions, as those of
/// [`http::respond`](crate::http::respond) do.
pub const fn respond<L>(stack: L) -> RespondLayer<L, GrpcStatus> {
    RespondLayer::new(stack, GrpcStatus)
}

/// Answers with a gRPC status in the response head.
#[derive(Clone, Copy, Debug, Default)]
pub struct GrpcStatus;

impl Render for GrpcStatus {
    fn render(&self, refusal: &dyn Refusal) -> Response<Bytes> {
        status_of(refusal).into_http()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::{DefaultClassifier, RefusalKind, Sealed, refusal::tests::Refused};

    const CODES: [(Code, Verdict); 8] = [
        (Code::Ok, Verdict::Success),
        (Code::Unavailable, Verdict::transient(Executed::Maybe)),
        (Code::DeadlineExceeded, Verdict::transient(Executed::Maybe)),
        (Code::Unknown, Verdict::transient(Executed::Maybe)),
        (
            Code::ResourceExhausted,
            Verdict::Throttled { executed: Executed::Maybe, pushback: Pushback::Unsaid },
        ),
        (Code::Cancelled, Verdict::Ignored),
        (Code::NotFound, Verdict::Permanent),
        (Code::Aborted, Verdict::Permanent),
    ];

    #[test]
    fn an_end_is_judged_by_its_trailers_and_one_without_a_status_is_unknown() {
        for (code, verdict) in CODES {
            let mut trailers = HeaderMap::new();
            Status::new(code, "").add_header(&mut trailers).unwrap();
            let ended = GrpcClassifier.classify_end(BodyEnd::Ended(Some(&trailers)));
            assert_eq!(ended, verdict, "{code:?} in the trailers");
            let status = Status::new(code, "");
            let failed = GrpcClassifier.classify_end(BodyEnd::Failed(&status));
            assert_eq!(failed, verdict, "{code:?} as the body's error");
        }
        for trailers in [None, Some(&HeaderMap::new())] {
            let ended = GrpcClassifier.classify_end(BodyEnd::Ended(trailers));
            assert_eq!(ended, Verdict::transient(Executed::Maybe));
        }
        let refusal = Grounds::maybe_executed(RefusalKind::DeadlineExceeded);
        let failed = GrpcClassifier.classify_end(BodyEnd::Failed(&refusal));
        assert_eq!(failed, Verdict::Ignored, "the caller's time");
    }

    #[test]
    fn a_head_settles_a_call_where_no_status_can_follow() {
        let head = |name: &str, value: &str| {
            let head = Response::builder().header(name, value).body(()).unwrap();
            GrpcClassifier.is_settled_by(&head)
        };
        assert!(!head("content-type", "application/grpc"));
        assert!(!head("content-type", "application/grpc+proto"));
        assert!(head("content-type", "application/grpc-web+proto"));
        assert!(head("content-type", "application/grpc-web-text"));
        assert!(head("grpc-status", "0"));
        assert!(head("idempotent-replayed", "true"));
        let not_found = Response::builder().status(404).body(()).unwrap();
        assert!(GrpcClassifier.is_settled_by(&not_found), "of a proxy");
    }

    #[test]
    fn a_code_is_judged_alike_as_error_in_the_head_and_in_the_trailers() {
        for (code, verdict) in CODES {
            let status = Status::new(code, "");
            let head: Response<()> = status.clone().into_http();
            assert_eq!(
                GrpcClassifier.classify(Ok::<_, &Status>(&head)),
                verdict,
                "{code:?} in the head"
            );
            let mut trailers = HeaderMap::new();
            status.add_header(&mut trailers).unwrap();
            let mut late = Response::new(());
            late.extensions_mut().insert(Trailers(trailers));
            assert_eq!(
                GrpcClassifier.classify(Ok::<_, &Status>(&late)),
                verdict,
                "{code:?} in the trailers"
            );
            if code != Code::Ok {
                assert_eq!(
                    GrpcClassifier.classify(Err::<&Response<()>, _>(&status)),
                    verdict,
                    "{code:?} as error"
                );
            }
        }
    }

    #[test]
    fn the_servers_word_on_being_asked_again_is_read_wherever_the_status_stands() {
        let after = |ms| Pushback::After(Duration::from_millis(ms));
        for (values, pushback) in [
            (&[][..], Pushback::Unsaid),
            (&["1500"], after(1500)),
            (&["0"], after(0)),
            (&["2147483647"], after(2_147_483_647)),
            (&["2147483648"], Pushback::Never),
            (&["99999999999"], Pushback::Never),
            (&["-1"], Pushback::Never),
            (&["-2147483648"], Pushback::Never),
            (&["soon"], Pushback::Never),
            (&["1.5"], Pushback::Never),
            (&["10ms"], Pushback::Never),
            (&[" 10"], Pushback::Never),
            (&[""], Pushback::Never),
            (&["10", "20"], Pushback::Never),
        ] {
            let (executed, retry_after) = (Executed::Maybe, pushback.retry_after());
            let aborted = Verdict::Repeatable { executed, retry_after };
            for (code, verdict) in [
                (Code::Unavailable, Verdict::Transient { executed, pushback }),
                (Code::Internal, Verdict::Transient { executed, pushback }),
                (Code::ResourceExhausted, Verdict::Throttled { executed, pushback }),
                (Code::Aborted, if retry_after.is_some() { aborted } else { Verdict::Permanent }),
                (Code::NotFound, Verdict::Permanent),
            ] {
                let mut status = Status::new(code, "");
                for value in values {
                    status.metadata_mut().append("grpc-retry-pushback-ms", value.parse().unwrap());
                }
                let head: Response<()> = status.clone().into_http();
                let mut trailers = HeaderMap::new();
                status.add_header(&mut trailers).unwrap();
                let mut late = Response::new(());
                late.extensions_mut().insert(Trailers(trailers));
                for outcome in [Ok(&head), Ok(&late), Err(&status)] {
                    assert_eq!(GrpcClassifier.classify(outcome), verdict, "{values:?} {outcome:?}");
                }
            }
        }
    }

    #[test]
    fn a_failure_that_was_stored_is_final_wherever_its_status_stands() {
        for (code, _) in CODES {
            let mut status = Status::new(code, "");
            status.metadata_mut().insert("grpc-retry-pushback-ms", 20.into());
            status.metadata_mut().insert("idempotent-replayed", "true".parse().unwrap());
            let head: Response<()> = status.clone().into_http();
            // The mark stands in the head where the status comes in the trailers.
            let (mut late, mut trailers) = (Response::new(()), HeaderMap::new());
            Status::new(code, "").add_header(&mut trailers).unwrap();
            late.headers_mut().insert("idempotent-replayed", "true".parse().unwrap());
            late.extensions_mut().insert(Trailers(trailers));
            let is_success = code == Code::Ok;
            let verdict = if is_success { Verdict::Success } else { Verdict::Permanent };
            for outcome in [Ok(&head), Ok(&late), Err(&status)] {
                assert_eq!(GrpcClassifier.classify(outcome), verdict, "{code:?} {outcome:?}");
            }
        }
    }

    #[test]
    fn an_aborted_call_is_repeatable_only_when_the_server_says_when() {
        let aborted = |pushback: &str| {
            let mut status = Status::new(Code::Aborted, "");
            status.metadata_mut().insert("grpc-retry-pushback-ms", pushback.parse().unwrap());
            GrpcClassifier.classify(Err::<&Response<()>, _>(&status))
        };
        let retry_after = Some(Duration::from_millis(20));
        assert_eq!(aborted("20"), Verdict::Repeatable { executed: Executed::Maybe, retry_after });
        assert_eq!(aborted("0").retry_after(), Some(Duration::ZERO));
        assert_eq!(aborted("-1"), Verdict::Permanent);
        assert_eq!(aborted("soon"), Verdict::Permanent);
    }

    #[test]
    fn a_status_whose_details_cannot_be_read_is_judged_by_its_code_and_pushback() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("grpc-status", "14"),
            ("grpc-retry-pushback-ms", "20"),
            ("grpc-status-details-bin", "not in base64!"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let (mut head, mut late) = (Response::new(()), Response::new(()));
        *head.headers_mut() = headers.clone();
        late.extensions_mut().insert(Trailers(headers));
        for response in [head, late] {
            let verdict = GrpcClassifier.classify(Ok::<_, &Status>(&response));
            let pushback = Pushback::After(Duration::from_millis(20));
            assert_eq!(verdict, Verdict::Transient { executed: Executed::Maybe, pushback });
        }
    }

    #[test]
    fn a_refusal_over_the_wire_is_judged_as_it_is_in_the_process() {
        let verdict = |kind, retry_after| {
            let grounds = Grounds::maybe_executed(kind).with_retry_after(retry_after);
            let response = GrpcStatus.render(&Refused { grounds });
            let over_the_wire = Status::from_header_map(response.headers()).unwrap();
            let judged = GrpcClassifier.classify(Err::<&Response<()>, _>(&over_the_wire));
            // For the others a status has no word on when to come back.
            let repeatable = matches!(judged, Verdict::Repeatable { .. });
            assert_eq!(
                repeatable,
                matches!(Verdict::from(grounds), Verdict::Repeatable { .. }),
                "{kind}"
            );
            judged
        };
        let ms = Duration::from_millis;
        let repeatable =
            |after| Verdict::Repeatable { executed: Executed::Maybe, retry_after: Some(after) };
        assert_eq!(
            verdict(RefusalKind::Conflict, Some(Duration::from_micros(1_500))),
            repeatable(ms(2))
        );
        assert_eq!(verdict(RefusalKind::Conflict, Some(Duration::ZERO)), repeatable(ms(0)));
        assert_eq!(
            verdict(RefusalKind::Conflict, Some(Duration::MAX)),
            repeatable(ms(i32::MAX.unsigned_abs().into()))
        );
        assert_eq!(verdict(RefusalKind::Conflict, None), Verdict::Permanent);
        assert_eq!(verdict(RefusalKind::RequestTimeout, None), repeatable(ms(0)));
        assert_eq!(verdict(RefusalKind::RequestTimeout, Some(ms(7))), repeatable(ms(7)));
        for kind in [RefusalKind::Unavailable, RefusalKind::TimedOut] {
            assert_eq!(verdict(kind, Some(ms(7))), Verdict::transient(Executed::Maybe));
        }
        for kind in [RefusalKind::Stale, RefusalKind::Malformed, RefusalKind::NotHolder] {
            assert_eq!(verdict(kind, Some(ms(7))), Verdict::Permanent);
        }
    }

    #[test]
    fn only_a_status_that_was_not_made_here_is_an_answer() {
        let local = Status::from_error(io::Error::from(io::ErrorKind::TimedOut).into());
        let passed_on = Status::from_error(Box::new(io::Error::other(Status::not_found(""))));
        let of_a_refusal =
            Status::from_error(Grounds::maybe_executed(RefusalKind::TimedOut).into());
        let table: [(Status, bool, &str); 5] = [
            (Status::unavailable("sent by the peer"), true, "from the peer"),
            (
                Status::from_header_map(Status::aborted("").into_http::<()>().headers()).unwrap(),
                true,
                "off the wire",
            ),
            (local, false, "made of an I/O error"),
            (passed_on, true, "wrapped round the peer's"),
            (of_a_refusal, false, "made of a refusal"),
        ];
        for (status, answered, what) in table {
            assert_eq!(
                GrpcClassifier.answered(Err::<&Response<()>, _>(&status)),
                answered,
                "{what}"
            );
            let boxed: Box<dyn std::error::Error + Send + Sync> = status.into();
            assert_eq!(
                GrpcClassifier.answered(Err::<&Response<()>, _>(&boxed)),
                answered,
                "{what}, boxed"
            );
            assert_eq!(
                DefaultClassifier.answered(Err::<&(), _>(&boxed)),
                answered,
                "{what}, to the default"
            );
            let sealed: Box<dyn std::error::Error + Send + Sync> = Sealed::new(boxed).into();
            assert!(
                !GrpcClassifier.answered(Err::<&Response<()>, _>(&sealed)),
                "{what}, inside a handler"
            );
        }
        assert!(GrpcClassifier.answered(Ok::<_, &Status>(&Response::new(()))));
    }

    #[tokio::test]
    async fn a_refusal_leaves_its_grounds_in_the_response_which_is_then_no_answer() {
        use tower::{Layer, ServiceExt, layer::layer_fn, service_fn};
        let refuses = layer_fn(|_| {
            service_fn(|_: http::Request<()>| async {
                Err::<Response<()>, crate::Error<io::Error>>(Sealed::new("worked").into())
            })
        });
        let response = respond(refuses).layer(()).oneshot(http::Request::new(())).await.unwrap();
        assert_eq!(
            response.extensions().get(),
            Some(&Grounds::maybe_executed(RefusalKind::Unavailable))
        );
        assert!(!GrpcClassifier.answered(Ok::<_, &Status>(&response)));
    }

    #[test]
    fn without_a_status_the_http_one_decides_and_an_error_is_judged_by_its_chain() {
        let mut bad_gateway = Response::new(());
        *bad_gateway.status_mut() = http::StatusCode::BAD_GATEWAY;
        let judge = |outcome: Result<&Response<()>, &io::Error>| GrpcClassifier.classify(outcome);
        assert_eq!(judge(Ok(&Response::new(()))), Verdict::Success);
        assert_eq!(judge(Ok(&bad_gateway)), Verdict::transient(Executed::Maybe));
        assert_eq!(
            judge(Err(&io::ErrorKind::ConnectionRefused.into())),
            Verdict::transient(Executed::No)
        );
    }

    #[test]
    fn every_refusal_has_a_status_at_the_end_of_its_chain_and_is_judged_by_its_grounds() {
        for (kind, code) in [
            (RefusalKind::Unavailable, Code::Unavailable),
            (RefusalKind::TimedOut, Code::DeadlineExceeded),
            (RefusalKind::DeadlineExceeded, Code::DeadlineExceeded),
            (RefusalKind::TooMany, Code::ResourceExhausted),
            (RefusalKind::Conflict, Code::Aborted),
            (RefusalKind::Stale, Code::FailedPrecondition),
            (RefusalKind::Unacceptable, Code::InvalidArgument),
            (RefusalKind::Malformed, Code::InvalidArgument),
            (RefusalKind::TooLarge, Code::InvalidArgument),
            (RefusalKind::RequestTimeout, Code::Aborted),
            (RefusalKind::PreconditionRequired, Code::FailedPrecondition),
            (RefusalKind::NotHolder, Code::PermissionDenied),
        ] {
            let grounds = Grounds::not_executed(kind);
            let status = cause::<Status>(&grounds).unwrap();
            assert_eq!((status.code(), status.message()), (code, kind.to_string().as_str()));
            let error: Box<dyn std::error::Error + Send + Sync> = grounds.into();
            assert_eq!(
                GrpcClassifier.classify(Err::<&Response<()>, _>(&error)),
                Verdict::from(grounds)
            );
        }
    }
}
