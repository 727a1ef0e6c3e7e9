//! The span that a call is made in.

/// The caller's span: the nodes' calls go on in it after their caller has gone.
///
/// Read as the call begins, and not when it lets go of them: by then the future may be dropped
/// where no span is, or polled in another. It stays open until the last of them has ended.
#[derive(Debug)]
pub(super) struct CallersSpan {
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

impl CallersSpan {
    pub(super) fn current() -> Self {
        Self {
            #[cfg(feature = "tracing")]
            span: tracing::Span::current(),
        }
    }

    /// No span.
    pub(super) fn none() -> Self {
        Self {
            #[cfg(feature = "tracing")]
            span: tracing::Span::none(),
        }
    }

    pub(super) fn within<T>(&self, act: impl FnOnce() -> T) -> T {
        #[cfg(feature = "tracing")]
        let _entered = self.span.enter();
        act()
    }
}
