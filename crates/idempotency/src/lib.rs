// Its examples take these features.
#![cfg_attr(
    any(
        not(doctest),
        all(feature = "axum", feature = "deadpool", feature = "http", feature = "tokio")
    ),
    doc = include_str!("../README.md")
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "tokio")]
mod age;
mod census;
#[cfg(feature = "contract")]
pub mod contract;
mod fingerprint;
#[cfg(feature = "http")]
pub mod http;
mod id;
mod record;
mod reply;
mod store;
mod token;

#[cfg(feature = "tokio")]
mod by_hash;
#[cfg(feature = "tokio")]
mod claim;
#[cfg(feature = "tokio")]
mod config;
#[cfg(feature = "tokio")]
mod erased;
#[cfg(feature = "tokio")]
mod flights;
#[cfg(feature = "tokio")]
mod future;
#[cfg(feature = "tokio")]
mod hold;
#[cfg(feature = "tokio")]
mod idempotency;
#[cfg(feature = "tokio")]
mod layer;
#[cfg(feature = "tokio")]
mod memory;
#[cfg(feature = "tokio")]
mod outcome;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "tokio")]
mod refused;
#[cfg(feature = "tokio")]
mod service;
#[cfg(feature = "tokio")]
mod settlement;
#[cfg(feature = "tokio")]
mod shared;
#[cfg(feature = "tokio")]
mod signal;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "tokio")]
mod sync;
#[cfg(feature = "tokio")]
mod task;
#[cfg(feature = "tokio")]
mod telemetry;

#[cfg(feature = "postgres")]
pub use crate::postgres::{PostgresConfig, PostgresStore};
#[cfg(feature = "redis")]
pub use crate::redis::{RedisConfig, RedisStore};
#[cfg(feature = "sqlite")]
pub use crate::sqlite::{SqliteConfig, SqliteStore, Synchronous};
pub use crate::{
    census::Census,
    fingerprint::{Fingerprint, FingerprintBuilder},
    id::{RecordId, RecordIdError},
    record::{Change, ClaimReply, ClaimTerms, OnAbandoned, Record, Slot, State, View, ViewState},
    reply::{ReplyError, StoredReply},
    store::Store,
    token::ClaimToken,
};
#[cfg(feature = "tokio")]
pub use crate::{
    claim::Claim,
    config::{IdempotencyConfig, OnStoreDown},
    future::KeyedFuture,
    idempotency::{Idempotency, IdempotencySnapshot},
    layer::{HandClaim, Identify, KeyedLayer, NotHanded},
    memory::{MemoryConfig, MemorySnapshot, MemoryStore},
    outcome::{Answer, AsBytes, Codec, Outcome},
    refused::{Reason, Refused},
    service::Keyed,
    settlement::{CompleteError, Completion},
};
pub use steadfast_store::{StoreError, StoreErrorKind};
