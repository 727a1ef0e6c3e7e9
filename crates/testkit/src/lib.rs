#![doc = include_str!("../README.md")]

pub mod contract;
#[cfg(all(feature = "servers", unix))]
pub mod servers;
pub mod suspend;
#[cfg(feature = "traces")]
pub mod traces;

#[cfg(feature = "events")]
mod events;
#[cfg(feature = "clock")]
mod faulty_clock;
mod loopback;
mod probe;
mod script;
#[cfg(feature = "traffic")]
mod traffic;

#[cfg(feature = "events")]
pub use crate::events::events;
#[cfg(feature = "clock")]
pub use crate::faulty_clock::FaultyClock;
#[cfg(feature = "traffic")]
pub use crate::traffic::Traffic;
pub use crate::{
    loopback::loopback,
    probe::{Control, Counts, Probe, ProbeFuture},
    script::{ProbeError, Readiness, Reply},
};

/// The error of a [`Probe`], and of every service under the contract suite.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;
