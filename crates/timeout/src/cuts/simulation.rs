//! The rule under traffic: the limit itself, fed with instants, under a model of the breaker's
//! defaults. The product's breaker meets it in the facade's tests, in fewer cells.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, VecDeque},
    mem,
    sync::Arc,
};

use steadfast_testkit::Traffic;

use super::{Duration, Instant};
use crate::{
    LimitConfig,
    explorers::Exploration,
    shared::{CLOCK, Shared},
    telemetry::Telemetry,
};

const MS: Duration = Duration::from_millis(1);
const MEDIAN: Duration = Duration::from_millis(20);
const SIGMA: f64 = 0.25;
const SECOND: Duration = Duration::from_secs(1);

/// How long a caller waits.
type Draw = fn(&mut Traffic) -> Duration;

/// The breaker's defaults: of the last 100 calls half must fail, at least 20 of them counted, or
/// ten in a row over half a second. Open for 5 s, doubling to a minute; two probes of three close.
#[derive(Default)]
struct Breaker {
    window: VecDeque<bool>,
    in_a_row: u32,
    row_since: Duration,
    open_until: Option<Duration>,
    times: u32,
    probing: u32,
    verdicts: (u32, u32),
    epoch: u32,
    opens: Vec<Duration>,
}

impl Breaker {
    /// The epoch under which a call is let in at `now`.
    fn admit(&mut self, now: Duration) -> Option<u32> {
        if let Some(until) = self.open_until {
            if now < until {
                return None;
            }
            if self.probing + self.verdicts.0 + self.verdicts.1 >= 3 {
                return None;
            }
            self.probing += 1;
        }
        Some(self.epoch)
    }

    /// What became of it; `None` says nothing.
    fn settle(&mut self, now: Duration, epoch: u32, failed: Option<bool>) {
        if epoch != self.epoch {
            return;
        }
        if self.open_until.is_some() {
            self.probing -= 1;
            match failed {
                Some(true) => self.verdicts.1 += 1,
                Some(false) => self.verdicts.0 += 1,
                None => {}
            }
            if self.verdicts.0 >= 2 {
                *self =
                    Self { opens: mem::take(&mut self.opens), epoch: epoch + 1, ..Self::default() };
            } else if self.verdicts.1 >= 2 {
                self.open(now);
            }
            return;
        }
        let Some(failed) = failed else { return };
        self.window.push_back(failed);
        if self.window.len() > 100 {
            self.window.pop_front();
        }
        if !failed {
            self.in_a_row = 0;
            return;
        }
        if self.in_a_row == 0 {
            self.row_since = now;
        }
        self.in_a_row += 1;
        let failures = self.window.iter().filter(|&&failed| failed).count();
        let row = self.in_a_row >= 10 && now - self.row_since >= SECOND / 2;
        if row || (self.window.len() >= 20 && 2 * failures >= self.window.len()) {
            self.open(now);
        }
    }

    fn open(&mut self, now: Duration) {
        self.opens.push(now);
        self.open_until = Some(now + (5 * SECOND * 2u32.pow(self.times.min(4))).min(60 * SECOND));
        self.times += 1;
        (self.probing, self.verdicts) = (0, (0, 0));
        self.epoch += 1;
    }
}

/// What callers and service do.
#[derive(Clone, Copy)]
struct Cell {
    per_second: f64,
    length: Duration,
    /// What a caller allows, if it sets a deadline.
    deadline: Draw,
    share: f64,
    dead_from: Duration,
    /// Calls come only in the first so much of each 20 s.
    burst: Duration,
}

const CELL: Cell = Cell {
    per_second: 100.0,
    length: Duration::from_secs(600),
    deadline: |_| MEDIAN,
    share: 1.0,
    dead_from: Duration::MAX,
    burst: Duration::from_secs(20),
};

impl Cell {
    /// When the circuit opened.
    fn run(&self, seed: u64, limit: &Shared) -> Vec<Duration> {
        let (start, mut traffic) = (CLOCK.now(), Traffic::seeded(seed));
        let mut breaker = Breaker::default();
        let mut now = Duration::ZERO;
        let mut under_way = BinaryHeap::<Reverse<Call>>::new();
        while now < self.length {
            now += traffic.arrival(self.per_second);
            let phase = Duration::from_nanos((now.as_nanos() % 20_000_000_000) as u64);
            if phase > self.burst {
                now += 20 * SECOND - phase;
            }
            while under_way.peek().is_some_and(|Reverse(call)| call.next <= now) {
                let Reverse(mut call) = under_way.pop().unwrap();
                match call.go_on(start, limit) {
                    None => under_way.push(Reverse(call)),
                    Some(failed) => breaker.settle(call.next, call.epoch, failed),
                }
            }
            let latency = traffic.log_normal(MEDIAN, SIGMA);
            let latency = if now >= self.dead_from { Duration::MAX } else { latency };
            let has_deadline = traffic.chance(self.share);
            let deadline = (self.deadline)(&mut traffic);
            let deadline = if has_deadline { deadline } else { Duration::MAX };
            if let Some(epoch) = breaker.admit(now) {
                let limit = limit.limit(start + now);
                let next = now + latency.min(limit).min(deadline);
                let begun = Begun { at: now, latency, limit, deadline };
                under_way.push(Reverse(Call { next, epoch, begun, exploration: None }));
            }
        }
        breaker.opens
    }
}

/// One call, by when something happens to it.
struct Call {
    next: Duration,
    epoch: u32,
    begun: Begun,
    exploration: Option<Exploration>,
}

#[derive(Clone, Copy)]
struct Begun {
    at: Duration,
    latency: Duration,
    limit: Duration,
    deadline: Duration,
}

impl Call {
    /// What has become of it: `Some(None)` says nothing of the service.
    fn go_on(&mut self, start: Instant, shared: &Shared) -> Option<Option<bool>> {
        let Begun { at, latency, limit, deadline } = self.begun;
        let (now, waited) = (start + self.next, self.next - at);
        if let Some(exploration) = self.exploration {
            let found = latency <= exploration.until;
            if found || !exploration.tells() {
                shared.explorer_ended(&exploration, waited);
            } else {
                shared.explorer_in_vain(now, &exploration);
            }
            if found {
                shared.explorer_found(now, latency);
            }
            return Some(Some(!found));
        }
        if latency <= limit.min(deadline) {
            shared.success(now, latency, false);
            return Some(Some(false));
        }
        if deadline < limit {
            return Some(shared.cut(now, waited).then_some(true));
        }
        self.exploration = shared.expired(start + at, limit, deadline);
        let Some(exploration) = self.exploration else { return Some(Some(true)) };
        self.next = at + latency.min(exploration.until);
        None
    }
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        self.next == other.next
    }
}

impl Eq for Call {}

impl PartialOrd for Call {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Call {
    fn cmp(&self, other: &Self) -> Ordering {
        self.next.cmp(&other.next)
    }
}

fn limit() -> Shared {
    let config = LimitConfig::quantile(10 * MS, 5000 * MS).cold_start(SECOND);
    let config = LimitConfig::from(config);
    let settings = config.check().unwrap();
    Shared::new(config, settings, Arc::new(Telemetry::new(None, false)))
}

/// The longest time to open after `dead_from`, over four seeds; none may open before.
fn slowest(cell: &Cell) -> f64 {
    let length = cell.dead_from + 100 * SECOND;
    let cell = Cell { length, ..*cell };
    let opens = |seed| cell.run(seed, &limit()).first().copied().expect("it is found at last");
    let times = (0..4).map(|seed| opens(seed).as_secs_f64() - cell.dead_from.as_secs_f64());
    let times: Vec<_> = times.collect();
    assert!(times.iter().all(|&time| time > 0.0), "{times:?}");
    times.into_iter().fold(0.0, f64::max)
}

#[test]
fn impatient_callers_do_not_open_the_circuit_of_a_healthy_service() {
    // 19.95 and 21 ms lie just above an edge between two buckets: the 99 % of what is left is that
    // edge, and without a bucket's room each cut would count.
    let deadlines: [(&str, Draw); 6] = [
        ("1 ms", |_| MS),
        ("15 ms", |_| 15 * MS),
        ("19.95 ms", |_| Duration::from_micros(19_950)),
        ("the median", |_| MEDIAN),
        ("21 ms", |_| 21 * MS),
        ("91 %", |_| Duration::from_micros(27_960)),
    ];
    for (name, deadline) in deadlines {
        for (seed, share) in [0.1, 0.5, 0.9, 0.99].into_iter().enumerate() {
            let opens = Cell { deadline, share, ..CELL }.run(seed as u64, &limit());
            assert!(opens.is_empty(), "{name}, {share}: {} opens", opens.len());
            let bursts = Cell { deadline, share, burst: SECOND, ..CELL };
            let opens = bursts.run(seed as u64, &limit());
            assert!(opens.is_empty(), "{name}, {share}, in bursts: {} opens", opens.len());
        }
    }
}

#[test]
fn a_healthy_service_called_with_the_rest_of_a_deadline_keeps_its_circuit_closed() {
    let left: [Draw; 6] = [
        |traffic| (10 * MS).mul_f64(traffic.uniform()),
        |traffic| (20 * MS).mul_f64(traffic.uniform()),
        |traffic| (30 * MS).mul_f64(traffic.uniform()),
        |traffic| (40 * MS).mul_f64(traffic.uniform()),
        |traffic| (50 * MS).mul_f64(traffic.uniform()),
        |traffic| (60 * MS).mul_f64(traffic.uniform()),
    ];
    for (most, deadline) in left.into_iter().enumerate() {
        let opens = Cell { deadline, ..CELL }.run(most as u64, &limit());
        assert!(opens.is_empty(), "up to {}0 ms left: {} opens", most + 1, opens.len());
    }
}

#[test]
fn a_dead_service_is_found_by_callers_with_deadlines() {
    let above = |_: &mut Traffic| 45 * MS;
    let dead = Cell { dead_from: 90 * SECOND, ..CELL };
    for (name, deadline, per_second, bar) in [
        ("above the quantile", above as Draw, 100.0, 0.6),
        ("above the quantile", above, 10.0, 1.7),
        ("at the median", |_| MEDIAN, 100.0, 2.0),
        ("at the median", |_| MEDIAN, 10.0, 15.0),
        ("15 ms", |_| 15 * MS, 100.0, 5.0),
    ] {
        let time = slowest(&Cell { deadline, per_second, ..dead });
        assert!(time <= bar, "{name}, {per_second}/s: {time:.2} s, at most {bar}");
    }
    let cold = Cell { deadline: |_| 100 * MS, dead_from: Duration::ZERO, ..CELL };
    for (per_second, bar) in [(100.0, 1.5), (10.0, 3.0), (0.5, 40.0)] {
        let time = slowest(&Cell { per_second, ..cold });
        assert!(time <= bar, "cold, {per_second}/s: {time:.2} s, at most {bar}");
    }
}

#[test]
fn between_the_floor_and_the_fastest_answer_it_cannot_tell_and_errs_seldom() {
    let opens: usize = (0..4)
        .map(|seed| Cell { deadline: |_| 11 * MS, share: 0.99, ..CELL }.run(seed, &limit()).len())
        .sum();
    assert!(opens <= 4 * 28, "{opens} in 4 × 600 s");
}
