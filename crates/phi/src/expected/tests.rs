//! The schedule against a model that keeps every offset.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const MS: i64 = 1_000_000;
const PERIOD: i64 = 100 * MS;

/// Chen's formula as it stands in the paper, over absolute arrivals.
struct Model {
    period: i128,
    long: usize,
    short: usize,
    offsets: VecDeque<i128>,
    number: Option<u64>,
    now: i128,
}

impl Model {
    fn new(long: u32, short: Option<u32>) -> Self {
        let (long, short) = (long as usize, short.unwrap_or(long) as usize);
        let offsets = VecDeque::new();
        Self { period: PERIOD.into(), long, short, offsets, number: None, now: 0 }
    }

    fn hear(&mut self, number: Option<u64>, interval: i64, is_sample: bool) {
        self.now += i128::from(interval);
        let Some(number) = number else { return };
        let offset = self.now - self.period * i128::from(number);
        let limit = (self.period * self.long as i128)
            .min(i128::from(i32::MAX) * 1_000)
            .max(60_000 * i128::from(MS));
        let leaps = |last: &i128| (offset - last).abs() >= limit;
        let begins = self.number.is_none() || self.offsets.back().is_some_and(leaps);
        if begins {
            self.offsets.clear();
        }
        if begins || is_sample {
            self.offsets.push_back(offset);
        }
        if self.offsets.len() > self.long {
            self.offsets.pop_front();
        }
        self.number = Some(number);
    }

    /// Expected − now, in seconds, without the clamp after what is no sample.
    fn location(&self) -> f64 {
        let Some(number) = self.number else { return 0.0 };
        let next = self.period * (i128::from(number) + 1) - self.now;
        let mean = |n: usize| {
            let last = self.offsets.iter().rev().take(n);
            let held = last.len() as f64;
            // Relative to `next`, because it is large.
            last.map(|offset| (offset + next) as f64).sum::<f64>() / held
        };
        mean(self.long).max(mean(self.short)) * 1e-9
    }
}

#[derive(Clone, Debug)]
enum Event {
    Beat { lost: u64, late: i64 },
    Unnumbered(i64),
    Unsampled { lost: u64, late: i64 },
    Restart,
    Leap(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let late = || {
        prop_oneof![
            20 => -30 * MS..30 * MS,
            2 => -3 * MS..900 * MS,
            1 => 0..200_000 * MS,
        ]
    };
    let lost = || prop_oneof![20 => Just(0_u64), 2 => 0..20_u64];
    let event = prop_oneof![
        60 => (lost(), late()).prop_map(|(lost, late)| Event::Beat { lost, late }),
        3 => (0..50 * MS).prop_map(Event::Unnumbered),
        2 => (lost(), late()).prop_map(|(lost, late)| Event::Unsampled { lost, late }),
        1 => Just(Event::Restart),
        1 => (500..1_u64 << 50).prop_map(Event::Leap),
    ];
    proptest::collection::vec(event, 1..400)
}

/// Plays the events to both and yields what they say after each.
fn play(
    events: &[Event],
    schedule: &mut Schedule,
    model: &mut Model,
    mut check: impl FnMut(&Schedule, &Model),
) {
    let mut number = 0_u64;
    let mut hear = |schedule: &mut Schedule, model: &mut Model, number, interval, sample| {
        let interval = std::cmp::max(interval, 0);
        schedule.hear(PERIOD, number, interval, sample);
        model.hear(number, interval, sample);
        check(schedule, model);
    };
    for event in events {
        let due = |lost: u64, late: i64| PERIOD * (i64::try_from(lost).unwrap() + 1) + late;
        match *event {
            Event::Beat { lost, late } => {
                number += 1 + lost;
                hear(schedule, model, Some(number), due(lost, late), true);
            }
            Event::Unnumbered(interval) => hear(schedule, model, None, interval, true),
            Event::Unsampled { lost, late } => {
                number += 1 + lost;
                hear(schedule, model, Some(number), due(lost, late), false);
            }
            Event::Restart => {
                schedule.restart(None);
                (model.number, number) = (None, 0);
            }
            Event::Leap(by) => {
                number += by;
                hear(schedule, model, Some(number), PERIOD, true);
            }
        }
    }
}

fn exact(long: u32, short: Option<u32>) -> Schedule {
    Schedule::new(Expected::Windows(Box::new(Windows::new(long, short))))
}

fn windows() -> impl Strategy<Value = (u32, Option<u32>)> {
    (1..60_u32).prop_flat_map(|long| {
        let short = (long > 1).then_some(1..long.max(2));
        let short = short.map_or(Just(None).boxed(), |range| proptest::option::of(range).boxed());
        (Just(long), short)
    })
}

proptest! {
    /// Loss, leaps of the numbers, restarts, heartbeats without a number and such as are no sample.
    #[test]
    fn windows_say_what_the_paper_says_to_a_microsecond(
        (long, short) in windows(),
        events in events(),
    ) {
        let (mut schedule, mut model) = (exact(long, short), Model::new(long, short));
        play(&events, &mut schedule, &mut model, |schedule, model| {
            let mut expected = model.location();
            if schedule.since_ns != 0 {
                expected = expected.max(0.0);
            }
            let error = (schedule.location(PERIOD) - expected).abs();
            assert!(error < 1.01e-6, "{} for {expected}", schedule.location(PERIOD));
        });
    }

    #[test]
    fn weights_give_the_mean_that_they_describe(
        long in 1..200_u32,
        differences in proptest::collection::vec(-50_000..50_000_i32, 1..400),
    ) {
        let mut weighted = Weighted::new(long, Some(1));
        weighted.begin();
        let mut offsets = vec![0.0];
        for difference in differences {
            weighted.shift(difference);
            offsets.push(offsets[offsets.len() - 1] + f64::from(difference));
            let (mut mean, mut heard) = (0.0, 0.0);
            for offset in &offsets {
                heard += 1.0;
                mean += (offset - mean) * f64::max(2.0 / f64::from(long + 1), 1.0 / heard);
            }
            let relative = mean - offsets[offsets.len() - 1];
            prop_assert!((weighted.mean_us() - relative.max(0.0)).abs() < 1e-5);
        }
    }
}

#[test]
fn a_period_that_is_wrong_for_days_leaves_no_drift() {
    let mut schedule = exact(1_000, None);
    let mut weighted = Schedule::new(Expected::Weighted(Weighted::new(1_000, None)));
    for number in 0..5_000_000 {
        for schedule in [&mut schedule, &mut weighted] {
            schedule.hear(PERIOD, Some(number), PERIOD * 97 / 100, true);
        }
    }
    // A period, and half a window of 3 ms each.
    assert!(
        (schedule.location(PERIOD) - (0.1 + 499.5 * 0.003)).abs() < 1e-9,
        "{}",
        schedule.location(PERIOD)
    );
    assert!(
        (weighted.location(PERIOD) - (0.1 + 499.5 * 0.003)).abs() < 1e-9,
        "{}",
        weighted.location(PERIOD)
    );
}

#[test]
fn parts_of_a_microsecond_add_up() {
    let mut schedule = exact(1_000, None);
    for number in 0..1_000 {
        schedule.hear(PERIOD, Some(number), PERIOD + 999, true);
    }
    let mean = 0.1 - 499.5 * 999e-9;
    assert!((schedule.location(PERIOD) - mean).abs() < 1e-6, "{}", schedule.location(PERIOD));
}

#[test]
fn the_widest_window_does_not_overflow() {
    const HOUR: i64 = 3_600_000 * MS;
    let mut schedule = exact(65_536, Some(65_535));
    let latest = i64::from(i32::MAX) * 1_000 - 1;
    for number in 0..140_000 {
        schedule.hear(HOUR, Some(number), HOUR - latest, true);
    }
    let mean = 3_600.0 + 32_767.5 * latest as f64 * 1e-9;
    let location = schedule.location(HOUR);
    assert!((location / mean - 1.0).abs() < 1e-12, "{location}");
}

#[test]
fn numbers_that_leap_do_not_put_off_the_next_conviction() {
    for leap in [1_000, 1 << 40, u64::MAX - 2_000] {
        let mut schedule = exact(1_000, Some(1));
        for number in 0..1_000 {
            schedule.hear(PERIOD, Some(number), PERIOD, true);
        }
        schedule.hear(PERIOD, Some(1_000 + leap), PERIOD, true);
        assert_eq!(schedule.location(PERIOD), 0.1, "{leap}");
    }
}

#[test]
fn what_is_no_sample_leaves_the_windows_as_they_were() {
    let mut schedule = exact(10, None);
    for number in 0..10 {
        schedule.hear(PERIOD, Some(number), PERIOD, true);
    }
    // The observer stood still for five seconds: the heartbeat is read late.
    schedule.hear(PERIOD, Some(10), PERIOD + 5_000 * MS, false);
    assert_eq!(schedule.location(PERIOD), 0.0);
    assert_eq!(schedule.order(Some(10)), Order::Stale);
    // The next is read when it comes.
    schedule.hear(PERIOD, Some(60), 0, true);
    assert_eq!(schedule.location(PERIOD), 0.1);
    // One without a number moves nothing but the last arrival.
    schedule.hear(PERIOD, None, 30 * MS, true);
    assert!((schedule.location(PERIOD) - 0.07).abs() < 1e-12);
    schedule.hear(PERIOD, None, 90 * MS, true);
    assert_eq!(schedule.location(PERIOD), 0.0);
}

#[test]
fn the_ring_grows_as_heartbeats_come_and_no_further_than_the_window() {
    let mut windows = Windows::new(1_000, Some(1));
    assert_eq!(windows.capacity(), 0);
    windows.begin();
    (0..5).for_each(|_| windows.shift(1));
    assert_eq!(windows.capacity(), 8);
    (0..5_000).for_each(|_| windows.shift(1));
    assert_eq!(windows.capacity(), 999);
}
