//! The upstreams: child processes that serve items and take orders, and the handles to disturb
//! them.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
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
use steadfast_chaos::process::{self, Child};
use tokio::{
    net::{TcpListener, UdpSocket},
    task::block_in_place,
    time::sleep,
};

use crate::Failure;

/// What the upstreams are called.
pub(crate) const NAMES: [char; 3] = ['A', 'B', 'C'];

/// The child processes. Dropping them kills them, paused or not.
pub(crate) struct Upstreams {
    children: Vec<Child>,
    ledger: SocketAddr,
}

impl Upstreams {
    /// Starts one process for each name. Each tells `ledger` what orders it executes, which
    /// outlives it when it is killed.
    pub(crate) fn start(ledger: SocketAddr) -> Result<Self, Failure> {
        let children =
            (0..NAMES.len()).map(|which| spawn(which, 0, ledger)).collect::<Result<_, _>>()?;
        Ok(Self { children, ledger })
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.children.iter().map(Child::address).collect()
    }

    pub(crate) fn child(&mut self, which: usize) -> &mut Child {
        &mut self.children[which]
    }

    /// Starts a dead upstream again, on the port it had.
    pub(crate) fn restart(&mut self, which: usize) -> Result<(), Failure> {
        self.children[which] = spawn(which, self.children[which].port(), self.ledger)?;
        Ok(())
    }
}

fn spawn(which: usize, port: u16, ledger: SocketAddr) -> Result<Child, Failure> {
    let args = ["--upstream".to_owned(), which.to_string(), port.to_string(), ledger.to_string()];
    // Starting a process takes milliseconds, which the load's tasks shall not wait for.
    Ok(block_in_place(|| Child::spawn(args))?)
}

/// The state of one upstream process.
struct Server {
    chance: Splitter,
    slowed_by_ms: AtomicU64,
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
        let server = Server {
            chance: Splitter::seeded(seed),
            slowed_by_ms: AtomicU64::new(0),
            ledger: socket,
        };
        let routes = Router::new()
            .route("/items/{id}", get(item))
            .route("/orders", post(order))
            .route("/slow/{ms}", post(slow))
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

async fn slow(State(server): State<Arc<Server>>, Path(ms): Path<u64>) {
    server.slowed_by_ms.store(ms, Ordering::Relaxed);
}

impl Server {
    /// Takes a log-normal time with a median of 6 ms and a 99 % quantile of 15 ms, as services do,
    /// and what it is slowed by.
    async fn work(&self) {
        let mut chance = self.chance.split();
        // Twelve uniform numbers add up to a normal one, near enough.
        let normal = (0..12).map(|_| chance.random_range(0.0..1.0)).sum::<f64>() - 6.0;
        let usual = Duration::from_secs_f64(0.006 * (0.4 * normal).exp());
        sleep(usual + Duration::from_millis(self.slowed_by_ms.load(Ordering::Relaxed))).await;
    }
}
