//! `BoxError`: the user writes nothing, and tower's own layers fit between ours.

use std::{io, time::Duration};

use steadfast::{
    Executed, Grounds, RefusalKind,
    breaker::{BreakerLayer, CircuitOpen},
    cause,
    retry::RetryLayer,
    timeout::{Elapsed, TimeoutLayer},
};
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};

use crate::support::touchy;

#[tokio::test(start_paused = true)]
async fn layers_of_tower_and_ours_stack_in_any_order() {
    let service = ServiceBuilder::new()
        .buffer(8)
        .layer(RetryLayer::default())
        .load_shed()
        .layer(BreakerLayer::new(touchy()))
        .concurrency_limit(8)
        .layer(TimeoutLayer::fixed(Duration::from_secs(1)).unwrap())
        .timeout(Duration::from_secs(5))
        .service(service_fn(|n: u32| async move {
            tokio::time::sleep(Duration::from_secs(u64::from(n))).await;
            Ok::<_, BoxError>(n)
        }));
    for _ in 0..2 {
        let error = service.clone().oneshot(60).await.unwrap_err();
        assert!(cause::<Elapsed>(&*error).is_some(), "{error}");
    }
    let error = service.clone().oneshot(0).await.unwrap_err();
    assert!(cause::<CircuitOpen>(&*error).is_some(), "{error}");
    let grounds = cause::<Grounds>(&*error).unwrap();
    assert_eq!((grounds.kind, grounds.executed), (RefusalKind::Unavailable, Executed::No));
}

#[tokio::test(start_paused = true)]
async fn the_source_chain_is_never_cut() {
    let service = ServiceBuilder::new()
        .layer(RetryLayer::default())
        .layer(BreakerLayer::default())
        .layer(TimeoutLayer::fixed(Duration::from_secs(1)).unwrap())
        .service(service_fn(|(): ()| async {
            Err::<(), BoxError>(io::Error::from(io::ErrorKind::BrokenPipe).into())
        }));
    let error = service.oneshot(()).await.unwrap_err();
    assert_eq!(cause::<io::Error>(&*error).unwrap().kind(), io::ErrorKind::BrokenPipe);
}
