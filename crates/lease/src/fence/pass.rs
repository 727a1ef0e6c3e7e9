//! A resource, and the passes of the calls that it has let in.

use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use steadfast_core::{
    FencingToken,
    parts::{Waiter, Waiters, lock},
};
use tokio::time::timeout;

use super::{
    config::{OlderCalls, Rules},
    gate::{Gate, Standing},
    mark::FenceMark,
    marks::Marks,
    refused::Fenced,
    table::Link,
    telemetry::Telemetry,
};
use crate::sync::Mutex;

/// What fences of one configuration share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) rules: Rules,
    pub(crate) telemetry: Telemetry,
    /// Where marks outlast the process.
    pub(crate) marks: Option<Marks>,
}

/// One resource.
#[derive(Debug)]
pub(crate) struct Resource {
    // Plain data: nothing under the lock can panic half-way, nor is foreign code called but for the
    // wall clock, before anything is written.
    gate: Mutex<Gate>,
    /// Calls that wait for older ones, and calls that would be cancelled.
    waiters: Waiters,
    pub(crate) common: Arc<Common>,
    /// What its marks are stored under, and what it is found by.
    pub(super) name: Box<str>,
    pub(super) link: Link,
}

impl Resource {
    /// A resource that is fenced under `name`, with the mark that is stored for it.
    pub(crate) fn new(common: Arc<Common>, name: Box<str>, stored: Option<FenceMark>) -> Self {
        let gate = Mutex::new(Gate::new(stored.max(common.rules.floor()), stored));
        Self { gate, waiters: Waiters::new(), common, name, link: Link::default() }
    }

    /// Checks the call and counts it, in one step.
    #[inline]
    pub(crate) fn begin(
        self: &Arc<Self>,
        presented: FenceMark,
    ) -> Result<(Pass, Standing), Fenced> {
        let mut gate = lock(&self.gate);
        let highest = gate.highest();
        let entered = gate.enter(presented, || self.common.rules.most(highest));
        let standing = gate.standing(presented, self.is_durable());
        drop(gate);
        let is_new = entered.map_err(|fenced| self.common.telemetry.refused(fenced))?;
        let pass = self.pass(presented);
        if is_new {
            // Those under older marks look again.
            self.waiters.wake();
        }
        Ok((pass, standing))
    }

    /// Does so for a call that may run at once and changes nothing but the count. Otherwise it does
    /// nothing.
    #[cfg(feature = "http")]
    #[inline]
    pub(crate) fn pass_at_once(self: &Arc<Self>, token: FencingToken) -> Option<Pass> {
        let mark = FenceMark::new(token);
        let runs = lock(&self.gate).enter_at_once(mark, self.is_durable());
        if !runs {
            return None;
        }
        self.common.telemetry.passed();
        Some(self.pass(mark))
    }

    fn pass(self: &Arc<Self>, mark: FenceMark) -> Pass {
        Pass { resource: Arc::clone(self), mark }
    }

    /// Those that wait for older calls look again.
    #[cold]
    fn none_is_older(&self) {
        // A waker that panics must not do so here: this may be unwinding already.
        drop(self.waiters.take());
    }

    fn is_durable(&self) -> bool {
        self.common.marks.is_some()
    }

    pub(crate) fn highest(&self) -> Option<FenceMark> {
        lock(&self.gate).highest()
    }

    pub(crate) fn counts(&self) -> (usize, usize) {
        lock(&self.gate).counts()
    }
}

/// A call that has passed the fence of its resource, or that has been let in and waits.
///
/// While it lives, no newer call runs; dropped, it gives its place back. A clone holds another
/// place: a handler that starts work which outlives it gives a clone to that work.
pub struct Pass {
    resource: Arc<Resource>,
    mark: FenceMark,
}

impl Pass {
    /// The token that the call presented, to be fenced by once more where its effects are stored.
    #[must_use]
    pub const fn token(&self) -> FencingToken {
        self.mark.token()
    }

    /// The token and the number that the call presented.
    #[must_use]
    pub const fn mark(&self) -> FenceMark {
        self.mark
    }

    /// Waits until a newer call comes, and says under which token. That call waits for this pass to
    /// be dropped. Dropping the future ends the wait and nothing else.
    pub async fn overtaken(&self) -> FencingToken {
        let watch = self.watch();
        poll_fn(|cx| watch.poll(cx, || self.overtaken_by())).await.token()
    }

    /// Waits until the call may run; `standing` is what is known of it.
    pub(crate) async fn admitted(self, mut standing: Standing) -> Result<Self, Fenced> {
        loop {
            match standing {
                Standing::Runs => return Ok(self.passed()),
                Standing::Overtaken(highest) => {
                    return Err(self.refused(not_executed(self.mark, highest)));
                }
                Standing::Unstored => self.stored().await?,
                Standing::Waits => self.outwait().await?,
            }
            standing = self.standing();
        }
    }

    pub(crate) fn passed(self) -> Self {
        self.count();
        self
    }

    /// Counts it in metrics: it runs from now on.
    pub(crate) fn count(&self) {
        self.resource.common.telemetry.passed();
    }

    /// Waits until the mark outlasts the process. No call runs before that.
    async fn stored(&self) -> Result<(), Fenced> {
        let Resource { common, name, gate, .. } = &*self.resource;
        if let Some(marks) = &common.marks {
            marks.store(name, self.mark).await.map_err(|error| {
                common.telemetry.store_failed(&error);
                self.refused(Fenced::not_stored())
            })?;
        }
        lock(gate).stored(self.mark);
        Ok(())
    }

    /// Waits for older calls, for as long as the patience goes.
    async fn outwait(&self) -> Result<(), Fenced> {
        let settings = self.resource.common.rules.settings;
        let watch = self.watch();
        let moves = || (self.standing() != Standing::Waits).then_some(());
        let moved = timeout(settings.patience, poll_fn(|cx| watch.poll(cx, moves)));
        moved.await.map_err(|_| self.refused(Fenced::busy(settings.retry_after)))
    }

    /// What is woken when an older call ends or a newer one comes.
    pub(crate) fn watch(&self) -> Waiter {
        self.resource.waiters.join()
    }

    /// The same as [`watch`](Self::watch), only where a newer call cancels this one.
    #[inline]
    pub(crate) fn watch_if_cancelled(&self) -> Option<Waiter> {
        match self.resource.common.rules.settings.older {
            OlderCalls::Wait => None,
            OlderCalls::Cancel => Some(self.watch()),
        }
    }

    /// Ready as soon as the call is cancelled by a newer one.
    pub(crate) fn poll_cancelled(&self, watch: &Waiter, cx: &Context<'_>) -> Poll<Fenced> {
        watch
            .poll(cx, || self.overtaken_by())
            .map(|highest| self.refused(Fenced::overtaken(self.mark.token(), highest.token())))
    }

    pub(crate) fn refused(&self, fenced: Fenced) -> Fenced {
        self.resource.common.telemetry.refused(fenced)
    }

    fn overtaken_by(&self) -> Option<FenceMark> {
        self.resource.highest().filter(|&highest| highest != self.mark)
    }

    fn standing(&self) -> Standing {
        lock(&self.resource.gate).standing(self.mark, self.resource.is_durable())
    }
}

/// Why a call is refused that was overtaken before it ran.
fn not_executed(presented: FenceMark, highest: FenceMark) -> Fenced {
    match highest.sequence() {
        Some(number) if highest.token() == presented.token() => {
            Fenced::out_of_order(presented.token(), presented.sequence(), number)
        }
        _ => Fenced::stale(presented.token(), highest.token()),
    }
}

impl Clone for Pass {
    fn clone(&self) -> Self {
        lock(&self.resource.gate).join(self.mark);
        Self { resource: Arc::clone(&self.resource), mark: self.mark }
    }
}

impl Drop for Pass {
    #[inline]
    fn drop(&mut self) {
        let was_last = lock(&self.resource.gate).leave(self.mark);
        if was_last {
            self.resource.none_is_older();
        }
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass").field("mark", &self.mark).finish_non_exhaustive()
    }
}

#[cfg(all(test, steadfast_loom))]
mod loom {
    use ::loom::{model, thread};

    use super::*;
    use crate::{FenceConfig, sync::Flag};

    fn mark(token: u64) -> FenceMark {
        FenceMark::new(FencingToken::try_from(token).unwrap())
    }

    fn resource(older: OlderCalls) -> Arc<Resource> {
        let (name, rules) = FenceConfig::new().older(older).check().unwrap();
        let common = Common { rules, telemetry: Telemetry::new(name), marks: None };
        Arc::new(Resource::new(Arc::new(common), "a".into(), None))
    }

    /// An older call ends while a newer one comes and waits for it: the newer one sees that, or is
    /// woken. The newer one never runs beside the older one.
    #[test]
    fn a_newer_call_sees_the_end_of_an_older_one_or_is_woken() {
        model(|| {
            let resource = resource(OlderCalls::Wait);
            let (older, _) = resource.begin(mark(1)).unwrap();
            let thread = thread::spawn(move || drop(older));
            let (newer, standing) = resource.begin(mark(2)).unwrap();
            let woken = Flag::new();
            let waker = Arc::clone(&woken).into();
            let cx = Context::from_waker(&waker);
            let watch = newer.watch();
            let runs = || (newer.standing() == Standing::Runs).then_some(());
            let seen = standing == Standing::Runs || watch.poll(&cx, runs).is_ready();
            if seen {
                assert_eq!(resource.counts(), (1, 0));
            }
            thread.join().unwrap();
            assert!(seen || woken.is_raised());
            assert_eq!(newer.standing(), Standing::Runs);
        });
    }

    /// A newer call comes while an older one runs that it cancels: the older one sees that, or is
    /// woken.
    #[test]
    fn an_older_call_sees_a_newer_one_or_is_woken() {
        model(|| {
            let resource = resource(OlderCalls::Cancel);
            let (older, _) = resource.begin(mark(1)).unwrap();
            let other = Arc::clone(&resource);
            let thread = thread::spawn(move || drop(other.begin(mark(2)).unwrap()));
            let woken = Flag::new();
            let waker = Arc::clone(&woken).into();
            let cx = Context::from_waker(&waker);
            let watch = older.watch_if_cancelled().unwrap();
            let seen = older.poll_cancelled(&watch, &cx).is_ready();
            thread.join().unwrap();
            assert!(seen || woken.is_raised());
            assert!(older.poll_cancelled(&watch, &cx).is_ready());
        });
    }

    /// Two calls come at once: the older one is refused, or was let in first and is waited for.
    #[test]
    fn of_two_calls_at_once_the_newer_one_never_runs_beside_the_older_one() {
        model(|| {
            let resource = resource(OlderCalls::Wait);
            let other = Arc::clone(&resource);
            let thread = thread::spawn(move || other.begin(mark(1)));
            let (newer, standing) = resource.begin(mark(2)).unwrap();
            match thread.join().unwrap() {
                Ok((older, stood)) => {
                    assert_eq!((stood, newer.standing()), (Standing::Runs, Standing::Waits));
                    drop(older);
                }
                Err(fenced) => {
                    assert_eq!(fenced.highest(), Some(newer.token()));
                    assert_eq!(standing, Standing::Runs);
                }
            }
            assert_eq!((newer.standing(), resource.counts()), (Standing::Runs, (1, 0)));
        });
    }
}
