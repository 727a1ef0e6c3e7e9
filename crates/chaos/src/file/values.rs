//! Lengths of time and ranges, as a person writes them.

use std::{ops::Range, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, de};

/// A length of time, as `150ms`.
#[derive(Clone, Copy)]
pub(super) struct Length(pub(super) Duration);

impl std::fmt::Debug for Length {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Length {
    type Err = humantime::DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_duration(text).map(Self)
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// A range, as `3s..11s`: either end may be missing.
#[derive(Clone, Copy)]
pub(super) struct Bounds<T> {
    pub(super) from: Option<T>,
    pub(super) until: Option<T>,
}

impl Bounds<Length> {
    pub(super) fn times(&self) -> Range<Duration> {
        let end = |length: Option<Length>, open| length.map_or(open, |length| length.0);
        end(self.from, Duration::ZERO)..end(self.until, Duration::MAX)
    }
}

impl<'de, T: FromStr<Err: std::fmt::Display>> Deserialize<'de> for Bounds<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let (from, until) = text.split_once("..").ok_or_else(|| {
            de::Error::custom("no range: its ends have `..` between them, as in `3s..11s`")
        })?;
        let end = |text: &str| match text.trim() {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(de::Error::custom),
        };
        Ok(Self { from: end(from)?, until: end(until)? })
    }
}
