//! The layer of servers.

mod axum;
mod bodies;
mod callers;
mod keys;
mod refusals;
mod support;
