//! The resource's side.

use std::{
    borrow::Cow,
    fmt, mem,
    task::{Context, Poll},
};

use http::Request;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    future::FenceFuture,
    sequence::{plain_token, presented},
};
use crate::{Fenced, Fences, Pass, fence::Standing};

/// Puts an HTTP or gRPC service behind the fences of its resources: a request whose
/// `Fencing-Token` is below the highest that its resource has seen is refused.
///
/// | the request | HTTP | gRPC |
/// |---|---|---|
/// | has a token below the highest, or a number that is not above the highest | 412 | `FAILED_PRECONDITION` |
/// | has no token | 428 | `FAILED_PRECONDITION` |
/// | has several, or one that is none | 400 | `INVALID_ARGUMENT` |
/// | has one too far ahead; or its resource's name is empty or too long | 422 | `INVALID_ARGUMENT` |
/// | meets older ones that do not end in time | 409 with `Retry-After` | `ABORTED` with a pushback |
/// | is for one more resource than can be remembered; or its mark cannot be written down | 503 | `UNAVAILABLE` |
///
/// None of these was executed, and all but the last two are final. Where newer requests cancel
/// older ones ([`OlderCalls::Cancel`](crate::OlderCalls::Cancel)), one that was cancelled is
/// answered with 412 as well, and it may have been executed. The service's error type takes
/// [`Fenced`], by [`guard`](steadfast_core::guard) or
/// [`http::respond`](steadfast_core::http::respond), which answers with the status and a problem
/// document.
///
/// **The resource is what the server derives from the request**, by the function that the layer is
/// made with, from its path and from what authentication found: a client that names the resource
/// can name another. **It is the name by which the handler finds what it writes, in one spelling**:
/// to an extractor that decodes paths `/accounts/7` and `/accounts/%37` are one account, while as
/// they stand they would pass two fences. So let handlers take the name from the same function, or
/// from an extension that stands there before. A path that `nest` has cut may be another's.
/// One resource, one lease. The layer stands inside authentication, or a stranger could raise the
/// marks. A request that the function finds no resource for passes: let it find one for whatever
/// may write.
///
/// **Reads that a write depends on pass the fence too**, with the token of their reader: a fence on
/// writes alone loses updates.
///
/// The token is `1` to `20` digits, bare or quoted. A `Fencing-Sequence` in the same form numbers
/// the calls of one holder ([`FenceMark::numbered`](crate::FenceMark::numbered)).
///
/// **A request is under way until its response's head**; newer ones wait for that, or cancel it.
/// Servers drop the handler's future when the client has gone, which does not stop a statement that
/// was sent. So what goes on after the handler, such as a task, a statement, a streamed body, keeps
/// a clone of the request's [`Pass`](crate::Pass), which the layer
/// [hands](Self::hand_passes) it in the extensions: run such effects to their end
/// ([`Detach`](steadfast_core::Detach)) with it, or fence them once more at the data, by
/// [`Pass::token`](crate::Pass::token).
///
/// ```
/// use std::num::NonZeroUsize;
/// use http::{Request, Response};
/// use steadfast_lease::{FenceConfig, Fenced, Fences, http::FenceLayer};
/// use tower::{BoxError, Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let accounts = Fences::new(FenceConfig::new(), NonZeroUsize::new(10_000).unwrap())?;
/// // What the handler, too, takes for the account, and no header of a client's.
/// let layer = FenceLayer::new(accounts, |asked: &Request<()>| Some(asked.uri().path().into()));
/// let service = layer.layer(service_fn(async |_| Ok::<_, BoxError>(Response::new("written"))));
///
/// let write = |token: &str| {
///     Request::post("/accounts/7").header("fencing-token", token).body(()).unwrap()
/// };
/// assert!(service.clone().oneshot(write("34")).await.is_ok());
/// let refused = service.clone().oneshot(write("33")).await.unwrap_err();
/// assert_eq!(refused.downcast_ref::<Fenced>().unwrap().highest().unwrap().get(), 34);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct FenceLayer<R> {
    fences: Fences,
    resource: R,
    hands_passes: bool,
}

impl<R> FenceLayer<R> {
    /// Puts requests behind the fence of the resource that `resource` finds for them.
    pub const fn new<B>(fences: Fences, resource: R) -> Self
    where
        R: for<'a> Fn(&'a Request<B>) -> Option<Cow<'a, str>>,
    {
        Self { fences, resource, hands_passes: false }
    }

    /// Puts the [`Pass`](crate::Pass) of each request into its extensions, for what goes on after
    /// its handler. It costs about as much as all else that the layer does.
    #[must_use]
    pub fn hand_passes(self) -> Self {
        Self { hands_passes: true, ..self }
    }

    /// The fences.
    #[must_use]
    pub const fn fences(&self) -> &Fences {
        &self.fences
    }
}

impl<S, R: Clone> Layer<S> for FenceLayer<R> {
    type Service = FenceService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        FenceService { inner, layer: self.clone() }
    }
}

impl<R> fmt::Debug for FenceLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FenceLayer").field("fences", &self.fences).finish_non_exhaustive()
    }
}

/// The service of [`FenceLayer`].
///
/// Readiness is the inner service's own. A request that has to wait takes the instance that was
/// made ready with it, and leaves a clone.
#[derive(Clone, Debug)]
pub struct FenceService<S, L> {
    inner: S,
    layer: L,
}

impl<S, L> FenceService<S, L> {
    /// The service inside.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside, without the layer.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, R, B> Service<Request<B>> for FenceService<S, FenceLayer<R>>
where
    S: Service<Request<B>> + Clone,
    S::Error: From<Fenced>,
    R: for<'a> Fn(&'a Request<B>) -> Option<Cow<'a, str>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = FenceFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let FenceLayer { fences, resource, hands_passes } = &self.layer;
        let pass = match resource(&request) {
            None => None,
            Some(name) => {
                // As nearly all do. What is known of the others is not carried about here.
                let pass = plain_token(request.headers())
                    .and_then(|token| fences.pass_at_once(&name, token));
                if pass.is_none() {
                    let begun = fences.begin_as(&name, || presented(request.headers()));
                    drop(name);
                    return self.call_begun(request, begun);
                }
                pass
            }
        };
        let watch = pass.as_ref().and_then(Pass::watch_if_cancelled);
        if *hands_passes {
            hand_on(&mut request, pass.as_ref());
        }
        // Last: a future that is there while something may panic is moved once more.
        FenceFuture::running(self.inner.call(request), pass, watch)
    }
}

impl<S, R> FenceService<S, FenceLayer<R>> {
    /// A request that is refused, that waits, or that was only looked at more closely.
    #[cold]
    #[inline(never)]
    fn call_begun<B>(
        &mut self,
        mut request: Request<B>,
        begun: Result<(Pass, Standing), Fenced>,
    ) -> FenceFuture<S, B>
    where
        S: Service<Request<B>> + Clone,
    {
        let hands_pass = self.layer.hands_passes;
        match begun {
            Ok((pass, Standing::Runs)) => {
                pass.count();
                let watch = pass.watch_if_cancelled();
                if hands_pass {
                    hand_on(&mut request, Some(&pass));
                }
                FenceFuture::running(self.inner.call(request), Some(pass), watch)
            }
            Ok((pass, standing)) => {
                let another = self.inner.clone();
                let ready = mem::replace(&mut self.inner, another);
                FenceFuture::waiting(pass.admitted(standing), ready, request, hands_pass)
            }
            Err(fenced) => FenceFuture::refused(fenced),
        }
    }
}

#[inline(never)]
fn hand_on<B>(request: &mut Request<B>, pass: Option<&Pass>) {
    if let Some(pass) = pass {
        request.extensions_mut().insert(pass.clone());
    }
}
