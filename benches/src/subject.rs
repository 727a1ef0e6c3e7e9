//! Something that makes calls.

use std::{
    future::Future,
    hint::{black_box, spin_loop},
    pin::pin,
    task::{Context, Poll, Waker},
};

use tower::Service;

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
            assert!(matches!(self.0.poll_ready(&mut cx), Poll::Ready(Ok(()))), "a subject is always ready");
            let mut future = pin!(self.0.call(black_box(request)));
            let outcome = loop {
                // Pending is only who waits for an asynchronous lock: no executor comes back to it sooner.
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
