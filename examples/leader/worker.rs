//! One of the processes that compete.

use std::{future::pending, time::Duration};

use steadfast::{
    BootClock, FencingToken,
    lease::{Election, HolderName, Leadership, LeaseClient, LeaseClientConfig, LeaseName},
};
use steadfast_chaos::process;
use tokio::time::sleep;

use crate::{
    Failure, TTL,
    account::{Account, Denied},
    act::Act,
    line::{Cue, Line},
    word::Word,
};

/// Between a read and the write that depends on it.
const THOUGHT: Duration = Duration::from_millis(30);
/// Between a write and the next read.
const PACE: Duration = Duration::from_millis(50);
/// For how long the lease must be good before a write.
const WRITE: Duration = Duration::from_millis(200);

/// Competes until it is killed. `args`: its name, where the stage is, the act, where the leases
/// are.
pub(crate) async fn compete(args: &[&str]) -> Result<(), Failure> {
    process::exit_when_orphaned();
    let [who, stage, act, place] = args else {
        return Err("a process needs a name, a stage, an act and a place".into());
    };
    let (act, line) = (Act::of(act).ok_or("no such act")?, Line::new(who, stage)?);
    let account = Account::reach(place, act, line.clone()).await?;
    let config = LeaseClientConfig::new().ttl(TTL).holder(HolderName::new(who)?);
    let client = LeaseClient::connect(config, place).await?;
    let election = Election::new(client, LeaseName::new(act.resource())?);
    // It serves nothing, and so has no port.
    process::announce_ready(0)?;
    if let Err(failure) = campaign(&election, &account, &line).await {
        let none = FencingToken::try_from(0_u64)?;
        line.say(none, Word::Failed { why: failure.to_string() }).await?;
    }
    pending().await
}

async fn campaign(election: &Election, account: &Account, line: &Line) -> Result<(), Failure> {
    loop {
        let leader = election.campaign(None).await?;
        line.say(leader.token(), Word::Leads).await?;
        if lead(&leader, account, line).await? == Cue::Exit {
            leader.resign().await?;
            return Ok(());
        }
    }
}

/// Adds one to the balance again and again, for as long as it leads.
///
/// `Election::lead` would drop this in time, wherever it waits. But a process may be stopped where
/// it does not wait, between any two instructions, and no library can look at the lease in between.
async fn lead(leader: &Leadership, account: &Account, line: &Line) -> Result<Cue, Failure> {
    let token = leader.token();
    let lost = loop {
        if let Err(lost) = leader.ensure(WRITE) {
            break lost;
        }
        let balance = match account.read(token).await {
            Ok(balance) => balance,
            Err(denied) => {
                rejected(denied, token, line).await?;
                sleep(PACE).await;
                continue;
            }
        };
        sleep(THOUGHT).await;
        // The check.
        if let Err(lost) = leader.ensure(WRITE) {
            break lost;
        }
        // Here the stage stops the process: its answer is there when it wakes.
        let good_until = BootClock::system().now().saturating_add(leader.remaining());
        let about = Word::AboutToWrite { balance, good_until };
        if line.say(token, about).await? == Cue::Exit {
            return Ok(Cue::Exit);
        }
        // The write.
        match account.write(token, balance + 1).await {
            Ok(()) => line.say(token, Word::Wrote { balance: balance + 1 }).await?,
            Err(denied) => rejected(denied, token, line).await?,
        };
        sleep(PACE).await;
    };
    line.say(token, Word::Deposed { why: lost.to_string() }).await
}

async fn rejected(denied: Denied, token: FencingToken, line: &Line) -> Result<Cue, Failure> {
    match denied {
        Denied::Fenced(why) => line.say(token, Word::Rejected { why }).await,
        Denied::Failed(failure) => Err(failure),
    }
}
