//! Gauges that show how many handles are in each state.
//!
//! A gauge is one number for all handles of a name, and cannot be read back. So each handle adds
//! one to the state it enters and takes one away from the state it leaves: handles of one name add
//! up, and two transitions that are reported in the wrong order still leave the gauges right. A
//! handle that is dropped takes away what it has added.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
};

use metrics::{Gauge, gauge};

use crate::{
    describe,
    labels::{Labels, by_index, labels},
};

/// One gauge metric with a label for the layer's name and one for a state in `L`: how many handles
/// of that name are in it.
///
/// The handles of the gauges are made together, on first use: made before the program installs its
/// recorder, they would stay no-ops. Until then nothing is shown.
pub struct StateGauges<L> {
    metric: &'static str,
    layer: &'static str,
    name: Arc<str>,
    /// Entered once, as the gauges are made.
    first: Option<L>,
    gauges: OnceLock<Box<[Held]>>,
}

/// A gauge, and how much of its value came from here.
struct Held {
    gauge: Gauge,
    added: AtomicI64,
}

impl<L: Labels> StateGauges<L> {
    /// Gauges named `metric`, labelled `layer = name` and [`L::KEY`](Labels::KEY) `=` [the
    /// state](Labels::label).
    #[must_use]
    pub const fn new(metric: &'static str, layer: &'static str, name: Arc<str>) -> Self {
        Self { metric, layer, name, first: None, gauges: OnceLock::new() }
    }

    /// The same for what begins in `state`: entered by whatever comes first, [`show`](Self::show)
    /// or a transition.
    #[must_use]
    pub const fn starting_in(mut self, state: L) -> Self {
        self.first = Some(state);
        self
    }

    /// Makes the gauges, and enters the first state, unless that has been done. For the way of
    /// every call: a handle that never leaves its first state is then shown too.
    #[inline]
    pub fn show(&self) {
        self.gauges();
    }

    /// Adds one to `state`.
    pub fn enter(&self, state: L) {
        shift(self.gauges(), state, 1);
    }

    /// Takes one from `state`.
    pub fn leave(&self, state: L) {
        shift(self.gauges(), state, -1);
    }

    /// Leaves one state for another.
    pub fn change(&self, from: L, to: L) {
        let gauges = self.gauges();
        shift(gauges, from, -1);
        shift(gauges, to, 1);
    }

    #[inline]
    fn gauges(&self) -> &[Held] {
        match self.gauges.get() {
            Some(gauges) => gauges,
            None => self.make(),
        }
    }

    #[cold]
    fn make(&self) -> &[Held] {
        let mut first = None;
        let gauges = self.gauges.get_or_init(|| {
            // Only the thread whose closure runs enters the first state.
            first = self.first;
            describe::gauge(self.metric);
            by_index(|state: L| Held {
                gauge: gauge!(self.metric, labels(self.layer, &self.name, state)),
                added: AtomicI64::new(0),
            })
        });
        if let Some(first) = first {
            shift(gauges, first, 1);
        }
        gauges
    }
}

fn shift<L: Labels>(gauges: &[Held], state: L, by: i32) {
    let held = gauges.get(state.index());
    debug_assert!(held.is_some(), "{} is not listed in ALL", state.label());
    if let Some(held) = held {
        // Relaxed: read only in drop, which is ordered after every use.
        held.added.fetch_add(by.into(), Ordering::Relaxed);
        held.gauge.increment(f64::from(by));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 handles")]
        let added = *self.added.get_mut() as f64;
        // Zero is left alone: a recorder may show a gauge from its first write on.
        if added != 0.0 {
            self.gauge.decrement(added);
        }
    }
}

impl<L> fmt::Debug for StateGauges<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateGauges")
            .field("metric", &self.metric)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded::{Recorded, expected};

    #[derive(Clone, Copy)]
    enum Light {
        Green,
        Red,
    }

    impl Labels for Light {
        const KEY: &'static str = "light";
        const ALL: &'static [Self] = &[Self::Green, Self::Red];

        fn label(self) -> &'static str {
            match self {
                Self::Green => "green",
                Self::Red => "red",
            }
        }

        fn index(self) -> usize {
            self as usize
        }
    }

    fn light() -> StateGauges<Light> {
        StateGauges::new("lights", "street", "main".into()).starting_in(Light::Green)
    }

    const GREEN: &str = "lights street main light green";
    const RED: &str = "lights street main light red";

    #[test]
    fn the_first_state_is_shown_once_and_left_by_the_first_change() {
        let (recorded, one, other) = (Recorded::new(), light(), light());
        recorded.during(|| {
            (0..3).for_each(|_| one.show());
            assert_eq!(recorded.values(), expected([(GREEN, 1)]));
            one.change(Light::Green, Light::Red);
            assert_eq!(recorded.values(), expected([(RED, 1)]));
            other.change(Light::Green, Light::Red);
            assert_eq!(recorded.values(), expected([(RED, 2)]));
        });
    }

    #[test]
    fn handles_of_one_name_add_up_and_give_back_what_they_added() {
        let (recorded, mut lights) = (Recorded::new(), vec![light(), light(), light()]);
        recorded.during(|| lights.iter().for_each(StateGauges::show));
        lights[1].change(Light::Green, Light::Red);
        assert_eq!(recorded.values(), expected([(GREEN, 2), (RED, 1)]));
        lights.remove(1);
        assert_eq!(recorded.values(), expected([(GREEN, 2)]));
        drop(lights);
        assert_eq!(recorded.values(), expected([]));
    }

    #[test]
    fn one_handle_may_hold_many_in_a_state() {
        let (recorded, peers) =
            (Recorded::new(), StateGauges::new("peers", "street", "main".into()));
        recorded.during(|| (0..5).for_each(|_| peers.enter(Light::Green)));
        peers.leave(Light::Green);
        peers.change(Light::Green, Light::Red);
        let (green, red) = ("peers street main light green", "peers street main light red");
        assert_eq!(recorded.values(), expected([(green, 3), (red, 1)]));
        drop(peers);
        assert_eq!(recorded.values(), expected([]));
    }

    #[test]
    fn changes_that_are_told_in_the_wrong_order_leave_the_gauges_right() {
        let (recorded, light) = (Recorded::new(), light());
        recorded.during(|| light.show());
        // Green to red and back; the way back is told first.
        light.change(Light::Red, Light::Green);
        light.change(Light::Green, Light::Red);
        assert_eq!(recorded.values(), expected([(GREEN, 1)]));
        drop(light);
        assert_eq!(recorded.values(), expected([]));
    }

    #[test]
    fn gauges_made_before_the_recorder_is_installed_show_from_their_first_use_on() {
        let (light, recorded) = (light(), Recorded::new());
        assert_eq!(recorded.values(), expected([]));
        recorded.during(|| light.show());
        assert_eq!(recorded.values(), expected([(GREEN, 1)]));
    }

    #[test]
    fn a_handle_that_was_never_used_takes_nothing_away() {
        let (recorded, used) = (Recorded::new(), light());
        recorded.during(|| {
            used.show();
            drop(light());
        });
        assert_eq!(recorded.values(), expected([(GREEN, 1)]));
    }

    #[test]
    fn threads_that_use_it_first_at_once_enter_the_first_state_once() {
        for _ in 0..200 {
            let (recorded, light) = (Recorded::new(), light());
            std::thread::scope(|scope| {
                let by = |work: fn(&StateGauges<Light>)| {
                    let (recorded, light) = (&recorded, &light);
                    scope.spawn(move || recorded.during(|| work(light)))
                };
                by(StateGauges::show);
                by(StateGauges::show);
                by(|light| light.change(Light::Green, Light::Red));
            });
            assert_eq!(recorded.values(), expected([(RED, 1)]));
        }
    }
}
