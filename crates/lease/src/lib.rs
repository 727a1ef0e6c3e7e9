// Its examples take these features.
#![cfg_attr(any(not(doctest), feature = "tokio"), doc = include_str!("../README.md"))]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "contract")]
pub mod contract;
mod fence;
mod holder_name;
#[cfg(feature = "http")]
pub mod http;
mod name;
mod nonce;
mod protocol;
mod record;
mod store;
mod terms;

#[cfg(feature = "object-store")]
mod bucket;
#[cfg(feature = "etcd")]
mod etcd;
#[cfg(all(feature = "file", target_os = "linux"))]
mod file;
#[cfg(any(
    all(feature = "file", target_os = "linux"),
    feature = "redis",
    feature = "postgres",
    feature = "object-store"
))]
mod polled;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;

#[cfg(feature = "tokio")]
mod client;
#[cfg(feature = "tokio")]
mod election;
#[cfg(feature = "tokio")]
mod erased;
#[cfg(feature = "tokio")]
mod keepalive;
#[cfg(feature = "tokio")]
mod lease;
#[cfg(feature = "tokio")]
mod memory;
#[cfg(feature = "tokio")]
mod race;
#[cfg(feature = "tokio")]
mod retention;
#[cfg(feature = "tokio")]
mod sync;
#[cfg(any(
    all(feature = "file", target_os = "linux"),
    feature = "redis",
    feature = "postgres",
    feature = "etcd",
    feature = "object-store"
))]
mod waits;

#[cfg(feature = "object-store")]
pub use crate::bucket::{BucketConfig, BucketStore};
#[cfg(feature = "etcd")]
pub use crate::etcd::{EtcdConfig, EtcdStore};
#[cfg(feature = "tokio")]
pub use crate::fence::{
    Ahead, Fence, FenceConfig, FenceSnapshot, Fences, FencesSnapshot, MarksError, OlderCalls, Pass,
};
#[cfg(all(feature = "file", target_os = "linux"))]
pub use crate::file::{FileConfig, FileStore};
#[cfg(feature = "postgres")]
pub use crate::postgres::store::{PostgresConfig, PostgresStore};
#[cfg(feature = "redis")]
pub use crate::redis::store::{RedisConfig, RedisStore};
#[cfg(feature = "tokio")]
pub use crate::{
    client::{
        AcquireError, LeaseClient, LeaseClientConfig, LeaseClientSnapshot, LeaseLost, LeaseRequest,
        Observer,
    },
    election::{Election, Leader, Leaders, Leadership},
    lease::Lease,
    memory::{MemoryConfig, MemorySnapshot, MemoryStore},
};
pub use crate::{
    fence::{FenceMark, Fenced, FencedReason},
    holder_name::{HolderName, HolderNameError},
    name::{LeaseName, LeaseNameError},
    nonce::Nonce,
    protocol::{Holder, Loss, Status},
    record::{
        AcquireReply, AcquireTerms, HeldView, NoTokenLeft, Owner, RenewReply, Slot, View, Vigil,
    },
    store::Store,
    terms::{Margin, Pace},
};
pub use steadfast_core::FencingToken;
pub use steadfast_store::{StoreError, StoreErrorKind};
