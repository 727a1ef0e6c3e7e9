//! A limit round any future, without tower.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use steadfast_core::{Verdict, parts::Lane};

use crate::{error::Elapsed, future::Timed, shared::Shared, watch::Watch};

/// The future of [`TimeLimit::run`](crate::TimeLimit::run).
pub type Run<F> = Judged<F, fn(&<F as Future>::Output) -> Verdict>;

impl<F: Future> Run<F> {
    pub(crate) const JUDGE: fn(&F::Output) -> Verdict = |_| Verdict::Success;
}

pin_project! {
    /// The future of [`TimeLimit::run_judged`](crate::TimeLimit::run_judged): the inner output, or [`Elapsed`].
    #[must_use = "futures do nothing unless they are polled"]
    pub struct Judged<F, J> {
        #[pin]
        timed: Timed<F>,
        judge: J,
    }
}

impl<F, J> Judged<F, J> {
    pub(crate) const fn new(future: F, judge: J, limit: Arc<Lane<Shared>>) -> Self {
        Self { timed: Timed::new(future, Watch::new(limit, None, false)), judge }
    }
}

impl<F, J> Future for Judged<F, J>
where
    F: Future,
    J: FnMut(&F::Output) -> Verdict,
{
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.timed.poll_judged(cx, this.judge)
    }
}

impl<F, J> fmt::Debug for Judged<F, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judged").field("timed", &self.timed).finish_non_exhaustive()
    }
}
