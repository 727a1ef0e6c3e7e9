//! The deadline of a call.

use std::{future::pending, time::Duration};

use steadfast_core::Executed;
use steadfast_store::{StoreError, StoreErrorKind, within};
use tokio::time::{Instant, sleep};

const LIMIT: Duration = Duration::from_secs(2);

#[tokio::test(start_paused = true)]
async fn a_call_that_never_answers_has_timed_out_and_may_have_been_executed() {
    let began = Instant::now();
    let error = within(LIMIT, pending::<Result<(), StoreError>>()).await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::TimedOut, Executed::Maybe));
    assert_eq!(Instant::now() - began, LIMIT);
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_is_the_calls_own() {
    let call = async |answer: Result<u8, StoreError>| {
        sleep(LIMIT - Duration::from_millis(1)).await;
        answer
    };
    assert_eq!(within(LIMIT, call(Ok(7))).await.unwrap(), 7);
    let error = within(LIMIT, call(Err(StoreError::full()))).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full);
}
