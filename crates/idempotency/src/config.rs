//! The configuration, checked once.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use steadfast_core::ConfigError;

use crate::{OnAbandoned, StoreErrorKind};

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
/// | `max_key_age` | none | it is for keys that say when they were made, and clocks that are right |
/// | `on_store_down` | refuse | without a record a second run could be a second charge |
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
    pub(crate) max_key_age: Option<Duration>,
    pub(crate) wait: Duration,
    pub(crate) retry_after: Duration,
    pub(crate) most_in_flight: NonZeroUsize,
    pub(crate) most_waiting: usize,
    pub(crate) most_reply_bytes: usize,
    pub(crate) store_limit: Duration,
    pub(crate) on_store_down: OnStoreDown,
}

/// What is done with a request whose key cannot be claimed, because the store does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnStoreDown {
    /// It is refused, and nothing runs: HTTP 503. The default.
    #[default]
    Refuse,
    /// It runs all the same: the handle *fails open*. **While the store is down an operation may
    /// run twice**, once for each copy of its request that comes, and a copy with another payload
    /// is not known for one. For work that had better be done twice than not at all.
    ///
    /// Copies that come to this process while one runs still wait for it, and get its reply. The
    /// claim is asked for again while the operation runs and when it has ended, for up to
    /// `store_limit`; if the store is back by then, the reply is recorded as ever, or the
    /// operation's [`Claim`](crate::Claim) is lost to another run. The caller of a run without a
    /// claim does not wait for that.
    ///
    /// Down is a store that is unavailable or did not answer in time. One that is full,
    /// misconfigured or keeps what is no record has answered: the request is refused. Each request
    /// waits for a silent store as long as `store_limit`; choose that short.
    Run,
}

impl Settings {
    pub(crate) const fn runs_when_down(&self) -> bool {
        matches!(self.on_store_down, OnStoreDown::Run)
    }

    /// Whether an operation runs though its claim failed in this way.
    pub(crate) const fn runs_without(&self, kind: StoreErrorKind) -> bool {
        self.runs_when_down()
            && matches!(kind, StoreErrorKind::Unavailable | StoreErrorKind::TimedOut)
    }
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
            max_key_age: None,
            wait: Duration::from_secs(5),
            retry_after: Duration::from_secs(1),
            most_in_flight: NonZeroUsize::new(MANY).expect("1,024 is not zero"),
            most_waiting: MANY,
            most_reply_bytes: 1 << 20,
            store_limit: Duration::from_secs(5),
            on_store_down: OnStoreDown::Refuse,
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

    /// Refuses a key that is a UUIDv7 and older than this: above zero, and at most the retention.
    /// As it comes, none is refused for its age.
    ///
    /// A record is kept for the retention and then forgotten, so that a retry which comes later
    /// runs again. One whose key says when it was made can be told from a new request. Other keys
    /// are taken as they come. The time is that of the client's wall clock, and is compared with
    /// this process's: leave room for both, below the retention. A key of the future has no age.
    pub const fn max_key_age(mut self, age: Duration) -> Self {
        self.settings.max_key_age = Some(age);
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

    /// What is done with a request whose key cannot be claimed, because the store does not answer.
    pub const fn on_store_down(mut self, on_store_down: OnStoreDown) -> Self {
        self.settings.on_store_down = on_store_down;
        self
    }

    pub(crate) fn check(self) -> Result<(Arc<str>, Settings), ConfigError> {
        let Settings { lease, retention, wait, store_limit, most_reply_bytes, .. } = self.settings;
        let spans = SHORTEST_LEASE..=LONGEST;
        ConfigError::require(spans.contains(&lease), "lease", lease, "from 10 ms to 10 years")?;
        let is_kept = !retention.is_zero() && retention <= LONGEST;
        ConfigError::require(is_kept, "retention", retention, "above zero and up to 10 years")?;
        let max_key_age = self.settings.max_key_age;
        ConfigError::require(
            max_key_age.is_none_or(|age| !age.is_zero() && age <= retention),
            "max_key_age",
            max_key_age,
            "above zero and at most the retention",
        )?;
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
        // An operation without a claim has no record to complete in its transaction.
        ConfigError::require(
            !settings.is_transactional || !settings.runs_when_down(),
            "on_store_down",
            settings.on_store_down,
            "`Refuse` where the handle is transactional",
        )?;
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
