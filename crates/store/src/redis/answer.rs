//! What a script returns, part by part.

use std::{time::Duration, vec};

use ::redis::Value;

use crate::StoreError;

/// The parts of a script's answer, read in order. What is no such part is
/// [`Corrupt`](crate::StoreErrorKind::Corrupt).
///
/// ```
/// use std::time::Duration;
///
/// use redis::Value;
/// use steadfast_store::redis::Answer;
///
/// let mut answer = Answer::new(Value::Array(vec![Value::Int(1), Value::Int(2500)]))?;
/// assert_eq!(answer.number()?, 1);
/// assert_eq!(answer.micros()?, Duration::from_micros(2500));
/// assert!(answer.bytes().is_err());
/// # Ok::<_, steadfast_store::StoreError>(())
/// ```
#[derive(Debug)]
pub struct Answer(vec::IntoIter<Value>);

impl Answer {
    /// The parts of an array.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(answer: Value) -> Result<Self, StoreError> {
        match answer {
            Value::Array(parts) => Ok(Self(parts.into_iter())),
            _ => Err(unlike("an answer")),
        }
    }

    /// The next part, a number.
    ///
    /// # Errors
    /// When it is none.
    pub fn number(&mut self) -> Result<i64, StoreError> {
        match self.0.next() {
            Some(Value::Int(number)) => Ok(number),
            _ => Err(unlike("a number")),
        }
    }

    /// The next part, a time in microseconds. Below zero it is nothing: a clock that was set back
    /// is no reason to fail.
    ///
    /// # Errors
    /// When it is none.
    pub fn micros(&mut self) -> Result<Duration, StoreError> {
        Ok(Duration::from_micros(u64::try_from(self.number()?).unwrap_or(0)))
    }

    /// The next part, bytes.
    ///
    /// # Errors
    /// When there are none.
    pub fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        match self.0.next() {
            Some(Value::BulkString(bytes)) => Ok(bytes),
            _ => Err(unlike("bytes")),
        }
    }
}

/// What scripts answer first that have found what is no record, by a convention of all of them.
pub const CORRUPT: i64 = 2;

/// The error for a script whose first part is not among those that its caller knows: that it has
/// found [no record](CORRUPT), or anything else.
#[must_use]
pub fn unexpected(code: i64) -> StoreError {
    match code {
        CORRUPT => unlike("a record"),
        _ => unlike("an answer"),
    }
}

/// The error for what is not `what` should be there: a noun with its article. It changed nothing.
#[must_use]
pub fn unlike(what: &str) -> StoreError {
    StoreError::corrupt().because(format!("Redis keeps or answers what is not {what}"))
}
