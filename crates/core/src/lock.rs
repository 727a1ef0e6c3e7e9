//! Locks that a panic does not take out of service.

/// Locks `mutex`, whether or not a thread has panicked while it held the lock.
///
/// For state that no panic can leave half changed, because nothing under the lock calls foreign
/// code between two writes that belong together; say so where the mutex stands. A poisoned lock
/// would fail every later request for one that failed.
#[cfg(not(steadfast_loom))]
pub fn lock<T: ?Sized>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(steadfast_loom)]
pub use self::modelled::{Lock, lock};

/// Under loom some locks are modelled and some, in statics and outside of what a model checks, are
/// not.
#[cfg(steadfast_loom)]
mod modelled {
    use std::sync::{Arc, PoisonError};

    /// A mutex, loom's or the standard one.
    #[doc(hidden)]
    pub trait Lock {
        type Guard<'a>
        where
            Self: 'a;

        fn lock(&self) -> Self::Guard<'_>;
    }

    impl<T> Lock for loom::sync::Mutex<T> {
        type Guard<'a>
            = loom::sync::MutexGuard<'a, T>
        where
            T: 'a;

        fn lock(&self) -> Self::Guard<'_> {
            self.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl<T: ?Sized> Lock for std::sync::Mutex<T> {
        type Guard<'a>
            = std::sync::MutexGuard<'a, T>
        where
            T: 'a;

        fn lock(&self) -> Self::Guard<'_> {
            self.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// A reference to an `Arc` is turned into one to the mutex where `lock` is an ordinary
    /// function.
    impl<M: Lock> Lock for Arc<M> {
        type Guard<'a>
            = M::Guard<'a>
        where
            M: 'a;

        fn lock(&self) -> Self::Guard<'_> {
            (**self).lock()
        }
    }

    /// Locks `mutex`, whether or not a thread has panicked while it held the lock.
    pub fn lock<M: Lock>(mutex: &M) -> M::Guard<'_> {
        mutex.lock()
    }
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use std::{panic, sync::Mutex};

    use super::*;

    #[test]
    fn a_panic_under_the_lock_does_not_take_it_out_of_service() {
        let mutex = Mutex::new(1);
        let panicked = panic::catch_unwind(|| {
            let mut guard = lock(&mutex);
            *guard = 2;
            panic!("under the lock");
        });
        assert!(panicked.is_err() && mutex.is_poisoned());
        assert_eq!(*lock(&mutex), 2);
    }
}
