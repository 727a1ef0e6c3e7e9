//! Dropping anything at any point leaves nothing behind: no future, no handle, no permit.

use super::{
    Subject,
    rig::{Check, Rig, ensure},
};
use crate::{Probe, Reply};

/// More than any permit count or probe limit that a layer has by default: a permit lost at each
/// drop is noticed.
const DROPS: u32 = 100;

pub(super) fn before_call<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    let mut rig = Rig::new(make);
    for _ in 0..DROPS {
        let mut ready = rig.service.clone();
        let _ = rig.task.poll_ready(&mut ready);
    }
    let calls = rig.counts().calls;
    ensure(calls == 0, || format!("{calls} calls of the inner service where none was asked for"))?;
    no_future_is_left(&rig)?;
    rig.answer(1)?;
    rig.finish()
}

pub(super) fn before_poll<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    let mut rig = Rig::new(make);
    for request in 0..DROPS {
        drop(rig.start(request)?);
    }
    no_future_is_left(&rig)?;
    rig.answer(1)?;
    rig.finish()
}

pub(super) fn while_pending<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    let mut rig = Rig::new(make);
    rig.control.always(Reply::echo().held());
    for request in 0..DROPS {
        drop(rig.start_pending(request)?);
    }
    no_future_is_left(&rig)?;
    rig.control.always(Reply::echo());
    rig.answer(1)?;
    rig.finish()
}

pub(super) fn when_done<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    let mut rig = Rig::new(make);
    rig.control.script([Reply::error()]);
    let mut failed = rig.start(0)?;
    let _ = rig.task.poll(&mut failed);
    drop(failed);
    for request in 0..DROPS {
        rig.answer(request)?;
    }
    no_future_is_left(&rig)?;
    rig.finish()
}

fn no_future_is_left<S: Subject>(rig: &Rig<S>) -> Check {
    let left = rig.counts().live_futures;
    ensure(left == 0, || format!("{left} inner futures are still alive"))
}
