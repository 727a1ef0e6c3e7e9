//! Many at once over one store, which may be on a server: what each store must make one run of.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use steadfast_core::Error;
use steadfast_idempotency::{
    AsBytes, Claim, ClaimTerms, ClaimToken, Fingerprint, Idempotency, IdempotencyConfig,
    OnAbandoned, RecordId, Refused, Store,
};

pub(crate) const LONG: Duration = Duration::from_secs(3600);

pub(crate) type Failed = Error<std::io::Error>;

/// A name that no other test has, in this process or another.
pub(crate) fn some_id() -> RecordId {
    RecordId::new("rivals", rand::random_bytes()).unwrap()
}

pub(crate) fn some_token() -> ClaimToken {
    ClaimToken::from_bytes(rand::random_bytes())
}

pub(crate) fn print() -> Fingerprint {
    Fingerprint::of(["pay", "5"])
}

/// A claim of an hour, which refuses what is abandoned.
pub(crate) fn terms() -> ClaimTerms {
    ClaimTerms {
        token: some_token(),
        fingerprint: print(),
        lease: LONG,
        retention: LONG,
        on_abandoned: OnAbandoned::Refuse,
    }
}

pub(crate) fn taker() -> ClaimTerms {
    ClaimTerms { on_abandoned: OnAbandoned::Takeover, ..terms() }
}

/// 64 callers in each of 200 rounds, half of them in another process as far as the store can tell:
/// each round runs its operation once, and each caller gets the reply of that run.
pub(crate) async fn run_once_each<S: Store + Clone>(store: S) {
    let config = IdempotencyConfig::new().wait(Duration::from_secs(60));
    let processes = [(); 2].map(|()| Idempotency::new(config.clone(), store.clone()).unwrap());
    for round in 0..200_u32 {
        let (id, runs) = (some_id(), Arc::new(AtomicU32::new(0)));
        let callers = (0..64).map(|caller| {
            let (process, id) = (processes[caller % 2].clone(), id.clone());
            let runs = Arc::clone(&runs);
            tokio::spawn(async move {
                let operation = move |claim: Claim| async move {
                    assert_eq!(claim.attempt().get(), 1);
                    runs.fetch_add(1, Ordering::Relaxed);
                    Ok::<_, Failed>(Bytes::from(round.to_string()))
                };
                process.run(id, print(), AsBytes, operation).await
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            assert_eq!(caller.await.unwrap().unwrap(), round.to_string());
        }
        assert_eq!(runs.load(Ordering::Relaxed), 1, "round {round}");
    }
}

/// What a refusal says, out of the error of an operation.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, Failed>) -> Refused {
    match result {
        Err(Error::Refused(refusal)) => {
            let refusal: Box<dyn std::error::Error> = refusal;
            *refusal.downcast::<Refused>().unwrap()
        }
        other => panic!("{other:?} is not refused"),
    }
}

mod rand {
    use ::rand::Rng;

    pub(super) fn random_bytes() -> [u8; 16] {
        let mut bytes = [0; 16];
        ::rand::rng().fill_bytes(&mut bytes);
        bytes
    }
}
