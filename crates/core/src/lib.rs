#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "time")]
mod alarm;
mod attempt;
mod backoff;
#[cfg(feature = "boot")]
mod boot;
mod cause;
mod classify;
mod config;
mod count_window;
mod counts;
mod dated;
mod deadline;
#[cfg(any(feature = "detach", all(test, steadfast_loom)))]
mod detach;
mod error;
mod executed;
mod failure;
mod fencing_token;
mod guard;
mod handle_name;
mod kind;
mod labels;
mod latency;
mod lock;
#[cfg(feature = "http")]
mod pieces;
mod pushback;
mod quantile_config;
mod ratio;
mod reconfigure;
mod refusal;
mod rng;
mod rounded;
mod seal;
mod select;
mod snapshot;
mod striped;
mod sync;
mod thread_count;
mod thread_number;
mod time_window;
mod verdict;
// In every model, so that its own run without features.
#[cfg(any(feature = "waiters", steadfast_loom))]
mod waiters;
mod wall_clock;

#[cfg(feature = "metrics")]
mod counters;
#[cfg(feature = "metrics")]
mod describe;
#[cfg(feature = "metrics")]
mod gauge;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "keyed")]
mod per_key;
#[cfg(all(test, feature = "metrics", not(steadfast_loom)))]
mod recorded;
#[cfg(feature = "metrics")]
mod state_gauges;
#[cfg(feature = "tonic")]
mod status;
#[cfg(feature = "time")]
mod ticks;
#[cfg(feature = "time")]
mod time_source;
#[cfg(feature = "tonic")]
pub mod tonic;

#[cfg(feature = "boot")]
pub use crate::boot::{BootClock, BootInstant};
#[cfg(all(feature = "boot", feature = "time"))]
pub use crate::boot::{BootWait, ManualBootClock};
#[cfg(any(feature = "detach", all(test, steadfast_loom)))]
pub use crate::detach::{Detach, DetachConfig, DetachSnapshot, Place, ReserveError};
#[cfg(feature = "keyed")]
pub use crate::per_key::PerKey;
#[cfg(feature = "time")]
pub use crate::time_source::TimeSource;
pub use crate::{
    attempt::Attempt,
    backoff::{Backoff, Jitter},
    cause::{cause, causes},
    classify::{Classify, DefaultClassifier, EveryError},
    config::ConfigError,
    counts::Counts,
    deadline::{Deadline, NoContext, RequestContext},
    error::Error,
    executed::Executed,
    failure::Failure,
    fencing_token::{FencingToken, FencingTokenError},
    guard::{Guard, MapErr, MapErrFuture, guard},
    handle_name::HandleName,
    kind::RefusalKind,
    pushback::Pushback,
    ratio::Ratio,
    reconfigure::Reconfigure,
    refusal::{Grounds, Refusal},
    seal::{Seal, SealFuture, SealLayer, Sealed},
    select::{Select, Selected},
    snapshot::Snapshot,
    verdict::Verdict,
    wall_clock::{ManualWallClock, SystemWallClock, WallClock},
};

/// What only authors of layers need: windows, lanes, clocks, timers, metrics.
///
/// Programs that put layers round their services never name it. It changes more freely than the
/// rest of this crate.
pub mod parts {
    pub mod silent;

    #[cfg(feature = "time")]
    pub use crate::alarm::Alarm;
    #[cfg(feature = "metrics")]
    pub use crate::counters::Counters;
    #[cfg(feature = "metrics")]
    pub use crate::gauge::OwnedGauge;
    #[cfg(steadfast_loom)]
    #[doc(hidden)]
    pub use crate::lock::Lock;
    #[cfg(feature = "http")]
    pub use crate::pieces::{Pieces, PiecesRead};
    #[cfg(feature = "metrics")]
    pub use crate::state_gauges::StateGauges;
    #[cfg(feature = "time")]
    pub use crate::ticks::Ticks;
    #[cfg(feature = "time")]
    pub use crate::time_source::Stopwatch;
    #[cfg(any(feature = "waiters", steadfast_loom))]
    pub use crate::waiters::{Changes, Subscription, Waiter, Waiters, Wakers};
    pub use crate::{
        count_window::CountWindow,
        counts::Mark,
        dated::Dated,
        labels::Labels,
        latency::LatencyQuantile,
        lock::lock,
        quantile_config::{Bounds, EstimateConfig, QuantileConfig},
        reconfigure::Reconfigured,
        rng::Splitter,
        rounded::Rounded,
        striped::{Lane, Striped, lane_count},
        thread_count::ThreadCount,
        thread_number::thread_number,
        time_window::{Buckets, LatestSuccess, StripedSuccesses, Tick, TimeWindow},
    };
}
