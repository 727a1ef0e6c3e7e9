//! The crate from outside.
#![cfg_attr(
    feature = "tokio",
    expect(clippy::unwrap_used, reason = "in a test a failure is a panic")
)]

#[cfg(feature = "tokio")]
mod asking;
#[cfg(feature = "contract")]
mod contract;
#[cfg(feature = "tokio")]
mod election;
#[cfg(feature = "tokio")]
mod ends;
#[cfg(feature = "tokio")]
mod fence;
#[cfg(feature = "http")]
mod grpc;
#[cfg(feature = "tokio")]
mod holding;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "tokio")]
mod marks;
#[cfg(feature = "tokio")]
mod memory;
#[cfg(feature = "tokio")]
mod shape;
#[cfg(feature = "tokio")]
mod support;
#[cfg(feature = "tokio")]
mod telemetry;
