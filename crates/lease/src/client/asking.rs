//! One acquisition, from its first call to its grant or its undoing.

use std::{sync::Arc, time::Duration};

use rand::RngExt;
use steadfast_core::{Executed, Place, ReserveError};
use tokio::time::sleep;

use super::{
    config::{LeaseRequest, Wanted, call_limit, is_sane},
    desk::Release,
    error::AcquireError,
    shared::{Shared, jittered},
    telemetry::Event,
};
use crate::{
    AcquireReply, FencingToken, Lease, Nonce, Pace, StoreError,
    lease::{Grant, Held},
    race::race,
};

/// All calls of one acquisition have one nonce, so the store takes them for one. Dropped before the
/// grant has become a lease, it gives back what may have been granted, in the place that was
/// reserved before the first call.
pub(super) struct Asking {
    shared: Arc<Shared>,
    wanted: Wanted,
    /// Reserved while a grant is possible that no one knows of.
    place: Option<Place>,
    /// The answer to a call was lost: it may be granted at any time.
    is_in_doubt: bool,
}

/// Between two looks of one that waits: a store that answers at once is not asked in a tight loop.
pub(super) const SOON: Duration = Duration::from_millis(1);
/// Those that wait for one release come one after the other, within this time: a few round trips.
const SPREAD: Duration = Duration::from_millis(10);

impl Asking {
    pub(super) fn new(shared: &Arc<Shared>, request: LeaseRequest) -> Result<Self, AcquireError> {
        // The generator of the thread: seeded by the system, and never in step with another.
        let nonce = Nonce::generate(&mut rand::rng());
        let wanted = request.check(&shared.settings, shared.holder.clone(), nonce)?;
        Ok(Self { shared: Arc::clone(shared), wanted, place: None, is_in_doubt: false })
    }

    /// One call, and one more by the same nonce where its answer is lost, or came too late.
    pub(super) async fn twice(&mut self) -> Result<Lease, AcquireError> {
        match self.once().await {
            Err(AcquireError::Store(error)) if error.executed() == Executed::Maybe => {
                self.once().await
            }
            Err(AcquireError::TooLate { .. }) => self.once().await,
            result => result,
        }
    }

    pub(super) async fn until_granted(&mut self) -> Result<Lease, AcquireError> {
        let ttl = self.wanted.terms.ttl;
        loop {
            match self.once().await {
                Err(AcquireError::Held { left, .. }) => self.until_free(left).await,
                Err(error) if error.is_passing() => {
                    sleep(jittered(Pace::of(ttl).retry_after())).await;
                }
                result => return result,
            }
        }
    }

    async fn once(&mut self) -> Result<Lease, AcquireError> {
        let shared = Arc::clone(&self.shared);
        if shared.desk.is_shut_down() {
            return Err(AcquireError::ShutDown);
        }
        if self.place.is_none() {
            self.place = Some(shared.detach.reserve().map_err(refused)?);
        }
        // Set before the call: its future may be dropped at any point.
        let was_in_doubt = std::mem::replace(&mut self.is_in_doubt, true);
        // Before the request leaves.
        let sent = shared.clock().now();
        let Wanted { name, terms, .. } = &self.wanted;
        let call = shared.store.boxed_acquire(name, terms);
        match shared.within(call_limit(terms.ttl), "acquire", call).await {
            Ok(AcquireReply::Granted { token, ttl }) => self.granted(token, ttl, sent),
            Ok(AcquireReply::Held { left, holder }) => {
                shared.telemetry.tell(Event::Held);
                self.settle(was_in_doubt);
                Err(AcquireError::Held { left, holder })
            }
            Err(error) => {
                if error.executed() == Executed::No {
                    self.settle(was_in_doubt);
                }
                Err(error.into())
            }
        }
    }

    /// The last call was certainly not granted; an earlier one may be.
    fn settle(&mut self, was_in_doubt: bool) {
        self.is_in_doubt = was_in_doubt;
        if !was_in_doubt {
            self.place = None;
        }
    }

    fn granted(
        &mut self,
        token: FencingToken,
        ttl: Duration,
        sent: steadfast_core::BootInstant,
    ) -> Result<Lease, AcquireError> {
        let shared = &self.shared;
        if !is_sane(ttl) {
            return Err(StoreError::corrupt().executed_as(Executed::Maybe).into());
        }
        if let Some(floor) = self.wanted.terms.floor.filter(|&floor| token <= floor) {
            return Err(AcquireError::BelowFloor { token, floor });
        }
        let Wanted { name, terms, max_hold, is_by_hand } = &self.wanted;
        let grant = Grant {
            id: shared.desk.next_id(),
            name: name.clone(),
            nonce: terms.nonce,
            token,
            ttl,
            sent,
            margin: shared.settings.margin,
            grace: shared.settings.grace,
            max_hold: *max_hold,
            is_renewed: !is_by_hand,
        };
        let held = Arc::new(Held::new(grant, shared.clock().clone()));
        if !held.is_valid() {
            return Err(AcquireError::TooLate { ttl });
        }
        if !shared.join(&held) {
            return Err(AcquireError::ShutDown);
        }
        // From here on the lease gives the grant back, also when an observer of events panics.
        let lease = Lease::new(held, Arc::clone(shared));
        self.is_in_doubt = false;
        self.place = None;
        self.shared.telemetry.granted(&self.wanted.name, token);
        Ok(lease)
    }

    /// Waits until the lease is released, or should have expired, as far as can be seen. A TTL of
    /// its own at most: what a store says is left may be garbage.
    async fn until_free(&self, left: Duration) {
        let (shared, name) = (&*self.shared, &self.wanted.name);
        let freed = async {
            let mut seen = None;
            loop {
                match shared.store.boxed_observe(name, seen.as_ref()).await {
                    Ok(view) if view.held.is_none() => return,
                    Ok(view) => seen = Some(view),
                    // The time that is left will do.
                    Err(_) => std::future::pending().await,
                }
                sleep(SOON).await;
            }
        };
        let look_at = shared.clock().now().saturating_add(left.min(self.wanted.terms.ttl));
        race(freed, shared.clock().wait_until(look_at)).await;
        let pause = SOON + SPREAD.mul_f64(rand::rng().random_range(0.0..1.0));
        sleep(pause).await;
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let Some(place) = self.place.take().filter(|_| self.is_in_doubt) else { return };
        let (shared, Wanted { name, terms, .. }) = (Arc::clone(&self.shared), &self.wanted);
        let (name, nonce, ttl) = (name.clone(), terms.nonce, terms.ttl);
        place.spawn(async move {
            shared.give_back(Release { name, nonce, ttl, tell: None }).await;
        });
    }
}

fn refused(error: ReserveError) -> AcquireError {
    match error {
        ReserveError::ShutDown => AcquireError::ShutDown,
        ReserveError::NoRuntime => AcquireError::NoRuntime,
        _ => AcquireError::Full,
    }
}
