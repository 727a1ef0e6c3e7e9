//! The layer of servers.

mod axum;
mod support;
