//! Random courses: processes with clocks of their own, over a bucket that fails.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};
use steadfast_core::{BootInstant, ManualBootClock};
use steadfast_lease::{
    AcquireReply, AcquireTerms, BucketStore, FencingToken, HolderName, Margin, Nonce, RenewReply,
    Store,
};

use super::{
    config,
    faulty::{Bucket, Fault, Kind},
    name,
};

const TTL: Duration = Duration::from_secs(10);

/// One process, and what it may believe.
struct Process {
    store: BucketStore,
    clock: ManualBootClock,
    /// Millionths of true time.
    rate: u32,
    nonce: Nonce,
    /// The token, and until when it counts on it, by its own clock.
    held: Option<(FencingToken, BootInstant)>,
}

impl Process {
    async fn start(bucket: &Bucket, rng: &mut SmallRng) -> Self {
        // None is in step with another.
        let offset = Duration::from_secs(rng.random_range(0..1000));
        let clock = ManualBootClock::new(BootInstant::ZERO.saturating_add(offset));
        let config = config().call_limit(Duration::from_secs(1)).clock(clock.clock());
        let store = BucketStore::open(config, Arc::new(bucket.clone())).await.unwrap();
        let rate = rng.random_range(995_000..=1_005_000);
        Self { store, clock, rate, nonce: Nonce::generate(rng), held: None }
    }

    fn is_valid(&self) -> bool {
        self.held.is_some_and(|(_, until)| self.clock.now() < until)
    }

    async fn act(&mut self, action: u32, nonce: Nonce) {
        let sent = self.clock.now();
        let valid_until = sent.saturating_add(Margin::new().validity(TTL));
        if !self.is_valid() {
            self.held = None;
        }
        match (action, &mut self.held) {
            (0..4, None) => {
                let holder = HolderName::new("").unwrap();
                let terms = AcquireTerms { nonce: self.nonce, holder, ttl: TTL, floor: None };
                if let Ok(AcquireReply::Granted { token, .. }) =
                    self.store.acquire(&name(), &terms).await
                {
                    self.held = Some((token, valid_until));
                }
            }
            (0..4, Some((_, until))) => match self.store.renew(&name(), self.nonce).await {
                Ok(RenewReply::Renewed { .. }) => *until = valid_until.max(*until),
                Ok(_) => self.held = None,
                Err(_) => {}
            },
            (4, _) => {
                // It stops to count on it first.
                self.held = None;
                let _ = self.store.release(&name(), self.nonce).await;
                self.nonce = nonce;
            }
            (5, None) => self.nonce = nonce,
            _ => {
                let _ = self.store.observe(&name(), None).await;
            }
        }
    }
}

fn some_fault(rng: &mut SmallRng) -> (&'static str, Fault) {
    match rng.random_range(0..9) {
        0 => ("get", Fault::Busy),
        1 => ("get", Fault::Stale(rng.random_range(1..5))),
        2 => ("put", Fault::Busy),
        3 => ("put", Fault::Conflict),
        4 => ("put", Fault::AnswerLost),
        5 => ("put", Fault::SentTwice),
        6 => ("put", Fault::DoneInSilence),
        7 => ("put", Fault::Silence),
        _ => ("put", Fault::Late),
    }
}

/// What is seen of one course.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    grants: usize,
    of_others: usize,
}

async fn course(seed: u64, kind: Kind) -> Seen {
    let mut rng = SmallRng::seed_from_u64(seed);
    let bucket = Bucket::of(kind);
    let mut processes = vec![];
    for _ in 0..3 {
        processes.push(Process::start(&bucket, &mut rng).await);
    }
    let (mut seen, mut last) = (Seen::default(), None::<(usize, FencingToken)>);
    for step in 0..150 {
        if rng.random_bool(0.3) {
            let (operation, fault) = some_fault(&mut rng);
            bucket.next(operation, fault, 1);
        }
        if rng.random_bool(0.1) {
            bucket.deliver();
        }
        let passes = Duration::from_millis(rng.random_range(0..3000));
        for process in &processes {
            process.clock.advance(passes * process.rate / 1_000_000);
        }
        // Some at once, in an order that the calls' own turns make.
        let before: Vec<_> = processes.iter().map(|process| process.held).collect();
        let actions: Vec<_> = (0..3).map(|_| rng.random_range(0..12_u32)).collect();
        let nonces: Vec<_> = (0..3).map(|_| Nonce::generate(&mut rng)).collect();
        let acts = processes.iter_mut().zip(&actions).zip(&nonces);
        let is_stopped = rng.next_u32() % 4;
        join_all(
            acts.enumerate()
                .filter(|(n, _)| *n as u32 != is_stopped)
                .map(|(_, ((process, action), nonce))| process.act(*action, *nonce)),
        )
        .await;
        let valid = processes.iter().filter(|process| process.is_valid()).count();
        assert!(valid <= 1, "seed {seed}, step {step}: {valid} hold it at once");
        let mut granted: Vec<_> = processes
            .iter()
            .enumerate()
            .filter(|(n, process)| {
                before[*n].is_none() || process.held.is_none() || {
                    before[*n].map(|(token, _)| token) != process.held.map(|(token, _)| token)
                }
            })
            .filter_map(|(n, process)| process.held.map(|(token, _)| (token, n)))
            .collect();
        granted.sort_unstable();
        for (token, n) in granted {
            // The same again is the same grant, repeated by its nonce.
            if let Some((by, last)) = last {
                assert!(token > last || (token == last && by == n), "seed {seed}, step {step}");
                seen.of_others += usize::from(by != n);
            }
            last = Some((n, token));
            seen.grants += 1;
        }
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn in_no_course_do_two_hold_a_lease_at_once_or_do_tokens_go_back() {
    let mut all = Seen::default();
    for seed in 0..200 {
        for kind in [Kind::Counted, Kind::Hashed, Kind::Numbered, Kind::Silent] {
            let seen = course(seed, kind).await;
            all.grants += seen.grants;
            all.of_others += seen.of_others;
        }
    }
    // Courses in which nothing happens prove nothing.
    assert!(all.grants > 5000 && all.of_others > 2000, "{all:?}");
}
