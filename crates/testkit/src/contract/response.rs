//! The response: one call, one answer, woken and unchanged.

use std::task::Poll;

use super::{
    Subject,
    rig::{Check, Rig, Task, ensure, expect_echo},
};
use crate::{Probe, ProbeError, Reply};

pub(super) fn costs_one_call<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    let mut rig = Rig::new(make);
    let future = rig.start(1)?;
    let early = rig.counts().calls;
    ensure(early <= 1, || format!("{early} calls of the inner service for one request"))?;
    drop(future);
    let before = rig.counts().calls;
    rig.answer(2)?;
    let calls = rig.counts().calls - before;
    ensure(calls == 1, || format!("{calls} calls of the inner service for one request"))
}

pub(super) fn wakes<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    let mut rig = Rig::new(make);
    rig.control.script([Reply::echo().held()]);
    let mut future = rig.start_pending(7)?;
    let (woken, polled) = (rig.task.wakes(), rig.counts().polls);
    ensure(polled == 1, || {
        format!("{polled} polls of a pending inner future for one poll of the response")
    })?;
    rig.control.release_all();
    ensure(rig.task.wakes() > woken, || {
        "the inner future went on, but the task was not woken".to_owned()
    })?;
    expect_echo(&rig.task.poll(&mut future), 7)?;
    let extra = rig.counts().polls - polled;
    ensure(extra == 1, || format!("{extra} polls of the inner future where one was due"))
}

pub(super) fn wakes_the_latest_task<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    let mut rig = Rig::new(make);
    rig.control.script([Reply::echo().held()]);
    let mut future = rig.start_pending(7)?;
    let latest = Task::default();
    let _ = latest.poll(&mut future);
    rig.control.release_all();
    ensure(latest.wakes() > 0, || {
        "the future had moved to another task, but that one was not woken".to_owned()
    })
}

pub(super) fn is_not_polled_when_done<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    let mut rig = Rig::new(make);
    rig.control.script([Reply::echo(), Reply::error(), Reply::echo().held()]);
    for request in 0..2 {
        let mut future = rig.start(request)?;
        let _ = rig.task.poll(&mut future);
    }
    let mut future = rig.start(2)?;
    if rig.task.poll(&mut future).is_pending() {
        rig.control.release_all();
        let _ = rig.task.poll(&mut future);
    }
    let polls = rig.counts().polls_when_done;
    ensure(polls == 0, || format!("{polls} polls of inner futures that were done"))
}

pub(super) fn error_is_unchanged<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    let mut rig = Rig::new(make);
    rig.control.script([Reply::error(), Reply::error().held()]);
    let mut at_once = rig.start(1)?;
    expect_error(rig.task.poll(&mut at_once), 0)?;
    drop(at_once);
    let mut later = rig.start_pending(2)?;
    rig.control.release_all();
    expect_error(rig.task.poll(&mut later), 1)
}

fn expect_error(answer: Poll<Result<u32, crate::BoxError>>, call: u64) -> Check {
    match answer {
        Poll::Ready(Err(error)) => {
            ensure(error.downcast_ref() == Some(&ProbeError::Call(call)), || {
                format!("the inner service's error came out as another: {error:?}")
            })
        }
        answer => Err(format!("the inner service failed, but the response was {answer:?}")),
    }
}

pub(super) fn calls_run_side_by_side<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    const CALLS: u32 = 8;
    let mut rig = Rig::new(make);
    rig.control.always(Reply::echo().held());
    let mut clone =
        Rig { control: rig.control.clone(), service: rig.service.clone(), task: Task::default() };
    let mut futures = Vec::new();
    for number in 0..CALLS {
        let caller = if number % 2 == 0 { &mut rig } else { &mut clone };
        futures.push((number, caller.start_pending(100 + number)?));
    }
    while let Some((number, mut future)) = futures.pop() {
        let held = rig.control.release(u64::from(number));
        ensure(held, || format!("call {number} of {CALLS} had not reached the inner service"))?;
        expect_echo(&rig.task.poll(&mut future), 100 + number)?;
    }
    Ok(())
}

pub(super) fn straggler_does_no_harm<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    let mut rig = Rig::new(make);
    rig.control.script([Reply::echo().held()]);
    let mut straggler = rig.start_pending(7)?;
    for request in 0..50 {
        rig.answer(request)?;
    }
    let successor = rig.service.clone();
    drop(std::mem::replace(&mut rig.service, successor));
    rig.control.release_all();
    expect_echo(&rig.task.poll(&mut straggler), 7)?;
    drop(straggler);
    rig.answer(8)
}
