//! HTTP as a worker speaks it: to the stage, and to registers that are behind a server.

use std::net::SocketAddr;

use axum::http::{Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use steadfast::BootInstant;

use crate::{
    Failure,
    word::{Message, Word},
};

/// The way to a server.
#[derive(Clone)]
pub(crate) struct Line {
    http: Client<HttpConnector, Full<Bytes>>,
    server: SocketAddr,
}

/// A worker's own way to the stage, which no fault touches.
pub(crate) struct Voice {
    pub(crate) line: Line,
    pub(crate) number: u32,
}

impl Line {
    pub(crate) fn new(server: SocketAddr) -> Self {
        Self { http: Client::builder(TokioExecutor::new()).build_http(), server }
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
        format!("http://{}{path}", self.server)
    }
}

impl Voice {
    /// Says something, and waits until it is heard: for as long as the stage has this process
    /// stopped.
    pub(crate) async fn say(&self, at: BootInstant, token: u64, word: Word) -> Result<(), Failure> {
        let message = Message { at, number: self.number, token, word };
        let request = Request::post(self.line.uri("/say")).body(message.to_string().into())?;
        match self.line.ask(request).await? {
            (status, _) if status.is_success() => Ok(()),
            (status, text) => Err(format!("the stage says {status}: {text}").into()),
        }
    }
}
