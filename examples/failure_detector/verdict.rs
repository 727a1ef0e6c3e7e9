//! What must be true of what was heard.

use std::{ops::Range, time::Duration};

use tokio::time::Instant;

use crate::{
    Failure,
    log::{Conviction, Heard},
};

/// From the last heartbeat to the instant computed for the conviction, at most.
const COMPUTED: Duration = Duration::from_millis(1500);

/// A conviction may be so late, on a busy machine; and so early, as what is told takes time.
const LATE: Duration = Duration::from_millis(400);
const EARLY: Duration = Duration::from_millis(50);

/// In that time `peer` was convicted by each of `observers`, once, at the instant that the observer
/// had computed, and there was no other conviction. Says how long it took.
pub(crate) fn convicted(
    heard: &Heard,
    time: &Range<Instant>,
    peer: usize,
    observers: &[usize],
) -> Result<String, Failure> {
    let convictions = heard.convictions_in(time);
    let mut by: Vec<(usize, usize)> =
        convictions.iter().map(|one| (one.observer, one.peer)).collect();
    by.sort_unstable();
    let right: Vec<(usize, usize)> = observers.iter().map(|observer| (*observer, peer)).collect();
    if by != right {
        return Err(format!("convicted were, by observer and peer, {by:?}, not {right:?}").into());
    }
    let after = |at: Instant| at.saturating_duration_since(time.start);
    for one in &convictions {
        on_time(one, after)?;
    }
    let first = convictions.iter().map(|one| after(one.at)).min().unwrap_or_default();
    let last = convictions.iter().map(|one| after(one.at)).max().unwrap_or_default();
    Ok(format!("{:.2}–{:.2} s", first.as_secs_f64(), last.as_secs_f64()))
}

fn on_time(one: &Conviction, after: impl Fn(Instant) -> Duration) -> Result<(), Failure> {
    let Conviction { at, observer, peer, computed } = *one;
    let computed = computed.ok_or("convicted without an instant computed for it")?;
    if after(computed) > COMPUTED {
        return Err(format!("{observer} computed {:?} for {peer}", after(computed)).into());
    }
    if at + EARLY < computed || at > computed + LATE {
        let (at, computed) = (after(at), after(computed));
        return Err(format!("{observer} convicted {peer} after {at:?}, not {computed:?}").into());
    }
    Ok(())
}

/// In that time `peer` was dead by votes for each of `observers`, and no other was for any. Says
/// after how long it was for all.
pub(crate) fn dead(
    heard: &Heard,
    time: &Range<Instant>,
    peer: usize,
    observers: &[usize],
) -> Result<String, Failure> {
    let dead = heard.dead_in(time);
    if let Some(one) = dead.iter().find(|one| one.peer != peer) {
        return Err(format!("{} is dead by the votes that {} has", one.peer, one.observer).into());
    }
    let mut last = Duration::ZERO;
    for observer in observers {
        let first = dead
            .iter()
            .find(|one| one.observer == *observer)
            .ok_or_else(|| format!("{peer} is not dead by the votes that {observer} has"))?;
        last = last.max(first.at - time.start);
    }
    Ok(format!("{:.2} s", last.as_secs_f64()))
}
