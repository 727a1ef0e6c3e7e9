//! A budget as plain data.

/// A budget's window as plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetSnapshot {
    /// The requests counted in the window.
    pub requests: u64,
    /// What is withdrawn and not yet sent, and what was sent in the window.
    pub withdrawn: u64,
    /// What may be withdrawn now.
    pub available: u64,
}
