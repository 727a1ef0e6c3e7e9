//! The gateway for a person to try.

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::post,
};
use futures::StreamExt;
use steadfast::{breaker::Transitions, phi};
use steadfast_chaos::{Delay, Direction, process::ProcessFault};
use tokio::{
    net::TcpListener,
    task::block_in_place,
    time::{Instant, sleep},
};

use crate::{
    Failure,
    gateway::{Gateway, Kind},
    ledger::Ledger,
    upstream::{NAMES, Upstreams},
};

/// How long a killed upstream stays dead.
const DEAD: Duration = Duration::from_secs(5);

/// Keeps the gateway with Steadfast up until it is dropped, and starts killed upstreams again.
pub(crate) async fn serve() -> Result<ExitCode, Failure> {
    let (_ledger, address) = Ledger::open().await?;
    let upstreams = Arc::new(Upstreams::start(address)?);
    let gateway = Gateway::start(Kind::Steadfast, &upstreams.addresses).await?;
    let control = control(Arc::clone(&upstreams)).await?;
    explain(&gateway, control, &upstreams.processes)?;
    for (name, circuit) in NAMES.into_iter().zip(&gateway.circuits) {
        tokio::spawn(follow(name, circuit.subscribe()));
    }
    for (name, peer) in NAMES.into_iter().zip(&gateway.peers) {
        tokio::spawn(watch(name, peer.transitions()));
    }
    let mut dead_since = [None; NAMES.len()];
    loop {
        sleep(Duration::from_millis(200)).await;
        for (name, since) in NAMES.into_iter().zip(&mut dead_since) {
            revive(&upstreams.processes, name, since)?;
        }
    }
}

async fn follow(name: &'static str, mut transitions: Transitions) {
    loop {
        let transition = transitions.changed().await;
        println!(
            "circuit {name}: {} -> {} ({:?})",
            transition.from, transition.to, transition.cause
        );
    }
}

async fn watch(name: &'static str, mut transitions: phi::Transitions<()>) {
    while let Some(transition) = transitions.next().await {
        let phi::Transition { from, to, phi, .. } = transition;
        println!("upstream {name}: {} -> {} (φ {phi:.1})", from.name(), to.name());
    }
}

/// Starts an upstream again that has been dead for long enough.
fn revive(
    processes: &ProcessFault,
    name: &str,
    dead_since: &mut Option<Instant>,
) -> Result<(), Failure> {
    if processes.is_alive(name)? {
        return Ok(());
    }
    match *dead_since {
        None => {
            println!("upstream {name} is dead");
            *dead_since = Some(Instant::now());
        }
        Some(since) if Instant::now() - since >= DEAD => {
            *dead_since = None;
            block_in_place(|| processes.restart(name))?;
            println!("upstream {name} is back, pid {}", processes.id(name)?);
        }
        Some(_) => {}
    }
    Ok(())
}

/// Serves, apart from the gateway, what delays the replies on the link to an upstream.
async fn control(upstreams: Arc<Upstreams>) -> Result<SocketAddr, Failure> {
    let slow = async |State(upstreams): State<Arc<Upstreams>>,
                      Path((name, ms)): Path<(String, u64)>| {
        let delay = Delay::of(Duration::from_millis(ms));
        let mut links = upstreams.network.proxies("gateway", &name).peekable();
        let status = if links.peek().is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        links.for_each(|link| link.delay(Direction::Downstream, delay));
        status
    };
    let routes = Router::new().route("/slow/{name}/{ms}", post(slow)).with_state(upstreams);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(address)
}

fn explain(
    gateway: &Gateway,
    control: SocketAddr,
    processes: &ProcessFault,
) -> Result<(), Failure> {
    let address = gateway.address;
    println!("The gateway listens on http://{address}. Try\n");
    println!("  curl -i http://{address}/items/7");
    println!("  curl -i -d 7 http://{address}/orders");
    println!(
        "  while sleep 0.02; do curl -s -o /dev/null -w '%{{http_code}} %{{time_total}}\\n' http://{address}/items/7; done\n"
    );
    println!(
        "and meanwhile, to pause an upstream, resume it, kill it, and slow it by 2 s (by 0 to end that)\n"
    );
    for name in NAMES {
        let pid = processes.id(name)?;
        println!(
            "  {name}  kill -STOP {pid}  kill -CONT {pid}  kill -KILL {pid}  curl -X POST http://{control}/slow/{name}/2000"
        );
    }
    println!(
        "\nA killed upstream is started again after {DEAD:?}. What the circuits and detectors do is shown here. Ctrl-C ends it.\n"
    );
    Ok(())
}
