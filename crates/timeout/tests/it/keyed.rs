//! One limit for each key.

use std::{num::NonZeroUsize, time::Duration};

use steadfast_core::{ConfigError, PerKey, Select, Selected};
use steadfast_timeout::{LimitConfig, TimeLimit, TimeoutLayer};
use tower::{BoxError, Layer, ServiceExt, service_fn};

use crate::{MS, adaptive, quantile};

#[tokio::test(start_paused = true)]
async fn each_key_of_a_bimodal_upstream_has_a_limit_of_its_own() {
    let limits =
        TimeLimit::per_key(quantile(), NonZeroUsize::new(16).unwrap(), |&latency: &Duration| {
            latency
        })
        .unwrap();
    let layer = TimeoutLayer::new(limits.clone());
    let service = layer.layer(service_fn(|latency| async move {
        tokio::time::sleep(latency).await;
        Ok::<_, BoxError>(())
    }));
    for _ in 0..30 {
        for latency in [20 * MS, 400 * MS] {
            service.clone().oneshot(latency).await.unwrap();
        }
    }
    assert!(limits.handle(&(20 * MS)).limit() < 50 * MS);
    assert!(limits.handle(&(400 * MS)).limit() > 800 * MS);
    assert_eq!(limits.entries().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn keys_are_bounded() {
    let limits =
        TimeLimit::per_key(quantile(), NonZeroUsize::new(10).unwrap(), |&key: &u32| key).unwrap();
    (0..1000).for_each(|key| limits.handle(&key).record(MS));
    assert!(limits.entries().len() <= 10);
}

#[tokio::test(start_paused = true)]
async fn a_rule_of_ones_own_chooses_by_the_size_of_the_request() {
    #[derive(Clone)]
    struct BySize([TimeLimit; 2]);

    impl Select<Vec<u8>> for BySize {
        type Handle = TimeLimit;

        fn select(&self, request: &Vec<u8>) -> Selected<'_, TimeLimit> {
            Selected::Shared(&self.0[usize::from(request.len() > 1000)])
        }

        fn common(&self) -> Option<&TimeLimit> {
            None
        }
    }

    let limits = BySize([adaptive(), adaptive()]);
    let service =
        TimeoutLayer::new(limits.clone()).layer(service_fn(|request: Vec<u8>| async move {
            tokio::time::sleep(MS * request.len() as u32).await;
            Ok::<_, BoxError>(())
        }));
    for size in [10, 1500, 20] {
        let _ = service.clone().oneshot(vec![0; size]).await;
    }
    assert_eq!(limits.0.map(|limit| limit.snapshot().samples), [2, 1]);
}

#[test]
fn a_configuration_that_cannot_work_is_refused_before_any_key_is_seen() {
    type ById = PerKey<u32, TimeLimit, fn(&u32) -> u32>;

    let limits = |config: LimitConfig| -> Result<ById, ConfigError> {
        TimeLimit::per_key(config, NonZeroUsize::new(10).unwrap(), |&key| key)
    };
    assert_eq!(limits(LimitConfig::fixed(Duration::ZERO)).unwrap_err().field, "limit");
    let limits = limits(LimitConfig::fixed(MS).named("by id")).unwrap();
    assert_eq!([1, 2].map(|key| limits.handle(&key).name().to_owned()), ["by id", "by id"]);
}
