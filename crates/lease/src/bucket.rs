//! Leases in an object store: S3, GCS, Azure.

mod config;
mod objects;
mod probe;
mod record;
mod sights;
mod store;

pub use self::{config::BucketConfig, store::BucketStore};
