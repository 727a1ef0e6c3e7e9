//! Counters over a closed set of labels.

use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, OnceLock},
};

use metrics::{Counter, counter};

use crate::{
    describe,
    labels::{Labels, by_index, labels},
};

/// One counter metric with a label for the layer's name and one for a member of `L`, or without the
/// second for `()`.
///
/// The handles are made together, on first use: made before the program installs its recorder, they
/// would stay no-ops.
pub struct Counters<L> {
    metric: &'static str,
    layer: &'static str,
    name: Arc<str>,
    counters: OnceLock<Box<[Counter]>>,
    members: PhantomData<fn(L)>,
}

impl<L: Labels> Counters<L> {
    /// Counters named `metric`, labelled `layer = name` and [`L::KEY`](Labels::KEY) `=` [the
    /// member](Labels::label).
    #[must_use]
    pub const fn new(metric: &'static str, layer: &'static str, name: Arc<str>) -> Self {
        Self { metric, layer, name, counters: OnceLock::new(), members: PhantomData }
    }

    /// Counts one.
    #[inline]
    pub fn increment(&self, member: L) {
        let counter = self.counters.get_or_init(|| self.make()).get(member.index());
        debug_assert!(counter.is_some(), "{} is not listed in ALL", member.label());
        if let Some(counter) = counter {
            counter.increment(1);
        }
    }

    #[cold]
    fn make(&self) -> Box<[Counter]> {
        describe::counter(self.metric);
        by_index(|member: L| counter!(self.metric, labels(self.layer, &self.name, member)))
    }
}

impl<L> fmt::Debug for Counters<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters")
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

    /// Listed in another order than it is numbered.
    #[derive(Clone, Copy)]
    enum Fruit {
        Apple,
        Pear,
        Plum,
    }

    impl Labels for Fruit {
        const KEY: &'static str = "fruit";
        const ALL: &'static [Self] = &[Self::Plum, Self::Apple, Self::Pear];

        fn label(self) -> &'static str {
            match self {
                Self::Apple => "apple",
                Self::Pear => "pear",
                Self::Plum => "plum",
            }
        }

        fn index(self) -> usize {
            self as usize
        }
    }

    #[test]
    fn each_member_is_counted_under_its_own_label_in_whatever_order_they_are_listed() {
        let (recorded, counters) =
            (Recorded::new(), Counters::new("eaten_total", "basket", "red".into()));
        recorded.during(|| {
            counters.increment(Fruit::Apple);
            (0..2).for_each(|_| counters.increment(Fruit::Pear));
            (0..3).for_each(|_| counters.increment(Fruit::Plum));
        });
        let counted = [
            ("eaten_total basket red fruit apple", 1),
            ("eaten_total basket red fruit pear", 2),
            ("eaten_total basket red fruit plum", 3),
        ];
        assert_eq!(recorded.values(), expected(counted));
    }

    #[test]
    fn counters_made_before_the_recorder_is_installed_count_from_their_first_use_on() {
        let counters = Counters::new("eaten_total", "basket", "red".into());
        let recorded = Recorded::new();
        recorded.during(|| counters.increment(Fruit::Plum));
        // The handle is kept: it goes on counting where no recorder is installed.
        counters.increment(Fruit::Plum);
        assert_eq!(recorded.values(), expected([("eaten_total basket red fruit plum", 2)]));
    }

    #[test]
    fn without_labels_only_the_name_is_told() {
        let (recorded, counters) =
            (Recorded::new(), Counters::new("retries_total", "retry", "orders".into()));
        recorded.during(|| counters.increment(()));
        assert_eq!(recorded.values(), expected([("retries_total retry orders", 1)]));
    }

    #[test]
    fn threads_that_count_first_at_once_lose_nothing() {
        let (recorded, counters) =
            (Recorded::new(), Counters::new("eaten_total", "basket", "red".into()));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    recorded.during(|| (0..1000).for_each(|_| counters.increment(Fruit::Apple)));
                });
            }
        });
        assert_eq!(recorded.values(), expected([("eaten_total basket red fruit apple", 4000)]));
    }

    #[derive(Clone, Copy)]
    enum Forgotten {
        Listed,
        Missing,
    }

    impl Labels for Forgotten {
        const KEY: &'static str = "forgotten";
        const ALL: &'static [Self] = &[Self::Listed];

        fn label(self) -> &'static str {
            match self {
                Self::Listed => "listed",
                Self::Missing => "missing",
            }
        }

        fn index(self) -> usize {
            self as usize
        }
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "missing is not listed in ALL")]
    fn a_member_that_is_not_listed_fails_the_test_that_counts_it() {
        Counters::new("seen_total", "shelf", "top".into()).increment(Forgotten::Missing);
    }

    #[test]
    fn the_debug_output_names_metric_and_layer() {
        let counters: Counters<()> = Counters::new("retries_total", "retry", "orders".into());
        assert_eq!(
            format!("{counters:?}"),
            r#"Counters { metric: "retries_total", name: "orders", .. }"#
        );
    }
}
