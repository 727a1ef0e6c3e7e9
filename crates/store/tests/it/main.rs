//! Tests against real servers, and of a deadline.
#![allow(clippy::unwrap_used, reason = "tests")]

#[cfg(all(feature = "redis", unix))]
mod redis;
#[cfg(all(feature = "redis-tls", unix))]
mod redis_tls;
#[cfg(all(feature = "tls", feature = "sqlx", unix))]
mod sql;
#[cfg(feature = "tokio")]
mod within;
