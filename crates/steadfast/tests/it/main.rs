//! The ways in, on real servers and clients.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod axum_routes;
mod boxed;
mod callers_deadlines;
mod clock;
mod collect;
mod convention;
mod errors_doc;
mod foreign;
mod foreign_bodies;
mod gone;
mod grpc;
mod grpc_retry;
mod http2;
mod idempotency_keys;
mod own_enum;
mod own_request;
mod phi;
mod quorum;
mod reach;
mod retried;
mod slow_bodies;
mod strangers;
mod support;
mod told;
mod until_end;
mod uploads;
mod without_tower;
