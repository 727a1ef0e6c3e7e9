use super::*;

fn burst(enter: f64, leave: f64, seed: u64) -> Burst {
    Burst::new(enter, leave, Stream::new(seed, &["burst", "x"]))
}

fn states(burst: &mut Burst, numbers: impl Iterator<Item = u64>) -> Vec<bool> {
    numbers.map(|number| burst.is_on(number)).collect()
}

#[test]
fn a_gap_changes_nothing() {
    let all = states(&mut burst(0.05, 0.2, 3), 0..10_000);
    for step in [2, 7, 100, 999] {
        let some = states(&mut burst(0.05, 0.2, 3), (0..10_000).step_by(step));
        assert!(some.iter().eq(all.iter().step_by(step)), "step {step}");
    }
}

/// From on to off and from off to on, each counted against its own rate.
#[test]
fn it_changes_with_its_rates() {
    let (enter, leave) = (0.02, 0.3);
    let states = states(&mut burst(enter, leave, 5), 0..300_000);
    for (from, rate) in [(false, enter), (true, leave)] {
        let there = states.windows(2).filter(|pair| pair[0] == from);
        let (all, changed) = there.fold((0.0, 0.0), |(all, changed), pair| {
            (all + 1.0, changed + f64::from(u8::from(pair[1] != from)))
        });
        let off: f64 = (changed - all * rate) / (all * rate * (1.0 - rate)).sqrt();
        assert!(off.abs() < 3.0, "from {from}: {off} σ");
    }
}

/// A test of a hundred requests meets as many bursts as one of a million.
#[test]
fn it_begins_in_its_steady_state() {
    let on = (0..20_000).filter(|&seed| burst(0.01, 0.04, seed).is_on(0)).count() as f64;
    let off = (on - 4_000.0) / (20_000.0_f64 * 0.2 * 0.8).sqrt();
    assert!(off.abs() < 3.0, "{off} σ");
}

#[test]
fn rates_of_one_turn_it_at_every_request() {
    let states = states(&mut burst(1.0, 1.0, 1), 0..100);
    assert!(states.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn the_last_number_has_a_state() {
    let mut burst = burst(f64::MIN_POSITIVE, f64::MIN_POSITIVE, 1);
    assert_eq!(burst.is_on(0), burst.is_on(u64::MAX));
}

#[test]
fn rates_at_the_edge_of_the_type_are_bursts() {
    let rates = [f64::from_bits(1), f64::MIN_POSITIVE, 1e-18, 0.5, 1.0];
    for enter in rates {
        for leave in rates {
            let mut burst = Burst::new(enter, leave, Stream::new(1, &["burst"]));
            for number in [0, 1, 1000, 1001, 100_000] {
                burst.is_on(number);
            }
            if enter.max(leave) < 1e-300 {
                burst.is_on(u64::MAX);
            }
        }
    }
}
