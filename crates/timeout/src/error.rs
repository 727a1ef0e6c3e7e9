//! The refusal of this crate.

use std::time::Duration;

use steadfast_core::{Executed, Grounds, HandleName, Refusal, RefusalKind, parts::Rounded};

/// The time allowed for a request is over, and it is given up.
///
/// HTTP 504, gRPC `DEADLINE_EXCEEDED`. Its [kind](Grounds::kind) says whose fault that was, and
/// breaker and retry go by it:
///
/// | made by | kind | executed | |
/// |---|---|---|---|
/// | [`after`](Self::after) | `TimedOut` | maybe | the service did not answer in the time that it is given |
/// | [`at_the_deadline`](Self::at_the_deadline) | `DeadlineExceeded` | maybe | the caller's deadline cut the call, and nothing shows that the service is to blame |
/// | [`before_the_call`](Self::before_the_call) | `DeadlineExceeded` | no | the deadline had passed: the service was not called |
///
/// A deadline that cut the call, and shows the service to have failed all the same, is the first.
///
/// Of a limit that was [named](crate::LimitConfig::named) it says the name: `timeout "orders": no
/// answer within 250 ms`. A caller at the other end of HTTP or gRPC is not told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words())]
#[non_exhaustive]
pub struct Elapsed {
    /// How long the request was given, counted from when it began to wait. Zero when its deadline
    /// had already passed.
    pub limit: Duration,
    /// How long it was then let go on beyond `limit`, to find out what lies there: zero for most
    /// requests. It waited for `limit + explored` in all.
    pub explored: Duration,
    /// The facts, as any layer further out reads them.
    #[source]
    pub grounds: Grounds,
}

impl Elapsed {
    /// The service was called and did not answer within `limit`: it has failed.
    #[must_use]
    pub const fn after(limit: Duration) -> Self {
        let grounds = Grounds::maybe_executed(RefusalKind::TimedOut);
        Self { limit, explored: Duration::ZERO, grounds }
    }

    /// The same after the call had been let go on for `explored` beyond its limit.
    #[must_use]
    pub const fn with_explored(mut self, explored: Duration) -> Self {
        self.explored = explored;
        self
    }

    /// The service was called, and `limit` later the caller's deadline was over: no failure of the
    /// service as far as can be told, which no layer counts.
    #[must_use]
    pub const fn at_the_deadline(limit: Duration) -> Self {
        let grounds = Grounds::maybe_executed(RefusalKind::DeadlineExceeded);
        Self { limit, explored: Duration::ZERO, grounds }
    }

    /// The request's deadline had passed before the service was called.
    ///
    /// Nothing was executed, and yet a retry does not repeat it: there is no time left for another
    /// attempt.
    #[must_use]
    pub const fn before_the_call() -> Self {
        let (limit, explored) = (Duration::ZERO, Duration::ZERO);
        Self { limit, explored, grounds: Grounds::not_executed(RefusalKind::DeadlineExceeded) }
    }

    /// The same refusal by the limit, or the deadline layer, of this name.
    #[must_use]
    pub const fn with_handle(self, handle: Option<HandleName>) -> Self {
        Self { grounds: self.grounds.with_handle(handle), ..self }
    }

    fn words(&self) -> String {
        let said = self.said();
        match self.grounds.handle {
            Some(name) => format!("timeout {name}: {said}"),
            None => said,
        }
    }

    fn said(&self) -> String {
        let Self { grounds, .. } = self;
        let (limit, explored) = (Rounded(self.limit), Rounded(self.explored));
        match (grounds.executed, grounds.kind) {
            (Executed::No, _) => "the deadline had passed before the call".to_owned(),
            (_, RefusalKind::DeadlineExceeded) => {
                format!("the caller's deadline was over after {limit}")
            }
            _ if self.explored.is_zero() => format!("no answer within {limit}"),
            _ => format!("no answer within {limit}, nor in {explored} more"),
        }
    }
}

impl Refusal for Elapsed {
    fn grounds(&self) -> Grounds {
        self.grounds
    }

    fn detail(&self) -> String {
        self.said()
    }
}
