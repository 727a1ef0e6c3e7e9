//! What threads share here, or loom's models of it.

#[cfg(steadfast_loom)]
pub(crate) use loom::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};
#[cfg(not(steadfast_loom))]
pub(crate) use std::sync::{
    Mutex, OnceLock,
    atomic::{AtomicBool, Ordering},
};

#[cfg(steadfast_loom)]
pub(crate) use self::modelled::OnceLock;

#[cfg(steadfast_loom)]
mod modelled {
    use std::sync;

    use loom::sync::atomic::{AtomicBool, Ordering};

    /// Loom has none. What it orders is that of an acquire and a release, as in the standard one.
    #[derive(Debug, Default)]
    pub(crate) struct OnceLock<T> {
        is_set: AtomicBool,
        value: sync::OnceLock<T>,
    }

    impl<T> OnceLock<T> {
        pub(crate) fn new() -> Self {
            Self { is_set: AtomicBool::new(false), value: sync::OnceLock::new() }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            self.is_set.load(Ordering::Acquire).then(|| self.value.get()).flatten()
        }

        pub(crate) fn set(&self, value: T) -> Result<(), T> {
            let set = self.value.set(value);
            self.is_set.store(true, Ordering::Release);
            set
        }
    }
}

/// A waker that remembers that it was woken.
#[cfg(all(test, steadfast_loom))]
#[derive(Debug)]
pub(crate) struct Flag(AtomicBool);

#[cfg(all(test, steadfast_loom))]
impl Flag {
    pub(crate) fn new() -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self(AtomicBool::new(false)))
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

#[cfg(all(test, steadfast_loom))]
impl std::task::Wake for Flag {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}
