#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod error;
#[cfg(test)]
mod execution;
mod high_water;
mod hlc;
mod hybrid;
mod jump;
mod lamport;
mod persistent;
mod physical;
mod register;
#[cfg(feature = "serde")]
mod serde;
mod siblings;
mod stamp;
mod state;
mod sync;
mod telemetry;
mod text;
mod timestamp;
mod vector;
mod version;
mod word;

pub use crate::{
    config::HlcConfig,
    error::{ClockError, DriftTooLarge, OpenError},
    high_water::{HighWater, HighWaterError, HighWaterFile},
    hlc::{Hlc, HlcSnapshot},
    hybrid::HybridClock,
    jump::Jump,
    lamport::{LamportClock, RemoteTooLarge},
    persistent::PersistentHlc,
    physical::{CachedClock, CoarseClock, PhysicalClock, ShiftedClock},
    register::{CausalRegister, LwwRegister, MergeOutcome, MultiValueRegister},
    siblings::Siblings,
    stamp::{NodeId, Stamp},
    state::HlcState,
    text::{Compact, ParseTimestampError},
    timestamp::{Physical, Timestamp},
    vector::{Causality, CausalityError, DecodeVectorError, VectorClock},
    version::{Dot, VersionVector},
};
