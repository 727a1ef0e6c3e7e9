//! Commit wait, on tokio's paused clock.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use proptest::prelude::*;
use steadfast_clock::{
    BoundedClock, Certainty, FixedBound, Hlc, HlcConfig, Interval, Physical, PhysicalClock,
    Timestamp, Uncertainty, Unknown,
};
use steadfast_core::{ManualWallClock, WallClock};
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);

/// What a wait may be late by: a grain, and tokio's timer.
const LATE: Duration = Duration::from_millis(2);

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + 1_000_000_000 * MS
}

/// A wall clock that runs with tokio's, and can be set.
struct TokioWall {
    began: Instant,
    start: Mutex<SystemTime>,
}

impl TokioWall {
    fn new() -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), start: Mutex::new(start()) })
    }

    fn step_back(&self, by: Duration) {
        *self.start.lock().unwrap() -= by;
    }

    fn step_forward(&self, by: Duration) {
        *self.start.lock().unwrap() += by;
    }
}

impl WallClock for TokioWall {
    fn now(&self) -> SystemTime {
        *self.start.lock().unwrap() + (Instant::now() - self.began)
    }
}

impl PhysicalClock for TokioWall {}

/// A bound that the test sets.
#[derive(Clone)]
struct Bound(Arc<Mutex<Result<Duration, Unknown>>>);

impl Bound {
    fn new(bound: Duration) -> Self {
        Self(Arc::new(Mutex::new(Ok(bound))))
    }

    fn set(&self, bound: Result<Duration, Unknown>) {
        *self.0.lock().unwrap() = bound;
    }
}

impl Uncertainty for Bound {
    fn bound(&self) -> Result<Duration, Unknown> {
        *self.0.lock().unwrap()
    }
}

fn running(bound: Duration) -> (Arc<TokioWall>, Bound, BoundedClock<Bound, Arc<TokioWall>>) {
    let (wall, bound) = (TokioWall::new(), Bound::new(bound));
    (Arc::clone(&wall), bound.clone(), BoundedClock::new(wall, bound))
}

/// How long tokio's clock ran meanwhile.
async fn took<T>(wait: impl Future<Output = T>) -> (T, Duration) {
    let since = Instant::now();
    let result = wait.await;
    (result, Instant::now() - since)
}

fn after(delay: Duration, act: impl FnOnce() + Send + 'static) {
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        act();
    });
}

#[track_caller]
fn assert_about(took: Duration, expected: Duration) {
    assert!(expected <= took && took <= expected + LATE, "{took:?} instead of {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stamp_of_the_latest_end_takes_twice_the_bound_to_pass() {
    let (_, _, clock) = running(50 * MS);
    let stamp = clock.now().unwrap().latest_stamp();
    let (result, took) = took(clock.commit_wait(stamp)).await;
    assert_eq!(result, Ok(()));
    assert_about(took, 100 * MS);
    assert!(
        clock.now().unwrap().earliest() >= SystemTime::from(stamp.physical()) + Physical::GRAIN
    );
}

#[tokio::test(start_paused = true)]
async fn time_spent_since_the_stamp_was_taken_counts() {
    let (_, _, clock) = running(50 * MS);
    let stamp = clock.now().unwrap().latest_stamp();
    tokio::time::sleep(70 * MS).await;
    let (_, took) = took(clock.commit_wait(stamp)).await;
    assert_about(took, 30 * MS);
}

#[tokio::test(start_paused = true)]
async fn what_has_passed_already_is_not_awaited() {
    let (_, _, clock) = running(50 * MS);
    let stamp = clock.now().unwrap().latest_stamp();
    tokio::time::sleep(101 * MS).await;
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(pin!(clock.commit_wait(stamp)).poll(&mut context), Poll::Ready(Ok(())));
    let past = clock.now().unwrap().earliest() - Duration::from_nanos(1);
    assert_eq!(pin!(clock.wait_past(past)).poll(&mut context), Poll::Ready(Ok(())));
    assert!(pin!(clock.wait_past(past + Duration::from_nanos(1))).poll(&mut context).is_pending());
}

#[test]
fn without_a_runtime_only_a_wait_that_must_wait_panics() {
    let wall = ManualWallClock::new(start());
    let clock = BoundedClock::new(wall, FixedBound::new(MS).unwrap());
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(pin!(clock.wait_past(start() - 2 * MS)).poll(&mut context), Poll::Ready(Ok(())));
    let waits = AssertUnwindSafe(|| pin!(clock.wait_past(start())).poll(&mut context).is_pending());
    assert!(catch_unwind(waits).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_bound_that_shrinks_ends_the_wait_early() {
    let (_, bound, clock) = running(5000 * MS);
    let stamp = clock.now().unwrap().latest_stamp();
    tokio::time::sleep(5003 * MS).await;
    after(20 * MS, move || bound.set(Ok(MS)));
    let (result, took) = took(clock.commit_wait(stamp)).await;
    assert_eq!(result, Ok(()));
    assert!(20 * MS <= took && took <= 26 * MS, "{took:?}, and not 4997 ms");
}

#[tokio::test(start_paused = true)]
async fn a_bound_that_grows_makes_it_wait_longer() {
    let (_, bound, clock) = running(50 * MS);
    let stamp = clock.now().unwrap().latest_stamp();
    after(20 * MS, move || bound.set(Ok(80 * MS)));
    assert_about(took(clock.commit_wait(stamp)).await.1, 130 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_set_back_makes_it_wait_longer() {
    let (wall, _, clock) = running(50 * MS);
    let stamp = clock.now().unwrap().latest_stamp();
    // Just before it would have ended.
    after(99 * MS, move || wall.step_back(1000 * MS));
    let (result, took) = took(clock.commit_wait(stamp)).await;
    assert_eq!(result, Ok(()));
    assert_about(took, 1100 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_set_forward_is_seen_within_milliseconds() {
    let (wall, _, clock) = running(50 * MS);
    let stamp = clock.now().unwrap().latest_stamp();
    after(20 * MS, move || wall.step_forward(1000 * MS));
    let (_, took) = took(clock.commit_wait(stamp)).await;
    assert!(20 * MS <= took && took <= 26 * MS, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_bound_is_an_error_at_the_start_and_midway() {
    let (_, bound, clock) = running(50 * MS);
    let stamp = clock.now().unwrap().latest_stamp();
    bound.set(Err(Unknown::NotMeasured));
    let (result, elapsed) = took(clock.commit_wait(stamp)).await;
    assert_eq!((result, elapsed), (Err(Unknown::NotMeasured), Duration::ZERO));
    assert_eq!(
        clock.wait_past(SystemTime::UNIX_EPOCH).await,
        Err(Unknown::NotMeasured),
        "even for what is long past"
    );

    bound.set(Ok(50 * MS));
    let later = bound.clone();
    after(20 * MS, move || later.set(Err(Unknown::Unsynchronised)));
    let (result, elapsed) = took(clock.commit_wait(stamp)).await;
    assert_eq!(result, Err(Unknown::Unsynchronised));
    assert!(elapsed <= 26 * MS, "{elapsed:?}");

    bound.set(Ok(50 * MS));
    assert_eq!(clock.commit_wait(stamp).await, Ok(()), "and may be waited for again");
}

#[tokio::test(start_paused = true)]
async fn a_wait_dropped_at_any_await_leaves_nothing_and_can_be_taken_up_again() {
    let (_, bound, clock) = running(50 * MS);
    let since = Instant::now();
    let stamp = clock.now().unwrap().latest_stamp();
    for _ in 0..30 {
        let dropped = tokio::time::timeout(3 * MS, clock.commit_wait(stamp)).await;
        assert!(dropped.is_err());
        assert_eq!(Arc::strong_count(&bound.0), 2, "the test's and the clock's");
    }
    assert_eq!(clock.commit_wait(stamp).await, Ok(()));
    assert_about(Instant::now() - since, 100 * MS);
}

#[tokio::test(start_paused = true)]
async fn while_the_wall_clock_stands_still_it_waits_and_does_not_spin() {
    let wall = Arc::new(ManualWallClock::new(start()));
    let asked = Arc::new(Mutex::new(0_u32));
    let counted = Arc::clone(&asked);
    let clock = BoundedClock::new(Arc::clone(&wall), move || {
        *counted.lock().unwrap() += 1;
        Ok(10 * MS)
    });
    let stamp = clock.now().unwrap().latest_stamp();
    let mut wait = pin!(clock.commit_wait(stamp));
    assert!(tokio::time::timeout(10_000 * MS, &mut wait).await.is_err());
    // Twice for each look, a look every 5 ms.
    assert!((2000..=5000).contains(&*asked.lock().unwrap()), "{asked:?}");
    wall.advance(19 * MS);
    assert!(tokio::time::timeout(100 * MS, &mut wait).await.is_err());
    wall.advance(2 * MS);
    let (result, took) = took(wait).await;
    assert_eq!(result, Ok(()));
    assert!(took <= 6 * MS, "{took:?}");
}

/// Two nodes at opposite ends of their bounds: the worst case that the bounds allow.
#[tokio::test(start_paused = true)]
async fn who_begins_after_a_commit_was_told_of_is_stamped_later_however_the_clocks_disagree() {
    let (fast, _, here) = running(50 * MS);
    let (slow, _, there) = running(50 * MS);
    fast.step_forward(50 * MS);
    slow.step_back(50 * MS);
    let hlc = Hlc::new(fast, HlcConfig::new()).unwrap();

    let first = hlc.update(here.now().unwrap().latest_stamp()).unwrap();
    here.commit_wait(first).await.unwrap();
    assert!(
        Timestamp::from(slow.physical()) < first,
        "the other wall clock alone would have stamped earlier"
    );
    let second = there.now().unwrap().latest_stamp();
    assert!(first < second, "{first} {second}");
}

#[tokio::test]
async fn waits_can_be_sent_to_other_threads() {
    fn sent<T: Send>(wait: T) -> T {
        wait
    }
    let wall = Arc::new(ManualWallClock::new(start()));
    let clock = BoundedClock::new(Arc::clone(&wall), FixedBound::new(MS).unwrap());
    sent(clock.wait_past(start() - 10 * MS)).await.unwrap();
    let past = Timestamp::from(Physical::from(start() - 10 * MS));
    tokio::spawn(async move { clock.commit_wait(past).await }).await.unwrap().unwrap();
}

/// What happens to a clock during a wait.
#[derive(Clone, Debug)]
enum Event {
    Back(u64),
    Forward(u64),
    Bound(u64),
}

fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let event = prop_oneof![
        (0..200_u64).prop_map(Event::Back),
        (0..200_u64).prop_map(Event::Forward),
        (0..200_u64).prop_map(Event::Bound),
    ];
    proptest::collection::vec((0..40_u64, event), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn when_it_returns_the_stamp_has_certainly_passed(
        bound in 0..200_u64,
        ahead_us in 0..300_000_u64,
        events in events(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (wall, source, clock) = running(Duration::from_millis(bound));
            let stamp = Timestamp::from(Physical::from(wall.now() + Duration::from_micros(ahead_us)));
            tokio::spawn(async move {
                for (delay, event) in events {
                    tokio::time::sleep(Duration::from_millis(delay)).await;
                    match event {
                        Event::Back(by) => wall.step_back(Duration::from_millis(by)),
                        Event::Forward(by) => wall.step_forward(Duration::from_millis(by)),
                        Event::Bound(bound) => source.set(Ok(Duration::from_millis(bound))),
                    }
                }
            });
            clock.commit_wait(stamp).await.unwrap();
            let now = clock.now().unwrap();
            prop_assert!(now.earliest() >= SystemTime::from(stamp.physical()) + Physical::GRAIN);
            prop_assert_eq!(now.compare(stamp), Certainty::After);
            prop_assert!(now.compare(Interval::from(stamp)) == Certainty::After);
            Ok(())
        })?;
    }
}
