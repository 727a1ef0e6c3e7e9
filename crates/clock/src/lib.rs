// Its examples take these features.
#![cfg_attr(any(not(doctest), feature = "tokio"), doc = include_str!("../README.md"))]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bounded;
#[cfg(feature = "tokio")]
mod commit_wait;
mod config;
mod dot;
mod error;
mod high_water;
mod hlc;
#[cfg(feature = "http")]
mod http;
mod hybrid;
mod interval;
mod jump;
#[cfg(feature = "tokio")]
mod keeper;
#[cfg(any(feature = "kernel", test))]
mod kernel;
mod lamport;
mod listener;
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
mod uncertainty;
mod vector;
mod word;

#[cfg(feature = "http")]
pub use crate::http::{
    HLC_HEADER, HlcFuture, HlcLayer, HlcService, PropagateHlc, PropagateHlcFuture,
    PropagateHlcLayer, Propagation, Received, StampFault, StampRefused, TooFarAhead,
};
#[cfg(feature = "tokio")]
pub use crate::keeper::{Keeper, KeeperConfig};
#[cfg(feature = "kernel")]
pub use crate::kernel::KernelBound;
pub use crate::{
    bounded::BoundedClock,
    config::HlcConfig,
    dot::Dot,
    error::{ClockError, DriftTooLarge, OpenError},
    high_water::{HighWater, HighWaterError, HighWaterFile},
    hlc::{Hlc, HlcSnapshot},
    hybrid::HybridClock,
    interval::{Certainty, Interval},
    jump::Jump,
    lamport::{LamportClock, RemoteTooLarge},
    persistent::{PersistentHlc, PersistentHlcSnapshot},
    physical::{CachedClock, CoarseClock, PhysicalClock},
    register::{CausalRegister, LwwRegister, MergeOutcome},
    siblings::Siblings,
    stamp::{NodeId, Stamp},
    state::HlcState,
    text::{Compact, ParseTimestampError},
    timestamp::{Physical, Timestamp},
    uncertainty::{FixedBound, Uncertainty, Unknown},
    vector::{Causality, CausalityError, DecodeVectorError, VectorClock, VersionVector},
};
