//! Replaying HTTP requests with their bodies.

mod body;
mod pieces;
mod replay;
mod tape;

pub use self::{
    body::{ReplayBody, ReplayError},
    replay::{AsIs, HttpReplay, IDEMPOTENCY_KEY, MethodOrKey, SavedRequest, WrapBody},
};
