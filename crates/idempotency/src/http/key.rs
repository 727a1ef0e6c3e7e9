//! Keys that a client makes.

use std::time::{SystemTime, UNIX_EPOCH};

use rand::Rng;
use steadfast_core::{SystemWallClock, WallClock, http::IdempotencyKey};
use uuid::{Builder, Uuid};

use crate::Fingerprint;

/// A key of its own: a UUIDv7 (RFC 9562, section 5.7), which is 48 bits of the wall clock's
/// milliseconds and 74 random bits of the thread's generator, in 36 characters.
///
/// The time in it lets a server that keeps records for a while refuse a key that is older, and an
/// index over keys grows in the order in which they come. A wall clock that is wrong makes no two
/// keys equal.
///
/// A program that may be killed between its decision and the answer makes the key first, writes it
/// down beside the decision, and sends the request with it: after its restart it asks again under
/// the same key.
#[must_use]
pub fn new_key() -> IdempotencyKey<'static> {
    let mut random = [0; 10];
    rand::rng().fill_bytes(&mut random);
    key_of(version_7(SystemWallClock.now(), &random))
}

/// The key for the step `label` of what was begun under `parent`: the same each time, so that a
/// handler that runs again asks the next service under the key that it used before.
///
/// One label for each request that the handler sends; two requests with one label are one request
/// to the next service. `parent` cannot be found out from a derived key.
///
/// # The formula
/// A UUIDv8 (RFC 9562, section 5.8; by a name and SHA-256, as in its appendix B.2): the first 16
/// bytes of SHA-256 over three parts, each with its length before it as 8 bytes, big endian:
/// `steadfast idempotency key`, the characters of `parent`, the bytes of `label`. Then the version
/// and the variant take their six bits.
///
/// It is part of the contract of this crate: another formula would send every retry that is under
/// way while a program is upgraded a second time.
///
/// ```
/// use steadfast_core::http::IdempotencyKey;
/// use steadfast_idempotency::http::derive;
///
/// let parent = IdempotencyKey::new("8e03978e-40d5-43dd-bc93-6894a57f9324")?;
/// let charge = derive(&parent, "charge");
/// assert_eq!(charge, derive(&parent, "charge"));
/// assert_ne!(charge, derive(&parent, "receipt"));
/// # Ok::<_, steadfast_core::http::IdempotencyKeyError>(())
/// ```
#[must_use]
pub fn derive(parent: &IdempotencyKey<'_>, label: impl AsRef<[u8]>) -> IdempotencyKey<'static> {
    let parts = [b"steadfast idempotency key", parent.as_str().as_bytes(), label.as_ref()];
    let hash = Fingerprint::of(parts).to_bytes();
    let (bytes, _) = hash.split_first_chunk().expect("32 bytes begin with 16");
    key_of(Builder::from_custom_bytes(*bytes).into_uuid())
}

fn version_7(now: SystemTime, random: &[u8; 10]) -> Uuid {
    // Before 1970 a clock is not set, and the random bits must do.
    let elapsed = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    // 48 bits last until the year 10,889.
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    Builder::from_unix_timestamp_millis(millis, random).into_uuid()
}

fn key_of(uuid: Uuid) -> IdempotencyKey<'static> {
    IdempotencyKey::new(uuid.hyphenated().to_string()).expect("hexadecimal digits and hyphens")
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use proptest::prelude::*;

    use super::*;

    fn uuid_of(key: &IdempotencyKey<'_>) -> Uuid {
        key.as_str().parse().unwrap()
    }

    #[test]
    fn a_key_of_its_own_is_that_of_the_example_in_the_standard() {
        // RFC 9562, appendix A.6: 2022-02-22 14:22:22-05:00 and its random bits.
        let now = UNIX_EPOCH + Duration::from_millis(0x017F_22E2_79B0);
        let random = [0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f];
        let key = key_of(version_7(now, &random));
        assert_eq!(key.as_str(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    }

    #[test]
    fn keys_differ_and_follow_the_clock() {
        let keys: HashSet<_> = (0..10_000).map(|_| new_key()).collect();
        assert_eq!(keys.len(), 10_000);
        let key = new_key();
        let uuid = uuid_of(&key);
        assert_eq!((uuid.get_version_num(), uuid.get_variant()), (7, uuid::Variant::RFC4122));
        let (seconds, _) = uuid.get_timestamp().unwrap().to_unix();
        let now = SystemWallClock.now().duration_since(UNIX_EPOCH).unwrap();
        assert!(now.as_secs().abs_diff(seconds) <= 60);
    }

    #[test]
    fn a_clock_that_is_not_set_or_far_ahead_makes_a_key_all_the_same() {
        let ages = Duration::from_secs(u32::MAX.into()) * 100_000;
        for now in [UNIX_EPOCH - Duration::from_secs(1), UNIX_EPOCH, UNIX_EPOCH + ages] {
            assert_eq!(version_7(now, &[0xff; 10]).get_version_num(), 7, "{now:?}");
        }
    }

    #[test]
    fn a_derived_key_is_what_its_formula_says() {
        // By `printf '\0\0\0\0\0\0\0\31steadfast idempotency key\0\0\0\0\0\0\0\1p\0\0\0\0\0\0\0\1l'
        // | sha256sum`, with the version and the variant in their places.
        let derived = derive(&IdempotencyKey::new("p").unwrap(), "l");
        assert_eq!(derived.as_str(), EXPECTED);
        let uuid = uuid_of(&derived);
        assert_eq!((uuid.get_version_num(), uuid.get_variant()), (8, uuid::Variant::RFC4122));
    }

    const EXPECTED: &str = "8d4b2540-eeaa-8d0f-816f-0d6837c995cc";

    proptest! {
        /// Few letters, so that confusions of the two are likely.
        #[test]
        fn no_two_steps_share_a_key(
            parent in "[ab]{1,3}", label in "[ab]{0,3}",
            other_parent in "[ab]{1,3}", other_label in "[ab]{0,3}",
        ) {
            let key = |parent: &str, label: &str| {
                derive(&IdempotencyKey::new(parent.to_owned()).unwrap(), label)
            };
            let are_equal = key(&parent, &label) == key(&other_parent, &other_label);
            prop_assert_eq!(are_equal, (parent, label) == (other_parent, other_label));
        }
    }
}
