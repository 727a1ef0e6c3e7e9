//! The circuit against a model that keeps a plain list of outcomes.

use std::time::Duration;

use proptest::prelude::*;
use steadfast_breaker::{Circuit, CircuitConfig, OpenTime, State};
use steadfast_core::{Ratio, TimeSource, Verdict};

use crate::{FAILED, n};

const OPEN_FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Everything a closed circuit needs to know, kept the slow way.
struct Model {
    outcomes: Vec<(u64, bool)>,
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
        let window = self.window();
        let failures = window.iter().filter(|&&failed| failed).count();
        let run: Vec<_> = self.outcomes.iter().rev().take_while(|(_, failed)| *failed).collect();
        let span = run.first().zip(run.last()).map(|((last, _), (first, _))| last - first);
        let ratio = window.len() >= self.minimum
            && failures > 0
            && failures as f64 >= self.ratio * window.len() as f64 - 1e-9;
        (run.len() >= self.run && span >= Some(self.span)) || ratio
    }

    fn window(&self) -> Vec<bool> {
        match self.seconds {
            None => self.outcomes.iter().rev().take(self.size).map(|&(_, failed)| failed).collect(),
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
        size in 1u32..30,
        timed: bool,
        minimum in 1u32..30,
        percent in 1u8..=100,
        run in 2u32..12,
        span in prop_oneof![Just(0u64), 0u64..12],
        failing in 0.0f64..0.7,
        steps in prop::collection::vec((0.0f64..1.0, prop_oneof![6 => Just(0u64), 2 => 1u64..3, 1 => 3u64..40]), 1..300),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let seconds = u64::from(size);
            let minimum = if timed { minimum } else { minimum.min(size) };
            let config = CircuitConfig::new()
                .minimum_calls(n(minimum))
                .failure_ratio(Ratio::percent(percent))
                .consecutive_failures(n(run))
                .consecutive_span(Duration::from_secs(span))
                .time_source(TimeSource::Tokio)
                .open_time(OpenTime::constant(OPEN_FOREVER).unwrap());
            let config = match timed {
                true => config.time_window(Duration::from_secs(seconds), size),
                false => config.count_window(n(size)),
            };
            let circuit = Circuit::new(config).unwrap();
            let mut model = Model {
                outcomes: Vec::new(),
                now: 0,
                size: size as usize,
                seconds: timed.then_some(seconds),
                minimum: minimum as usize,
                run: run as usize,
                span,
                ratio: f64::from(percent) / 100.0,
            };
            for (draw, advance) in steps {
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
