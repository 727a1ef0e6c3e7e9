use std::collections::HashSet;

use super::*;

#[test]
fn a_delay_is_its_least_and_a_share_of_its_jitter() {
    let second = Duration::from_secs;
    let delay = Delay::of(second(2)).jitter(second(4));
    assert_eq!(delay.length(0.0), second(2));
    assert_eq!(delay.length(0.25), second(3));
    assert_eq!(delay.length(1.0), second(6));
    assert_eq!(Delay::of(second(2)).length(0.9), second(2));
}

#[test]
fn a_delay_of_nonsense_is_no_panic() {
    let delay = Delay::of(Duration::MAX).jitter(Duration::MAX);
    for chance in [0.0, 0.999_999, 1.0, -1.0, 7.0, f64::NAN, f64::INFINITY] {
        assert_eq!(delay.length(chance), Duration::MAX);
    }
    let jitter = Delay::of(Duration::ZERO).jitter(Duration::MAX);
    assert_eq!(jitter.length(1.0), Duration::MAX);
    assert_eq!(jitter.length(f64::NAN), Duration::ZERO);
}

#[test]
fn kinds_have_names_of_their_own() {
    let names: HashSet<_> = FaultKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), 12);
    assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
}
