//! The fence: what keeps the calls of former holders away from a resource.

#[cfg(feature = "tokio")]
mod config;
#[cfg(feature = "tokio")]
mod fences;
#[cfg(feature = "tokio")]
mod gate;
#[cfg(feature = "tokio")]
mod handle;
mod mark;
#[cfg(feature = "tokio")]
mod marks;
#[cfg(feature = "tokio")]
mod pass;
mod refused;
#[cfg(feature = "tokio")]
mod table;
#[cfg(feature = "tokio")]
mod telemetry;

#[cfg(feature = "http")]
pub(crate) use self::gate::Standing;
#[cfg(feature = "tokio")]
pub use self::{
    config::{Ahead, FenceConfig, OlderCalls},
    fences::{Fences, FencesSnapshot},
    handle::{Fence, FenceSnapshot},
    marks::MarksError,
    pass::Pass,
};
pub use self::{
    mark::FenceMark,
    refused::{Fenced, FencedReason},
};
