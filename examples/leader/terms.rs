//! Who led from when to when, as the timeline says.

use steadfast::FencingToken;

use crate::timeline::{Event, What};

/// In seconds since the act began.
pub(crate) struct Term {
    pub(crate) who: char,
    pub(crate) token: FencingToken,
    pub(crate) from: f64,
    /// When its lease had ended by its own count, if that was before it looked.
    pub(crate) good_until: f64,
    /// When it saw that, or the act ended.
    pub(crate) to: f64,
    /// From when to when it was stopped.
    pub(crate) stopped: Option<(f64, f64)>,
}

/// In the order of their tokens.
pub(crate) fn terms(events: &[Event], end: f64) -> Vec<Term> {
    let mut terms = Vec::<Term>::new();
    for Event { at, who, token, what } in events {
        let (who, token, at) = (*who, *token, at.as_secs_f64());
        if *what == What::Leads {
            terms.push(Term { who, token, from: at, good_until: end, to: end, stopped: None });
            continue;
        }
        let Some(term) = terms.iter_mut().find(|term| term.token == token) else { continue };
        match what {
            What::Stopped { good_until, .. } => {
                term.good_until = good_until.as_secs_f64();
                term.stopped = Some((at, end));
            }
            What::Woken => term.stopped = term.stopped.map(|(from, _)| (from, at)),
            What::Deposed { .. } => {
                term.to = at;
                term.good_until = term.good_until.min(at);
            }
            _ => {}
        }
    }
    terms
}
