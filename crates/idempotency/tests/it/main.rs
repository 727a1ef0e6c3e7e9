//! Tests of the crate from outside.
#![cfg(all(feature = "tokio", feature = "contract"))]
#![allow(clippy::unwrap_used, reason = "tests")]

mod cancel;
#[cfg(feature = "http")]
mod client;
#[cfg(any(feature = "redis", feature = "sqlite"))]
mod clock_steps;
mod duplicates;
mod ends;
mod fail_open;
mod hostile;
#[cfg(feature = "http")]
mod http;
mod key_age;
mod keyed;
#[cfg(any(feature = "redis", feature = "sqlite"))]
mod late_claims;
mod memory;
#[cfg(all(feature = "deadpool", feature = "sqlx"))]
mod postgres;
#[cfg(all(feature = "redis", unix))]
mod redis;
#[cfg(any(feature = "redis", feature = "sqlite"))]
mod rivals;
#[cfg(any(feature = "redis", feature = "sqlite"))]
mod round_trips;
mod shape;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store_down;
mod support;
#[cfg(any(feature = "metrics", feature = "tracing"))]
mod telemetry;
#[cfg(all(feature = "deadpool", feature = "sqlx"))]
mod transactional;
mod wrong_stores;
