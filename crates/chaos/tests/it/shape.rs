//! The convention, by types.

use std::{
    future::{Ready, ready},
    pin::Pin,
};

use steadfast_chaos::{
    Carry, Cloning, Describe, Fault, FaultFuture, FaultLayer, FaultService, Faults, FaultsSnapshot,
    Injection, Plain, Plan, Protocol, Rule, RuleSnapshot, Strike, Struck, WithCaller,
};
use steadfast_core::{Detach, DetachConfig};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

use crate::support::always;

fn shared<T: Send + Sync + 'static>(_: &T) {}

fn spawnable<T: Future + Send + 'static>(future: T) -> T {
    future
}

#[test]
fn plan_handle_layer_service() {
    let plan: Plan = Plan::new(7).named("bad day").rule(Rule::new("it", Fault::Error));
    let faults: Faults = Faults::new(plan.clone()).unwrap();
    shared(&(plan, faults.clone()));
    let snapshot: FaultsSnapshot = faults.snapshot();
    let _rule: &RuleSnapshot = &snapshot.rules[0];
    let layer: FaultLayer = FaultLayer::new(faults.clone());
    let _handle: &Faults = layer.handle();
    let _all: &FaultLayer<Plain, (), WithCaller> = &layer;
    let mut service: FaultService<u8> = layer.layer(7);
    shared(&(layer.clone(), service.clone()));
    *service.get_mut() += 1;
    assert_eq!((*service.get_ref(), service.into_inner()), (8, 8));
    let detach = Detach::new(DetachConfig::new()).unwrap();
    let detached: FaultLayer<Cloning<Plain>, (), Detach> = layer.cloning().detach(detach);
    shared(&detached);
    assert!(format!("{detached:?}").starts_with("FaultLayer"));
}

#[tokio::test]
async fn futures_have_names_and_need_no_more_than_the_service() {
    type Inner = Ready<Result<u8, BoxError>>;
    type Way<S> = Pin<Box<Struck<S, Plain, u8>>>;
    let inner = service_fn(|n: u8| -> Inner { ready(Ok(n)) });
    fn named<S: Service<u8> + Clone>(
        future: FaultFuture<S::Future, Way<S>, Plain, u8>,
        _: &S,
    ) -> impl Future<Output = Result<S::Response, S::Error>>
    where
        S::Error: From<steadfast_chaos::Injected>,
    {
        future
    }
    let mut service = FaultLayer::new(always(Fault::ReplyLost)).layer(inner);
    let future = service.ready().await.unwrap().call(7);
    assert_eq!(format!("{future:?}"), "FaultFuture { stage: \"struck\", .. }");
    drop(named(spawnable(future), &inner));
    // Neither `Send` nor `'static`.
    let local = String::from("not static");
    let borrowed = &local;
    let inner = service_fn(move |n: std::rc::Rc<u8>| async move {
        let _ = borrowed.len();
        Ok::<_, BoxError>(*n)
    });
    let service = FaultLayer::new(always(Fault::Duplicated)).cloning().layer(inner);
    assert_eq!(service.oneshot(std::rc::Rc::new(7)).await.unwrap(), 7);
}

/// A protocol, a description and a carrier of the user's own.
#[tokio::test]
async fn users_write_their_own() {
    #[derive(Clone)]
    struct Words;

    impl Protocol<&'static str, String, ()> for Words {
        type Response = String;

        fn pass(response: String) -> String {
            response
        }

        fn fail(&self, _: steadfast_chaos::Injected, strike: &Strike) -> Result<String, ()> {
            Ok(format!("fault {}", strike.number))
        }

        fn spoil(&self, response: String, injection: Injection) -> String {
            let spoilt = response.replace('e', "3");
            injection.done();
            spoilt
        }
    }

    #[derive(Clone)]
    struct ByItself;

    impl Describe<&'static str> for ByItself {
        fn tag<'a>(&self, request: &'a &'static str) -> Option<&'a str> {
            Some(request)
        }
    }

    #[derive(Clone)]
    struct Boxes;

    impl<T: Future> Carry<T> for Boxes {
        type Future = Pin<Box<T>>;

        fn carry(&self, struck: T, _: bool) -> Self::Future {
            Box::pin(struck)
        }
    }

    let plan = Plan::new(1)
        .rule(Rule::new("a", Fault::Error).only("a"))
        .rule(Rule::new("b", Fault::BitFlipped).only("bee"));
    let layer: FaultLayer<Words, ByItself, Boxes> =
        FaultLayer::new(crate::support::on(plan)).protocol(Words).describe(ByItself).carry(Boxes);
    let mut service =
        layer.layer(service_fn(|s: &'static str| async move { Ok::<_, ()>(s.into()) }));
    for (request, reply) in [("bee", "b33"), ("a", "fault 1"), ("see", "see")] {
        assert_eq!(service.ready().await.unwrap().call(request).await.unwrap(), reply);
    }
}
