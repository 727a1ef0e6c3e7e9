//! A request type of the program's own: attempts and deadlines by its word.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use steadfast::{
    Attempt, Deadline, RequestContext,
    retry::RetryLayer,
    timeout::{LimitConfig, TimeLimit, TimeoutLayer},
};
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};

#[derive(Clone, Copy, Debug, Default)]
struct Query {
    attempt: Attempt,
}

#[derive(Clone, Copy, Debug)]
struct QueryContext;

impl RequestContext<Query> for QueryContext {
    fn deadline(&self, _: &Query) -> Option<Deadline> {
        None
    }

    fn attempt(&self, query: &Query) -> Attempt {
        query.attempt
    }
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_timeout_takes_no_sample_of_a_retransmission() {
    for (is_marked, has_sample) in [(true, false), (false, true)] {
        let limit = TimeLimit::new(LimitConfig::rfc6298(
            Duration::from_millis(10),
            Duration::from_secs(60),
        ))
        .unwrap();
        let calls = Arc::new(AtomicU32::new(0));
        let service = service_fn(move |_: Query| {
            let is_first = calls.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                // The first attempt is never answered.
                tokio::time::sleep(Duration::from_millis(if is_first {
                    u64::MAX / 2
                } else {
                    100
                }))
                .await;
                Ok::<_, BoxError>(())
            }
        });
        let mark = move |query: &mut Query, attempt| {
            if is_marked {
                query.attempt = attempt;
            }
        };
        let stack = ServiceBuilder::new()
            .layer(RetryLayer::default().idempotent().mark_attempts(mark))
            .layer(TimeoutLayer::new(limit.clone()).context(QueryContext));
        stack.service(service).oneshot(Query::default()).await.unwrap();
        assert_eq!(limit.snapshot().estimate.is_some(), has_sample, "marked: {is_marked}");
    }
}
