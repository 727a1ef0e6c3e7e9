//! What the seams mean on HTTP: answers for refusals, verdicts on responses, deadlines in headers.

mod classify;
mod collect;
mod context;
mod deadline;
mod end;
mod fencing_token;
mod idempotency_key;
mod respond;
mod retry_after;
mod seal;

#[cfg(feature = "tonic")]
pub(crate) use self::classify::is_callers_deadline;
#[cfg(feature = "tonic")]
pub(crate) use self::classify::is_refusal;
pub use self::{
    classify::{ClockedHttpClassifier, HttpClassifier},
    collect::{BodyFailed, Collect, CollectBody, CollectFuture, CollectLayer, Trailers},
    context::HttpContext,
    deadline::{
        GRPC_TIMEOUT, REQUEST_TIMEOUT_MS, format_grpc_timeout, parse_grpc_timeout, parse_timeout_ms,
    },
    end::{BodyEnd, ClassifyEnd},
    fencing_token::{FENCING_TOKEN, parse_fencing_token},
    idempotency_key::{
        IDEMPOTENCY_KEY, IDEMPOTENT_REPLAYED, IdempotencyKey, IdempotencyKeyError, is_replayed,
    },
    respond::{
        Problem, Render, Respond, RespondBody, RespondFuture, RespondLayer, respond, response_to,
        response_with,
    },
    retry_after::parse_retry_after,
    seal::{SealResponse, SealResponseFuture, SealResponseLayer},
};
