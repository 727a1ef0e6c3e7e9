//! When the next heartbeat is expected, by the numbers of those before.
//!
//! The heartbeat with the number s was sent s periods after its sender began, so its arrival A less
//! s periods, its *offset*, is the same for all but for the delay of the network. Chen's detector
//! (Chen, Toueg and Aguilera, *On the quality of service of failure detectors*, 2002) expects the
//! next heartbeat at the mean offset of the last n, plus the periods of its number. The two windows
//! of 2W (Tomsic and others, *2W-FD: a failure detector algorithm with QoS*, 2015) expect it at the
//! later of that over a short and over a long window: the short one follows a delay that has just
//! grown, the long one remembers it.
//!
//! Offsets grow without bound when the period that was told is not quite the sender's, so none is
//! stored: windows keep the *differences* of successive offsets, and sums are relative to the last
//! one.

mod weighted;
mod windows;

pub(crate) use self::{weighted::Weighted, windows::Windows};
use crate::overtaken::{Order, Overtaken};

/// The rule, with its windows.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    /// Nothing but the last arrival counts.
    LastArrival,
    /// The exact windows. They are boxed: a peer without them is small.
    Windows(Box<Windows>),
    /// Exponential weights in place of windows.
    Weighted(Weighted),
}

impl Expected {
    /// The windows hold one heartbeat, and nothing from before.
    fn begin(&mut self) {
        match self {
            Self::LastArrival => {}
            Self::Windows(windows) => windows.begin(),
            Self::Weighted(weighted) => weighted.begin(),
        }
    }

    /// One more heartbeat, whose offset is by so many microseconds larger than that of the last.
    fn shift(&mut self, difference_us: i32) {
        match self {
            Self::LastArrival => {}
            Self::Windows(windows) => windows.shift(difference_us),
            Self::Weighted(weighted) => weighted.shift(difference_us),
        }
    }

    /// The mean offset less the last one, in microseconds; the later of two windows.
    fn mean_us(&self) -> f64 {
        match self {
            Self::LastArrival => 0.0,
            Self::Windows(windows) => windows.mean_us(),
            Self::Weighted(weighted) => weighted.mean_us(),
        }
    }

    /// How many heartbeats the longest window holds.
    fn window(&self) -> u32 {
        match self {
            Self::LastArrival => 1,
            Self::Windows(windows) => windows.window(),
            Self::Weighted(weighted) => weighted.window(),
        }
    }
}

/// The numbers of one sender's heartbeats, and when the next one is expected.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    expected: Expected,
    /// The highest number heard.
    number: u64,
    /// From the arrival that the windows have of the highest number to the last arrival. Not zero
    /// after heartbeats that are no samples.
    since_ns: i64,
    /// The part of the last offset below a microsecond, so that differences sum up exactly.
    carry_ns: u16,
    overtaken: Overtaken,
    /// Whether any number was heard.
    numbered: bool,
}

impl Schedule {
    pub(crate) fn new(expected: Expected) -> Self {
        Self {
            expected,
            number: 0,
            since_ns: 0,
            carry_ns: 0,
            overtaken: Overtaken::default(),
            numbered: false,
        }
    }

    /// Another sender begins: nothing is known of its numbers.
    pub(crate) fn restart(&mut self, number: Option<u64>) {
        self.numbered = false;
        self.overtaken = Overtaken::default();
        // No period is looked at where no number was heard.
        self.hear(0, number, 0, true);
    }

    /// Whether a heartbeat says something new.
    pub(crate) fn order(&mut self, number: Option<u64>) -> Order {
        self.overtaken.order(number, self.numbered.then_some(self.number))
    }

    /// A heartbeat that is not stale arrived so long after the one before. Its arrival is a sample
    /// unless it was late by the observer's own fault.
    pub(crate) fn hear(
        &mut self,
        period_ns: i64,
        number: Option<u64>,
        interval_ns: i64,
        is_sample: bool,
    ) {
        let since_ns = self.since_ns.saturating_add(interval_ns);
        let Some(number) = number else {
            self.since_ns = since_ns;
            return;
        };
        let difference = self.difference_ns(period_ns, number, since_ns).filter(|_| self.numbered);
        self.number = number;
        self.numbered = true;
        self.since_ns = 0;
        match difference {
            None => {
                self.carry_ns = 0;
                self.expected.begin();
            }
            // As if it had come when its number was due.
            Some(difference) if !is_sample => self.since_ns = difference,
            Some(difference) => self.shift(difference),
        }
    }

    /// From the last arrival to the next that is expected, in seconds. It is negative where that
    /// should have come before, which only a window longer than 1 can say.
    #[expect(clippy::cast_precision_loss, reason = "16 digits of nanoseconds are enough")]
    pub(crate) fn location(&self, period_ns: i64) -> f64 {
        if !self.numbered || matches!(self.expected, Expected::LastArrival) {
            return 0.0;
        }
        let after_sample = period_ns as f64 * 1e-9 + self.expected.mean_us() * 1e-6;
        if self.since_ns == 0 {
            return after_sample;
        }
        // A heartbeat that is no sample proves life all the same.
        (after_sample - self.since_ns as f64 * 1e-9).max(0.0)
    }

    /// By how much the offset of `number` is larger than that of the last one. `None` where that is
    /// more than the windows are long: then the sender counts in another way than before, and what
    /// the windows hold says nothing of it. (Kept, a number that leaps ahead by an hour of periods
    /// would put off the next conviction by that hour.)
    fn difference_ns(&self, period_ns: i64, number: u64, since_ns: i64) -> Option<i64> {
        const LEAST: i64 = 60_000_000_000;
        const MOST: i64 = i32::MAX as i64 * 1_000;
        let periods = i64::try_from(number.saturating_sub(self.number)).ok()?;
        let difference = since_ns.checked_sub(period_ns.checked_mul(periods)?)?;
        let fits = |difference: u64, limit: i64| difference < limit.unsigned_abs();
        let size = difference.unsigned_abs();
        let window = || period_ns.saturating_mul(self.expected.window().into()).min(MOST);
        (fits(size, LEAST) || fits(size, window())).then_some(difference)
    }

    fn shift(&mut self, difference_ns: i64) {
        let ns = difference_ns + i64::from(self.carry_ns);
        let rest = ns.rem_euclid(1_000);
        self.carry_ns = u16::try_from(rest).expect("below 1,000");
        let us = i32::try_from(ns.div_euclid(1_000)).expect("the difference was seen to fit");
        self.expected.shift(us);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp, clippy::cast_precision_loss, reason = "tests")]
mod tests;
