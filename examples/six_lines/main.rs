//! A shop built with Steadfast and without: two programs that differ in six lines, none of them in
//! a handler, while the service that they ask stops answering.
//!
//! `cargo run --release --example six_lines`

mod after;
mod before;
mod diff;

use std::{
    env,
    net::SocketAddr,
    process::{Child, Command},
    time::{Duration, Instant},
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use futures::future::join_all;
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{sleep, timeout},
};

type Failure = Box<dyn std::error::Error>;

/// Longer than callers wait.
const PATIENCE: Duration = Duration::from_secs(2);

fn main() -> Result<(), Failure> {
    match env::args().nth(1).as_deref() {
        Some("before") => before::main(),
        Some("after") => after::main(),
        _ => show(),
    }
}

#[tokio::main]
async fn show() -> Result<(), Failure> {
    let changes = diff::lines(include_str!("before.rs"), include_str!("after.rs"));
    println!("{}", diff::text(&changes));
    let changed = diff::changed(&changes);
    assert!(changed <= 6, "{changed} lines are changed");
    let shown = format!("```diff\n{}```\n", diff::text(&changes));
    assert!(include_str!("../../README.md").contains(&shown), "the README shows other lines");
    assert_eq!(handler(include_str!("before.rs")), handler(include_str!("after.rs")));

    let (stock, hangs) = stock().await?;
    for (program, is_steadfast) in [("before", false), ("after", true)] {
        hangs.send_replace(false);
        let shop = Shop::open(program, stock).await?;
        // Enough answers for the limit to be measured.
        for _ in 0..100 {
            assert_eq!(shop.ask().await.0, Some(StatusCode::OK));
        }
        hangs.send_replace(true);
        let mut rounds = Vec::new();
        for _ in 0..6 {
            rounds.push(join_all((0..5).map(|_| shop.ask())).await);
            sleep(Duration::from_millis(100)).await;
        }
        let (first, last) = (&rounds[0], &rounds[5]);
        println!("{program}: at first {:?}, at last {:?}", first[0], last[0]);
        if is_steadfast {
            // Given up after what is long for this service, then answered at once, and told when to
            // come back.
            assert!(first.iter().all(|(status, _)| *status == Some(StatusCode::BAD_GATEWAY)));
            let at_once = Duration::from_millis(50);
            let refused = Some(StatusCode::SERVICE_UNAVAILABLE);
            assert!(last.iter().all(|(status, took)| *status == refused && *took < at_once));
        } else {
            // Each caller waits as long as it can.
            assert!(rounds.iter().flatten().all(|(status, _)| status.is_none()));
        }
        assert_eq!(shop.get("/health").await.0, Some(StatusCode::OK));
    }
    Ok(())
}

/// The text of the handler of a program.
fn handler(program: &str) -> Option<&str> {
    let (_, from) = program.split_once("async fn item(")?;
    Some(from.split_once("\n}\n")?.0)
}

/// A service that stops answering when it is told to.
async fn stock() -> Result<(SocketAddr, watch::Sender<bool>), Failure> {
    let (hangs, hung) = watch::channel(false);
    let item = |State(mut hung): State<watch::Receiver<bool>>| async move {
        hung.wait_for(|hangs| !hangs).await.map_or("closed", |_| "7 in stock")
    };
    let routes = Router::new().route("/items/{id}", get(item)).with_state(hung);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok((address, hangs))
}

/// A program that runs until this is dropped.
struct Shop {
    process: Child,
    address: SocketAddr,
    client: reqwest::Client,
}

impl Shop {
    async fn open(program: &str, stock: SocketAddr) -> Result<Self, Failure> {
        // A port that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let process = Command::new(env::current_exe()?)
            .arg(program)
            .env("STOCK", format!("http://{stock}"))
            .env("LISTEN", address.to_string())
            .spawn()?;
        let shop = Self { process, address, client: reqwest::Client::new() };
        for _ in 0..1000 {
            if shop.get("/health").await.0 == Some(StatusCode::OK) {
                return Ok(shop);
            }
            sleep(Duration::from_millis(10)).await;
        }
        Err(format!("{program} does not answer").into())
    }

    /// The status of the answer, if there was one, and how long it took.
    async fn ask(&self) -> (Option<StatusCode>, Duration) {
        self.get("/items/7").await
    }

    #[expect(clippy::disallowed_methods, reason = "it is a program that measures a process")]
    async fn get(&self, path: &str) -> (Option<StatusCode>, Duration) {
        let begun = Instant::now();
        let answer = self.client.get(format!("http://{}{path}", self.address)).send();
        let status = match timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => Some(answer.status()),
            Ok(Err(_)) | Err(_) => None,
        };
        (status, begun.elapsed())
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
