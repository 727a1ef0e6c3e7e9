//! A bank: it charges whenever it is asked, and can be asked what it has charged. It knows nothing
//! of keys, and outlives the server.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::{Path, State},
    http::{Method, Request, StatusCode},
    routing::post,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::net::TcpListener;

use crate::{Failure, books::Charges};

/// The payment of each charge, in their order: a charge's number is its place.
type Ledger = Arc<Mutex<Vec<i64>>>;

/// The bank, in the process of the payers.
pub(crate) struct Bank {
    ledger: Ledger,
    pub(crate) address: SocketAddr,
}

impl Bank {
    pub(crate) async fn open() -> Result<Self, Failure> {
        let ledger = Ledger::default();
        let routes = Router::new().route("/{payment}", post(charge).get(find));
        let routes = routes.with_state(Arc::clone(&ledger));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { ledger, address })
    }

    pub(crate) fn charges(&self) -> Charges {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        Charges::of((0..).zip(ledger.iter().copied()))
    }
}

async fn charge(State(ledger): State<Ledger>, Path(payment): Path<i64>) -> String {
    let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    ledger.push(payment);
    (ledger.len() - 1).to_string()
}

/// The first charge of a payment.
async fn find(
    State(ledger): State<Ledger>,
    Path(payment): Path<i64>,
) -> Result<String, StatusCode> {
    let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let number = ledger.iter().position(|charged| *charged == payment);
    number.map(|number| number.to_string()).ok_or(StatusCode::NOT_FOUND)
}

/// The way to the bank, in the process of the server.
pub(crate) struct BankClient {
    http: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
}

impl BankClient {
    pub(crate) fn to(address: &str) -> Result<Self, Failure> {
        let http = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { http, address: address.parse()? })
    }

    /// Makes a charge, and returns its number.
    pub(crate) async fn charge(&self, payment: i64) -> Result<i64, Failure> {
        self.ask(Method::POST, payment).await?.ok_or_else(|| "the bank did not charge".into())
    }

    /// The number of the charge that there is.
    pub(crate) async fn find(&self, payment: i64) -> Result<Option<i64>, Failure> {
        self.ask(Method::GET, payment).await
    }

    async fn ask(&self, method: Method, payment: i64) -> Result<Option<i64>, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}/{payment}", self.address))
            .body(Full::default())?;
        let response = self.http.request(request).await?;
        if response.status() != StatusCode::OK {
            return Ok(None);
        }
        let number = response.into_body().collect().await?.to_bytes();
        Ok(Some(str::from_utf8(&number)?.parse()?))
    }
}
