//! What an exporter shows, and what events say.

use steadfast_chaos::{Fault, FaultLayer, Faults, Plan, Rule};
use tower::{Layer, ServiceExt, service_fn};

fn plan() -> Plan {
    Plan::new(1)
        .named("bad day")
        .rule(Rule::new("crash", Fault::CrashedBefore).requests(1..3))
        .rule(Rule::new("cut", Fault::BodyCut).requests(3..4))
}

/// A dry run of five requests, and five with faults.
fn run(faults: &Faults) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let inner = service_fn(|n: u32| async move { Ok::<_, tower::BoxError>(n) });
    let service = FaultLayer::new(faults.clone()).layer(inner);
    runtime.block_on(async {
        faults.dry_run();
        for request in 0..5 {
            assert!(service.clone().oneshot(request).await.is_ok());
        }
        faults.turn_on();
        for request in 0..5 {
            drop(service.clone().oneshot(request).await);
        }
        faults.turn_off();
        drop(service.clone().oneshot(5).await);
    });
}

#[cfg(feature = "metrics")]
#[test]
fn an_exporter_shows_what_was_injected_skipped_and_would_have_been() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || run(&Faults::new(plan()).unwrap()));
    let text = handle.render();
    let mut lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#') && !line.ends_with(" 0"))
        .collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "steadfast_chaos_requests_total{chaos=\"bad day\"} 10",
            "steadfast_chaos_skipped_total{chaos=\"bad day\",fault=\"body_cut\"} 1",
            "steadfast_chaos_struck_total{chaos=\"bad day\",fault=\"crashed_before\"} 2",
            "steadfast_chaos_would_strike_total{chaos=\"bad day\",fault=\"body_cut\"} 1",
            "steadfast_chaos_would_strike_total{chaos=\"bad day\",fault=\"crashed_before\"} 2",
        ]
    );
}

#[cfg(feature = "tracing")]
#[test]
fn each_fault_is_an_event_and_being_on_is_a_warning() {
    let lines = steadfast_testkit::events(|| run(&Faults::new(plan()).unwrap()));
    let event = |what: &str, number: u32, rule: &str, fault: &str| {
        format!(
            "DEBUG steadfast::chaos message={what} chaos=bad day rule={rule} fault={fault} \
             number={number}"
        )
    };
    let (would, was, not) = (
        "a fault would have been injected",
        "a fault was injected",
        "a fault could not be injected",
    );
    assert_eq!(
        lines,
        [
            "INFO steadfast::chaos message=faults are in a dry run: they are counted, and not \
             injected chaos=bad day"
                .to_owned(),
            event(would, 1, "crash", "crashed_before"),
            event(would, 2, "crash", "crashed_before"),
            event(would, 3, "cut", "body_cut"),
            "WARN steadfast::chaos message=faults are ON: requests of this process fail as a plan \
             says chaos=bad day"
                .to_owned(),
            event(was, 1, "crash", "crashed_before"),
            event(was, 2, "crash", "crashed_before"),
            event(not, 3, "cut", "body_cut"),
            "INFO steadfast::chaos message=faults are off chaos=bad day".to_owned(),
        ]
    );
}

/// In a process of its own, in which no test has a subscriber.
#[test]
fn being_on_is_a_line_on_stderr_where_no_subscriber_takes_the_warning() {
    const CHILD: &str = "STEADFAST_CHAOS_TURNS_ON";
    if std::env::var_os(CHILD).is_some() {
        let faults = Faults::new(plan()).unwrap();
        faults.dry_run();
        faults.turn_off();
        eprintln!("not yet");
        faults.turn_on();
        return;
    }
    let name = "telemetry::being_on_is_a_line_on_stderr_where_no_subscriber_takes_the_warning";
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(CHILD, "yes")
        .output()
        .unwrap();
    assert!(child.status.success());
    let stderr = String::from_utf8(child.stderr).unwrap();
    assert!(stderr.contains("not yet\nsteadfast-chaos: faults are ON (bad day): "), "{stderr}");
}
