//! What a plan is told of a request.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

/// What a plan is told of a request: its tag, for rules that strike only some, and its key.
///
/// `()` tells nothing. [`FaultLayer::tag`](crate::FaultLayer::tag) and
/// [`FaultLayer::key`](crate::FaultLayer::key) make the others; a type of your own may do as well.
pub trait Describe<Req> {
    /// What the user calls this kind of request.
    fn tag<'a>(&self, request: &'a Req) -> Option<&'a str> {
        let _ = request;
        None
    }

    /// What the user knows the request by: the same key meets the same faults, whatever its number.
    /// `None` for a request that goes by its number.
    fn key(&self, request: &Req) -> Option<u64> {
        let _ = request;
        None
    }
}

impl<Req> Describe<Req> for () {}

/// Reads the tag by `F`, and the key as `X` does.
#[derive(Clone, Copy)]
pub struct Tagged<X, F> {
    pub(crate) rest: X,
    pub(crate) tag: F,
}

/// Reads the key by `F`, and the tag as `X` does.
#[derive(Clone, Copy)]
pub struct Keyed<X, F> {
    pub(crate) rest: X,
    pub(crate) key: F,
}

impl<Req, X, F> Describe<Req> for Tagged<X, F>
where
    X: Describe<Req>,
    F: Fn(&Req) -> Option<&str>,
{
    fn tag<'a>(&self, request: &'a Req) -> Option<&'a str> {
        (self.tag)(request)
    }

    fn key(&self, request: &Req) -> Option<u64> {
        self.rest.key(request)
    }
}

impl<Req, X, F, K> Describe<Req> for Keyed<X, F>
where
    X: Describe<Req>,
    F: Fn(&Req) -> Option<K>,
    K: Hash,
{
    fn tag<'a>(&self, request: &'a Req) -> Option<&'a str> {
        self.rest.tag(request)
    }

    fn key(&self, request: &Req) -> Option<u64> {
        (self.key)(request).map(|key| stable_hash(&key))
    }
}

impl<X: fmt::Debug, F> fmt::Debug for Tagged<X, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tagged").field("rest", &self.rest).finish_non_exhaustive()
    }
}

impl<X: fmt::Debug, F> fmt::Debug for Keyed<X, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").field("rest", &self.rest).finish_non_exhaustive()
    }
}

fn stable_hash(key: &impl Hash) -> u64 {
    let mut hasher = Fnv1a::default();
    key.hash(&mut hasher);
    hasher.finish()
}

/// FNV-1a of 64 bits (Fowler, Noll, Vo), with integers in little-endian order: the same on every
/// machine and in every run, which the standard library's hashers do not promise. It need not
/// spread well: a draw mixes what it gives.
struct Fnv1a(u64);

impl Default for Fnv1a {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Hasher for Fnv1a {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }

    fn write_u16(&mut self, number: u16) {
        self.write(&number.to_le_bytes());
    }

    fn write_u32(&mut self, number: u32) {
        self.write(&number.to_le_bytes());
    }

    fn write_u64(&mut self, number: u64) {
        self.write(&number.to_le_bytes());
    }

    fn write_u128(&mut self, number: u128) {
        self.write(&number.to_le_bytes());
    }

    /// As 64 bits: `usize` is not as wide everywhere.
    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    /// As 64 bits, with its sign: a type that derives `Hash` writes the number of its variant so.
    fn write_isize(&mut self, number: isize) {
        self.write_i64(number as i64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_same_hash_on_every_machine() {
        // The published test vectors of FNV-1a: "", "a", "foobar".
        for (bytes, hash) in [
            (&b""[..], 0xCBF2_9CE4_8422_2325),
            (b"a", 0xAF63_DC4C_8601_EC8C),
            (b"foobar", 0x8594_4171_F739_67E8),
        ] {
            let mut hasher = Fnv1a::default();
            hasher.write(bytes);
            assert_eq!(hasher.finish(), hash);
        }
        let bytes = |bytes: &[u8]| {
            let mut hasher = Fnv1a::default();
            hasher.write(bytes);
            hasher.finish()
        };
        assert_eq!(stable_hash(&0x0102_u16), bytes(&[2, 1]));
        assert_eq!(stable_hash(&7_usize), stable_hash(&7_u64));
        assert_eq!(stable_hash(&-7_isize), stable_hash(&-7_i64));
        assert_eq!(stable_hash(&-7_i32), bytes(&[0xF9, 0xFF, 0xFF, 0xFF]));
        assert_eq!(stable_hash(&"a"), bytes(b"a\xFF"));
    }
}
