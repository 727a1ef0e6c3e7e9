//! The gateway for a person to try.

use std::{process::ExitCode, time::Duration};

use futures::StreamExt;
use steadfast::{breaker::Transitions, phi};
use tokio::time::{Instant, sleep};

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
    let mut upstreams = Upstreams::start(address)?;
    let gateway = Gateway::start(Kind::Steadfast, &upstreams.addresses()).await?;
    explain(&gateway, &mut upstreams);
    for (name, circuit) in NAMES.into_iter().zip(&gateway.circuits) {
        tokio::spawn(follow(name, circuit.subscribe()));
    }
    for (name, peer) in NAMES.into_iter().zip(&gateway.peers) {
        tokio::spawn(watch(name, peer.transitions()));
    }
    let mut dead_since = [None; NAMES.len()];
    loop {
        sleep(Duration::from_millis(200)).await;
        for (which, since) in dead_since.iter_mut().enumerate() {
            revive(&mut upstreams, which, since)?;
        }
    }
}

async fn follow(name: char, mut transitions: Transitions) {
    loop {
        let transition = transitions.changed().await;
        println!(
            "circuit {name}: {} -> {} ({:?})",
            transition.from, transition.to, transition.cause
        );
    }
}

async fn watch(name: char, mut transitions: phi::Transitions<()>) {
    while let Some(transition) = transitions.next().await {
        let phi::Transition { from, to, phi, .. } = transition;
        println!("upstream {name}: {} -> {} (φ {phi:.1})", from.name(), to.name());
    }
}

/// Starts an upstream again that has been dead for long enough.
fn revive(
    upstreams: &mut Upstreams,
    which: usize,
    dead_since: &mut Option<Instant>,
) -> Result<(), Failure> {
    if upstreams.child(which).is_alive()? {
        return Ok(());
    }
    match *dead_since {
        None => {
            println!("upstream {} is dead", NAMES[which]);
            *dead_since = Some(Instant::now());
        }
        Some(since) if Instant::now() - since >= DEAD => {
            *dead_since = None;
            upstreams.restart(which)?;
            println!("upstream {} is back, pid {}", NAMES[which], upstreams.child(which).id());
        }
        Some(_) => {}
    }
    Ok(())
}

fn explain(gateway: &Gateway, upstreams: &mut Upstreams) {
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
    for (which, name) in NAMES.into_iter().enumerate() {
        let child = upstreams.child(which);
        let (pid, upstream) = (child.id(), child.address());
        println!(
            "  {name}  kill -STOP {pid}  kill -CONT {pid}  kill -KILL {pid}  curl -X POST http://{upstream}/slow/2000"
        );
    }
    println!(
        "\nA killed upstream is started again after {DEAD:?}. What the circuits and detectors do is shown here. Ctrl-C ends it.\n"
    );
}
