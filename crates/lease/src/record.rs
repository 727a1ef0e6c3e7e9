//! The store's side of a lease: what becomes of one record.

use std::time::Duration;

use crate::{FencingToken, HolderName, Nonce};

/// What is asked of a store that should grant a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcquireTerms {
    /// Proves that the grant is the caller's own: asked again with it, it is the same grant.
    pub nonce: Nonce,
    /// Shown to others that ask.
    pub holder: HolderName,
    /// How long the grant lasts unless it is renewed. The store may grant another.
    pub ttl: Duration,
    /// The greatest token that was ever seen of this name, if one was: the new token is above it.
    /// It heals a store that has lost its record.
    pub floor: Option<FencingToken>,
}

/// What a store answers who wants a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcquireReply {
    /// It is the caller's.
    Granted {
        /// Above all tokens that this name has had.
        token: FencingToken,
        /// How long it lasts, from when the store granted it.
        ttl: Duration,
    },
    /// It is held under another nonce.
    Held {
        /// How long it will be, unless it is renewed.
        left: Duration,
        /// By whom.
        holder: HolderName,
    },
}

/// What a store answers who renews a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RenewReply {
    /// It lasts for `ttl` from when the store renewed it.
    Renewed {
        /// As granted.
        ttl: Duration,
    },
    /// It is held under another nonce.
    Taken,
    /// It is not held at all.
    Gone,
}

/// A lease as others see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The greatest token that was given out, if the store remembers one.
    pub token: Option<FencingToken>,
    /// Who holds it, if it is held.
    pub held: Option<HeldView>,
}

/// The holder of a lease as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldView {
    /// The name it gave itself.
    pub holder: HolderName,
    /// How long it holds the lease unless it renews it.
    pub left: Duration,
}

impl View {
    /// Whether both show one holding of the lease, or one time without a holder: what remains of it
    /// aside.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.token == other.token && self.held.is_some() == other.held.is_some()
    }
}

/// The record of one name, and all that may become of it: a state machine without a clock.
///
/// `now` is the time of the store's clock by which it expires leases, and `clock` the microseconds
/// of its wall clock. A token is `max(last + 1, clock, floor + 1)`: where the record survives
/// tokens grow whatever the clock does, and where it is lost they grow as long as the clock does; a
/// store that passes zero for `clock` has a plain counter, which starts again with every lost
/// record.
///
/// **A taker obeys the TTL that was granted to the holder**, not its own. **An expired lease is
/// over** whether or not another has taken it: it cannot be renewed. What is kept of it is the last
/// token.
///
/// ```
/// use std::time::Duration;
///
/// use steadfast_lease::{AcquireReply, AcquireTerms, HolderName, Nonce, Slot};
///
/// let mut slot = Slot::default();
/// let terms = AcquireTerms {
///     nonce: Nonce::from_bytes([7; 16]), // random in earnest
///     holder: HolderName::new("10.0.0.7:8080")?,
///     ttl: Duration::from_secs(15),
///     floor: None,
/// };
/// let granted = slot.acquire(&terms, Duration::ZERO, 1_790_000_000_000_000)?;
/// assert!(matches!(granted, AcquireReply::Granted { token, .. } if token.get() > 1));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Slot {
    /// The last token that was given out.
    pub last: Option<FencingToken>,
    /// The grant that was given out last, unless it was released. It may have expired.
    pub owner: Option<Owner>,
}

/// To whom a lease was granted, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// What proves that it is the holder's own.
    pub nonce: Nonce,
    /// The name it gave itself.
    pub holder: HolderName,
    /// How long each renewal lasts.
    pub ttl: Duration,
    /// When it expires, by the store's clock.
    pub until: Duration,
}

/// No token is left above the last one or the floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no fencing token is left above {above}")]
#[non_exhaustive]
pub struct NoTokenLeft {
    /// The token that there is none above.
    pub above: FencingToken,
}

impl Slot {
    /// Grants the lease if it is not held, or is held under this nonce: then its token stays, and
    /// it lasts for a whole TTL from now.
    ///
    /// # Errors
    /// When no token is left. Nothing is changed then.
    pub fn acquire(
        &mut self,
        terms: &AcquireTerms,
        now: Duration,
        clock: u64,
    ) -> Result<AcquireReply, NoTokenLeft> {
        let AcquireTerms { nonce, holder, ttl, floor } = terms;
        let token = match (self.held(now), self.last) {
            (Some(owner), Some(last)) if owner.nonce == *nonce => last,
            (Some(owner), _) => {
                let left = owner.until - now;
                return Ok(AcquireReply::Held { left, holder: owner.holder.clone() });
            }
            (None, last) => next_token(last.max(*floor), clock)?,
        };
        // The same grant again, for less: the holder may count on what it was granted first.
        let before = self.held(now).map_or(Duration::ZERO, |owner| owner.until);
        let until = now.saturating_add(*ttl).max(before);
        self.last = Some(token);
        self.owner = Some(Owner { nonce: *nonce, holder: holder.clone(), ttl: *ttl, until });
        Ok(AcquireReply::Granted { token, ttl: *ttl })
    }

    /// Has the lease last for a whole TTL from now, if it is held under this nonce.
    pub fn renew(&mut self, nonce: Nonce, now: Duration) -> RenewReply {
        if self.held(now).is_none() {
            return RenewReply::Gone;
        }
        match &mut self.owner {
            Some(owner) if owner.nonce == nonce => {
                owner.until = owner.until.max(now.saturating_add(owner.ttl));
                RenewReply::Renewed { ttl: owner.ttl }
            }
            _ => RenewReply::Taken,
        }
    }

    /// Ends the lease if it is held under this nonce, and says whether it was. The last token
    /// stays.
    pub fn release(&mut self, nonce: Nonce, now: Duration) -> bool {
        let was_held = self.held(now).is_some_and(|owner| owner.nonce == nonce);
        if was_held {
            self.owner = None;
        }
        was_held
    }

    /// The lease as others see it.
    #[must_use]
    pub fn observe(&self, now: Duration) -> View {
        let held = self.held(now);
        let held =
            held.map(|owner| HeldView { holder: owner.holder.clone(), left: owner.until - now });
        View { token: self.last, held }
    }

    /// The grant that has not expired.
    #[must_use]
    pub fn held(&self, now: Duration) -> Option<&Owner> {
        self.owner.as_ref().filter(|owner| now < owner.until)
    }
}

fn next_token(last: Option<FencingToken>, clock: u64) -> Result<FencingToken, NoTokenLeft> {
    let clock = FencingToken::try_from(clock).unwrap_or(FencingToken::MAX);
    match last {
        None => Ok(clock),
        Some(last) => Ok(last.next().ok_or(NoTokenLeft { above: last })?.max(clock)),
    }
}

/// For a taker without the store's clock: how long a record has not changed, on the taker's own.
///
/// A record that a holder renews changes with every renewal. One that was watched unchanged for the
/// TTL that it records and the margin has not been renewed for a TTL of the holder's clock,
/// whatever clocks say. A full TTL is the price of a first sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vigil<V> {
    version: V,
    until: Duration,
}

impl<V: PartialEq> Vigil<V> {
    /// Begins to watch a `version` whose record says `ttl`, at `now` of the taker's clock.
    pub fn begin(version: V, ttl: Duration, margin: crate::Margin, now: Duration) -> Self {
        Self { version, until: now.saturating_add(margin.vigil(ttl)) }
    }

    /// Takes in what the record is at `now`, and says for how long to go on watching. At zero it
    /// may be taken over, by a compare-and-swap on this version.
    pub fn look(
        &mut self,
        version: V,
        ttl: Duration,
        margin: crate::Margin,
        now: Duration,
    ) -> Duration {
        if version != self.version {
            *self = Self::begin(version, ttl, margin, now);
        }
        self.until.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests;
