//! The metrics of a layer whose feature `metrics` is off: the same methods, no state, no effect.
//!
//! They are here whatever features this crate has. Cargo builds it once for all layers, so a layer
//! that chose its types by this crate's feature would report as soon as another layer did.
//!
//! ```
//! # mod telemetry {
//! #[cfg(feature = "metrics")]
//! use steadfast_core::parts::{Counters, StateGauges};
//! #[cfg(not(feature = "metrics"))]
//! use steadfast_core::parts::silent::{Counters, StateGauges};
//! # }
//! ```

use std::{marker::PhantomData, sync::Arc, time::Duration};

use crate::labels::Labels;

/// Counts nothing.
#[derive(Debug)]
pub struct Counters<L>(PhantomData<fn(L)>);

impl<L: Labels> Counters<L> {
    /// Keeps nothing of its arguments.
    #[must_use]
    pub fn new(_metric: &'static str, _layer: &'static str, _name: Arc<str>) -> Self {
        Self(PhantomData)
    }

    /// Counts nothing.
    #[inline]
    pub const fn increment(&self, _member: L) {}
}

/// Shows nothing.
#[derive(Debug)]
pub struct StateGauges<L>(PhantomData<fn(L)>);

impl<L: Labels> StateGauges<L> {
    /// Keeps nothing of its arguments.
    #[must_use]
    pub fn new(_metric: &'static str, _layer: &'static str, _name: Arc<str>) -> Self {
        Self(PhantomData)
    }

    /// Keeps no state either.
    #[must_use]
    pub const fn starting_in(self, _state: L) -> Self {
        self
    }

    /// Shows nothing.
    #[inline]
    pub const fn show(&self) {}

    /// Adds nothing.
    #[inline]
    pub const fn enter(&self, _state: L) {}

    /// Takes nothing away.
    #[inline]
    pub const fn leave(&self, _state: L) {}

    /// Moves nothing.
    #[inline]
    pub const fn change(&self, _from: L, _to: L) {}
}

/// Shows nothing.
#[derive(Debug)]
pub struct OwnedGauge(());

impl OwnedGauge {
    /// Keeps nothing of its arguments.
    #[must_use]
    pub fn new(_metric: &'static str, _layer: &'static str, _name: Arc<str>) -> Self {
        Self(())
    }

    /// Shows nothing.
    #[inline]
    pub const fn set(&self, _value: Duration) {}

    /// Shows nothing.
    #[inline]
    pub const fn set_count(&self, _count: u64) {}

    /// Shows nothing, and does not ask for the value.
    #[inline]
    pub fn set_with(&self, _value: impl FnOnce() -> Option<Duration>) {}
}

#[cfg(test)]
mod tests {
    /// Whatever is done to a metric can be done to its silent twin, in the same words.
    macro_rules! same_words {
        ($name:ident, $module:path) => {
            #[test]
            fn $name() {
                use $module::{Counters, OwnedGauge, StateGauges};

                use std::{sync::Arc, time::Duration};

                fn shared<T: std::fmt::Debug + Send + Sync + 'static>(_: &T) {}

                let name: Arc<str> = "name".into();
                let counters = Counters::<()>::new("calls_total", "layer", Arc::clone(&name));
                counters.increment(());
                let states =
                    StateGauges::<()>::new("states", "layer", Arc::clone(&name)).starting_in(());
                states.show();
                states.enter(());
                states.change((), ());
                states.leave(());
                let gauge = OwnedGauge::new("limit_seconds", "layer", name);
                gauge.set(Duration::ZERO);
                gauge.set_count(0);
                gauge.set_with(|| None);
                shared(&counters);
                shared(&states);
                shared(&gauge);
            }
        };
    }

    same_words!(the_silent_ones, super);
    #[cfg(feature = "metrics")]
    same_words!(the_others, crate::parts);
}
