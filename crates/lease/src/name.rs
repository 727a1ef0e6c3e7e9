//! What is leased.

use std::{fmt, str::FromStr, sync::Arc};

/// The name of a lease: 1 to 255 bytes of UTF-8, any characters. All processes that compete for one
/// thing use one name, and one resource is fenced by the tokens of one name.
///
/// A store encodes it where its keys have a grammar of their own. A name is no secret: events show
/// it; it never becomes a label of a metric. Clones share the bytes.
///
/// ```
/// use steadfast_lease::LeaseName;
///
/// let name: LeaseName = "orders/settlement".parse()?;
/// assert_eq!(name.as_str(), "orders/settlement");
/// assert!(LeaseName::new("").is_err());
/// # Ok::<_, steadfast_lease::LeaseNameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseName(Arc<str>);

/// What a length of one byte can say; etcd, Redis and PostgreSQL take far longer keys, file systems
/// just this.
const LONGEST: usize = 255;

/// Why a text names no lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseNameError {
    /// It is empty.
    #[error("the name of the lease is empty")]
    Empty,
    /// It is too long.
    #[error("the name of the lease has {length} bytes, but may have {LONGEST}")]
    TooLong {
        /// The bytes that it has.
        length: usize,
    },
}

impl LeaseName {
    /// The name.
    ///
    /// # Errors
    /// When it is empty, or has more than 255 bytes.
    pub fn new(name: impl AsRef<str>) -> Result<Self, LeaseNameError> {
        let name = name.as_ref();
        match name.len() {
            0 => Err(LeaseNameError::Empty),
            1..=LONGEST => Ok(Self(name.into())),
            length => Err(LeaseNameError::TooLong { length }),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LeaseName {
    type Err = LeaseNameError;

    fn from_str(name: &str) -> Result<Self, LeaseNameError> {
        Self::new(name)
    }
}

impl TryFrom<&str> for LeaseName {
    type Error = LeaseNameError;

    fn try_from(name: &str) -> Result<Self, LeaseNameError> {
        Self::new(name)
    }
}

impl AsRef<str> for LeaseName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for LeaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for LeaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_1_to_255_bytes_of_any_characters() {
        assert_eq!(LeaseName::new(""), Err(LeaseNameError::Empty));
        let longest = "x".repeat(LONGEST);
        assert_eq!(LeaseName::new(&longest).unwrap().as_str(), longest);
        let long = LeaseName::new("x".repeat(LONGEST + 1));
        assert_eq!(long, Err(LeaseNameError::TooLong { length: 256 }));
        // Bytes are counted, and not characters.
        assert_eq!(LeaseName::new("é".repeat(128)), Err(LeaseNameError::TooLong { length: 256 }));
        for odd in ["}", "{a}", "/../", "\0", " ", "a\nb", "ю"] {
            assert_eq!(LeaseName::new(odd).unwrap().as_str(), odd);
        }
    }
}
