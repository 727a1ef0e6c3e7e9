//! What faults tell metrics and events, with the lock free, and never a tag or a key.

use std::sync::Arc;

#[cfg(feature = "metrics")]
use steadfast_core::parts::Counters;
use steadfast_core::parts::Labels;
#[cfg(not(feature = "metrics"))]
use steadfast_core::parts::silent::Counters;

use crate::{
    FaultKind, Mode,
    tally::{End, Tally},
};

/// Reports under the plan's name.
#[derive(Debug)]
pub(crate) struct Telemetry {
    pub(crate) name: Arc<str>,
    requests: Counters<()>,
    would_strike: Counters<FaultKind>,
    struck: Counters<FaultKind>,
    skipped: Counters<FaultKind>,
}

impl Telemetry {
    pub(crate) fn new(name: Arc<str>) -> Self {
        let of_kind = |metric| Counters::new(metric, "chaos", Arc::clone(&name));
        Self {
            requests: Counters::new("steadfast_chaos_requests_total", "chaos", Arc::clone(&name)),
            would_strike: of_kind("steadfast_chaos_would_strike_total"),
            struck: of_kind("steadfast_chaos_struck_total"),
            skipped: of_kind("steadfast_chaos_skipped_total"),
            name,
        }
    }

    /// A request was seen while the faults were on, or in a dry run.
    pub(crate) fn seen(&self) {
        self.requests.increment(());
    }

    /// It is known what became of a fault.
    pub(crate) fn ended(&self, rule: &Tally, number: u64, end: End) {
        let counters = match end {
            End::WouldStrike => &self.would_strike,
            End::Struck => &self.struck,
            End::Skipped => &self.skipped,
        };
        counters.increment(rule.kind);
        #[cfg(feature = "tracing")]
        tracing::debug!(
            target: "steadfast::chaos",
            chaos = &*self.name,
            rule = &*rule.name,
            fault = rule.kind.name(),
            number,
            "{}",
            match end {
                End::WouldStrike => "a fault would have been injected",
                End::Struck => "a fault was injected",
                End::Skipped => "a fault could not be injected",
            }
        );
        #[cfg(not(feature = "tracing"))]
        let _ = number;
    }

    /// Faults are loud: a program that carries them by accident shall say so.
    pub(crate) fn switched(&self, mode: Mode) {
        #[cfg(feature = "tracing")]
        match mode {
            Mode::On => tracing::warn!(
                target: "steadfast::chaos",
                chaos = &*self.name,
                "faults are ON: requests of this process fail as a plan says"
            ),
            Mode::DryRun => tracing::info!(
                target: "steadfast::chaos",
                chaos = &*self.name,
                "faults are in a dry run: they are counted, and not injected"
            ),
            Mode::Off => tracing::info!(
                target: "steadfast::chaos",
                chaos = &*self.name,
                "faults are off"
            ),
        }
        // An event that no subscriber takes is no warning.
        #[cfg(feature = "tracing")]
        let is_told = tracing::enabled!(target: "steadfast::chaos", tracing::Level::WARN);
        #[cfg(not(feature = "tracing"))]
        let is_told = false;
        if mode == Mode::On && !is_told {
            eprintln!(
                "steadfast-chaos: faults are ON ({}): requests of this process fail as a plan says",
                self.name
            );
        }
    }
}

impl Labels for FaultKind {
    const KEY: &'static str = "fault";
    const ALL: &'static [Self] = Self::ALL;

    fn label(self) -> &'static str {
        self.name()
    }

    fn index(self) -> usize {
        self as usize
    }
}
