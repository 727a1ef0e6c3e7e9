//! The shape that every crate has, as far as a call over several services can have it: config, then
//! a service whose behaviours are type parameters. No handle, for calls share nothing but through
//! clones; no layer, for a layer has one inner service.

use std::{io, time::Duration};

use futures::future::{Ready, ready};
use steadfast_core::{DefaultClassifier, NoContext};
use steadfast_quorum::{
    Answers, CallConfig, CallError, Cancel, Hedge, Level, Levels, MakeFuture, Quorum, QuorumCall,
    QuorumFuture, SetupError, Threshold,
};
use tower::{Service, service_fn};

#[derive(Clone, Debug, PartialEq)]
struct Node(u32);

impl Service<u32> for Node {
    type Response = u32;
    type Error = io::Error;
    type Future = Ready<io::Result<u32>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u32) -> Self::Future {
        ready(Ok(request + self.0))
    }
}

/// What a program holds has a name.
struct Held {
    reads: QuorumCall<Node>,
    #[cfg(feature = "http")]
    _over_http:
        QuorumCall<Node, steadfast_core::http::HttpClassifier, steadfast_core::http::HttpContext>,
    #[cfg(feature = "detach")]
    _writes: QuorumCall<Node, DefaultClassifier, NoContext, steadfast_core::Detach>,
    _wide: QuorumCall<Node, DefaultClassifier, NoContext, Cancel, 4>,
}

type Call = QuorumFuture<Node, u32, DefaultClassifier, Cancel>;
type Reports = Levels<Node, u32, DefaultClassifier, Cancel>;

const CONFIG: CallConfig = CallConfig::hedged(HEDGE).rotate();
const HEDGE: Hedge =
    Hedge::new(Duration::from_millis(1), Duration::from_secs(1)).quantile(0.9).minimum_samples(10);

fn majority() -> Threshold {
    Threshold::majority_of(3).unwrap()
}

fn nodes() -> impl Iterator<Item = (usize, Node)> {
    (0..3).map(|number| (number, Node(number as u32)))
}

fn held() -> Result<Held, SetupError> {
    let wide = Threshold::majority(steadfast_quorum::Nodes::<4>::first(3).unwrap()).unwrap();
    Ok(Held {
        reads: QuorumCall::new(majority(), nodes(), CONFIG.named("reads"))?,
        #[cfg(feature = "http")]
        _over_http: QuorumCall::new(majority(), nodes(), CallConfig::all_at_once())?.http(),
        #[cfg(feature = "detach")]
        _writes: QuorumCall::new(majority(), nodes(), CallConfig::all_at_once())?
            .on_decided(detach()),
        _wide: QuorumCall::new(wide, nodes(), CallConfig::quorum_first()).unwrap(),
    })
}

#[cfg(feature = "detach")]
fn detach() -> steadfast_core::Detach {
    use steadfast_core::{Detach, DetachConfig, DetachSnapshot};
    const FIGURES: DetachConfig =
        DetachConfig::new().limit(Duration::from_secs(1)).most(std::num::NonZeroUsize::MIN);
    let detach = Detach::new(FIGURES).unwrap();
    assert_eq!(detach.snapshot(), DetachSnapshot::default());
    detach
}

fn is_shared<T: Send + Sync + Clone + 'static>(_: &T) {}

fn is_sent<T: Send + 'static>(_: &T) {}

#[tokio::test]
async fn config_and_call_are_named_types_that_threads_share()
-> Result<(), Box<dyn std::error::Error>> {
    is_shared(&CONFIG);
    let mut held = held()?;
    is_shared(&held.reads);
    let call: Call = held.reads.call(1);
    is_sent(&call);
    let answers: Result<Answers<u32, io::Error>, CallError<u32, io::Error>> =
        tokio::spawn(call).await?;
    assert!(answers?.into_replies().eq([(0, 1), (1, 2)]));
    let levels: Reports = held.reads.levels(1);
    is_sent(&levels);
    assert!(held.reads.nodes().map(|(_, node)| node).eq(&[Node(0), Node(1), Node(2)]));
    assert!(Level::One < Level::All);
    Ok(())
}

#[tokio::test]
async fn a_maker_of_calls_shows_its_inner_service() {
    let connect = service_fn(|number: u32| ready(Ok::<_, io::Error>(Node(number))));
    let mut quorum = Quorum::new(connect, Threshold::majority_of, CONFIG).unwrap();
    is_shared(&quorum);
    let _ = quorum.get_mut();
    let call = quorum.call([7, 8, 9]);
    fn made<M: Service<u32>>(_: &M, _: &MakeFuture<M, u32>) {}
    made(quorum.get_ref(), &call);
    let made: QuorumCall<Node> = call.await.unwrap();
    assert_eq!(made.absent().len(), 0);
    let _ = quorum.into_inner();
}
