//! A panic of the inner service unwinds through the layer and poisons nothing.

use super::{
    Subject,
    rig::{Check, Rig, Task, expect_panic},
};
use crate::{Probe, Readiness, Reply};

pub(super) fn in_readiness<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    let (mut rig, mut clone) = two_handles(make);
    rig.control.script_readiness([Readiness::Panic]);
    expect_panic(|| rig.poll_ready())?;
    both_go_on(&mut rig, &mut clone)
}

pub(super) fn in_call<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    let (mut rig, mut clone) = two_handles(make);
    rig.control.script([Reply::panic_in_call()]);
    rig.ready()?;
    // A layer may make the inner call when its future is first polled.
    expect_panic(|| rig.task.poll(&mut Box::pin(rig.service.call(1))))?;
    both_go_on(&mut rig, &mut clone)
}

pub(super) fn in_future<S: Subject>(make: &dyn Fn(Probe) -> S) -> Check {
    let (mut rig, mut clone) = two_handles(make);
    rig.control.script([Reply::panic(), Reply::panic().held()]);
    let mut at_once = rig.start(1)?;
    expect_panic(|| rig.task.poll(&mut at_once))?;
    drop(at_once);
    let mut later = rig.start_pending(2)?;
    rig.control.release_all();
    expect_panic(|| rig.task.poll(&mut later))?;
    drop(later);
    both_go_on(&mut rig, &mut clone)
}

/// The service that will meet the panic, and a clone from before it.
fn two_handles<S: Subject>(make: &dyn Fn(Probe) -> S) -> (Rig<S>, Rig<S>) {
    let rig = Rig::new(make);
    let clone =
        Rig { control: rig.control.clone(), service: rig.service.clone(), task: Task::default() };
    (rig, clone)
}

fn both_go_on<S: Subject>(rig: &mut Rig<S>, clone: &mut Rig<S>) -> Check {
    rig.answer(11)?;
    clone.answer(12)?;
    rig.answer(13)
}
