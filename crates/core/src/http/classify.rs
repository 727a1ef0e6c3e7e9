//! Verdicts on HTTP responses.

use http::{Response, StatusCode};

use super::parse_retry_after;
use crate::{Classify, Executed, Failure, SystemWallClock, Verdict, WallClock, classify::judge_error};

/// Judges a response by its status and `Retry-After`, an error by its source chain.
///
/// | status | verdict |
/// |---|---|
/// | 1xx, 2xx, 3xx | success |
/// | 429 | throttled, with its `Retry-After` |
/// | 421, 425 | transient, not executed: the server says it did not process the request |
/// | 408, 500, 502, 503, 504 and other 5xx | transient, may have been executed, with its `Retry-After` |
/// | 501, 505, 506, 510, 511 and other 4xx | permanent: the same request will fare no better |
///
/// A response is judged by its head. Where failures may come later, in the body or the trailers, put
/// [`WholeLayer`](super::WholeLayer) inside the layers that judge: then a body that broke off is an error here.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpClassifier;

impl<B, Err: Failure> Classify<Response<B>, Err> for HttpClassifier {
    fn classify(&self, outcome: Result<&Response<B>, &Err>) -> Verdict {
        match outcome {
            Ok(response) => judge_response(response),
            Err(error) => judge_error(error.as_error()),
        }
    }
}

fn judge_response<B>(response: &Response<B>) -> Verdict {
    let status = response.status();
    if status.as_u16() < 400 {
        return Verdict::Success;
    }
    let retry_after = || parse_retry_after(response.headers(), SystemWallClock.now());
    match status {
        StatusCode::TOO_MANY_REQUESTS => Verdict::Throttled { retry_after: retry_after() },
        StatusCode::MISDIRECTED_REQUEST | StatusCode::TOO_EARLY => {
            Verdict::Transient { executed: Executed::No, retry_after: retry_after() }
        }
        StatusCode::NOT_IMPLEMENTED
        | StatusCode::HTTP_VERSION_NOT_SUPPORTED
        | StatusCode::VARIANT_ALSO_NEGOTIATES
        | StatusCode::NOT_EXTENDED
        | StatusCode::NETWORK_AUTHENTICATION_REQUIRED => Verdict::Permanent,
        status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
            Verdict::Transient { executed: Executed::Maybe, retry_after: retry_after() }
        }
        _ => Verdict::Permanent,
    }
}
