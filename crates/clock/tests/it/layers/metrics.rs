//! What a Prometheus exporter shows.

use futures::FutureExt;
use metrics_exporter_prometheus::PrometheusBuilder;
use steadfast_clock::{HlcLayer, PropagateHlcLayer, Propagation, TooFarAhead};
use tower::{Layer, ServiceExt};

use super::{MS, Peer, ahead_of, clock, named, request, stamped};

const METRIC: &str = "steadfast_clock_received_total";

/// What was counted under `name`, by outcome.
fn counted(text: &str, name: &str) -> Vec<(String, u64)> {
    let start = format!("{METRIC}{{clock=\"{name}\",outcome=\"");
    let line = |line: &str| {
        let (outcome, count) = line.strip_prefix(&start)?.split_once("\"} ")?;
        Some((outcome.to_owned(), count.parse().unwrap()))
    };
    let mut counted: Vec<_> = text.lines().filter_map(line).collect();
    counted.sort();
    counted
}

#[test]
fn each_message_received_is_counted_once_by_what_became_of_it() {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        let server = named("server");
        let (fine, far) = (ahead_of(&server, MS), ahead_of(&server, 1000 * MS));
        let layer = HlcLayer::new(server.clone());
        let call = |layer: &HlcLayer<_>, request| {
            drop(layer.layer(Peer::default().service()).oneshot(request).now_or_never().unwrap());
        };
        (0..2).for_each(|_| call(&layer, stamped(fine)));
        (0..3).for_each(|_| call(&layer, request(&[])));
        (0..4).for_each(|_| call(&layer, request(&["soon"])));
        (0..5).for_each(|_| call(&layer, stamped(far)));
        let ignores = HlcLayer::from(Propagation::new(server).too_far_ahead(TooFarAhead::Ignore));
        (0..6).for_each(|_| call(&ignores, stamped(far)));

        let client = PropagateHlcLayer::new(clock()).layer(Peer::answers("soon").service());
        client.oneshot(request(&[])).now_or_never().unwrap().unwrap();
    });
    let text = recorder.handle().render();
    let all = [("ignored", 6), ("malformed", 4), ("refused", 5), ("stamped", 2), ("unstamped", 3)];
    assert_eq!(
        counted(&text, "server"),
        all.map(|(outcome, count)| (outcome.to_owned(), count)),
        "{text}"
    );
    let default = counted(&text, "default");
    assert_eq!(
        default.iter().map(|(_, count)| count).sum::<u64>(),
        1,
        "what is sent is not counted: {text}"
    );
    assert!(default.contains(&("malformed".to_owned(), 1)), "{text}");
}
