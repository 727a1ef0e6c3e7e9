//! The server of the stage: it hears what the processes say.

use std::net::{Ipv4Addr, SocketAddr};

use axum::{Router, extract::State, http::StatusCode, routing::post};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};

use crate::{Failure, line::Cue, word::Message};

pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    heard: mpsc::Receiver<Heard>,
}

/// What a process has said, which waits for an answer.
pub(crate) struct Heard {
    pub(crate) message: Message,
    answer: oneshot::Sender<Cue>,
}

impl Stage {
    /// With the accounts that it keeps.
    pub(crate) async fn open(accounts: Router) -> Result<Self, Failure> {
        // Each process says one thing at a time.
        let (tell, heard) = mpsc::channel(16);
        let routes = Router::new().route("/say", post(say)).with_state(tell).merge(accounts);
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
    pub(crate) fn answer(self, cue: Cue) {
        // A process that was killed does not wait for it.
        let _ = self.answer.send(cue);
    }
}

async fn say(
    State(tell): State<mpsc::Sender<Heard>>,
    line: String,
) -> Result<&'static str, (StatusCode, String)> {
    let bad = |failure: Failure| (StatusCode::BAD_REQUEST, failure.to_string());
    let over = || (StatusCode::GONE, "the act is over".to_owned());
    let message = line.parse().map_err(bad)?;
    let (answer, answered) = oneshot::channel();
    tell.send(Heard { message, answer }).await.map_err(|_| over())?;
    answered.await.map(Cue::text).map_err(|_| over())
}
