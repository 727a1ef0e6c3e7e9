//! Finding one error in the chain of another.

use std::{error::Error, io};

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
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| within(error)).take(MAX_DEPTH)
}

/// What an error was made from. `io::Error::source` skips the error that it wraps and returns that
/// one's source, so `get_ref` comes first.
fn within<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// Real chains have a handful of links; a chain that loops must not hang a request.
const MAX_DEPTH: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Grounds, RefusalKind};

    #[test]
    fn an_error_inside_an_io_error_is_found() {
        let error = io::Error::other(Grounds::not_executed(RefusalKind::TooMany));
        assert_eq!(cause::<Grounds>(&error).unwrap().kind, RefusalKind::TooMany);
    }

    #[test]
    fn a_chain_that_loops_ends() {
        #[derive(Debug)]
        struct Ouroboros;
        impl std::fmt::Display for Ouroboros {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("round and round")
            }
        }
        impl Error for Ouroboros {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(self)
            }
        }
        assert!(cause::<io::Error>(&Ouroboros).is_none());
    }
}
