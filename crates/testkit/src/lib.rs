#![doc = include_str!("../README.md")]

pub mod contract;
#[cfg(feature = "process")]
pub mod process;

mod loopback;
mod probe;
mod script;

pub use crate::{
    loopback::loopback,
    probe::{Control, Counts, Probe, ProbeFuture},
    script::{ProbeError, Readiness, Reply},
};

/// The error of a [`Probe`], and of every service under the contract suite.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;
