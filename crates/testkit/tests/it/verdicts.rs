use steadfast_testkit::contract::{self, Clause};

use crate::faulty::{Fault, Faulty};

/// The clauses that catch `fault` are exactly these.
#[track_caller]
fn caught_by(fault: Fault, clauses: &[Clause]) {
    let broken = contract::broken(|probe| Faulty::new(fault, probe));
    let names: Vec<Clause> = broken.iter().map(|breach| breach.clause).collect();
    assert_eq!(names, clauses, "{fault:?}: {broken:#?}");
}

macro_rules! faults {
    ($($test:ident: $fault:ident => [$($clause:ident),*];)+) => {
        $(#[test]
        fn $test() {
            caught_by(Fault::$fault, &[$(Clause::$clause),*]);
        })+
    };
}

faults! {
    a_layer_without_a_fault_breaks_nothing: None => [];
    calling_a_fresh_clone_is_caught: CallsAFreshClone => [ReadiedInstanceIsCalled];
    keeping_readiness_in_a_clone_is_caught: KeepsReadinessInClone => [CloneDropsReadiness, ReadiedInstanceIsCalled];
    keeping_readiness_after_a_call_is_caught: KeepsReadinessAfterCall => [ReadinessIsForOneCall, ReadiedInstanceIsCalled];
    saying_ready_when_pending_is_caught: SaysReadyWhenPending => [PendingIsPassedOn];
    swallowing_the_readiness_waker_is_caught: SwallowsTheReadinessWaker => [ReadinessWakes];
    busy_waking_for_readiness_is_caught: BusyWakesForReadiness => [NeverBusyWakes];
    busy_waking_for_the_response_is_caught: BusyWakesForTheResponse => [NeverBusyWakes];
    losing_the_readiness_error_is_caught: LosesTheReadinessError => [ReadinessErrorIsPassedOn];
    failing_readiness_on_ones_own_is_caught: FailsReadinessAfterFailures => [ReadinessNeverFailsByItself];
    repeating_a_success_is_caught: RepeatsSuccesses => [OneCallForOneRequest];
    swallowing_the_response_waker_is_caught: SwallowsTheResponseWaker => [ResponseWakes, LatestTaskIsWoken];
    polling_a_pending_future_twice_is_caught: PollsTwice => [ResponseWakes];
    keeping_the_first_waker_is_caught: KeepsTheFirstWaker => [LatestTaskIsWoken];
    polling_what_is_done_is_caught: PollsWhatIsDone => [ResponseWakes, NeverPollsWhatIsDone];
    losing_the_error_is_caught: LosesTheError => [ErrorIsUnchanged];
    running_one_call_at_a_time_is_caught: RunsOneCallAtATime => [CallsRunSideBySide, StragglerDoesNoHarm];
    mixing_answers_up_is_caught: MixesAnswersUp => [CallsRunSideBySide];
    ending_stragglers_is_caught: EndsStragglers => [StragglerDoesNoHarm];
    leaking_a_handle_is_caught: LeaksAHandleWhenReady =>
        [DropBeforeCall, DropBeforePoll, DropWhilePending, DropWhenDone];
    leaking_futures_not_yet_polled_is_caught: LeaksUnpolledFutures => [DropBeforePoll];
    leaking_pending_futures_is_caught: LeaksPendingFutures => [DropWhilePending];
    leaking_done_futures_is_caught: LeaksDoneFutures => [DropWhenDone];
    never_returning_permits_is_caught: NeverReturnsPermits => [DropBeforePoll, DropWhilePending];
    being_poisoned_by_readiness_is_caught: PoisonedByReadiness => [PanicInReadiness];
    being_poisoned_by_a_call_is_caught: PoisonedByCall => [PanicInCall];
    being_poisoned_by_a_future_is_caught: PoisonedByFuture => [PanicInFuture];
    swallowing_panics_is_caught: SwallowsPanics => [PanicInFuture];
}

#[test]
#[should_panic(expected = "ErrorIsUnchanged (An error of the inner service comes out unchanged.)")]
fn the_suite_names_the_clause_that_is_broken() {
    contract::suite(|probe| Faulty::new(Fault::LosesTheError, probe));
}
