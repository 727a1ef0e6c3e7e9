//! Calls made of lists of endpoints.

use std::{convert::Infallible, time::Duration};

use steadfast_quorum::{
    CallConfig, Expr, Expression, MakeError, NodeSet, Quorum, RuleError, SetupError, Threshold,
};
use tokio::time::{Instant, sleep};
use tower::{Service, ServiceExt, service_fn};

use super::{MS, set, since};

/// Makes a service for each endpoint, which is the time that takes in milliseconds; odd ones fail
/// after it.
async fn connect(
    ms: u64,
) -> Result<impl Service<u32, Response = u64, Error = Infallible> + Clone, String> {
    sleep(Duration::from_millis(ms)).await;
    let service = service_fn(move |_: u32| async move { Ok::<_, Infallible>(ms) });
    if ms % 2 == 1 { Err(format!("{ms} is odd")) } else { Ok(service) }
}

#[tokio::test(start_paused = true)]
async fn endpoints_are_made_at_once_and_are_the_nodes_in_their_order() {
    let start = Instant::now();
    let make = Quorum::new(service_fn(connect), Threshold::majority_of, CallConfig::all_at_once())
        .unwrap();
    let mut call = make.oneshot([30, 20, 10]).await.unwrap();
    assert_eq!((since(start), call.absent()), (30 * MS, NodeSet::EMPTY));
    let answers = call.ready().await.unwrap().call(7).await.unwrap();
    assert!(answers.into_replies().eq([(0, 30), (1, 20)]));
}

#[tokio::test(start_paused = true)]
async fn those_that_fail_or_try_the_patience_are_absent_and_count_as_failed() {
    let start = Instant::now();
    let make = Quorum::new(service_fn(connect), Threshold::majority_of, CallConfig::quorum_first())
        .unwrap()
        .patience(100 * MS);
    let mut call = make.clone().oneshot([2, 3, 9000, 4, 6]).await.unwrap();
    assert_eq!((since(start), call.absent()), (106 * MS, set([1, 2])));
    let answers = call.ready().await.unwrap().call(7).await.unwrap();
    assert_eq!(
        (answers.yes(), answers.no(), answers.uncalled()),
        (set([0, 3, 4]), set([1, 2]), set([]))
    );
    assert!(answers.replies().map(|(_, ms)| *ms).eq([2, 4, 6]));
}

#[tokio::test(start_paused = true)]
async fn when_no_quorum_can_be_made_every_error_is_told_as_soon_as_that_is_certain() {
    let start = Instant::now();
    let make = Quorum::new(service_fn(connect), Threshold::majority_of, CallConfig::all_at_once())
        .unwrap();
    let refused = make.oneshot([2, 3, 50, 5, 7]).await.unwrap_err();
    let errors = [(1, "3 is odd"), (3, "5 is odd"), (4, "7 is odd")]
        .map(|(node, error)| (node, error.to_owned()));
    assert_eq!((refused, since(start)), (MakeError::Lost { errors: errors.into() }, 7 * MS));
}

#[tokio::test]
async fn endpoints_that_stand_twice_or_do_not_fit_the_rule_are_refused() {
    let make = Quorum::new(service_fn(connect), Threshold::majority_of, CallConfig::all_at_once())
        .unwrap();
    let refused = make.clone().oneshot([2, 4, 2]).await.unwrap_err();
    assert_eq!(refused, MakeError::EndpointTwice { first: 0, second: 2 });
    assert_eq!(make.clone().oneshot([]).await.unwrap_err(), MakeError::Rule(RuleError::NoMembers));
    let too_many = RuleError::NodeTooLarge { node: 64, capacity: 64 };
    assert_eq!(make.oneshot(0..65).await.unwrap_err(), MakeError::Rule(too_many));
    let rule = |_| Expression::new(Expr::any([0, 7]));
    let refused = Quorum::new(service_fn(connect), rule, CallConfig::all_at_once())
        .unwrap()
        .oneshot([2, 4])
        .await
        .unwrap_err();
    assert_eq!(refused, MakeError::Setup(SetupError::Stranger { node: 1 }));
}
