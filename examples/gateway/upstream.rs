//! The upstreams: child processes that serve items and take orders, the links to them, and the
//! handles to disturb both.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use rand::RngExt;
use steadfast::Splitter;
use steadfast_chaos::{
    Event, Network,
    process::{self, Child, ProcessFault},
};
use tokio::{
    net::{TcpListener, UdpSocket},
    task::block_in_place,
    time::sleep,
};

use crate::Failure;

/// What the upstreams are called, here and in plans.
pub(crate) const NAMES: [&str; 3] = ["A", "B", "C"];

/// The child processes, and the links to them. Dropping them kills them, paused or not.
pub(crate) struct Upstreams {
    pub(crate) processes: ProcessFault,
    pub(crate) network: Network,
    /// The near ends of the links.
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Upstreams {
    /// Starts one process for each name. Each tells `ledger` what orders it executes, which
    /// outlives it when it is killed.
    pub(crate) fn start(ledger: SocketAddr) -> Result<Self, Failure> {
        let (processes, mut network) = (ProcessFault::new(), Network::new());
        let mut addresses = Vec::new();
        for (which, name) in NAMES.into_iter().enumerate() {
            let spawn = move |port: u16| {
                let args = [which.to_string(), port.to_string(), ledger.to_string()];
                Child::spawn(["--upstream".to_owned()].iter().chain(&args))
            };
            block_in_place(|| processes.start(name, spawn))?;
            addresses.push(network.link("gateway", name, processes.address(name)?)?);
        }
        Ok(Self { processes, network, addresses })
    }

    /// Lets what a plan says happen, to a process or to the link to it.
    pub(crate) async fn apply(&self, event: &Event) -> Result<(), Failure> {
        if !self.processes.apply(event).await? {
            self.network.apply(event).await?;
        }
        Ok(())
    }
}

/// The state of one upstream process.
struct Server {
    chance: Splitter,
    ledger: UdpSocket,
}

/// Serves until the parent is gone. `args`: which of the upstreams, the port (0 for any), the
/// ledger's address.
pub(crate) fn serve(args: &[&str]) -> Result<ExitCode, Failure> {
    process::exit_when_orphaned();
    let [which, port, ledger] = args else {
        return Err("an upstream needs its number, a port and a ledger".into());
    };
    let (seed, port, ledger) = (which.parse()?, port.parse()?, ledger.parse::<SocketAddr>()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(ledger).await?;
        let server = Server { chance: Splitter::seeded(seed), ledger: socket };
        let routes = Router::new()
            .route("/items/{id}", get(item))
            .route("/orders", post(order))
            .with_state(Arc::new(server));
        let listener = bind(port).await?;
        process::announce_ready(listener.local_addr()?.port())?;
        axum::serve(listener, routes).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// While an upstream was dead, a connection of another program may have taken its port. Such a
/// connection does not last.
async fn bind(port: u16) -> io::Result<TcpListener> {
    for _ in 0..20 {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                sleep(Duration::from_millis(100)).await;
            }
            bound => return bound,
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

async fn item(State(server): State<Arc<Server>>, Path(id): Path<u64>) -> String {
    server.work().await;
    format!("item {id}\n")
}

/// Executes first and answers later: a caller who gave up in between has placed the order all the
/// same.
async fn order(
    State(server): State<Arc<Server>>,
    body: String,
) -> Result<(StatusCode, String), StatusCode> {
    let id: u64 = body.trim().parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    let entered = server.ledger.send(&id.to_be_bytes()).await;
    entered.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    server.work().await;
    Ok((StatusCode::CREATED, format!("order {id}\n")))
}

impl Server {
    /// Takes a log-normal time with a median of 6 ms and a 99 % quantile of 15 ms, as services do.
    async fn work(&self) {
        let mut chance = self.chance.split();
        // Twelve uniform numbers add up to a normal one, near enough.
        let normal = (0..12).map(|_| chance.random_range(0.0..1.0)).sum::<f64>() - 6.0;
        sleep(Duration::from_secs_f64(0.006 * (0.4 * normal).exp())).await;
    }
}
