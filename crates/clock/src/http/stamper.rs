//! How a clock meets the headers of a message.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

use super::{
    propagation::{Propagation, TooFarAhead},
    received::Received,
    refused::StampFault,
    telemetry::{Outcome, Telemetry},
};
use crate::{ClockError, HybridClock, Timestamp, text::parse_compact};

/// What a layer and its services share.
#[derive(Clone, Debug)]
pub(crate) struct Stamper<K> {
    propagation: Propagation<K>,
    telemetry: Arc<Telemetry>,
}

impl<K: HybridClock> Stamper<K> {
    pub(crate) fn new(propagation: Propagation<K>) -> Self {
        Self { telemetry: Arc::new(Telemetry::new(propagation.clock.name())), propagation }
    }

    /// Stamps the receipt of a message.
    pub(crate) fn receive(&self, headers: &HeaderMap) -> Result<Received, StampFault> {
        let (read, sent) = self.read(headers);
        let (outcome, stamped) = match sent {
            Some(sent) => self.update(sent),
            None => (read, self.propagation.clock.tick()),
        };
        match stamped {
            Ok(at) => {
                self.telemetry.received(outcome);
                Ok(Received { at, sent })
            }
            Err(error) => {
                self.telemetry.received(Outcome::Refused);
                Err(self.refuse(&error))
            }
        }
    }

    /// Stamps a message that is sent, in place of whatever stamps it carries.
    pub(crate) fn send(&self, headers: &mut HeaderMap) -> Result<(), StampFault> {
        let stamp = self.propagation.clock.tick().map_err(|error| self.refuse(&error))?;
        headers.insert(self.propagation.header.clone(), value_of(stamp));
        Ok(())
    }

    /// What a message carries.
    fn read(&self, headers: &HeaderMap) -> (Outcome, Option<Timestamp>) {
        let header = &self.propagation.header;
        if !headers.contains_key(header) {
            return (Outcome::Unstamped, None);
        }
        // The newest: with it the clock has heard of all the others.
        match headers.get_all(header).iter().flat_map(stamps).max() {
            Some(newest) => (Outcome::Stamped, Some(newest)),
            None => (Outcome::Malformed, None),
        }
    }

    fn update(&self, sent: Timestamp) -> (Outcome, Result<Timestamp, ClockError>) {
        let Propagation { clock, too_far_ahead, .. } = &self.propagation;
        match clock.update(sent) {
            Err(ClockError::DriftTooLarge(drift)) if *too_far_ahead == TooFarAhead::Ignore => {
                self.telemetry.ignored(drift);
                (Outcome::Ignored, clock.tick())
            }
            stamped => (Outcome::Stamped, stamped),
        }
    }

    #[cold]
    fn refuse(&self, error: &ClockError) -> StampFault {
        self.telemetry.refused(error);
        error.into()
    }
}

impl<K> Stamper<K> {
    pub(crate) const fn clock(&self) -> &K {
        &self.propagation.clock
    }
}

/// The stamps of one value. Several lines of a field may have been joined to one by commas (RFC
/// 9110, section 5.3); what is not a stamp is passed over.
fn stamps(value: &HeaderValue) -> impl Iterator<Item = Timestamp> {
    value.as_bytes().split(|&byte| byte == b',').filter_map(|part| stamp(part.trim_ascii()))
}

/// Only the compact form.
fn stamp(text: &[u8]) -> Option<Timestamp> {
    parse_compact(std::str::from_utf8(text).ok()?)
}

fn value_of(stamp: Timestamp) -> HeaderValue {
    HeaderValue::from_bytes(&stamp.compact().to_bytes())
        .expect("a prefix and hexadecimal digits are a header value")
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn a_value_is_a_prefix_and_sixteen_digits_in_lower_case_or_several_joined_by_commas() {
        let read = |text: &str| {
            stamps(&HeaderValue::from_bytes(text.as_bytes()).unwrap()).collect::<Vec<_>>()
        };
        let [one, two] = [0x0123_4567_89ab_cdef, 2].map(Timestamp::from_bits);
        assert_eq!(read("hlc-0123456789abcdef"), [one]);
        assert_eq!(read("hlc-0123456789abcdef, hlc-0000000000000002"), [one, two]);
        assert_eq!(read(",hlc-0123456789abcdef,soon,,\thlc-0000000000000002 ,"), [one, two]);
        for garbage in [
            "",
            ",",
            // Of another header: a span's, a trace's, `traceparent`, `b3`, a UUID.
            "0123456789abcdef",
            "0af7651916cd43dd8448eb211c80319c",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "67e55044-10b1-426f-9247-bb680e5fe0c8",
            "hlc-0123456789ABCDEF",
            "hlc-123456789abcdef",
            "hlc-00123456789abcdef",
            "hlc-+123456789abcdef",
            "hlc--123456789abcdef",
            "hlc-0x23456789abcdef",
            "hlc-0123456789abcde\u{fc}",
            "hlc-01234567 89abcdef",
            "hlc-0123456789abcdef-0000000000000003",
            "2026-11-24T03:59:35.123400Z+00042",
        ] {
            assert_eq!(read(garbage), [], "{garbage:?}");
        }
    }

    proptest! {
        #[test]
        fn a_stamp_comes_back_from_its_value(bits: u64) {
            let sent = Timestamp::from_bits(bits);
            prop_assert_eq!(stamps(&value_of(sent)).collect::<Vec<_>>(), [sent]);
        }

        #[test]
        fn what_is_read_is_what_is_written(bytes in prop_oneof![vec(any::<u8>(), 0..40), "(hlc-)?[0-9a-fA-F+-]{15,17}".prop_map(String::into_bytes)]) {
            if let Some(read) = stamp(&bytes) {
                let value = value_of(read);
                prop_assert_eq!(value.as_bytes(), &bytes[..]);
            }
        }
    }
}
