//! Accounts that the stage keeps, and the server in front of them, which fences one.

use std::{
    borrow::Cow,
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{Request, StatusCode},
    routing::get,
};
use steadfast::{
    http::respond,
    lease::{FenceConfig, Fences, http::FenceLayer},
};

use crate::{Failure, act::Act};

/// The balance of each account.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<HashMap<String, i64>>>);

/// More accounts than there are.
const MOST: NonZeroUsize = NonZeroUsize::new(16).expect("it is not zero");

impl Ledger {
    pub(crate) fn balance(&self, act: Act) -> i64 {
        self.run(act.name().to_owned(), None)
    }

    pub(crate) fn routes(&self) -> Result<Router, Failure> {
        let fences = Fences::new(FenceConfig::new().named("accounts"), MOST)?;
        // What the server calls the account, and no header of a client's.
        let layer = FenceLayer::new(fences, |asked: &Request<Body>| {
            let name = asked.uri().path().trim_start_matches('/');
            (name == Act::Fenced.resource()).then_some(Cow::Borrowed(name))
        });
        let routes = Router::new().route("/accounts/{name}", get(read).put(write));
        Ok(routes.layer(respond(layer)).with_state(self.clone()))
    }

    fn run(&self, name: String, balance: Option<i64>) -> i64 {
        let mut balances = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = balances.entry(name).or_default();
        *kept = balance.unwrap_or(*kept);
        *kept
    }
}

async fn read(State(ledger): State<Ledger>, Path(name): Path<String>) -> String {
    ledger.run(name, None).to_string()
}

async fn write(
    State(ledger): State<Ledger>,
    Path(name): Path<String>,
    balance: String,
) -> Result<String, StatusCode> {
    let balance = balance.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(ledger.run(name, Some(balance)).to_string())
}
