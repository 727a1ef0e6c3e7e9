//! How a detector with a margin is made.

use std::time::Duration;

use steadfast_core::ConfigError;

use crate::{
    MistakeRate,
    calibration::Asked,
    expected::{Expected, Schedule, Weighted, Windows},
};

const HOUR: Duration = Duration::from_secs(3_600);
const MICROSECOND: Duration = Duration::from_micros(1);
/// As many heartbeats as a window may hold: for so many the sums are seen to fit.
const WIDEST: u32 = 65_536;

/// How long beyond the expected arrival a peer may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Margin {
    /// Always as long: above zero, at most an hour.
    Constant(Duration),
    /// As long as it takes to be wrong as often as asked. It learns from mistakes, so it makes some
    /// first: 8 on the way from one period to 60. Peers that really restart must say so, by a new
    /// [`incarnation`](crate::Heartbeat::incarnation) or by being forgotten; otherwise each restart
    /// is taken for a mistake, and the margin grows until it spans them. (Only numbers that begin
    /// again [give it away](crate::Heartbeat::sequence), after eight heartbeats.)
    Calibrated(MistakeRate),
}

/// When the next heartbeat is expected, and how long beyond that a peer may be silent: plain data,
/// checked by [`MarginDetector::new`](crate::MarginDetector::new).
///
/// The period is the time between heartbeats as they are sent, above zero and at most an hour.
/// Where it is not quite the sender's, nothing breaks, but a long window is late or early by half
/// of its length times the error: with 1,000 heartbeats, 1 % costs five periods. A period that is
/// told ten times too long costs 450 of it, and numbers that grow by ten cost 4,500: such a peer is
/// convicted far too late.
#[derive(Clone, Copy, Debug)]
#[must_use = "a configuration does nothing until a detector is made of it"]
pub struct MarginConfig {
    method: Method,
    period: Duration,
    margin: Margin,
    window: Option<u32>,
    short_window: Option<u32>,
    weighted: bool,
    first_margin: Option<Duration>,
    floor: Option<Duration>,
    ceiling: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    LastArrival,
    Chen,
    TwoWindows,
}

impl MarginConfig {
    /// A fixed timeout where the margin is constant: it counts from the last heartbeat.
    pub const fn last_arrival(period: Duration, margin: Margin) -> Self {
        Self::of(Method::LastArrival, period, margin)
    }

    /// Chen's detector: the margin counts from the mean of the last 1,000 numbered heartbeats
    /// (Chen, Toueg and Aguilera, 2002). While heartbeats have no number, as
    /// [`last_arrival`](Self::last_arrival).
    ///
    /// A sender that stands still and then numbers on sends late from then on. Where it stood still
    /// for longer than a period and the margin, each of its heartbeats comes after its deadline
    /// until the window has slid most of the way; [`two_windows`](Self::two_windows) follows at
    /// once.
    pub const fn chen(period: Duration, margin: Margin) -> Self {
        Self::of(Method::Chen, period, margin)
    }

    /// 2W: the margin counts from the later of what Chen's detector expects by the last numbered
    /// heartbeat alone and by the last 1,000 (Tomsic and others, 2015, whose best windows these
    /// are). While heartbeats have no number, as [`last_arrival`](Self::last_arrival).
    pub const fn two_windows(period: Duration, margin: Margin) -> Self {
        Self::of(Method::TwoWindows, period, margin)
    }

    const fn of(method: Method, period: Duration, margin: Margin) -> Self {
        Self {
            method,
            period,
            margin,
            window: None,
            short_window: None,
            weighted: false,
            first_margin: None,
            floor: None,
            ceiling: None,
        }
    }

    /// How many heartbeats Chen's window holds, or the long one of 2W: from 1 to 65,536, 1,000 if
    /// not set. It takes four bytes for each.
    pub const fn window(self, heartbeats: u32) -> Self {
        Self { window: Some(heartbeats), ..self }
    }

    /// How many heartbeats the short window of 2W holds: at least 1, if not set, and fewer than the
    /// long one.
    pub const fn short_window(self, heartbeats: u32) -> Self {
        Self { short_window: Some(heartbeats), ..self }
    }

    /// Weights that fall exponentially with age in place of windows, with the same mean age. A peer
    /// then takes constant memory, and is expected almost when the windows expect it.
    pub const fn weighted(self) -> Self {
        Self { weighted: true, ..self }
    }

    /// The margin from which a calibrated one learns. Two periods if not set: most peers are seldom
    /// later, and from there one mistake costs little.
    pub const fn first_margin(self, margin: Duration) -> Self {
        Self { first_margin: Some(margin), ..self }
    }

    /// The least a calibrated margin becomes, at least 1 µs. A tenth of the period if not set: on a
    /// network that hardly varies, less would make mistakes to save nothing.
    pub const fn floor(self, margin: Duration) -> Self {
        Self { floor: Some(margin), ..self }
    }

    /// The most a calibrated margin becomes, at most an hour: there the rate is no longer kept, for
    /// the sake of finding out at all. Ten minutes if not set, or ten periods if that is longer.
    pub const fn ceiling(self, margin: Duration) -> Self {
        Self { ceiling: Some(margin), ..self }
    }

    /// Whether every number is in its range.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        require_span("period", self.period)?;
        self.check_windows()?;
        match self.margin {
            Margin::Constant(margin) => {
                require_span("margin", margin)?;
                let unset = "left alone where the margin is constant";
                require_unset("first_margin", self.first_margin, unset)?;
                require_unset("floor", self.floor, unset)?;
                require_unset("ceiling", self.ceiling, unset)
            }
            Margin::Calibrated(rate) => rate.check().and_then(|()| self.check_bounds()),
        }
    }

    fn check_windows(&self) -> Result<(), ConfigError> {
        let (long, short) = (self.window, self.short_window);
        if self.method == Method::LastArrival {
            require_unset("window", long, "left alone where the last arrival counts")?;
        }
        if self.method != Method::TwoWindows {
            require_unset("short_window", short, "left alone where there are not two")?;
        }
        let (long, short) = (self.long(), short.unwrap_or(1));
        let size = "from 1 to 65,536";
        ConfigError::require((1..=WIDEST).contains(&long), "window", long, size)?;
        ConfigError::require((1..=WIDEST).contains(&short), "short_window", short, size)?;
        let shorter = self.method != Method::TwoWindows || short < long;
        ConfigError::require(shorter, "short_window", short, "below the long window")
    }

    fn check_bounds(&self) -> Result<(), ConfigError> {
        let (floor, ceiling) = self.bounds();
        let in_range = |margin| (MICROSECOND..=HOUR).contains(&margin);
        let range = "from 1 µs to an hour";
        ConfigError::require(in_range(floor), "floor", floor, range)?;
        ConfigError::require(in_range(ceiling), "ceiling", ceiling, range)?;
        ConfigError::require(floor < ceiling, "floor", floor, "below the ceiling")?;
        let first = self.first();
        let between = (floor..=ceiling).contains(&first);
        ConfigError::require(between, "first_margin", first, "from the floor to the ceiling")
    }

    pub(crate) fn schedule(&self) -> Schedule {
        let short = (self.method == Method::TwoWindows).then(|| self.short_window.unwrap_or(1));
        let expected = match (self.method, self.weighted) {
            (Method::LastArrival, _) => Expected::LastArrival,
            (_, true) => Expected::Weighted(Weighted::new(self.long(), short)),
            (_, false) => Expected::Windows(Box::new(Windows::new(self.long(), short))),
        };
        Schedule::new(expected)
    }

    pub(crate) fn period_ns(&self) -> i64 {
        i64::try_from(self.period.as_nanos()).expect("an hour at most")
    }

    /// The margin in seconds, or what it is asked for.
    pub(crate) fn margin(&self) -> Result<f64, Asked> {
        let (floor, ceiling) = self.bounds();
        match self.margin {
            Margin::Constant(margin) => Ok(margin.as_secs_f64()),
            Margin::Calibrated(rate) => Err(Asked::new(rate, self.first(), floor, ceiling)),
        }
    }

    fn long(&self) -> u32 {
        self.window.unwrap_or(1_000)
    }

    fn bounds(&self) -> (Duration, Duration) {
        let longest = (10 * self.period).clamp(HOUR / 6, HOUR);
        let ceiling = self.ceiling.unwrap_or(longest);
        let least = (self.period / 10).max(MICROSECOND).min(ceiling / 2);
        (self.floor.unwrap_or(least), ceiling)
    }

    fn first(&self) -> Duration {
        let (floor, ceiling) = self.bounds();
        self.first_margin.unwrap_or_else(|| (2 * self.period).max(floor).min(ceiling))
    }
}

fn require_span(field: &'static str, span: Duration) -> Result<(), ConfigError> {
    let in_range = !span.is_zero() && span <= HOUR;
    ConfigError::require(in_range, field, span, "above zero and at most an hour")
}

fn require_unset<T: std::fmt::Debug>(
    field: &'static str,
    value: Option<T>,
    rule: &'static str,
) -> Result<(), ConfigError> {
    value.map_or(Ok(()), |value| Err(ConfigError::new(field, value, rule)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const DAILY: Margin = Margin::Calibrated(MistakeRate::once_in(Duration::from_secs(86_400)));

    #[test]
    fn what_cannot_work_is_refused_with_field_and_value() {
        let fixed = |margin| MarginConfig::last_arrival(100 * MS, Margin::Constant(margin));
        let two = |margin| MarginConfig::two_windows(100 * MS, margin);
        let rate = |span| two(Margin::Calibrated(MistakeRate::once_in(span)));
        let chen = MarginConfig::chen(100 * MS, DAILY);
        let over = HOUR + MS;
        let refused = [
            (MarginConfig::chen(Duration::ZERO, DAILY), "period", "0ns"),
            (MarginConfig::chen(over, DAILY), "period", "3600.001s"),
            (fixed(Duration::ZERO), "margin", "0ns"),
            (fixed(over), "margin", "3600.001s"),
            (fixed(MS).window(5), "window", "5"),
            (fixed(MS).short_window(5), "short_window", "5"),
            (fixed(MS).floor(MS), "floor", "1ms"),
            (fixed(MS).ceiling(MS), "ceiling", "1ms"),
            (fixed(MS).first_margin(MS), "first_margin", "1ms"),
            (rate(Duration::ZERO), "once_in", "0ns"),
            (rate(11 * LONGEST_YEAR), "once_in", "346896000s"),
            (chen.window(0), "window", "0"),
            (chen.window(65_537), "window", "65537"),
            (chen.short_window(5), "short_window", "5"),
            (two(DAILY).short_window(0), "short_window", "0"),
            (two(DAILY).short_window(1_000), "short_window", "1000"),
            (two(DAILY).window(1), "short_window", "1"),
            (two(DAILY).floor(Duration::from_nanos(1)), "floor", "1ns"),
            (two(DAILY).ceiling(over), "ceiling", "3600.001s"),
            (two(DAILY).floor(2 * MS).ceiling(MS), "floor", "2ms"),
            (two(DAILY).first_margin(MS), "first_margin", "1ms"),
            (two(DAILY).first_margin(HOUR), "first_margin", "3600s"),
        ];
        for (config, field, value) in refused {
            let error = config.check().expect_err(field);
            assert_eq!((error.field, error.value.as_str()), (field, value), "{error}");
        }
    }

    const LONGEST_YEAR: Duration = Duration::from_secs(365 * 86_400);

    #[test]
    fn defaults_and_extremes_of_every_period_work() {
        for period in [Duration::from_nanos(1), MS, 1_000 * MS, HOUR] {
            for config in [MarginConfig::last_arrival, MarginConfig::two_windows] {
                config(period, DAILY).check().expect("a default fits its period");
                config(period, DAILY).weighted().check().expect("weights need nothing");
            }
        }
        let long = MarginConfig::two_windows(HOUR, DAILY).window(65_536).short_window(65_535);
        long.first_margin(HOUR).check().expect("the bounds belong to the range");
    }
}
