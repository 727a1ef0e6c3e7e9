//! What each layer, each clock, each quorum and each failure detector costs: the subjects that the
//! criterion benches and the table measure, and how.
//!
//! A subject is a service, ours or a peer's, over the same inner service that is ready at once, or
//! a function. It makes calls in a loop that is compiled for it alone: one virtual call stands
//! before thousands of measured ones.

mod answers;
mod catalogue;
mod chance;
mod chaos;
mod clocks;
mod detectors;
mod frames;
mod keys;
mod leases;
mod ours;
mod peers;
mod quorums;
mod race;
mod references;
mod row;
mod runtime;
mod service;
mod shapes;
mod subject;

pub use crate::{
    answers::{AT_END, AT_HEAD},
    catalogue::{all, catalogue},
    chance::SplitMix64,
    chaos::{UNFAULTED, chaos},
    clocks::{READING, clocks},
    detectors::{CLOCK, INSTANTS, Memory, PEERS, QUESTIONS, detectors, memory},
    keys::{UNKEYED, keys},
    leases::{BOOT_CLOCK, TOKENED, TOKENLESS, leases},
    quorums::{VOTES, quorums},
    race::{Line, Rendezvous, alone, together},
    references::TOKIOS_CLOCK,
    row::{BARE, FAILING, Family, Group, Row, Shape},
    runtime::{abort_on_panic, enter},
    service::Fault,
    shapes::shapes,
    subject::{Calls, Clones, Function, Sites, Subject},
};
