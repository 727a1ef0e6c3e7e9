//! One connection, from its accept to its end.

use std::{
    future::{pending, poll_fn},
    io,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Instant,
};

use tokio::{
    net::{TcpSocket, TcpStream},
    select,
    sync::{OwnedSemaphorePermit, watch},
    time::sleep_until,
};

use super::{
    counters::Counters,
    end::End,
    pump::{Pump, Stop},
    settings::{Birth, Fate},
    watch_settings::Watch,
};
use crate::{Direction, draw::Stream};

/// What a connection knows of its proxy, which it keeps alive no longer than it is.
#[derive(Debug)]
pub(super) struct Passage {
    pub(super) upstream: SocketAddr,
    pub(super) buffer: usize,
    pub(super) window: usize,
    pub(super) seed: u64,
    pub(super) number: u64,
    pub(super) accepted: Instant,
    pub(super) birth: Birth,
    pub(super) watch: Watch,
    pub(super) counters: Arc<Counters>,
    /// Whether each direction had come to its end when an end of the connection was lost.
    pub(super) has_heard_all: [bool; 2],
    /// Dropped when the connection has ended, and not before.
    pub(super) _alive: (OwnedSemaphorePermit, watch::Receiver<()>),
}

impl Passage {
    /// Ends with both sockets closed.
    pub(super) async fn carry(mut self, mut client: TcpStream) {
        // The two ends do their own batching: what comes is passed on.
        let _ = client.set_nodelay(true);
        let mut server = None;
        let fate = match self.reach(&mut server).await {
            Fate::Carried => self.converse(&mut client, &mut server).await,
            fate => fate,
        };
        match fate {
            Fate::Carried | Fate::Over => {}
            Fate::Cut => self.reset([Some(client), server]),
            Fate::HalfOpen { gone: End::Client } => {
                abort(Some(client));
                self.survive(server, Direction::Downstream).await;
            }
            Fate::HalfOpen { gone: End::Server } => {
                abort(server);
                self.survive(Some(client), Direction::Upstream).await;
            }
        }
        self.counters.ended();
    }

    /// Connects to the server, when a slow accept is over and the way there is no black hole.
    async fn reach(&mut self, server: &mut Option<TcpStream>) -> Fate {
        loop {
            let settings = self.watch.latest();
            let fate = settings.fate(self.birth);
            if fate != Fate::Carried {
                return fate;
            }
            let until = self.accepted.checked_add(settings.slow_accept);
            let is_black_hole = settings.way(Direction::Upstream).is_black_hole;
            let turn = async {
                match until {
                    Some(until) if !is_black_hole => sleep_until(until.into()).await,
                    _ => pending().await,
                }
            };
            select! {
                biased;
                changed = self.watch.changed() => if changed.is_err() { return Fate::Over },
                () = turn => break,
            }
        }
        let mut connecting = pin!(connect(self.upstream));
        loop {
            let fate = self.watch.latest().fate(self.birth);
            // A server may have accepted already: what a client leaves behind is a connection.
            if !matches!(fate, Fate::Carried | Fate::HalfOpen { gone: End::Client }) {
                return fate;
            }
            select! {
                biased;
                changed = self.watch.changed() => if changed.is_err() { return Fate::Over },
                connected = &mut connecting => match connected {
                    Ok(connected) => {
                        *server = Some(connected);
                        return fate;
                    }
                    Err(_) => {
                        self.counters.unreachable();
                        return self.refuse().await;
                    }
                },
            }
        }
    }

    /// The server refuses. The client hears of it, as a reset, when the way back is no black hole.
    async fn refuse(&mut self) -> Fate {
        loop {
            let settings = self.watch.latest();
            let fate = settings.fate(self.birth);
            if fate != Fate::Carried {
                return fate;
            }
            if !settings.way(Direction::Downstream).is_black_hole {
                return Fate::Cut;
            }
            if self.watch.changed().await.is_err() {
                return Fate::Over;
            }
        }
    }

    /// Carries bytes both ways: carried, when both streams have ended.
    async fn converse(&mut self, client: &mut TcpStream, server: &mut Option<TcpStream>) -> Fate {
        let Some(server) = server else { return Fate::Cut };
        let number = self.number.to_string();
        let pump = |direction: Direction| {
            let chances = Stream::new(self.seed, &["proxy", &number, direction.name()]).sequence();
            Pump::new(direction, (self.buffer, self.window), chances, Arc::clone(&self.counters))
        };
        let (mut up, mut down) = (pump(Direction::Upstream), pump(Direction::Downstream));
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        loop {
            let settings = self.watch.latest();
            let fate = settings.fate(self.birth);
            if fate != Fate::Carried {
                self.has_heard_all = [up.has_heard_all(), down.has_heard_all()];
                return fate;
            }
            up.adopt(&settings);
            down.adopt(&settings);
            let (changes, gate) = self.watch.gate(settings.version);
            let carried = poll_fn(|cx| {
                loop {
                    let to = up.poll(cx, &mut from_client, &mut to_server, gate)?;
                    let fro = down.poll(cx, &mut from_server, &mut to_client, gate)?;
                    if !down.learn(&up) && !up.learn(&down) {
                        let is_over = to.is_ready() && fro.is_ready();
                        return if is_over { Poll::Ready(Ok(())) } else { Poll::Pending };
                    }
                }
            });
            select! {
                biased;
                changed = changes.wait() => if changed.is_err() { return Fate::Over },
                carried = carried => match carried {
                    Ok(()) => return Fate::Carried,
                    Err(Stop::Broken) => return Fate::Cut,
                    Err(Stop::Changed) => {}
                },
            }
        }
    }

    /// One end is left, and not told. It is reset as soon as it sends something, if neither way is
    /// a black hole: so a host answers that was started again and knows of no connection.
    async fn survive(&mut self, survivor: Option<TcpStream>, direction: Direction) {
        let Some(survivor) = survivor else { return };
        loop {
            let settings = self.watch.latest();
            match settings.fate(self.birth) {
                Fate::Carried | Fate::HalfOpen { .. } => {}
                Fate::Cut => return self.reset([Some(survivor), None]),
                Fate::Over => return,
            }
            let sends = async {
                let ways = [Direction::Upstream, Direction::Downstream];
                let is_black_hole = ways.iter().any(|way| settings.way(*way).is_black_hole);
                // The end of its stream can be read again and again, and is nothing new.
                if is_black_hole || self.has_heard_all[direction as usize] {
                    pending::<()>().await;
                }
                // What can be read is what it has sent, or its end.
                survivor.peek(&mut [0]).await
            };
            select! {
                biased;
                changed = self.watch.changed() => if changed.is_err() { return },
                _ = sends => return self.reset([Some(survivor), None]),
            }
        }
    }

    fn reset(&self, sockets: [Option<TcpStream>; 2]) {
        self.counters.reset();
        sockets.into_iter().for_each(abort);
    }
}

/// If this is dropped, the server may have accepted already, and sees a reset.
async fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = match server {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_zero_linger()?;
    let connected = socket.connect(server).await?;
    let _ = connected.set_nodelay(true);
    #[expect(deprecated, reason = "it would block the thread that drops it, but for `None`")]
    connected.set_linger(None)?;
    Ok(connected)
}

/// Closes a socket with a reset in place of an end of its stream. What it has not sent is not sent.
fn abort(socket: Option<TcpStream>) {
    // It fails on a socket that was reset already.
    let _ = socket.map(|socket| socket.set_zero_linger());
}
