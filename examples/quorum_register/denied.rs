//! Why a read or a write came to nothing.

use std::{error, fmt};

use steadfast::quorum::CallError;

use crate::peer;

type CallFailure = Box<CallError<peer::Response, peer::Error>>;

/// Why a read or a write came to nothing.
#[derive(Debug)]
pub(crate) enum Denied {
    /// No quorum said what it holds. A write has not begun.
    Asking(CallFailure),
    /// No quorum took the value, but some node may have. Until a read has shown it, the next may
    /// show it or not.
    Storing(CallFailure),
    /// A node's answer makes no sense.
    Garbled(usize),
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asking(failure) => write!(f, "asking: {failure}"),
            Self::Storing(failure) => write!(f, "storing: {failure}"),
            Self::Garbled(node) => write!(f, "node {node} answers garbage"),
        }
    }
}

impl error::Error for Denied {}
