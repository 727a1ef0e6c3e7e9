//! The shape every crate of the house has. Most of it is checked by the compiler.

use std::{num::NonZeroUsize, time::Duration};

use steadfast_core::{BootClock, Executed, Grounds, Refusal, RefusalKind, cause};
use steadfast_lease::{
    AcquireError, HolderName, Lease, LeaseClient, LeaseClientConfig, LeaseLost, LeaseRequest, Loss,
    Margin, Status,
};

use crate::support::{Faulty, MS, SEC, client, name};

fn shared<T: Send + Sync + 'static>(_: &T) {}

fn spawnable<T: Future + Send + 'static>(future: T) -> T {
    future
}

#[tokio::test(start_paused = true)]
async fn configuration_client_lease() {
    let config = LeaseClientConfig::new()
        .named("orders")
        .holder(HolderName::new("me").unwrap())
        .ttl(10 * SEC)
        .margin(Margin::new().drift_ppm(5_000).slack(MS))
        .max_hold(60 * SEC)
        .grace(SEC)
        .most_asking(NonZeroUsize::MIN)
        .clock(BootClock::tokio());
    let client = LeaseClient::new(config.clone(), Faulty::new()).unwrap();
    shared(&(config, client.clone()));
    assert_eq!(
        (client.name(), &*format!("{client:?}")),
        ("orders", r#"LeaseClient { name: "orders", .. }"#)
    );
    let acquire = spawnable({
        let client = client.clone();
        async move { client.acquire(&name(), None).await }
    });
    let lease: Lease = tokio::spawn(acquire).await.unwrap().unwrap();
    shared(&lease);
    let shown = format!("{lease:?}");
    assert!(shown.contains("name 0") && shown.contains("Granted"), "{shown}");
    let run = spawnable(lease.run(async { Ok::<_, LeaseLost>(1) }));
    assert_eq!(tokio::spawn(run).await.unwrap(), Ok(1));
    assert!(tokio::spawn(spawnable(lease.release())).await.unwrap().unwrap());
}

#[test]
fn a_number_that_cannot_work_is_refused_with_its_setter() {
    let config = LeaseClientConfig::new;
    let store = || steadfast_lease::MemoryStore::new(steadfast_lease::MemoryConfig::new()).unwrap();
    for (config, field) in [
        (config().ttl(9 * MS), "ttl"),
        (config().ttl(Duration::MAX), "ttl"),
        (config().margin(Margin::new().drift_ppm(500_000)), "margin"),
        (config().margin(Margin::new().slack(8 * SEC)), "margin"),
        (config().max_hold(Duration::ZERO), "max_hold"),
        (config().grace(8 * SEC), "grace"),
    ] {
        assert_eq!(LeaseClient::new(config, store()).unwrap_err().field, field);
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_have_grounds() {
    let token = 7_u64.try_into().unwrap();
    let lost = LeaseLost::new(token, Status::Lost(Loss::Taken), Executed::Maybe);
    assert_eq!(cause::<Grounds>(&lost), Some(&lost.grounds()));
    assert_eq!(
        (lost.grounds().kind, lost.grounds().executed),
        (RefusalKind::NotHolder, Executed::Maybe)
    );
    assert_eq!(lost.to_string(), "the lease with the token 7 is lost: another holds it");
    let (client, request) = (client(&Faulty::new()), LeaseRequest::new(name()));
    let _lease = client.try_acquire(request.clone()).await.unwrap();
    let held = client.try_acquire(request).await.unwrap_err();
    assert_eq!(
        (held.grounds().kind, held.grounds().executed),
        (RefusalKind::Conflict, Executed::No)
    );
    assert!(held.grounds().retry_after.is_some());
    assert_eq!(AcquireError::TimedOut.grounds().kind, RefusalKind::DeadlineExceeded);
}
