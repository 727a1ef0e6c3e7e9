//! The ways in, on real servers and clients.

mod axum_routes;
mod boxed;
mod foreign;
mod grpc;
mod own_enum;
mod support;
mod whole;
