#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod fingerprint;
mod id;
mod record;
mod reply;
mod token;

pub use crate::{
    fingerprint::{Fingerprint, FingerprintBuilder},
    id::{RecordId, RecordIdError},
    record::{Change, ClaimReply, ClaimTerms, OnAbandoned, Record, Slot, State, View, ViewState},
    reply::{ReplyError, StoredReply},
    token::ClaimToken,
};
