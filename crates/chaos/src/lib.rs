// Its examples take these features.
#![cfg_attr(
    any(
        not(doctest),
        all(feature = "process", feature = "proxy", feature = "tokio", feature = "toml")
    ),
    doc = include_str!("../README.md")
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod burst;
mod clock;
mod course;
mod draw;
mod facts;
mod fault;
#[cfg(feature = "toml")]
mod file;
mod outage;
mod plan;
mod rule;
mod timeline;

#[cfg(feature = "proxy")]
mod network;
#[cfg(feature = "proxy")]
mod proxy;

#[cfg(all(unix, feature = "process"))]
pub mod process;

#[cfg(feature = "tokio")]
mod carry;
#[cfg(feature = "tokio")]
mod delivery;
#[cfg(feature = "tokio")]
mod describe;
#[cfg(feature = "tokio")]
mod faults;
#[cfg(feature = "tokio")]
mod future;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "tokio")]
mod injected;
#[cfg(feature = "tokio")]
mod injection;
#[cfg(feature = "tokio")]
mod layer;
#[cfg(feature = "tokio")]
mod protocol;
#[cfg(feature = "tokio")]
mod service;
#[cfg(feature = "tokio")]
mod snapshot;
#[cfg(feature = "tokio")]
mod struck;
#[cfg(feature = "tokio")]
mod tally;
#[cfg(feature = "tokio")]
mod telemetry;

#[cfg(feature = "toml")]
pub use crate::file::PlanFileError;
#[cfg(feature = "http")]
pub use crate::http::{BodyCut, FaultBody, Http};
#[cfg(feature = "tokio")]
pub use crate::{
    carry::{Carry, Detached, WithCaller},
    describe::{Describe, Keyed, Tagged},
    faults::Faults,
    future::FaultFuture,
    injected::Injected,
    injection::Injection,
    layer::FaultLayer,
    protocol::{AnswerWith, Byzantine, Cloning, Plain, Protocol},
    service::FaultService,
    snapshot::{FaultsSnapshot, Mode, RuleSnapshot},
    struck::Struck,
};
pub use crate::{
    clock::{ClockFault, Leap},
    course::{Course, RateError, Strike},
    facts::Facts,
    fault::{Delay, Fault, FaultKind},
    outage::{Direction, FailureMode, Outage},
    plan::Plan,
    rule::Rule,
    timeline::{Change, Event},
};
#[cfg(feature = "proxy")]
pub use crate::{
    network::{Network, Unknown},
    proxy::{BindError, End, FaultProxy, ProxyConfig, ProxySnapshot},
};
