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
    /// polled.
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

    /// Ready once it has rung, and then until it is set again. Pending for ever if it is not set.
    pub fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = self.project().sleep.as_pin_mut() else { return Poll::Pending };
        // For the same reason `is_elapsed` comes before `poll`. Where the budget is spent, tokio
        // wakes the task again by itself.
        if sleep.is_elapsed() { Poll::Ready(()) } else { sleep.poll(cx) }
    }
}

impl Default for Alarm {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, time::Duration};

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
