//! The five processes, and what is done to them.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use steadfast::{phi::Status, quorum::Decision};
use steadfast_chaos::process::Child;
use tokio::{
    net::UdpSocket,
    time::{Instant, sleep},
};

use crate::{
    Failure, MEMBERS,
    log::{Heard, Log},
    panel::Panel,
    wire::Message,
};

/// Far longer than anything here takes that is waited for.
const LIMIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// Dropping it kills them.
pub(crate) struct Stage {
    members: Vec<Child>,
    socket: Arc<UdpSocket>,
    pub(crate) log: Log,
    pub(crate) panel: Panel,
}

impl Stage {
    /// Starts five processes, and tells each where the others are.
    pub(crate) async fn start() -> Result<Self, Failure> {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        let parent = socket.local_addr()?.to_string();
        let start = |id: usize| Child::spawn(["--member", &id.to_string(), &parent]);
        let members = (0..MEMBERS).map(start).collect::<Result<Vec<_>, _>>()?;
        let log = Log::default();
        tokio::spawn(log.clone().listen(Arc::clone(&socket)));
        let panel = Panel::show(log.clone());
        let stage = Self { members, socket, log, panel };
        let addresses: Vec<_> = stage.members.iter().map(Child::address).collect();
        for id in 0..MEMBERS {
            stage.tell(id, Message::Peers(addresses.clone())).await?;
        }
        Ok(stage)
    }

    /// Stops a process, or lets it go on.
    pub(crate) fn stop(&mut self, id: usize, is_stopped: bool) -> Result<(), Failure> {
        let member = &mut self.members[id];
        Ok(if is_stopped { member.pause() } else { member.resume() }?)
    }

    pub(crate) fn kill(&mut self, id: usize) -> Result<(), Failure> {
        Ok(self.members[id].kill()?)
    }

    /// Cuts the way from one to another, or heals it. The way back stays as it is.
    pub(crate) async fn cut(&self, from: usize, to: usize, is_cut: bool) -> Result<(), Failure> {
        self.tell(from, Message::Cut(to, is_cut)).await
    }

    /// Waits until all trust each other and say so. Says how long that took.
    pub(crate) async fn all_well(&self) -> Result<Duration, Failure> {
        let start = Instant::now();
        loop {
            let now = Instant::now();
            if is_well(&self.log.lock(), now) {
                return Ok(now - start);
            }
            if now - start > LIMIT {
                return Err(format!("not all trust each other after {LIMIT:?}").into());
            }
            sleep(LOOK).await;
        }
    }

    async fn tell(&self, id: usize, message: Message) -> Result<(), Failure> {
        let text = message.to_string();
        self.socket.send_to(text.as_bytes(), self.members[id].address()).await?;
        Ok(())
    }
}

fn is_well(heard: &Heard, now: Instant) -> bool {
    (0..MEMBERS).all(|peer| {
        let mut observers = 0;
        heard.held(peer, now).all(|(observer, held)| {
            observers += 1;
            let is_trusted = observer == peer || held.status == Status::Trusted;
            is_trusted && held.decision == Decision::Lost
        }) && observers == MEMBERS
    })
}
