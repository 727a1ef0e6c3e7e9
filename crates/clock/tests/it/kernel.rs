//! The kernel's estimate, on the kernel of this machine.

use std::time::Duration;

use rtime_clock::adjtime::{Timex, adjtimex};
use steadfast_clock::{BoundedClock, KernelBound, Uncertainty, Unknown};

/// What the kernel says: its state, status, maximum and estimated error in microseconds.
fn direct() -> Option<(i32, i32, i64, i64)> {
    let mut timex = Timex::default();
    let state = adjtimex(&mut timex).ok()?;
    Some((state, timex.0.status, timex.0.maxerror, timex.0.esterror))
}

#[test]
fn the_bound_agrees_with_a_direct_read_of_the_kernel() {
    let before = direct();
    let bound = KernelBound::new().bound();
    let after = direct();
    let (Some(before), Some(after)) = (before, after) else {
        return assert_eq!(bound, Err(Unknown::Unreadable));
    };
    let says = |(state, status, max, estimated): (i32, i32, i64, i64)| {
        let unsynchronised = state == 5 || status & 0x40 != 0 || max >= 16_000_000;
        (unsynchronised, max > 0 && estimated > 0)
    };
    if says(before) != says(after) {
        return eprintln!("the clock's daemon spoke meanwhile: {before:?}, {after:?}");
    }
    match bound {
        Ok(bound) => {
            assert_eq!(says(after), (false, true), "{after:?}");
            assert!(
                bound < Duration::from_secs(16)
                    && bound.as_micros() > before.2.min(after.2).unsigned_abs().into()
            );
        }
        Err(Unknown::Unsynchronised) => assert!(says(after).0, "{after:?}"),
        Err(Unknown::NotMeasured) => assert!(!says(after).1 || after.3 > after.2, "{after:?}"),
        Err(reason) => panic!("{reason}: {after:?}"),
    }
}

#[test]
fn a_clock_bounded_by_the_kernel_knows_no_more_than_the_kernel() {
    let clock = BoundedClock::system(KernelBound::every(Duration::from_millis(1)).unwrap());
    match (clock.now(), clock.uncertainty().bound()) {
        (Ok(now), Ok(bound)) => {
            assert!(now.width() <= 2 * bound + Duration::from_secs(1), "{now:?} {bound:?}");
        }
        (now, bound) => assert_eq!(now.err(), bound.err()),
    }
}

#[test]
fn threads_share_one_bound() {
    let bound = KernelBound::every(Duration::from_millis(1)).unwrap();
    let known = bound.bound().is_ok();
    let ask = || {
        (0..20_000)
            .all(|_| bound.bound().is_ok_and(|bound| bound < Duration::from_secs(16)) == known)
    };
    let agreed = std::thread::scope(|scope| {
        let threads = [(); 4].map(|()| scope.spawn(ask));
        threads.into_iter().all(|thread| thread.join().unwrap())
    });
    // Unless the clock's daemon spoke meanwhile.
    assert!(agreed || KernelBound::new().bound().is_ok() != known);
}
