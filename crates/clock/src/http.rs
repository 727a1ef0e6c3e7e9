//! Stamps that travel in a header.

mod admission;
mod client;
mod propagation;
mod received;
mod refused;
mod server;
mod stamper;
mod telemetry;

pub use self::{
    client::{PropagateHlc, PropagateHlcFuture, PropagateHlcLayer},
    propagation::{HLC_HEADER, Propagation, TooFarAhead},
    received::Received,
    refused::{StampFault, StampRefused},
    server::{HlcFuture, HlcLayer, HlcService},
};
