//! The way of a process to the stage.

use std::net::SocketAddr;

use axum::http::{Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use steadfast::{BootClock, FencingToken};

use crate::{
    Failure,
    word::{Message, Word},
};

#[derive(Clone)]
pub(crate) struct Line {
    http: Client<HttpConnector, Full<Bytes>>,
    stage: SocketAddr,
    who: char,
}

/// What the stage answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cue {
    GoOn,
    Exit,
}

impl Cue {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::GoOn => "go on",
            Self::Exit => "exit",
        }
    }
}

impl Line {
    pub(crate) fn new(who: &str, stage: &str) -> Result<Self, Failure> {
        let http = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { http, stage: stage.parse()?, who: who.parse()? })
    }

    /// Says something, and waits for the answer: for as long as the stage has this process stopped.
    pub(crate) async fn say(&self, token: FencingToken, word: Word) -> Result<Cue, Failure> {
        let message = Message { at: BootClock::system().now(), who: self.who, token, word };
        let request = Request::post(self.uri("/say")).body(message.to_string().into())?;
        let (status, text) = self.ask(request).await?;
        let cues = [Cue::GoOn, Cue::Exit];
        let cue = cues.into_iter().find(|cue| status.is_success() && cue.text() == text);
        cue.ok_or_else(|| format!("the stage says {status}: {text}").into())
    }

    pub(crate) async fn ask(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, String), Failure> {
        let response = self.http.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    pub(crate) fn uri(&self, path: &str) -> String {
        format!("http://{}{path}", self.stage)
    }
}
