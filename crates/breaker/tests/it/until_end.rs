//! Answers judged until the end of their bodies.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Ready, ready},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use steadfast_breaker::{
    Answered, AtEnd, Breaker, BreakerLayer, Circuit, CircuitConfig, OnOpen, State, WatchedBody,
};
use steadfast_core::{Counts, Ratio, Verdict, http::HttpClassifier};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task::spawn};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

use crate::{FAILED, OPEN_TIME, call, calls, circuit, config, n};

const HORIZON: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
enum Step {
    Data,
    Trailers(&'static str),
    Fails,
    Panics,
    Waits,
}

/// A body that does what it is told, then comes to its end.
#[derive(Clone, Debug)]
struct Script {
    steps: VecDeque<Step>,
    /// Whether it knows that it is at its end before it is asked for a frame that is not there.
    knows_its_end: bool,
}

impl Body for Script {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.steps.pop_front() {
            None => Poll::Ready(None),
            Some(Step::Data) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"data"))))),
            Some(Step::Trailers(status)) => {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", status.parse().unwrap());
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Some(Step::Fails) => Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
            Some(Step::Panics) => panic!("in the body"),
            Some(Step::Waits) => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.knows_its_end && self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        // As that of an HTTP/2 HEAD: not the end.
        SizeHint::with_exact(10)
    }
}

fn script(steps: &[Step]) -> Script {
    Script { steps: steps.iter().cloned().collect(), knows_its_end: false }
}

fn known(steps: &[Step]) -> Script {
    Script { knows_its_end: true, ..script(steps) }
}

type Answer<C = HttpClassifier> = Response<WatchedBody<Script, C>>;

/// What the circuit lets through comes back with this status and body.
fn answer(circuit: &Circuit, status: StatusCode, body: Script) -> Answer {
    let layer = BreakerLayer::new(circuit.clone()).http().until_end();
    let response = Response::builder().status(status).body(body).unwrap();
    let mut service = layer.layer(service_fn(move |()| ready(Ok::<_, BoxError>(response.clone()))));
    let polled = spawn(service.call(())).poll();
    assert_ready_ok!(polled)
}

fn ok(circuit: &Circuit, body: Script) -> Answer {
    answer(circuit, StatusCode::OK, body)
}

/// Polls one frame, which need not come.
fn frame<C>(response: &mut Response<WatchedBody<Script, C>>) -> Poll<Option<Result<(), BoxError>>>
where
    WatchedBody<Script, C>: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    spawn(response.body_mut().frame()).poll().map_ok(drop)
}

/// Polls until the end, an error, or a frame that does not come.
fn read<C>(response: &mut Response<WatchedBody<Script, C>>)
where
    WatchedBody<Script, C>: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    while let Poll::Ready(Some(Ok(()))) = frame(response) {}
}

fn counts(circuit: &Circuit) -> (u64, u64) {
    let Counts { total, failures, .. } = circuit.snapshot().counts;
    (total, failures)
}

/// Under both windows.
fn both() -> [Circuit; 2] {
    [config(), config().time_window(Duration::from_secs(10), 10)].map(circuit)
}

/// Half-open.
async fn tripped(config: CircuitConfig) -> Circuit {
    let circuit = circuit(config);
    calls(&circuit, 4, FAILED);
    tokio::time::advance(OPEN_TIME).await;
    circuit
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_turns_its_success_into_a_failure() {
    for circuit in both() {
        for failures in 1..=3 {
            let mut response = ok(&circuit, script(&[Step::Data, Step::Waits, Step::Fails]));
            assert_eq!(counts(&circuit), (failures, failures - 1), "the head counts at once");
            read(&mut response);
            assert_eq!(counts(&circuit), (failures, failures - 1), "it has not ended");
            read(&mut response);
            assert_eq!(counts(&circuit), (failures, failures), "once");
            read(&mut response);
            drop(response);
            assert_eq!(counts(&circuit), (failures, failures));
            tokio::time::advance(Duration::from_millis(300)).await;
        }
        assert_eq!(circuit.state(), State::Closed, "below the minimum");
    }
}

#[tokio::test(start_paused = true)]
async fn bad_ends_open_the_circuit_by_the_ratio() {
    for circuit in both() {
        let mut responses: Vec<_> = (0..8).map(|_| ok(&circuit, script(&[Step::Fails]))).collect();
        for response in responses.iter_mut().take(3) {
            read(response);
        }
        assert_eq!((circuit.state(), counts(&circuit)), (State::Closed, (8, 3)));
        read(&mut responses[3]);
        let snapshot = circuit.snapshot();
        let at_trip = snapshot.counts_at_trip.unwrap();
        assert_eq!(snapshot.state, State::Open);
        assert_eq!((at_trip.total, at_trip.failures), (8, 4));
        // The rest comes too late.
        responses.iter_mut().for_each(read);
        assert_eq!(circuit.snapshot().transitions, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_good_end_a_drop_and_a_body_that_is_not_read_say_nothing() {
    for circuit in both() {
        for body in [script(&[Step::Data]), known(&[Step::Data, Step::Data])] {
            read(&mut ok(&circuit, body));
        }
        drop(ok(&circuit, script(&[Step::Data, Step::Fails])));
        let mut waits = ok(&circuit, script(&[Step::Data, Step::Waits, Step::Fails]));
        read(&mut waits);
        drop(waits);
        assert_eq!(counts(&circuit), (4, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_after_any_number_of_polls_a_body_says_only_what_it_has_shown() {
    let steps = [Step::Data, Step::Waits, Step::Data, Step::Fails];
    for circuit in both() {
        for polls in 0..=steps.len() {
            circuit.reset();
            let mut response = ok(&circuit, script(&steps));
            for _ in 0..polls {
                assert!(!matches!(frame(&mut response), Poll::Ready(None)));
            }
            drop(response);
            assert_eq!(counts(&circuit), (1, u64::from(polls == steps.len())), "{polls} polls");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_head_is_settled_as_it_comes() {
    for circuit in both() {
        for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::TOO_MANY_REQUESTS] {
            read(&mut answer(&circuit, status, script(&[Step::Data, Step::Fails])));
        }
        assert_eq!(counts(&circuit), (2, 2));
        // A 404 is good: the body that breaks off is the service's.
        read(&mut answer(&circuit, StatusCode::NOT_FOUND, script(&[Step::Fails])));
        assert_eq!(counts(&circuit), (3, 3));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_panics_has_ended_badly_also_where_it_is_asked_for_its_end() {
    for circuit in both() {
        let mut response = ok(&circuit, script(&[Step::Data, Step::Panics]));
        catch_unwind(AssertUnwindSafe(|| read(&mut response))).unwrap_err();
        drop(response);
        assert_eq!(counts(&circuit), (1, 1));
        // Read on, it comes to an end as if nothing had happened.
        let mut response = ok(&circuit, script(&[Step::Panics, Step::Data]));
        catch_unwind(AssertUnwindSafe(|| read(&mut response))).unwrap_err();
        read(&mut response);
        assert_eq!(counts(&circuit), (2, 2));
    }
    struct Asked(u32);
    impl Body for Asked {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0 += 1;
            Poll::Ready(Some(Ok(Frame::data(Bytes::new()))))
        }

        fn is_end_stream(&self) -> bool {
            assert!(self.0 == 0, "asked after a frame");
            false
        }
    }
    let circuit = circuit(config());
    let layer = BreakerLayer::new(circuit.clone()).http().until_end();
    let service = layer.layer(service_fn(|()| ready(Ok::<_, BoxError>(Response::new(Asked(0))))));
    let mut response = service.oneshot(()).await.unwrap();
    catch_unwind(AssertUnwindSafe(|| spawn(response.body_mut().frame()).poll())).unwrap_err();
    drop(response);
    assert_eq!(counts(&circuit), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_end_beyond_the_horizon_says_nothing() {
    let configs = [config(), config().time_window(Duration::from_secs(60), 10)];
    for circuit in configs.map(circuit) {
        let mut responses = [(); 2].map(|()| ok(&circuit, script(&[Step::Fails])));
        tokio::time::advance(HORIZON - Duration::from_millis(1)).await;
        read(&mut responses[0]);
        assert_eq!(counts(&circuit), (2, 1));
        tokio::time::advance(Duration::from_millis(1)).await;
        read(&mut responses[1]);
        assert_eq!(counts(&circuit), (2, 1));
    }
    // Watches that break together after minutes.
    for circuit in both() {
        let mut watches: Vec<_> = (0..100).map(|_| ok(&circuit, script(&[Step::Fails]))).collect();
        tokio::time::advance(Duration::from_secs(300)).await;
        watches.iter_mut().for_each(read);
        assert_eq!(circuit.snapshot().transitions, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_speaks_only_for_the_epoch_of_its_head() {
    for circuit in both() {
        let mut before = ok(&circuit, script(&[Step::Fails]));
        circuit.reset();
        calls(&circuit, 3, Verdict::Success);
        read(&mut before);
        assert_eq!(counts(&circuit), (3, 0));
        // A probe's, once the circuit has closed.
        calls(&circuit, 3, FAILED);
        assert_eq!(circuit.state(), State::Open);
        tokio::time::advance(OPEN_TIME).await;
        let mut probe = ok(&circuit, script(&[Step::Fails]));
        calls(&circuit, 2, Verdict::Success);
        assert_eq!(circuit.state(), State::Closed);
        read(&mut probe);
        drop(probe);
        assert_eq!((circuit.state(), counts(&circuit)), (State::Closed, (0, 0)));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_watched_where_nothing_is_counted() {
    let circuit = circuit(config());
    circuit.disable();
    assert!(circuit.try_admit().unwrap().answered(Verdict::Success).is_none());
    read(&mut ok(&circuit, script(&[Step::Fails])));
    circuit.dry_run();
    read(&mut ok(&circuit, script(&[Step::Fails])));
    assert_eq!(counts(&circuit), (1, 1), "it is counted");
    calls(&circuit, 3, FAILED);
    assert_eq!(circuit.state(), State::Open);
    assert!(circuit.try_admit().unwrap().answered(Verdict::Success).is_none(), "would be refused");
}

#[tokio::test(start_paused = true)]
async fn slow_is_the_time_to_the_head() {
    let limit = Duration::from_secs(1);
    for config in [config(), config().time_window(Duration::from_secs(10), 10)] {
        let circuit = circuit(config.slow_calls(limit, Ratio::ONE));
        let mut download = ok(&circuit, script(&[Step::Data, Step::Data]));
        tokio::time::advance(limit * 3).await;
        read(&mut download);
        assert_eq!(circuit.snapshot().counts, Counts { total: 1, failures: 0, slow: 0 });
        // A slow head, and a bad end.
        let permit = circuit.try_admit().unwrap();
        tokio::time::advance(limit * 2).await;
        permit.answered(Verdict::Success).unwrap().record(FAILED);
        assert_eq!(circuit.snapshot().counts, Counts { total: 2, failures: 1, slow: 1 });
    }
}

/// The price of counting at once.
#[tokio::test(start_paused = true)]
async fn failures_in_a_row_see_heads_only() {
    let config = CircuitConfig::new().failure_ratio(None).consecutive_failures(n(3));
    for circuit in [config.clone(), config.time_window(Duration::from_secs(10), 10)].map(circuit) {
        for _ in 0..20 {
            read(&mut ok(&circuit, script(&[Step::Fails])));
        }
        assert_eq!((circuit.state(), counts(&circuit)), (State::Closed, (20, 20)));
        calls(&circuit, 2, FAILED);
        let mut good = ok(&circuit, script(&[Step::Fails]));
        calls(&circuit, 2, FAILED);
        read(&mut good);
        assert_eq!(circuit.snapshot().consecutive_failures, 2, "an end neither ends nor extends");
        assert!(call(&circuit, FAILED));
        assert_eq!(circuit.state(), State::Open);
    }
}

mod probes {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_probe_waits_for_its_end_and_a_bad_one_reopens() {
        let circuit = tripped(config().probes(n(1), n(1))).await;
        let mut probe = ok(&circuit, script(&[Step::Data, Step::Waits, Step::Fails]));
        read(&mut probe);
        assert_eq!((circuit.state(), circuit.snapshot().probes_in_flight), (State::HalfOpen, 1));
        assert!(circuit.try_admit().is_err(), "its place is taken");
        read(&mut probe);
        assert_eq!(circuit.state(), State::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn a_good_end_closes_also_where_the_body_is_never_asked_for_more() {
        for body in [script(&[Step::Data]), known(&[Step::Data])] {
            let circuit = tripped(config().probes(n(1), n(1))).await;
            let known = body.knows_its_end;
            let mut probe = ok(&circuit, body);
            assert_ready!(frame(&mut probe));
            assert_eq!(circuit.state() == State::Closed, known);
            read(&mut probe);
            assert_eq!(circuit.state(), State::Closed);
        }
        // HEAD, 204, 304: at its end at the head.
        let circuit = tripped(config().probes(n(1), n(1))).await;
        let _probe = ok(&circuit, known(&[]));
        assert_eq!(circuit.state(), State::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_horizon_a_good_head_counts_at_the_next_call() {
        let circuit = tripped(config().probes(n(2), n(2))).await;
        let mut watches = [(); 2].map(|()| ok(&circuit, script(&[Step::Fails])));
        tokio::time::advance(HORIZON - Duration::from_millis(1)).await;
        assert!(circuit.try_admit().is_err());
        assert_eq!(circuit.snapshot().probes_in_flight, 2);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(circuit.snapshot().probes_in_flight, 0);
        assert!(call(&circuit, Verdict::Success));
        assert_eq!((circuit.state(), counts(&circuit)), (State::Closed, (1, 0)));
        watches.iter_mut().for_each(read);
        assert_eq!((circuit.state(), counts(&circuit)), (State::Closed, (1, 0)));
    }

    /// The limit of a probe is that of its head.
    #[tokio::test(start_paused = true)]
    async fn a_probe_whose_head_came_in_time_is_not_overdue() {
        let limit = Duration::from_secs(10);
        let circuit = tripped(config().probes(n(1), n(1))).await;
        let probe = circuit.try_admit().unwrap();
        tokio::time::advance(limit - Duration::from_secs(1)).await;
        let answered: Answered = probe.answered(Verdict::Success).unwrap();
        tokio::time::advance(HORIZON - Duration::from_secs(1)).await;
        assert!(circuit.try_admit().is_err());
        assert_eq!(circuit.state(), State::HalfOpen);
        answered.record(Verdict::Success);
        assert_eq!(circuit.state(), State::Closed);
        // One whose head did not.
        let circuit = tripped(config().probes(n(1), n(1))).await;
        let probe = circuit.try_admit().unwrap();
        tokio::time::advance(limit).await;
        assert!(probe.answered(Verdict::Success).is_none());
        assert_eq!(circuit.state(), State::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_dropped_while_a_frame_is_awaited_gives_its_place_back_else_its_head_counts() {
        // After so many polls: whether a frame is awaited.
        for (polls, awaited) in [(0, false), (1, false), (2, true), (3, false), (4, true)] {
            let circuit = tripped(config().probes(n(1), n(1))).await;
            let steps = [Step::Data, Step::Waits, Step::Data, Step::Waits, Step::Data];
            let mut probe = ok(&circuit, script(&steps));
            for _ in 0..polls {
                assert!(!matches!(frame(&mut probe), Poll::Ready(None)));
            }
            drop(probe);
            let expected = if awaited { State::HalfOpen } else { State::Closed };
            assert_eq!((circuit.state(), circuit.snapshot().probes_in_flight), (expected, 0));
            assert!(circuit.try_admit().is_ok(), "there is a place, after {polls} polls");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_whose_body_panics_has_failed_and_one_that_says_nothing_gives_its_place_back() {
        let circuit = tripped(config().probes(n(1), n(1))).await;
        let mut probe = ok(&circuit, script(&[Step::Panics]));
        catch_unwind(AssertUnwindSafe(|| read(&mut probe))).unwrap_err();
        drop(probe);
        assert_eq!(circuit.state(), State::Open);
        tokio::time::advance(OPEN_TIME).await;
        let probe = circuit.try_admit().unwrap().answered(Verdict::Success).unwrap();
        probe.record(Verdict::Ignored);
        assert_eq!((circuit.state(), circuit.snapshot().probes_in_flight), (State::HalfOpen, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_end_fails_a_probe_only_if_the_configuration_says_so() {
        for (fails, state) in [(false, State::Closed), (true, State::Open)] {
            let config = config().probes(n(1), n(1)).throttled_fails_probe(fails);
            let circuit = tripped(config).await;
            let probe = circuit.try_admit().unwrap().answered(Verdict::Success).unwrap();
            probe.record(Verdict::throttled());
            assert_eq!(circuit.state(), state);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_probe_has_failed_at_its_head() {
        let limit = Duration::from_secs(1);
        let config = config().slow_calls(limit, Ratio::ONE).probes(n(1), n(1));
        let circuit = tripped(config).await;
        let probe = circuit.try_admit().unwrap();
        tokio::time::advance(limit * 2).await;
        assert!(probe.answered(Verdict::Success).is_none());
        assert_eq!(circuit.state(), State::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_is_not_ready_is_woken_when_the_horizon_decides() {
        let circuit = tripped(config().on_open(OnOpen::NotReady).probes(n(1), n(1))).await;
        let probe = circuit.try_admit().unwrap();
        let layer = BreakerLayer::new(circuit.clone()).http().until_end();
        let mut service = layer
            .layer(service_fn(|()| ready(Ok::<_, BoxError>(Response::new(script(&[Step::Data]))))));
        let mut task = spawn(());
        task.enter(|cx, _| assert_pending!(service.poll_ready(cx)));
        // Its timer is set for the limit of the probe, which is later than the horizon.
        let _answered = probe.answered(Verdict::Success).unwrap();
        assert!(task.is_woken(), "to look again");
        task.enter(|cx, _| assert_pending!(service.poll_ready(cx)));
        tokio::time::sleep(HORIZON - Duration::from_secs(1)).await;
        assert!(!task.is_woken(), "and does not spin");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(task.is_woken());
        task.enter(|cx, _| assert_ready_ok!(service.poll_ready(cx)));
        assert_eq!(circuit.state(), State::Closed);
    }
}

#[cfg(feature = "tonic")]
mod grpc {
    use steadfast_core::tonic::GrpcClassifier;

    use super::*;

    fn answer(circuit: &Circuit, body: Script) -> Answer<GrpcClassifier> {
        let layer = BreakerLayer::new(circuit.clone()).grpc().until_end();
        let mut service = layer
            .layer(service_fn(move |()| ready(Ok::<_, BoxError>(Response::new(body.clone())))));
        let polled = spawn(service.call(())).poll();
        assert_ready_ok!(polled)
    }

    #[tokio::test(start_paused = true)]
    async fn the_status_in_the_trailers_decides_and_an_end_without_one_is_unknown() {
        for circuit in both() {
            for (status, failures) in [("0", 0), ("5", 0), ("1", 0), ("14", 1), ("8", 1), ("2", 1)]
            {
                circuit.reset();
                let body = script(&[Step::Data, Step::Trailers(status)]);
                let mut response = answer(&circuit, body);
                assert_eq!(counts(&circuit), (1, 0));
                assert_ready!(frame(&mut response));
                assert_ready!(frame(&mut response));
                assert_eq!(counts(&circuit), (1, failures), "{status}");
                read(&mut response);
                assert_eq!(counts(&circuit), (1, failures), "{status}: once");
            }
            for body in [script(&[Step::Data]), known(&[Step::Data]), script(&[])] {
                circuit.reset();
                read(&mut answer(&circuit, body));
                assert_eq!(counts(&circuit), (1, 1));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_call_gives_its_probe_back() {
        for (status, state) in [
            ("1", State::HalfOpen),
            ("5", State::Closed),
            ("13", State::Open),
            ("8", State::Closed),
        ] {
            let circuit = tripped(config().probes(n(1), n(1))).await;
            read(&mut answer(&circuit, script(&[Step::Trailers(status)])));
            assert_eq!((circuit.state(), circuit.snapshot().probes_in_flight), (state, 0));
        }
    }
}

#[test]
fn the_body_is_what_it_wraps_and_off_the_types_are_what_they_were() {
    fn shared<T: Send + Sync + Unpin + 'static>() {}
    shared::<WatchedBody<Script, HttpClassifier>>();
    shared::<Answered>();
    assert_eq!(size_of::<WatchedBody<[usize; 4], HttpClassifier>>(), 32 + 32);

    type Ok = Ready<Result<Response<Script>, BoxError>>;
    fn responses<S: Service<(), Response = Response<B>>, B>(_: &S) {}
    let inner = service_fn(|()| -> Ok { ready(Ok(Response::new(script(&[])))) });
    let off: Breaker<_, BreakerLayer<HttpClassifier>> = BreakerLayer::default().http().layer(inner);
    responses::<_, Script>(&off);
    let on: Breaker<_, BreakerLayer<HttpClassifier, Circuit, AtEnd>> =
        BreakerLayer::default().until_end().http().layer(inner);
    responses::<_, WatchedBody<Script, HttpClassifier>>(&on);
    assert_eq!(
        format!("{:?}", WatchedBody::<Script, HttpClassifier>::default()),
        "WatchedBody { is_awaited: false, .. }"
    );
}

impl Default for Script {
    fn default() -> Self {
        known(&[])
    }
}

#[test]
fn a_horizon_that_cannot_work_is_refused_by_name_and_value() {
    let refused = |config: CircuitConfig| {
        let error = Circuit::new(config).unwrap_err();
        (error.field, error.value)
    };
    let seconds = Duration::from_secs;
    let config = CircuitConfig::new;
    assert_eq!(refused(config().horizon(Duration::ZERO)), ("horizon", "0ns".into()));
    assert_eq!(refused(config().horizon(seconds(10))), ("horizon", "10s".into()));
    let limit = config().horizon(seconds(2)).probe_limit(seconds(2));
    assert_eq!(refused(limit), ("horizon", "2s".into()));
    let window = config().horizon(seconds(3)).time_window(seconds(3), 3);
    assert_eq!(refused(window), ("horizon", "3s".into()));
    for fine in [
        config().horizon(seconds(9)),
        config().horizon(seconds(30)).probe_limit(seconds(31)),
        // Of itself it keeps below both.
        config().probe_limit(Duration::from_nanos(2)),
        config().time_window(Duration::from_millis(1), 1),
    ] {
        Circuit::new(fine).unwrap();
    }
}
