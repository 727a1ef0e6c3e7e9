//! The layers of this workspace.

use std::time::Duration;

use steadfast_breaker::{BreakerLayer, Circuit, CircuitConfig, OpenTime};
use steadfast_core::{Ratio, TimeSource};
use steadfast_retry::RetryLayer;
use steadfast_timeout::TimeoutLayer;
use tower::{Layer, Service};

use crate::{
    row::{FAILING, Family, Group, Row},
    service::{self, Fault, bare, bare_with},
    subject::{Calls, Subject},
};

const VALID: &str = "the configuration is valid";

pub(crate) fn rows() -> Vec<Row> {
    happy().into_iter().chain(failing()).chain(refused()).collect()
}

fn happy() -> Vec<Row> {
    let happy = |name, subject| Row::new(Family::Ours, Group::Happy, name, subject);
    vec![
        happy("breaker, count window (default)", over(breaker(count()), bare())),
        happy(
            "breaker, time window, coarse clock",
            over(breaker(time(TimeSource::Coarse)), bare()),
        ),
        happy(
            "breaker, time window, tokio's clock",
            over(breaker(time(TimeSource::Tokio)), bare()),
        ),
        happy("breaker, slow-call rule, tokio's clock", over(breaker(slow(count())), bare())),
        happy("timeout, fixed", over(fixed(), bare())),
        happy("timeout, adaptive", over(adaptive(), bare())),
        happy("retry with budget (default)", over(RetryLayer::default(), bare())),
        happy("retry + breaker + adaptive timeout", over(stack(count()), bare())),
        happy(
            "the same, breaker with time window, coarse clock",
            over(stack(time(TimeSource::Coarse)), bare()),
        ),
    ]
}

fn failing() -> Vec<Row> {
    let failing = |name, config| {
        let subject = over(breaker(config), service::failing(100));
        Row::new(Family::Ours, Group::Happy, name, subject).over(FAILING).succeeds_in(99)
    };
    vec![
        failing("breaker, 1 % failures, count window", count()),
        failing("breaker, 1 % failures, time window, coarse clock", time(TimeSource::Coarse)),
    ]
}

fn refused() -> Vec<Row> {
    let refused = |name, subject| Row::new(Family::Ours, Group::Refused, name, subject);
    let forced = breaker(count());
    forced.handle().force_open();
    vec![
        refused("breaker open", over(open(count()), bare_with::<Fault>())),
        refused(
            "breaker open, coarse clock",
            over(open(count().time_source(TimeSource::Coarse)), bare_with::<Fault>()),
        ),
        refused("breaker open, error is a BoxError", over(open(count()), bare())),
        refused("breaker forced open", over(forced, bare_with::<Fault>())),
    ]
}

fn over<S, L>(layer: L, inner: S) -> Box<dyn Subject>
where
    L: Layer<S>,
    L::Service: Service<u64> + Clone + Send + 'static,
{
    Box::new(Calls(layer.layer(inner)))
}

/// The order of the guide: each attempt has its own limit, and the circuit sees each attempt.
pub(crate) fn stack(config: CircuitConfig) -> (RetryLayer, BreakerLayer, TimeoutLayer) {
    (RetryLayer::default(), breaker(config), adaptive())
}

pub(crate) fn breaker(config: CircuitConfig) -> BreakerLayer {
    BreakerLayer::new(Circuit::new(config).expect(VALID))
}

/// The default.
pub(crate) fn count() -> CircuitConfig {
    CircuitConfig::new()
}

pub(crate) fn time(clock: TimeSource) -> CircuitConfig {
    count().time_window(Duration::from_secs(10), 10).time_source(clock)
}

fn slow(config: CircuitConfig) -> CircuitConfig {
    config.slow_calls(Duration::from_secs(1), Ratio::HALF)
}

/// A circuit that has opened by itself, with long to go.
fn open(config: CircuitConfig) -> BreakerLayer {
    let hour = OpenTime::constant(Duration::from_secs(3600)).expect(VALID);
    let layer = breaker(config.open_time(hour));
    Calls(layer.layer(service::failing(1))).run(1000);
    layer
}

pub(crate) fn fixed() -> TimeoutLayer {
    TimeoutLayer::fixed(Duration::from_secs(1)).expect(VALID)
}

pub(crate) fn adaptive() -> TimeoutLayer {
    TimeoutLayer::adaptive(Duration::from_millis(10), Duration::from_secs(5)).expect(VALID)
}
