//! What a deadline ends, and what it calls it.

use steadfast_core::{
    Deadline, DefaultClassifier, Executed, Grounds, RefusalKind, RequestContext, Verdict,
};
use steadfast_quorum::{Answers, CallConfig, CallError, QuorumCall, Threshold};
use steadfast_testkit::{BoxError, Control, Probe, Readiness, Reply};
use tokio::time::Instant;
use tower::{Service, ServiceExt};

use super::{MS, call_over, calls, live_futures, majority_of, script, set, timed};

type Limited = (Vec<Control>, QuorumCall<Probe, DefaultClassifier, At>);

/// Each request has this deadline.
#[derive(Clone, Copy)]
struct At(Deadline);

impl RequestContext<u32> for At {
    fn deadline(&self, _: &u32) -> Option<Deadline> {
        Some(self.0)
    }
}

/// A majority of three, with 20 ms for each call from now.
fn in_20_ms() -> Limited {
    let deadline = Deadline::at((Instant::now() + 20 * MS).into_std());
    let (nodes, call) = call_over(majority_of(3), CallConfig::all_at_once());
    (nodes, call.context(At(deadline)))
}

#[tokio::test(start_paused = true)]
async fn time_that_runs_out_is_incomplete_and_not_lost() {
    let (nodes, mut call) = in_20_ms();
    script(
        &nodes,
        [Reply::echo().after(MS), Reply::error().after(2 * MS), Reply::echo().after(21 * MS)],
    );
    let (outcome, took) = timed(&mut call).await;
    let Err(CallError::Incomplete { answers, grounds }) = outcome else { panic!("{outcome:?}") };
    assert_eq!((took, answers.elapsed()), (20 * MS, 20 * MS));
    assert_eq!((answers.yes(), answers.no(), answers.out()), (set([0]), set([1]), set([2])));
    assert_eq!(grounds.kind, RefusalKind::DeadlineExceeded);
    assert_eq!((grounds.executed, Verdict::from(grounds)), (Executed::Maybe, Verdict::Ignored));
    assert_eq!(live_futures(&nodes), 0);
}

#[tokio::test(start_paused = true)]
async fn what_answers_in_time_wins_and_what_is_lost_in_time_is_lost() {
    let (nodes, mut call) = in_20_ms();
    script(
        &nodes,
        [Reply::echo().after(MS), Reply::echo().after(19 * MS), Reply::echo().after(21 * MS)],
    );
    assert_eq!(timed(&mut call).await.1, 19 * MS);
    let (nodes, mut call) = in_20_ms();
    script(&nodes, [Reply::error(), Reply::error().after(19 * MS), Reply::echo().after(21 * MS)]);
    let (outcome, took) = timed(&mut call).await;
    assert!(matches!(outcome, Err(CallError::Lost { .. })) && took == 19 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_deadline_has_passed_calls_nobody() {
    let (nodes, mut call) = in_20_ms();
    tokio::time::advance(20 * MS).await;
    let (outcome, took) = timed(&mut call).await;
    let Err(CallError::Incomplete { answers, grounds }) = outcome else { panic!("{outcome:?}") };
    assert!(took.is_zero() && grounds.executed == Executed::No);
    assert_eq!(grounds.kind, RefusalKind::DeadlineExceeded);
    assert_eq!((calls(&nodes), answers.uncalled()), (vec![0; 3], set([0, 1, 2])));
}

/// A limit round a node's service that gives up at the caller's deadline says so by its grounds.
#[tokio::test(start_paused = true)]
async fn nodes_that_gave_up_at_the_callers_deadline_are_not_to_blame_for_the_call() {
    #[derive(Clone, Copy, Debug, thiserror::Error)]
    #[error("cut")]
    struct Cut(#[source] Grounds);
    let node = |number: usize| {
        let cut = Cut(Grounds::maybe_executed(RefusalKind::DeadlineExceeded));
        tower::service_fn(move |failed: usize| async move {
            if number < failed { Err(BoxError::from("down")) } else { Err(cut.into()) }
        })
    };
    for (failed, kind) in [
        (0, RefusalKind::DeadlineExceeded),
        // One that is down would not have lost it.
        (1, RefusalKind::DeadlineExceeded),
        (2, RefusalKind::Unavailable),
    ] {
        let nodes = (0..3).map(|number| (number, node(number)));
        let mut call = QuorumCall::new(majority_of(3), nodes, CallConfig::all_at_once()).unwrap();
        let outcome: Result<Answers<(), _>, _> = call.ready().await.unwrap().call(failed).await;
        let Err(CallError::Lost { grounds, .. }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(grounds.kind, kind, "{failed} failed");
        assert_eq!(Verdict::from(grounds) == Verdict::Ignored, failed < 2);
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_inside_the_call_is_within_the_deadline() {
    let deadline = Deadline::at((Instant::now() + 20 * MS).into_std());
    let (nodes, call) = call_over(Threshold::of(2, 3).unwrap(), CallConfig::staggered(5 * MS));
    let mut call = call.context(move |_: &u32| Some(deadline));
    script(&nodes, [Reply::echo(), Reply::echo().after(500 * MS), Reply::echo()]);
    nodes[2].always_ready(Readiness::Pending);
    let (outcome, took) = timed(&mut call).await;
    let Err(CallError::Incomplete { answers, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!((took, answers.out(), calls(&nodes)), (20 * MS, set([1, 2]), vec![1, 1, 0]));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_there_counts_though_the_deadline_has_passed_meanwhile() {
    let (nodes, mut call) = in_20_ms();
    script(
        &nodes,
        [Reply::echo().after(MS), Reply::echo().after(19 * MS), Reply::echo().after(400 * MS)],
    );
    let mut task = tokio_test::task::spawn(call.ready().await.unwrap().call(7));
    assert!(task.poll().is_pending());
    // The process stands still, and answers and the deadline are due when it goes on.
    tokio::time::advance(100 * MS).await;
    assert!(matches!(task.poll(), std::task::Poll::Ready(Ok(_))));
}

/// The clock is read once in a poll: what was read before a node blocked its thread must not decide
/// whether there is time left.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the node blocks its thread on purpose")]
async fn a_node_that_blocks_its_poll_past_the_deadline_does_not_hide_it() {
    let node = |number: u32| {
        tower::service_fn(move |(): ()| async move {
            std::thread::sleep(number * 15 * MS);
            if number == 2 {
                std::future::pending().await
            } else {
                Ok::<_, std::convert::Infallible>(number)
            }
        })
    };
    let nodes = (0..3).map(|number| (number, node(number as u32)));
    let deadline = Deadline::at((Instant::now() + 20 * MS).into_std());
    let call =
        QuorumCall::new(Threshold::of(3, 3).unwrap(), nodes, CallConfig::all_at_once()).unwrap();
    let mut call = call.context(move |(): &()| Some(deadline));
    let outcome = call.ready().await.unwrap().call(()).await;
    let Err(CallError::Incomplete { answers, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(answers.elapsed() >= 45 * MS, "{answers}");
    let after: Vec<_> = answers.all().iter().map(|answer| answer.after).collect();
    assert!(after.len() == 2 && after[0] <= after[1] && after[1] <= answers.elapsed(), "{after:?}");
}
