//! One server, one proxy, one silence.

use std::time::Duration;

use steadfast_chaos::{
    Delay,
    Direction::{Downstream, Upstream},
    FaultProxy, ProxyConfig,
    process::Child,
};
use tokio::{task::block_in_place, time::sleep};

use crate::{
    Failure,
    client::{Client, PATIENCE},
    journal::Place,
    silence::Silence,
};

/// Longer than any of this takes: what is late comes when the silence ends.
const LATE: Duration = Duration::from_secs(60);
/// For so long the server is busy: longer than the client waits.
const BUSY: Duration = Duration::from_millis(1000);
/// After so long all that is under way has come to its end.
const SETTLE: Duration = Duration::from_millis(800);

/// How the client asks.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    Once,
    Again,
    Keyed,
}

/// What came of it.
pub(crate) struct Seen {
    /// What the client saw.
    pub(crate) answer: String,
    /// How often the server had executed the order when the client first gave up.
    pub(crate) executed_then: usize,
    /// And in the end.
    pub(crate) executed: usize,
}

struct Stage {
    silence: Silence,
    journal: Place,
    server: Child,
    network: FaultProxy,
}

/// Plays one silence to a client that asks in one way.
pub(crate) async fn play(silence: Silence, way: Way) -> Result<Seen, Failure> {
    let mut stage = Stage::set(silence)?;
    let client = Client::of(stage.network.address());
    stage.fall_silent()?;
    let (answer, executed_then) = match way {
        Way::Keyed => {
            let asked = tokio::spawn(async move { client.ask_until_answered().await });
            sleep(PATIENCE + Duration::from_millis(100)).await;
            let executed_then = stage.journal.executed()?;
            stage.speak().await?;
            (asked.await??, executed_then)
        }
        Way::Once | Way::Again => {
            let first = client.ask().await?;
            let executed_then = stage.journal.executed()?;
            stage.speak().await?;
            let answer = if matches!(way, Way::Again) { client.ask().await? } else { first };
            (answer, executed_then)
        }
    };
    sleep(SETTLE).await;
    Ok(Seen { answer, executed_then, executed: stage.journal.executed()? })
}

impl Stage {
    fn set(silence: Silence) -> Result<Self, Failure> {
        let journal = Place::new()?;
        let server = start(&journal, 0, silence)?;
        let network = FaultProxy::bind(ProxyConfig::new(server.address()))?;
        Ok(Self { silence, journal, server, network })
    }

    /// From now on nothing is heard of the server.
    fn fall_silent(&mut self) -> Result<(), Failure> {
        match self.silence {
            Silence::RequestLost => self.network.black_hole(Upstream),
            Silence::Queued => self.network.delay(Upstream, Delay::of(LATE)),
            Silence::Crashed => {
                // A machine that is gone refuses no connection: there is nothing left to refuse it.
                self.network.black_hole(Upstream);
                self.network.black_hole(Downstream);
                block_in_place(|| self.server.kill())?;
            }
            // The server is so by itself.
            Silence::Busy => {}
            Silence::ReplyLost => self.network.black_hole(Downstream),
            Silence::ReplyLate => self.network.delay(Downstream, Delay::of(LATE)),
        }
        Ok(())
    }

    /// Ends the silence. What was lost is gone; what is late comes now.
    async fn speak(&mut self) -> Result<(), Failure> {
        match self.silence {
            Silence::RequestLost | Silence::ReplyLost => self.network.cut().await,
            Silence::Crashed => {
                self.network.cut().await;
                self.server = start(&self.journal, self.server.port(), self.silence)?;
            }
            Silence::Queued | Silence::Busy | Silence::ReplyLate => {}
        }
        self.network.heal().await;
        Ok(())
    }
}

fn start(journal: &Place, port: u16, silence: Silence) -> Result<Child, Failure> {
    let busy = if silence == Silence::Busy { BUSY } else { Duration::ZERO };
    let path = journal.path().to_str().ok_or("the temporary directory has no name")?;
    let args = ["--server", path, &port.to_string(), &busy.as_millis().to_string()];
    Ok(block_in_place(|| Child::spawn(args))?)
}
