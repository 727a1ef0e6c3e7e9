//! A timer that costs nothing until it is set.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time,
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

pin_project! {
    /// One of tokio's timers inside a future, made when it is first set: a future that never waits
    /// never touches the timer wheel.
    ///
    /// It rings on time even inside a task that spends its whole cooperation budget each time it is
    /// polled, and never before its time: a future that outlives the runtime it was polled in goes
    /// on in the one that polls it next. A runtime that lives and is not driven rings no timers;
    /// those that were set in it wait until it is.
    #[derive(Debug)]
    pub struct Alarm {
        #[pin]
        sleep: Option<Sleep>,
    }
}

const SECOND: time::Duration = time::Duration::from_secs(1);

impl Alarm {
    /// Not set.
    #[must_use]
    pub const fn new() -> Self {
        Self { sleep: None }
    }

    /// Whether it was ever set.
    #[inline]
    #[must_use]
    pub const fn is_set(&self) -> bool {
        self.sleep.is_some()
    }

    /// Rings at `at`, and no more when it would have before.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its timer enabled.
    pub fn set(self: Pin<&mut Self>, at: time::Instant) {
        // tokio rounds up to a millisecond, and panics where an instant cannot hold that.
        let at = if at.checked_add(SECOND).is_some() { at } else { at - SECOND };
        let (mut sleep, at) = (self.project().sleep, Instant::from_std(at));
        match sleep.as_mut().as_pin_mut() {
            Some(sleep) if sleep.deadline() == at => return,
            Some(_) => {}
            None => sleep.set(Some(sleep_until(at))),
        }
        // `reset` registers the timer at once. The first poll of a `Sleep` would put that off when
        // the task's cooperation budget is spent, and a future that spends the whole budget at each
        // poll would never be woken by it.
        sleep.as_pin_mut().expect("it is there, or was set just above").reset(at);
    }

    /// Whether its runtime has shut down before its time: it rings no more unless it is polled in
    /// another.
    #[must_use]
    pub fn is_orphaned(&self) -> bool {
        let lost = |sleep: &Sleep| sleep.is_elapsed() && sleep.deadline() > Instant::now();
        self.sleep.as_ref().is_some_and(lost)
    }

    /// Ready once it has rung, and then until it is set again. Pending for ever if it is not set.
    ///
    /// # Panics
    /// If its runtime has shut down before its time, and it is polled in no other.
    pub fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut all = self.project().sleep;
        let Some(sleep) = all.as_mut().as_pin_mut() else { return Poll::Pending };
        // For the same reason `is_elapsed` comes before `poll`. Where the budget is spent, tokio
        // wakes the task again by itself.
        if !sleep.is_elapsed() {
            return sleep.poll(cx);
        }
        let at = sleep.deadline();
        if at <= Instant::now() {
            return Poll::Ready(());
        }
        // A runtime that shuts down ends all its timers, and those that are set in it later. The
        // next one belongs to the runtime that polls now.
        all.set(Some(sleep_until(at)));
        let mut sleep = all.as_pin_mut().expect("it was set just above");
        sleep.as_mut().reset(at);
        sleep.poll(cx)
    }
}

impl Default for Alarm {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, task::Waker, time::Duration};

    use tokio::runtime::{Builder, Runtime};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn it_rings_when_it_was_last_set_to() {
        let start = Instant::now();
        let mut alarm = pin!(Alarm::new());
        assert!(!alarm.is_set());
        alarm.as_mut().set((start + 50 * MS).into_std());
        alarm.as_mut().set((start + 20 * MS).into_std());
        poll_fn(|cx| alarm.as_mut().poll(cx)).await;
        assert_eq!(Instant::now() - start, 20 * MS);
        alarm.as_mut().set((start + 30 * MS).into_std());
        poll_fn(|cx| alarm.as_mut().poll(cx)).await;
        assert_eq!(Instant::now() - start, 30 * MS);
    }

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_time().build().unwrap()
    }

    /// An alarm that was set in a runtime that has shut down since, and polled there.
    fn outlives_its_runtime(at: Instant) -> Pin<Box<Alarm>> {
        let (runtime, mut alarm) = (runtime(), Box::pin(Alarm::new()));
        let polled = runtime.block_on(poll_fn(|cx| {
            alarm.as_mut().set(at.into_std());
            Poll::Ready(alarm.as_mut().poll(cx))
        }));
        assert!(polled.is_pending());
        alarm
    }

    #[test]
    fn it_outlives_its_runtime_and_rings_on_time_in_the_next() {
        let at = Instant::now() + 50 * MS;
        let mut alarm = outlives_its_runtime(at);
        assert!(alarm.is_orphaned());
        runtime().block_on(async {
            poll_fn(|cx| alarm.as_mut().poll(cx)).await;
            assert!(Instant::now() >= at && !alarm.is_orphaned());
            // It rings again there, set or polled first.
            let again = Instant::now() + 20 * MS;
            alarm.as_mut().set(again.into_std());
            poll_fn(|cx| alarm.as_mut().poll(cx)).await;
            assert!(Instant::now() >= again);
        });
    }

    #[test]
    fn it_can_be_set_anew_in_the_next_runtime() {
        let mut alarm = outlives_its_runtime(Instant::now() + 3600 * SECOND);
        let at = Instant::now() + 20 * MS;
        runtime().block_on(async {
            alarm.as_mut().set(at.into_std());
            poll_fn(|cx| alarm.as_mut().poll(cx)).await;
        });
        assert!(Instant::now() >= at);
    }

    #[test]
    fn it_has_rung_for_a_caller_outside_of_every_runtime_once_its_time_is_over() {
        let at = Instant::now() + 50 * MS;
        let mut alarm = outlives_its_runtime(at);
        while Instant::now() < at {
            std::thread::yield_now();
        }
        let mut cx = Context::from_waker(Waker::noop());
        assert!(alarm.as_mut().poll(&mut cx).is_ready());
    }

    #[test]
    #[should_panic = "no reactor running"]
    fn outside_of_every_runtime_it_does_not_ring_early() {
        let mut alarm = outlives_its_runtime(Instant::now() + 3600 * SECOND);
        let _ = alarm.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }

    #[test]
    #[should_panic = "being shutdown"]
    fn in_a_runtime_that_has_shut_down_it_does_not_ring_early() {
        let runtime = runtime();
        let handle = runtime.handle().clone();
        drop(runtime);
        let _inside = handle.enter();
        let mut alarm = pin!(Alarm::new());
        alarm.as_mut().set((Instant::now() + 3600 * SECOND).into_std());
        let _ = alarm.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }

    #[test]
    fn polled_in_another_runtime_it_rings_by_its_own_which_lives() {
        let own = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let at = Instant::now() + 30 * MS;
        let mut alarm = Box::pin(Alarm::new());
        own.block_on(async { alarm.as_mut().set(at.into_std()) });
        runtime().block_on(poll_fn(|cx| alarm.as_mut().poll(cx)));
        assert!(Instant::now() >= at);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_instant_there_is_is_as_good_as_never() {
        let mut at = Instant::now().into_std();
        for exponent in (0..64).rev() {
            at = at.checked_add(Duration::from_secs(1 << exponent)).unwrap_or(at);
        }
        let mut alarm = pin!(Alarm::new());
        alarm.as_mut().set(at);
        let rang = tokio::time::timeout(1000 * MS, poll_fn(|cx| alarm.as_mut().poll(cx))).await;
        assert!(rang.is_err());
    }
}
