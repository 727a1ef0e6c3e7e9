//! Which upstream was called when.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::time::Instant;

/// An upstream is no longer called when this many calls in a row have gone to others. In turn it
/// would be every third; counted in calls and not in time, so that a stall of the machine is not
/// taken for silence.
const QUIET: usize = 50;

/// The log of all calls the gateway sends, attempts counted one by one.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<Vec<Call>>>);

#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) at: Instant,
    pub(crate) upstream: usize,
}

impl Calls {
    pub(crate) fn note(&self, upstream: usize) {
        let call = Call { at: Instant::now(), upstream };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    pub(crate) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A time in which an upstream was not called: from the last call before it to the first after it,
/// if there was one.
pub(crate) struct Silence {
    pub(crate) from: Instant,
    pub(crate) to: Option<Instant>,
}

/// The silences of `upstream` in that time, in order.
pub(crate) fn silences(calls: &[Call], upstream: usize, within: &Range<Instant>) -> Vec<Silence> {
    let (mut found, mut from, mut others) = (Vec::new(), within.start, 0);
    for call in calls.iter().filter(|call| within.contains(&call.at)) {
        if call.upstream != upstream {
            others += 1;
            continue;
        }
        if others >= QUIET {
            found.push(Silence { from, to: Some(call.at) });
        }
        (from, others) = (call.at, 0);
    }
    if others >= QUIET {
        found.push(Silence { from, to: None });
    }
    found
}
