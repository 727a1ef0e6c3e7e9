//! How long a request may still take, and what else it says of itself.

use std::time::{Duration, Instant};

use crate::Attempt;

/// The instant after which the caller no longer waits for the answer.
///
/// On HTTP it stands in the request's extensions. Deadlines nest: an inner one can only bring the
/// end nearer.
///
/// ```
/// use std::time::{Duration, Instant};
/// use steadfast_core::Deadline;
///
/// # #[allow(clippy::disallowed_methods)]
/// let now = Instant::now(); // of paused tests too: `TimeSource::Tokio.now()`
/// let deadline = Deadline::after(now, Duration::from_millis(250));
/// assert_eq!(deadline.remaining(now + Duration::from_millis(50)), Duration::from_millis(200));
/// assert!(deadline.has_passed(now + Duration::from_millis(250)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(Instant);

/// Where an instant cannot hold `now + limit`, the deadline lies a hundred years ahead: longer than
/// any caller waits.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Deadline {
    /// A deadline at `instant`.
    #[must_use]
    pub const fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// A deadline `limit` after `now`. A limit beyond what an instant can hold is cut to a hundred
    /// years.
    #[must_use]
    pub fn after(now: Instant, limit: Duration) -> Self {
        Self(now.checked_add(limit).unwrap_or_else(|| now + FAR))
    }

    /// The instant itself.
    #[must_use]
    pub const fn instant(self) -> Instant {
        self.0
    }

    /// What is left of it; zero once it has passed.
    #[must_use]
    pub fn remaining(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// Whether nothing is left of it.
    #[must_use]
    pub fn has_passed(self, now: Instant) -> bool {
        now >= self.0
    }
}

/// What a request says of itself to the layers: until when it is wanted, and which attempt it is.
///
/// [`NoContext`] says nothing, for any request. With the feature `http`,
/// [`http::HttpContext`](crate::http::HttpContext) reads the request's extensions. A closure
/// `Fn(&Req) -> Option<Deadline>` tells the deadline of a request type of your own.
pub trait RequestContext<Req> {
    /// The deadline the request carries.
    fn deadline(&self, request: &Req) -> Option<Deadline>;

    /// Which attempt the request is; the first unless the request says otherwise.
    fn attempt(&self, request: &Req) -> Attempt {
        let _ = request;
        Attempt::FIRST
    }
}

/// For requests that carry neither a deadline nor an attempt number. Costs nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoContext;

impl<Req> RequestContext<Req> for NoContext {
    #[inline]
    fn deadline(&self, _: &Req) -> Option<Deadline> {
        None
    }
}

impl<F, Req> RequestContext<Req> for F
where
    F: Fn(&Req) -> Option<Deadline>,
{
    fn deadline(&self, request: &Req) -> Option<Deadline> {
        self(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn a_limit_without_end_does_not_overflow() {
        let now = Instant::now();
        let deadline = Deadline::after(now, Duration::MAX);
        assert!(!deadline.has_passed(now) && deadline.remaining(now) >= FAR);
        assert!(Deadline::at(now).has_passed(now));
        assert_eq!(Deadline::at(now).remaining(now + FAR), Duration::ZERO);
    }
}
