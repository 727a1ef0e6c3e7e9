//! One payment, and a worker that is killed or stopped at a step of it.

use std::thread;

use steadfast_chaos::process::Child;
use steadfast_testkit::servers;

use crate::{
    ledger::{Ledger, runtime},
    worker::{LEASE, STEPS, Step},
};

const TIMES: usize = 10;

fn worker(payment: &str, step: Step, then: &str) -> Child {
    let url = servers::postgres().url();
    Child::spawn(["pay", &url, payment, &format!("{step:?}"), then]).unwrap()
}

/// Ten times at each step, `kill -9`; and another worker that pays.
pub(crate) fn killed() {
    let runtime = runtime();
    let ledger = runtime.block_on(Ledger::open(&servers::postgres().url()));
    runtime.block_on(ledger.set_up());
    for step in STEPS {
        for n in 0..TIMES {
            let payment = format!("killed at {step:?}, {n}");
            let mut first = worker(&payment, step, "die");
            first.kill().unwrap();
            drop(worker(&payment, Step::Done, "die"));
            let effects = runtime.block_on(ledger.effects(payment.as_bytes()));
            assert_eq!(effects, 1, "{payment}");
        }
    }
}

/// A worker stands still at a step, its lease ends, another pays, and the first goes on.
pub(crate) fn stopped() {
    let runtime = runtime();
    let ledger = runtime.block_on(Ledger::open(&servers::postgres().url()));
    runtime.block_on(ledger.set_up());
    for step in STEPS {
        for n in 0..TIMES / 2 {
            let payment = format!("stopped at {step:?}, {n}");
            let mut zombie = worker(&payment, step, "wait");
            zombie.pause().unwrap();
            let of = payment.clone();
            // A thread of its own: where the zombie holds the record, the taker waits for it.
            let taker = thread::spawn(move || worker(&of, Step::Done, "die"));
            thread::park_timeout(LEASE * 3);
            let holds = step == Step::Completion;
            assert!(!(holds && taker.is_finished()), "{payment}: what is held was taken");
            let taker = (!holds).then(|| taker.join().unwrap()).ok_or(());
            runtime.block_on(ledger.go_on(payment.as_bytes()));
            zombie.resume().unwrap();
            let said = || runtime.block_on(ledger.said(payment.as_bytes()));
            // Both have told their callers, and the same.
            for _ in 0..2000 {
                if said().0 == 2 {
                    break;
                }
                thread::park_timeout(std::time::Duration::from_millis(10));
            }
            assert_eq!(said(), (2, 1), "{payment}");
            let effects = runtime.block_on(ledger.effects(payment.as_bytes()));
            assert_eq!(effects, 1, "{payment}");
            drop(taker);
        }
    }
}
