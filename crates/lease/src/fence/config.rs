//! The configuration, checked once.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use steadfast_core::{ConfigError, FencingToken, SystemWallClock, WallClock};

use super::mark::FenceMark;

/// What a [`Fence`](crate::Fence) believes, and what becomes of calls under older tokens.
///
/// | | default | why |
/// |---|---|---|
/// | `ahead` | a day ahead of the wall clock | tokens come from clocks that may be hours wrong; a wrong one closes a resource for a day at most |
/// | `older` | wait | a dropped future does not stop a statement that was sent |
/// | `patience` | 5 s | longer than most calls take, shorter than clients are patient |
/// | `retry_after` | 1 s | what a call is told that has waited in vain |
/// | `floor` | none | only the program knows what a resource has seen before |
#[derive(Clone)]
#[must_use]
pub struct FenceConfig {
    name: Option<Arc<str>>,
    settings: Settings,
    clock: Arc<dyn WallClock>,
}

/// What is left to know once it is checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) ahead: Ahead,
    pub(crate) older: OlderCalls,
    pub(crate) patience: Duration,
    pub(crate) retry_after: Duration,
    pub(crate) floor: Option<FencingToken>,
}

/// How great a token is believed. One that is greater is refused, for a resource that accepts it
/// accepts no other before that is surpassed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ahead {
    /// Up to the microseconds since 1970 by the wall clock here, and this much more. For tokens
    /// that this crate's stores make: the greatest that they can be.
    ///
    /// A clock here that is behind by more refuses every new holder. That is safe, and seen.
    OfClock(Duration),
    /// Up to this many above the highest token seen, or above the
    /// [`floor`](FenceConfig::floor), or above zero. For tokens from a counter.
    OfHighest(u64),
}

/// What a newer call does about older ones, which it must not run beside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OlderCalls {
    /// It waits for their ends.
    #[default]
    Wait,
    /// It cancels them: their futures are dropped as soon as their tasks are polled, and then the
    /// newer call begins.
    ///
    /// Only for effects inside this process. A statement, a message or a request that was sent has
    /// its effect, whatever becomes of the future that sent it.
    Cancel,
}

/// Longer than any caller waits, and short enough to be added to any time.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

impl FenceConfig {
    /// The defaults.
    pub fn new() -> Self {
        let settings = Settings {
            ahead: Ahead::OfClock(Duration::from_secs(86_400)),
            older: OlderCalls::Wait,
            patience: Duration::from_secs(5),
            retry_after: Duration::from_secs(1),
            floor: None,
        };
        Self { name: None, settings, clock: Arc::new(SystemWallClock) }
    }

    /// The name in metrics and events: `default` unless it is given.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How great a token is believed: a duration up to 10 years.
    pub fn ahead(mut self, ahead: Ahead) -> Self {
        self.settings.ahead = ahead;
        self
    }

    /// What a newer call does about older ones.
    pub fn older(mut self, older: OlderCalls) -> Self {
        self.settings.older = older;
        self
    }

    /// How long a newer call waits for older ones to end: up to 10 years. Zero: it is refused at
    /// once where there are any. The older calls are shut out either way.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.settings.patience = patience;
        self
    }

    /// When a call is told to come back that has waited in vain.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.settings.retry_after = after;
        self
    }

    /// The highest token that the resource has seen before, as far as that is known.
    pub fn floor(mut self, floor: FencingToken) -> Self {
        self.settings.floor = Some(floor);
        self
    }

    /// The clock that [`Ahead::OfClock`] means: the system's unless it is given.
    pub fn wall_clock(mut self, clock: impl WallClock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    pub(crate) fn check(self) -> Result<(Arc<str>, Rules), ConfigError> {
        let Settings { ahead, patience, retry_after, .. } = self.settings;
        if let Ahead::OfClock(ahead) = ahead {
            ConfigError::require(ahead <= LONGEST, "ahead", ahead, "up to 10 years")?;
        }
        ConfigError::require(patience <= LONGEST, "patience", patience, "up to 10 years")?;
        ConfigError::require(retry_after <= LONGEST, "retry_after", retry_after, "up to 10 years")?;
        let rules = Rules { settings: self.settings, clock: self.clock };
        Ok((self.name.unwrap_or_else(|| "default".into()), rules))
    }
}

impl Default for FenceConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FenceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FenceConfig")
            .field("name", &self.name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The settings, and the clock that they mean.
pub(crate) struct Rules {
    pub(crate) settings: Settings,
    clock: Arc<dyn WallClock>,
}

impl Rules {
    /// The greatest token that is believed of a resource with this mark.
    pub(crate) fn most(&self, highest: Option<FenceMark>) -> FencingToken {
        let most = match self.settings.ahead {
            Ahead::OfClock(ahead) => {
                // A clock before 1970 is as wrong as one in it.
                let now = self.clock.now().duration_since(SystemTime::UNIX_EPOCH);
                let most_us = (now.unwrap_or_default() + ahead).as_micros();
                u64::try_from(most_us).unwrap_or(u64::MAX)
            }
            Ahead::OfHighest(ahead) => {
                highest.map_or(0, |highest| highest.token().get()).saturating_add(ahead)
            }
        };
        FencingToken::try_from(most).unwrap_or(FencingToken::MAX)
    }

    /// What a resource remembers that has seen nothing.
    pub(crate) fn floor(&self) -> Option<FenceMark> {
        self.settings.floor.map(FenceMark::new)
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use steadfast_core::ManualWallClock;

    use super::*;

    fn most(config: FenceConfig, highest: Option<u64>) -> u64 {
        let highest = highest.map(|token| FenceMark::new(FencingToken::try_from(token).unwrap()));
        config.check().unwrap().1.most(highest).get()
    }

    #[test]
    fn the_greatest_token_is_so_far_ahead_of_the_clock_in_microseconds() {
        let clock =
            ManualWallClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000));
        let config = FenceConfig::new().wall_clock(clock);
        assert_eq!(most(config, Some(7)), 1_790_000_000_000_000 + 86_400_000_000);
        let before = ManualWallClock::new(SystemTime::UNIX_EPOCH - Duration::from_secs(9));
        let config = FenceConfig::new().ahead(Ahead::OfClock(Duration::from_micros(3)));
        assert_eq!(most(config.wall_clock(before), None), 3);
    }

    #[test]
    fn the_greatest_token_is_so_far_ahead_of_the_highest() {
        let config = FenceConfig::new().ahead(Ahead::OfHighest(10));
        assert_eq!([None, Some(7)].map(|highest| most(config.clone(), highest)), [10, 17]);
        let config = FenceConfig::new().ahead(Ahead::OfHighest(u64::MAX));
        assert_eq!(most(config, Some(7)), FencingToken::MAX.get());
    }

    #[test]
    fn times_beyond_reason_are_refused_by_name() {
        let field = |config: FenceConfig| config.check().unwrap_err().field;
        assert_eq!(field(FenceConfig::new().ahead(Ahead::OfClock(Duration::MAX))), "ahead");
        assert_eq!(field(FenceConfig::new().patience(Duration::MAX)), "patience");
        assert_eq!(field(FenceConfig::new().retry_after(Duration::MAX)), "retry_after");
    }
}
