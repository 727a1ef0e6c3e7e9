//! Random executions of several processes, and happened-before found by reachability alone.

use proptest::prelude::*;

/// What a process does. `Receive` takes any message sent so far, again if it was taken before, in
/// any order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Local { process: usize },
    Receive { process: usize, message: usize },
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let process = 0..Execution::PROCESSES;
    let step = prop_oneof![
        process.clone().prop_map(|process| Step::Local { process }),
        (process, any::<usize>()).prop_map(|(process, message)| Step::Receive { process, message }),
    ];
    prop::collection::vec(step, 1..60)
}

/// An event, and the one whose message it received. Any event may have sent a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) process: usize,
    pub(super) received: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Execution {
    pub(super) events: Vec<Event>,
    /// `before[f]` are the events that lie on a path to `f`.
    before: Vec<Vec<usize>>,
}

impl Execution {
    pub(super) const PROCESSES: usize = 6;

    pub(super) fn run(steps: &[Step]) -> Self {
        let mut events = Vec::new();
        for step in steps {
            events.push(match *step {
                Step::Receive { process, message } if !events.is_empty() => {
                    Event { process, received: Some(message % events.len()) }
                }
                Step::Local { process } | Step::Receive { process, .. } => {
                    Event { process, received: None }
                }
            });
        }
        let before = (0..events.len()).map(|event| reached_from(&events, event)).collect();
        Self { events, before }
    }

    pub(super) fn happened_before(&self, e: usize, f: usize) -> bool {
        self.before[f].contains(&e)
    }
}

/// All events from which `event` can be reached: back along the process, and back along messages.
fn reached_from(events: &[Event], event: usize) -> Vec<usize> {
    let previous = |of: usize| (0..of).rev().find(|e| events[*e].process == events[of].process);
    let (mut reached, mut open) = (Vec::new(), vec![event]);
    while let Some(next) = open.pop() {
        for from in [previous(next), events[next].received].into_iter().flatten() {
            if !reached.contains(&from) {
                reached.push(from);
                open.push(from);
            }
        }
    }
    reached
}
