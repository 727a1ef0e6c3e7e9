//! How old a key is that says when it was made.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// How old `key` is, if it is a UUIDv7 (RFC 9562, section 5.7) in any of the usual spellings; zero
/// for one of the future. Any other key says nothing of its age.
pub(crate) fn age_of(key: &[u8], now: SystemTime) -> Option<Duration> {
    let uuid = Uuid::try_parse_ascii(key).ok().filter(|uuid| uuid.get_version_num() == 7)?;
    // The first 48 bits are milliseconds.
    let made_at = Duration::from_millis(uuid.as_u64_pair().0 >> 16);
    Some(now.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(made_at))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// RFC 9562, appendix A.6: 2022-02-22 14:22:22-05:00.
    const KEY: &str = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";

    fn at(millis: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(millis)
    }

    #[test]
    fn the_key_of_the_standard_is_as_old_as_its_time_says() {
        let made = 1_645_557_742_000;
        let age = |key: &str, now| age_of(key.as_bytes(), now).map(|age| age.as_millis());
        assert_eq!(age(KEY, at(made + 7)), Some(7));
        assert_eq!(age(KEY, at(made - 7)), Some(0), "of the future");
        assert_eq!(
            age(KEY, UNIX_EPOCH - Duration::from_secs(1)),
            Some(0),
            "a clock that is not set"
        );
        for spelling in [KEY.to_uppercase(), KEY.replace('-', ""), format!("urn:uuid:{KEY}")] {
            assert_eq!(age(&spelling, at(made + 7)), Some(7), "{spelling}");
        }
    }

    #[test]
    fn other_keys_have_no_age() {
        let (version_4, version_8) = (KEY.replace("-7", "-4"), KEY.replace("-7", "-8"));
        for key in
            [&version_4, &version_8, "", "7f3a", &KEY[1..], "00000000000000000000000000000000"]
        {
            assert_eq!(age_of(key.as_bytes(), at(u64::MAX >> 16)), None, "{key}");
        }
    }

    proptest! {
        #[test]
        fn whatever_bytes_a_key_has_its_age_is_known_or_not(key in vec(any::<u8>(), 0..64)) {
            let _ = age_of(&key, at(7));
        }
    }
}
