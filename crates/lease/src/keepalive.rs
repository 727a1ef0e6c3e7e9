//! The one task that keeps the leases of a client.
//!
//! One ordered map has one moment for each lease: its next try, or its deadline while a call is
//! out. So a lease has one call out at most, a call that hangs holds up no other lease, and the
//! task waits for one moment, the first. It ends when nothing is held and nothing is under way; the
//! next lease starts another, and the two decisions are made under one lock.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use steadfast_core::BootInstant;
use tokio::task::yield_now;

use crate::{
    Loss, RenewReply, StoreError,
    client::{
        Event,
        config::is_sane,
        desk::{News, Release},
        shared::{Running, Shared, jittered},
    },
    lease::Held,
    protocol::End,
};

type Call = Pin<Box<dyn Future<Output = Option<Renewed>> + Send>>;

/// The answer to a renewal.
struct Renewed {
    held: Arc<Held>,
    sent: BootInstant,
    reply: Result<RenewReply, StoreError>,
}

/// When each lease is looked at next.
#[derive(Default)]
struct Schedule {
    order: BTreeSet<(BootInstant, u64)>,
    at: HashMap<u64, BootInstant>,
}

impl Schedule {
    fn set(&mut self, id: u64, at: BootInstant) {
        self.remove(id);
        self.order.insert((at, id));
        self.at.insert(id, at);
    }

    fn remove(&mut self, id: u64) {
        if let Some(at) = self.at.remove(&id) {
            self.order.remove(&(at, id));
        }
    }

    fn first(&self) -> BootInstant {
        self.order.first().map_or(BootInstant::MAX, |&(at, _)| at)
    }

    /// The next one that is due, and since when.
    fn pop(&mut self, now: BootInstant) -> Option<(BootInstant, u64)> {
        let &(at, id) = self.order.first().filter(|&&(at, _)| at <= now)?;
        self.remove(id);
        Some((at, id))
    }
}

struct Keeper {
    shared: Arc<Shared>,
    schedule: Schedule,
    calls: FuturesUnordered<Call>,
    /// The leases that have a call out.
    asking: HashSet<u64>,
}

pub(crate) async fn keep(running: Running) {
    let shared = Arc::clone(&running.shared);
    let clock = shared.clock().clone();
    let mut keeper = Keeper::new(Arc::clone(&shared));
    let mut timer = pin!(clock.wait_until(BootInstant::MAX));
    let mut rings_at = BootInstant::MAX;
    while let Some(news) = shared.desk.take_news(!keeper.calls.is_empty()) {
        news.into_iter().for_each(|news| keeper.hear(news));
        let now = clock.now();
        while let Some((at, id)) = keeper.schedule.pop(now) {
            keeper.look(id, at);
        }
        // A timer that rings too soon is only a look: it is not set anew for each renewal.
        let first = keeper.schedule.first();
        if first < rings_at {
            rings_at = first;
            timer.set(clock.wait_until(first));
        }
        let done = poll_fn(|cx| {
            if shared.desk.poll_news(cx).is_ready() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(Some(done)) = keeper.calls.poll_next_unpin(cx) {
                return Poll::Ready(done);
            }
            if timer.as_mut().poll(cx).is_ready() {
                rings_at = BootInstant::MAX;
                timer.set(clock.wait_until(BootInstant::MAX));
                return Poll::Ready(None);
            }
            Poll::Pending
        })
        .await;
        if let Some(renewed) = done {
            keeper.learn(renewed);
        }
    }
    drop(keeper);
    drop(running);
}

impl Keeper {
    fn new(shared: Arc<Shared>) -> Self {
        let mut schedule = Schedule::default();
        // Those that an earlier task has left.
        for id in shared.desk.members() {
            schedule.set(id, BootInstant::ZERO);
        }
        Self { shared, schedule, calls: FuturesUnordered::new(), asking: HashSet::new() }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Joined(id) => {
                if let Some(held) = self.shared.desk.member(id) {
                    self.plan(&held, Duration::ZERO);
                }
            }
            News::Release(release) => self.give_back(release),
        }
    }

    /// The next try of a lease that has no call out, a third of the TTL after what its deadline
    /// counts from, and not `sooner` than that from now: a store that renews for less than is left
    /// moves no deadline. Its deadline if it is not renewed.
    fn plan(&mut self, held: &Held, sooner: Duration) {
        let Some(deadline) = held.deadline() else {
            return self.schedule.set(held.id, BootInstant::ZERO);
        };
        let next = held.counted_from().saturating_add(jittered(held.pace().renew_after()));
        let next = next.max(self.shared.clock().now().saturating_add(sooner));
        let at = if held.is_renewed() { next.min(deadline) } else { deadline };
        self.schedule.set(held.id, at);
    }

    /// A lease that is due since `at`.
    fn look(&mut self, id: u64, at: BootInstant) {
        let Some(held) = self.shared.desk.member(id) else { return };
        if let Some(end) = held.end() {
            return self.finish(&held, end);
        }
        let Some(deadline) = held.deadline() else { return };
        let now = self.shared.clock().now();
        if now >= held.renew_until {
            held.let_run_out();
        }
        // Whatever becomes of the call, the deadline is kept.
        self.schedule.set(id, deadline);
        if held.is_renewed() && self.asking.insert(id) {
            if at > BootInstant::ZERO {
                self.shared.telemetry.late(now.saturating_duration_since(at));
            }
            self.calls.push(Box::pin(renew(Arc::clone(&self.shared), held)));
        }
    }

    fn learn(&mut self, renewed: Renewed) {
        let Renewed { held, sent, reply } = renewed;
        self.asking.remove(&held.id);
        let refused = match reply {
            Ok(RenewReply::Renewed { ttl }) if is_sane(ttl) => {
                if held.renewed(ttl, sent) {
                    self.shared.telemetry.tell(Event::Renewed);
                }
                None
            }
            Ok(RenewReply::Taken) => Some(Loss::Taken),
            Ok(RenewReply::Gone) => Some(Loss::Revoked),
            // Unknown, or garbage: the deadline stays as it is.
            Ok(RenewReply::Renewed { .. }) | Err(_) => {
                self.shared.telemetry.tell(Event::RenewalFailed);
                return self.again(&held);
            }
        };
        if let Some(loss) = refused {
            held.finish(End::Lost(loss));
        }
        match held.end() {
            Some(end) => self.finish(&held, end),
            None => self.plan(&held, jittered(held.pace().retry_after())),
        }
    }

    fn again(&mut self, held: &Held) {
        let next = self.shared.clock().now().saturating_add(jittered(held.pace().retry_after()));
        match (held.end(), held.deadline()) {
            (None, Some(deadline)) => self.schedule.set(held.id, next.min(deadline)),
            (Some(end), _) => self.finish(held, end),
            (None, None) => {}
        }
    }

    /// A lease that has ended by itself: said once, and given back where the store may think that
    /// it is held.
    fn finish(&mut self, held: &Held, end: End) {
        self.schedule.remove(held.id);
        if !self.shared.desk.forget(held.id) {
            return;
        }
        if let End::Lost(loss) = end {
            self.shared.telemetry.lost(&held.name, held.token, loss);
            if matches!(loss, Loss::Unanswered | Loss::NotRenewed) {
                let (name, ttl) = (held.name.clone(), held.ttl());
                let release = Release { name, nonce: held.nonce, ttl, tell: None };
                let shared = Arc::clone(&self.shared);
                self.calls.push(Box::pin(async move {
                    // First those that wait for the loss, on a thread that all of them share: a
                    // thousand calls to a store that hangs are some milliseconds.
                    yield_now().await;
                    shared.give_back(release).await;
                    None
                }));
            }
        }
    }

    fn give_back(&mut self, release: Release) {
        let shared = Arc::clone(&self.shared);
        self.calls.push(Box::pin(async move {
            shared.give_back(release).await;
            None
        }));
    }
}

/// One call, within a sixth of the TTL and what remains of the lease.
async fn renew(shared: Arc<Shared>, held: Arc<Held>) -> Option<Renewed> {
    // Before the request leaves.
    let sent = shared.clock().now();
    let limit = held.pace().call_limit(held.remaining());
    let call = shared.store.boxed_renew(&held.name, held.nonce);
    let reply = shared.within(limit, "renew", call).await;
    drop(shared);
    Some(Renewed { held, sent, reply })
}
