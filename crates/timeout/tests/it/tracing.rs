//! The events there are.

use steadfast_core::Deadline;
use steadfast_testkit::events;
use steadfast_timeout::TimeoutLayer;
use tower::{Layer, ServiceExt, service_fn};

use crate::{MS, never, ok};

#[test]
fn a_timeout_and_a_cut_are_one_debug_event_each_and_a_success_is_none() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let lines = events(|| {
        runtime.block_on(async {
            let limit = crate::fixed(100 * MS);
            limit.run(ok(tokio::time::sleep(MS))).await.unwrap();
            limit.run(never()).await.unwrap_err();
            let service = TimeoutLayer::new(limit)
                .context(|&deadline: &Deadline| Some(deadline))
                .layer(service_fn(|_| never()));
            let now = tokio::time::Instant::now().into_std();
            service.oneshot(Deadline::after(now, 50 * MS)).await.unwrap_err();
        });
    });
    assert_eq!(
        lines,
        [
            "DEBUG steadfast::timeout message=no answer within the limit timeout=default limit=100ms",
            "DEBUG steadfast::timeout message=cut by the caller's deadline timeout=default waited=50ms",
        ]
    );
}

#[cfg(feature = "http")]
#[test]
fn a_body_that_stalls_is_one_debug_event() {
    use std::{convert::Infallible, time::Duration};

    use http_body::Frame;
    use http_body_util::{BodyExt, StreamBody};
    use steadfast_timeout::{BodyTimeoutConfig, BodyTimeoutLayer};

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let lines = events(|| {
        runtime.block_on(async {
            let config = BodyTimeoutConfig::new().between_frames(Duration::from_secs(1));
            let service = BodyTimeoutLayer::new(config.named("downloads")).unwrap().layer(
                service_fn(|(): ()| async {
                    let frames =
                        futures::stream::pending::<Result<Frame<bytes::Bytes>, Infallible>>();
                    Ok::<_, Infallible>(http::Response::new(StreamBody::new(frames)))
                }),
            );
            let body = service.oneshot(()).await.unwrap().into_body();
            body.collect().await.unwrap_err();
        });
    });
    assert_eq!(
        lines,
        [
            "DEBUG steadfast::timeout message=no frame of the response's body within 1 s timeout=downloads"
        ]
    );
}
