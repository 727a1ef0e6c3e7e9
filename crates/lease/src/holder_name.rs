//! Who holds a lease.

use std::{fmt, sync::Arc};

/// What the holder of a lease is called by the others: an address to send requests to, a host, a
/// process. Up to 255 bytes of UTF-8; it may be empty, and two holders may have the same.
///
/// It proves nothing: the [`Nonce`](crate::Nonce) does. It is kept in the store and shown in
/// events. Clones share the bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HolderName(Arc<str>);

/// As a name of a lease: an address and a port have a fifth of it.
const LONGEST: usize = 255;

/// A holder's name is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name of the holder has {length} bytes, but may have {LONGEST}")]
#[non_exhaustive]
pub struct HolderNameError {
    /// The bytes that it has.
    pub length: usize,
}

impl HolderName {
    /// The name.
    ///
    /// # Errors
    /// When it has more than 255 bytes.
    pub fn new(name: impl AsRef<str>) -> Result<Self, HolderNameError> {
        let name = name.as_ref();
        if name.len() > LONGEST {
            return Err(HolderNameError { length: name.len() });
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HolderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for HolderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holders_name_may_be_empty_and_has_up_to_255_bytes() {
        assert_eq!(HolderName::new("").unwrap().as_str(), "");
        assert!(HolderName::new("x".repeat(255)).is_ok());
        assert_eq!(HolderName::new("x".repeat(256)), Err(HolderNameError { length: 256 }));
    }
}
