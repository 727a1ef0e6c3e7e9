//! Replaying HTTP requests with their bodies.

mod body;
mod pieces;
mod replay;
mod tape;

pub use self::{
    body::{ReplayBody, ReplayError},
    replay::{HttpReplay, IDEMPOTENCY_KEY, MethodOrKey, SavedRequest},
};
