//! Fences by the names of their resources.

use std::{
    fmt,
    num::NonZeroUsize,
    path::Path,
    sync::{Arc, Mutex},
};

use steadfast_core::{ConfigError, FencingToken, Snapshot, parts::lock};

use super::{
    config::FenceConfig,
    gate::Standing,
    handle::Fence,
    mark::FenceMark,
    marks::{Marks, MarksError},
    pass::{Common, Pass, Resource},
    refused::Fenced,
    table::Table,
    telemetry::Telemetry,
};

/// A [`Fence`] for each resource, by its name, and never more of them than `most`.
///
/// **Full refuses, and never forgets**: a mark that is forgotten lets every former holder of its
/// resource in again. So a resource keeps its place once a call for it has passed; a refused call
/// takes none. Calls for new resources are refused when there is no place. The names come from the
/// server, behind its authentication: a client that could invent them would fill all places, and
/// one that could name another resource would pass another fence.
///
/// One resource has one lease: tokens of two leases have no order between them.
///
/// The marks of [`new`](Self::new) are in memory and end with the process: for what ends with it
/// too. After a restart a former holder would be let in again, and undo an update of its successor.
/// Those of [`open`](Self::open) are in a file. Clones share them.
///
/// ```
/// use std::num::NonZeroUsize;
/// use steadfast_lease::{FenceConfig, Fenced, Fences, FencingToken};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = FenceConfig::new().named("accounts");
/// let accounts = Fences::new(config, NonZeroUsize::new(10_000).unwrap())?;
/// let [old, new] = [33_u64, 34].map(|token| FencingToken::try_from(token).unwrap());
/// accounts.enter("account/7", new).await?;
/// let refused = accounts.enter("account/7", old).await.unwrap_err();
/// assert_eq!(refused.reason, Fenced::stale(old, new).reason);
/// accounts.enter("account/8", old).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Fences {
    shared: Arc<Shared>,
}

struct Shared {
    common: Arc<Common>,
    /// Added to under the lock of `taken`, and never taken from.
    resources: Table,
    taken: Mutex<usize>,
    most: usize,
}

/// [`Fences`] as plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FencesSnapshot {
    /// Resources that are remembered.
    pub resources: usize,
    /// How many can be.
    pub most: usize,
}

impl Fences {
    /// The longest name of a resource, in bytes: that of a [`LeaseName`](crate::LeaseName).
    pub const MAX_NAME_BYTES: usize = 255;

    /// Nothing is remembered yet, of at most so many resources.
    ///
    /// # Errors
    /// As [`Fence::new`].
    pub fn new(config: FenceConfig, most: NonZeroUsize) -> Result<Self, ConfigError> {
        let (name, rules) = config.check()?;
        Ok(Self::with(Common { rules, telemetry: Telemetry::new(name), marks: None }, most))
    }

    /// The same with marks that outlast the process and the machine, in a file: those that are
    /// there, also where they are more than `most`, and none where there is no file yet. Its
    /// directory must exist. Blocks while it reads.
    ///
    /// **A new mark is on the disk before its call runs.** That is one flush for each new token, or
    /// for each call where calls are numbered; calls that come meanwhile share the next. A call
    /// under the highest token without a number writes nothing. Where the disk fails, calls under
    /// new marks are refused, and the file is written anew for the next.
    ///
    /// The file is for one process at a time, which holds a lock on a second file beside it
    /// (`….fence-lock`). Not for network file systems: there a lock may hold on one machine only,
    /// and a flush may not reach the disk. Keep the file with what it protects: one that is
    /// restored from a backup has forgotten what came after.
    ///
    /// # Errors
    /// As [`Fence::new`]; when the file cannot be read or written, is in use, or holds anything
    /// but marks. What a crash has left half written is no error, for no call has run under it.
    pub fn open(
        config: FenceConfig,
        most: NonZeroUsize,
        path: impl AsRef<Path>,
    ) -> Result<Self, MarksError> {
        let (name, rules) = config.check()?;
        let (marks, stored) = Marks::open(path.as_ref())?;
        let fences =
            Self::with(Common { rules, telemetry: Telemetry::new(name), marks: Some(marks) }, most);
        let Shared { common, resources, taken, .. } = &*fences.shared;
        *lock(taken) = stored.len();
        for (name, mark) in stored {
            resources.add(Resource::new(Arc::clone(common), name, Some(mark)));
        }
        Ok(fences)
    }

    fn with(common: Common, most: NonZeroUsize) -> Self {
        let (resources, taken, most) = (Table::new(most.get()), Mutex::new(0), most.get());
        Self { shared: Arc::new(Shared { common: Arc::new(common), resources, taken, most }) }
    }

    /// Lets a call in to the resource of this name, and waits until it may run, as
    /// [`Fence::enter`].
    ///
    /// # Errors
    /// As [`Fence::enter`]; and when the name is empty or longer than 255 bytes, or there is no
    /// place for another resource.
    pub async fn enter(&self, resource: &str, call: impl Into<FenceMark>) -> Result<Pass, Fenced> {
        let (pass, standing) = self.begin(resource, call.into())?;
        pass.admitted(standing).await
    }

    /// The fence of a resource that is remembered.
    #[must_use]
    pub fn fence(&self, resource: &str) -> Option<Fence> {
        self.shared.resources.get(resource).cloned().map(Fence::from)
    }

    /// The highest token that a resource has seen. `None` where it is not remembered.
    #[must_use]
    pub fn highest(&self, resource: &str) -> Option<FencingToken> {
        self.fence(resource)?.highest()
    }

    #[inline]
    pub(crate) fn begin(&self, name: &str, call: FenceMark) -> Result<(Pass, Standing), Fenced> {
        match self.shared.resources.get(name) {
            Some(resource) => resource.begin(call),
            None => self.shared.begin_anew(name, call),
        }
    }

    /// Lets a call in that is one more under the highest token of its resource and may run, as
    /// nearly all are. Otherwise nothing is changed.
    #[cfg(feature = "http")]
    #[inline(always)]
    pub(crate) fn pass_at_once(&self, name: &str, token: FencingToken) -> Option<Pass> {
        self.shared.resources.get(name)?.pass_at_once(token)
    }

    /// The same as [`begin`](Self::begin) for what a request presents; no mark is a refusal.
    #[cfg(feature = "http")]
    #[cold]
    #[inline(never)]
    pub(crate) fn begin_as(
        &self,
        name: &str,
        presented: impl FnOnce() -> Result<FenceMark, Fenced>,
    ) -> Result<(Pass, Standing), Fenced> {
        match presented() {
            Ok(mark) => self.begin(name, mark),
            Err(fenced) => Err(self.shared.common.telemetry.refused(fenced)),
        }
    }
}

impl Shared {
    #[cold]
    #[inline(never)]
    fn begin_anew(&self, name: &str, call: FenceMark) -> Result<(Pass, Standing), Fenced> {
        let Common { rules, telemetry, .. } = &*self.common;
        let is_named = !name.is_empty() && name.len() <= Fences::MAX_NAME_BYTES;
        if !is_named {
            return Err(telemetry.refused(Fenced::unnamed()));
        }
        // A call that is refused takes no place.
        let floor = rules.floor();
        call.check(floor, || rules.most(floor)).map_err(|fenced| telemetry.refused(fenced))?;
        let resource = self.add(name).map_err(|fenced| telemetry.refused(fenced))?;
        resource.begin(call)
    }

    fn add(&self, name: &str) -> Result<&Arc<Resource>, Fenced> {
        let mut taken = lock(&self.taken);
        if let Some(added) = self.resources.get(name) {
            return Ok(added);
        }
        if *taken >= self.most {
            return Err(Fenced::full());
        }
        *taken += 1;
        Ok(self.resources.add(Resource::new(Arc::clone(&self.common), name.into(), None)))
    }
}

impl Fences {
    /// The state now, as plain data: for dashboards, tests and logs.
    #[must_use]
    pub fn snapshot(&self) -> FencesSnapshot {
        FencesSnapshot { resources: *lock(&self.shared.taken), most: self.shared.most }
    }
}

impl Snapshot for Fences {
    type State = FencesSnapshot;

    fn snapshot(&self) -> FencesSnapshot {
        Self::snapshot(self)
    }
}

impl fmt::Debug for Fences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fences").field(&self.snapshot()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FencedReason;

    fn token(number: u64) -> FencingToken {
        FencingToken::try_from(number).unwrap()
    }

    /// It would run before its mark outlasts the process, and a restart would let an older one in.
    #[tokio::test]
    async fn a_call_whose_mark_could_not_be_stored_does_not_run_and_older_ones_are_shut_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("marks");
        let most = NonZeroUsize::new(10).unwrap();
        let fences = Fences::open(FenceConfig::new(), most, &path).unwrap();
        fences.enter("a", token(1)).await.unwrap();
        fences.shared.common.marks.as_ref().unwrap().fail_once();
        let refused = fences.enter("a", token(2)).await.unwrap_err();
        assert_eq!(refused.reason, FencedReason::NotStored);
        assert_eq!(
            fences.enter("a", token(1)).await.unwrap_err(),
            Fenced::stale(token(1), token(2))
        );
        // The same call again finds the disk well.
        let pass = fences.enter("a", token(2)).await.unwrap();
        drop((pass, fences));
        let again = Fences::open(FenceConfig::new(), most, &path).unwrap();
        assert_eq!(again.highest("a"), Some(token(2)));
    }

    #[tokio::test]
    async fn a_name_is_1_to_255_bytes_and_one_that_is_none_takes_no_place() {
        let fences = Fences::new(FenceConfig::new(), NonZeroUsize::new(2).unwrap()).unwrap();
        for name in [String::new(), "x".repeat(256)] {
            let refused = fences.enter(&name, token(1)).await.unwrap_err();
            assert_eq!(refused.reason, FencedReason::Unnamed);
        }
        for name in ["x".to_owned(), "x".repeat(255)] {
            fences.enter(&name, token(1)).await.unwrap();
        }
    }
}
