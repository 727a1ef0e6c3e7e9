//! The task of a proxy: it accepts connections, and closes its port while the link is cut.

use std::{io, sync::Arc, time::Duration};

use steadfast_core::TimeSource;
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::sleep,
};

use super::{
    ProxyConfig,
    carry::Passage,
    counters::Counters,
    port::Port,
    settings::{Fate, Settings},
    watch_settings::Watch,
};

/// After a failed accept, mostly for want of file descriptors: it would fail again at once.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Acceptor {
    config: ProxyConfig,
    port: Port,
    listener: Option<TcpListener>,
    places: Arc<Semaphore>,
    counters: Arc<Counters>,
    /// The newest settings that have had their effect here.
    seen: watch::Sender<u64>,
    // Last: its drop tells that all else is gone.
    watch: Watch,
}

impl Acceptor {
    pub(super) fn new(
        config: ProxyConfig,
        (port, listener): (Port, TcpListener),
        settings: &watch::Sender<Settings>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            places: Arc::new(Semaphore::new(config.connections)),
            config,
            port,
            listener: Some(listener),
            counters,
            seen: watch::Sender::new(0),
            watch: Watch::new(settings),
        }
    }

    pub(super) fn seen(&self) -> watch::Receiver<u64> {
        self.seen.subscribe()
    }

    pub(super) async fn run(mut self) {
        loop {
            let settings = self.watch.latest();
            if settings.is_over {
                return;
            }
            if settings.is_cut {
                self.listener = None;
            } else if self.listener.is_none() {
                // Where no socket holds the port, it may be lost for a while.
                self.listener = self.port.listen().ok();
            }
            if settings.is_cut || self.listener.is_some() {
                self.seen.send_replace(settings.version);
            }
            let accepted = select! {
                biased;
                changed = self.watch.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                accepted = accept(self.listener.as_ref(), &self.places), if !settings.is_cut => {
                    accepted
                }
            };
            match accepted {
                Ok((client, place)) => self.admit(client, place),
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    fn admit(&self, client: TcpStream, place: OwnedSemaphorePermit) {
        let settings = self.watch.hold();
        let birth = settings.birth();
        let number = self.counters.accepted();
        if settings.fate(birth) != Fate::Carried {
            // The link was cut between the accept and now.
            let _ = client.set_zero_linger();
            self.counters.reset();
            self.counters.ended();
            return;
        }
        let passage = Passage {
            upstream: self.config.upstream,
            buffer: self.config.buffer,
            window: self.config.window,
            seed: self.config.seed,
            number,
            accepted: TimeSource::Tokio.now(),
            birth,
            watch: self.watch.clone(),
            counters: Arc::clone(&self.counters),
            has_heard_all: [false; 2],
            _alive: (place, settings.alive.subscribe()),
        };
        drop(settings);
        tokio::spawn(passage.carry(client));
    }
}

/// Waits for a place first: what is not accepted waits with the system.
async fn accept(
    listener: Option<&TcpListener>,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let Some(listener) = listener else { return Err(io::ErrorKind::AddrInUse.into()) };
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (client, _) = listener.accept().await?;
    Ok((client, place))
}
