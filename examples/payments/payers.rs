//! The payers: each pays once, and asks until it has a receipt.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::HttpBody,
    http::{Request, Response},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use steadfast::{
    Backoff, Detach, Jitter, guard,
    http::{CollectLayer, HttpClassifier, IDEMPOTENCY_KEY, is_replayed},
    idempotency::http::new_key,
    retry::{RetryConfig, RetryLayer},
    timeout::TimeoutLayer,
};
use steadfast_chaos::{FaultLayer, Faults};
use tokio::{task::JoinSet, time::sleep};
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt};

use crate::Failure;

pub(crate) const PAYERS: usize = 200;
/// From one payer to the next.
const PACE: Duration = Duration::from_millis(10);
/// How long a payer waits for an answer.
const PATIENCE: Duration = Duration::from_millis(400);
/// Enough for half a minute without an answer.
const ATTEMPTS: NonZeroU32 = NonZeroU32::new(50).expect("fifty is not zero");
/// No answer is longer, in bytes.
const MOST: usize = 64 * 1024;

/// What is in the receipt of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// The number of its charge.
    pub(crate) charge: i64,
    /// Which run of the handler it is of: above 1 one that took the key over.
    pub(crate) attempt: u32,
}

/// All payers of one scene.
#[derive(Clone)]
pub(crate) struct Payers {
    pub(crate) server: SocketAddr,
    pub(crate) faults: Faults,
    /// What goes on in the network when its payer has given up.
    pub(crate) network: Detach,
    /// How many have paid.
    pub(crate) paid: Arc<AtomicUsize>,
}

/// A payment of one payer. Its key is written down before it is first sent, so that it is the same
/// however often it is asked for.
pub(crate) struct Payment {
    pub(crate) number: i64,
    key: String,
}

/// A payment, and its receipt if there is one.
pub(crate) type Paid = (Payment, Result<Receipt, Failure>);

impl Payers {
    /// Each pays once.
    pub(crate) async fn pay(&self, first: i64) -> Vec<Paid> {
        let mut under_way = JoinSet::new();
        for number in (first..).take(PAYERS) {
            let payment = Payment { number, key: new_key().as_str().to_owned() };
            let payers = self.clone();
            under_way.spawn(async move {
                let receipt = payers.ask(&payment).await;
                payers.paid.fetch_add(1, Ordering::Relaxed);
                (payment, receipt)
            });
            sleep(PACE).await;
        }
        under_way.join_all().await
    }

    /// Asks until there is an answer.
    async fn ask(&self, payment: &Payment) -> Result<Receipt, Failure> {
        let first = Duration::from_millis(50);
        let backoff = Backoff::exponential(first, 8 * first)?.with_jitter(Jitter::Equal);
        let retry = RetryConfig::new().attempts(ATTEMPTS).backoff(backoff);
        let network = FaultLayer::new(self.faults.clone());
        let stack = ServiceBuilder::new()
            .layer(RetryLayer::new(retry).classify(HttpClassifier).idempotent_if(has_key))
            .layer(TimeoutLayer::fixed(PATIENCE)?.http())
            .layer(CollectLayer::new(MOST))
            .layer(network.http().cloning().detach(self.network.clone()));
        // The key is the call's, and all of its attempts carry it.
        let response = guard(stack).layer(client()).oneshot(self.request(payment)?).await?;
        Ok(receipt(response).await?.0)
    }

    /// Asks once more in good weather: the receipt, and whether it is a replay.
    pub(crate) async fn ask_again(&self, payment: &Payment) -> Result<(Receipt, bool), Failure> {
        receipt(client().request(self.request(payment)?).await?).await
    }

    fn request(&self, payment: &Payment) -> Result<Request<Full<Bytes>>, Failure> {
        let uri = format!("http://{}/payments/{}", self.server, payment.number);
        let request = Request::post(uri).header(IDEMPOTENCY_KEY, &payment.key);
        Ok(request.body("5 euros".into())?)
    }
}

/// A POST may be sent again if it has a key: that is what the server promises.
fn has_key(request: &Request<Full<Bytes>>) -> bool {
    request.headers().contains_key(IDEMPOTENCY_KEY)
}

/// With connections of its own, as each payer is on a machine of its own.
fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

async fn receipt<B>(response: Response<B>) -> Result<(Receipt, bool), Failure>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
{
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(Into::into)?.to_bytes();
    let text = String::from_utf8_lossy(&body);
    let numbers = || {
        let (charge, attempt) = text.split_once(' ')?;
        Some(Receipt { charge: charge.parse().ok()?, attempt: attempt.parse().ok()? })
    };
    let receipt = numbers().filter(|_| head.status.is_success());
    let receipt = receipt.ok_or_else(|| format!("{}: {text}", head.status))?;
    Ok((receipt, is_replayed(&head.headers)))
}
