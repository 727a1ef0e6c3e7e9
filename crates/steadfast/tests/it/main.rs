//! The ways in, on real servers and clients.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod axum_routes;
mod boxed;
mod foreign;
mod grpc;
mod http2;
mod own_enum;
mod support;
mod whole;
