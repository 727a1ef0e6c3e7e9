//! Fencing tokens in the headers of requests: the resource's layer and that of its clients.

mod client;
mod future;
mod layer;
mod sequence;

pub use self::{
    client::{FencedClient, FencedClientFuture, FencedClientLayer, Held, Holding, NotHeld},
    future::FenceFuture,
    layer::{FenceLayer, FenceService},
    sequence::FENCING_SEQUENCE,
};
