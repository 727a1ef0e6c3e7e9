//! What a Prometheus exporter shows.

use metrics_exporter_prometheus::PrometheusBuilder;
use steadfast_core::Deadline;
use steadfast_quorum::{CallConfig, Threshold};
use steadfast_testkit::Reply;
use tower::{Service, ServiceExt};

use super::{MS, call_over, script};

#[test]
fn each_call_is_counted_once_and_each_request_by_its_cause() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(calls()));
    let text = handle.render();
    for line in [
        r#"calls_total{quorum="users",outcome="won"} 2"#,
        r#"calls_total{quorum="users",outcome="lost"} 1"#,
        r#"calls_total{quorum="users",outcome="incomplete"} 1"#,
        r#"calls_total{quorum="users",outcome="cancelled"} 1"#,
        r#"requests_total{quorum="users",cause="opening"} 10"#,
        r#"requests_total{quorum="users",cause="failure"} 2"#,
        r#"requests_total{quorum="users",cause="delay"} 2"#,
    ] {
        assert!(text.contains(&format!("steadfast_quorum_{line}")), "{line}\n{text}");
    }
}

async fn calls() {
    let now = tokio::time::Instant::now();
    let deadline = move |_: &u32| Some(Deadline::at((now + 100 * MS).into_std()));
    let config = CallConfig::staggered(10 * MS).named("users");
    let (nodes, call) = call_over(Threshold::of(2, 3).unwrap(), config);
    let mut call = call.context(deadline);
    let soon = || Reply::echo().after(MS);
    // Won, with one more after an error; won, with one more after a delay; lost; cancelled; out of
    // time, with one more after a delay.
    script(&nodes, [soon(), Reply::error(), soon()]);
    call.ready().await.unwrap().call(7).await.unwrap();
    script(&nodes, [soon(), Reply::echo().after(20 * MS), soon()]);
    call.ready().await.unwrap().call(7).await.unwrap();
    script(&nodes, [soon(), Reply::error(), Reply::error()]);
    call.ready().await.unwrap().call(7).await.unwrap_err();
    drop(call.ready().await.unwrap().call(7));
    script(&nodes, [Reply::echo().held(), Reply::echo().held(), Reply::echo().held()]);
    call.ready().await.unwrap().call(7).await.unwrap_err();
}
