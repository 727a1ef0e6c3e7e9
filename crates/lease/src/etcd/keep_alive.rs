//! The one stream that keeps all leases alive.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use futures_util::{StreamExt, stream};
use steadfast_core::parts::lock;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    api::{self, Answer},
    failure::Failure,
    servers::{Servers, Way},
};

/// Renewals of all leases go over one stream, whose task ends with the stream or this. It is opened
/// by the first renewal, and again by the next when it has ended or its server is left.
#[derive(Default)]
pub(super) struct KeepAlive {
    /// No panic leaves it half changed.
    line: Mutex<Option<Line>>,
}

struct Line {
    turn: usize,
    asks: mpsc::UnboundedSender<Ask>,
    task: JoinHandle<()>,
}

struct Ask {
    lease: i64,
    tell: Teller,
}

type Teller = oneshot::Sender<Result<api::Lease, Failure>>;

/// Who waits for which lease, in the order of what was sent: a server answers in that order, and an
/// answer to an earlier renewal must not be taken for one to a later, which counts from later.
type Waiting = Arc<Mutex<HashMap<i64, VecDeque<Teller>>>>;

impl KeepAlive {
    /// Has a lease last for a whole TTL from now on. Without a TTL in the answer it is over.
    ///
    /// An expired lease that the server has not removed yet holds up the answer until it has, for
    /// half a second.
    pub(super) async fn renew(&self, servers: &Servers, lease: i64) -> Result<api::Lease, Failure> {
        let mut tries = 0;
        loop {
            let way = servers.way().await?;
            let turn = way.turn;
            let mut out = servers.out(turn);
            let (tell, told) = oneshot::channel();
            self.send(way.clone(), Ask { lease, tell });
            // A line that ends drops what it has not sent.
            let answer = told.await.unwrap_or_else(|_| Err(Failure::unanswered()));
            out.is_answered = true;
            match answer {
                Err(failure)
                    if tries < servers.count()
                        && (failure.is_of_server() || failure.is_stale_token()) =>
                {
                    if failure.is_stale_token() {
                        servers.forget_token(&way);
                    }
                    // The next try has a line of its own.
                    servers.leave(turn);
                    tries += 1;
                }
                answer => return answer,
            }
        }
    }

    fn send(&self, way: Way, mut ask: Ask) {
        let mut line = lock(&self.line);
        if let Some(line) = line.as_ref().filter(|line| line.turn == way.turn) {
            match line.asks.send(ask) {
                Ok(()) => return,
                Err(mpsc::error::SendError(back)) => ask = back,
            }
        }
        let (asks, asked) = mpsc::unbounded_channel();
        // Before the stream is opened: the server says nothing until it has heard something.
        let _ = asks.send(ask);
        let turn = way.turn;
        let task = tokio::spawn(run(way, asked));
        let before = line.replace(Line { turn, asks, task });
        drop(line);
        drop(before);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // A server that stands still would never end it.
        self.task.abort();
    }
}

async fn run(way: Way, asked: mpsc::UnboundedReceiver<Ask>) {
    let waiting = Waiting::default();
    let failure = match attend(&way, asked, &waiting).await {
        Ok(()) => Failure::unanswered(),
        Err(failure) => failure,
    };
    let tellers = std::mem::take(&mut *lock(&waiting));
    for teller in tellers.into_values().flatten() {
        let _ = teller.send(Err(failure.clone()));
    }
}

async fn attend(
    way: &Way,
    mut asked: mpsc::UnboundedReceiver<Ask>,
    waiting: &Waiting,
) -> Result<(), Failure> {
    let sent = Arc::clone(waiting);
    let asks = stream::poll_fn(move |cx| asked.poll_recv(cx));
    let messages = asks.map(move |Ask { lease, tell }| {
        lock(&sent).entry(lease).or_default().push_back(tell);
        api::lease(lease).finish()
    });
    let mut answers = way.stream(api::LEASE_KEEP_ALIVE, messages).await?;
    while let Some(message) = answers.message().await? {
        let answer = api::Lease::parse(message).map_err(|_| Failure::unanswered())?;
        let teller = {
            let mut waiting = lock(waiting);
            let queue = waiting.get_mut(&answer.id);
            let teller = queue.and_then(VecDeque::pop_front);
            if waiting.get(&answer.id).is_some_and(VecDeque::is_empty) {
                waiting.remove(&answer.id);
            }
            teller
        };
        if let Some(teller) = teller {
            // The caller may have gone.
            let _ = teller.send(Ok(answer));
        }
    }
    Ok(())
}
