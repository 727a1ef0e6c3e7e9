//! Each preset beside the original: written anew from what the original does, with its own
//! formulas, its own units, and sums over a list of all intervals.

use std::f64::consts::{LN_10, PI};

use super::*;

/// `akka.remote.PhiAccrualFailureDetector` with the defaults of Akka's cluster. Milliseconds.
struct Akka {
    history: VecDeque<u64>,
    last: Option<u64>,
}

impl Akka {
    fn new() -> Self {
        let (mean, deviation) = (1_000, 1_000 / 4);
        Self { history: VecDeque::from([mean - deviation, mean + deviation]), last: None }
    }

    fn heartbeat(&mut self, now: u64) {
        if let Some(last) = self.last
            && self.phi(now) < 8.0
        {
            self.history.push_back(now - last);
            if self.history.len() > 1_000 {
                self.history.pop_front();
            }
        }
        self.last = Some(now);
    }

    fn phi(&self, now: u64) -> f64 {
        let Some(last) = self.last else { return 0.0 };
        let count = self.history.len() as f64;
        let sum: u64 = self.history.iter().sum();
        let squares: u64 = self.history.iter().map(|x| x * x).sum();
        let mean = sum as f64 / count;
        let deviation = (squares as f64 / count - mean * mean).sqrt().max(100.0);
        let difference = (now - last) as f64;
        let mean = mean + 3_000.0;
        let y = (difference - mean) / deviation;
        let e = (-y * (1.5976 + 0.070566 * y * y)).exp();
        if difference > mean { -(e / (1.0 + e)).log10() } else { -(1.0 - 1.0 / (1.0 + e)).log10() }
    }
}

/// `org.apache.cassandra.gms.ArrivalWindow` with its defaults, and the factor by which its caller
/// multiplies φ. Nanoseconds.
struct Cassandra {
    intervals: VecDeque<u64>,
    last: u64,
}

impl Cassandra {
    const INITIAL: u64 = 2_000_000_000;

    fn new() -> Self {
        Self { intervals: VecDeque::new(), last: 0 }
    }

    fn add(&mut self, value: u64) {
        let interval = if self.last > 0 { value - self.last } else { Self::INITIAL };
        if interval <= Self::INITIAL {
            if self.intervals.len() == 1_000 {
                self.intervals.pop_front();
            }
            self.intervals.push_back(interval);
        }
        self.last = value;
    }

    fn phi(&self, now: u64) -> f64 {
        let mean = self.intervals.iter().sum::<u64>() as f64 / self.intervals.len() as f64;
        (now - self.last) as f64 / mean / LN_10
    }
}

/// The book's detector, with the tail of its normal distribution by Simpson's rule. Seconds.
struct Textbook {
    intervals: VecDeque<f64>,
    last: f64,
}

impl Textbook {
    fn heartbeat(&mut self, now: f64) {
        self.intervals.push_back(now - self.last);
        if self.intervals.len() > 100 {
            self.intervals.pop_front();
        }
        self.last = now;
    }

    fn phi(&self, now: f64) -> f64 {
        let count = self.intervals.len() as f64;
        let mean = self.intervals.iter().sum::<f64>() / count;
        let squares = self.intervals.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        let deviation = (squares / count).sqrt().max(1e-4);
        -upper_tail((now - self.last - mean) / deviation).max(1e-15).log10()
    }
}

/// P(Z > y) of the standard normal distribution.
fn upper_tail(y: f64) -> f64 {
    if y < 0.0 {
        return 1.0 - upper_tail(-y);
    }
    let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * PI).sqrt();
    let (steps, width) = (4_000_i32, 12.0 / 4_000.0);
    let weight = |i| match i {
        0 | 4_000 => 1.0,
        i if i % 2 == 1 => 4.0,
        _ => 2.0,
    };
    let term = |i| weight(i) * density(y + f64::from(i) * width);
    (0..=steps).map(term).sum::<f64>() * width / 3.0
}

/// Intervals in milliseconds: about a second, some of no length, some outages.
fn intervals(outage: u64) -> impl Strategy<Value = Vec<u64>> {
    let interval = prop_oneof![
        40 => 600_u64..1_400,
        4 => 1_400_u64..3_500,
        1 => 1_u64..20,
        1 => 3_500..outage,
    ];
    prop::collection::vec(interval, 1..1_500)
}

#[track_caller]
fn close(ours: f64, original: f64) {
    let off = (ours - original).abs();
    assert!(off <= 1e-9 * original.max(1.0), "{ours}, the original says {original}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn akka_is_akka(beats in intervals(40_000), silence in 0_u64..9_000) {
        let (mut ours, mut original) = (detector(PhiConfig::akka()), Akka::new());
        let (origin, mut now) = (start(), 1_000_000);
        for interval in std::iter::once(0).chain(beats) {
            now += interval;
            let at = origin + ms(now);
            let convicted = original.phi(now) >= 8.0;
            let heard = ours.heartbeat(at);
            original.heartbeat(now);
            prop_assert_eq!(heard == Heard::Mistake, convicted);
            let later = original.phi(now + silence);
            // Beyond, Akka's exponential loses its digits and ends at 0, its φ at infinity.
            if later < 300.0 {
                close(ours.phi(at + ms(silence)), later);
            }
        }
    }

    #[test]
    fn cassandra_is_cassandra(beats in intervals(40_000), silence in 0_u64..90_000) {
        let (mut ours, mut original) = (detector(PhiConfig::cassandra()), Cassandra::new());
        let (origin, mut now) = (start(), 1_000_000_000);
        for interval in std::iter::once(0).chain(beats) {
            // Off the millisecond: it counts in nanoseconds.
            now += interval * 1_000_000 + interval % 7 * 1_000;
            ours.heartbeat(origin + Duration::from_nanos(now));
            original.add(now);
            let later = now + silence * 1_000_000;
            close(ours.phi(origin + Duration::from_nanos(later)), original.phi(later));
        }
    }

    #[test]
    fn textbook_is_the_textbook(
        beats in prop::collection::vec(500_000_u64..1_500_000, 2..250),
        silence in 0_u64..4_000_000,
    ) {
        let mut ours = detector(PhiConfig::textbook());
        let mut original = Textbook { intervals: VecDeque::new(), last: 0.0 };
        let (origin, mut now) = (start(), 0);
        ours.heartbeat(origin);
        for (heard, interval) in beats.into_iter().enumerate() {
            now += interval;
            ours.heartbeat(origin + Duration::from_micros(now));
            original.heartbeat(now as f64 / 1e6);
            // With fewer than two intervals the book has no deviation.
            if heard % 10 == 1 {
                let later = now + silence;
                let phi = original.phi(later as f64 / 1e6);
                let ours = ours.phi(origin + Duration::from_micros(later));
                prop_assert!((ours - phi).abs() <= 1e-9 * phi.max(1.0), "{ours} for {phi}");
            }
        }
    }
}

#[test]
fn the_presets_convict_where_the_originals_say_they_do() {
    // Akka: 3 s of pause, and the logistic's 5.29 deviations of at least 100 ms.
    let (akka, now) = heard(PhiConfig::akka(), vec![SECOND; 2_000]);
    let silence = seconds(akka.suspect_at(8.0).expect("heard") - now);
    assert!((4.5..4.6).contains(&silence), "{silence}");
    // Cassandra: its users know "8 means 18 s".
    let (cassandra, now) = heard(PhiConfig::cassandra(), vec![SECOND; 2_000]);
    let silence = seconds(cassandra.suspect_at(8.0).expect("heard") - now);
    assert!((silence - 18.42).abs() < 0.01, "{silence}");
    // The book: 5.61 deviations.
    let alternating = (0..200).map(|i| ms(if i % 2 == 0 { 900 } else { 1_100 }));
    let (textbook, now) = heard(PhiConfig::textbook(), alternating);
    let silence = seconds(textbook.suspect_at(8.0).expect("heard") - now);
    assert!((silence - 1.5612).abs() < 1e-4, "{silence}");
}

/// Trap: Akka never learns a period that is beyond its threshold from the start; the estimate must
/// be the peer's period.
#[test]
fn akka_never_learns_a_period_beyond_its_threshold() {
    let (peer, _) = heard(PhiConfig::akka(), vec![10 * SECOND; 1_000]);
    assert_eq!((peer.mean(), peer.samples()), (SECOND, 2));
}
