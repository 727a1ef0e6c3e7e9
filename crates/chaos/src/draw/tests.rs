use super::*;

/// Pearson's statistic of counts that should be alike, in the standard deviations of its law.
fn excess(counts: &[u64]) -> f64 {
    let expected = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    let square = |&count: &u64| (count as f64 - expected).powi(2) / expected;
    let freedom = counts.len() as f64 - 1.0;
    (counts.iter().map(square).sum::<f64>() - freedom) / (2.0 * freedom).sqrt()
}

/// Pairs of draws, counted in 32 × 32 cells.
fn pairs(draw: impl Fn(u64) -> (f64, f64)) -> f64 {
    let mut counts = [0; 1024];
    for subject in 0..200_000 {
        let (a, b) = draw(subject);
        counts[(a * 32.0) as usize * 32 + (b * 32.0) as usize] += 1;
    }
    excess(&counts)
}

/// The draws are what makes a plan the same plan tomorrow: other numbers are another version.
#[test]
fn draws_are_the_same_in_every_version() {
    let stream = Stream::new(7, &["strike", "lost"]);
    let drawn = [0, 1, u64::MAX].map(|subject| (stream.at(subject) * 1e9) as u64);
    let mut sequence = stream.sequence();
    let lengths = [0; 6].map(|_| sequence.geometric(0.01));
    assert_eq!(drawn, [896_890_062, 721_655_438, 914_932_393]);
    assert_eq!(lengths, [489, 127, 151, 297, 138, 31]);
}

#[test]
fn hash_and_mix_are_the_published_ones() {
    // FNV-1a of "" and "a" (the authors' test vectors), each with the mark of a part's end.
    let end = |hash: u64| (hash ^ 0xFF).wrapping_mul(0x0000_0100_0000_01B3);
    assert_eq!(hash(&[]), 0xCBF2_9CE4_8422_2325);
    assert_eq!(hash(&["a"]), end(0xAF63_DC4C_8601_EC8C));
    // The first outputs of SplitMix64 with seed 1234567 (Vigna's reference program).
    let mut state = 1_234_567_u64;
    let outputs = [0; 3].map(|_| {
        let output = mix(state);
        state = state.wrapping_add(GOLDEN);
        output
    });
    assert_eq!(
        outputs,
        [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
    );
}

#[test]
fn draws_for_numbers_in_a_row_are_even() {
    for seed in 0..8 {
        let stream = Stream::new(seed, &["strike", "lost"]);
        let mut counts = [0; 1000];
        (0..1_000_000).for_each(|n| counts[(stream.at(n) * 1000.0) as usize] += 1);
        assert!(excess(&counts).abs() < 4.0, "seed {seed}: {} σ", excess(&counts));
    }
}

/// A key may be anything: in steps, in its upper bits only, or a small seed's neighbour.
#[test]
fn draws_know_nothing_of_one_another() {
    let stream = |seed, name| Stream::new(seed, &["strike", name]);
    let (one, other) = (stream(1, "a"), stream(1, "b"));
    let next_seed = stream(2, "a");
    let cases: [(&str, f64); 6] = [
        ("neighbours", pairs(|n| (one.at(n), one.at(n + 1)))),
        ("two rules", pairs(|n| (one.at(n), other.at(n)))),
        ("two seeds", pairs(|n| (one.at(n), next_seed.at(n)))),
        ("upper bits", pairs(|n| (one.at(n << 40), one.at((n + 1) << 40)))),
        ("one bit apart", pairs(|n| (one.at(n), one.at(n ^ (1 << 63))))),
        ("strike and chance", {
            let chance = Stream::new(1, &["chance", "a"]);
            pairs(|n| (one.at(n), chance.at(n)))
        }),
    ];
    for (what, excess) in cases {
        assert!(excess.abs() < 4.0, "{what}: {excess} σ");
    }
}

#[test]
fn parts_of_a_name_do_not_run_together() {
    let draw = |name: &[&str]| Stream::new(1, name).at(0);
    assert_ne!(draw(&["ab", "c"]), draw(&["a", "bc"]));
    assert_ne!(draw(&["ab"]), draw(&["ab", ""]));
}

/// Each length against its law, and all that are longer as one.
#[test]
fn lengths_are_geometric() {
    for (seed, probability) in [(1, 0.1), (2, 0.5), (3, 0.9), (4, 0.02)] {
        let mut sequence = Stream::new(seed, &["burst"]).sequence();
        let mut counts = [0_u32; 8];
        for _ in 0..200_000 {
            counts[sequence.geometric(probability).min(8) as usize - 1] += 1;
        }
        let law = |length: i32| match length {
            8 => (1.0 - probability).powi(7),
            _ => (1.0 - probability).powi(length - 1) * probability,
        };
        for (length, count) in (1..).zip(counts) {
            let expected = 200_000.0 * law(length);
            let off = (f64::from(count) - expected) / (expected * (1.0 - law(length))).sqrt();
            assert!(off.abs() < 4.0, "{count} of length {length} at {probability}: {off} σ");
        }
    }
}

#[test]
fn long_lengths_have_their_mean() {
    for probability in [1e-2, 1e-4, 1e-6, 1e-9] {
        let mut sequence = Stream::new(9, &["burst"]).sequence();
        let sum: f64 = (0..100_000).map(|_| sequence.geometric(probability) as f64).sum();
        // The mean of a geometric length has a deviation of a mean / √n.
        let off = (sum * probability / 1e5 - 1.0) * 1e5_f64.sqrt();
        assert!(off.abs() < 3.0, "{probability}: {off} σ");
    }
}

#[test]
fn lengths_at_the_edge_are_lengths() {
    let mut sequence = Stream::new(9, &["burst"]).sequence();
    assert_eq!(sequence.geometric(1.0), 1);
    assert_eq!(sequence.geometric(f64::MIN_POSITIVE), u64::MAX);
}
