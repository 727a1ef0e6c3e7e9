//! The server that hears what the workers say. Each waits for its answer.

use std::net::{Ipv4Addr, SocketAddr};

use axum::{Router, extract::State, http::StatusCode, routing::post};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};

use crate::{Failure, word::Message};

pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    heard: mpsc::Receiver<Heard>,
}

/// What a worker has said, which waits for an answer.
pub(crate) struct Heard {
    pub(crate) message: Message,
    answer: oneshot::Sender<()>,
}

impl Stage {
    pub(crate) async fn open() -> Result<Self, Failure> {
        // Each worker says one thing at a time.
        let (tell, heard) = mpsc::channel(16);
        let routes = Router::new().route("/say", post(say)).with_state(tell);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { address, heard })
    }

    pub(crate) async fn next(&mut self) -> Result<Heard, Failure> {
        self.heard.recv().await.ok_or_else(|| "the stage has ended".into())
    }
}

impl Heard {
    /// Lets the worker go on. The answer is in the connection of one that stands still.
    pub(crate) fn answer(self) {
        // A worker that was killed does not wait for it.
        let _ = self.answer.send(());
    }
}

async fn say(
    State(tell): State<mpsc::Sender<Heard>>,
    line: String,
) -> Result<(), (StatusCode, String)> {
    let bad = |failure: Failure| (StatusCode::BAD_REQUEST, failure.to_string());
    let over = || (StatusCode::GONE, "the play is over".to_owned());
    let message = line.parse().map_err(bad)?;
    let (answer, answered) = oneshot::channel();
    tell.send(Heard { message, answer }).await.map_err(|_| over())?;
    answered.await.map_err(|_| over())
}
