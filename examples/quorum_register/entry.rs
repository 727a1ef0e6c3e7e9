//! What a register holds, and how it travels.

use std::{fmt, str::FromStr};

use steadfast::clock::Stamp;

use crate::Failure;

/// A value, and the stamp of its write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) stamp: Stamp,
    pub(crate) value: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.stamp.compact(), self.value)
    }
}

impl FromStr for Entry {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let (stamp, value) = text.split_once(' ').ok_or("an entry is a stamp and a value")?;
        Ok(Self { stamp: stamp.parse()?, value: value.to_owned() })
    }
}
