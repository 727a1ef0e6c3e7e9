//! One, quorum, all.

use futures::StreamExt;
use steadfast_core::Deadline;
use steadfast_quorum::{CallConfig, CallError, Level, Reached, Threshold};
use steadfast_testkit::{BoxError, Reply};
use tokio::time::Instant;
use tower::ServiceExt;

use super::{MS, call_over, calls, live_futures, majority_of, script, set};

type Levels = Vec<Result<Reached<u32, BoxError>, CallError<u32, BoxError>>>;

fn seen(levels: &Levels) -> Vec<(Level, Vec<usize>, u128)> {
    let level = |reached: &Reached<u32, BoxError>| {
        let nodes = reached.answers.iter().map(|answer| answer.node).collect();
        (reached.level, nodes, reached.elapsed.as_millis())
    };
    levels.iter().filter_map(|reached| reached.as_ref().ok().map(level)).collect()
}

#[tokio::test(start_paused = true)]
async fn each_level_comes_when_it_is_reached_with_what_is_new() {
    let (nodes, mut call) = call_over(majority_of(5), CallConfig::all_at_once());
    let delays = [3, 1, 9, 7, 5];
    script(&nodes, delays.map(|ms| Reply::echo().after(ms * MS)));
    nodes[0].always(Reply::error().after(3 * MS));
    let levels: Levels = call.ready().await.unwrap().levels(7).collect().await;
    assert_eq!(
        seen(&levels),
        [(Level::One, vec![1], 1), (Level::Quorum, vec![0, 4, 3], 7), (Level::All, vec![2], 9)]
    );
    nodes[0].always(Reply::echo().after(3 * MS));
    let levels: Levels = call.ready().await.unwrap().levels(7).collect().await;
    let expected =
        [(Level::One, vec![1], 1), (Level::Quorum, vec![0, 4], 5), (Level::All, vec![3, 2], 9)];
    assert_eq!(seen(&levels), expected);
}

#[tokio::test(start_paused = true)]
async fn a_quorum_of_one_is_reached_with_the_first() {
    let (nodes, mut call) = call_over(Threshold::of(1, 2).unwrap(), CallConfig::quorum_first());
    let levels: Levels = call.ready().await.unwrap().levels(7).collect().await;
    assert_eq!(
        seen(&levels),
        [(Level::One, vec![0], 0), (Level::Quorum, vec![], 0), (Level::All, vec![], 0)]
    );
    assert_eq!(calls(&nodes), [1, 0], "all that were called have answered");
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_error_when_the_quorum_is_lost() {
    let (nodes, mut call) = call_over(majority_of(3), CallConfig::all_at_once());
    script(&nodes, [Reply::echo(), Reply::error().after(MS), Reply::error().after(2 * MS)]);
    let levels: Levels = call.ready().await.unwrap().levels(7).collect().await;
    assert_eq!(levels.len(), 2);
    let Err(CallError::Lost { answers, .. }) = &levels[1] else { panic!("{levels:?}") };
    assert_eq!((answers.no(), answers.errors().count()), (set([1, 2]), 2));
}

#[tokio::test(start_paused = true)]
async fn whoever_has_heard_enough_drops_it() {
    let (nodes, mut call) = call_over(majority_of(3), CallConfig::all_at_once());
    nodes[2].always(Reply::echo().held());
    let mut levels = call.ready().await.unwrap().levels(7);
    assert_eq!(levels.next().await.unwrap().unwrap().level, Level::One);
    assert_eq!(levels.next().await.unwrap().unwrap().level, Level::Quorum);
    assert_eq!(live_futures(&nodes), 1);
    drop(levels);
    assert_eq!(live_futures(&nodes), 0);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_it_with_an_error_before_the_quorum_and_in_silence_after_it() {
    let deadline = Deadline::at((Instant::now() + 20 * MS).into_std());
    let context = move |_: &u32| Some(deadline);
    let (nodes, call) = call_over(majority_of(3), CallConfig::all_at_once());
    let mut call = call.context(context);
    script(&nodes, [Reply::echo(), Reply::echo(), Reply::echo().held()]);
    let levels: Levels = call.ready().await.unwrap().levels(7).collect().await;
    assert_eq!(seen(&levels).last().unwrap().0, Level::Quorum);
    assert_eq!((levels.len(), live_futures(&nodes)), (2, 0));
    let (nodes, call) = call_over(majority_of(3), CallConfig::all_at_once());
    let mut call = call.context(context);
    script(&nodes, [Reply::echo().held(), Reply::echo().held(), Reply::echo().held()]);
    tokio::time::advance(20 * MS).await;
    let levels: Levels = call.ready().await.unwrap().levels(7).collect().await;
    assert!(matches!(levels[..], [Err(CallError::Incomplete { .. })]));
}

#[tokio::test(start_paused = true)]
async fn what_comes_between_the_quorum_and_the_end_can_be_taken() {
    let deadline = Deadline::at((Instant::now() + 20 * MS).into_std());
    let (nodes, call) = call_over(majority_of(5), CallConfig::all_at_once());
    let mut call = call.context(move |_: &u32| Some(deadline));
    nodes[3].always(Reply::echo().after(5 * MS));
    nodes[4].always(Reply::echo().held());
    let mut levels = call.ready().await.unwrap().levels(7);
    while levels.next().await.is_some() {}
    let last = levels.into_answers();
    assert_eq!((last.all().len(), last.all()[0].node, last.out()), (1, 3, set([4])));
    assert_eq!(live_futures(&nodes), 0);
}

#[tokio::test(start_paused = true)]
async fn after_the_quorum_no_more_are_called() {
    let (nodes, mut call) = call_over(Threshold::of(1, 3).unwrap(), CallConfig::staggered(10 * MS));
    script(&nodes, [Reply::echo().after(100 * MS), Reply::echo().after(5 * MS), Reply::echo()]);
    let levels: Levels = call.ready().await.unwrap().levels(7).collect().await;
    assert_eq!(
        seen(&levels),
        [(Level::One, vec![1], 15), (Level::Quorum, vec![], 15), (Level::All, vec![0], 100)]
    );
    assert_eq!(calls(&nodes), [1, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_later_says_how_long_it_took_until_then() {
    let (nodes, mut call) = call_over(majority_of(3), CallConfig::all_at_once());
    nodes[1].always(Reply::echo().held());
    nodes[2].always(Reply::echo().held());
    let mut levels = call.ready().await.unwrap().levels(7);
    assert_eq!(levels.next().await.unwrap().unwrap().level, Level::One);
    tokio::time::advance(30 * MS).await;
    assert_eq!(levels.into_answers().elapsed(), 30 * MS);
}
