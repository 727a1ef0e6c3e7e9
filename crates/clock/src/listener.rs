//! The user's listener for jumps of the wall clock.

use std::{cell::Cell, fmt, sync::Arc};

use crate::Jump;

/// What is called for each jump, if anything.
#[derive(Clone)]
pub(crate) struct Listener(Option<Arc<dyn Fn(Jump) + Send + Sync>>);

impl Listener {
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    pub(crate) fn new(on_jump: impl Fn(Jump) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(on_jump)))
    }

    /// Calls it, unless this thread is in a listener already: a source that jumps with every
    /// reading would never let it return.
    pub(crate) fn report(&self, jump: Jump) {
        if let Some(on_jump) = &self.0
            && !REPORTING.replace(true)
        {
            let _reporting = Reporting;
            on_jump(jump);
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").field(&self.0.is_some()).finish()
    }
}

thread_local! {
    static REPORTING: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, this thread is in a listener. Ends with a panic too.
struct Reporting;

impl Drop for Reporting {
    fn drop(&mut self) {
        REPORTING.set(false);
    }
}
