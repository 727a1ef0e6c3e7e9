//! One observer: it asks the others for their reports, suspects who does not answer, and counts
//! votes.

use std::{
    fmt::Write,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    routing::{get, put},
};
use steadfast::{
    clock::{Hlc, HlcLayer},
    http::respond,
    quorum::{Suspicion, SuspicionTally, Threshold},
};
use tokio::time::{self, interval, timeout};

use crate::{Failure, NODES, node::serve_routes, peer::Peer};

const PERIOD: Duration = Duration::from_millis(50);

/// How long an answer may take until the question is asked again.
const ANSWER: Duration = Duration::from_millis(200);

/// A peer that has not answered for so long is suspected: several answers are missing, so one late
/// answer convicts no peer.
const SILENCE: Duration = Duration::from_millis(600);

/// How long a report counts: several times what a silent peer holds it up.
const MAX_AGE: Duration = Duration::from_secs(2);

struct Observer {
    id: usize,
    hlc: Hlc,
    view: OnceLock<Mutex<View>>,
}

/// What it has heard.
struct View {
    /// When each of the others has answered last.
    heard: [Instant; NODES],
    tally: SuspicionTally<Threshold>,
}

/// Serves until the parent is gone.
pub(crate) async fn serve(id: &str) -> Result<(), Failure> {
    let hlc = Hlc::default();
    let observer = Arc::new(Observer { id: id.parse()?, hlc: hlc.clone(), view: OnceLock::new() });
    let routes = Router::new()
        .route("/peers", put(start))
        .route("/reports", get(reports))
        .route("/verdicts", get(verdicts))
        .with_state(observer)
        .layer(respond(HlcLayer::new(hlc)));
    serve_routes(routes).await
}

/// Begins to watch. The addresses of all are told in order; its own is not used.
async fn start(State(observer): State<Arc<Observer>>, addresses: String) -> Result<(), StatusCode> {
    let addresses = addresses.split(' ').map(str::parse).collect::<Result<Vec<_>, _>>();
    let peers =
        addresses.ok().and_then(|addresses| Peer::all(observer.hlc.clone(), addresses).ok());
    let peers = peers.filter(|peers| peers.len() == NODES).ok_or(StatusCode::BAD_REQUEST)?;
    let view = View::new(now()).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    observer.view.set(Mutex::new(view)).map_err(|_| StatusCode::CONFLICT)?;
    for (suspect, peer) in
        peers.into_iter().enumerate().filter(|(suspect, _)| *suspect != observer.id)
    {
        tokio::spawn(Arc::clone(&observer).watch(suspect, peer));
    }
    Ok(())
}

/// What it says of the others: for each whom, whether it is suspected, and the report's number.
async fn reports(State(observer): State<Arc<Observer>>) -> Result<String, StatusCode> {
    let mut text = String::new();
    observer.look(|view| {
        for report in observer.report_all(view.heard) {
            let Suspicion { suspect, suspected, sequence, .. } = report;
            writeln!(text, "{suspect} {suspected} {sequence}").expect("a string takes all");
        }
    })?;
    Ok(text)
}

/// What the votes it has heard say of each node, in words.
async fn verdicts(State(observer): State<Arc<Observer>>) -> Result<String, StatusCode> {
    observer.look(|view| {
        let verdicts = (0..NODES).map(|suspect| format!("{:?}", view.tally.decide(suspect, now())));
        verdicts.collect::<Vec<_>>().join(" ")
    })
}

fn now() -> Instant {
    time::Instant::now().into_std()
}

impl Observer {
    fn look<T>(&self, at: impl FnOnce(&mut View) -> T) -> Result<T, StatusCode> {
        let view = self.view.get().ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
        Ok(at(&mut view.lock().expect("nothing panics while it is held")))
    }

    /// Its own reports. Their numbers grow, and would after a restart: they are hybrid timestamps.
    fn report_all(&self, heard: [Instant; NODES]) -> impl Iterator<Item = Suspicion> {
        let now = now();
        (0..NODES).filter(|suspect| *suspect != self.id).map(move |suspect| Suspicion {
            observer: self.id,
            suspect,
            suspected: now.saturating_duration_since(heard[suspect]) > SILENCE,
            sequence: self.hlc.tick().to_bits(),
        })
    }

    async fn watch(self: Arc<Self>, suspect: usize, peer: Peer) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let answer = timeout(ANSWER, peer.get("/reports")).await;
            let counted = self.look(|view| {
                if let Ok(Ok(reports)) = answer {
                    view.hear(suspect, &reports);
                }
                // Its own word is one among the others.
                for report in self.report_all(view.heard) {
                    let _ = view.tally.report(report, now());
                }
            });
            counted.expect("it watches once there is a view");
        }
    }
}

impl View {
    fn new(now: Instant) -> Result<Self, Failure> {
        Ok(Self {
            heard: [now; NODES],
            tally: SuspicionTally::new(Threshold::majority_of(NODES)?, MAX_AGE)?,
        })
    }

    /// Takes an observer's reports. That it has any is its heartbeat.
    fn hear(&mut self, observer: usize, reports: &str) {
        self.heard[observer] = now();
        for report in parse(observer, reports) {
            let _ = self.tally.report(report, now());
        }
    }
}

/// An observer's reports. No observer reports for another: these are from the one that was asked.
pub(crate) fn parse(observer: usize, reports: &str) -> impl Iterator<Item = Suspicion> {
    reports.lines().filter_map(move |line| {
        let mut words = line.split(' ');
        let suspect = words.next()?.parse().ok()?;
        let suspected = words.next()?.parse().ok()?;
        let sequence = words.next()?.parse().ok()?;
        Some(Suspicion { observer, suspect, suspected, sequence })
    })
}
