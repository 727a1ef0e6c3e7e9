//! What becomes of the nodes' calls that are under way when the call is decided.

/// What becomes of the nodes' calls that are under way when a call is decided, or dropped:
/// [`Cancel`], or `Detach` with the feature of that name.
pub trait OnDecided<F> {
    /// Takes the calls that are under way, and says whether they go on. Runs inside the poll that
    /// decides the call, or inside the drop of one that is undecided.
    fn let_go(&self, stragglers: F) -> bool;
}

/// Cancels the nodes' calls that are under way: for reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cancel;

impl<F> OnDecided<F> for Cancel {
    #[inline]
    fn let_go(&self, stragglers: F) -> bool {
        drop(stragglers);
        false
    }
}

/// Finishes the nodes' calls in the background: for writes. One place holds all calls of nodes that
/// one call leaves behind. Without a place they are cancelled. With the feature `tracing` they go
/// on in the span that the call was made in.
#[cfg(feature = "detach")]
impl<F> OnDecided<F> for steadfast_core::Detach
where
    F: Future<Output = ()> + Send + 'static,
{
    fn let_go(&self, stragglers: F) -> bool {
        self.spawn(stragglers).is_ok()
    }
}
