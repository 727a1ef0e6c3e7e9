//! The circuit against a model that keeps a plain list of outcomes.

use std::time::Duration;

use proptest::prelude::*;
use steadfast_breaker::{Circuit, CircuitConfig, OpenTime, State};
use steadfast_core::{Ratio, TimeSource, Verdict};

use crate::{FAILED, n};

const OPEN_FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The rules that may change: size, minimum, percent, run and span.
type Rules = (u32, u32, u8, u32, u64);

fn rules() -> impl Strategy<Value = Rules> {
    (1u32..30, 1u32..30, 1u8..=100, 2u32..12, prop_oneof![Just(0u64), 0u64..12])
}

/// Everything a closed circuit needs to know, kept the slow way.
struct Model {
    outcomes: Vec<(u64, bool)>,
    /// How many of the first of them have left the window, and stay out of it if it grows.
    forgotten: usize,
    now: u64,
    size: usize,
    seconds: Option<u64>,
    minimum: usize,
    run: usize,
    span: u64,
    ratio: f64,
}

impl Model {
    fn record(&mut self, failed: bool) -> bool {
        self.outcomes.push((self.now, failed));
        self.forget();
        let window = self.window();
        let failures = window.iter().filter(|&&failed| failed).count();
        let run: Vec<_> = self.outcomes.iter().rev().take_while(|(_, failed)| *failed).collect();
        let span = run.first().zip(run.last()).map(|((last, _), (first, _))| last - first);
        let ratio = window.len() >= self.minimum
            && failures > 0
            && failures as f64 >= self.ratio * window.len() as f64 - 1e-9;
        (run.len() >= self.run && span >= Some(self.span)) || ratio
    }

    fn forget(&mut self) {
        self.forgotten = self.forgotten.max(self.outcomes.len().saturating_sub(self.size));
    }

    fn reconfigure(&mut self, (size, minimum, percent, run, span): Rules) {
        if self.seconds.is_none() {
            self.size = size as usize;
            self.forget();
        }
        (self.minimum, self.run, self.span) = (minimum as usize, run as usize, span);
        self.ratio = f64::from(percent) / 100.0;
    }

    fn window(&self) -> Vec<bool> {
        match self.seconds {
            None => self.outcomes[self.forgotten..].iter().map(|&(_, failed)| failed).collect(),
            Some(seconds) => self
                .outcomes
                .iter()
                .filter(|(at, _)| self.now - at < seconds)
                .map(|&(_, failed)| failed)
                .collect(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn opens_exactly_when_a_naive_list_says_so(
        timed: bool,
        first in rules(),
        failing in 0.0f64..0.7,
        steps in prop::collection::vec((
            0.0f64..1.0,
            prop_oneof![6 => Just(0u64), 2 => 1u64..3, 1 => 3u64..40],
            prop_oneof![10 => Just(None), 1 => rules().prop_map(Some)],
        ), 1..300),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let length = first.0;
            let bounded = |(size, minimum, percent, run, span): Rules| {
                (size, if timed { minimum } else { minimum.min(size) }, percent, run, span)
            };
            let config = |(size, minimum, percent, run, span): Rules| {
                let config = CircuitConfig::new()
                    .minimum_calls(n(minimum))
                    .failure_ratio(Ratio::percent(percent))
                    .consecutive_failures(n(run))
                    .consecutive_span(Duration::from_secs(span))
                    .time_source(TimeSource::Tokio)
                    .open_time(OpenTime::constant(OPEN_FOREVER).unwrap());
                match timed {
                    true => config.time_window(Duration::from_secs(length.into()), length),
                    false => config.count_window(n(size)),
                }
            };
            let circuit = Circuit::new(config(bounded(first))).unwrap();
            let mut model = Model {
                outcomes: Vec::new(),
                forgotten: 0,
                now: 0,
                size: if timed { usize::MAX } else { length as usize },
                seconds: timed.then_some(length.into()),
                minimum: 0,
                run: 0,
                span: 0,
                ratio: 0.0,
            };
            model.reconfigure(bounded(first));
            for (draw, advance, change) in steps {
                if let Some(rules) = change.map(bounded) {
                    circuit.reconfigure(config(rules)).unwrap();
                    model.reconfigure(rules);
                }
                tokio::time::advance(Duration::from_secs(advance)).await;
                model.now += advance;
                let failed = draw < failing;
                let opens = model.record(failed);
                circuit.try_admit().unwrap().record(if failed { FAILED } else { Verdict::Success });
                prop_assert_eq!(circuit.state() == State::Open, opens);
                if opens {
                    break;
                }
                let window = model.window();
                let counts = circuit.snapshot().counts;
                let failures = window.iter().filter(|&&failed| failed).count() as u64;
                prop_assert_eq!((counts.total, counts.failures), (window.len() as u64, failures));
            }
            Ok(())
        })?;
    }
}
