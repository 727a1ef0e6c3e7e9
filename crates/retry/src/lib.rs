#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod budget;
mod call;
mod error;
mod future;
mod idempotency;
mod layer;
mod ledger;
mod plan;
mod replay;
mod service;
mod shared;
mod sync;
mod telemetry;

#[cfg(feature = "http")]
pub mod http;

pub use crate::{
    budget::{Budget, BudgetBuilder, BudgetState, Withdrawal},
    error::BudgetExhausted,
    future::{Kept, ResponseFuture},
    idempotency::{AlwaysIdempotent, Idempotency, NotIdempotent},
    layer::{RetryBuilder, RetryLayer},
    plan::Costs,
    replay::{CannotReplay, CloneReplay, Ended, MarkAttempt, Replay, Unmarked},
    service::Retry,
    shared::Rules,
};
