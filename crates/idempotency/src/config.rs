//! The configuration, checked once.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use steadfast_core::ConfigError;

use crate::OnAbandoned;

/// How an [`Idempotency`](crate::Idempotency) claims keys, how long it keeps replies, and what
/// duplicates meet.
///
/// | | default | why |
/// |---|---|---|
/// | `lease` | 30 s | renewed at a third, so a store may be away for 20 s before a claim is in
/// doubt |
/// | `retention` | 24 h | what clients of payments expect (Stripe); a retry that is older is a new
/// request |
/// | `on_abandoned` | refuse | a second run could be a second charge |
/// | `wait` | 5 s | longer than most operations take, shorter than clients are patient |
/// | `retry_after` | 1 s | what a duplicate is told that does not wait |
/// | `most_in_flight` | 1,024 | more are a sign that something hangs |
/// | `most_waiting` | 1,024 | a duplicate that waits holds a connection |
/// | `most_reply_bytes` | 1 MiB | a longer reply is not kept, and duplicates are refused |
/// | `store_limit` | 5 s | a store that is slower is down |
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct IdempotencyConfig {
    name: Option<Arc<str>>,
    settings: Settings,
}

/// What is left to know once it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) lease: Duration,
    pub(crate) retention: Duration,
    pub(crate) on_abandoned: OnAbandoned,
    pub(crate) is_transactional: bool,
    pub(crate) wait: Duration,
    pub(crate) retry_after: Duration,
    pub(crate) most_in_flight: NonZeroUsize,
    pub(crate) most_waiting: usize,
    pub(crate) most_reply_bytes: usize,
    pub(crate) store_limit: Duration,
}

const MANY: usize = 1024;
/// Longer than any record is kept, and short enough to be added to any time.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);
/// A third of it is the grain of tokio's timer several times over.
const SHORTEST_LEASE: Duration = Duration::from_millis(10);

impl IdempotencyConfig {
    /// The defaults.
    pub const fn new() -> Self {
        let settings = Settings {
            lease: Duration::from_secs(30),
            retention: Duration::from_secs(86_400),
            on_abandoned: OnAbandoned::Refuse,
            is_transactional: false,
            wait: Duration::from_secs(5),
            retry_after: Duration::from_secs(1),
            most_in_flight: NonZeroUsize::new(MANY).expect("1,024 is not zero"),
            most_waiting: MANY,
            most_reply_bytes: 1 << 20,
            store_limit: Duration::from_secs(5),
        };
        Self { name: None, settings }
    }

    /// The name in metrics and events: `default` unless it is given.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How long a claim holds that is not renewed: 10 ms to 10 years. A process that dies blocks
    /// its keys that long under [`OnAbandoned::Takeover`].
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// How long a reply is kept, and how long a record stays beyond its lease: above zero, up to 10
    /// years.
    pub const fn retention(mut self, retention: Duration) -> Self {
        self.settings.retention = retention;
        self
    }

    /// What is done with a key whose operation may have been executed, and whose outcome is not
    /// known.
    pub const fn on_abandoned(mut self, on_abandoned: OnAbandoned) -> Self {
        self.settings.on_abandoned = on_abandoned;
        self
    }

    /// Operations have their effects in a transaction of the database that the store is in, and
    /// nowhere else, and complete their claims there: [`Claim::complete`](crate::Claim). Effect and
    /// reply then stand or fall together, and there is exactly one effect a key.
    ///
    /// So a key can be taken over as soon as its lease has ended, whatever
    /// [`on_abandoned`](Self::on_abandoned) says: an owner that comes back finds its claim lost and
    /// rolls back. An operation that fails, panics or is cancelled frees its key. If its commit
    /// went through after all, which an error does not tell, its caller gets the stored reply. A
    /// result of an operation that has not completed its claim is stored like any other.
    pub const fn transactional(mut self) -> Self {
        self.settings.is_transactional = true;
        self
    }

    /// How long a duplicate waits for the reply of an operation that is under way, in this process
    /// or another. Zero: it is refused at once.
    pub const fn wait(mut self, wait: Duration) -> Self {
        self.settings.wait = wait;
        self
    }

    /// When a duplicate is told to come back that does not wait, or has waited in vain.
    pub const fn retry_after(mut self, after: Duration) -> Self {
        self.settings.retry_after = after;
        self
    }

    /// How many operations may be under way; more are refused before they claim anything.
    pub const fn most_in_flight(mut self, most: NonZeroUsize) -> Self {
        self.settings.most_in_flight = most;
        self
    }

    /// How many duplicates may wait for operations of this process; more are refused at once.
    pub const fn most_waiting(mut self, most: usize) -> Self {
        self.settings.most_waiting = most;
        self
    }

    /// How long a reply may be that is kept: up to 4 GiB. The first caller gets a longer one all
    /// the same, and its duplicates are refused.
    pub const fn most_reply_bytes(mut self, most: usize) -> Self {
        self.settings.most_reply_bytes = most;
        self
    }

    /// How long one call of the store may take: above zero, and at most the lease.
    pub const fn store_limit(mut self, limit: Duration) -> Self {
        self.settings.store_limit = limit;
        self
    }

    pub(crate) fn check(self) -> Result<(Arc<str>, Settings), ConfigError> {
        let Settings { lease, retention, wait, store_limit, most_reply_bytes, .. } = self.settings;
        let spans = SHORTEST_LEASE..=LONGEST;
        ConfigError::require(spans.contains(&lease), "lease", lease, "from 10 ms to 10 years")?;
        let is_kept = !retention.is_zero() && retention <= LONGEST;
        ConfigError::require(is_kept, "retention", retention, "above zero and up to 10 years")?;
        ConfigError::require(wait <= LONGEST, "wait", wait, "up to 10 years")?;
        let is_bounded = !store_limit.is_zero() && store_limit <= lease;
        ConfigError::require(
            is_bounded,
            "store_limit",
            store_limit,
            "above zero and at most the lease",
        )?;
        let has_length = u32::try_from(most_reply_bytes).is_ok();
        ConfigError::require(has_length, "most_reply_bytes", most_reply_bytes, "below 4 GiB")?;
        let mut settings = self.settings;
        if settings.is_transactional {
            settings.on_abandoned = OnAbandoned::Takeover;
        }
        Ok((self.name.unwrap_or_else(|| "default".into()), settings))
    }
}

impl Default for IdempotencyConfig {
    fn default() -> Self {
        Self::new()
    }
}
