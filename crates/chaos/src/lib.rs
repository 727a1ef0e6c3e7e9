#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod burst;
mod clock;
mod course;
mod draw;
mod fault;
#[cfg(feature = "toml")]
mod file;
mod outage;
mod plan;
mod rule;
mod timeline;

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

#[cfg(feature = "toml")]
pub use crate::file::PlanFileError;
pub use crate::{
    clock::{ClockFault, Leap},
    course::{Course, Facts, RateError, Strike},
    fault::{Delay, Fault, FaultKind},
    outage::{Direction, FailureMode, Outage},
    plan::Plan,
    rule::Rule,
    timeline::{Change, Event},
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
