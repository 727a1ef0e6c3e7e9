//! A retry that is made, and one that cannot be, are events.

use steadfast_retry::RetryLayer;
use steadfast_testkit::events;
use tower::{Layer, ServiceExt};

use crate::support::{BROKEN, REFUSED, Script, exactly, steadily, steady};

fn logged(calls: impl Future) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    events(|| drop(runtime.block_on(calls)))
}

#[test]
fn each_decision_about_a_retry_is_an_event() {
    let refused = || {
        RetryLayer::new(steady().named("users"))
            .budget(exactly(0, 10))
            .layer(Script::new([REFUSED]))
    };
    assert_eq!(
        logged(async { refused().oneshot(1).await }),
        [
            "DEBUG steadfast::retry message=retrying retry=users attempt=1 delay=1s",
            "DEBUG steadfast::retry message=retrying retry=users attempt=2 delay=1s",
            "DEBUG steadfast::retry message=not retrying retry=users attempt=3 outcome=attempts_exhausted",
        ]
    );
    assert_eq!(
        logged(async { steadily().layer(Script::new([BROKEN])).oneshot(1).await }),
        [
            "DEBUG steadfast::retry message=not retrying retry=default attempt=1 outcome=not_repeatable"
        ]
    );
    assert!(logged(async { steadily().layer(Script::new([Ok(7)])).oneshot(1).await }).is_empty());
}

#[cfg(feature = "http")]
#[test]
fn a_body_that_cannot_be_repeated_says_why() {
    use bytes::Bytes;
    use http::Request;
    use http_body_util::{BodyExt, Full};
    use steadfast_retry::http::{HttpReplay, ReplayBody};

    let service = tower::service_fn(|request: Request<ReplayBody<Full<Bytes>>>| async {
        request.into_body().collect().await.unwrap();
        Err::<http::Response<()>, _>(std::io::Error::from(std::io::ErrorKind::BrokenPipe))
    });
    let layer = steadily().http().replay(HttpReplay::default().with_limit(1));
    let put = Request::put("/").body(Full::new(Bytes::from_static(b"hello"))).unwrap();
    assert_eq!(
        logged(async { layer.layer(service).oneshot(put).await }),
        [
            "DEBUG steadfast::retry message=not retrying retry=default attempt=1 outcome=not_repeatable \
          why=the request body is larger than the replay limit"
        ]
    );
}
