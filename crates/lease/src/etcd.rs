//! Leases in etcd.

mod acquire;
mod address;
mod api;
mod bases;
mod config;
mod failure;
mod grants;
mod keep_alive;
mod record;
mod servers;
mod shared;
mod store;
mod watch;
mod wire;

pub use self::{config::EtcdConfig, store::EtcdStore};
