//! Finding one error in the chain of another.

use std::error::Error;

/// Finds the first `T` in `error` and its sources.
///
/// ```
/// use steadfast_core::{Error, Grounds, RefusalKind, cause};
/// # use std::io;
/// let error: Error<io::Error> = Error::Service(io::ErrorKind::ConnectionRefused.into());
/// assert_eq!(cause::<io::Error>(&error).unwrap().kind(), io::ErrorKind::ConnectionRefused);
/// assert!(cause::<Grounds>(&error).is_none());
/// ```
#[must_use]
pub fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(<dyn Error>::downcast_ref)
}

/// The error and all its sources, outermost first, at most 64 of them.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source()).take(MAX_DEPTH)
}

/// Real chains have a handful of links; a chain that loops must not hang a request.
const MAX_DEPTH: usize = 64;
