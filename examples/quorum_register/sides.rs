//! The nodes, and a client on either side of links that can be cut.

use std::net::SocketAddr;

use steadfast::{
    clock::{Hlc, NodeId},
    quorum::{NodeSet, ReadWrite, Threshold},
};
use steadfast_chaos::{Network, process::Child};
use tokio::task::block_in_place;

use crate::{Failure, NODES, checker::Checker, peer::Peer, register::Register};

/// Which nodes each side has.
pub(crate) const SIDE_A: [usize; 3] = [0, 1, 2];
const SIDE_B: [usize; 2] = [3, 4];

pub(crate) struct Sides {
    // Dropping them kills them.
    nodes: Vec<Child>,
    /// Links from the client of each side to the nodes of the other.
    network: Network,
    /// The client on the side of the many.
    pub(crate) a: Register,
    /// The client on the side of the few.
    pub(crate) b: Register,
    pub(crate) checker: Checker,
}

impl Sides {
    pub(crate) fn start(rules: ReadWrite<Threshold>) -> Result<Self, Failure> {
        let nodes = block_in_place(|| {
            (0..NODES).map(|_| Child::spawn(["--node"])).collect::<Result<Vec<_>, _>>()
        })?;
        let mut network = Network::new();
        let mut to_b = |node: usize| Ok(network.link("A", "B", nodes[node].address())?);
        let a = client(rules, NodeId(1), &nodes, &SIDE_A, (&SIDE_B, &mut to_b))?;
        let mut to_a = |node: usize| Ok(network.link("B", "A", nodes[node].address())?);
        let b = client(rules, NodeId(2), &nodes, &SIDE_B, (&SIDE_A, &mut to_a))?;
        let checker = Checker::start(&a, &b);
        Ok(Self { nodes, network, a, b, checker })
    }

    /// Cuts the sides off from each other, and returns when nothing is carried between them any
    /// more.
    pub(crate) async fn cut(&self) -> Result<(), Failure> {
        Ok(self.network.cut(&["A"], &["B"]).await?)
    }

    pub(crate) async fn heal(&self) {
        self.network.heal().await;
    }

    pub(crate) fn pause(&mut self, node: usize) -> Result<(), Failure> {
        Ok(block_in_place(|| self.nodes[node].pause())?)
    }

    pub(crate) fn resume(&mut self, node: usize) -> Result<(), Failure> {
        Ok(self.nodes[node].resume()?)
    }

    pub(crate) fn kill(&mut self, node: usize) -> Result<(), Failure> {
        Ok(block_in_place(|| self.nodes[node].kill())?)
    }

    /// Stops the load, waits for the writes in the background, and judges what was read.
    pub(crate) async fn end(self) -> Result<(), Failure> {
        let Self { a, b, checker, .. } = self;
        checker.end().await?;
        a.background.shutdown().await;
        b.background.shutdown().await;
        let (a, b) = (a.background.snapshot(), b.background.snapshot());
        println!(
            "  In the background {} writes have reached every node, or every node's end; {} were given up.",
            a.finished + b.finished,
            a.timed_out + b.timed_out
        );
        match a.in_flight + b.in_flight {
            0 => Ok(()),
            left => Err(format!("{left} writes are still under way").into()),
        }
    }
}

/// A client that reaches the nodes `here` directly, prefers them, and reaches those `there` by the
/// links it makes.
fn client(
    rules: ReadWrite<Threshold>,
    id: NodeId,
    nodes: &[Child],
    here: &[usize],
    (there, link): (&[usize], &mut dyn FnMut(usize) -> Result<SocketAddr, Failure>),
) -> Result<Register, Failure> {
    let direct = here.iter().map(|node| Ok(nodes[*node].address()));
    let linked = there.iter().map(|node| link(*node));
    let addresses = direct.chain(linked).collect::<Result<Vec<_>, Failure>>()?;
    let hlc = Hlc::default();
    let peers = here.iter().chain(there).copied().zip(Peer::all(hlc.clone(), addresses)?);
    Register::new(id, hlc, rules, &peers.collect::<Vec<_>>())
}

pub(crate) fn set<const N: usize>(nodes: [usize; N]) -> Result<NodeSet, Failure> {
    Ok(NodeSet::of(nodes)?)
}
