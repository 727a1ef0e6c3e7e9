#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod fence;
mod name;
mod nonce;

#[cfg(feature = "tokio")]
pub use crate::fence::{Ahead, Fence, FenceConfig, FenceSnapshot, OlderCalls, Pass};
pub use crate::{
    fence::{FenceMark, Fenced, FencedReason},
    name::{LeaseName, LeaseNameError},
    nonce::Nonce,
};
pub use steadfast_core::FencingToken;
pub use steadfast_store::{StoreError, StoreErrorKind};
