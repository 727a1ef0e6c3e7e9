#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod name;
mod nonce;

pub use crate::{
    name::{LeaseName, LeaseNameError},
    nonce::Nonce,
};
pub use steadfast_core::FencingToken;
pub use steadfast_store::{StoreError, StoreErrorKind};
