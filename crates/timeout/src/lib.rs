#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod error;
mod ewma;
mod future;
mod hold;
mod layer;
mod limit;
mod multiple;
mod rfc6298;
mod run;
mod select;
mod service;
mod shared;
mod sync;
mod telemetry;
mod watch;

#[cfg(feature = "http")]
mod deadline;
#[cfg(feature = "keyed")]
mod per_key;
#[cfg(feature = "http")]
mod propagate;

#[cfg(feature = "keyed")]
pub use crate::per_key::PerKey;
pub use crate::{
    config::{Ewma, LimitConfig, Quantile, Rfc6298},
    error::Elapsed,
    future::ResponseFuture,
    layer::TimeoutLayer,
    limit::{LimitSnapshot, TimeLimit},
    run::{Judged, Run},
    select::Limits,
    service::Timeout,
};
#[cfg(feature = "http")]
pub use crate::{
    deadline::{DeadlineFuture, DeadlineLayer, DeadlineService},
    propagate::{PropagateDeadline, PropagateDeadlineLayer},
};
