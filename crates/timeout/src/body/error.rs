//! What a body ends with that took too long.

use std::time::Duration;

use steadfast_core::{Grounds, HandleName, Refusal, RefusalKind, parts::Rounded};

/// A body was given up: no frame came in the time between two of them, or its whole time was over.
///
/// Whatever the request asked for may have been executed. Of a response (HTTP 504, gRPC
/// `DEADLINE_EXCEEDED`) the service is to blame; of a request (HTTP 408) the client is, and nothing
/// counts against the service.
///
/// Of limits that were [named](crate::BodyTimeoutConfig::named) it says the name: `timeout
/// "downloads": no frame of the response's body within 20 s`. A caller at the other end of HTTP or
/// gRPC is not told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words())]
#[non_exhaustive]
pub struct Stalled {
    /// The limit that was reached.
    pub limit: Duration,
    /// How long the wait was then let go on beyond `limit`, to find out what lies there: zero for
    /// most, and for all fixed limits.
    pub explored: Duration,
    /// Whether it is that of the whole body, or that between two frames.
    pub whole: bool,
    /// The facts, as any layer further out reads them.
    #[source]
    pub grounds: Grounds,
}

impl Stalled {
    /// A response whose next frame did not come within `limit`.
    #[must_use]
    pub const fn response(limit: Duration) -> Self {
        Self::new(limit, RefusalKind::TimedOut)
    }

    /// A request whose next frame did not come within `limit`.
    #[must_use]
    pub const fn request(limit: Duration) -> Self {
        Self::new(limit, RefusalKind::RequestTimeout)
    }

    /// The same for the whole body.
    #[must_use]
    pub const fn of_the_whole(mut self) -> Self {
        self.whole = true;
        self
    }

    /// The same by the limit of this name.
    #[must_use]
    pub const fn with_handle(self, handle: Option<HandleName>) -> Self {
        Self { grounds: self.grounds.with_handle(handle), ..self }
    }

    const fn new(limit: Duration, kind: RefusalKind) -> Self {
        let grounds = Grounds::maybe_executed(kind);
        Self { limit, explored: Duration::ZERO, whole: false, grounds }
    }

    fn words(&self) -> String {
        let said = self.said();
        match self.grounds.handle {
            Some(name) => format!("timeout {name}: {said}"),
            None => said,
        }
    }

    fn said(&self) -> String {
        let Self { whole, grounds, .. } = self;
        let (limit, explored) = (Rounded(self.limit), Rounded(self.explored));
        let whose =
            if grounds.kind == RefusalKind::RequestTimeout { "request" } else { "response" };
        if *whole {
            format!("the body of the {whose} did not end within {limit}")
        } else if self.explored.is_zero() {
            format!("no frame of the {whose}'s body within {limit}")
        } else {
            format!("no frame of the {whose}'s body within {limit}, nor in {explored} more")
        }
    }
}

impl Refusal for Stalled {
    fn grounds(&self) -> Grounds {
        self.grounds
    }

    fn detail(&self) -> String {
        self.said()
    }
}
