//! The objects under a prefix, each a register that is compared before it is written.

use std::{fmt::Write, sync::Arc};

use futures_util::StreamExt;
use object_store::{
    Error, GetOptions, ObjectStore, PutMode, PutOptions, UpdateVersion, path::Path,
};
use steadfast_core::Executed;

use crate::{LeaseName, StoreError};

/// The bucket, as far as leases use it.
#[derive(Debug)]
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

/// What stands in an object.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) bytes: Vec<u8>,
    pub(super) version: UpdateVersion,
}

/// What became of a write.
#[derive(Debug)]
pub(super) enum Written {
    /// The object has this version now, if the store tells it.
    Done(Option<UpdateVersion>),
    /// Another version is there, or an object where none should be. That may be this very write: it
    /// was sent twice, and the answer to the first was lost. Or no other is there, but another
    /// write was under way.
    Refused,
}

impl Objects {
    pub(super) fn new(store: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        Self { store, prefix }
    }

    /// The object of this name: one segment under the prefix.
    pub(super) fn path(&self, name: &LeaseName) -> Path {
        let mut segment = encode(name.as_str());
        segment.push_str(".lease");
        self.beside(&segment)
    }

    /// An object that is of no name.
    pub(super) fn beside(&self, segment: &str) -> Path {
        self.prefix.clone().join(segment)
    }

    /// What stands at the path, or that nothing does.
    ///
    /// # Errors
    /// [`Corrupt`](crate::StoreErrorKind::Corrupt) when there are more than `longest` bytes, of
    /// which no more is read.
    pub(super) async fn read(
        &self,
        path: &Path,
        longest: usize,
    ) -> Result<Option<Found>, StoreError> {
        let result = match self.store.get_opts(path, GetOptions::default()).await {
            Err(Error::NotFound { .. }) => return Ok(None),
            result => result.map_err(of_read)?,
        };
        let too_long = || StoreError::corrupt().because("the object is longer than any record");
        if result.meta.size > longest as u64 {
            return Err(too_long());
        }
        let (e_tag, version) = (result.meta.e_tag.clone(), result.meta.version.clone());
        let version = known(UpdateVersion { e_tag, version }).ok_or_else(|| {
            StoreError::misconfigured().because("the object store tells no version of its objects")
        })?;
        let (mut bytes, mut parts) = (vec![], result.into_stream());
        while let Some(part) = parts.next().await {
            bytes.extend_from_slice(&part.map_err(of_read)?);
            if bytes.len() > longest {
                return Err(too_long());
            }
        }
        Ok(Some(Found { bytes, version }))
    }

    /// Writes if this version is still there, or if nothing is for `None`.
    pub(super) async fn write(
        &self,
        path: &Path,
        replaced: Option<UpdateVersion>,
        bytes: Vec<u8>,
    ) -> Result<Written, StoreError> {
        let mode = replaced.map_or(PutMode::Create, PutMode::Update);
        let options = PutOptions { mode, ..PutOptions::default() };
        match self.store.put_opts(path, bytes.into(), options).await {
            Ok(result) => Ok(Written::Done(known(result.into()))),
            // 412 and 409: what the crate makes of them depends on the cloud.
            Err(
                Error::Precondition { .. }
                | Error::AlreadyExists { .. }
                | Error::NotModified { .. },
            ) => Ok(Written::Refused),
            Err(error) => Err(of_write(error)),
        }
    }
}

fn known(version: UpdateVersion) -> Option<UpdateVersion> {
    (version.e_tag.is_some() || version.version.is_some()).then_some(version)
}

/// ASCII letters, digits, `-` and `_` stand for themselves, all other bytes are `!` and two digits:
/// characters that every cloud calls safe, and that `object_store` leaves as they are.
fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "!{byte:02x}");
        }
    }
    encoded
}

fn of_read(error: Error) -> StoreError {
    of(error).executed_as(Executed::No)
}

/// A write that was sent again by `object_store` after an answer that was lost may have been
/// executed, whatever the second answer is. What never leaves the process is certain.
fn of_write(error: Error) -> StoreError {
    let executed = match error {
        Error::NotImplemented { .. } | Error::NotSupported { .. } | Error::InvalidPath { .. } => {
            Executed::No
        }
        _ => Executed::Maybe,
    };
    of(error).executed_as(executed)
}

fn of(error: Error) -> StoreError {
    let kind = match error {
        // Of a write: the bucket is not there.
        Error::NotFound { .. }
        | Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. }
        | Error::NotImplemented { .. }
        | Error::NotSupported { .. }
        | Error::InvalidPath { .. }
        | Error::UnknownConfigurationKey { .. } => StoreError::misconfigured(),
        _ => StoreError::unavailable(Executed::Maybe),
    };
    kind.because(error)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use object_store::memory::InMemory;

    use super::*;
    use crate::StoreErrorKind::{Misconfigured, Unavailable};

    fn path(name: &str) -> String {
        let objects = Objects::new(Arc::new(InMemory::new()), Path::parse("a/b").unwrap());
        objects.path(&LeaseName::new(name).unwrap()).to_string()
    }

    #[test]
    fn a_name_is_one_segment_whatever_its_characters() {
        assert_eq!(path("nightly_report-7"), "a/b/nightly_report-7.lease");
        assert_eq!(path("orders/EU"), "a/b/orders!2fEU.lease");
        assert_eq!(path("/../"), "a/b/!2f!2e!2e!2f.lease");
        assert_eq!(path(".."), "a/b/!2e!2e.lease");
        assert_eq!(path("\0 é%!"), "a/b/!00!20!c3!a9!25!21.lease");
        let longest = path(&"\n".repeat(255));
        // With the longest prefix within what the three clouds take.
        assert_eq!(longest.len() - "a/b/".len(), 771);
        let names = ["a", "A", "a/", "/a", "a//", "!2f", "/", "%2f", "a.lease", "a!2elease"];
        let paths: HashSet<_> = names.iter().map(|name| path(name)).collect();
        assert_eq!(paths.len(), names.len(), "{paths:?}");
    }

    #[test]
    fn an_error_says_what_is_wrong_and_whether_the_call_may_have_been_executed() {
        use Executed::{Maybe, No};
        let (path, source) = (|| "a".to_owned(), || "as it is".into());
        let errors = || {
            [
                (Error::Generic { store: "S3", source: source() }, Unavailable, Maybe),
                (Error::NotFound { path: path(), source: source() }, Misconfigured, Maybe),
                (Error::PermissionDenied { path: path(), source: source() }, Misconfigured, Maybe),
                (Error::Unauthenticated { path: path(), source: source() }, Misconfigured, Maybe),
                (Error::NotSupported { source: source() }, Misconfigured, No),
                (
                    Error::NotImplemented { operation: "a".into(), implementer: "b".into() },
                    Misconfigured,
                    No,
                ),
            ]
        };
        for (error, kind, executed) in errors() {
            let (shown, written) = (error.to_string(), of_write(error));
            assert_eq!((written.kind(), written.executed()), (kind, executed), "{shown}");
        }
        for (error, kind, _) in errors() {
            let (shown, read) = (error.to_string(), of_read(error));
            assert_eq!((read.kind(), read.executed()), (kind, No), "{shown}");
        }
    }
}
