//! A service that falls silent, with the breaker alone. The whole stack's tables are tests of the
//! facade.

use std::{future::pending, time::Duration};

use futures::future::select_all;
use steadfast_breaker::{BreakerLayer, Circuit, CircuitConfig, State};
use steadfast_core::{Ratio, Verdict};
use tokio::time::{Instant, advance, sleep, timeout};
use tower::{BoxError, Layer, ServiceExt, service_fn};

use crate::{calls, circuit};

const PATIENCE: Duration = Duration::from_secs(1);

/// Four callers in a loop call a service that does not answer, and leave after a second: when the
/// circuit is open.
async fn silence(config: CircuitConfig) -> Option<Duration> {
    let circuit = circuit(config);
    calls(&circuit, 200, Verdict::Success);
    let (began, layer) = (Instant::now(), BreakerLayer::new(circuit.clone()));
    let service = layer.layer(service_fn(|()| pending::<Result<(), BoxError>>()));
    let caller = async |n: u64| {
        sleep(Duration::from_millis(n * 10)).await;
        while circuit.state() == State::Closed {
            let _ = timeout(PATIENCE, service.clone().oneshot(())).await;
        }
        Instant::now() - began
    };
    let callers = (0..4).map(|n| Box::pin(caller(n)));
    timeout(Duration::from_secs(600), select_all(callers)).await.ok().map(|(opened, ..)| opened)
}

#[tokio::test(start_paused = true)]
async fn alone_a_breaker_does_not_find_a_service_that_hangs() {
    assert_eq!(silence(CircuitConfig::new()).await, None);
    let timed = CircuitConfig::new().time_window(Duration::from_secs(10), 10);
    assert_eq!(silence(timed).await, None);
}

#[tokio::test(start_paused = true)]
async fn with_a_slow_call_rule_it_does_as_callers_leave() {
    let slow = |config: CircuitConfig| config.slow_calls(PATIENCE / 2, Ratio::HALF);
    let counted = silence(slow(CircuitConfig::new())).await.unwrap();
    // Fifty of a hundred, four a second.
    assert!((12..=14).contains(&counted.as_secs()), "{counted:?}");
    let timed = CircuitConfig::new().time_window(Duration::from_secs(10), 10);
    let timed = silence(slow(timed)).await.unwrap();
    // The successes age away, and twenty calls are the minimum.
    assert!((10..=11).contains(&timed.as_secs()), "{timed:?}");
}

/// A deadline that cuts calls short is seen as a caller that leaves is: slow if it was slow.
#[tokio::test(start_paused = true)]
async fn calls_cut_by_a_deadline_count_as_slow_if_they_waited_long_enough() {
    let slow = Duration::from_millis(100);
    let waited = async |wait: Duration| {
        let config = CircuitConfig::new().slow_calls(slow, Ratio::HALF);
        let circuit: Circuit = circuit(config);
        for _ in 0..20 {
            let permit = circuit.try_admit().unwrap();
            advance(wait).await;
            permit.record(Verdict::Ignored);
        }
        circuit.state()
    };
    assert_eq!(waited(slow).await, State::Closed);
    assert_eq!(waited(slow + Duration::from_millis(1)).await, State::Open);
}
