//! What must hold.

use crate::{
    Failure,
    act::{Act, Seen},
    timeline::{Event, What},
};

pub(crate) fn check(act: Act, seen: &Seen) -> Result<(), Failure> {
    let leads = seen.events.iter().filter(|event| event.what == What::Leads);
    let tokens: Vec<_> = leads.map(|event| event.token).collect();
    claim(tokens.windows(2).all(|two| two[0] < two[1]), act, "each leader's token is greater")?;

    // The last that was stopped: one before it may have woken before another could take over.
    let is_stop = |event: &Event| matches!(event.what, What::Stopped { .. });
    let at = seen.events.iter().rposition(is_stop).ok_or("none was stopped")?;
    let (stopped, then) = (&seen.events[at], &seen.events[at..]);
    let What::Stopped { good_until, .. } = stopped.what else {
        return Err("none was stopped".into());
    };
    let next = then.iter().find(|event| event.what == What::Leads && event.who != stopped.who);
    let next = next.ok_or("no other took over")?;
    claim(next.token > stopped.token, act, "the one that took over has a greater token")?;
    claim(next.at >= good_until, act, "the first lease had ended, by its own count, before that")?;

    let of_stopped = || then.iter().filter(|event| event.token == stopped.token);
    let is_deposed = of_stopped().any(|event| matches!(event.what, What::Deposed { .. }));
    claim(is_deposed, act, "the one that has woken finds its lease lost when it looks")?;
    let is_late = of_stopped().any(|event| matches!(event.what, What::WroteOver { .. }));
    let is_rejected = of_stopped().any(|event| matches!(event.what, What::Rejected { .. }));
    let lost = seen.acknowledged - seen.balance;
    match act {
        Act::Unfenced => {
            claim(is_late && !is_rejected, act, "the late write goes through")?;
            claim(lost > 0, act, "updates are lost")
        }
        Act::Fenced => {
            claim(is_rejected && !is_late, act, "the late write is rejected")?;
            claim(lost == 0, act, "no update is lost")
        }
    }
}

fn claim(holds: bool, act: Act, what: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(format!("{}: this does not hold: {what}", act.name()).into()) }
}
