//! What is told of a clock, when the features are on.

use std::{sync::Arc, time::Duration};

use steadfast_core::parts::Labels;
#[cfg(not(feature = "metrics"))]
use steadfast_core::parts::silent::{Counters, OwnedGauge};
#[cfg(feature = "metrics")]
use steadfast_core::parts::{Counters, OwnedGauge};

use crate::Jump;

/// Where the wall clock went: a [`Jump`] without its length.
#[derive(Clone, Copy, Debug)]
enum Direction {
    Forward,
    Back,
}

impl Labels for Direction {
    const KEY: &'static str = "direction";
    const ALL: &'static [Self] = &[Self::Forward, Self::Back];

    fn label(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Back => "back",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// A clock's name, and what is shown under it.
#[derive(Debug)]
pub(crate) struct Telemetry {
    name: Arc<str>,
    /// Shown for clocks that have a name.
    lead: Option<OwnedGauge>,
    jumps: Counters<Direction>,
    refused: Counters<()>,
}

impl Telemetry {
    pub(crate) fn new(name: Option<Arc<str>>) -> Self {
        let lead =
            name.clone().map(|name| OwnedGauge::new("steadfast_clock_lead_seconds", "clock", name));
        let name = name.unwrap_or_else(|| "default".into());
        Self {
            lead,
            jumps: Counters::new("steadfast_clock_jumps_total", "clock", Arc::clone(&name)),
            refused: Counters::new("steadfast_clock_refused_total", "clock", Arc::clone(&name)),
            name,
        }
    }

    /// The wall clock was compared with time, which happens about once a second.
    pub(crate) fn compared(&self, lead: impl FnOnce() -> Duration, jump: Option<Jump>) {
        if let Some(gauge) = &self.lead {
            gauge.set_with(|| Some(lead()));
        }
        if let Some(jump) = jump {
            self.jumps.increment(match jump {
                Jump::Forward(_) => Direction::Forward,
                Jump::Back(_) => Direction::Back,
            });
            #[cfg(feature = "tracing")]
            tracing::warn!(target: "steadfast::clock", clock = &*self.name, ?jump, "the wall clock was set");
        }
    }

    pub(crate) fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// A stamp was too far ahead. A peer may send such stamps as fast as it likes.
    pub(crate) fn refused(&self) {
        self.refused.increment(());
    }
}
