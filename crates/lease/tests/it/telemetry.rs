//! What an exporter shows, and what events say.

use steadfast_lease::{LeaseClient, RenewReply};

use crate::support::{Fault, Faulty, SEC, TTL, config, name, numbered};

/// A lease that is refused to a second caller and then taken away, one that the store does not
/// answer for, and one that is released.
fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let store = Faulty::new();
        let client = LeaseClient::new(config().named("orders"), store.clone()).unwrap();
        let taken = client.try_acquire(&name()).await.unwrap();
        assert!(client.try_acquire(&name()).await.is_err());
        store.next("renew", Fault::Renewed(RenewReply::Taken), 1);
        taken.lost().await;
        let unanswered = client.try_acquire(&numbered(1)).await.unwrap();
        store.next("renew", Fault::Unreached, 100);
        unanswered.lost().await;
        let released = client.try_acquire(&numbered(2)).await.unwrap();
        assert!(released.release().await.unwrap());
        assert!(client.shutdown(TTL + SEC).await);
    });
}

#[cfg(feature = "metrics")]
#[test]
fn an_exporter_shows_what_became_of_leases_and_renewals() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, run);
    let text = handle.render();
    let line = |event| {
        let line = format!("steadfast_lease_events_total{{lease=\"orders\",event=\"{event}\"}} ");
        let line = text.lines().find_map(|text| text.strip_prefix(&line)?.parse::<u64>().ok());
        line.unwrap_or(0)
    };
    let counts = ["granted", "held", "lost_taken", "lost_unanswered", "released"].map(line);
    assert_eq!(counts, [3, 1, 1, 1, 2], "{text}");
    assert!(line("renewal_failed") > 3 && line("unreleased") == 0, "{text}");
    assert!(!text.contains("name 0"), "a name is no label");
}

#[cfg(feature = "tracing")]
#[test]
fn what_an_operator_should_know_is_an_event_with_name_token_and_reason() {
    let text = format!("{:?}", steadfast_testkit::events(run));
    for said in ["a lease is granted", "a lease is lost", "the store failed", "Taken", "name 0"] {
        assert!(text.contains(said), "{said:?} in {text}");
    }
    assert!(!text.contains("Nonce"), "{text}");
}
