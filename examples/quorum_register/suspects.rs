//! Five observers vote on who is dead.

use std::time::Duration;

use steadfast::clock::Hlc;
use steadfast_chaos::{Network, process::Child};
use tokio::{
    task::block_in_place,
    time::{Instant, sleep, timeout},
};

use crate::{Failure, NODES, checker::LIMIT, jury::Jury, observer, peer::Peer};

const ALL: [usize; NODES] = [0, 1, 2, 3, 4];

/// The observer that is stopped, the only one that may ever be dead.
const STOPPED: usize = 2;

/// The observer whose way to the others is cut. Their way to it is not.
const CUT_OFF: usize = 4;

pub(crate) const PAUSE: Duration = Duration::from_millis(20);

pub(crate) async fn show() -> Result<(), Failure> {
    println!("Five observers: one that three others suspect is dead, and a suspect has no vote.");
    let start = |id: usize| Child::spawn(["--observer".to_owned(), id.to_string()]);
    let mut observers = block_in_place(|| (0..NODES).map(start).collect::<Result<Vec<_>, _>>())?;
    let network = introduce(&observers).await?;
    let peers = Peer::all(Hlc::default(), observers.iter().map(Child::address))?;
    let took = agree(&peers, &ALL, &ALL, "Lost").await?;
    println!("  all well     all say of all that they live, after {took:.1?}");
    let jury = Jury::watch(peers.clone(), STOPPED);
    stopped(&mut observers[STOPPED], &peers).await?;
    cut_off(&network, &peers).await?;
    let looks = jury.end().await?;
    println!("All the while, in {looks} looks at what they say, none was convicted but {STOPPED}.");
    Ok(())
}

/// Tells each observer where the others are. The one that is to be cut off reaches them by links.
async fn introduce(observers: &[Child]) -> Result<Network, Failure> {
    let mut network = Network::new();
    for (id, peer) in
        Peer::all(Hlc::default(), observers.iter().map(Child::address))?.iter().enumerate()
    {
        let mut reached = Vec::new();
        for address in observers.iter().map(Child::address) {
            let by_link = id == CUT_OFF;
            let address =
                if by_link { network.link("cut off", "others", address)? } else { address };
            reached.push(address.to_string());
        }
        peer.put("/peers", reached.join(" ")).await?;
    }
    Ok(network)
}

async fn stopped(observer: &mut Child, peers: &[Peer]) -> Result<(), Failure> {
    let others = all_but(STOPPED);
    block_in_place(|| observer.pause())?;
    let took = agree(peers, &others, &[STOPPED], "Won").await?;
    agree(peers, &others, &others, "Lost").await?;
    println!("  {STOPPED} stopped    the others say that it is dead, after {took:.1?}");
    observer.resume()?;
    let took = agree(peers, &ALL, &ALL, "Lost").await?;
    println!("  {STOPPED} goes on    all say of all that they live, after {took:.1?}");
    Ok(())
}

async fn cut_off(network: &Network, peers: &[Peer]) -> Result<(), Failure> {
    let others = all_but(CUT_OFF);
    network.cut(&["cut off"], &["others"]).await?;
    let took = until(async || Ok(suspects(peers, CUT_OFF).await? == others)).await?;
    // It hears no other any more. The others hear it, for they ask.
    agree(peers, &[CUT_OFF], &others, "Pending").await?;
    agree(peers, &others, &ALL, "Lost").await?;
    println!(
        "  {CUT_OFF} cut off    it suspects all others, after {took:.1?}, and is outvoted by them; by itself it convicts none"
    );
    network.heal().await;
    let took = agree(peers, &ALL, &ALL, "Lost").await?;
    println!("  healed       all say of all that they live, after {took:.1?}");
    Ok(())
}

fn all_but(one: usize) -> Vec<usize> {
    ALL.into_iter().filter(|id| *id != one).collect()
}

/// Waits until each of `observers` decides so of each of `suspects`. Says how long that took.
async fn agree(
    peers: &[Peer],
    observers: &[usize],
    suspects: &[usize],
    decision: &str,
) -> Result<Duration, Failure> {
    until(async || {
        for observer in observers {
            let verdicts = verdicts(&peers[*observer]).await?;
            if suspects
                .iter()
                .any(|suspect| verdicts.get(*suspect).is_none_or(|verdict| verdict != decision))
            {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await
    .map_err(|failure| {
        format!("{observers:?} never agreed on {decision} of {suspects:?}: {failure}").into()
    })
}

async fn until(holds: impl AsyncFn() -> Result<bool, Failure>) -> Result<Duration, Failure> {
    let start = Instant::now();
    let look = async {
        while !holds().await? {
            sleep(PAUSE).await;
        }
        Ok(Instant::now() - start)
    };
    timeout(LIMIT, look).await?
}

/// What an observer's votes say of each node.
pub(crate) async fn verdicts(peer: &Peer) -> Result<Vec<String>, Failure> {
    Ok(peer.get("/verdicts").await?.split(' ').map(str::to_owned).collect())
}

/// Whom an observer suspects itself.
async fn suspects(peers: &[Peer], observer: usize) -> Result<Vec<usize>, Failure> {
    let reports = peers[observer].get("/reports").await?;
    let suspected = observer::parse(observer, &reports).filter(|report| report.suspected);
    Ok(suspected.map(|report| report.suspect).collect())
}
