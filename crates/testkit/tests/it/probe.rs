use std::{io, time::Duration};

use steadfast_testkit::{Probe, ProbeError, Readiness, Reply};
use tower::{Service, ServiceExt};

#[tokio::test(start_paused = true)]
async fn replies_come_in_the_order_of_the_script_and_then_the_standing_one() {
    let mut probe = Probe::new();
    let control = probe.control();
    control.always(Reply::value(9));
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused).into();
    control.script([
        Reply::echo(),
        Reply::error().after(Duration::from_secs(3)),
        Reply::error_from(refused),
    ]);
    assert_eq!(probe.ready().await.unwrap().call(5).await.unwrap(), 5);
    let before = tokio::time::Instant::now();
    let error = probe.ready().await.unwrap().call(5).await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&ProbeError::Call(1)));
    assert_eq!(before + Duration::from_secs(3), tokio::time::Instant::now());
    assert!(probe.ready().await.unwrap().call(5).await.unwrap_err().is::<io::Error>());
    assert_eq!(probe.ready().await.unwrap().call(5).await.unwrap(), 9);
    let counts = control.counts();
    assert_eq!(
        (counts.calls, counts.completed, counts.cancelled, counts.unready_calls),
        (4, 4, 0, 0)
    );
}

#[tokio::test]
async fn readiness_is_scripted_too() {
    let mut probe = Probe::new();
    let control = probe.control();
    control.script_readiness([Readiness::Yield, Readiness::Error, Readiness::Pending]);
    let error = probe.ready().await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&ProbeError::Readiness));
    let waiting = tokio::spawn(async move { probe.ready().await.is_ok() });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    control.release_readiness();
    assert!(waiting.await.unwrap());
    assert_eq!(control.counts().live_handles, 0);
}

#[tokio::test]
async fn held_calls_are_released_one_by_one() {
    let mut probe = Probe::new();
    let control = probe.control();
    control.always(Reply::echo().held());
    let (first, second) = (tokio::spawn(probe.call(1)), tokio::spawn(probe.call(2)));
    tokio::task::yield_now().await;
    assert!(control.release(1) && !control.release(1));
    assert_eq!(second.await.unwrap().unwrap(), 2);
    assert!(!first.is_finished());
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert!(!control.release(0), "a dropped future is held no more");
    assert_eq!((control.counts().cancelled, control.counts().unready_calls), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_never_released_hangs() {
    let mut probe = Probe::new();
    probe.control().script([Reply::echo().held()]);
    let call = probe.ready().await.unwrap().call(1);
    assert!(tokio::time::timeout(Duration::from_secs(3600), call).await.is_err());
}
