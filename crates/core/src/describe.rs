//! What exporters say of the metrics: a unit and a line of help.
//!
//! All of them in one place, so that one reader can compare their words. A handle describes its
//! metric as it is made, when the program's recorder is there; a recorder that was told before
//! keeps what it has. A metric that does not stand here, such as one of a layer of the user's own,
//! is not described.

use metrics::{Unit, describe_counter, describe_gauge};

/// Metric and help. A gauge whose name ends with `_seconds` is one of seconds, all else are counts.
const HELP: [(&str, &str); 35] = [
    ("steadfast_breaker_bad_ends_total", "Bodies that ended badly after a good head."),
    ("steadfast_breaker_calls_total", "Calls of a circuit, by outcome, when they end."),
    ("steadfast_breaker_reconfigurations_total", "Changes of a circuit that were asked for."),
    ("steadfast_breaker_state", "Circuits in each state."),
    ("steadfast_breaker_transitions_total", "Transitions of circuits, by the state they lead to."),
    ("steadfast_chaos_requests_total", "Requests that passed a fault layer."),
    ("steadfast_chaos_skipped_total", "Faults that were drawn and could not be applied."),
    ("steadfast_chaos_struck_total", "Faults that were applied, by kind."),
    ("steadfast_chaos_would_strike_total", "Faults that a dry run would have applied, by kind."),
    ("steadfast_clock_jumps_total", "Jumps of this machine's wall clock."),
    ("steadfast_clock_lead_seconds", "How far the logical clock is ahead of the wall clock."),
    ("steadfast_clock_received_total", "Messages received, by what their stamp was worth."),
    ("steadfast_clock_refused_total", "Stamps refused because they were too far ahead."),
    ("steadfast_fence_calls_total", "Calls at a fence, by outcome."),
    ("steadfast_idempotency_events_total", "What became of requests with a key."),
    ("steadfast_idempotency_in_flight", "Requests with a key under way in this process."),
    ("steadfast_idempotency_oldest_seconds", "Age of the oldest one under way in this process."),
    ("steadfast_idempotency_refused_total", "Requests with a key that were refused, by reason."),
    (
        "steadfast_idempotency_store_abandoned",
        "Abandoned records in the store, at the last census.",
    ),
    ("steadfast_idempotency_store_in_flight", "Claims in the store, at the last census."),
    ("steadfast_idempotency_store_oldest_seconds", "Age of the oldest claim, at the last census."),
    ("steadfast_lease_events_total", "What became of leases and requests for them."),
    ("steadfast_phi_local_pauses_total", "Times that this process stood still."),
    ("steadfast_phi_peers", "Peers in each status."),
    ("steadfast_phi_transitions_total", "Transitions of peers, by the status they lead to."),
    ("steadfast_quorum_calls_total", "Calls of a quorum, by outcome, when they end."),
    ("steadfast_quorum_requests_total", "Requests sent to the nodes of a quorum, by cause."),
    ("steadfast_retry_budget_reconfigurations_total", "Changes of a budget that were asked for."),
    ("steadfast_retry_calls_total", "Calls under a retry layer, by outcome, when they end."),
    ("steadfast_retry_retries_total", "Retries that were decided."),
    ("steadfast_timeout_bodies_total", "Bodies under a limit, by how they ended."),
    ("steadfast_timeout_calls_total", "Calls under a limit, by outcome, when they end."),
    ("steadfast_timeout_explorations_total", "Calls and bodies let go on beyond their limit."),
    ("steadfast_timeout_limit_seconds", "What a call that begins now is given."),
    ("steadfast_timeout_reconfigurations_total", "Changes of a limit that were asked for."),
];

pub(crate) fn counter(metric: &'static str) {
    if let Some(help) = help(metric) {
        describe_counter!(metric, Unit::Count, help);
    }
}

pub(crate) fn gauge(metric: &'static str) {
    if let Some(help) = help(metric) {
        let unit = if metric.ends_with("_seconds") { Unit::Seconds } else { Unit::Count };
        describe_gauge!(metric, unit, help);
    }
}

fn help(metric: &str) -> Option<&'static str> {
    HELP.binary_search_by_key(&metric, |row| row.0).ok().map(|row| HELP[row].1)
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString};

    use super::*;
    use crate::{counters::Counters, gauge::OwnedGauge, labels::Labels, state_gauges::StateGauges};

    #[test]
    fn each_metric_is_found_and_says_a_sentence() {
        assert!(HELP.is_sorted_by(|one, next| one.0 < next.0));
        for (metric, text) in HELP {
            assert_eq!(help(metric), Some(text));
            assert!(text.ends_with('.') && !text.contains(['\n', '"']), "{text}");
        }
        assert_eq!(help("steadfast_other_total"), None);
    }

    #[derive(Clone, Default)]
    struct Described(Arc<Mutex<Vec<String>>>);

    impl Described {
        fn says(&self, name: &KeyName, unit: Option<Unit>) {
            let unit = unit.map_or("none", |unit| unit.as_str());
            self.0.lock().unwrap().push(format!("{} {unit}", name.as_str()));
        }
    }

    impl Recorder for Described {
        fn describe_counter(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
            self.says(&name, unit);
        }

        fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
            self.says(&name, unit);
        }

        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::noop()
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[derive(Clone, Copy)]
    struct Closed;

    impl Labels for Closed {
        const KEY: &'static str = "state";
        const ALL: &'static [Self] = &[Self];

        fn label(self) -> &'static str {
            "closed"
        }

        fn index(self) -> usize {
            0
        }
    }

    #[test]
    fn handles_describe_their_metric_once_as_they_are_made() {
        let (described, name) = (Described::default(), || Arc::from("described"));
        metrics::with_local_recorder(&described, || {
            let counters = Counters::new("steadfast_retry_retries_total", "retry", name());
            let gauges = StateGauges::new("steadfast_breaker_state", "breaker", name());
            let gauge = OwnedGauge::new("steadfast_timeout_limit_seconds", "timeout", name());
            for seconds in 1..4 {
                counters.increment(());
                gauges.enter(Closed);
                gauge.set(std::time::Duration::from_secs(seconds));
            }
            Counters::new("mine_total", "mine", name()).increment(());
        });
        let described = described.0.lock().unwrap();
        let expected = [
            "steadfast_retry_retries_total count",
            "steadfast_breaker_state count",
            "steadfast_timeout_limit_seconds seconds",
        ];
        assert_eq!(*described, expected);
    }
}
