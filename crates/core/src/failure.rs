//! How a layer looks into an error without knowing its type.

use std::{convert::Infallible, error::Error as StdError, io};

use crate::{Error, Refusal};

/// An error the [`DefaultClassifier`](crate::DefaultClassifier) can look into.
///
/// `BoxError`, [`Error<E>`](crate::Error) and every [`Refusal`] are such errors. For an enum of
/// your own write one line, or give the layer a classifier of your own:
///
/// ```
/// # #[derive(Debug, thiserror::Error)]
/// # #[error("sold out")]
/// # struct MyError;
/// impl steadfast_core::Failure for MyError {
///     fn as_error(&self) -> &(dyn std::error::Error + 'static) {
///         self
///     }
/// }
/// ```
///
/// (One blanket implementation over `std::error::Error` would shut out `BoxError`, which is not an
/// `Error`.)
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be looked into by the default classifier",
    note = "write `impl Failure for {Self} {{ fn as_error(&self) -> &(dyn std::error::Error + 'static) {{ self }} }}`",
    note = "or give the layer a classifier of your own, such as a closure over `Result<&Response, &{Self}>`",
    note = "or, for a foreign error type, wrap the stack in `guard`"
)]
pub trait Failure {
    /// The error itself, with its source chain.
    fn as_error(&self) -> &(dyn StdError + 'static);

    /// A refusal as such an error, if the type can hold any refusal: `BoxError`, [`Error<E>`] and
    /// `io::Error` can. Asked by a layer that refuses so seldom that it demands no
    /// `From<TheRefusal>` of every error type.
    fn refused<R: Refusal>(refusal: R) -> Option<Self>
    where
        Self: Sized,
    {
        let _ = refusal;
        None
    }
}

impl Failure for Box<dyn StdError + Send + Sync + 'static> {
    fn as_error(&self) -> &(dyn StdError + 'static) {
        &**self
    }

    fn refused<R: Refusal>(refusal: R) -> Option<Self> {
        Some(Box::new(refusal))
    }
}

impl Failure for Box<dyn StdError + Send + 'static> {
    fn as_error(&self) -> &(dyn StdError + 'static) {
        &**self
    }

    fn refused<R: Refusal>(refusal: R) -> Option<Self> {
        Some(Box::new(refusal))
    }
}

impl Failure for Box<dyn StdError + 'static> {
    fn as_error(&self) -> &(dyn StdError + 'static) {
        &**self
    }

    fn refused<R: Refusal>(refusal: R) -> Option<Self> {
        Some(Box::new(refusal))
    }
}

impl<E: StdError + 'static> Failure for Error<E> {
    fn as_error(&self) -> &(dyn StdError + 'static) {
        self
    }

    fn refused<R: Refusal>(refusal: R) -> Option<Self> {
        Some(refusal.into())
    }
}

/// A service that fails only with one layer's refusal needs no error type of its own.
impl<R: Refusal> Failure for R {
    fn as_error(&self) -> &(dyn StdError + 'static) {
        self
    }
}

impl Failure for Infallible {
    fn as_error(&self) -> &(dyn StdError + 'static) {
        self
    }
}

impl Failure for io::Error {
    fn as_error(&self) -> &(dyn StdError + 'static) {
        self
    }

    fn refused<R: Refusal>(refusal: R) -> Option<Self> {
        Some(Self::other(refusal))
    }
}

#[cfg(feature = "tonic")]
impl Failure for tonic::Status {
    fn as_error(&self) -> &(dyn StdError + 'static) {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Grounds, RefusalKind, cause};

    #[derive(Clone, Copy, Debug, thiserror::Error)]
    #[error("no")]
    struct No(#[source] Grounds);

    impl Refusal for No {
        fn grounds(&self) -> Grounds {
            self.0
        }
    }

    #[test]
    fn error_types_that_can_hold_a_refusal_do_and_its_grounds_are_found() {
        fn holds<E: Failure>() -> bool {
            let no = No(Grounds::not_executed(RefusalKind::DeadlineExceeded));
            let Some(error) = E::refused(no) else { return false };
            assert_eq!(cause::<Grounds>(error.as_error()), Some(&no.0));
            true
        }
        assert!(holds::<Box<dyn StdError + Send + Sync>>() && holds::<Box<dyn StdError + Send>>());
        assert!(
            holds::<Box<dyn StdError>>() && holds::<Error<io::Error>>() && holds::<io::Error>()
        );
        assert!(!holds::<Infallible>() && !holds::<No>());
    }
}
