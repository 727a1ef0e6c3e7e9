//! What an operation is told of its claim.

use std::{fmt, num::NonZeroU32, sync::Arc};

use crate::{hold::Hold, settlement::Settlement};

/// A key that is held for an operation while it runs.
///
/// It is renewed for it, and settled when the operation ends, by what its end means.
#[derive(Clone)]
pub struct Claim {
    pub(crate) attempt: NonZeroU32,
    pub(crate) hold: Arc<Hold>,
    /// Of a transactional handle.
    pub(crate) settlement: Option<Arc<Settlement>>,
}

impl Claim {
    /// 1 for the first run under this key. Above that an earlier run was abandoned, and may have
    /// been executed, in part or whole: look for what it has done before doing it again.
    #[must_use]
    pub const fn attempt(&self) -> NonZeroU32 {
        self.attempt
    }

    /// Whether the store has granted the key. It has, but for a run under
    /// [`OnStoreDown::Run`](crate::OnStoreDown::Run) that began while the store was down, until the
    /// store answers: what earlier runs there were is not known then, whatever
    /// [`attempt`](Self::attempt) says, and another may be under way.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        self.hold.is_granted()
    }

    /// Whether the key may be another's: a renewal was refused, or none has succeeded for a whole
    /// lease. Whatever the operation does from now on may be done a second time, and its reply
    /// may not count.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.hold.is_lost()
    }

    /// Waits until the claim [is lost](Self::is_lost), if ever. Cancel-safe.
    pub async fn lost(&self) {
        self.hold.lost().await;
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("attempt", &self.attempt)
            .field("is_granted", &self.is_granted())
            .field("is_lost", &self.is_lost())
            .finish()
    }
}
