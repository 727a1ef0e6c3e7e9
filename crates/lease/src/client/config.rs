//! The configuration of a client, and what is asked for with one lease.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use steadfast_core::{BootClock, ConfigError};

use crate::{AcquireTerms, FencingToken, HolderName, LeaseName, Margin, Nonce, Pace};

/// How a [`LeaseClient`](crate::LeaseClient) asks for leases, and how long it keeps them.
///
/// | | default | why |
/// |---|---|---|
/// | `ttl` | 15 s | client-go's: a holder that dies holds up its successor no longer, and a store may be away for 10 s |
/// | `margin` | 1 % and 2 ms | see [`Margin`] |
/// | `max_hold` | none | only the program knows how long its work may take |
/// | `grace` | a sixth of the TTL | as long as one call may take: time for one last word |
/// | `most_asking` | 1,024 | more calls that ask at once are a sign that something hangs |
/// | `holder` | the number of the process | better than nothing: give an address |
/// | `clock` | the system's, through suspend | time goes on at the store while this machine sleeps |
///
/// A lease is renewed at a third of its TTL, by calls of a sixth at most: see [`Pace`].
#[derive(Clone, Debug)]
#[must_use]
pub struct LeaseClientConfig {
    name: Option<Arc<str>>,
    settings: Settings,
}

/// What is left to know once it is checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) ttl: Duration,
    pub(crate) margin: Margin,
    pub(crate) max_hold: Option<Duration>,
    pub(crate) grace: Option<Duration>,
    pub(crate) most_asking: NonZeroUsize,
    pub(crate) holder: Option<HolderName>,
    pub(crate) clock: BootClock,
}

/// A third of it is the grain of tokio's timer several times over.
const SHORTEST_TTL: Duration = Duration::from_millis(10);
/// As long as stores keep a record that is not used.
const LONGEST_TTL: Duration = Duration::from_secs(7 * 86_400);

impl LeaseClientConfig {
    /// The defaults.
    pub const fn new() -> Self {
        let settings = Settings {
            ttl: Duration::from_secs(15),
            margin: Margin::new(),
            max_hold: None,
            grace: None,
            most_asking: NonZeroUsize::new(1024).expect("1,024 is not zero"),
            holder: None,
            clock: BootClock::system(),
        };
        Self { name: None, settings }
    }

    /// The name in metrics and events: `default` unless it is given.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// What the others are told who holds a lease.
    pub fn holder(mut self, holder: HolderName) -> Self {
        self.settings.holder = Some(holder);
        self
    }

    /// How long a lease lasts that is not renewed: 10 ms to 7 days, and more than the margin takes.
    /// The store may grant more, and the client goes by that.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.settings.ttl = ttl;
        self
    }

    /// How much earlier than the store the client ends its leases.
    pub const fn margin(mut self, margin: Margin) -> Self {
        self.settings.margin = margin;
        self
    }

    /// For how long a lease is renewed: above zero. Then it runs out, for work that hangs must not
    /// lead for ever.
    pub const fn max_hold(mut self, most: Duration) -> Self {
        self.settings.max_hold = Some(most);
        self
    }

    /// How long before the deadline [`Lease::run`](crate::Lease::run) drops its future: less than
    /// half of the TTL.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = Some(grace);
        self
    }

    /// How many calls may ask the store for leases at once. Those that wait for a lease to become
    /// free are not among them.
    pub const fn most_asking(mut self, most: NonZeroUsize) -> Self {
        self.settings.most_asking = most;
        self
    }

    /// The clock that leases are counted on: [`BootClock::tokio`] in tests on paused time.
    pub fn clock(mut self, clock: BootClock) -> Self {
        self.settings.clock = clock;
        self
    }

    pub(crate) fn check(self) -> Result<(Arc<str>, Settings), ConfigError> {
        let Self { name, settings } = self;
        check_ttl(settings.ttl, settings.margin)?;
        check_hold(settings.max_hold)?;
        if let Some(grace) = settings.grace {
            let is_short = grace < settings.ttl / 2;
            ConfigError::require(is_short, "grace", grace, "below half of the TTL")?;
        }
        Ok((name.unwrap_or_else(|| "default".into()), settings))
    }
}

impl Default for LeaseClientConfig {
    fn default() -> Self {
        Self::new()
    }
}

fn check_ttl(ttl: Duration, margin: Margin) -> Result<(), ConfigError> {
    let is_sane = (SHORTEST_TTL..=LONGEST_TTL).contains(&ttl);
    ConfigError::require(is_sane, "ttl", ttl, "from 10 ms to 7 days")?;
    // Renewed at a third and tried for a sixth: less than half would be lost before the second try.
    let is_left = margin.validity(ttl) > ttl / 2;
    ConfigError::require(is_left, "margin", margin, "less than half of the TTL")
}

fn check_hold(most: Option<Duration>) -> Result<(), ConfigError> {
    let is_hold = most.is_none_or(|most| !most.is_zero());
    ConfigError::require(is_hold, "max_hold", most, "above zero")
}

/// What is asked for with one lease: its name, and where it differs from its client's config.
///
/// ```
/// use std::time::Duration;
///
/// use steadfast_lease::{LeaseName, LeaseRequest};
///
/// let name: LeaseName = "orders/settlement".parse()?;
/// let request = LeaseRequest::new(name).ttl(Duration::from_secs(60)).by_hand();
/// # Ok::<_, steadfast_lease::LeaseNameError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct LeaseRequest {
    pub(crate) name: LeaseName,
    ttl: Option<Duration>,
    floor: Option<FencingToken>,
    max_hold: Option<Duration>,
    is_by_hand: bool,
}

/// A request that is checked.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) name: LeaseName,
    pub(crate) terms: AcquireTerms,
    pub(crate) max_hold: Option<Duration>,
    pub(crate) is_by_hand: bool,
}

impl LeaseRequest {
    /// A lease of this name, as its client's config says.
    pub const fn new(name: LeaseName) -> Self {
        Self { name, ttl: None, floor: None, max_hold: None, is_by_hand: false }
    }

    /// How long it lasts unless it is renewed: as for the client, and more than twice the client's
    /// [`grace`](LeaseClientConfig::grace) if it has one.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// The greatest token that was ever seen of this name, such as a fence tells in its refusal:
    /// the new token is above it. It heals a store that has lost its record, and whose clock has
    /// gone back.
    pub const fn floor(mut self, seen: FencingToken) -> Self {
        self.floor = Some(seen);
        self
    }

    /// For how long the lease is renewed: above zero.
    pub const fn max_hold(mut self, most: Duration) -> Self {
        self.max_hold = Some(most);
        self
    }

    /// The client does not renew the lease: [`Lease::renew`](crate::Lease::renew) does.
    pub const fn by_hand(mut self) -> Self {
        self.is_by_hand = true;
        self
    }

    pub(crate) fn check(
        self,
        settings: &Settings,
        holder: HolderName,
        nonce: Nonce,
    ) -> Result<Wanted, ConfigError> {
        let Self { name, ttl, floor, max_hold, is_by_hand } = self;
        let ttl = ttl.unwrap_or(settings.ttl);
        let max_hold = max_hold.or(settings.max_hold);
        check_ttl(ttl, settings.margin)?;
        check_hold(max_hold)?;
        // Under a shorter one nothing could be run.
        let is_longer = settings.grace.is_none_or(|grace| grace < ttl / 2);
        ConfigError::require(is_longer, "ttl", ttl, "more than twice the client's grace")?;
        let terms = AcquireTerms { nonce, holder, ttl, floor };
        Ok(Wanted { name, terms, max_hold, is_by_hand })
    }
}

impl From<LeaseName> for LeaseRequest {
    fn from(name: LeaseName) -> Self {
        Self::new(name)
    }
}

impl From<&LeaseName> for LeaseRequest {
    fn from(name: &LeaseName) -> Self {
        Self::new(name.clone())
    }
}

/// Whether a TTL that a store has granted makes sense: garbage grants nothing.
pub(crate) fn is_sane(ttl: Duration) -> bool {
    !ttl.is_zero() && ttl <= 4 * LONGEST_TTL
}

/// How long one call may take of a lease of this TTL.
pub(crate) fn call_limit(ttl: Duration) -> Duration {
    Pace::of(ttl).call_limit(Duration::MAX)
}
