//! The fence within a process.

use std::{
    future::pending,
    panic::{AssertUnwindSafe, resume_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures::{FutureExt, StreamExt, poll, stream};
use steadfast_core::{
    Detach, DetachConfig, Executed, FencingToken, ManualWallClock, Refusal, RefusalKind,
};
use steadfast_lease::{Ahead, Fence, FenceConfig, FenceMark, Fenced, FencedReason, OlderCalls};
use tokio::{
    sync::oneshot,
    task::yield_now,
    time::{Instant, sleep, timeout},
};

const MS: Duration = Duration::from_millis(1);

fn token(number: u64) -> FencingToken {
    FencingToken::try_from(number).unwrap()
}

fn fence(config: FenceConfig) -> Fence {
    Fence::new(config).unwrap()
}

fn cancels() -> Fence {
    fence(FenceConfig::new().older(OlderCalls::Cancel))
}

/// What waits is woken by what it waits for, and not by its timer.
async fn in_no_time<F: Future>(future: F) -> F::Output {
    let began = Instant::now();
    let output = future.await;
    assert_eq!(Instant::now(), began);
    output
}

/// Nothing is counted any more.
fn is_empty(fence: &Fence) -> bool {
    let snapshot = fence.snapshot();
    (snapshot.running, snapshot.older) == (0, 0)
}

#[tokio::test(start_paused = true)]
async fn a_stale_call_is_not_executed_and_learns_the_highest_token() {
    let fence = fence(FenceConfig::new());
    drop(fence.enter(token(34)).await.unwrap());
    let runs = async { panic!("it was let in") };
    let refused = fence.run::<_, _, (), Fenced>(token(33), runs).await.unwrap_err();
    assert_eq!(refused.reason, FencedReason::Stale { presented: token(33), highest: token(34) });
    assert_eq!(refused.highest(), Some(token(34)));
    assert_eq!((refused.kind(), refused.executed()), (RefusalKind::Stale, Executed::No));
    assert_eq!(refused.retry_after(), None, "final");
    assert!(is_empty(&fence));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_its_fence_to_logs_and_not_in_its_detail() {
    let fence = fence(FenceConfig::new().named("vault"));
    drop(fence.enter(token(34)).await.unwrap());
    let refused = fence.enter(token(33)).await.unwrap_err();
    let said = "fenced: token 33 is stale, the highest is 34";
    assert_eq!(refused.to_string(), format!("fence \"vault\": {said}"));
    assert_eq!(refused.detail(), said);
}

#[tokio::test(start_paused = true)]
async fn equal_tokens_run_side_by_side() {
    let fence = fence(FenceConfig::new());
    let _one = fence.enter(token(1)).await.unwrap();
    let _two = fence.enter(token(1)).await.unwrap();
    assert_eq!(fence.snapshot().running, 2);
}

#[tokio::test(start_paused = true)]
async fn a_newer_call_shuts_older_ones_out_at_once_and_waits_for_those_under_way() {
    let fence = fence(FenceConfig::new());
    let old = fence.enter(token(1)).await.unwrap();
    let mut new = pin!(fence.enter(token(2)));
    assert!(poll!(&mut new).is_pending());
    let refused = fence.enter(token(1)).await.unwrap_err();
    assert_eq!(refused, Fenced::stale(token(1), token(2)));
    sleep(4_900 * MS).await;
    assert!(poll!(&mut new).is_pending());
    drop(old);
    assert_eq!(in_no_time(new).await.unwrap().token(), token(2));
    assert!(is_empty(&fence));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_is_refused_when_a_newer_one_comes() {
    let fence = fence(FenceConfig::new());
    let old = fence.enter(token(1)).await.unwrap();
    let mut middle = pin!(fence.enter(token(2)));
    assert!(poll!(&mut middle).is_pending());
    let mut new = pin!(fence.enter(token(3)));
    assert!(poll!(&mut new).is_pending());
    assert_eq!(in_no_time(middle).await.unwrap_err(), Fenced::stale(token(2), token(3)));
    assert!(poll!(&mut new).is_pending(), "the oldest is still there");
    drop(old);
    in_no_time(new).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_wait_is_bounded_and_its_token_stays_the_highest() {
    let fence = fence(FenceConfig::new().patience(300 * MS).retry_after(7 * MS));
    let old = fence.enter(token(1)).await.unwrap();
    let began = Instant::now();
    let refused = fence.enter(token(2)).await.unwrap_err();
    assert_eq!(Instant::now() - began, 300 * MS);
    assert_eq!(refused, Fenced::busy(7 * MS));
    assert_eq!((refused.kind(), refused.executed()), (RefusalKind::Conflict, Executed::No));
    assert_eq!(fence.highest(), Some(token(2)));
    assert!(fence.enter(token(1)).await.is_err());
    drop(old);
    assert!(is_empty(&fence));
    fence.enter(token(2)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_gives_its_place_back_and_its_token_stays_the_highest() {
    let fence = fence(FenceConfig::new());
    let old = fence.enter(token(1)).await.unwrap();
    assert!(timeout(MS, fence.enter(token(2))).await.is_err());
    assert_eq!((fence.snapshot().running, fence.snapshot().older), (0, 1));
    assert_eq!(fence.highest(), Some(token(2)));
    drop(old);
    assert!(is_empty(&fence));
}

#[tokio::test(start_paused = true)]
async fn a_try_takes_no_time_and_shuts_older_calls_out_all_the_same() {
    let fence = fence(FenceConfig::new());
    let old = fence.try_enter(token(1)).unwrap();
    assert_eq!(fence.try_enter(token(2)).unwrap_err().reason, FencedReason::Busy);
    assert_eq!(fence.try_enter(token(1)).unwrap_err(), Fenced::stale(token(1), token(2)));
    drop(old);
    fence.try_enter(token(2)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_overtaken_call_is_dropped_before_the_newer_one_runs() {
    let (fence, at_once) = (cancels(), Arc::new(AtomicU64::new(0)));
    struct Inside(Arc<AtomicU64>);
    impl Drop for Inside {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let count = Arc::clone(&at_once);
    let old = tokio::spawn(fence.run(token(1), async move {
        count.fetch_add(1, Ordering::SeqCst);
        let _inside = Inside(count);
        pending::<Result<(), Fenced>>().await
    }));
    yield_now().await;
    let count = Arc::clone(&at_once);
    let new = fence.run(token(2), async move { Ok::<_, Fenced>(count.load(Ordering::SeqCst)) });
    assert_eq!(in_no_time(new).await, Ok(0), "none is inside beside it");
    let overtaken = old.await.unwrap().unwrap_err();
    assert_eq!(overtaken, Fenced::overtaken(token(1), token(2)));
    assert_eq!((overtaken.kind(), overtaken.executed()), (RefusalKind::Stale, Executed::Maybe));
    assert!(is_empty(&fence));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_be_cancelled_holds_the_newer_one_up_within_bounds() {
    let fence = fence(FenceConfig::new().older(OlderCalls::Cancel).patience(50 * MS));
    // It is never polled again, as a task that blocks.
    let mut stuck = Box::pin(fence.run(token(1), pending::<Result<(), Fenced>>()));
    assert!(poll!(&mut stuck).is_pending());
    assert_eq!(fence.enter(token(2)).await.unwrap_err().reason, FencedReason::Busy);
}

#[tokio::test(start_paused = true)]
async fn a_pass_tells_its_holder_that_it_was_overtaken() {
    let fence = fence(FenceConfig::new());
    let pass = fence.enter(token(1)).await.unwrap();
    let mut overtaken = Box::pin(pass.overtaken());
    assert!(poll!(&mut overtaken).is_pending());
    let new = tokio::spawn({
        let fence = fence.clone();
        async move { fence.enter(token(2)).await.map(|pass| pass.token()) }
    });
    assert_eq!(in_no_time(overtaken).await, token(2));
    drop(pass);
    assert_eq!(in_no_time(new).await.unwrap(), Ok(token(2)));
}

#[tokio::test(start_paused = true)]
async fn newer_calls_wait_for_every_clone_of_a_pass() {
    let fence = fence(FenceConfig::new());
    let pass = fence.enter(token(1)).await.unwrap();
    let clone = pass.clone();
    drop(pass);
    assert_eq!(fence.try_enter(token(2)).unwrap_err().reason, FencedReason::Busy);
    let late = clone.clone();
    drop(clone);
    assert_eq!(fence.try_enter(token(2)).unwrap_err().reason, FencedReason::Busy);
    drop(late);
    fence.try_enter(token(2)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_panic_gives_its_place_back() {
    for fence in [fence(FenceConfig::new()), cancels()] {
        let work = async { panic!("in the call") };
        let panicked = AssertUnwindSafe(fence.run::<_, _, (), Fenced>(token(1), work));
        assert!(panicked.catch_unwind().await.is_err());
        assert!(is_empty(&fence));
        fence.try_enter(token(2)).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn numbers_keep_a_holders_own_late_write_away() {
    let fence = fence(FenceConfig::new());
    let call = |number| FenceMark::new(token(1)).numbered(number);
    let first_write = call(1);
    // It is given up on, and is still on its way while the holder reads and writes again.
    drop(fence.enter(call(2)).await.unwrap());
    drop(fence.enter(call(3)).await.unwrap());
    let late = fence.enter(first_write).await.unwrap_err();
    assert_eq!(late, Fenced::out_of_order(token(1), Some(1), 3));
    assert_eq!(late.highest(), Some(token(1)));
    let unnumbered = fence.enter(token(1)).await.unwrap_err();
    assert_eq!(unnumbered, Fenced::out_of_order(token(1), None, 3));
}

#[tokio::test(start_paused = true)]
async fn numbered_calls_of_one_holder_run_one_after_another() {
    let fence = fence(FenceConfig::new());
    let call = |number| FenceMark::new(token(1)).numbered(number);
    let first = fence.enter(call(1)).await.unwrap();
    let mut second = pin!(fence.enter(call(2)));
    assert!(poll!(&mut second).is_pending());
    let mut third = pin!(fence.enter(call(3)));
    assert!(poll!(&mut third).is_pending());
    assert_eq!(second.await.unwrap_err(), Fenced::out_of_order(token(1), Some(2), 3));
    drop(first);
    in_no_time(third).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_token_far_ahead_does_not_close_the_resource() {
    let clock = Arc::new(ManualWallClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1)));
    let fence = fence(
        FenceConfig::new().wall_clock(Arc::clone(&clock)).ahead(Ahead::OfClock(Duration::ZERO)),
    );
    for presented in [FencingToken::MAX, token(1_000_001)] {
        let refused = fence.enter(presented).await.unwrap_err();
        assert_eq!(refused, Fenced::too_far_ahead(presented, token(1_000_000)));
        assert_eq!(refused.kind(), RefusalKind::Unacceptable);
    }
    assert_eq!(fence.highest(), None);
    fence.try_enter(token(1_000_000)).unwrap();
    clock.step_back(Duration::from_millis(500));
    fence.try_enter(token(1_000_000)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_floor_is_what_the_resource_has_seen_before() {
    let fence = fence(FenceConfig::new().floor(token(10)).ahead(Ahead::OfHighest(5)));
    assert_eq!(fence.try_enter(token(9)).unwrap_err(), Fenced::stale(token(9), token(10)));
    let far = fence.try_enter(token(16)).unwrap_err();
    assert_eq!(far, Fenced::too_far_ahead(token(16), token(15)));
    fence.try_enter(token(15)).unwrap();
}

fn detach() -> Detach {
    Detach::new(DetachConfig::new()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_detached_call_goes_on_when_its_caller_has_gone_and_newer_ones_wait_for_its_end() {
    for fence in [fence(FenceConfig::new()), cancels()] {
        let (detach, (finish, finished)) = (detach(), oneshot::channel::<()>());
        let call = fence.run_detached(&detach, token(1), async move {
            finished.await.unwrap();
            Ok::<_, Fenced>(())
        });
        assert!(timeout(MS, call).await.is_err());
        assert_eq!(fence.try_enter(token(2)).unwrap_err().reason, FencedReason::Busy);
        finish.send(()).unwrap();
        fence.enter(token(2)).await.unwrap();
        detach.shutdown().await;
        assert_eq!(detach.snapshot().finished, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_detached_call_answers_its_caller_and_a_broken_one_says_so() {
    let (fence, detach) = (fence(FenceConfig::new()), detach());
    assert_eq!(fence.run_detached(&detach, token(1), async { Ok::<_, Fenced>(7) }).await, Ok(7));
    let panics = async { panic!("in the call") };
    let broken = fence.run_detached::<_, (), Fenced>(&detach, token(1), panics).await.unwrap_err();
    assert_eq!((broken.reason, broken.executed()), (FencedReason::Broken, Executed::Maybe));
    detach.shutdown().await;
    assert!(is_empty(&fence));
    let refused = fence.run_detached(&detach, token(2), async { Ok::<_, Fenced>(()) }).await;
    assert_eq!(refused.unwrap_err().reason, FencedReason::NoPlace);
    assert_eq!(fence.highest(), Some(token(1)), "it did not come to the fence");
}

/// What stands behind the fence: the newest token inside, and how many are.
#[derive(Default)]
struct Register {
    newest: AtomicU64,
    inside: AtomicU64,
    violations: AtomicU64,
}

struct Visit<'a>(&'a Register, u64);

impl Register {
    fn visit(&self, token: u64) -> Visit<'_> {
        let newest = self.newest.fetch_max(token, Ordering::SeqCst);
        let beside = self.inside.fetch_add(1, Ordering::SeqCst);
        // An older call after a newer one, or a newer one beside an older one.
        if newest > token || (newest < token && beside > 0) {
            self.violations.fetch_add(1, Ordering::SeqCst);
        }
        Visit(self, token)
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        if self.0.newest.load(Ordering::SeqCst) != self.1 {
            self.0.violations.fetch_add(1, Ordering::SeqCst);
        }
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Twenty thousand calls of holders that follow one another, of which some are given up on, some
/// panic and some come late.
async fn storm(fence: Fence) {
    const CALLS: u64 = 20_000;
    let register = Arc::new(Register::default());
    let tasks = (0..CALLS).map(|number| {
        let (fence, register) = (fence.clone(), Arc::clone(&register));
        tokio::spawn(async move {
            // Some come late, by up to three holders.
            let holder = (number / 40).saturating_sub(number % 7 % 4);
            let work = async move {
                let _visit = register.visit(holder);
                for _ in 0..number % 5 {
                    yield_now().await;
                }
                if number % 11 == 3 {
                    sleep(MS / 10).await;
                }
                // Past the hook: it may look for a backtrace, for so long that all others give up.
                if number % 17 == 5 {
                    resume_unwind(Box::new("as told"));
                }
                Ok::<_, Fenced>(())
            };
            let call = fence.run(token(holder), work);
            if number % 13 == 6 { timeout(MS / 20, call).await.is_ok() } else { call.await.is_ok() }
        })
    });
    // So many at a time that holders overlap, and few enough for most calls to be in time.
    let ends: Vec<_> = stream::iter(tasks).buffer_unordered(60).collect().await;
    let passed = ends.iter().filter(|end| matches!(end, Ok(true))).count();
    let panicked = ends.iter().filter(|end| end.is_err()).count();
    assert_eq!(register.violations.load(Ordering::SeqCst), 0, "{passed} passed");
    assert_eq!(register.inside.load(Ordering::SeqCst), 0);
    assert!(is_empty(&fence), "{:?}", fence.snapshot());
    assert!(passed > 1_000 && panicked > 10, "{passed} passed, {panicked} panicked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_calls_that_wait_never_meet_an_older_one() {
    storm(fence(FenceConfig::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_calls_that_cancel_never_meet_an_older_one() {
    storm(cancels()).await;
}
