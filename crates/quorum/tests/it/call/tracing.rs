//! The one event there is, and the caller's span in what goes on in the background.

use steadfast_quorum::CallConfig;
use steadfast_testkit::{Reply, events};
use tower::{Service, ServiceExt};

use super::{call_over, majority_of, script};

#[test]
fn a_call_that_came_to_nothing_is_one_debug_event_without_what_was_answered() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let lines = events(|| {
        runtime.block_on(async {
            let (nodes, mut call) =
                call_over(majority_of(3), CallConfig::all_at_once().named("users"));
            call.ready().await.unwrap().call(7).await.unwrap();
            script(&nodes, [Reply::error(), Reply::echo().held(), Reply::error()]);
            call.ready().await.unwrap().call(7).await.unwrap_err();
        });
    });
    let event =
        "DEBUG steadfast::quorum message=no quorum quorum=users outcome=lost no={0, 2} out={1}";
    assert_eq!(lines, [event]);
}

/// What a subscriber knows of spans: which one a thread is in, and in which one each event was.
#[cfg(feature = "detach")]
mod spans {
    use std::{cell::RefCell, fmt};

    use ::tracing::{
        Event, Metadata, Subscriber,
        field::{Field, Visit},
        span::{Attributes, Id, Record},
    };
    use tracing_core::span::Current;

    thread_local! {
        static SPANS: RefCell<Vec<&'static Metadata<'static>>> =
            const { RefCell::new(Vec::new()) };
        static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
        static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) struct Spans;

    impl Spans {
        /// Each event with the name of the span that it was in.
        pub(super) fn seen() -> Vec<String> {
            let mut seen = SEEN.take();
            seen.sort();
            seen
        }
    }

    /// The innermost span that this thread is in.
    fn entered() -> Option<(Id, &'static Metadata<'static>)> {
        let id = ENTERED.with_borrow(|entered| entered.last().copied())?;
        Some((Id::from_u64(id), SPANS.with_borrow(|spans| spans[id as usize - 1])))
    }

    struct Node(String);

    impl Visit for Node {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            if field.name() == "node" {
                self.0 = format!("{value:?}");
            }
        }
    }

    impl Subscriber for Spans {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "nodes"
        }

        fn new_span(&self, span: &Attributes<'_>) -> Id {
            SPANS.with_borrow_mut(|spans| {
                spans.push(span.metadata());
                Id::from_u64(spans.len() as u64)
            })
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut node = Node(String::new());
            event.record(&mut node);
            let span = entered().map_or("none", |(_, span)| span.name());
            SEEN.with_borrow_mut(|seen| seen.push(format!("{span}: {}", node.0)));
        }

        fn enter(&self, id: &Id) {
            ENTERED.with_borrow_mut(|entered| entered.push(id.into_u64()));
        }

        fn exit(&self, id: &Id) {
            ENTERED.with_borrow_mut(|entered| {
                let at = entered.iter().rposition(|entered| *entered == id.into_u64());
                entered.remove(at.unwrap());
            });
        }

        fn current_span(&self) -> Current {
            entered().map_or_else(Current::none, |(id, span)| Current::new(id, span))
        }
    }
}

/// Five nodes that answer after 1 to 5 ms, and say so; each call of them is finished.
#[cfg(feature = "detach")]
fn nodes_that_say_so(
    detach: &steadfast_core::Detach,
) -> impl Service<(), Response: Sized, Error: std::fmt::Debug, Future: Unpin> + use<> {
    use std::time::Duration;

    use steadfast_quorum::QuorumCall;
    use tower::{BoxError, service_fn};

    let node = |node: usize| {
        let service = service_fn(move |(): ()| async move {
            tokio::time::sleep(Duration::from_millis(node as u64 + 1)).await;
            ::tracing::info!(target: "nodes", node);
            Ok::<_, BoxError>(())
        });
        (node, service)
    };
    let config = CallConfig::all_at_once();
    let call = QuorumCall::new(majority_of(5), (0..5).map(node), config).unwrap();
    call.on_decided(detach.clone())
}

#[cfg(feature = "detach")]
#[test]
fn what_goes_on_in_the_background_is_in_the_span_that_the_call_was_made_in() {
    use ::tracing::{Instrument, info_span};
    use steadfast_core::{Detach, DetachConfig};

    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let order = || info_span!(target: "nodes", "order");
    let detach = Detach::new(DetachConfig::new()).unwrap();
    let names = |span: &str| (0..5).map(|node| format!("{span}: {node}")).collect::<Vec<_>>();
    ::tracing::subscriber::with_default(spans::Spans, || {
        runtime().block_on(async {
            let mut call = nodes_that_say_so(&detach);
            call.ready().await.unwrap();
            // Decided in the span, by the first three.
            let decided = async { call.call(()).await.map(drop).unwrap() };
            decided.instrument(order()).await;
            assert_eq!(spans::Spans::seen(), names("order")[..3]);
            detach.idle().await;
            assert_eq!(spans::Spans::seen(), names("order")[3..], "in the background");

            // Dropped where no span is, and in another one.
            for other in [None, Some(info_span!(target: "nodes", "other"))] {
                call.ready().await.unwrap();
                let future = order().in_scope(|| call.call(()));
                let entered = other.as_ref().map(::tracing::Span::enter);
                drop(future);
                drop(entered);
                detach.idle().await;
                assert_eq!(spans::Spans::seen(), names("order"), "{other:?}");
            }

            // A caller in no span.
            call.ready().await.unwrap();
            drop(call.call(()));
            detach.idle().await;
            assert_eq!(spans::Spans::seen(), names("none"));
        });
    });
}
