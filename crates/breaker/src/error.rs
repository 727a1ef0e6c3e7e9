//! The refusal.

use std::time::Duration;

use steadfast_core::{Grounds, HandleName, Refusal, RefusalKind};

/// The circuit is open: the request was refused and never reached the service.
///
/// `retry_after` in its grounds is what is left of the open time; `None` while probes are under way
/// or the circuit is forced open, when there is no such time. Of a circuit that was
/// [named](crate::CircuitConfig::named) it says the name: `circuit "orders" open`. A caller at the
/// other end of HTTP or gRPC is told "circuit open" only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("circuit {}open", named(self.grounds.handle))]
#[non_exhaustive]
pub struct CircuitOpen {
    /// The facts of this refusal as plain data.
    #[source]
    pub grounds: Grounds,
}

impl CircuitOpen {
    /// A refusal with the time after which it makes sense to come back.
    #[must_use]
    pub const fn after(left: Duration) -> Self {
        Self {
            grounds: Grounds::not_executed(RefusalKind::Unavailable).with_retry_after(Some(left)),
        }
    }

    /// A refusal until the circuit changes its state, which has no time of its own.
    #[must_use]
    pub const fn until_changed() -> Self {
        Self { grounds: Grounds::not_executed(RefusalKind::Unavailable) }
    }

    /// The same refusal by the circuit of this name.
    #[must_use]
    pub const fn with_handle(self, handle: Option<HandleName>) -> Self {
        Self { grounds: self.grounds.with_handle(handle) }
    }

    /// When it makes sense to come back, where that is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.grounds.retry_after
    }
}

impl Refusal for CircuitOpen {
    fn grounds(&self) -> Grounds {
        self.grounds
    }

    fn detail(&self) -> String {
        self.with_handle(None).to_string()
    }
}

/// The name, and a blank behind it.
fn named(handle: Option<HandleName>) -> String {
    handle.map(|name| format!("{name} ")).unwrap_or_default()
}
