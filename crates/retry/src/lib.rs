#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod budget;
mod call;
mod config;
mod error;
mod future;
mod idempotency;
mod lanes;
mod layer;
mod ledger;
mod policy;
mod replay;
mod replay_by;
mod run;
mod service;
mod snapshot;
mod sync;
mod telemetry;

#[cfg(feature = "http")]
pub mod http;

pub use crate::{
    budget::{Budget, Withdrawal},
    config::{BudgetConfig, RetryConfig},
    error::{BudgetExhausted, TooLate},
    future::ResponseFuture,
    idempotency::{AlwaysIdempotent, Idempotency, NotIdempotent},
    layer::RetryLayer,
    policy::Costs,
    replay::{CannotReplay, CloneReplay, Ended, MarkAttempt, Replay, Unmarked},
    replay_by::{ReplayBy, replay_by},
    service::Retry,
    snapshot::BudgetSnapshot,
};
