//! The server: it takes orders.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use steadfast::http::IdempotencyKey;
use steadfast_chaos::process;
use tokio::{net::TcpListener, time::sleep};

use crate::{Failure, journal::Journal};

struct Server {
    journal: Mutex<Journal>,
    busy: Mutex<Duration>,
}

/// Serves until the parent is gone. `args`: the journal, the port (0 for any), for how many
/// milliseconds the first order keeps it busy.
pub(crate) async fn serve(args: &[&str]) -> Result<(), Failure> {
    process::exit_when_orphaned();
    let [journal, port, busy] = args else {
        return Err("a server needs a journal, a port and a time".into());
    };
    let (port, busy): (u16, u64) = (port.parse()?, busy.parse()?);
    let journal = Mutex::new(Journal::open(journal)?);
    let server = Server { journal, busy: Mutex::new(Duration::from_millis(busy)) };
    let routes = Router::new().route("/orders", post(order)).with_state(Arc::new(server));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    process::announce_ready(listener.local_addr()?.port())?;
    loop {
        let (stream, _) = listener.accept().await?;
        let routes = TowerToHyperService::new(routes.clone());
        tokio::spawn(async move {
            // A request of a client that has gone since is executed like any other. (By default
            // hyper drops it, if it happens to see the end of the stream first.)
            let mut server = Builder::new(TokioExecutor::new());
            server.http1().half_close(true);
            // A connection that breaks off is nothing to a server.
            let _ = server.serve_connection(TokioIo::new(stream), routes).await;
        });
    }
}

/// Executes, and answers when it is no longer busy.
async fn order(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
) -> Result<&'static str, StatusCode> {
    let key = IdempotencyKey::from_headers(&headers).map_err(|_| StatusCode::BAD_REQUEST)?;
    let executed = lock(&server.journal).execute(key.as_ref().map(IdempotencyKey::as_str));
    executed.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let busy = std::mem::take(&mut *lock(&server.busy));
    sleep(busy).await;
    Ok("ordered")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
