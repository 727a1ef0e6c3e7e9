mod presets;

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn detector(config: PhiConfig) -> PhiAccrual {
    PhiAccrual::new(config).expect("the configuration can work")
}

/// A peer that was heard at the start and after each of these intervals, and the last instant.
fn heard(
    config: PhiConfig,
    intervals: impl IntoIterator<Item = Duration>,
) -> (PhiAccrual, Instant) {
    let mut peer = detector(config);
    let mut now = start();
    peer.heartbeat(now);
    for interval in intervals {
        now += interval;
        peer.heartbeat(now);
    }
    (peer, now)
}

#[expect(clippy::disallowed_methods, reason = "some instant to count from")]
fn start() -> Instant {
    Instant::now() + Duration::from_secs(1_000_000)
}

fn seconds(x: Duration) -> f64 {
    x.as_secs_f64()
}

#[test]
fn nothing_is_said_of_a_peer_that_was_never_heard() {
    let peer = detector(PhiConfig::new());
    assert_eq!(peer.phi(start()), 0.0);
    assert_eq!(peer.suspect_at(8.0), None);
    assert_eq!((peer.last(), peer.samples()), (None, 0));
    assert_eq!(peer.mean(), SECOND);
    assert_eq!(peer.deviation(), ms(250));
}

/// Trap: after one heartbeat, detectors without a prior divide by no samples, or convict at once or
/// never.
#[test]
fn a_single_heartbeat_is_not_a_history() {
    for prior in [Prior::Until(8), Prior::Until(1), Prior::TwoSamples] {
        let (peer, now) = heard(PhiConfig::new().prior(prior), []);
        assert_eq!((peer.mean(), peer.deviation()), (SECOND, ms(250)), "{prior:?}");
        let convicted = peer.suspect_at(8.0).expect("a peer that dies is convicted");
        assert!(convicted > now + SECOND && convicted < now + 4 * SECOND, "{prior:?}");
    }
}

/// Nor is one interval: its deviation is zero, and the next would have to be as long to the
/// microsecond.
#[test]
fn a_single_interval_is_not_a_history_either() {
    let config = PhiConfig::new().minimum_deviation(Duration::from_micros(1));
    let (peer, _) = heard(config, [SECOND]);
    assert!(peer.deviation() > ms(200));
    assert_eq!(peer.samples(), 1);
}

#[test]
fn the_prior_counts_as_two_samples_until_there_are_enough_and_then_no_more() {
    let config = PhiConfig::new().minimum_deviation(Duration::from_nanos(1)).prior(Prior::Until(4));
    let (three, _) = heard(config, [ms(100); 3]);
    assert!((seconds(three.mean()) - 2.3 / 5.0).abs() < 1e-9);
    let samples = [0.1_f64, 0.1, 0.1, 0.75, 1.25];
    let variance = samples.iter().map(|x| (x - 0.46).powi(2)).sum::<f64>() / 5.0;
    assert!((seconds(three.deviation()) - variance.sqrt()).abs() < 1e-9);
    let (four, _) = heard(config, [ms(100); 4]);
    assert_eq!((four.mean(), four.deviation()), (ms(100), Duration::from_nanos(1)));
    let (small, _) = heard(config.window(2), [ms(100); 2]);
    assert_eq!(small.mean(), ms(100), "a window of two is full with two");
}

#[test]
fn seeds_leave_the_window_as_it_slides_over_them() {
    for (prior, seeds) in [(Prior::TwoSamples, 2), (Prior::OneSample, 1)] {
        let config = PhiConfig::new().window(10).prior(prior).first_interval(2 * SECOND);
        let (before, _) = heard(config, vec![SECOND; 10 - 1]);
        assert!(before.mean() > SECOND, "{prior:?}");
        let (after, _) = heard(config, [SECOND; 10]);
        assert_eq!((after.mean(), after.samples()), (SECOND, 10), "{prior:?}");
        let (young, _) = heard(config, []);
        assert_eq!((young.mean(), young.samples()), (2 * SECOND, seeds), "{prior:?}");
    }
}

/// Trap: Σx² − (Σx)²/n in floats goes negative where heartbeats are regular, and φ is NaN.
#[test]
fn a_perfectly_regular_peer_has_no_deviation_and_a_phi_that_is_a_number() {
    for config in [PhiConfig::new(), PhiConfig::new().decaying(1_000)] {
        let config = config.minimum_deviation(Duration::from_nanos(1));
        let (peer, now) = heard(config, std::iter::repeat_n(ms(100), 10_000));
        assert_eq!(peer.deviation(), Duration::from_nanos(1));
        for elapsed in [Duration::ZERO, ms(100), ms(101), Duration::from_secs(1 << 33)] {
            assert!(peer.phi(now + elapsed).is_finite(), "{elapsed:?}");
        }
    }
}

/// Trap: one long outage inflates the deviation for a whole window.
#[test]
fn one_outage_does_not_blunt_the_detector_for_a_window_unless_asked_to() {
    let detection = |outliers| {
        let config = PhiConfig::new().window(1_000).outliers(outliers);
        let mut intervals = vec![SECOND; 1_000];
        intervals.push(60 * SECOND);
        intervals.extend([SECOND; 100]);
        let (peer, now) = heard(config, intervals);
        seconds(peer.suspect_at(8.0).expect("heard") - now)
    };
    let undisturbed = seconds({
        let (peer, now) = heard(PhiConfig::new(), vec![SECOND; 1_000]);
        peer.suspect_at(8.0).expect("heard") - now
    });
    assert!((undisturbed - 1.561).abs() < 0.01, "{undisturbed}");
    assert!(detection(Outliers::Keep) > 11.0);
    for outliers in [
        Outliers::ClampConvicted,
        Outliers::SkipConvicted,
        Outliers::DropAbove(3 * SECOND),
        Outliers::ClampTo(3 * SECOND),
    ] {
        let after = detection(outliers);
        assert!((after - undisturbed).abs() < 0.02, "{after} s with {outliers:?}");
    }
}

/// What [`Outliers`] says of a period that grows tenfold.
#[test]
fn a_tenfold_period_is_learnt_by_clamping_and_never_by_skipping() {
    let mistakes = |outliers| {
        let (mut peer, mut now) = heard(PhiConfig::new().outliers(outliers), vec![SECOND; 1_000]);
        let mut mistake = || {
            now += 10 * SECOND;
            peer.heartbeat(now) == Heard::Mistake
        };
        (0..2_000).filter(|_| mistake()).count()
    };
    let clamped = mistakes(Outliers::ClampConvicted);
    assert!((100..300).contains(&clamped), "{clamped}");
    assert!((10..50).contains(&mistakes(Outliers::Keep)));
    assert_eq!(mistakes(Outliers::SkipConvicted), 2_000);
    // From the first on, by a first interval that is a tenth of the period.
    let (peer, _) = heard(PhiConfig::new(), vec![10 * SECOND; 20]);
    assert!(peer.mean() > 8 * SECOND);
}

/// Clamping at φ below the mean would shrink the mean, and so the clamp, without end.
#[test]
fn a_low_threshold_does_not_clamp_its_history_away() {
    for distribution in [Distribution::Normal, Distribution::Logistic, Distribution::Exponential] {
        let config = PhiConfig::new().threshold(0.1).distribution(distribution).window(100);
        let config = config.minimum_deviation(Duration::from_micros(1));
        let (peer, _) = heard(config, (0..5_000_u64).map(|i| ms(80 + i * 7 % 41)));
        let off = seconds(peer.mean()) - 0.1;
        assert!(off.abs() < 0.002, "{off} with {distribution:?}");
    }
}

/// Trap: intervals cut to a millisecond. Beats of 0.6 ms would have a mean of zero.
#[test]
fn intervals_are_not_cut_to_milliseconds() {
    let (peer, _) = heard(PhiConfig::new(), [Duration::from_nanos(600_400); 1_000]);
    assert!((seconds(peer.mean()) - 600.4e-6).abs() < 2e-9, "{:?}", peer.mean());
}

/// Trap: a detector that inverts the mean has φ fall as heartbeats become rarer the other way.
#[test]
fn a_peer_with_longer_intervals_is_suspected_later() {
    for distribution in [Distribution::Normal, Distribution::Logistic, Distribution::Exponential] {
        let config = PhiConfig::new().distribution(distribution);
        let (quick, now) = heard(config, [SECOND; 100]);
        let (slow, then) = heard(config, [2 * SECOND; 100]);
        assert!(quick.phi(now + 3 * SECOND) > slow.phi(then + 3 * SECOND), "{distribution:?}");
        let ratio = |peer: &PhiAccrual, last| seconds(peer.suspect_at(8.0).unwrap() - last);
        assert!(ratio(&slow, then) > ratio(&quick, now) + 0.9, "{distribution:?}");
    }
}

/// Trap: Cassandra's 8 is 18.4 mean intervals; without ln 10 it is a chance of 3.4e-4.
#[test]
fn a_phi_of_eight_is_eighteen_mean_intervals_if_only_the_mean_counts() {
    let config = PhiConfig::new().distribution(Distribution::Exponential);
    let (peer, now) = heard(config, [SECOND; 100]);
    let silence = seconds(peer.suspect_at(8.0).expect("heard") - now);
    assert!((silence - 8.0 * std::f64::consts::LN_10).abs() < 1e-6, "{silence}");
}

#[test]
fn the_acceptable_pause_puts_every_conviction_off_by_itself() {
    for distribution in [Distribution::Normal, Distribution::Logistic, Distribution::Exponential] {
        let config = PhiConfig::new().distribution(distribution);
        let (without, now) = heard(config, [SECOND; 100]);
        let (with, then) = heard(config.acceptable_pause(3 * SECOND), [SECOND; 100]);
        for threshold in [1.0, 8.0, 12.0] {
            let difference = (with.suspect_at(threshold).unwrap() - then)
                .saturating_sub(without.suspect_at(threshold).unwrap() - now);
            assert!((seconds(difference) - 3.0).abs() < 1e-6, "{distribution:?} {threshold}");
        }
        assert_eq!(with.mean(), SECOND, "it is no part of the mean");
    }
}

#[test]
fn a_clock_that_goes_back_saturates() {
    let (mut peer, now) = heard(PhiConfig::new(), [SECOND; 100]);
    let at = peer.phi(now);
    assert_eq!(peer.phi(now - 50 * SECOND), at);
    assert_eq!(peer.heartbeat(now - 10 * SECOND), Heard::OnTime);
    assert_eq!(peer.last(), Some(now), "silence counts from the latest");
    peer.heartbeat(now + SECOND);
    let total = seconds(peer.mean()) * f64::from(peer.samples());
    assert!((total - 101.0).abs() < 1e-6, "the intervals add up to the time that passed");
}

#[test]
fn heartbeats_that_all_come_at_one_instant_divide_by_nothing() {
    for distribution in [Distribution::Normal, Distribution::Logistic, Distribution::Exponential] {
        let config = PhiConfig::new().distribution(distribution);
        let (peer, now) = heard(config, [Duration::ZERO; 2_000]);
        assert!(peer.phi(now).is_finite());
        assert!(peer.phi(now + Duration::from_secs(1 << 33)).is_finite());
        assert!(peer.suspect_at(8.0).expect("heard") >= now);
    }
}

#[test]
fn a_straggler_is_stale_and_changes_nothing() {
    let (mut peer, now) = heard(PhiConfig::new(), [SECOND; 20]);
    let numbered = |n| Heartbeat::new().sequence(n).incarnation(7);
    assert_eq!(peer.heartbeat_with(numbered(5), now + SECOND), Heard::Restarted);
    assert_eq!(peer.heartbeat_with(numbered(6), now + 2 * SECOND), Heard::OnTime);
    let state =
        |peer: &PhiAccrual| (peer.curve(), peer.last(), peer.samples(), peer.learnt.highest);
    let before = state(&peer);
    for straggler in [
        numbered(6),
        numbered(5),
        numbered(0),
        numbered(u64::MAX).incarnation(6),
        Heartbeat::new(),
        Heartbeat::new().incarnation(6),
    ] {
        let later = now + 3 * SECOND;
        assert_eq!(peer.heartbeat_with(straggler, later), Heard::Stale, "{straggler:?}");
    }
    assert_eq!(state(&peer), before);
    let unnumbered = Heartbeat::new().incarnation(7);
    assert_eq!(peer.heartbeat_with(unnumbered, now + 3 * SECOND), Heard::OnTime);
    assert_eq!(peer.heartbeat_with(numbered(6), now + 3 * SECOND), Heard::Stale);
    assert_eq!(peer.heartbeat_with(numbered(9), now + 4 * SECOND), Heard::OnTime);
    assert_eq!(peer.heartbeat(now + 5 * SECOND), Heard::OnTime, "of the incarnation that is");
}

#[test]
fn a_restart_is_no_mistake_and_its_interval_no_sample() {
    let config = PhiConfig::new().outliers(Outliers::Keep);
    let (mut peer, now) = heard(config, [SECOND; 20]);
    let back = now + 3_600 * SECOND;
    assert!(peer.phi(back) > 8.0);
    let again = Heartbeat::new().incarnation(1).sequence(0);
    assert_eq!(peer.heartbeat_with(again, back), Heard::Restarted);
    assert_eq!((peer.samples(), peer.mean()), (20, SECOND), "what was learnt stays");
    assert_eq!(peer.heartbeat_with(again.sequence(1), back + SECOND), Heard::OnTime);
    assert_eq!((peer.samples(), peer.mean()), (21, SECOND));
    assert_eq!(peer.heartbeat(back + 3_600 * SECOND), Heard::Mistake, "the same incarnation");
}

/// Without an incarnation: its heartbeats are stale, and all but eight of them would be for years.
#[test]
fn a_sender_that_counts_anew_is_heard_again_after_eight_heartbeats() {
    for highest in [1_000_000, u64::MAX] {
        let (mut peer, mut now) = heard(PhiConfig::new(), [SECOND; 20]);
        peer.heartbeat_with(Heartbeat::new().sequence(highest), now);
        let before = (peer.samples(), peer.mean());
        let heard: Vec<Heard> = (0..20)
            .map(|n| {
                now += SECOND;
                peer.heartbeat_with(Heartbeat::new().sequence(n), now)
            })
            .collect();
        assert!(heard[..7].iter().all(|&heard| heard == Heard::Stale), "{heard:?}");
        assert_eq!(heard[7], Heard::Restarted);
        assert!(heard[8..].iter().all(|&heard| heard == Heard::OnTime), "{heard:?}");
        assert_eq!(peer.samples(), before.0 + 12, "the time it was stale is no sample");
    }
}

/// What a newcomer sees who sets nothing: the docs of [`PhiConfig::new`] say so.
#[test]
fn a_peer_of_100_ms_that_was_never_told_of_is_convicted_after_660_ms_from_its_ninth_heartbeat_on() {
    let (mut young, mut after) = (Vec::new(), Vec::new());
    for intervals in 0..50 {
        let (peer, now) = heard(PhiConfig::new(), vec![ms(100); intervals]);
        let silence = seconds(peer.suspect_at(8.0).unwrap() - now);
        if intervals < 8 {
            young.push(silence);
        } else {
            after.push(silence);
        };
    }
    assert!(young.iter().all(|silence| (2.4..3.4).contains(silence)), "{young:?}");
    assert!(after.iter().all(|silence| (0.66..0.67).contains(silence)), "{after:?}");
}

#[test]
fn a_peer_of_ten_seconds_or_a_minute_that_was_never_told_of_is_learnt_in_a_few_mistakes() {
    for (period, most) in [(2, 0), (5, 1), (10, 2), (60, 4)] {
        let (mut peer, mut now) = (detector(PhiConfig::new()), start());
        let mut mistakes = 0;
        for _ in 0..1_000 {
            now += Duration::from_secs(period);
            mistakes += u32::from(peer.heartbeat(now) == Heard::Mistake);
        }
        assert!(mistakes <= most, "{mistakes} at {period} s");
    }
}

#[test]
fn a_heartbeat_at_the_deadline_itself_is_a_mistake_and_one_a_nanosecond_before_is_none() {
    const NS: Duration = Duration::from_nanos(1);
    for distribution in [Distribution::Normal, Distribution::Logistic, Distribution::Exponential] {
        for threshold in [0.1, 1.0, 8.0, 16.0, 300.0] {
            for interval in [1, 999, 103_500_001, 1_000_000_000, 59_999_999_999] {
                let config = PhiConfig::new().distribution(distribution).threshold(threshold);
                let (peer, now) = heard(config, [Duration::from_nanos(interval); 20]);
                let deadline = peer.suspect_at(threshold).unwrap();
                if deadline == now {
                    continue;
                }
                for (at, heard) in [(deadline - NS, Heard::OnTime), (deadline, Heard::Mistake)] {
                    assert_eq!(peer.clone().heartbeat(at), heard, "{distribution:?} {threshold}");
                }
            }
        }
    }
}

#[test]
fn a_pause_of_the_observer_is_no_sample() {
    let (mut peer, now) = heard(PhiConfig::new().outliers(Outliers::Keep), [SECOND; 20]);
    let circumstances = Circumstances { convicted: false, paused: true };
    let later = now + 60 * SECOND;
    let since = Some(60_000_000_000);
    assert_eq!(peer.hear(Heartbeat::new(), later, since, circumstances), Heard::OnTime);
    assert_eq!((peer.samples(), peer.mean(), peer.last()), (20, SECOND, Some(later)));
}

#[test]
fn phi_is_at_most_the_cap_and_the_cap_is_never_passed() {
    let (peer, now) = heard(PhiConfig::textbook(), [SECOND; 100]);
    assert_eq!(peer.phi(now + 100 * SECOND), 15.0);
    assert!(peer.suspect_at(15.0).is_some());
    assert_eq!(peer.suspect_at(15.1), None);
    assert_eq!(peer.suspect_at(f64::NAN), None);
}

#[test]
fn an_interval_as_long_as_the_maximum_is_a_sample_and_a_longer_one_is_not() {
    let config = PhiConfig::new().outliers(Outliers::DropAbove(2 * SECOND));
    let (peer, _) = heard(config, [2 * SECOND, 2 * SECOND + Duration::from_nanos(1), SECOND]);
    assert_eq!(peer.samples(), 2);
}

#[test]
fn a_young_peer_of_a_big_window_and_one_of_constant_memory_are_small() {
    assert!(size_of::<PhiAccrual>() <= 112, "{}", size_of::<PhiAccrual>());
    let window = size_of::<crate::window::Window>();
    assert!(window <= 80, "{window}");
    let template = detector(PhiConfig::new().decaying(1_000));
    let copy = template.clone();
    assert!(Arc::ptr_eq(&template.settings, &copy.settings), "one configuration for all");
}

proptest! {
    /// The whole detector beside one that keeps every interval and adds them up each time.
    #[test]
    fn the_detector_is_what_a_naive_one_is(
        limit in 1_u32..20,
        until in 1_u32..10,
        micros in prop::collection::vec(1_u64..10_000_000, 1..60),
    ) {
        let config = PhiConfig::new()
            .window(limit)
            .prior(Prior::Until(until))
            .minimum_deviation(ms(1))
            .outliers(Outliers::ClampTo(5 * SECOND));
        let mut peer = detector(config);
        let mut now = start();
        peer.heartbeat(now);
        let mut kept = VecDeque::new();
        for interval in micros {
            now += Duration::from_micros(interval);
            peer.heartbeat(now);
            kept.push_back(interval.min(5_000_000) as f64 / 1e6);
            if kept.len() > limit as usize {
                kept.pop_front();
            }
            let mut all: Vec<f64> = kept.iter().copied().collect();
            if all.len() < until.min(limit) as usize {
                all.extend([0.75, 1.25]);
            }
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let variance = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / all.len() as f64;
            let deviation = variance.sqrt().max(1e-3);
            prop_assert!((seconds(peer.mean()) - mean).abs() < 2e-9);
            prop_assert!((seconds(peer.deviation()) - deviation).abs() < 2e-9);
            let silence = mean + 2.0 * deviation;
            let phi = Distribution::Normal.phi(silence, mean, deviation);
            let after = peer.phi(now + Duration::from_secs_f64(silence));
            prop_assert!((after - phi).abs() < 1e-4 * phi, "{after} for {phi}");
        }
    }

    #[test]
    fn phi_rises_with_silence_and_its_inverse_is_the_instant(
        distribution in prop::sample::select(vec![
            Distribution::Normal, Distribution::Logistic, Distribution::Exponential,
        ]),
        decaying: bool,
        micros in prop::collection::vec(1_u64..10_000_000, 1..60),
        silences in prop::collection::vec(0_u64..100_000_000, 2..20),
    ) {
        let config = PhiConfig::new().distribution(distribution).acceptable_pause(ms(300));
        let config = if decaying { config.decaying(30) } else { config.window(30) };
        let (peer, now) = heard(config, micros.into_iter().map(Duration::from_micros));
        let mut silences = silences;
        silences.sort_unstable();
        let mut before = 0.0;
        for micros in silences {
            let at = now + Duration::from_micros(micros);
            let phi = peer.phi(at);
            prop_assert!(phi.is_finite() && phi >= before);
            before = phi;
            // Below, all of a second lies within the last digit of φ.
            if phi > 1e-9 {
                let inverse = peer.suspect_at(phi).expect("no cap");
                let off = inverse.max(at) - inverse.min(at);
                prop_assert!(off <= Duration::from_micros(1), "{off:?} at {micros} µs, φ {phi}");
            }
        }
    }

    #[test]
    fn phi_beyond_the_mean_falls_as_intervals_deviate_more(
        spread in 1_u64..400,
        more in 1_u64..400,
        beyond in 1_u64..5_000,
    ) {
        let config = PhiConfig::new().minimum_deviation(ms(1)).outliers(Outliers::Keep);
        let alternating = |spread| (0..20).map(move |i| ms(if i % 2 == 0 { 1_000 + spread } else { 1_000 - spread }));
        let (steady, now) = heard(config, alternating(spread));
        let (wild, then) = heard(config, alternating(spread + more));
        let silence = ms(1_000 + beyond);
        prop_assert!(steady.phi(now + silence) >= wild.phi(then + silence));
    }
}
