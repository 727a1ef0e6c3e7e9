#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;
mod course;
mod draw;
mod fault;
mod plan;
mod rule;

#[cfg(all(unix, feature = "process"))]
pub mod process;

#[cfg(feature = "tokio")]
mod faults;
#[cfg(feature = "tokio")]
mod future;
#[cfg(feature = "tokio")]
mod injected;
#[cfg(feature = "tokio")]
mod layer;
#[cfg(feature = "tokio")]
mod protocol;
#[cfg(feature = "tokio")]
mod service;

pub use crate::{
    clock::{ClockFault, Leap},
    course::{Course, Facts, Strike},
    fault::{Delay, Fault, FaultKind},
    plan::Plan,
    rule::Rule,
};
#[cfg(feature = "tokio")]
pub use crate::{
    faults::Faults,
    future::FaultFuture,
    injected::Injected,
    layer::FaultLayer,
    protocol::{Plain, Protocol},
    service::FaultService,
};
