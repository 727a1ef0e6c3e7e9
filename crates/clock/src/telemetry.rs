//! What is told of a clock, when the features are on.

use std::{sync::Arc, time::Duration};

use crate::Jump;

/// A clock's name, and what is shown under it.
///
/// Jumps are rare, so their counter is looked up each time. A peer may send stamps that are refused as fast as it likes.
#[derive(Debug)]
pub(crate) struct Telemetry {
    #[cfg(any(feature = "metrics", feature = "tracing"))]
    name: Arc<str>,
    #[cfg(feature = "metrics")]
    lead: Option<steadfast_core::parts::OwnedGauge>,
    /// Made on first use: before the program installs its recorder it would stay a no-op.
    #[cfg(feature = "metrics")]
    refused: std::sync::OnceLock<Refused>,
}

#[cfg(feature = "metrics")]
struct Refused(metrics::Counter);

#[cfg(feature = "metrics")]
impl std::fmt::Debug for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Refused")
    }
}

impl Telemetry {
    /// The lead is shown for clocks that somebody named.
    #[cfg_attr(
        not(any(feature = "metrics", feature = "tracing")),
        expect(unused_variables, clippy::needless_pass_by_value, reason = "nothing is told without the features")
    )]
    pub(crate) fn new(name: Option<Arc<str>>) -> Self {
        Self {
            #[cfg(feature = "metrics")]
            lead: name
                .clone()
                .map(|name| steadfast_core::parts::OwnedGauge::new("steadfast_clock_lead_seconds", "clock", name)),
            #[cfg(feature = "metrics")]
            refused: std::sync::OnceLock::new(),
            #[cfg(any(feature = "metrics", feature = "tracing"))]
            name: name.unwrap_or_else(|| "default".into()),
        }
    }

    /// Somebody compared the wall clock with time, which happens about once a second.
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "the lead is a metric"))]
    pub(crate) fn looked(&self, lead: impl FnOnce() -> Duration, jump: Option<Jump>) {
        #[cfg(feature = "metrics")]
        {
            if let Some(gauge) = &self.lead {
                gauge.set(lead());
            }
            if let Some(jump) = jump {
                let direction = match jump {
                    Jump::Forward(_) => "forward",
                    Jump::Back(_) => "back",
                };
                let name = Arc::clone(&self.name);
                metrics::counter!("steadfast_clock_jumps_total", "clock" => name, "direction" => direction)
                    .increment(1);
            }
        }
        #[cfg(feature = "tracing")]
        if let Some(jump) = jump {
            tracing::warn!(target: "steadfast::clock", clock = &*self.name, ?jump, "the wall clock was set");
        }
    }

    /// A stamp was too far ahead.
    pub(crate) fn refused(&self) {
        #[cfg(feature = "metrics")]
        {
            let make =
                || Refused(metrics::counter!("steadfast_clock_refused_total", "clock" => Arc::clone(&self.name)));
            self.refused.get_or_init(make).0.increment(1);
        }
    }
}
