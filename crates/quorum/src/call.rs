//! Calls over n services.

mod answers;
mod config;
mod driver;
mod error;
mod future;
mod levels;
mod make;
mod node;
mod on_decided;
mod pace;
mod progress;
mod service;
mod shared;
mod slots;
mod span;
mod start;
mod stragglers;
mod telemetry;

pub use {
    answers::{Answer, Answers},
    config::CallConfig,
    error::{CallError, SetupError},
    future::QuorumFuture,
    levels::{Level, Levels, Reached},
    make::{MakeError, MakeFuture, Quorum},
    on_decided::{Cancel, OnDecided},
    pace::Hedge,
    service::QuorumCall,
    stragglers::Stragglers,
};
