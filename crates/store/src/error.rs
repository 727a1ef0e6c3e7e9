//! What a store says when it fails.

use std::{error::Error, fmt};

use steadfast_core::Executed;

/// Why a store did not answer, and whether it may have done what it was asked to.
///
/// ```
/// use std::io;
///
/// use steadfast_core::Executed;
/// use steadfast_store::{StoreError, StoreErrorKind};
///
/// let cause = io::Error::from(io::ErrorKind::ConnectionReset);
/// let error = StoreError::unavailable(Executed::Maybe).because(cause);
/// assert_eq!(error.kind(), StoreErrorKind::Unavailable);
/// assert_eq!(error.to_string(), "the store is unavailable, and may have executed the operation");
/// ```
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    executed: Executed,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The ways in which a store fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// It cannot be reached, or turns its callers away.
    Unavailable,
    /// It did not answer in time.
    TimedOut,
    /// It is not set up as it must be: a table is missing, or it evicts what it should keep.
    Misconfigured,
    /// It keeps something that is no record.
    Corrupt,
    /// It has no room for another record, or for this reply. Nothing that is in flight makes room.
    Full,
}

impl StoreError {
    /// The store cannot be reached: [`Executed::No`] if the operation certainly did not get there.
    #[must_use]
    pub const fn unavailable(executed: Executed) -> Self {
        Self { kind: StoreErrorKind::Unavailable, executed, source: None }
    }

    /// The store did not answer in time, and may have executed the operation.
    #[must_use]
    pub const fn timed_out() -> Self {
        Self { kind: StoreErrorKind::TimedOut, executed: Executed::Maybe, source: None }
    }

    /// The store is not set up as it must be, and executed nothing.
    #[must_use]
    pub const fn misconfigured() -> Self {
        Self { kind: StoreErrorKind::Misconfigured, executed: Executed::No, source: None }
    }

    /// The store keeps something that is no record, and changed nothing.
    #[must_use]
    pub const fn corrupt() -> Self {
        Self { kind: StoreErrorKind::Corrupt, executed: Executed::No, source: None }
    }

    /// The store has no room, and executed nothing.
    #[must_use]
    pub const fn full() -> Self {
        Self { kind: StoreErrorKind::Full, executed: Executed::No, source: None }
    }

    /// The same error with what it was made from. It must not show a key, a token or a reply.
    #[must_use]
    pub fn because(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// The same error, about an operation that may have been executed or was not.
    #[must_use]
    pub fn executed_as(self, executed: Executed) -> Self {
        Self { executed, ..self }
    }

    /// In which way the store failed.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the store may have executed the operation.
    #[must_use]
    pub const fn executed(&self) -> Executed {
        self.executed
    }
}

impl fmt::Display for StoreErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "the store is unavailable",
            Self::TimedOut => "the store did not answer in time",
            Self::Misconfigured => "the store is misconfigured",
            Self::Corrupt => "the store keeps something that is no record",
            Self::Full => "the store is full",
        })
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let executed = match self.executed {
            Executed::No => "did not execute",
            Executed::Maybe => "may have executed",
        };
        write!(f, "{}, and {executed} the operation", self.kind)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
