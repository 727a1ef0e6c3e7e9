//! How requests are refused.

use std::{num::NonZeroUsize, time::Duration};

use http::StatusCode;
use steadfast_core::http::{RespondLayer, respond};
use steadfast_idempotency::{
    Idempotency, IdempotencyConfig, OnStoreDown, Reason,
    http::{IdempotencyLayer, Statuses},
};
use tokio::time::sleep;

use super::support::{Runs, handle_of, layer, pay, send, till};
use crate::support::{Fault, Faulty, MS};

#[tokio::test(start_paused = true)]
async fn a_duplicate_in_flight_waits_for_the_reply_or_is_told_when_to_come_back() {
    let runs = Runs::default();
    let waits = IdempotencyLayer::unscoped(handle_of(IdempotencyConfig::new()));
    let router = till(&runs, 100 * MS).layer(respond(waits));
    let pay = || pay("/pay", "7f3a", "");
    let (first, again) = tokio::join!(send(&router, pay()), send(&router, pay()));
    assert_eq!((first.is_replayed(), again.is_replayed()), (false, true));
    assert_eq!((first.text, runs.count()), (again.text, 1));

    let config = IdempotencyConfig::new().wait(Duration::ZERO).retry_after(1500 * MS);
    let router =
        till(&runs, 100 * MS).layer(respond(IdempotencyLayer::unscoped(handle_of(config))));
    let (first, again) = tokio::join!(send(&router, pay()), send(&router, pay()));
    assert_eq!((first.status.as_u16(), again.refused()), (200, (409, Some("2"))));
    assert_eq!(runs.count(), 2);
}

/// It would never be replayed to, so it is not one of those that wait.
#[tokio::test(start_paused = true)]
async fn another_payload_takes_no_place_of_those_that_wait() {
    let config = IdempotencyConfig::new().most_waiting(0);
    let layer = IdempotencyLayer::unscoped(handle_of(config));
    let router = till(&Runs::default(), 100 * MS).layer(respond(layer));
    let others = async {
        sleep(10 * MS).await;
        let other = send(&router, pay("/pay", "7f3a", "6")).await;
        assert_eq!(other.refused(), (422, None));
        let same = send(&router, pay("/pay", "7f3a", "5")).await;
        assert_eq!(same.refused(), (409, Some("1")));
    };
    tokio::join!(send(&router, pay("/pay", "7f3a", "5")), others);
}

#[tokio::test(start_paused = true)]
async fn another_payload_is_refused_as_such_while_the_first_is_in_flight() {
    let router = till(&Runs::default(), 100 * MS).layer(respond(layer()));
    let (first, other) = tokio::join!(
        send(&router, pay("/pay", "7f3a", "5")),
        send(&router, pay("/pay", "7f3a", "6"))
    );
    assert_eq!((first.status.as_u16(), other.refused()), (200, (422, None)));
}

#[tokio::test(start_paused = true)]
async fn a_full_handle_refuses_and_a_store_that_is_down_does_so() {
    let runs = Runs::default();
    let config = IdempotencyConfig::new().most_in_flight(NonZeroUsize::MIN);
    let full = IdempotencyLayer::unscoped(handle_of(config));
    let router = till(&runs, 100 * MS).layer(respond(full));
    let (_, other) =
        tokio::join!(send(&router, pay("/pay", "a", "")), send(&router, pay("/pay", "b", "")));
    assert_eq!(other.refused(), (429, None));

    let store = Faulty::new();
    store.next("claim", Fault::Unreached, 1);
    let handle = Idempotency::new(IdempotencyConfig::new(), store).unwrap();
    let router = till(&runs, MS).layer(respond(IdempotencyLayer::unscoped(handle.clone())));
    assert_eq!(send(&router, pay("/pay", "7f3a", "")).await.refused(), (503, None));
    assert_eq!(runs.count(), 1);
    assert_eq!(send(&router, pay("/pay", "7f3a", "")).await.status, 200, "it is back");

    handle.shutdown(MS).await;
    assert_eq!(send(&router, pay("/pay", "7f3c", "")).await.refused(), (503, None));
}

#[tokio::test(start_paused = true)]
async fn where_that_is_chosen_a_request_runs_while_the_store_is_down_and_its_copy_too() {
    let (runs, store) = (Runs::default(), Faulty::new());
    let config = IdempotencyConfig::new().on_store_down(OnStoreDown::Run);
    let handle = Idempotency::new(config, store.clone()).unwrap();
    let router = till(&runs, MS).layer(respond(IdempotencyLayer::unscoped(handle)));
    store.next("claim", Fault::Unreached, 10_000);
    for run in [1, 2] {
        let got = send(&router, pay("/pay", "7f3a", "5")).await;
        assert_eq!((got.status.as_u16(), got.is_replayed()), (200, false));
        assert_eq!(got.text, format!("/pay: 5 paid in run {run}"));
        // Until then its task goes on telling the store, and is what a copy meets.
        sleep(Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_bounded_shutdown_refuses_what_it_cancels_and_the_next_copy_for_good() {
    let (store, runs) = (Faulty::new(), Runs::default());
    let handle = || Idempotency::new(IdempotencyConfig::new(), store.clone()).unwrap();
    let (next, handle) = (handle(), handle());
    let hour = till(&runs, Duration::from_secs(3600));
    let router = hour.clone().layer(respond(IdempotencyLayer::unscoped(handle.clone())));
    let (cancelled, ()) = tokio::join!(send(&router, pay("/pay", "7f3a", "")), async {
        sleep(MS).await;
        handle.shutdown(MS).await;
    });
    assert_eq!(cancelled.refused(), (503, None));
    let router = hour.layer(respond(IdempotencyLayer::unscoped(next)));
    assert_eq!(send(&router, pay("/pay", "7f3a", "")).await.refused(), (409, None));
    assert_eq!(runs.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn statuses_are_the_programs_own_where_it_wants_so_and_documents_say_the_same() {
    let statuses = Statuses::new()
        .of(Reason::Mismatch, StatusCode::IM_A_TEAPOT)
        .of(Reason::Mismatch, StatusCode::BAD_REQUEST)
        .of(Reason::InFlight, StatusCode::TOO_EARLY);
    let config = IdempotencyConfig::new().wait(Duration::ZERO);
    let layer = RespondLayer::new(IdempotencyLayer::unscoped(handle_of(config)), statuses);
    let router = till(&Runs::default(), 100 * MS).layer(layer);
    tokio::join!(send(&router, pay("/pay", "7f3a", "5")), async {
        sleep(MS).await;
        for (key, body, refused) in
            [("7f3a", "5", (425, Some("1"))), ("7f3a", "6", (400, None)), ("", "6", (400, None))]
        {
            assert_eq!(send(&router, pay("/pay", key, body)).await.refused(), refused);
        }
    });
}
