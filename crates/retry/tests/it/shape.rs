//! The shape that every crate has: config, handle, layer, service, each type by its name.

use std::{io, num::NonZeroU32, time::Duration};

use futures::future::{Ready, ready};
use steadfast_core::{
    Backoff, ConfigError, DefaultClassifier, Error, Grounds, NoContext, Ratio, Refusal,
};
use steadfast_retry::{
    AlwaysIdempotent, Budget, BudgetConfig, BudgetExhausted, BudgetSnapshot, CloneReplay, Costs,
    ResponseFuture, Retry, RetryConfig, RetryLayer,
};
use tower::{Layer, Service};

struct Order;

impl Order {
    fn is_read(&self) -> bool {
        true
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Host(&'static str);

impl Service<u32> for Host {
    type Response = u32;
    type Error = io::Error;
    type Future = Ready<io::Result<u32>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, n: u32) -> Self::Future {
        ready(Ok(n))
    }
}

fn is_shared<T: Send + Sync + Clone + 'static>(_: &T) {}

/// Everything that a program holds has a name without closures in it.
struct Held {
    _layer: RetryLayer,
    _word: RetryLayer<DefaultClassifier, NoContext, CloneReplay<AlwaysIdempotent>>,
    service: Retry<Host, RetryLayer>,
}

type Call = ResponseFuture<Host, DefaultClassifier, NoContext, CloneReplay, u32>;

const FIGURES: BudgetConfig =
    BudgetConfig::new().floor_per_second(1).window(Duration::from_secs(10));

#[test]
fn the_lines_of_the_convention_compile_as_they_are() -> Result<(), ConfigError> {
    let (five, tenth) = (NonZeroU32::new(5).unwrap(), Ratio::percent(10));
    let _ = RetryLayer::new(RetryConfig::new().attempts(five))
        .idempotent_if(|order: &Order| order.is_read());
    #[cfg(feature = "http")]
    let _ = RetryLayer::new(RetryConfig::new().named("orders")).http();
    #[cfg(feature = "tonic")]
    let _ = RetryLayer::new(RetryConfig::new())
        .budget(Budget::new(BudgetConfig::new().ratio(tenth))?)
        .grpc();
    let _ = (tenth, Order);
    Ok(())
}

#[test]
fn config_handle_layer_and_service_have_their_names() {
    let config: RetryConfig = RetryConfig::default()
        .attempts(NonZeroU32::MIN)
        .backoff(Backoff::NONE)
        .retry_after_limit(Duration::ZERO)
        .costs(Costs::default())
        .seed(7)
        .named("orders");
    let budget: Budget = Budget::new(FIGURES).unwrap();
    let snapshot: BudgetSnapshot = budget.snapshot();
    assert_eq!(snapshot.available, 10);
    let layer: RetryLayer = RetryLayer::new(config).budget(budget.clone());
    let mut held = Held {
        service: layer.layer(Host("a")),
        _word: layer.clone().idempotent(),
        _layer: layer.clone(),
    };
    is_shared(&layer);
    is_shared(&budget);
    is_shared(&held.service);
    let call: Call = held.service.call(1);
    drop(call);
    assert_eq!(*held.service.get_ref(), Host("a"));
    *held.service.get_mut() = Host("b");
    assert_eq!(held.service.into_inner(), Host("b"));
}

#[test]
fn a_refusal_shows_its_grounds() {
    let grounds: Grounds = BudgetExhausted::new().grounds;
    assert_eq!(BudgetExhausted::default().grounds(), grounds);
    let _: Error<io::Error> = BudgetExhausted::new().into();
}
