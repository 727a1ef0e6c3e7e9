#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "time")]
mod alarm;
mod attempt;
mod backoff;
mod cause;
mod classify;
mod config;
mod count_window;
mod counts;
mod dated;
mod deadline;
mod error;
mod failure;
mod guard;
mod latency;
mod ratio;
mod refusal;
mod rng;
mod seal;
mod snapshot;
mod striped;
mod sync;
mod time_window;
mod verdict;
mod wall_clock;

#[cfg(feature = "metrics")]
mod gauge;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "keyed")]
mod keyed;
#[cfg(feature = "metrics")]
mod outcomes;
#[cfg(feature = "time")]
mod time_source;
#[cfg(feature = "tonic")]
pub mod tonic;

#[cfg(feature = "time")]
pub use crate::alarm::Alarm;
#[cfg(feature = "metrics")]
pub use crate::gauge::OwnedGauge;
#[cfg(feature = "keyed")]
pub use crate::keyed::Keyed;
#[cfg(feature = "metrics")]
pub use crate::outcomes::OutcomeCounters;
#[cfg(feature = "time")]
pub use crate::time_source::{Stopwatch, TimeSource};
pub use crate::{
    attempt::Attempt,
    backoff::{Backoff, Jitter},
    cause::{cause, causes},
    classify::{Classify, DefaultClassifier, EveryError},
    config::ConfigError,
    count_window::CountWindow,
    counts::{Counts, Mark},
    dated::Dated,
    deadline::{Deadline, NoContext, RequestContext},
    error::Error,
    failure::Failure,
    guard::{Guard, Lift, LiftFuture, guard},
    latency::LatencyQuantile,
    ratio::Ratio,
    refusal::{Grounds, Refusal, RefusalKind},
    rng::Splitter,
    seal::{Seal, SealFuture, SealLayer, Sealed},
    snapshot::Snapshot,
    striped::{Lane, Striped},
    time_window::{Buckets, StripedSuccesses, Tick, TimeWindow},
    verdict::{Executed, Verdict},
    wall_clock::{ManualWallClock, SystemWallClock, WallClock},
};
