//! An error enum of the user's: `#[from]` for each refusal, and one line for the default
//! classifier.

use std::{error::Error as StdError, time::Duration};

use steadfast::{
    Failure, Grounds,
    breaker::{BreakerLayer, CircuitOpen},
    cause,
    retry::RetryLayer,
    timeout::{Elapsed, TimeoutLayer},
};
use tower::{ServiceBuilder, ServiceExt, service_fn};

use crate::support::touchy;

#[derive(Debug, thiserror::Error)]
enum MyError {
    #[error("the shop is closed")]
    Closed,
    #[error(transparent)]
    Open(#[from] CircuitOpen),
    #[error("too slow")]
    Slow(#[from] Elapsed),
}

impl Failure for MyError {
    fn as_error(&self) -> &(dyn StdError + 'static) {
        self
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_become_variants() {
    let service = ServiceBuilder::new()
        .layer(RetryLayer::default())
        .layer(BreakerLayer::new(touchy()))
        .layer(TimeoutLayer::fixed(Duration::from_secs(1)).unwrap())
        .service(service_fn(|n: u32| async move {
            tokio::time::sleep(Duration::from_secs(u64::from(n))).await;
            Err::<(), _>(MyError::Closed)
        }));
    assert!(matches!(service.clone().oneshot(0).await, Err(MyError::Closed)));
    assert!(matches!(service.clone().oneshot(60).await, Err(MyError::Slow(_))));
    let error = service.oneshot(0).await.unwrap_err();
    assert!(matches!(error, MyError::Open(_)));
    assert!(cause::<Grounds>(&error).is_some(), "transparent or not, the grounds are found");
}
