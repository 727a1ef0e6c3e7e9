//! Limits of bodies: between two frames, and for the whole.

mod config;
mod error;
mod request;
mod response;
mod timed;
mod watch;

pub use self::{
    config::BodyTimeoutConfig,
    error::Stalled,
    request::{RequestBodyTimeout, RequestBodyTimeoutFuture, RequestBodyTimeoutLayer},
    response::{BodyTimeout, BodyTimeoutFuture, BodyTimeoutLayer},
    timed::TimedBody,
};
