#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod client;
mod judged;
mod request;
mod response;
mod stack;
mod transport;
mod watch;

pub use crate::{
    client::Client,
    request::RequestBuilder,
    response::ResponseFuture,
    transport::{Transport, TransportFuture},
};

/// The error of a body, whatever its type.
type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What a call through a stack fails with: a layer's refusal, or reqwest's own error.
pub type Error = steadfast_core::Error<reqwest::Error>;
