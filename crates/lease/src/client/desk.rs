//! What the one keep-alive task has to do, and whether it runs.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    mem,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use steadfast_core::parts::{Waiters, lock};
use tokio::sync::oneshot;

use crate::{
    LeaseName, Loss, Nonce, StoreError,
    lease::Held,
    protocol::End,
    sync::{Mutex, MutexGuard},
};

/// Threads lay down here what the task has to do, and the task takes it. Whether it ends and
/// whether another begins is decided under the lock of what is laid down: so nothing is laid down
/// that no task takes.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// No panic leaves it half changed: nothing foreign runs under it, and wakers are woken
    /// outside.
    state: Mutex<State>,
    /// Woken when the task has ended.
    idle: Waiters,
}

#[derive(Debug, Default)]
struct State {
    /// The leases that are held. Here and not with the task: it may go with its runtime, and the
    /// next one takes over.
    members: BTreeMap<u64, Arc<Held>>,
    next_id: u64,
    /// What the task has not seen.
    news: Vec<News>,
    /// Of the task, while it waits.
    waker: Option<Waker>,
    is_running: bool,
    /// How many tasks have begun: one that has ended does not speak for the next.
    tasks: u64,
    is_shut_down: bool,
    /// The shutdown waits no longer.
    is_stopped: bool,
}

#[derive(Debug)]
pub(crate) enum News {
    /// A lease to keep.
    Joined(u64),
    /// A grant to give back.
    Release(Release),
}

impl News {
    fn take_tell(&mut self) -> Option<oneshot::Sender<Result<bool, StoreError>>> {
        match self {
            Self::Joined(_) => None,
            Self::Release(release) => release.tell.take(),
        }
    }
}

/// A grant to give back by its nonce.
#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) name: LeaseName,
    pub(crate) nonce: Nonce,
    pub(crate) ttl: Duration,
    /// Told the first answer, or the last error.
    pub(crate) tell: Option<oneshot::Sender<Result<bool, StoreError>>>,
}

impl Desk {
    pub(crate) fn held(&self) -> usize {
        lock(&self.state).members.len()
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        lock(&self.state).is_shut_down
    }

    pub(crate) fn next_id(&self) -> u64 {
        let mut state = lock(&self.state);
        state.next_id += 1;
        state.next_id
    }

    /// Takes a lease in, unless the client was shut down. Then [`rouse`](Self::rouse).
    pub(crate) fn join(&self, held: &Arc<Held>) -> bool {
        let mut state = lock(&self.state);
        if state.is_shut_down {
            return false;
        }
        state.members.insert(held.id, Arc::clone(held));
        state.news.push(News::Joined(held.id));
        true
    }

    /// Ends a lease for its holder, and has it given back. Then [`rouse`](Self::rouse). If it was
    /// lost, and the task has not said so, it does not any more: the loss.
    pub(crate) fn leave(
        &self,
        held: &Held,
        tell: Option<oneshot::Sender<Result<bool, StoreError>>>,
    ) -> Option<Loss> {
        // Before all else: no renewal that is under way counts any more.
        let before = held.finish(End::Released);
        let mut state = lock(&self.state);
        let was_member = state.members.remove(&held.id);
        // The store knows that it is lost, or is told by the task.
        let is_lost = matches!(before, Some(End::Lost(_)));
        if was_member.is_some() || !is_lost || tell.is_some() {
            let (name, ttl) = (held.name.clone(), held.ttl());
            state.news.push(News::Release(Release { name, nonce: held.nonce, ttl, tell }));
        }
        drop(state);
        match before {
            Some(End::Lost(loss)) => was_member.map(|_| loss),
            _ => None,
        }
    }

    /// A lease that has ended by itself.
    pub(crate) fn forget(&self, id: u64) -> bool {
        let forgotten = lock(&self.state).members.remove(&id);
        forgotten.is_some()
    }

    pub(crate) fn member(&self, id: u64) -> Option<Arc<Held>> {
        lock(&self.state).members.get(&id).cloned()
    }

    /// All leases, for a task that begins.
    pub(crate) fn members(&self) -> Vec<u64> {
        lock(&self.state).members.keys().copied().collect()
    }

    /// Wakes the task. Where there is none and one can be started, it counts as running from now
    /// on, and this is its number.
    pub(crate) fn rouse(&self, can_start: bool) -> Option<u64> {
        let mut state = lock(&self.state);
        if state.is_running {
            let waker = state.waker.take();
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
            return None;
        }
        if !can_start {
            Self::hang_up(state);
            return None;
        }
        state.is_running = true;
        state.tasks += 1;
        Some(state.tasks)
    }

    /// No task takes what is laid down now: those that wait for an answer are told by the end of
    /// their channels. What they gave back is left for a task to come.
    fn hang_up(mut state: MutexGuard<'_, State>) {
        let tells: Vec<_> = state.news.iter_mut().filter_map(News::take_tell).collect();
        drop(state);
        drop(tells);
    }

    /// What is new to the task. `None` ends it: nothing is held, and it has no call out. A lease
    /// that joins after that starts the next task, for both happen under one lock.
    pub(crate) fn take_news(&self, has_calls: bool) -> Option<Vec<News>> {
        let mut state = lock(&self.state);
        let is_done = state.members.is_empty() && state.news.is_empty() && !has_calls;
        if is_done || state.is_stopped {
            state.is_running = false;
            Self::hang_up(state);
            return None;
        }
        Some(mem::take(&mut state.news))
    }

    /// Whether there is something new, or the task is woken when there is.
    pub(crate) fn poll_news(&self, cx: &Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut state = lock(&self.state);
        if !state.news.is_empty() || state.is_stopped {
            return Poll::Ready(());
        }
        let before = state.waker.replace(waker);
        drop(state);
        drop(before);
        Poll::Pending
    }

    /// The task of this number is gone, in whatever way. What it leaves undone the next one does.
    pub(crate) fn ended(&self, task: u64) {
        let waker = {
            let mut state = lock(&self.state);
            if state.tasks == task {
                let waker = state.waker.take();
                // Not by its own decision: it has gone with its runtime.
                if mem::take(&mut state.is_running) {
                    Self::hang_up(state);
                }
                waker
            } else {
                None
            }
        };
        drop(waker);
        self.idle.wake();
    }

    /// Takes no more leases in, and hands out those that are held.
    pub(crate) fn shut_down(&self) -> Vec<Arc<Held>> {
        let mut state = lock(&self.state);
        state.is_shut_down = true;
        state.members.values().cloned().collect()
    }

    /// Ends the task: the shutdown has waited for long enough.
    pub(crate) fn stop(&self) {
        let mut state = lock(&self.state);
        state.is_stopped = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until no task runs.
    pub(crate) async fn idle(&self) {
        let waiter = self.idle.join();
        let is_idle = || (!lock(&self.state).is_running).then_some(());
        poll_fn(|cx| waiter.poll(cx, is_idle)).await;
    }
}

#[cfg(all(test, steadfast_loom))]
mod loom {
    use std::{pin::pin, task::Context};

    use ::loom::{model, thread};
    use steadfast_core::{BootInstant, ManualBootClock};

    use super::*;
    use crate::{Margin, lease::Grant, sync::Flag};

    fn held(id: u64) -> Arc<Held> {
        let manual = ManualBootClock::new(BootInstant::from_nanos(1_000));
        let grant = Grant {
            id,
            name: LeaseName::new("a").unwrap(),
            nonce: Nonce::from_bytes([7; 16]),
            token: 7_u64.try_into().unwrap(),
            ttl: Duration::from_secs(12),
            sent: manual.now(),
            margin: Margin::new(),
            grace: None,
            max_hold: None,
            is_renewed: true,
        };
        Arc::new(Held::new(grant, manual.clock()))
    }

    /// One turn of the task, which has no call out: what it has seen, and whether it goes on.
    fn turn(desk: &Desk, task: u64, woken: &Arc<Flag>) -> (Vec<u64>, bool) {
        let waker = Arc::clone(woken).into();
        let cx = Context::from_waker(&waker);
        let mut seen = vec![];
        loop {
            let Some(news) = desk.take_news(false) else {
                desk.ended(task);
                return (seen, false);
            };
            seen.extend(news.into_iter().map(|news| match news {
                News::Joined(id) => id,
                News::Release(_) => 0,
            }));
            if desk.poll_news(&cx).is_pending() {
                return (seen, true);
            }
        }
    }

    /// A lease joins while the task ends for want of any: the task takes it, or another is started,
    /// and there are never two.
    #[test]
    fn a_lease_that_joins_while_the_task_ends_is_taken_by_it_or_by_the_next() {
        model(|| {
            let desk = Arc::new(Desk::default());
            let first = desk.rouse(true).unwrap();
            let (other, woken) = (Arc::clone(&desk), Flag::new());
            let flag = Arc::clone(&woken);
            let thread = thread::spawn(move || turn(&other, first, &flag));
            assert!(desk.join(&held(1)));
            let started = desk.rouse(true);
            let (seen, goes_on) = thread.join().unwrap();
            match started {
                Some(second) => {
                    assert!(!goes_on && seen.is_empty());
                    // The end of the first does not speak for the second.
                    assert_eq!((desk.rouse(true), desk.members()), (None, vec![1]));
                    assert_eq!(turn(&desk, second, &Flag::new()), (vec![1], true));
                }
                None => assert!(goes_on && (seen == [1] || woken.is_raised())),
            }
        });
    }

    /// News come while the task is about to wait: it sees them, or is woken.
    #[test]
    fn news_that_come_while_the_task_begins_to_wait_are_seen_or_wake_it() {
        model(|| {
            let desk = Arc::new(Desk::default());
            let (one, two) = (held(1), held(2));
            assert!(desk.join(&one));
            let task = desk.rouse(true).unwrap();
            let (other, woken) = (Arc::clone(&desk), Flag::new());
            let flag = Arc::clone(&woken);
            let thread = thread::spawn(move || turn(&other, task, &flag));
            assert!(desk.join(&two));
            assert_eq!(desk.rouse(true), None);
            let (mut seen, goes_on) = thread.join().unwrap();
            assert!(goes_on);
            if woken.is_raised() {
                seen.extend(turn(&desk, task, &Flag::new()).0);
            }
            assert_eq!(seen, [1, 2]);
        });
    }

    /// A lease joins while the client is shut down: it is refused, or among those given back.
    #[test]
    fn a_lease_that_joins_during_a_shutdown_is_refused_or_given_back() {
        model(|| {
            let desk = Arc::new(Desk::default());
            let (other, one) = (Arc::clone(&desk), held(1));
            let joining = Arc::clone(&one);
            let thread = thread::spawn(move || other.join(&joining));
            for held in desk.shut_down() {
                desk.leave(&held, None);
            }
            let is_in = thread.join().unwrap();
            assert_eq!(desk.held(), 0);
            assert_eq!(one.end().is_some(), is_in);
        });
    }

    /// The last lease goes while the shutdown waits for the task.
    #[test]
    fn the_end_of_the_task_wakes_a_shutdown() {
        model(|| {
            let desk = Arc::new(Desk::default());
            let task = desk.rouse(true).unwrap();
            let other = Arc::clone(&desk);
            let thread = thread::spawn(move || turn(&other, task, &Flag::new()));
            let woken = Flag::new();
            let waker = Arc::clone(&woken).into();
            let mut cx = Context::from_waker(&waker);
            let mut idle = pin!(desk.idle());
            let seen = idle.as_mut().poll(&mut cx).is_ready();
            assert!(!thread.join().unwrap().1);
            assert!(seen || (woken.is_raised() && idle.poll(&mut cx).is_ready()));
        });
    }
}
