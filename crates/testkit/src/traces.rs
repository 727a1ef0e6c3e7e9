//! Heartbeats as they are sent and as they arrive, over three networks: the traces by which failure
//! detectors are compared.
//!
//! Each is a formula over SplitMix64, so that every implementation finds the same figures, and an
//! iterator that streams, so that it can be run on for months. Beats are numbered as their sender
//! counts them. An arrival that is not later than all before it is dropped: a newer heartbeat has
//! said more. Times count from the start of the trace.

use std::{f64::consts::TAU, time::Duration};

/// One heartbeat.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beat {
    /// Its number, as its sender counts.
    pub sequence: u64,
    /// When it was sent.
    pub sent: Duration,
    /// When it arrived; `None` if it was lost, or overtaken by a later one.
    pub arrived: Option<Duration>,
}

impl Beat {
    /// In milliseconds; it arrives unless it is lost, or `newest`, the newest arrival, is later.
    fn new(sequence: u64, sent: f64, arrival: f64, lost: bool, newest: &mut f64) -> Self {
        let arrives = !lost && arrival > *newest;
        if arrives {
            *newest = arrival;
        }
        let span = |ms: f64| Duration::from_nanos((ms * 1e6 + 0.5) as u64);
        Self { sequence, sent: span(sent), arrived: arrives.then(|| span(arrival)) }
    }
}

/// One of the traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// [`Wan`].
    Wan,
    /// [`Lan`].
    Lan,
    /// [`Drift`].
    Drift,
}

impl Network {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Wan, Self::Lan, Self::Drift];

    /// The time between two beats as they are sent.
    #[must_use]
    pub const fn period(self) -> Duration {
        match self {
            Self::Wan => Wan::PERIOD,
            Self::Lan => Lan::PERIOD,
            Self::Drift => Drift::PERIOD,
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014), and what is drawn from it.
#[derive(Clone, Debug)]
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// Uniform, above 0 and below 1.
    fn u(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) * (1.0 / (1u64 << 53) as f64)
    }

    /// Exponential, of mean 1.
    fn e(&mut self) -> f64 {
        -self.u().ln()
    }

    /// Normal, of mean 0 and deviation 1 (Box and Muller).
    fn n(&mut self) -> f64 {
        let radius = (-2.0 * self.u().ln()).sqrt();
        radius * (TAU * self.u()).cos()
    }
}

/// A wide-area network, a beat each 103.5 ms: delays with a heavy tail that wander slowly, rare
/// spikes, and bursts of lost beats whose lengths have no mean to speak of.
#[derive(Clone, Debug)]
pub struct Wan {
    streams: [Draws; 4],
    next: u64,
    sent: f64,
    wander: f64,
    newest: f64,
    /// The first beat of the next burst of losses, or of the one under way, and the last.
    burst: (u64, u64),
}

impl Wan {
    /// The time between two beats.
    pub const PERIOD: Duration = Duration::from_micros(103_500);
    /// How many beats a trace has.
    pub const BEATS: usize = 400_000;

    /// The trace of `seed`, without an end.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let mut streams = [0, 1, 2, 3].map(|stream| Draws(seed + stream));
        let burst = Self::burst(&mut streams[3], 0);
        Self { streams, next: 0, sent: 0.0, wander: 0.0, newest: f64::NEG_INFINITY, burst }
    }

    /// The next burst after the beat `last`.
    fn burst(d: &mut Draws, last: u64) -> (u64, u64) {
        let first = last + 1 + (7200.0 * d.e()).floor() as u64;
        let length = d.u().powf(-1.0 / 0.9).floor().min(1093.0) as u64;
        (first, first + length - 1)
    }
}

impl Iterator for Wan {
    type Item = Beat;

    fn next(&mut self) -> Option<Beat> {
        let [a, b, c, d] = &mut self.streams;
        let sequence = self.next;
        self.next += 1;
        self.sent += 103.5 + 0.19 * a.n();
        self.wander = 0.999 * self.wander + 0.35 * b.n();
        let z = b.n();
        let mut delay = 135.1 + 6.85 * z * z + self.wander.max(0.0);
        if c.u() < 2e-4 {
            delay += 150.0 * c.e();
        }
        if sequence > self.burst.1 {
            self.burst = Self::burst(d, self.burst.1);
        }
        let lost = sequence >= self.burst.0;
        Some(Beat::new(sequence, self.sent, self.sent + delay, lost, &mut self.newest))
    }
}

/// A local network, a beat each 100 ms, whose sender pauses about once a minute for a tenth of a
/// second, or for several. A beat that is due in a pause goes out at its end, or not at all.
#[derive(Clone, Debug)]
pub struct Lan {
    streams: [Draws; 3],
    next: u64,
    newest: f64,
    pause: (f64, f64),
}

impl Lan {
    /// The time between two beats.
    pub const PERIOD: Duration = Duration::from_millis(100);
    /// How many beats are due in a trace.
    pub const BEATS: usize = 864_000;

    /// The trace of `seed`, without an end. Beats that are not sent are not among its items.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let mut streams = [0, 1, 2].map(|stream| Draws(seed + stream));
        let pause = Self::pause(&mut streams[2], 0.0);
        Self { streams, next: 0, newest: f64::NEG_INFINITY, pause }
    }

    /// The next pause after the one that ended at `end`.
    fn pause(c: &mut Draws, end: f64) -> (f64, f64) {
        let start = end + 60_000.0 * c.e();
        (start, start + 80.0 * (0.8 * c.n()).exp())
    }

    /// When the beat that is due then goes out, if it does.
    fn goes_out(&mut self, due: f64) -> Option<f64> {
        while due >= self.pause.1 {
            self.pause = Self::pause(&mut self.streams[2], self.pause.1);
        }
        let (start, end) = self.pause;
        if due < start {
            return Some(due);
        }
        (end - due <= 100.0).then_some(end)
    }
}

impl Iterator for Lan {
    type Item = Beat;

    fn next(&mut self) -> Option<Beat> {
        loop {
            let sequence = self.next;
            self.next += 1;
            let Some(out) = self.goes_out(100.0 * sequence as f64) else { continue };
            let [a, b, _] = &mut self.streams;
            let sent = out + 0.05 * a.n().abs();
            let delay = 0.2 + 0.1 * b.e();
            let lost = b.u() < 1e-5;
            return Some(Beat::new(sequence, sent, sent + delay, lost, &mut self.newest));
        }
    }
}

/// A beat each second over a network whose delays and losses rise and fall with the day.
#[derive(Clone, Debug)]
pub struct Drift {
    streams: [Draws; 2],
    next: u64,
    newest: f64,
}

impl Drift {
    /// The time between two beats.
    pub const PERIOD: Duration = Duration::from_secs(1);
    /// How many beats a trace has.
    pub const BEATS: usize = 604_800;

    /// The trace of `seed`, without an end.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { streams: [0, 1].map(|stream| Draws(seed + stream)), next: 0, newest: -1.0 }
    }
}

impl Iterator for Drift {
    type Item = Beat;

    fn next(&mut self) -> Option<Beat> {
        let [a, b] = &mut self.streams;
        let sequence = self.next;
        self.next += 1;
        let sent = 1000.0 * sequence as f64;
        let load = 1.0 + 0.8 * (TAU * sent / 86_400_000.0).sin();
        let delay = 40.0 * load + 10.0 * load * a.n().exp();
        let lost = b.u() < 0.002 * load * load;
        Some(Beat::new(sequence, sent, sent + delay, lost, &mut self.newest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Arrivals, the first two and the longest gap between two, in milliseconds.
    fn summary(trace: impl Iterator<Item = Beat>) -> (usize, [f64; 2], f64) {
        let arrivals: Vec<_> = trace.filter_map(|beat| beat.arrived).collect();
        let gaps = arrivals.windows(2).map(|pair| pair[1] - pair[0]);
        let ms = |span: Duration| span.as_secs_f64() * 1e3;
        let rounded = |span| (ms(span) * 1e3).round() / 1e3;
        let longest = gaps.max().map_or(0.0, |gap| ms(gap).round());
        (arrivals.len(), [rounded(arrivals[0]), rounded(arrivals[1])], longest)
    }

    #[test]
    fn the_wide_area_network_is_as_the_formulas_have_it() {
        let trace = summary(Wan::seeded(1).take(Wan::BEATS));
        assert_eq!(trace, (399_322, [238.661, 342.072], 15_730.0));
    }

    #[test]
    fn the_local_network_with_pauses_is_as_the_formulas_have_it() {
        let due = Lan::seeded(1).take_while(|beat| beat.sequence < Lan::BEATS as u64);
        assert_eq!(summary(due), (863_502, [0.254, 100.263], 911.0));
    }

    #[test]
    fn the_daily_drift_is_as_the_formulas_have_it() {
        let trace = summary(Drift::seeded(1).take(Drift::BEATS));
        assert_eq!(trace, (603_213, [49.721, 1047.965], 3_551.0));
    }
}
