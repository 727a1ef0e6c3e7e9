//! How long a body may take.

use std::time::Duration;

use steadfast_core::ConfigError;

/// How long a body may take. There is no default: an event stream is silent for hours, and others
/// give up after 20 s (AWS' SDKs, either way) or five minutes (Envoy's `stream_idle_timeout`). At
/// least one of the two is set.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a configuration does nothing until a layer is made of it"]
pub struct BodyTimeoutConfig {
    between_frames: Option<Duration>,
    whole: Option<Duration>,
}

/// The limits, of which there is one at least.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) between_frames: Option<Duration>,
    pub(super) whole: Option<Duration>,
}

impl BodyTimeoutConfig {
    /// With nothing set.
    pub const fn new() -> Self {
        Self { between_frames: None, whole: None }
    }

    /// The longest that the reader waits for a frame, the first one included; above zero. A reader
    /// that does not ask for the next frame is not timed.
    pub const fn between_frames(mut self, limit: Duration) -> Self {
        self.between_frames = Some(limit);
        self
    }

    /// The longest from the head to the end of the body; above zero. It too ends a body only while
    /// a frame is waited for: what has come in time is read.
    pub const fn whole(mut self, limit: Duration) -> Self {
        self.whole = Some(limit);
        self
    }

    pub(super) fn check(self) -> Result<Limits, ConfigError> {
        let Self { between_frames, whole } = self;
        for (name, limit) in [("between_frames", between_frames), ("whole", whole)] {
            let is_zero = limit.is_some_and(|limit| limit.is_zero());
            ConfigError::require(!is_zero, name, limit, "above zero")?;
        }
        let is_set = between_frames.is_some() || whole.is_some();
        ConfigError::require(is_set, "between_frames", between_frames, "set, or `whole` is")?;
        Ok(Limits { between_frames, whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_nothing_at_all_are_refused_with_field_and_value() {
        let refused = |config: BodyTimeoutConfig| {
            let error = config.check().unwrap_err();
            (error.field, error.value)
        };
        let new = BodyTimeoutConfig::new;
        let second = Duration::from_secs(1);
        assert_eq!(refused(new()), ("between_frames", "None".to_owned()));
        let none = new().whole(second).between_frames(Duration::ZERO);
        assert_eq!(refused(none), ("between_frames", "Some(0ns)".to_owned()));
        assert_eq!(refused(new().whole(Duration::ZERO)), ("whole", "Some(0ns)".to_owned()));
        for config in [new().whole(Duration::MAX), new().between_frames(second)] {
            assert!(config.check().is_ok());
        }
    }
}
