#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "contract")]
pub mod contract;
mod fingerprint;
mod id;
#[cfg(feature = "tokio")]
mod memory;
mod record;
mod reply;
mod store;
mod token;

#[cfg(feature = "tokio")]
pub use crate::memory::{MemoryConfig, MemorySnapshot, MemoryStore};
pub use crate::{
    fingerprint::{Fingerprint, FingerprintBuilder},
    id::{RecordId, RecordIdError},
    record::{Change, ClaimReply, ClaimTerms, OnAbandoned, Record, Slot, State, View, ViewState},
    reply::{ReplyError, StoredReply},
    store::{Store, StoreError, StoreErrorKind},
    token::ClaimToken,
};
