//! Something that makes calls.

use std::{
    future::Future,
    hint::{black_box, spin_loop},
    pin::pin,
    task::{Context, Poll, Waker},
};

use tower::{Service, ServiceExt};

use crate::runtime::block_on;

/// A service or a function under test.
pub trait Subject: Send {
    /// Makes `calls` calls, one after the other, and says how many of them succeeded.
    fn run(&mut self, calls: u64) -> u64;

    /// A handle for another thread, to the same instance.
    fn fork(&self) -> Box<dyn Subject>;
}

/// Calls a service as tower asks: made ready, called, polled until it answers.
#[derive(Clone, Debug)]
pub struct Calls<S>(pub S);

impl<S> Subject for Calls<S>
where
    S: Service<u64> + Clone + Send + 'static,
{
    fn run(&mut self, calls: u64) -> u64 {
        let mut cx = Context::from_waker(Waker::noop());
        let mut succeeded = 0;
        for request in 0..calls {
            assert!(
                matches!(self.0.poll_ready(&mut cx), Poll::Ready(Ok(()))),
                "a subject is always ready"
            );
            let mut future = pin!(self.0.call(black_box(request)));
            let outcome = loop {
                // Only a future that waits for an asynchronous lock is pending. No executor comes
                // back to it sooner than this loop.
                match future.as_mut().poll(&mut cx) {
                    Poll::Ready(outcome) => break outcome,
                    Poll::Pending => spin_loop(),
                }
            };
            succeeded += u64::from(black_box(outcome).is_ok());
        }
        succeeded
    }

    fn fork(&self) -> Box<dyn Subject> {
        Box::new(Self(self.0.clone()))
    }
}

/// Calls a service from two places of one `async` block: a warm-up loop, and the loop that makes
/// the other calls.
#[derive(Clone, Debug)]
pub struct Sites<S>(pub S);

impl<S> Subject for Sites<S>
where
    S: Service<u64> + Clone + Send + 'static,
{
    fn run(&mut self, calls: u64) -> u64 {
        let service = &mut self.0;
        let warm_up = calls / WARM_UP;
        let all_succeed = block_on(async {
            for request in 0..warm_up {
                black_box(service.ready().await?.call(black_box(request)).await?);
            }
            for request in warm_up..calls {
                black_box(service.ready().await?.call(black_box(request)).await?);
            }
            Ok::<_, S::Error>(())
        });
        if all_succeed.is_ok() { calls } else { 0 }
    }

    fn fork(&self) -> Box<dyn Subject> {
        Box::new(Self(self.0.clone()))
    }
}

/// The same two places, and each call is made on a clone of its own.
#[derive(Clone, Debug)]
pub struct Clones<S>(pub S);

impl<S> Subject for Clones<S>
where
    S: Service<u64> + Clone + Send + 'static,
{
    fn run(&mut self, calls: u64) -> u64 {
        let service = &self.0;
        let warm_up = calls / WARM_UP;
        let all_succeed = block_on(async {
            for request in 0..warm_up {
                black_box(service.clone().ready().await?.call(black_box(request)).await?);
            }
            for request in warm_up..calls {
                black_box(service.clone().ready().await?.call(black_box(request)).await?);
            }
            Ok::<_, S::Error>(())
        });
        if all_succeed.is_ok() { calls } else { 0 }
    }

    fn fork(&self) -> Box<dyn Subject> {
        Box::new(Self(self.0.clone()))
    }
}

/// One call in so many comes from the first of two places: it is there to be a place, and too rare
/// to show in the time.
const WARM_UP: u64 = 64;

/// Calls a function that says whether it succeeded: for what is no service.
#[derive(Clone, Debug)]
pub struct Function<F>(pub F);

impl<F> Subject for Function<F>
where
    F: FnMut(u64) -> bool + Clone + Send + 'static,
{
    fn run(&mut self, calls: u64) -> u64 {
        (0..calls).map(|request| u64::from((self.0)(black_box(request)))).sum()
    }

    fn fork(&self) -> Box<dyn Subject> {
        Box::new(Self(self.0.clone()))
    }
}
