//! Limits between the frames of bodies: what they are learned from.
//!
//! A limit is learned from 2,000 bodies and tried on 2,000 others. Of a body only its longest wait
//! matters there, which is drawn at once: of `n` independent waits it is the one that a single wait
//! exceeds with probability 1 − U^(1/n).

use std::{fmt::Write, path::Path, time::Duration};

use steadfast_core::parts::{Bounds, EstimateConfig, QuantileConfig, Tick};
use steadfast_testkit::Traffic;

use crate::multiple::{Multiple, Source};

const BODIES: u32 = 2000;
const CEILING: Duration = Duration::from_secs(300);
/// As good as none.
const NO_FLOOR: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);

/// How long a frame is waited for.
#[derive(Clone, Copy, Debug)]
enum Gaps {
    /// Around 2 ms, σ = 1.2.
    LogNormal,
    /// Of shape 1.5, 1 ms at least.
    Pareto,
}

impl Gaps {
    /// What a wait exceeds with this probability.
    fn exceeded(self, probability: f64) -> Duration {
        let seconds = match self {
            Self::LogNormal => 0.002 * (1.2 * normal_exceeded(probability)).exp(),
            Self::Pareto => 0.001 * probability.powf(-1.0 / 1.5),
        };
        Duration::from_secs_f64(seconds.min(1e6))
    }

    fn longest(self, frames: u32, traffic: &mut Traffic) -> Duration {
        let probability = -(traffic.uniform().max(1e-300).ln() / f64::from(frames)).exp_m1();
        self.exceeded(probability.clamp(1e-15, 1.0 - 1e-15))
    }
}

/// What a standard normal variable exceeds with this probability: Acklam's rational approximation,
/// to nine digits.
fn normal_exceeded(probability: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    let horner = |terms: &[f64], x: f64| terms.iter().fold(0.0, |sum, term| sum * x + term);
    if probability > 0.5 {
        return -normal_exceeded(1.0 - probability);
    }
    if probability < 0.02425 {
        let q = (-2.0 * probability.ln()).sqrt();
        return -(horner(&C, q) / horner(&D, q));
    }
    let q = 0.5 - probability;
    q * horner(&A, q * q) / horner(&B, q * q)
}

/// How many frames the bodies have.
#[derive(Clone, Copy, Debug)]
enum Frames {
    All(u32),
    /// 1 to 10, but for 2 % that have 10,000.
    Mixed,
}

impl Frames {
    /// And whether the body is one of those that the cell is about.
    fn draw(self, traffic: &mut Traffic) -> (u32, bool) {
        match self {
            Self::All(frames) => (frames, true),
            Self::Mixed if traffic.chance(0.02) => (10_000, true),
            Self::Mixed => (1 + (traffic.uniform() * 10.0) as u32, false),
        }
    }
}

/// What a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sample {
    EachFrame,
    LongestWait,
}

fn rule(floor: Duration) -> Multiple {
    let estimate = EstimateConfig::new(floor, CEILING);
    let latencies = QuantileConfig { quantile: 0.99, estimate }.latencies();
    Multiple::new(Source::Quantile(latencies), 2.0, Bounds::new(floor, CEILING), CEILING, 6)
}

/// The limit, and the share of other bodies that it cuts, in percent.
fn cut(gaps: Gaps, frames: Frames, sample: Sample, floor: Duration) -> (Duration, f64) {
    let (mut traffic, rule, tick) = (Traffic::seeded(7), rule(floor), Tick(1));
    for _ in 0..BODIES {
        let (frames, _) = frames.draw(&mut traffic);
        match sample {
            Sample::LongestWait => rule.success(tick, gaps.longest(frames, &mut traffic)),
            // A hundred of its frames are as good as all.
            Sample::EachFrame => {
                for _ in 0..frames.min(100) {
                    rule.success(tick, gaps.longest(1, &mut traffic));
                }
            }
        }
    }
    let limit = rule.limit(tick);
    let (mut cut, mut all) = (0.0, 0.0);
    while all < f64::from(BODIES) {
        if let (frames, true) = frames.draw(&mut traffic) {
            all += 1.0;
            cut += f64::from(u8::from(gaps.longest(frames, &mut traffic) > limit));
        }
    }
    (limit, 100.0 * cut / all)
}

const CELLS: [(&str, Gaps, Frames); 8] = [
    ("log-normal around 2 ms, σ = 1.2: 10 frames", Gaps::LogNormal, Frames::All(10)),
    ("1,000 frames", Gaps::LogNormal, Frames::All(1000)),
    ("10,000 frames", Gaps::LogNormal, Frames::All(10_000)),
    ("10,000 frames, 2 % of the bodies; the others 1 to 10", Gaps::LogNormal, Frames::Mixed),
    ("Pareto from 1 ms, shape 1.5: 10 frames", Gaps::Pareto, Frames::All(10)),
    ("1,000 frames", Gaps::Pareto, Frames::All(1000)),
    ("10,000 frames", Gaps::Pareto, Frames::All(10_000)),
    ("10,000 frames, 2 % of the bodies; the others 1 to 10", Gaps::Pareto, Frames::Mixed),
];

#[test]
fn samples_of_each_frame_cut_long_bodies_and_the_longest_wait_does_not() {
    for (name, gaps, frames) in CELLS {
        let (_, each) = cut(gaps, frames, Sample::EachFrame, NO_FLOOR);
        let (_, longest) = cut(gaps, frames, Sample::LongestWait, NO_FLOOR);
        let (limit, floored) = cut(gaps, frames, Sample::LongestWait, SECOND);
        let all = format!("{gaps:?}, {name}: {each:.2}, {longest:.2}, {floored:.2} %, {limit:?}");
        match frames {
            Frames::All(frames) => {
                assert!(frames < 1000 || each >= 80.0, "{all}");
                assert!(longest <= 0.6 && floored <= 0.6, "{all}");
            }
            Frames::Mixed => {
                assert!(each >= 99.0 && (3.0..30.0).contains(&longest), "{all}");
                assert!(floored <= longest, "{all}");
            }
        }
    }
}

/// What becomes of readers who read to the end where this share of the others drops the body after
/// its first frame, and what was seen of those is a sample or not. Bodies of 100 frames, a hundred
/// times as slow as above.
fn cut_beside_drops(drops: f64, seen_counts: bool) -> f64 {
    let (mut traffic, rule, tick) = (Traffic::seeded(11), rule(SECOND), Tick(1));
    let longest = |frames, traffic: &mut Traffic| 100 * Gaps::LogNormal.longest(frames, traffic);
    let mut whole = 0;
    while whole < BODIES {
        if traffic.chance(drops) {
            let seen = longest(1, &mut traffic);
            if seen_counts {
                rule.success(tick, seen);
            }
        } else {
            whole += 1;
            rule.success(tick, longest(100, &mut traffic));
        }
    }
    let limit = rule.limit(tick);
    let cut = (0..BODIES).filter(|_| longest(100, &mut traffic) > limit).count();
    100.0 * cut as f64 / f64::from(BODIES)
}

const DROPS: [(&str, f64); 4] = [("none", 0.0), ("half", 0.5), ("90 %", 0.9), ("99 %", 0.99)];

#[test]
fn what_was_seen_of_dropped_bodies_would_cut_readers_of_whole_bodies() {
    for (name, drops) in DROPS {
        let (nothing, seen) = (cut_beside_drops(drops, false), cut_beside_drops(drops, true));
        assert!(nothing <= 0.6, "{name}: {nothing} %");
        assert!(seen >= nothing, "{name}: {seen} %, {nothing} %");
    }
    assert!(cut_beside_drops(0.99, true) >= 5.0);
}

fn stands_in_the_guide(table: &str) {
    // Beside the package, so not where it was published.
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/choosing-numbers.md");
    let Ok(page) = std::fs::read_to_string(page) else { return };
    assert!(page.contains(table), "docs/choosing-numbers.md should have\n{table}");
}

#[test]
fn the_table_of_bodies_stands_in_the_guide() {
    let mut table = String::from(
        "| waits for frames | a sample for each frame | **the longest wait** | with the floor of 1 s |\n\
         |---|--:|--:|--:|\n",
    );
    for (name, gaps, frames) in CELLS {
        let (_, each) = cut(gaps, frames, Sample::EachFrame, NO_FLOOR);
        let (limit, longest) = cut(gaps, frames, Sample::LongestWait, NO_FLOOR);
        let (_, floored) = cut(gaps, frames, Sample::LongestWait, SECOND);
        let limit = limit.as_millis();
        writeln!(
            table,
            "| {name} | {each:.1} % | {longest:.2} %, at {limit} ms | {floored:.2} % |"
        )
        .expect("a string takes all");
    }
    stands_in_the_guide(&table);
}

#[test]
fn the_table_of_drops_stands_in_the_guide() {
    let mut table = String::from(
        "| of the bodies, dropped after the first frame | **no sample** | a sample of what was seen |\n\
         |---|--:|--:|\n",
    );
    for (name, drops) in DROPS {
        let (nothing, seen) = (cut_beside_drops(drops, false), cut_beside_drops(drops, true));
        writeln!(table, "| {name} | {nothing:.2} % | {seen:.2} % |").expect("a string takes all");
    }
    stands_in_the_guide(&table);
}

#[test]
fn the_normal_tail_is_that_of_the_tables() {
    for (probability, exceeded) in
        [(0.5, 0.0), (0.158_655, 1.0), (0.022_750, 2.0), (0.001_349_9, 3.0), (2.866_5e-7, 5.0)]
    {
        assert!((normal_exceeded(probability) - exceeded).abs() < 1e-4, "{probability}");
    }
    assert!((normal_exceeded(0.975) + 1.959_964).abs() < 1e-4);
}
