// Its examples take these features.
#![cfg_attr(any(not(doctest), feature = "keyed"), doc = include_str!("../README.md"))]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answered;
mod circuit;
mod closed;
mod config;
mod error;
mod future;
mod layer;
mod open_time;
mod outcome;
mod permit;
mod probes;
mod rules;
mod service;
mod shared;
mod state;
mod sync;
mod telemetry;
mod transitions;
mod until;
mod word;

#[cfg(feature = "http")]
pub use crate::until::{AtEnd, WatchedBody};
pub use crate::{
    answered::Answered,
    circuit::Circuit,
    config::{CircuitConfig, OnOpen},
    error::CircuitOpen,
    future::{ResponseFuture, Run},
    layer::BreakerLayer,
    open_time::OpenTime,
    permit::Permit,
    service::Breaker,
    state::{Cause, CircuitSnapshot, Refusals, State, Transition},
    transitions::Transitions,
    until::{AtHead, Until},
};
