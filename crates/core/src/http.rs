//! What the seams mean on HTTP: answers for refusals, verdicts on responses, deadlines in headers.

mod classify;
mod context;
mod deadline;
mod respond;
mod retry_after;
mod whole;

pub use self::{
    classify::HttpClassifier,
    context::HttpContext,
    deadline::{GRPC_TIMEOUT, REQUEST_TIMEOUT_MS, format_grpc_timeout, parse_grpc_timeout, parse_timeout_ms},
    respond::{Answer, Problem, Respond, RespondFuture, RespondLayer, respond, response_to},
    retry_after::parse_retry_after,
    whole::{BodyFailed, Trailers, Whole, WholeBody, WholeFuture, WholeLayer},
};
