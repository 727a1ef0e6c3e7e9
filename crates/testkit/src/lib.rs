#![doc = include_str!("../README.md")]

pub mod contract;
#[cfg(feature = "process")]
pub mod process;
pub mod suspend;
#[cfg(feature = "traces")]
pub mod traces;

#[cfg(feature = "events")]
mod events;
mod loopback;
mod probe;
mod script;
#[cfg(feature = "clock")]
mod shifted;
#[cfg(feature = "traffic")]
mod traffic;

#[cfg(feature = "events")]
pub use crate::events::events;
#[cfg(feature = "clock")]
pub use crate::shifted::ShiftedClock;
#[cfg(feature = "traffic")]
pub use crate::traffic::Traffic;
pub use crate::{
    loopback::loopback,
    probe::{Control, Counts, Probe, ProbeFuture},
    script::{ProbeError, Readiness, Reply},
};

/// The error of a [`Probe`], and of every service under the contract suite.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;
