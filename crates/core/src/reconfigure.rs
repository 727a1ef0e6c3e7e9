//! Handles that are changed while they run.

use crate::{ConfigError, labels::Labels};

/// A handle whose configuration can be changed while calls go through it: a circuit, a limit.
///
/// Each such handle has the first two as methods of its own, with what is particular to it. The
/// trait is there for [`PerKey`](crate::PerKey), which changes a handle for each key.
pub trait Reconfigure: Clone {
    /// What the handle is made from.
    type Config;

    /// Changes the configuration: of the handle and of all its clones, the layers and services that
    /// hold one among them.
    ///
    /// # Errors
    /// When the configuration cannot work, or would change what a handle cannot change while it
    /// runs; the error names the field. Then nothing has changed.
    fn reconfigure(&self, config: Self::Config) -> Result<(), ConfigError>;

    /// The configuration as it is now.
    fn config(&self) -> Self::Config;

    /// A handle of the same configuration, that starts afresh and shares what handles by key share,
    /// such as counters.
    #[must_use]
    fn another(&self) -> Self;

    /// Takes over the configuration of `pattern`, of which this handle is [another](Self::another),
    /// without telling of it: the pattern has.
    fn follow(&self, pattern: &Self);
}

/// What became of a new configuration, as its crate counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconfigured {
    /// It holds now.
    Applied,
    /// It was refused, and nothing has changed.
    Refused,
}

impl Labels for Reconfigured {
    const KEY: &'static str = "outcome";
    const ALL: &'static [Self] = &[Self::Applied, Self::Refused];

    fn label(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused => "refused",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}
