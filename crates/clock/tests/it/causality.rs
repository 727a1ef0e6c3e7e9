//! Logical clocks against happened-before, in random executions of several processes.

mod execution;

use proptest::prelude::*;
use steadfast_clock::{Causality, Dot, LamportClock, NodeId, VectorClock};

use self::execution::{Execution, steps};

/// The vector of every event, told by the events themselves.
fn stamp(execution: &Execution) -> Vec<(Dot, VectorClock)> {
    let mut processes = vec![VectorClock::new(Execution::PROCESSES).unwrap(); Execution::PROCESSES];
    let mut stamped: Vec<(Dot, VectorClock)> = Vec::new();
    for event in &execution.events {
        let own = &mut processes[event.process];
        if let Some(message) = event.received {
            own.merge(&stamped[message].1).unwrap();
        }
        let dot = own.increment(NodeId(event.process as u64)).unwrap();
        stamped.push((dot, own.clone()));
    }
    stamped
}

proptest! {
    #[test]
    fn it_is_happened_before_and_nothing_else(steps in steps()) {
        let execution = Execution::run(&steps);
        let stamped = stamp(&execution);
        for (e, (name, ours)) in stamped.iter().enumerate() {
            for (f, (_, theirs)) in stamped.iter().enumerate() {
                let expected = match (e == f, execution.happened_before(e, f), execution.happened_before(f, e)) {
                    (true, _, _) => Causality::Equal,
                    (_, true, _) => Causality::Before,
                    (_, _, true) => Causality::After,
                    _ => Causality::Concurrent,
                };
                prop_assert_eq!(ours.causality(theirs), expected);
                prop_assert_eq!(theirs.contains(*name), e == f || execution.happened_before(e, f));
            }
        }
    }

    #[test]
    fn what_happened_before_has_the_smaller_number(steps in steps()) {
        let execution = Execution::run(&steps);
        let clocks: Vec<_> = (0..Execution::PROCESSES).map(|_| LamportClock::new()).collect();
        let mut numbers: Vec<u64> = Vec::new();
        for event in &execution.events {
            let clock = &clocks[event.process];
            numbers.push(match event.received {
                Some(message) => clock.update(numbers[message]).unwrap(),
                None => clock.tick(),
            });
        }
        for e in 0..numbers.len() {
            for f in 0..numbers.len() {
                prop_assert!(!execution.happened_before(e, f) || numbers[e] < numbers[f]);
            }
        }
    }
}
