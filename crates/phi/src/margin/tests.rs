//! The detector as a whole.

use proptest::prelude::*;

use super::*;
use crate::{Margin, MistakeRate, calibration::STEP};

const MS: Duration = Duration::from_millis(1);
const PERIOD: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3_600);
const FINE: Circumstances = Circumstances { convicted: false, paused: false };

fn start() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn fixed(margin: Duration) -> MarginDetector {
    MarginDetector::new(MarginConfig::last_arrival(PERIOD, Margin::Constant(margin))).unwrap()
}

fn hourly() -> Margin {
    Margin::Calibrated(MistakeRate::once_in(HOUR))
}

fn number(number: u64) -> Heartbeat {
    Heartbeat::new().sequence(number)
}

/// The seconds in which curves are calculated are rounded, and deadlines up from them.
#[track_caller]
fn assert_up(deadline: Option<Instant>, exact: Instant) {
    let late = deadline.unwrap().checked_duration_since(exact).expect("never early");
    assert!(late <= Duration::from_nanos(1), "{late:?}");
}

#[test]
fn a_fixed_timeout_counts_from_the_last_heartbeat() {
    let mut detector = fixed(250 * MS);
    let now = start();
    assert_eq!((detector.phi(now), detector.deadline(), detector.expected()), (0.0, None, None));
    assert_eq!(detector.heartbeat(Heartbeat::new(), now), Heard::First);
    assert_eq!(detector.expected(), Some(now));
    assert_eq!(detector.deadline(), Some(now + 250 * MS));
    assert_eq!(detector.suspect_at(0.5), Some(now + 125 * MS));
    assert_eq!(detector.phi(now + 500 * MS), 2.0);
    assert_eq!(detector.heartbeat(Heartbeat::new(), now + 249 * MS), Heard::OnTime);
    assert_eq!(detector.heartbeat(Heartbeat::new(), now + 500 * MS), Heard::Mistake);
    assert_eq!(detector.calibration(), None);
}

#[test]
fn chen_and_two_windows_expect_the_next_number_when_it_is_due() {
    let margin = Margin::Constant(50 * MS);
    let chen = MarginConfig::chen(PERIOD, margin).window(2);
    let two = MarginConfig::two_windows(PERIOD, margin).window(2);
    for (config, after_late) in [(chen, 80 * MS), (two, 100 * MS)] {
        let mut detector = MarginDetector::new(config).unwrap();
        let first = start();
        detector.heartbeat(number(7), first);
        assert_eq!(detector.expected(), Some(first + PERIOD));
        // Three are lost, and the fourth is 40 ms late.
        let late = first + 4 * PERIOD + 40 * MS;
        assert_eq!(detector.heartbeat(number(11), late), Heard::Mistake);
        assert_eq!(detector.expected(), Some(late + after_late));
        assert_up(detector.deadline(), late + after_late + 50 * MS);
    }
}

#[test]
fn without_numbers_the_last_arrival_counts() {
    let config = MarginConfig::two_windows(PERIOD, Margin::Constant(50 * MS));
    let mut detector = MarginDetector::new(config).unwrap();
    for beat in 0..10 {
        let now = start() + beat * PERIOD;
        detector.heartbeat(Heartbeat::new(), now);
        assert_eq!(detector.expected(), Some(now));
    }
}

#[test]
fn duplicates_and_overtaken_heartbeats_change_nothing() {
    let mut detector = MarginDetector::new(MarginConfig::two_windows(PERIOD, hourly())).unwrap();
    let now = start();
    detector.heartbeat(number(1), now);
    detector.heartbeat(number(3), now + 2 * PERIOD);
    let (before, calibration) = ((detector.curve(), detector.last), detector.calibration());
    for stale in [number(3), number(2), number(0)] {
        assert_eq!(detector.heartbeat(stale, now + HOUR), Heard::Stale);
    }
    assert_eq!((detector.curve(), detector.last), before);
    assert_eq!(detector.calibration(), calibration);
}

/// Without an incarnation: its heartbeats are stale, and all but eight of them would be for years.
#[test]
fn a_sender_that_counts_anew_is_heard_again_after_eight_heartbeats() {
    for config in [MarginConfig::last_arrival, MarginConfig::chen, MarginConfig::two_windows] {
        let mut detector = MarginDetector::new(config(PERIOD, hourly())).unwrap();
        let mut now = start();
        detector.heartbeat(number(1_000_000), now);
        detector.heartbeat(number(1_000_001), now + PERIOD);
        let before = detector.calibration().unwrap();
        now += 10 * PERIOD;
        for beat in 0..7 {
            now += PERIOD;
            assert_eq!(detector.heartbeat(number(beat), now), Heard::Stale, "{beat}");
        }
        assert!(detector.phi(now) > 1.0, "it is convicted until then");
        now += PERIOD;
        assert_eq!(detector.heartbeat(number(7), now), Heard::Restarted);
        let after = detector.calibration().unwrap();
        assert_eq!((after.mistakes, after.watched), (before.mistakes, before.watched));
        assert!(detector.expected().unwrap() <= now + PERIOD, "its windows begin anew");
        assert_eq!(detector.heartbeat(number(7), now), Heard::Stale);
        assert_eq!(detector.heartbeat(number(8), now + PERIOD), Heard::OnTime);
    }
}

#[test]
fn one_number_that_is_far_too_high_does_not_convict_its_sender_for_ever() {
    let mut detector = MarginDetector::new(MarginConfig::two_windows(PERIOD, hourly())).unwrap();
    let mut now = start();
    let heard: Vec<Heard> = (0..100_u64)
        .map(|beat| {
            now += PERIOD;
            detector.heartbeat(number(if beat == 50 { u64::MAX } else { beat }), now)
        })
        .collect();
    assert_eq!(heard.iter().filter(|&&heard| heard == Heard::Stale).count(), 7);
    assert_eq!(heard[58], Heard::Restarted);
    assert!(heard[59..].iter().all(|&heard| heard == Heard::OnTime));
}

/// Rumours of a dead peer go round, and the last ones of a dead peer come late: neither is life.
#[test]
fn rumours_and_stragglers_do_not_raise_the_dead() {
    let mut detector = MarginDetector::new(MarginConfig::two_windows(PERIOD, hourly())).unwrap();
    let now = start();
    (0..=20).for_each(|beat| {
        detector.heartbeat(number(beat), now + u32::try_from(beat).unwrap() * PERIOD);
    });
    let deadline = detector.deadline();
    for round in 0..1_000_u64 {
        for rumour in [20, 20, 17, 19, 20, 18] {
            let at = now + HOUR + u32::try_from(round).unwrap() * PERIOD;
            assert_eq!(detector.heartbeat(number(rumour), at), Heard::Stale);
        }
    }
    let zombie = Heartbeat::new().incarnation(1).sequence(1_000);
    detector.heartbeat(zombie, now + 2 * HOUR);
    for beat in 0..100 {
        let old = number(2_000 + beat).incarnation(0);
        assert_eq!(detector.heartbeat(old, now + 3 * HOUR), Heard::Stale);
    }
    assert!(deadline.unwrap() < now + HOUR);
}

#[test]
fn a_heartbeat_at_the_deadline_itself_is_a_mistake_and_one_a_nanosecond_before_is_none() {
    const NS: Duration = Duration::from_nanos(1);
    for config in [MarginConfig::last_arrival, MarginConfig::chen, MarginConfig::two_windows] {
        for margin in [1, 3, 999_999_999, 100_000_001, 3_600_000_000_000].map(Duration::from_nanos)
        {
            let mut detector =
                MarginDetector::new(config(PERIOD, Margin::Constant(margin))).unwrap();
            detector.heartbeat(number(0), start());
            detector.heartbeat(number(1), start() + PERIOD + Duration::from_nanos(777));
            let deadline = detector.deadline().unwrap();
            for (at, heard) in [(deadline - NS, Heard::OnTime), (deadline, Heard::Mistake)] {
                assert_eq!(detector.clone().heartbeat(number(2), at), heard, "{margin:?}");
            }
        }
    }
}

#[test]
fn a_new_incarnation_begins_its_windows_anew_and_keeps_the_margin() {
    let config = MarginConfig::chen(PERIOD, hourly());
    let mut detector = MarginDetector::new(config).unwrap();
    let mut now = start();
    for beat in 0..100 {
        now += PERIOD + MS;
        detector.heartbeat(number(beat), now);
    }
    let before = detector.calibration().unwrap();
    // Gone for a day, and back with numbers from 0.
    now += 24 * HOUR;
    let restarted = number(0).incarnation(1);
    assert_eq!(detector.heartbeat(restarted, now), Heard::Restarted);
    let after = detector.calibration().unwrap();
    assert_eq!((after.mistakes, after.watched), (before.mistakes, before.watched));
    assert_eq!(after.margin, before.margin);
    assert_eq!(detector.expected(), Some(now + PERIOD));
    // A straggler of the first incarnation.
    let straggler = number(1_000).incarnation(0);
    assert_eq!(detector.heartbeat(straggler, now + MS), Heard::Stale);
    assert_eq!(detector.expected(), Some(now + PERIOD));
}

#[test]
fn a_clock_that_goes_back_stands_still() {
    let mut detector = MarginDetector::new(MarginConfig::chen(PERIOD, hourly())).unwrap();
    let now = start() + HOUR;
    detector.heartbeat(number(0), now);
    assert_eq!(detector.phi(now - HOUR), 0.0);
    assert_eq!(detector.heartbeat(number(1), now - HOUR), Heard::OnTime);
    assert!(detector.deadline().unwrap() > now);
    assert_eq!(detector.calibration().unwrap().watched, Duration::ZERO);
    assert_eq!(detector.heartbeat(number(2).incarnation(1), now - HOUR), Heard::Restarted);
    assert_eq!(detector.expected(), Some(now + PERIOD));
}

/// A sender that stood still and numbers on has shifted its schedule: for Chen's window the next
/// heartbeat should have come before the last one did.
#[test]
fn an_expected_arrival_in_the_past_is_suspicion_at_once() {
    let config = MarginConfig::chen(PERIOD, Margin::Constant(50 * MS));
    let mut detector = MarginDetector::new(config).unwrap();
    (0..100).for_each(|beat| {
        detector.heartbeat(number(beat), start() + u32::try_from(beat).unwrap() * PERIOD);
    });
    let late = start() + 100 * PERIOD + Duration::from_secs(30);
    assert_eq!(detector.heartbeat(number(100), late), Heard::Mistake);
    assert!(detector.expected().unwrap() < late);
    assert_eq!(detector.deadline(), Some(late));
    assert_eq!(detector.suspect_at(0.5), Some(late));
    assert!(detector.phi(late) > 1.0);
    let reached = detector.suspect_at(1_000.0).unwrap();
    assert!((detector.phi(reached) - 1_000.0).abs() < 1e-6);
}

#[test]
fn a_paused_observer_learns_nothing() {
    let mut detector = MarginDetector::new(MarginConfig::two_windows(PERIOD, hourly())).unwrap();
    let now = start();
    detector.hear(number(0), now, FINE);
    detector.hear(number(1), now + PERIOD, FINE);
    let before = detector.calibration().unwrap();
    let paused = Circumstances { convicted: false, paused: true };
    assert_eq!(detector.hear(number(2), now + 50 * PERIOD, paused), Heard::OnTime);
    let after = detector.calibration().unwrap();
    assert_eq!((after.mistakes, after.watched), (0, before.watched));
    assert_eq!(after.margin, before.margin);
    // And no peer is convicted before a margin has passed.
    assert_up(detector.deadline(), now + 50 * PERIOD + detector.margin());
}

/// The pause itself convicts none: that is for the owner of the clock to see to.
#[test]
fn a_conviction_beside_a_pause_of_the_observer_is_a_mistake_all_the_same() {
    let mut detector = MarginDetector::new(MarginConfig::two_windows(PERIOD, hourly())).unwrap();
    let now = start();
    detector.hear(number(0), now, FINE);
    let before = detector.margin().as_secs_f64();
    let refuted = Circumstances { convicted: true, paused: true };
    assert_eq!(detector.hear(number(1), now + 50 * PERIOD, refuted), Heard::Mistake);
    let after = detector.calibration().unwrap();
    assert_eq!((after.mistakes, after.watched), (1, Duration::ZERO));
    assert!(((after.margin.as_secs_f64() / before).ln() - STEP).abs() < 1e-6);
}

#[test]
fn eight_mistakes_lead_from_one_period_to_sixty() {
    let config = MarginConfig::last_arrival(PERIOD, hourly()).first_margin(PERIOD);
    let mut detector = MarginDetector::new(config).unwrap();
    let mut now = start();
    detector.heartbeat(Heartbeat::new(), now);
    for mistakes in 0..8 {
        assert!(detector.margin() < 60 * PERIOD, "{mistakes}");
        now = detector.deadline().unwrap() + MS;
        assert_eq!(detector.heartbeat(Heartbeat::new(), now), Heard::Mistake);
    }
    let calibration = detector.calibration().unwrap();
    assert!(calibration.margin > 54 * PERIOD && calibration.margin < 60 * PERIOD);
    assert_eq!(calibration.mistakes, 8);
    assert_eq!(calibration.detection, calibration.margin);
    assert!((calibration.asked * 3_600.0 - 1.0).abs() < 1e-12);
    assert!((calibration.observed - 8.0 / calibration.watched.as_secs_f64()).abs() < 1e-9);
}

#[test]
fn a_calibrated_margin_begins_at_two_periods_and_stays_within_its_bounds() {
    let rate = Margin::Calibrated(MistakeRate::once_in(Duration::from_secs(10)));
    let config = MarginConfig::two_windows(PERIOD, rate).floor(20 * MS).ceiling(400 * MS);
    let mut detector = MarginDetector::new(config).unwrap();
    assert_eq!(detector.margin(), 2 * PERIOD);
    let mut now = start();
    for beat in 0..10_000 {
        now += PERIOD;
        detector.heartbeat(number(beat), now);
    }
    assert_eq!(detector.margin(), 20 * MS);
    // It left the floor at once: what it would have fallen is no debt.
    now = detector.deadline().unwrap() + MS;
    assert_eq!(detector.heartbeat(number(10_001), now), Heard::Mistake);
    let risen = detector.margin().as_secs_f64() / 0.02;
    assert!((risen.ln() - STEP).abs() < 0.02, "{risen}");
    for beat in 10_002..10_100 {
        now = detector.deadline().unwrap() + MS;
        detector.heartbeat(number(beat), now);
    }
    assert_eq!(detector.margin(), 400 * MS);
}

proptest! {
    /// The promise: while the margin is within its bounds, mistakes − rate · time is what the
    /// logarithm of the margin has moved in steps, whatever the arrivals are.
    #[test]
    fn mistakes_less_the_rate_asked_is_what_the_margin_has_moved(
        intervals in proptest::collection::vec(
            prop_oneof![9 => 0.0..0.3_f64, 3 => 0.1..5.0_f64, 1 => 1.0..600.0_f64], 1..500),
        spans in 1.0..100_000.0_f64,
        beats in proptest::collection::vec((0..3_u64, 0..40_u8), 500),
        windows in any::<bool>(),
    ) {
        let rate = Margin::Calibrated(MistakeRate::once_in(Duration::from_secs_f64(spans)));
        let config = MarginConfig::two_windows(PERIOD, rate);
        let config = if windows { config.window(20) } else { config.weighted() };
        let config = config.floor(Duration::from_micros(1)).ceiling(HOUR);
        let mut detector = MarginDetector::new(config).unwrap();
        let (mut now, mut last, mut run, mut beat) = (start(), None::<Instant>, 0_u64, 0_u64);
        let (mut mistakes, mut watched) = (0_u32, 0.0_f64);
        for (interval, (skipped, kind)) in intervals.into_iter().zip(beats) {
            now += Duration::from_secs_f64(interval);
            beat += 1 + skipped;
            let paused = kind == 0;
            run += u64::from(kind == 1);
            let heartbeat = if kind == 2 { Heartbeat::new() } else { number(beat) };
            let convicted = detector.deadline().is_some_and(|deadline| now >= deadline);
            let heard =
                detector.hear(heartbeat.incarnation(run), now, Circumstances { convicted, paused });
            if let Some(last) = last && kind != 1 {
                watched += if paused { 0.0 } else { (now - last).as_secs_f64() };
                mistakes += u32::from(convicted);
                prop_assert_eq!(heard == Heard::Mistake, convicted);
            }
            last = Some(now);
            let moved = (detector.seconds() / 0.2).ln() / STEP;
            let margin = detector.margin();
            if margin <= 2 * Duration::from_micros(1) || margin >= HOUR {
                return Ok(());
            }
            let ahead = f64::from(mistakes) - watched / spans;
            prop_assert!((ahead - moved).abs() < 1e-6, "{} and {}", ahead, moved);
            let calibration = detector.calibration().unwrap();
            prop_assert_eq!(calibration.mistakes, u64::from(mistakes));
            prop_assert!((calibration.watched.as_secs_f64() - watched).abs() < 1e-6);
        }
    }

    #[test]
    fn suspicion_rises_with_silence_and_its_inverse_is_exact_to_a_microsecond(
        beats in proptest::collection::vec(0_u64..400_000, 1..50),
        silence in 0_u64..10_000_000,
        more in 0_u64..10_000_000,
    ) {
        let config = MarginConfig::chen(PERIOD, Margin::Constant(30 * MS));
        let mut detector = MarginDetector::new(config).unwrap();
        let mut now = start();
        for (beat, interval) in beats.into_iter().enumerate() {
            now += Duration::from_micros(interval);
            detector.heartbeat(number(beat as u64), now);
        }
        let at = now + Duration::from_micros(silence);
        let phi = detector.phi(at);
        prop_assert!(phi.is_finite() && phi <= detector.phi(at + Duration::from_micros(more)));
        let inverse = detector.suspect_at(phi).unwrap();
        let error = if inverse > at { inverse - at } else { at - inverse };
        prop_assert!(error < Duration::from_micros(1) || phi == 0.0);
        prop_assert_eq!(detector.suspect_at(1.0), detector.deadline());
    }
}

#[test]
fn no_question_is_answered_by_what_is_not_a_number() {
    let mut detector = fixed(PERIOD);
    let now = start();
    detector.heartbeat(Heartbeat::new(), now);
    assert_eq!(detector.suspect_at(f64::NAN), None);
    assert_eq!(detector.suspect_at(f64::INFINITY), None);
    assert_eq!(detector.suspect_at(1e300), None);
    assert_eq!(detector.suspect_at(-1.0), Some(now));
    assert!(detector.phi(now + 10_000_000 * HOUR).is_finite());
}

#[test]
fn a_peer_in_constant_memory_takes_128_bytes() {
    assert!(size_of::<MarginDetector>() <= 128, "{}", size_of::<MarginDetector>());
}

/// The docs of [`MarginConfig`] say what these cost.
#[test]
fn a_period_ten_times_too_long_or_numbers_that_grow_by_ten_put_off_convictions() {
    let margin = Margin::Constant(PERIOD);
    for (every, by, cost) in [(PERIOD / 10, 1, 450), (PERIOD, 10, 4_500)] {
        let mut detector = MarginDetector::new(MarginConfig::two_windows(PERIOD, margin)).unwrap();
        let mut now = start();
        for beat in 0..2_000 {
            now += every;
            detector.heartbeat(number(beat * by), now);
        }
        let silence = detector.deadline().unwrap() - now;
        assert!(silence.abs_diff(cost * PERIOD) < 3 * PERIOD, "{silence:?}");
    }
}

#[test]
fn chens_window_takes_long_to_follow_a_sender_that_stood_still_and_two_windows_no_time() {
    let margin = Margin::Constant(PERIOD);
    let mistakes = |config: MarginConfig| {
        let mut detector = MarginDetector::new(config).unwrap();
        let late = |beat| if beat < 1_000 { Duration::ZERO } else { 20 * PERIOD };
        let heard = (0..3_000_u32).map(|beat| {
            detector.heartbeat(number(beat.into()), start() + beat * PERIOD + late(beat))
        });
        heard.filter(|&heard| heard == Heard::Mistake).count()
    };
    let chen = mistakes(MarginConfig::chen(PERIOD, margin));
    assert!((900..1_000).contains(&chen), "{chen}");
    assert_eq!(mistakes(MarginConfig::two_windows(PERIOD, margin)), 1);
}
