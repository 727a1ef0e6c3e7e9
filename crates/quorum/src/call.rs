//! Calls over n services.

mod agenda;
mod answers;
mod course;
#[cfg(feature = "detach")]
mod detach;
mod drive;
mod error;
mod future;
mod levels;
mod losers;
mod make;
mod pace;
mod plan;
mod service;
mod slots;
mod telemetry;

#[cfg(feature = "detach")]
pub use detach::{Detach, DetachSnapshot};
pub use {
    answers::{Answer, Answers},
    error::{CallError, NodesError},
    future::QuorumFuture,
    levels::{Level, Levels, Reached},
    losers::{Cancel, Conduct, Losers, Stragglers},
    make::{MakeError, MakeFuture, Quorum},
    pace::Hedge,
    plan::Plan,
    service::QuorumCall,
};
