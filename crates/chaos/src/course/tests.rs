use super::*;

/// How many of a million requests are struck, and how many the rate says, in its own σ.
fn deviation(rule: Rule, seed: u64, share: f64, lambda: f64) -> f64 {
    const REQUESTS: u64 = 1_000_000;
    let mut course = Course::new(Plan::new(seed).rule(rule)).unwrap();
    let struck = (0..REQUESTS).filter(|_| course.decide(&Facts::default()).is_some()).count();
    let (n, struck) = (REQUESTS as f64, struck as f64);
    let sigma = (n * share * (1.0 - share) * (1.0 + lambda) / (1.0 - lambda)).sqrt();
    (struck - n * share) / sigma
}

#[test]
fn a_rate_over_a_million_requests_is_within_three_sigma() {
    for (seed, rate) in [(1, 0.001), (2, 0.01), (3, 0.1), (4, 0.5), (5, 0.9), (6, 0.999)] {
        let rule = Rule::new("lost", Fault::RequestLost).probability(rate);
        let off = deviation(rule, seed, rate, 0.0);
        assert!(off.abs() < 3.0, "rate {rate} with seed {seed}: {off} σ");
    }
}

#[test]
fn bursts_over_a_million_requests_are_within_three_sigma() {
    let rates = [(1, 0.002, 0.1), (2, 0.05, 0.05), (3, 0.0005, 0.01), (4, 0.9, 0.8), (5, 1.0, 0.5)];
    for (seed, enter, leave) in rates {
        let rule = Rule::new("burst", Fault::RequestLost).burst(enter, leave);
        let share = enter / (enter + leave);
        let off = deviation(rule, seed, share, 1.0 - enter - leave);
        assert!(off.abs() < 3.0, "{enter} and {leave} with seed {seed}: {off} σ");
    }
}
