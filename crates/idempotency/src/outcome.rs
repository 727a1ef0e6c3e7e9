//! What the end of an operation means, and how replies become bytes.

use std::error::Error;

use bytes::Bytes;
use steadfast_core::{Executed, Failure, Grounds, cause};

/// What the end of an operation means for its key.
#[derive(Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It has an answer, which every duplicate is given: these bytes.
    Store(Bytes),
    /// It was executed, and its answer cannot be kept: duplicates are refused.
    NotKept,
    /// It has an answer, these bytes, which [`Claim::complete`](crate::Claim) has stored in the
    /// operation's own transaction: the store is told nothing more. Where it has not, this is
    /// [`Store`](Self::Store).
    Settled(Bytes),
    /// It was certainly not executed: the key is free.
    Release,
    /// It may have been executed, and has no answer.
    Abandon,
}

impl Outcome {
    /// What a failure means: it frees the key if its [`Grounds`] promise that nothing was executed,
    /// and abandons it otherwise.
    ///
    /// The grounds are read wherever they stand in the chain. **An operation that has done
    /// something, and is then refused by a service that it calls, must not pass that refusal on**:
    /// the promise is the service's, of its own part, and would free the key of what is half done.
    pub fn of_failure<E: Failure>(error: &E) -> Self {
        match cause::<Grounds>(error.as_error()) {
            Some(Grounds { executed: Executed::No, .. }) => Self::Release,
            _ => Self::Abandon,
        }
    }
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(reply) => f.debug_struct("Store").field("len", &reply.len()).finish(),
            Self::NotKept => f.write_str("NotKept"),
            Self::Settled(reply) => f.debug_struct("Settled").field("len", &reply.len()).finish(),
            Self::Release => f.write_str("Release"),
            Self::Abandon => f.write_str("Abandon"),
        }
    }
}

/// What a request with a key is answered. `Debug` shows no stored reply.
#[derive(Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// By its own run of the operation.
    Executed(T),
    /// By the stored reply of another: the bytes that [`Outcome::Store`] was given.
    Replayed(Bytes),
}

impl<T: std::fmt::Debug> std::fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Executed(result) => f.debug_tuple("Executed").field(result).finish(),
            Self::Replayed(reply) => f.debug_struct("Replayed").field("len", &reply.len()).finish(),
        }
    }
}

/// How results become bytes that are stored, and results again.
///
/// What it writes is read by later releases of the program: mind its format.
pub trait Codec<T> {
    /// The bytes to store. A result that cannot be written is given to its first caller, and its
    /// duplicates are refused.
    ///
    /// # Errors
    /// When the result cannot be written.
    fn encode(&self, result: &T) -> Result<Bytes, Box<dyn Error + Send + Sync>>;

    /// What a result means for its key. As it comes, each is stored, and one that cannot be written
    /// is an answer that is not kept. A codec of results that may say "nothing was done, come back"
    /// says [`Release`](Outcome::Release) of those.
    fn outcome(&self, result: &T) -> Outcome {
        self.encode(result).map_or(Outcome::NotKept, Outcome::Store)
    }

    /// The result out of what was stored.
    ///
    /// # Errors
    /// When the bytes are no such result.
    fn decode(&self, reply: Bytes) -> Result<T, Box<dyn Error + Send + Sync>>;
}

/// Results that are bytes already.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsBytes;

impl Codec<Bytes> for AsBytes {
    fn encode(&self, result: &Bytes) -> Result<Bytes, Box<dyn Error + Send + Sync>> {
        Ok(result.clone())
    }

    fn decode(&self, reply: Bytes) -> Result<Bytes, Box<dyn Error + Send + Sync>> {
        Ok(reply)
    }
}
