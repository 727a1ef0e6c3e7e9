//! The crate from outside.
#![cfg_attr(
    feature = "tokio",
    expect(clippy::unwrap_used, reason = "in a test a failure is a panic")
)]

#[cfg(feature = "tokio")]
mod asking;
#[cfg(all(feature = "contract", feature = "object-store"))]
mod bucket;
#[cfg(all(
    feature = "contract",
    feature = "file",
    feature = "redis",
    feature = "deadpool",
    feature = "etcd",
    target_os = "linux"
))]
mod connect;
#[cfg(feature = "contract")]
mod contract;
#[cfg(feature = "tokio")]
mod election;
#[cfg(feature = "tokio")]
mod ends;
#[cfg(all(feature = "contract", feature = "etcd"))]
mod etcd;
#[cfg(feature = "tokio")]
mod fence;
#[cfg(all(feature = "contract", feature = "file", target_os = "linux"))]
mod file;
#[cfg(feature = "http")]
mod grpc;
#[cfg(feature = "tokio")]
mod holding;
#[cfg(feature = "tokio")]
mod hostile;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "tokio")]
mod marks;
#[cfg(feature = "tokio")]
mod memory;
#[cfg(all(
    feature = "contract",
    feature = "tokio-postgres",
    feature = "deadpool",
    feature = "sqlx"
))]
mod postgres;
#[cfg(all(feature = "contract", feature = "redis"))]
mod redis;
#[cfg(all(
    feature = "contract",
    any(
        feature = "redis",
        feature = "etcd",
        feature = "object-store",
        all(feature = "tokio-postgres", feature = "deadpool", feature = "sqlx"),
        all(feature = "file", target_os = "linux")
    )
))]
mod servers;
#[cfg(feature = "tokio")]
mod shape;
#[cfg(feature = "tokio")]
mod support;
#[cfg(feature = "tokio")]
mod telemetry;
#[cfg(all(
    feature = "contract",
    any(
        feature = "redis",
        all(feature = "tokio-postgres", feature = "deadpool", feature = "sqlx"),
    )
))]
mod wall;
