//! What happens to processes and links, by time.

use std::{sync::Arc, time::Duration};

use crate::{
    FailureMode, Outage,
    draw::{Sequence, Stream},
    outage::{Schedule, TOO_MANY_OUTAGES},
};

/// One moment of a plan's timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Since the plan began.
    pub at: Duration,
    /// What it happens to: a process, or a link.
    pub target: Arc<str>,
    /// Whether it begins or ends.
    pub change: Change,
    /// What happens.
    pub mode: FailureMode,
}

/// What becomes of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// It is over.
    End,
    /// From now on.
    Begin,
}

impl Event {
    /// Something begins to fail.
    #[must_use]
    pub fn begin(at: Duration, target: impl Into<Arc<str>>, mode: FailureMode) -> Self {
        Self { at, target: target.into(), change: Change::Begin, mode }
    }

    /// It is over.
    #[must_use]
    pub fn end(at: Duration, target: impl Into<Arc<str>>, mode: FailureMode) -> Self {
        Self { at, target: target.into(), change: Change::End, mode }
    }
}

/// The events of outages that were checked.
pub(crate) fn of(seed: u64, outages: &[Outage]) -> Vec<Event> {
    let mut events = Vec::new();
    for outage in outages {
        let mut push = |from, until: Duration| {
            events.push(Event::begin(from, outage.target.clone(), outage.mode));
            if until < Duration::MAX {
                events.push(Event::end(until, outage.target.clone(), outage.mode));
            }
        };
        match outage.schedule {
            Schedule::Once(ref during) => push(during.start, during.end),
            Schedule::AtRandom { mean_up, mean_down, until } => {
                let mut lengths = stream(seed, outage).sequence();
                let mut at = length(&mut lengths, mean_up);
                // Lengths that are none would fill the memory.
                for _ in 0..TOO_MANY_OUTAGES {
                    if at >= until {
                        break;
                    }
                    let end = at.saturating_add(length(&mut lengths, mean_down)).min(until);
                    push(at, end);
                    at = end.saturating_add(length(&mut lengths, mean_up));
                }
            }
        }
    }
    // Stable: what happens at one moment stays in the order of the outages.
    events.sort_by_key(|event| (event.at, event.change));
    events
}

/// No two random outages of one plan share all three: they would clash.
fn stream(seed: u64, outage: &Outage) -> Stream {
    let direction = outage.mode.direction().map_or("", crate::Direction::name);
    Stream::new(seed, &["outage", &outage.target, outage.mode.name(), direction])
}

/// In whole milliseconds, each of which may be the last: geometric, which is what the exponential
/// is in steps, and of the same mean.
fn length(lengths: &mut Sequence, mean: Duration) -> Duration {
    let millis = mean.as_secs_f64() * 1e3;
    Duration::from_millis(lengths.geometric(1.0 / millis.max(1.0)))
}

#[cfg(test)]
mod tests;
