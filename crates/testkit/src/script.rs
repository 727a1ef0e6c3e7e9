//! What a probe is told to do.

use std::{fmt, sync::Arc, time::Duration};

use crate::BoxError;

/// What a probe's `poll_ready` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Readiness {
    /// Ready for one call on this handle.
    Ready,
    /// Not ready, at every poll, until
    /// [`Control::release_readiness`](crate::Control::release_readiness).
    Pending,
    /// Not ready at this one poll, and the task is woken at once.
    Yield,
    /// [`ProbeError::Readiness`].
    Error,
    /// A panic.
    Panic,
}

/// What a probe does with one call.
///
/// ```
/// use std::time::Duration;
/// use steadfast_testkit::Reply;
/// let slow_failure = Reply::error().after(Duration::from_millis(50));
/// let stuck_until_released = Reply::value(7).held();
/// # drop((slow_failure, stuck_until_released));
/// ```
#[derive(Clone, Debug)]
pub struct Reply {
    pub(crate) outcome: Outcome,
    pub(crate) when: When,
}

#[derive(Clone)]
pub(crate) enum Outcome {
    Echo,
    Value(u32),
    Error,
    ErrorFrom(Arc<dyn Fn() -> BoxError + Send + Sync>),
    Panic,
    PanicInCall,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    Now,
    After(Duration),
    Held,
}

impl Reply {
    /// The request comes back as the response.
    #[must_use]
    pub const fn echo() -> Self {
        Self::now(Outcome::Echo)
    }

    /// This response.
    #[must_use]
    pub const fn value(value: u32) -> Self {
        Self::now(Outcome::Value(value))
    }

    /// The error [`ProbeError::Call`] with the number of the call.
    #[must_use]
    pub const fn error() -> Self {
        Self::now(Outcome::Error)
    }

    /// An error of the caller's making, such as a refused connection.
    pub fn error_from(make: impl Fn() -> BoxError + Send + Sync + 'static) -> Self {
        Self::now(Outcome::ErrorFrom(Arc::new(make)))
    }

    /// The future panics when it is due.
    #[must_use]
    pub const fn panic() -> Self {
        Self::now(Outcome::Panic)
    }

    /// `call` itself panics, whatever the delay.
    #[must_use]
    pub const fn panic_in_call() -> Self {
        Self::now(Outcome::PanicInCall)
    }

    /// The same, that long after the first poll, by tokio's clock.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { when: When::After(delay), ..self }
    }

    /// The same, but not before [`Control::release`](crate::Control::release) or
    /// [`Control::release_all`](crate::Control::release_all). Never released, it hangs for ever.
    #[must_use]
    pub fn held(self) -> Self {
        Self { when: When::Held, ..self }
    }

    const fn now(outcome: Outcome) -> Self {
        Self { outcome, when: When::Now }
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Echo => "Echo",
            Self::Value(value) => return write!(f, "Value({value})"),
            Self::Error => "Error",
            Self::ErrorFrom(_) => "ErrorFrom(..)",
            Self::Panic => "Panic",
            Self::PanicInCall => "PanicInCall",
        })
    }
}

/// The probe's own error, so that a test recognises it wherever it comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProbeError {
    /// The call of this number failed as told; calls are counted from 0.
    Call(u64),
    /// `poll_ready` failed as told.
    Readiness,
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(number) => write!(f, "the probe failed call {number} as told"),
            Self::Readiness => f.write_str("the probe failed its readiness as told"),
        }
    }
}

impl std::error::Error for ProbeError {}
