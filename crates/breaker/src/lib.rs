#![doc = include_str!("../README.md")]

mod circuit;
mod config;
mod error;
mod future;
#[cfg(feature = "keyed")]
mod keyed;
mod layer;
mod permit;
mod probes;
mod report;
mod rules;
mod service;
mod shared;
mod state;
mod sync;
mod watch;
mod window;
mod word;

#[cfg(feature = "keyed")]
pub use crate::keyed::{Circuits, KeyedBreaker, KeyedBreakerLayer};
pub use crate::{
    circuit::Circuit,
    config::{BreakerConfig, OnOpen},
    error::CircuitOpen,
    future::ResponseFuture,
    layer::BreakerLayer,
    permit::Permit,
    service::Breaker,
    state::{BreakerSnapshot, Cause, State, Transition},
    watch::Transitions,
};
