//! A bucket in memory that fails as a test wants.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::pending,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use futures::{StreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result, UpdateVersion, path::Path,
};
use tokio::{sync::Notify, task::yield_now};

/// Of what kind a bucket is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// Each write has an ETag of its own.
    #[default]
    Counted,
    /// An ETag is a hash of the object, as in S3.
    Hashed,
    /// Objects have numbered versions, and no ETag counts, as in GCS.
    Numbered,
    /// A write is not told its version.
    Silent,
    /// No version is told at all.
    Nameless,
    /// Conditions are passed over.
    Careless,
    /// What is not there is denied, as in S3 without leave to list.
    Discreet,
}

/// What happens to one call.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// 503: nothing is done.
    Busy,
    /// 409: nothing is done, because another write is under way.
    Conflict,
    /// 403.
    Denied,
    /// It is done, and its answer is lost.
    AnswerLost,
    /// It is done, its answer is lost, and the HTTP client sends it again by itself.
    SentTwice,
    /// The same, but before the second is sent the test has its turn.
    SentTwiceAround(Turn),
    /// Nothing is done before the test has had its turn.
    After(Turn),
    /// Nothing is heard.
    Silence,
    /// It is done, and nothing is heard.
    DoneInSilence,
    /// It arrives when the test says so, and nothing is heard.
    Late,
    /// A read finds what was there so many versions before; nothing, if there were not so many.
    Stale(usize),
    /// A read finds this, under the version that is there.
    Garbage(Vec<u8>),
    /// A read finds an object that says it is so long, and has no end.
    Endless(u64),
}

/// A call says that it has come here, and waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn {
    pub(super) came: Arc<Notify>,
    pub(super) goes: Arc<Notify>,
}

#[derive(Clone, Debug, Default)]
struct Object {
    bytes: Vec<u8>,
    number: usize,
}

#[derive(Clone, Debug)]
struct Put {
    path: String,
    bytes: Vec<u8>,
    mode: PutMode,
}

#[derive(Debug, Default)]
struct Inside {
    /// Each with all versions that it had: the last one is there.
    objects: HashMap<String, Vec<Option<Object>>>,
    writes: usize,
    script: VecDeque<(&'static str, Fault)>,
    calls: Vec<&'static str>,
    late: Vec<Put>,
}

/// Clones are the same bucket.
#[derive(Clone, Debug, Default)]
pub(super) struct Bucket {
    kind: Kind,
    inside: Arc<Mutex<Inside>>,
    is_cut: Arc<AtomicBool>,
}

impl Bucket {
    pub(super) fn of(kind: Kind) -> Self {
        Self { kind, ..Self::default() }
    }

    /// The same bucket on a way of its own.
    pub(super) fn by_another_way(&self) -> Self {
        Self { is_cut: Arc::default(), ..self.clone() }
    }

    /// From now on nothing is heard on this way.
    pub(super) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
    }

    /// The next `times` calls of `operation`, "get" or "put", meet this.
    pub(super) fn next(&self, operation: &'static str, fault: Fault, times: usize) {
        self.inside.lock().unwrap().script.extend(vec![(operation, fault); times]);
    }

    /// The calls since this was asked last.
    pub(super) fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.inside.lock().unwrap().calls)
    }

    /// What was late arrives.
    pub(super) fn deliver(&self) -> Vec<bool> {
        let late = std::mem::take(&mut self.inside.lock().unwrap().late);
        late.into_iter().map(|put| self.write(put).is_ok()).collect()
    }

    /// The one lease that is there.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        let inside = self.inside.lock().unwrap();
        let mut leases = inside.objects.iter().filter(|(path, _)| path.ends_with(".lease"));
        let (_, versions) = leases.next()?;
        assert!(leases.next().is_none(), "there are several");
        versions.last()?.as_ref().map(|object| object.bytes.clone())
    }

    /// An operator's hand on the one lease that is there.
    pub(super) fn replace(&self, bytes: Option<Vec<u8>>) {
        let mut inside = self.inside.lock().unwrap();
        inside.writes += 1;
        let number = inside.writes;
        let mut leases = inside.objects.iter_mut().filter(|(path, _)| path.ends_with(".lease"));
        let (_, versions) = leases.next().expect("a lease");
        versions.push(bytes.map(|bytes| Object { bytes, number }));
    }

    fn fault(&self, operation: &'static str) -> Option<Fault> {
        let mut inside = self.inside.lock().unwrap();
        inside.calls.push(operation);
        if self.is_cut.load(Ordering::SeqCst) {
            return Some(Fault::Silence);
        }
        let at = inside.script.iter().position(|(of, _)| *of == operation)?;
        inside.script.remove(at).map(|(_, fault)| fault)
    }

    fn e_tag(&self, object: &Object) -> Option<String> {
        match self.kind {
            Kind::Hashed => Some(format!("\"{:08x}\"", crc(&object.bytes))),
            Kind::Numbered => Some("\"the same\"".to_owned()),
            Kind::Nameless => None,
            _ => Some(format!("\"{}\"", object.number)),
        }
    }

    fn version(&self, object: &Object) -> UpdateVersion {
        let version = (self.kind == Kind::Numbered).then(|| object.number.to_string());
        UpdateVersion { e_tag: self.e_tag(object), version }
    }

    fn write(&self, Put { path, bytes, mode }: Put) -> Result<PutResult> {
        let mut inside = self.inside.lock().unwrap();
        let number = inside.writes + 1;
        let versions = inside.objects.entry(path.clone()).or_default();
        let there = versions.last().and_then(Option::as_ref).map(|object| self.version(object));
        let refused = || "the condition does not hold".into();
        match mode {
            _ if self.kind == Kind::Careless => {}
            PutMode::Create if there.is_some() => {
                return Err(Error::AlreadyExists { path, source: refused() });
            }
            PutMode::Update(version) if there.as_ref() != Some(&version) => {
                return Err(Error::Precondition { path, source: refused() });
            }
            _ => {}
        }
        let object = Object { bytes, number };
        let UpdateVersion { e_tag, version } = self.version(&object);
        versions.push(Some(object));
        inside.writes = number;
        let is_told = self.kind != Kind::Silent;
        let (e_tag, version) = (e_tag.filter(|_| is_told), version.filter(|_| is_told));
        Ok(PutResult { e_tag, version, extensions: Default::default() })
    }

    fn read(&self, path: &Path, fault: Option<&Fault>) -> Result<GetResult> {
        let inside = self.inside.lock().unwrap();
        let versions = inside.objects.get(path.as_ref()).map_or(&[][..], Vec::as_slice);
        let back = if let Some(Fault::Stale(back)) = fault { *back } else { 0 };
        let at = versions.len().checked_sub(1 + back);
        let found = at.and_then(|at| versions[at].clone());
        let Some(mut object) = found else {
            let (path, source) = (path.to_string(), "there is nothing".into());
            return Err(match self.kind {
                Kind::Discreet => Error::PermissionDenied { path, source },
                _ => Error::NotFound { path, source },
            });
        };
        let UpdateVersion { e_tag, version } = self.version(&object);
        if let Some(Fault::Garbage(garbage)) = fault {
            object.bytes.clone_from(garbage);
        }
        let mut size = object.bytes.len() as u64;
        // In two parts, as a network may bring it.
        let (one, other) = object.bytes.split_at(object.bytes.len() / 2);
        let parts = [one.to_vec().into(), other.to_vec().into()];
        let mut parts: BoxStream<'static, Result<bytes::Bytes>> =
            stream::iter(parts.map(Ok)).boxed();
        if let Some(&Fault::Endless(told)) = fault {
            size = told;
            let mut left = 64;
            parts = stream::repeat_with(move || {
                left -= 1;
                assert!(left > 0 && told < 1000, "it is read on and on");
                Ok(bytes::Bytes::from_static(&[7; 64]))
            })
            .boxed();
        }
        let last_modified = Default::default();
        Ok(GetResult {
            payload: GetResultPayload::Stream(parts),
            meta: ObjectMeta { location: path.clone(), last_modified, size, e_tag, version },
            range: 0..size,
            attributes: Default::default(),
            extensions: Default::default(),
        })
    }
}

fn crc(bytes: &[u8]) -> u32 {
    // FNV: a hash will do that differs where the objects do.
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn failed(status: &str) -> Error {
    Error::Generic { store: "test", source: status.into() }
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        PutOptions { mode, .. }: PutOptions,
    ) -> Result<PutResult> {
        let fault = self.fault("put");
        let bytes = payload.into_iter().flatten().collect();
        let put = Put { path: path.to_string(), bytes, mode };
        // As over a network: others have their turn on the way there and back.
        yield_now().await;
        let answer = match fault {
            Some(Fault::Busy) => Err(failed("503")),
            Some(Fault::Conflict) => {
                Err(Error::AlreadyExists { path: put.path, source: "409".into() })
            }
            Some(Fault::Denied) => {
                Err(Error::PermissionDenied { path: put.path, source: "403".into() })
            }
            Some(Fault::AnswerLost) => {
                let _ = self.write(put);
                Err(failed("reset"))
            }
            Some(Fault::SentTwice) => {
                let _ = self.write(put.clone());
                self.write(put)
            }
            Some(Fault::SentTwiceAround(Turn { came, goes })) => {
                let _ = self.write(put.clone());
                came.notify_one();
                goes.notified().await;
                self.write(put)
            }
            Some(Fault::After(Turn { came, goes })) => {
                came.notify_one();
                goes.notified().await;
                self.write(put)
            }
            Some(Fault::Silence) => pending().await,
            Some(Fault::DoneInSilence) => {
                let _ = self.write(put);
                pending().await
            }
            Some(Fault::Late) => {
                self.inside.lock().unwrap().late.push(put);
                pending().await
            }
            _ => self.write(put),
        };
        yield_now().await;
        answer
    }

    async fn get_opts(&self, path: &Path, _: GetOptions) -> Result<GetResult> {
        let fault = self.fault("get");
        yield_now().await;
        let answer = match fault {
            Some(Fault::Busy) => Err(failed("503")),
            Some(Fault::Denied) => {
                Err(Error::PermissionDenied { path: path.to_string(), source: "403".into() })
            }
            Some(Fault::Silence) => pending().await,
            fault => self.read(path, fault.as_ref()),
        };
        yield_now().await;
        answer
    }

    // Leases need nothing of this.

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        unreachable!()
    }

    async fn get_ranges(&self, _: &Path, _: &[Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        unreachable!()
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        unreachable!()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        unreachable!()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        unreachable!()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        unreachable!()
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bucket of a test")
    }
}
