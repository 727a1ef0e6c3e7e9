//! What a response means for its key.

use std::{fmt, sync::Arc, time::SystemTime};

use http::{
    Extensions, HeaderMap, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
    response::Parts,
};
use steadfast_core::{Executed, Grounds, http::parse_retry_after};

/// What a response means for its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// It is the answer, which every duplicate is given.
    Store,
    /// The request was certainly not executed: the key is free, and the next copy runs.
    Release,
    /// The request may have been executed, and has no answer.
    Abandon,
}

/// How responses are judged.
///
/// | | [`Default`](Self::Default) | [`StripeLike`](Self::StripeLike) | [`SuccessOnly`](Self::SuccessOnly) |
/// |---|---|---|---|
/// | made by a layer of a refusal that says "not executed" | release | release | release |
/// | made by a layer of any other refusal | abandon | abandon | release |
/// | 400, 401, 429 | release | release | release |
/// | 403, 405, 408, 411, 413, 414, 415, 421, 422, 425, 431 | release | store | release |
/// | 503 with `Retry-After` | release | store | release |
/// | 504 | abandon | store | release |
/// | any other from 400 on, 500 among them | store | store | release |
/// | below 400 | store | store | store |
///
/// What is certainly not executed was refused for what its envelope is (the statuses of 400 to
/// 431), for how many requests there are (429), or for the time being (503 with `Retry-After`). A
/// handler that answers so must not have worked, or be sealed by a
/// [`SealResponseLayer`](steadfast_core::http::SealResponseLayer): what it says is then stored as
/// the answer that it is.
///
/// On a [transactional](crate::IdempotencyConfig::transactional) handle `Default` abandons a 5xx of
/// any kind: the handler's transaction has failed, or may have. If it was committed after all the
/// caller is given what it stored, and if not the key is free.
///
/// A gRPC reply with HTTP status 200 is judged by its `grpc-status`, in the head or the trailers:
///
/// | | `Default` | `StripeLike` | `SuccessOnly` |
/// |---|---|---|---|
/// | `INVALID_ARGUMENT`, `UNAUTHENTICATED` | release | release | release |
/// | `PERMISSION_DENIED`, `UNIMPLEMENTED` | release | store | release |
/// | `RESOURCE_EXHAUSTED` with a pushback | release | release | release |
/// | `UNAVAILABLE` with a pushback | release | store | release |
/// | `DEADLINE_EXCEEDED`, `CANCELLED` | abandon | store | release |
/// | no status at all: the reply broke off | abandon | abandon | abandon |
/// | any other but `OK` | store | store | release |
///
/// Behind a message that was sent no status says "not executed" any more, and a sealed handler's
/// says it never.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum ReplyPolicy {
    /// By whether the request was executed: an answer is stored, a failure too.
    #[default]
    Default,
    /// What an endpoint answered is stored, 500 and 504 too; what is refused before an endpoint
    /// runs is not ([idempotent requests], [errors]).
    ///
    /// [idempotent requests]: https://docs.stripe.com/api/idempotent_requests
    /// [errors]: https://docs.stripe.com/error-low-level
    StripeLike,
    /// Successes alone are stored. **After a failure the request runs again, though it may have
    /// been executed**: for operations that may run twice, and for which the key saves work. With
    /// the feature `tracing` an event says so each time.
    SuccessOnly,
    /// By a function.
    By(Arc<dyn Fn(&Reply<'_>) -> Meaning + Send + Sync>),
}

/// A response that is judged, without its body.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    head: &'a Parts,
    trailers: Option<&'a HeaderMap>,
    has_data: bool,
    is_transactional: bool,
}

impl ReplyPolicy {
    /// Judges by a function. It is called once for each response: with the head, or, where a gRPC
    /// reply has its status in the trailers, with all of it.
    ///
    /// ```
    /// use steadfast_idempotency::http::{Meaning, ReplyPolicy};
    /// // This handler looks for the account before it does anything.
    /// let policy = ReplyPolicy::by(|reply| match reply.status().as_u16() {
    ///     404 => Meaning::Release,
    ///     _ => reply.by_default(),
    /// });
    /// # let _ = policy;
    /// ```
    pub fn by(judge: impl Fn(&Reply<'_>) -> Meaning + Send + Sync + 'static) -> Self {
        Self::By(Arc::new(judge))
    }

    /// What the head says; `None` if the end says it.
    pub(super) fn of_head(&self, head: &Parts, is_transactional: bool) -> Option<Meaning> {
        let reply = Reply { head, trailers: None, has_data: false, is_transactional };
        // A layer that refused knows more than a status.
        let is_decided = !is_grpc(head)
            || head.headers.contains_key(GRPC_STATUS)
            || head.extensions.get::<Grounds>().is_some();
        is_decided.then(|| self.judge(&reply))
    }

    /// What a reply of gRPC means that has ended.
    pub(super) fn of_whole(
        &self,
        head: &Parts,
        trailers: Option<&HeaderMap>,
        has_data: bool,
    ) -> Meaning {
        // Its HTTP status is 200, so that nothing depends on transactions.
        self.judge(&Reply { head, trailers, has_data, is_transactional: false })
    }

    fn judge(&self, reply: &Reply<'_>) -> Meaning {
        match self {
            Self::Default => reply.by_default(),
            Self::StripeLike => reply.like_stripe(),
            Self::SuccessOnly => reply.success_only(),
            Self::By(judge) => judge(reply),
        }
    }
}

const GRPC_STATUS: &str = "grpc-status";
/// What a server says about when to come back (gRFC A6).
const GRPC_PUSHBACK: &str = "grpc-retry-pushback-ms";

// The codes of gRPC: https://grpc.github.io/grpc/core/md_doc_statuscodes.html
const OK: u32 = 0;
const CANCELLED: u32 = 1;
const UNKNOWN: u32 = 2;
const INVALID_ARGUMENT: u32 = 3;
const DEADLINE_EXCEEDED: u32 = 4;
const PERMISSION_DENIED: u32 = 7;
const RESOURCE_EXHAUSTED: u32 = 8;
const UNIMPLEMENTED: u32 = 12;
const UNAVAILABLE: u32 = 14;
const UNAUTHENTICATED: u32 = 16;

impl<'a> Reply<'a> {
    /// The status of HTTP.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The headers.
    #[must_use]
    pub const fn headers(&self) -> &'a HeaderMap {
        &self.head.headers
    }

    /// The extensions. A layer that refused the request has left its
    /// [`Grounds`](steadfast_core::Grounds) here.
    #[must_use]
    pub const fn extensions(&self) -> &'a Extensions {
        &self.head.extensions
    }

    /// The trailers, of a gRPC reply that has its status there.
    #[must_use]
    pub const fn trailers(&self) -> Option<&'a HeaderMap> {
        self.trailers
    }

    /// The code of gRPC, if it is a gRPC reply with HTTP status 200 that has one; 2 (`UNKNOWN`) if
    /// it is no number.
    #[must_use]
    pub fn grpc_status(&self) -> Option<u32> {
        let value = self.of_grpc(GRPC_STATUS)?.to_str().ok().and_then(|code| code.parse().ok());
        Some(value.unwrap_or(UNKNOWN))
    }

    /// What it means to [`ReplyPolicy::Default`].
    #[must_use]
    pub fn by_default(&self) -> Meaning {
        match self.judgement() {
            Judgement::Refused(meaning) => meaning,
            Judgement::Http(status) => match status.as_u16() {
                500.. if self.is_transactional => Meaning::Abandon,
                504 => Meaning::Abandon,
                400 | 401 | 403 | 405 | 408 | 411 | 413 | 414 | 415 | 421 | 422 | 425 | 429
                | 431 => self.not_executed(),
                503 if self.has_retry_after() => self.not_executed(),
                _ => Meaning::Store,
            },
            Judgement::Grpc(code) => match code {
                DEADLINE_EXCEEDED | CANCELLED => Meaning::Abandon,
                INVALID_ARGUMENT | UNAUTHENTICATED | PERMISSION_DENIED | UNIMPLEMENTED => {
                    self.not_executed()
                }
                RESOURCE_EXHAUSTED | UNAVAILABLE if self.has_pushback() => self.not_executed(),
                _ => Meaning::Store,
            },
            Judgement::BrokeOff => Meaning::Abandon,
        }
    }

    fn like_stripe(&self) -> Meaning {
        match self.judgement() {
            Judgement::Refused(meaning) => meaning,
            Judgement::Http(status) => match status.as_u16() {
                400 | 401 | 429 => self.not_executed(),
                _ => Meaning::Store,
            },
            Judgement::Grpc(INVALID_ARGUMENT | UNAUTHENTICATED) => self.not_executed(),
            Judgement::Grpc(RESOURCE_EXHAUSTED) if self.has_pushback() => self.not_executed(),
            Judgement::Grpc(_) => Meaning::Store,
            Judgement::BrokeOff => Meaning::Abandon,
        }
    }

    fn success_only(&self) -> Meaning {
        let meaning = match self.judgement() {
            Judgement::Refused(_) => Meaning::Release,
            Judgement::Http(status) if status.as_u16() < 400 => Meaning::Store,
            Judgement::Grpc(OK) => Meaning::Store,
            Judgement::BrokeOff => Meaning::Abandon,
            Judgement::Http(_) | Judgement::Grpc(_) => Meaning::Release,
        };
        #[cfg(feature = "tracing")]
        if meaning == Meaning::Release && self.by_default() != Meaning::Release {
            tracing::warn!(
                target: "steadfast::idempotency",
                status = self.status().as_u16(),
                grpc_status = self.grpc_status(),
                "a request that may have been executed runs again: its failure is not stored"
            );
        }
        meaning
    }

    fn judgement(&self) -> Judgement {
        let (head, extensions) = (self.head, &self.head.extensions);
        let is_sealed = extensions.get() == Some(&Executed::Maybe);
        match extensions.get::<Grounds>() {
            Some(Grounds { executed: Executed::No, .. }) if !is_sealed => {
                return Judgement::Refused(Meaning::Release);
            }
            Some(_) => return Judgement::Refused(Meaning::Abandon),
            None => {}
        }
        match self.grpc_status() {
            Some(code) => Judgement::Grpc(code),
            None if is_grpc(head) => Judgement::BrokeOff,
            None => Judgement::Http(head.status),
        }
    }

    /// Released, unless it had begun.
    fn not_executed(&self) -> Meaning {
        let is_sealed = self.head.extensions.get() == Some(&Executed::Maybe);
        if is_sealed || self.has_data { Meaning::Store } else { Meaning::Release }
    }

    fn has_retry_after(&self) -> bool {
        // Any time will do: the value only has to be one.
        self.head.headers.contains_key(RETRY_AFTER)
            && parse_retry_after(&self.head.headers, SystemTime::UNIX_EPOCH).is_some()
    }

    /// Whether the server asks to be tried again. What is negative or no number means "not at all".
    fn has_pushback(&self) -> bool {
        let value = self.of_grpc(GRPC_PUSHBACK).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.parse::<i32>().is_ok_and(|ms| ms >= 0))
    }

    fn of_grpc(&self, name: &str) -> Option<&'a http::HeaderValue> {
        let in_trailers = || self.trailers.and_then(|trailers| trailers.get(name));
        is_grpc(self.head).then(|| self.head.headers.get(name).or_else(in_trailers)).flatten()
    }
}

/// What a reply is judged by.
enum Judgement {
    /// A layer made it of a refusal.
    Refused(Meaning),
    Http(StatusCode),
    Grpc(u32),
    /// Of gRPC, without a status.
    BrokeOff,
}

/// Whether it is a gRPC reply. Another status than 200 comes from something that is not gRPC.
fn is_grpc(head: &Parts) -> bool {
    let kind = head.headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    let rest = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    // `application/grpc-web` has its status in the body.
    head.status == StatusCode::OK && matches!(rest, Some([] | [b'+' | b';' | b' ', ..]))
}

impl fmt::Debug for ReplyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "Default",
            Self::StripeLike => "StripeLike",
            Self::SuccessOnly => "SuccessOnly",
            Self::By(_) => "By(..)",
        })
    }
}

#[cfg(test)]
mod tests;
