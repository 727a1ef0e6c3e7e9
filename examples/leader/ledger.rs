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
    extract::State,
    http::{Request, StatusCode, Uri},
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
        self.run(act.resource(), None)
    }

    pub(crate) fn routes(&self) -> Result<Router, Failure> {
        let fences = Fences::new(FenceConfig::new().named("accounts"), MOST)?;
        // What the handlers take for the account, and no header of a client's.
        let layer = FenceLayer::new(fences, |asked: &Request<Body>| {
            let name = account(asked.uri());
            (name == Act::Fenced.resource()).then_some(Cow::Borrowed(name))
        });
        let routes = Router::new().route("/accounts/{name}", get(read).put(write));
        Ok(routes.layer(respond(layer)).with_state(self.clone()))
    }

    fn run(&self, account: &str, balance: Option<i64>) -> i64 {
        let mut balances = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = balances.entry(account.to_owned()).or_default();
        *kept = balance.unwrap_or(*kept);
        *kept
    }
}

/// The account of a request, for the fence and for the handlers alike. An extractor of the path's
/// parts would decode them: `fence%64` would be the fenced account for a handler, and another for
/// the fence.
fn account(uri: &Uri) -> &str {
    uri.path().trim_start_matches('/')
}

async fn read(State(ledger): State<Ledger>, uri: Uri) -> String {
    ledger.run(account(&uri), None).to_string()
}

async fn write(
    State(ledger): State<Ledger>,
    uri: Uri,
    balance: String,
) -> Result<String, StatusCode> {
    let balance = balance.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(ledger.run(account(&uri), Some(balance)).to_string())
}

#[cfg(test)]
mod tests {
    use steadfast::http::FENCING_TOKEN;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn no_spelling_of_a_path_comes_past_the_fence() {
        let ledger = Ledger::default();
        let routes = ledger.routes().unwrap();
        let put = async |path: &str, token: Option<u64>, balance: &str| {
            let request = Request::put(path);
            let request = match token {
                Some(token) => request.header(FENCING_TOKEN, token),
                None => request,
            };
            let request = request.body(Body::from(balance.to_owned())).unwrap();
            routes.clone().oneshot(request).await.unwrap().status()
        };
        let path = format!("/{}", Act::Fenced.resource());
        assert_eq!(put(&path, Some(34), "7").await, StatusCode::OK);
        for spelt in ["/accounts/fence%64", "/accounts/%66enced", "//accounts/fenced"] {
            for token in [None, Some(33)] {
                put(spelt, token, "5").await;
                assert_eq!(ledger.balance(Act::Fenced), 7, "{spelt} under {token:?}");
            }
        }
    }
}
