//! Replaying HTTP requests with their bodies.

mod attempt_header;
mod body;
mod counted;
mod error;
mod replay;
mod tape;

pub use self::{
    body::ReplayBody,
    error::ReplayError,
    replay::{AsIs, HttpReplay, MethodOrKey, SavedRequest, WrapBody},
};
