//! Chen's window, or the two of 2W, exactly: O(1) a heartbeat.

/// The mean of the last offsets, over one or two windows.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    /// The differences of successive offsets, one fewer than the long window holds heartbeats. It
    /// grows as they come: a peer that is new is small.
    differences: Vec<i32>,
    /// Where the oldest difference is, and the next will be, once there are as many as needed.
    next: usize,
    long: Span,
    short: Option<Span>,
}

/// One window over the differences.
#[derive(Clone, Debug)]
struct Span {
    /// How many heartbeats it may hold, and holds.
    size: u32,
    held: u32,
    /// Σ (offset − last offset) over those held. It fits: with 65,536 heartbeats whose successive
    /// offsets all differ by 2³¹ µs, the sum is below 2⁶².
    sum_us: i64,
    /// Offset of the oldest held − last offset.
    oldest_us: i64,
}

impl Windows {
    /// Windows that hold nothing yet: from 1 to 65,536 heartbeats, `short` fewer than `long`.
    pub(crate) fn new(long: u32, short: Option<u32>) -> Self {
        let (long, short) = (Span::new(long), short.map(Span::new));
        Self { differences: Vec::new(), next: 0, long, short }
    }

    pub(crate) fn begin(&mut self) {
        self.differences.clear();
        self.next = 0;
        self.long.begin();
        self.short.iter_mut().for_each(Span::begin);
    }

    pub(crate) fn shift(&mut self, difference_us: i32) {
        let Self { differences, next, long, short } = self;
        let leaving = |age| Self::back(differences, *next, difference_us, age);
        long.shift(difference_us, leaving);
        if let Some(short) = short {
            short.shift(difference_us, leaving);
        }
        self.push(difference_us);
    }

    pub(crate) fn mean_us(&self) -> f64 {
        let long = self.long.mean_us();
        self.short.as_ref().map_or(long, |short| short.mean_us().max(long))
    }

    pub(crate) fn window(&self) -> u32 {
        self.long.size
    }

    /// The difference `age` before `newest`, which is not stored yet.
    fn back(differences: &[i32], next: usize, newest: i32, age: usize) -> i32 {
        if age == 0 {
            return newest;
        }
        let index = if age <= next { next - age } else { next + differences.len() - age };
        differences[index]
    }

    fn push(&mut self, difference_us: i32) {
        let full = self.long.size as usize - 1;
        if self.differences.len() < full {
            let len = self.differences.len();
            if len == self.differences.capacity() {
                self.differences.reserve_exact(len.clamp(8, full.max(8)).min(full - len));
            }
            self.differences.push(difference_us);
        } else if full > 0 {
            self.differences[self.next] = difference_us;
            self.next += 1;
        }
        if self.next == full || self.differences.len() < full {
            self.next = 0;
        }
    }
}

impl Span {
    fn new(size: u32) -> Self {
        Self { size, held: 0, sum_us: 0, oldest_us: 0 }
    }

    fn begin(&mut self) {
        *self = Self { held: 1, ..Self::new(self.size) };
    }

    /// The newest offset becomes the one that all are relative to. Where the oldest has to leave,
    /// `back` is asked for the difference to its successor, so many before the newest one.
    fn shift(&mut self, difference_us: i32, back: impl FnOnce(usize) -> i32) {
        if self.size == 1 {
            return;
        }
        let difference = i64::from(difference_us);
        self.sum_us -= i64::from(self.held) * difference;
        self.oldest_us -= difference;
        if self.held < self.size {
            self.held += 1;
            return;
        }
        self.sum_us -= self.oldest_us;
        self.oldest_us += i64::from(back(self.size as usize - 1));
    }

    #[expect(clippy::cast_precision_loss, reason = "16 digits of microseconds are enough")]
    fn mean_us(&self) -> f64 {
        if self.size == 1 {
            return 0.0;
        }
        self.sum_us as f64 / f64::from(self.held.max(1))
    }
}

#[cfg(test)]
impl Windows {
    pub(crate) fn capacity(&self) -> usize {
        self.differences.capacity()
    }
}
