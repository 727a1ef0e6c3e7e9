//! The three registers, which the same holders write at the same time.

/// How a register is fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Unfenced,
    /// Reads pass with any token, and raise no mark.
    WritesOnly,
    Fenced,
}

impl Way {
    /// In the order in which a holder writes: the refusal of the last tells it nothing before it
    /// has written the others.
    pub(crate) const ALL: [Self; 3] = [Self::Unfenced, Self::WritesOnly, Self::Fenced];

    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.name() == name)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unfenced => "unfenced",
            Self::WritesOnly => "writes-only",
            Self::Fenced => "fenced",
        }
    }

    pub(crate) const fn fences_reads(self) -> bool {
        matches!(self, Self::Fenced)
    }

    pub(crate) const fn fences_writes(self) -> bool {
        !matches!(self, Self::Unfenced)
    }
}
