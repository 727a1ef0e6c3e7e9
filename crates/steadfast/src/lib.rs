#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "keyed")]
#[doc(inline)]
pub use steadfast_core::PerKey;
#[cfg(feature = "http")]
#[doc(inline)]
pub use steadfast_core::http;
#[cfg(feature = "tonic")]
#[doc(inline)]
pub use steadfast_core::tonic;
#[doc(inline)]
pub use steadfast_core::{
    Attempt, Backoff, Classify, ConfigError, Counts, Deadline, DefaultClassifier, Error,
    EveryError, Executed, Failure, FencingToken, FencingTokenError, Grounds, Guard, HandleName,
    Jitter, ManualWallClock, MapErr, MapErrFuture, NoContext, Pushback, Ratio, Reconfigure,
    Refusal, RefusalKind, RequestContext, Seal, SealFuture, SealLayer, Sealed, Select, Selected,
    Snapshot, SystemWallClock, TimeSource, Verdict, WallClock, cause, causes, guard,
    parts::Splitter,
};
#[cfg(feature = "boot")]
#[doc(inline)]
pub use steadfast_core::{BootClock, BootInstant, BootWait, ManualBootClock};
#[cfg(feature = "detach")]
#[doc(inline)]
pub use steadfast_core::{Detach, DetachConfig, DetachSnapshot, Place, ReserveError};

#[cfg(feature = "breaker")]
#[doc(inline)]
pub use steadfast_breaker as breaker;
#[cfg(feature = "clock")]
#[doc(inline)]
pub use steadfast_clock as clock;
#[cfg(feature = "idempotency")]
#[doc(inline)]
pub use steadfast_idempotency as idempotency;
#[cfg(feature = "lease")]
#[doc(inline)]
pub use steadfast_lease as lease;
#[cfg(feature = "phi")]
#[doc(inline)]
pub use steadfast_phi as phi;
#[cfg(feature = "quorum")]
#[doc(inline)]
pub use steadfast_quorum as quorum;
#[cfg(feature = "reqwest")]
#[doc(inline)]
pub use steadfast_reqwest as reqwest;
#[cfg(feature = "retry")]
#[doc(inline)]
pub use steadfast_retry as retry;
#[cfg(any(feature = "idempotency", feature = "lease"))]
#[doc(inline)]
pub use steadfast_store as store;
#[cfg(feature = "timeout")]
#[doc(inline)]
pub use steadfast_timeout as timeout;

// With all that its examples use.
#[cfg(all(
    any(doc, doctest),
    feature = "full",
    feature = "axum",
    feature = "deadpool",
    feature = "load",
    feature = "object-store",
    feature = "sqlite",
    feature = "tonic",
))]
pub mod guide;

/// The README of the repository, compiled so that its examples cannot rot.
#[cfg(all(doctest, feature = "full", feature = "reqwest", feature = "tonic"))]
#[doc = include_str!("../guide/repository/README.md")]
mod readme {}
