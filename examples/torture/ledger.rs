//! A process that keeps the registers behind HTTP, with a fence in front of two: for stores of
//! leases that keep nothing else. It can be killed, for what it has acknowledged is in files.

use std::{
    borrow::Cow,
    fs::{self, File},
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Method, Request, StatusCode, Uri},
    routing::get,
};
use rand::RngExt;
use steadfast::{
    http::respond,
    lease::{FenceConfig, Fences, http::FenceLayer},
};
use steadfast_chaos::process::{self, Child};
use tokio::net::TcpListener;

use crate::{Failure, way::Way};

/// The process, as it is seen from outside.
pub(crate) struct LedgerServer {
    directory: PathBuf,
    port: u16,
    child: Mutex<Child>,
}

impl LedgerServer {
    /// Starts it, with its files in `directory`. Blocks.
    pub(crate) fn start(directory: PathBuf) -> Result<Self, Failure> {
        let port = free_port()?;
        let child = Mutex::new(spawn(&directory, port)?);
        Ok(Self { directory, port, child })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(crate) fn with(&self, signal: fn(&mut Child) -> io::Result<()>) -> Result<(), Failure> {
        Ok(signal(&mut self.child.lock().unwrap_or_else(PoisonError::into_inner))?)
    }

    /// Kills it if it runs, and starts it with its files on its port. Blocks.
    pub(crate) fn restart(&self) -> Result<(), Failure> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.kill()?;
        *child = spawn(&self.directory, self.port)?;
        Ok(())
    }
}

fn spawn(directory: &Path, port: u16) -> Result<Child, Failure> {
    let directory = directory.to_string_lossy();
    Ok(Child::spawn(["--ledger", &directory, &port.to_string()])?)
}

/// Below the ports that the system gives to clients: while the ledger is down none of them has its
/// port.
fn free_port() -> Result<u16, Failure> {
    (0..1_000)
        .map(|_| rand::rng().random_range(16_384..32_768))
        .find(|port| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| "no port is free".into())
}

/// More registers than there are.
const MOST: NonZeroUsize = NonZeroUsize::new(16).expect("it is not zero");

/// Serves until it is killed. `args`: the directory of its files, and its port.
pub(crate) async fn serve(args: &[&str]) -> Result<(), Failure> {
    process::exit_when_orphaned();
    let [directory, port] = args else {
        return Err("a ledger needs a directory and a port".into());
    };
    let (directory, port) = (Path::new(directory), port.parse()?);
    let routes = routes(directory)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    process::announce_ready(port)?;
    Ok(axum::serve(listener, routes).await?)
}

fn routes(directory: &Path) -> Result<Router, Failure> {
    let ledger = Arc::new(Mutex::new(Ledger::open(&directory.join("registers"))?));
    // A mark is on the disk before its call runs.
    let config = FenceConfig::new().named("registers");
    let fences = Fences::open(config, MOST, directory.join("marks"))?;
    let layer = FenceLayer::new(fences, resource);
    let fenced =
        Router::new().route("/registers/{name}", get(read).put(write)).layer(respond(layer));
    Ok(fenced.route("/peek/{name}", get(read)).with_state(ledger))
}

/// What the server calls the register, where this request must pass its fence.
fn resource(asked: &Request<Body>) -> Option<Cow<'_, str>> {
    let way = register(asked.uri())?;
    let is_write = asked.method() == Method::PUT;
    let is_fenced = if is_write { way.fences_writes() } else { way.fences_reads() };
    is_fenced.then_some(Cow::Borrowed(way.name()))
}

/// The register of a request, for the fence and for the handlers alike: what decodes the path would
/// find one for a handler where the fence has found none.
fn register(uri: &Uri) -> Option<Way> {
    uri.path().rsplit('/').next().and_then(Way::of)
}

/// The last write of each register.
struct Ledger {
    ids: [u64; 3],
    file: File,
}

type Shared = Arc<Mutex<Ledger>>;

impl Ledger {
    fn open(path: &Path) -> Result<Self, Failure> {
        let mut ids = [0; 3];
        // A kill takes nothing of what a call to the system has written, and a line is one call.
        let text = fs::read_to_string(path).unwrap_or_default();
        for line in text.lines() {
            let (name, id) = line.split_once(' ').ok_or("a line is none")?;
            ids[Way::of(name).ok_or("no such register")? as usize] = id.parse()?;
        }
        Ok(Self { ids, file: File::options().create(true).append(true).open(path)? })
    }

    fn write(&mut self, way: Way, id: u64) -> io::Result<()> {
        self.file.write_all(format!("{} {id}\n", way.name()).as_bytes())?;
        self.ids[way as usize] = id;
        Ok(())
    }
}

async fn read(State(ledger): State<Shared>, uri: Uri) -> Result<String, StatusCode> {
    let way = register(&uri).ok_or(StatusCode::NOT_FOUND)?;
    let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(ledger.ids[way as usize].to_string())
}

async fn write(State(ledger): State<Shared>, uri: Uri, id: String) -> Result<String, StatusCode> {
    let way = register(&uri).ok_or(StatusCode::NOT_FOUND)?;
    let number = id.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    ledger.write(way, number).map_err(|_| StatusCode::INSUFFICIENT_STORAGE)?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::*;
    use crate::place::Directory;

    #[tokio::test]
    async fn no_spelling_of_a_path_comes_past_the_fence() {
        let directory = Directory::new().unwrap();
        let routes = routes(&directory.0).unwrap();
        for path in ["/registers/fenced", "/registers/fence%64", "/registers/writes%2donly"] {
            let request = Request::put(path).body(Body::from("7")).unwrap();
            let status = routes.clone().oneshot(request).await.unwrap().status();
            assert!(status.is_client_error(), "{path}: {status}");
        }
        for way in Way::ALL {
            let peek = Request::get(format!("/peek/{}", way.name())).body(Body::empty()).unwrap();
            let answer = routes.clone().oneshot(peek).await.unwrap();
            let body = axum::body::to_bytes(answer.into_body(), 10).await.unwrap();
            assert_eq!(body, "0", "{}", way.name());
        }
    }
}
