//! What is seen only from within: how often the timer rings, and what a ring finds.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::AtomicU32,
    task::{Context, Wake, Waker},
    thread,
};

use futures::{FutureExt, StreamExt};
use tokio::{
    runtime::{Builder, Runtime},
    time::{Sleep, sleep},
};

use super::*;
use crate::{DetectorConfig, Margin, MarginConfig, transitions::Transitions};

const MS: Duration = Duration::from_millis(1);

/// Convicted after `silence`, suspected after half of it.
fn hub(silence: Duration) -> Arc<Hub<u32>> {
    let config = MarginConfig::last_arrival(silence / 4, Margin::Constant(silence));
    Arc::new(Hub::new(DetectorConfig::new(config).check().expect("in range")))
}

fn beat(hub: &Hub<u32>, key: u32) {
    hub.heartbeat_of(&key, Heartbeat::new()).expect("there is room");
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime")
}

/// What is there without waiting; the timer is set then.
fn drain(transitions: &mut Transitions<u32>) -> usize {
    std::iter::from_fn(|| transitions.next().now_or_never()).count()
}

#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Heartbeats move the timer on before it rings. A ring would cost the runtime's thread a look, and
/// a task its waking where what is filed by then looks due.
#[tokio::test(start_paused = true)]
async fn in_an_hour_of_a_thousand_peers_that_beat_the_timer_never_rings() {
    let hub = hub(4000 * MS);
    let mut transitions = Transitions::new(Arc::clone(&hub));
    (0..1000).for_each(|key| beat(&hub, key));
    assert_eq!(drain(&mut transitions), 1000);
    let reader = tokio::spawn(async move { transitions.next().await.expect("no end").to });
    for step in 0..50 * 3600 {
        (step % 50..1000).step_by(50).for_each(|key| beat(&hub, key));
        sleep(20 * MS).await;
    }
    assert_eq!(hub.timer.rings.load(Ordering::Relaxed), 0);
    assert_eq!(reader.await.expect("no panic"), Status::Suspected);
    let rings = hub.timer.rings.load(Ordering::Relaxed);
    assert!((1..=8).contains(&rings), "{rings}: it was set to what was filed a while ago");
}

/// A timer of a runtime, whose waker does something as the runtime shuts down.
struct AtShutdown<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for AtShutdown<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// Tokio marks a runtime as shut down, and then ends its timers one by one: in between a timer is
/// there that panics when it is polled.
#[test]
fn a_ring_that_is_answered_while_the_runtime_shuts_down_wakes_the_readers_and_does_not_panic() {
    /// So many wakers are woken together: the first are before the hub's timer is ended.
    const BATCH: usize = 64;
    let (hub, woken) = (hub(3_600_000 * MS), Arc::new(Woken::default()));
    let mut transitions = Transitions::new(Arc::clone(&hub));
    beat(&hub, 1);
    let runtime = runtime();
    let of_hub = Arc::clone(&hub);
    let answered = Arc::new(AtomicU32::new(0));
    let noted = Arc::clone(&answered);
    let at_shutdown = Waker::from(Arc::new(AtShutdown(move || {
        // As a thread that moves the timer, and has it when it rings.
        of_hub.timer.with_alarm(|alarm| {
            let alarm = alarm.as_ref().expect("set");
            noted.fetch_add(u32::from(!alarm.is_orphaned()), Ordering::Relaxed);
            of_hub.timer.ring();
        });
    })));
    let mut sleeps: Vec<Pin<Box<Sleep>>> = Vec::new();
    runtime.block_on(async {
        drain(&mut transitions);
        let waker = Waker::from(Arc::clone(&woken));
        assert!(transitions.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
        sleeps.extend((0..BATCH).map(|_| Box::pin(sleep(1000 * MS))));
        for sleep in &mut sleeps {
            assert!(sleep.as_mut().poll(&mut Context::from_waker(&at_shutdown)).is_pending());
        }
    });
    drop(runtime);
    assert!(answered.load(Ordering::Relaxed) > 0, "some came while it was not ended yet");
    assert!(woken.0.load(Ordering::Relaxed) >= 1, "to set the timer in its own runtime");
}

#[test]
fn a_stream_that_is_polled_outside_of_every_runtime_leaves_the_others_awake() {
    let (hub, woken) = (hub(40 * MS), Arc::new(Woken::default()));
    let mut transitions = Transitions::new(Arc::clone(&hub));
    beat(&hub, 1);
    let runtime = runtime();
    runtime.block_on(async {
        drain(&mut transitions);
        let waker = Waker::from(Arc::clone(&woken));
        assert!(transitions.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
    });
    let other = Arc::clone(&hub);
    let outside = thread::spawn(move || drain(&mut Transitions::new(other)));
    assert!(outside.join().is_err());
    assert!(woken.0.load(Ordering::Relaxed) >= 1, "to set the timer again");
    runtime.block_on(async {
        let next = tokio::time::timeout(1000 * MS, transitions.next()).await;
        assert_eq!(next.expect("in time").expect("no end").to, Status::Suspected);
    });
}
