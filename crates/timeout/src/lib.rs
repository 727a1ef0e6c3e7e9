#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod call;
mod config;
mod cuts;
mod error;
mod ewma;
mod explored;
mod explorers;
mod future;
mod layer;
mod limit;
#[cfg(all(test, not(steadfast_loom)))]
mod model;
mod multiple;
mod numbers;
mod peak;
mod reconfigure;
mod rfc6298;
mod service;
mod shared;
mod snapshot;
mod sync;
mod telemetry;

#[cfg(feature = "http")]
mod body;
#[cfg(feature = "http")]
mod deadline;
#[cfg(feature = "http")]
mod propagate;

#[cfg(feature = "http")]
pub use crate::{
    body::{
        BodyTimeout, BodyTimeoutConfig, BodyTimeoutFuture, BodyTimeoutLayer, RequestBodyTimeout,
        RequestBodyTimeoutFuture, RequestBodyTimeoutLayer, Stalled, TimedBody,
    },
    deadline::{DeadlineConfig, DeadlineLayer, DeadlineService},
    propagate::{PropagateDeadline, PropagateDeadlineLayer},
};
pub use crate::{
    config::{Ewma, LimitConfig, MultipleOf, Quantile, Rfc6298},
    error::Elapsed,
    future::ResponseFuture,
    layer::TimeoutLayer,
    limit::TimeLimit,
    service::Timeout,
    snapshot::LimitSnapshot,
};
