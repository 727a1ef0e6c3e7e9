//! The client: a register that reads and writes by quorums.

use std::time::Duration;

use axum::http::{Request, Response, StatusCode};
use steadfast::{
    Classify, Deadline, Detach, DetachConfig, Verdict,
    clock::{Hlc, NodeId, Stamp},
    http::{HttpClassifier, HttpContext},
    quorum::{Answers, CallConfig, Hedge, NewestTally, QuorumCall, ReadWrite, Rule, Threshold},
};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::{
    Failure,
    denied::Denied,
    entry::Entry,
    peer::{self, Peer},
};

/// How long a read or a write may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// How long the writes that a call no longer waits for may take. A node that has stood still for
/// longer is left to read repair.
const BACKGROUND: Duration = Duration::from_secs(1);

pub(crate) type Replies = Answers<peer::Response, peer::Error>;
type Reads = QuorumCall<Peer, NothingIsAnAnswer, HttpContext>;
type Writes = QuorumCall<Peer, HttpClassifier, HttpContext, Detach>;

/// One client's way to the nodes. Clones share it.
#[derive(Clone)]
pub(crate) struct Register {
    id: NodeId,
    hlc: Hlc,
    rules: ReadWrite<Threshold>,
    reads: Reads,
    reads_of_one: Reads,
    writes: Writes,
    pub(crate) background: Detach,
}

impl Register {
    /// Over `peers`, those named first preferred for reads. Whatever this client writes is stamped
    /// with `id`.
    pub(crate) fn new(
        id: NodeId,
        hlc: Hlc,
        rules: ReadWrite<Threshold>,
        peers: &[(usize, Peer)],
    ) -> Result<Self, Failure> {
        let background = Detach::new(DetachConfig::new().limit(BACKGROUND))?;
        let nodes = || peers.iter().cloned();
        // Reads ask a quorum, and one node more if that takes longer than it mostly does.
        let read =
            CallConfig::hedged(Hedge::new(Duration::from_millis(2), Duration::from_millis(50)))
                .named("read");
        let reads = QuorumCall::new(*rules.read(), nodes(), read)?;
        let reads_of_one =
            QuorumCall::new(Threshold::of(1, peers.len())?, nodes(), CallConfig::quorum_first())?;
        // Writes should get to every node, though a quorum is waited for.
        let write = CallConfig::all_at_once().named("write");
        let writes = QuorumCall::new(*rules.write(), nodes(), write)?;
        Ok(Self {
            id,
            hlc,
            rules,
            reads: reads.http().classify(NothingIsAnAnswer),
            reads_of_one: reads_of_one.http().classify(NothingIsAnAnswer),
            writes: writes.http().on_decided(background.clone()),
            background,
        })
    }

    /// Writes `value`. Acknowledged, it is seen by every read that begins from now on.
    pub(crate) async fn write(&self, key: &str, value: &str) -> Result<Stamp, Denied> {
        let deadline = deadline();
        let entry = self.stamp(key, value, deadline).await?;
        self.store(key, &entry, deadline).await?;
        Ok(entry.stamp)
    }

    /// Writes as a client does that dies when it has reached one node, the first.
    pub(crate) async fn write_half(&self, key: &str, value: &str) -> Result<(), Failure> {
        let entry = self.stamp(key, value, deadline()).await?;
        let (_, first) = self.reads.nodes().next().ok_or("there are nodes")?;
        first.put(&format!("/keys/{key}"), entry.to_string()).await?;
        Ok(())
    }

    /// The newest value a quorum holds, if there is one. It is nowhere lost again: a quorum holds
    /// it, or is made to, before this returns.
    pub(crate) async fn read(&self, key: &str) -> Result<Option<Entry>, Denied> {
        let deadline = deadline();
        let mut tally = NewestTally::new(*self.rules.read());
        for (node, response) in ask(&self.reads, key, deadline).await?.into_replies() {
            let entry = entry(node, response).await?;
            // No write is older than any.
            let _ = tally.reply(node, entry.as_ref().map(|entry| entry.stamp), entry);
        }
        let current = tally.current();
        let Some((_, Some(newest))) = tally.into_newest() else { return Ok(None) };
        if !self.rules.write().is_quorum(current) {
            // Otherwise the next read might meet none of the nodes that hold it, and go back in
            // time.
            self.store(key, &newest, deadline).await?;
        }
        Ok(Some(newest))
    }

    /// What the first node that answers holds: r = 1, so r + w is not above n, and it may be old.
    pub(crate) async fn read_one(&self, key: &str) -> Result<Option<Entry>, Denied> {
        let replies = ask(&self.reads_of_one, key, deadline()).await?;
        match replies.into_replies().next() {
            Some((node, response)) => entry(node, response).await,
            None => Ok(None),
        }
    }

    /// Stamps a write. What comes back with a quorum's answers is their hybrid time: the next tick
    /// is above every stamp that these nodes hold, whichever client made it.
    async fn stamp(&self, key: &str, value: &str, deadline: Deadline) -> Result<Entry, Denied> {
        ask(&self.reads, key, deadline).await?;
        Ok(Entry { stamp: Stamp::new(self.hlc.tick(), self.id), value: value.to_owned() })
    }

    async fn store(&self, key: &str, entry: &Entry, deadline: Deadline) -> Result<Replies, Denied> {
        let request =
            Request::put(format!("/keys/{key}")).extension(deadline).body(entry.to_string().into());
        let request = request.expect("keys here are words");
        self.writes.clone().oneshot(request).await.map_err(|error| Denied::Storing(Box::new(error)))
    }
}

fn deadline() -> Deadline {
    Deadline::after(Instant::now().into_std(), PATIENCE)
}

async fn ask(reads: &Reads, key: &str, deadline: Deadline) -> Result<Replies, Denied> {
    let request = Request::get(format!("/keys/{key}")).extension(deadline).body("".into());
    let request = request.expect("keys here are words");
    reads.clone().oneshot(request).await.map_err(|error| Denied::Asking(Box::new(error)))
}

/// What a node said it holds.
async fn entry(node: usize, response: peer::Response) -> Result<Option<Entry>, Denied> {
    if response.status() == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    let entry = peer::text(response).await.and_then(|text| text.parse());
    entry.map(Some).map_err(|_| Denied::Garbled(node))
}

/// A node that holds nothing has answered.
#[derive(Clone, Copy)]
struct NothingIsAnAnswer;

impl<B, E: steadfast::Failure> Classify<Response<B>, E> for NothingIsAnAnswer {
    fn classify(&self, outcome: Result<&Response<B>, &E>) -> Verdict {
        match outcome {
            Ok(response) if response.status() == StatusCode::NOT_FOUND => Verdict::Success,
            _ => HttpClassifier.classify(outcome),
        }
    }
}
