//! Readiness: per handle, for one call, with its waker kept.

use std::task::Poll;

use super::{
    Subject,
    rig::{Check, Rig, Task, ensure},
};
use crate::{Probe, ProbeError, Readiness, Reply};

pub(super) fn is_for_one_call<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    let mut rig = Rig::new(make);
    rig.answer(1)?;
    let asked = rig.counts().ready_polls;
    rig.ready()?;
    ensure(rig.counts().ready_polls > asked, || {
        "ready again after a call, but the inner service was not asked".to_owned()
    })
}

pub(super) fn is_dropped_by_clone<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    let mut rig = Rig::new(make);
    rig.ready()?;
    let mut clone = rig.service.clone();
    let asked = rig.counts().ready_polls;
    let answer = Task::default().poll_ready(&mut clone);
    ensure(rig.counts().ready_polls > asked, || {
        format!("a clone said {answer:?}, but the inner service was not asked")
    })
}

pub(super) fn is_called_where_it_was_given<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    let mut rig = Rig::new(make);
    rig.answer(1)?;
    rig.answer(2)?;
    // The original keeps its readiness while a clone of it earns and uses its own.
    rig.ready()?;
    let mut clone =
        Rig { control: rig.control.clone(), service: rig.service.clone(), task: Task::default() };
    clone.answer(3)?;
    let mut future = Box::pin(rig.service.call(4));
    let _ = rig.task.poll(&mut future);
    let unready = rig.counts().unready_calls;
    ensure(unready == 0, || {
        format!("{unready} of 4 calls went to an inner handle that was not ready")
    })
}

pub(super) fn pending_is_passed_on<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    let mut rig = Rig::new(make);
    rig.control.always_ready(Readiness::Pending);
    for _ in 0..3 {
        let answer = rig.poll_ready();
        ensure(answer.is_pending(), || {
            format!("the inner service is not ready, but the layer said {answer:?}")
        })?;
    }
    ensure(rig.counts().calls == 0, || {
        "the inner service was called while it was not ready".to_owned()
    })
}

pub(super) fn wakes<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    let mut rig = Rig::new(make);
    rig.control.script_readiness([Readiness::Pending]);
    let _ = rig.poll_ready();
    let before = rig.task.wakes();
    rig.control.release_readiness();
    ensure(rig.task.wakes() > before, || {
        "the inner service became ready, but the task was not woken".to_owned()
    })?;
    rig.answer(1)
}

pub(super) fn never_busy_wakes<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    let mut rig = Rig::new(make);
    rig.control.script_readiness([Readiness::Pending]);
    rig.control.script([Reply::echo().held()]);
    for _ in 0..3 {
        let _ = rig.poll_ready();
    }
    let wakes = rig.task.wakes();
    ensure(wakes == 0, || format!("{wakes} wake-ups while the inner service was not ready"))?;
    rig.control.release_readiness();
    let mut future = rig.start(1)?;
    let before = rig.task.wakes();
    for _ in 0..3 {
        let _ = rig.task.poll(&mut future);
    }
    let wakes = rig.task.wakes() - before;
    ensure(wakes == 0, || format!("{wakes} wake-ups while the inner future was pending"))
}

pub(super) fn error_is_passed_on<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    let mut rig = Rig::new(make);
    rig.control.script_readiness([Readiness::Error]);
    match rig.poll_ready() {
        Poll::Ready(Err(error)) => {
            ensure(error.downcast_ref() == Some(&ProbeError::Readiness), || {
                format!("the readiness error came out as another: {error:?}")
            })
        }
        answer => {
            Err(format!("the inner service failed its readiness, but the layer said {answer:?}"))
        }
    }
}

pub(super) fn never_fails_by_itself<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    let mut rig = Rig::new(make);
    rig.control.always(Reply::error());
    for number in 0..100 {
        match rig.poll_ready() {
            Poll::Ready(Ok(())) => {}
            // A layer may hold back, but it may not give its service up.
            Poll::Pending => return Ok(()),
            Poll::Ready(Err(error)) => {
                return Err(format!("poll_ready failed after {number} failed calls: {error}"));
            }
        }
        let mut future = Box::pin(rig.service.call(number));
        let _ = rig.task.poll(&mut future);
    }
    Ok(())
}
