//! Tests against real servers.
#![allow(clippy::unwrap_used, reason = "tests")]

#[cfg(all(feature = "redis", unix))]
mod redis;
#[cfg(all(feature = "redis-tls", unix))]
mod redis_tls;
