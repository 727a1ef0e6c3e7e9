//! A mark that no timestamp given out lies above, kept across restarts.

mod file;

use std::{error::Error, io, path::PathBuf, sync::Arc};

use crate::Timestamp;

pub use self::file::HighWaterFile;

/// Where a [`PersistentHlc`](crate::PersistentHlc) keeps its high water: a mark that no timestamp
/// it gave out lies above.
///
/// Called about once for each reserve, by one thread at a time. Calls block.
pub trait HighWater: Send + Sync + 'static {
    /// The mark that was stored last; `None` when there never was one.
    ///
    /// # Errors
    /// When it cannot be read, or what is there is no mark. A mark that was lost must never be
    /// taken for none.
    fn load(&self) -> Result<Option<Timestamp>, HighWaterError>;

    /// Stores `mark`, so that it outlasts the process and the machine.
    ///
    /// Marks only rise. Only after an error may the same one come again: it may have been stored,
    /// or not.
    ///
    /// # Errors
    /// When it is not certain that it does.
    fn store(&self, mark: Timestamp) -> Result<(), HighWaterError>;
}

impl<H: HighWater + ?Sized> HighWater for Arc<H> {
    fn load(&self) -> Result<Option<Timestamp>, HighWaterError> {
        (**self).load()
    }

    fn store(&self, mark: Timestamp) -> Result<(), HighWaterError> {
        (**self).store(mark)
    }
}

/// Such as `Box<dyn HighWater>`, where a program chooses its store when it starts.
impl<H: HighWater + ?Sized> HighWater for Box<H> {
    fn load(&self) -> Result<Option<Timestamp>, HighWaterError> {
        (**self).load()
    }

    fn store(&self, mark: Timestamp) -> Result<(), HighWaterError> {
        (**self).store(mark)
    }
}

/// The high water could not be read or raised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HighWaterError {
    /// The file failed.
    #[error("the high water in {} could not be {action}", path.display())]
    Io {
        /// What was tried: `read`, `stored` or `locked`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// How it failed.
        #[source]
        source: io::Error,
    },
    /// A store of your own failed.
    #[error("the high water could not be {action}")]
    Store {
        /// What was tried: `read` or `stored`.
        action: &'static str,
        /// How it failed.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// What is stored is not what was stored there.
    #[error("{} holds no high water: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The timestamp lies 60 days beyond [`Physical::LIMIT`](crate::Physical::LIMIT): above all
    /// marks, so that it could not be kept.
    #[error("the clock has come to its end")]
    Exhausted,
    /// Another clock uses this store. Two nodes with one high water would each forget their own.
    #[error("{} is in use by another clock", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
}
