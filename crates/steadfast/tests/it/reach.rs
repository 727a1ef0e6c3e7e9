//! What a program names of core is reached through the facade alone.

use std::{io, num::NonZeroUsize, time::Duration};

use steadfast::{
    Classify, Counts, Detach, DetachConfig, DetachSnapshot, Error, Executed, FencingToken,
    FencingTokenError, Grounds, MapErr, MapErrFuture, PerKey, Place, Pushback, RefusalKind,
    ReserveError, Seal, SealFuture, SealLayer, Select, Selected, Verdict,
    breaker::{Circuit, CircuitConfig, CircuitSnapshot, OpenTime},
    causes,
    http::{
        Collect, CollectLayer, FENCING_TOKEN, IDEMPOTENCY_KEY, IdempotencyKey, IdempotencyKeyError,
        Render, Respond, SealResponse, SealResponseLayer, parse_fencing_token,
    },
    quorum::{CallConfig, NodeSet, QuorumCall, Rule, Shape, Threshold},
    retry::TooLate,
};

/// A service whose every layer of core is spelled out.
type Handler<S> = Respond<Seal<Collect<SealResponse<MapErr<S>>>>>;
type Futures<F> = (SealFuture<F>, MapErrFuture<F>);

/// A request's choice of the user's own.
#[derive(Clone)]
struct ByTenant(PerKey<String, Circuit, fn(&String) -> String>);

impl Select<String> for ByTenant {
    type Handle = Circuit;

    fn select(&self, request: &String) -> Selected<'_, Circuit> {
        self.0.select(request)
    }

    fn common(&self) -> Option<&Circuit> {
        None
    }
}

#[test]
fn the_types_of_core_are_named_without_core() {
    assert_eq!(size_of::<Handler<()>>(), size_of::<Respond<Collect<()>>>());
    assert_eq!(size_of::<Futures<()>>(), 0);
    let _ = (SealLayer::new(), SealResponseLayer::new(), CollectLayer::new(1));
    fn renders<R: Render>(_: R) {}
    renders(steadfast::http::Problem);
    let token: Result<FencingToken, FencingTokenError> = "34".parse();
    let key: Result<IdempotencyKey<'_>, IdempotencyKeyError> = IdempotencyKey::new("key");
    let mut headers = http::HeaderMap::new();
    headers.insert(FENCING_TOKEN, token.unwrap().into());
    headers.insert(IDEMPOTENCY_KEY, key.unwrap().to_header());
    assert_eq!(
        parse_fencing_token(&headers).map(|token| token.map(FencingToken::get)),
        Ok(Some(34))
    );
    let error = Error::<std::io::Error>::from(FencingToken::try_from(-1_i64).unwrap_err());
    let grounds: Vec<_> =
        causes(&error).filter_map(|error| error.downcast_ref::<Grounds>()).collect();
    assert_eq!((grounds[0].kind, grounds[0].executed), (RefusalKind::Malformed, Executed::No));
}

#[test]
fn a_circuit_of_each_tenant_is_chosen_by_a_type_of_ones_own_and_tells_its_counts() {
    let tenant: fn(&String) -> String = String::clone;
    let circuits =
        ByTenant(Circuit::per_key(Default::default(), NonZeroUsize::MIN, tenant).unwrap());
    let CircuitSnapshot { counts, .. } = circuits.select(&"one".to_owned()).snapshot();
    let none: Counts = Counts::default();
    assert_eq!(counts, none);
    assert!(circuits.common().is_none());
}

/// Node 0, and one of two others.
struct LeaderAndOne;

impl Rule for LeaderAndOne {
    fn is_quorum(&self, nodes: NodeSet) -> bool {
        nodes.contains(0) && nodes.len() >= 2
    }

    fn members(&self) -> NodeSet {
        NodeSet::first(3).unwrap()
    }

    fn shape(&self) -> Option<Shape<'_>> {
        let others = Shape::threshold(1, NodeSet::of([1, 2]).unwrap());
        Some(Shape::choose(2, [Shape::node(0), others]))
    }
}

#[test]
fn a_rule_a_verdict_and_an_open_time_of_ones_own_are_written_without_core() {
    assert_eq!(
        (LeaderAndOne.intersects(&LeaderAndOne), LeaderAndOne.resilience()),
        (Ok(()), Ok(0))
    );
    let classifier = |outcome: Result<&u16, &io::Error>| match outcome {
        Ok(503) => Verdict::Transient { executed: Executed::Maybe, pushback: Pushback::Never },
        _ => Verdict::Success,
    };
    assert!(classifier.classify(Ok(&503)).is_failure());
    let open_time = OpenTime::constant(Duration::from_secs(1)).unwrap();
    assert!(Circuit::new(CircuitConfig::new().open_time(open_time)).is_ok());
    assert_eq!(TooLate::new().grounds.kind, RefusalKind::DeadlineExceeded);
}

#[tokio::test]
async fn work_in_the_background_has_one_path_with_a_quorum_or_without() {
    let detach = Detach::new(DetachConfig::new().most(NonZeroUsize::MIN)).unwrap();
    let node = || tower::service_fn(|(): ()| async { Ok::<_, tower::BoxError>(()) });
    let rule = Threshold::majority_of(1).unwrap();
    let call = QuorumCall::new(rule, [(0, node())], CallConfig::all_at_once())
        .unwrap()
        .on_decided(detach.clone());
    drop(call);
    let place: Place = detach.reserve().unwrap();
    assert_eq!(detach.reserve().unwrap_err(), ReserveError::Full { most: 1 });
    place.spawn(async {});
    detach.shutdown().await;
    let DetachSnapshot { finished, refused, .. } = detach.snapshot();
    assert_eq!((finished, refused), (1, 1));
}

#[cfg(feature = "boot")]
#[tokio::test(start_paused = true)]
async fn the_clock_through_suspend_is_waited_for() {
    use steadfast::{BootClock, BootInstant, BootWait, ManualBootClock};

    let clock = BootClock::tokio();
    let wait: BootWait =
        clock.wait_until(clock.now().saturating_add(Duration::from_secs(8 * 3600)));
    wait.await;
    let manual = ManualBootClock::new(BootInstant::ZERO);
    assert_eq!(manual.clock().now(), BootInstant::ZERO);
}
