//! How long a body may take.

use std::{sync::Arc, time::Duration};

use steadfast_core::{ConfigError, Select, parts::Lane};

use crate::{LimitConfig, TimeLimit, shared::Shared};

/// How long a body may take. There is no default: an event stream is silent for hours, and others
/// give up after 20 s (AWS' SDKs, either way) or five minutes (Envoy's `stream_idle_timeout`). One
/// limit at least is set.
///
/// `H` chooses the limit between frames where that is [`adaptive`](Self::adaptive).
#[derive(Clone, Debug)]
#[must_use = "a configuration does nothing until a layer is made of it"]
pub struct BodyTimeoutConfig<H = TimeLimit> {
    between_frames: Option<Duration>,
    whole: Option<Duration>,
    adaptive: Option<H>,
    name: Option<Arc<str>>,
}

/// The limits, of which there is one at least.
#[derive(Clone, Debug)]
pub(super) struct Limits<H> {
    between: Between<H>,
    pub(super) whole: Option<Duration>,
}

/// Where the limit between frames comes from.
#[derive(Clone, Debug)]
enum Between<H> {
    /// Fixed, without end where only the whole has a limit.
    Own(TimeLimit),
    Chosen(H),
}

impl BodyTimeoutConfig {
    /// With nothing set.
    pub const fn new() -> Self {
        Self { between_frames: None, whole: None, adaptive: None, name: None }
    }

    /// The longest that the reader waits for a frame, the first one included; above zero. A reader
    /// that does not ask for the next frame is not timed.
    pub const fn between_frames(mut self, limit: Duration) -> Self {
        self.between_frames = Some(limit);
        self
    }

    /// Learns the limit between frames from the bodies that are read to their end, in place of a
    /// fixed one: a [`TimeLimit`], best made of
    /// [`LimitConfig::between_frames`], or one for each key, as
    /// [`TimeLimit::per_key`] makes them. It has a name of its own.
    ///
    /// **One sample a body: its longest wait.** A limit from the waits for each frame would cut
    /// nearly all bodies of a thousand frames: each of them draws a thousand times. Of bodies that
    /// differ much in length the long ones are rare and draw more often, so keep a limit for each
    /// route; the floor of a second is for what is left.
    ///
    /// No sample is a body of which all frames were ready at once; one that breaks off; and one
    /// that is dropped before its end, for how long its reader had patience tells nothing of its
    /// frames. So streams that never end teach nothing, and have the cold start, which is the
    /// ceiling. A wait that the limit ends is none either: a few go on to the ceiling and find out
    /// what lies there, as calls do under a [`TimeLimit`], and a frame that comes after all speaks
    /// for those that were cut.
    pub fn adaptive<H>(self, limit: H) -> BodyTimeoutConfig<H> {
        let Self { between_frames, whole, adaptive: _, name } = self;
        BodyTimeoutConfig { between_frames, whole, adaptive: Some(limit), name }
    }
}

impl<H> BodyTimeoutConfig<H> {
    /// The longest from the head to the end of the body; above zero. It too ends a body only while
    /// a frame is waited for: what has come in time is read.
    #[expect(clippy::missing_const_for_fn, reason = "a handle may have a destructor")]
    pub fn whole(mut self, limit: Duration) -> Self {
        self.whole = Some(limit);
        self
    }

    /// The name that labels metrics and events of fixed limits; `default` without one. An
    /// [`adaptive`](BodyTimeoutConfig::adaptive) limit has its own.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    pub(super) fn check(self) -> Result<Limits<H>, ConfigError> {
        let Self { between_frames, whole, adaptive, name } = self;
        for (field, limit) in [("between_frames", between_frames), ("whole", whole)] {
            let is_zero = limit.is_some_and(|limit| limit.is_zero());
            ConfigError::require(!is_zero, field, limit, "above zero")?;
        }
        let is_set = between_frames.is_some() || whole.is_some() || adaptive.is_some();
        ConfigError::require(
            is_set,
            "between_frames",
            between_frames,
            "set, or `whole`, or `adaptive`",
        )?;
        let between = match adaptive {
            Some(limit) => {
                let is_alone = between_frames.is_none();
                let rule = "not set beside an adaptive limit";
                ConfigError::require(is_alone, "between_frames", between_frames, rule)?;
                ConfigError::require(name.is_none(), "named", &name, rule)?;
                Between::Chosen(limit)
            }
            None => Between::Own(fixed(between_frames, name)?),
        };
        Ok(Limits { between, whole })
    }
}

impl Default for BodyTimeoutConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl<H> Limits<H> {
    /// The limit of the body that belongs to `request`.
    pub(super) fn lane<Req>(&self, request: &Req) -> Arc<Lane<Shared>>
    where
        H: Select<Req, Handle = TimeLimit>,
    {
        match &self.between {
            Between::Own(limit) => limit.lane(),
            Between::Chosen(handle) => handle.select(request).lane(),
        }
    }
}

fn fixed(limit: Option<Duration>, name: Option<Arc<str>>) -> Result<TimeLimit, ConfigError> {
    let config = LimitConfig::fixed(limit.unwrap_or(Duration::MAX));
    TimeLimit::new(match name {
        Some(name) => config.named(name),
        None => config,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn zero_and_nothing_at_all_are_refused_with_field_and_value() {
        let refused = |config: BodyTimeoutConfig| {
            let error = config.check().unwrap_err();
            (error.field, error.value)
        };
        let new = BodyTimeoutConfig::new;
        assert_eq!(refused(new()), ("between_frames", "None".to_owned()));
        let none = new().whole(SECOND).between_frames(Duration::ZERO);
        assert_eq!(refused(none), ("between_frames", "Some(0ns)".to_owned()));
        assert_eq!(refused(new().whole(Duration::ZERO)), ("whole", "Some(0ns)".to_owned()));
        for config in [new().whole(Duration::MAX), new().between_frames(SECOND)] {
            assert!(config.check().is_ok());
        }
    }

    #[test]
    fn a_fixed_limit_or_a_name_beside_an_adaptive_one_is_refused() {
        let adaptive = |config: BodyTimeoutConfig| {
            let limit = TimeLimit::new(LimitConfig::between_frames(30 * SECOND)).unwrap();
            config.adaptive(limit).check()
        };
        assert!(adaptive(BodyTimeoutConfig::new()).is_ok());
        let error = adaptive(BodyTimeoutConfig::new().between_frames(SECOND)).unwrap_err();
        assert_eq!((error.field, error.value.as_str()), ("between_frames", "Some(1s)"));
        let error = adaptive(BodyTimeoutConfig::new().named("stock")).unwrap_err();
        assert_eq!((error.field, error.value.as_str()), ("named", "Some(\"stock\")"));
    }
}
