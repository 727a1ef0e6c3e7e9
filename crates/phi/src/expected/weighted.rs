//! Chen's window, or the two of 2W, in constant memory.

/// The mean of all offsets with weights that fall exponentially with age, so that the mean age is
/// that of a window: 2 / (n + 1) for the newest. Until there are half as many heartbeats as that,
/// it is the plain mean.
///
/// It is relative to the last offset, and each heartbeat multiplies what it was by less than one:
/// no rounding adds up.
#[derive(Clone, Debug)]
pub(crate) struct Weighted {
    long_us: f64,
    short_us: f64,
    /// How many heartbeats the windows stand for, less one.
    long: u16,
    short: u16,
    /// Heartbeats, as far as they matter.
    heard: u16,
    /// Whether the short window counts. (As a `bool` beside the others it also leaves the compiler
    /// room to tell the kinds of expectation apart, which keeps a peer small.)
    two: bool,
}

impl Weighted {
    /// In place of windows from 1 to 65,536 heartbeats.
    pub(crate) fn new(long: u32, short: Option<u32>) -> Self {
        let less_one = |size: u32| u16::try_from(size.saturating_sub(1)).unwrap_or(u16::MAX);
        let (long, two) = (less_one(long), short.is_some());
        let short = short.map_or(0, less_one);
        Self { long_us: 0.0, short_us: 0.0, long, short, heard: 0, two }
    }

    pub(crate) fn begin(&mut self) {
        *self = Self { long_us: 0.0, short_us: 0.0, heard: 1, ..*self };
    }

    pub(crate) fn shift(&mut self, difference_us: i32) {
        self.heard = self.heard.saturating_add(1);
        let heard = f64::from(self.heard);
        let shifted = |mean: f64, less_one: u16| {
            let weight = heard.min(f64::from(less_one) / 2.0 + 1.0).recip();
            (1.0 - weight) * (mean - f64::from(difference_us))
        };
        self.long_us = shifted(self.long_us, self.long);
        // One heartbeat's mean is its own offset.
        self.short_us = if self.short == 0 { 0.0 } else { shifted(self.short_us, self.short) };
    }

    pub(crate) fn mean_us(&self) -> f64 {
        if self.two { self.long_us.max(self.short_us) } else { self.long_us }
    }

    pub(crate) fn window(&self) -> u32 {
        u32::from(self.long) + 1
    }
}
