//! Which handle a request is given to.

use std::ops::Deref;

/// Chooses the handle of each request: the circuit, the limit that it is put behind.
///
/// A handle chooses itself for every request, so a layer is made of one handle as it is;
/// [`PerKey`](crate::PerKey) (feature `keyed`) keeps one for each host, route or tenant. A type of
/// your own can choose as well, here between two:
///
/// ```
/// use steadfast_core::{Select, Selected};
///
/// struct Order {
///     is_read: bool,
/// }
///
/// /// Writes that fail do not keep reads away. `H` is a handle: a circuit, a limit.
/// #[derive(Clone)]
/// struct ReadsApart<H> {
///     reads: H,
///     writes: H,
/// }
///
/// impl<H> Select<Order> for ReadsApart<H> {
///     type Handle = H;
///
///     fn select(&self, order: &Order) -> Selected<'_, H> {
///         Selected::Shared(if order.is_read { &self.reads } else { &self.writes })
///     }
///
///     /// Before the request is known, either may be meant.
///     fn common(&self) -> Option<&H> {
///         None
///     }
/// }
///
/// let apart = ReadsApart { reads: "reads", writes: "writes" };
/// assert_eq!(*apart.select(&Order { is_read: false }), "writes");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not choose a handle for `{Req}`",
    note = "a handle does, `PerKey` does for requests that its key function takes, and so does your own type that implements `Select`"
)]
pub trait Select<Req> {
    /// What a request is put behind.
    type Handle;

    /// The handle of `request`. Called once for each call of the service, in `call`.
    fn select(&self, request: &Req) -> Selected<'_, Self::Handle>;

    /// The one handle of *all* requests, if there is one.
    ///
    /// `poll_ready` comes before the request is known. A layer that can be not ready, such as a
    /// breaker that is asked to wait instead of refusing, can only be so where this is `Some`.
    fn common(&self) -> Option<&Self::Handle>;
}

/// A handle that was chosen: kept by what chose it, or looked up and owned by the call.
///
/// One that is owned is its call's own count of the handle: a call that keeps it clones nothing.
#[derive(Debug)]
pub enum Selected<'a, V> {
    /// Kept by what chose it.
    Shared(&'a V),
    /// Looked up.
    Own(V),
}

impl<V: Clone> Selected<'_, V> {
    /// The handle itself, cloned only if it is shared.
    #[inline]
    #[must_use]
    pub fn into_owned(self) -> V {
        match self {
            Self::Shared(handle) => handle.clone(),
            Self::Own(handle) => handle,
        }
    }
}

impl<V> Deref for Selected<'_, V> {
    type Target = V;

    #[inline]
    fn deref(&self) -> &V {
        match self {
            Self::Shared(handle) => handle,
            Self::Own(handle) => handle,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_was_looked_up_is_taken_over_without_a_clone() {
        let handle = Arc::new(());
        let own = Selected::Own(Arc::clone(&handle)).into_owned();
        assert_eq!(Arc::strong_count(&handle), 2);
        let shared = Selected::Shared(&handle).into_owned();
        assert_eq!(Arc::strong_count(&handle), 3);
        assert!(Arc::ptr_eq(&own, &shared));
    }
}
