//! The workers, as processes.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use steadfast::{BootClock, BootInstant};
use steadfast_chaos::process::Child;
use tokio::task::block_in_place;

use crate::{
    Failure, SEATS,
    history::{History, Span, Stand},
    links::Links,
    place::Place,
};

pub(crate) struct Troupe {
    pub(crate) place: Place,
    pub(crate) links: Links,
    pub(crate) history: Mutex<History>,
    seed: u64,
    stage: SocketAddr,
    members: Mutex<Members>,
}

/// By seat: a worker's number is `SEATS · n + seat`, of which `n` counts the processes.
#[derive(Default)]
struct Members {
    begun: u32,
    seats: BTreeMap<u32, Member>,
}

struct Member {
    number: u32,
    child: Child,
    stands_since: Option<BootInstant>,
}

impl Troupe {
    /// All seats are taken.
    pub(crate) fn assemble(
        place: Place,
        links: Links,
        seed: u64,
        stage: SocketAddr,
    ) -> Result<Arc<Self>, Failure> {
        let (history, members) = (Mutex::default(), Mutex::default());
        let troupe = Self { place, links, history, seed, stage, members };
        (0..SEATS).try_for_each(|seat| troupe.start(seat))?;
        Ok(Arc::new(troupe))
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new process takes this seat.
    pub(crate) fn start(&self, seat: u32) -> Result<(), Failure> {
        let number = {
            let mut members = self.members();
            members.begun += 1;
            members.begun * SEATS + seat
        };
        let [leases, registers] = self.links.urls(&self.place, seat);
        let (worker, seed) = (number.to_string(), self.seed.to_string());
        let stage = self.stage.to_string();
        let args = ["--worker", &worker, &seed, &stage, &leases, &registers];
        let child = block_in_place(|| Child::spawn(args))?;
        self.members().seats.insert(seat, Member { number, child, stands_since: None });
        Ok(())
    }

    /// Kills the process of a seat, stopped or not.
    pub(crate) fn kill(&self, seat: u32) {
        let member = self.members().seats.remove(&seat);
        // It dies with this.
        block_in_place(|| drop(member));
    }

    /// Stops a worker, and returns once it stands still. False if it does already, or is dead.
    pub(crate) fn stop(&self, number: u32) -> bool {
        let mut members = self.members();
        let Some(member) = members.of(number) else { return false };
        if member.stands_since.is_some() || block_in_place(|| member.child.pause()).is_err() {
            return false;
        }
        member.stands_since = Some(BootClock::system().now());
        true
    }

    /// Lets a worker go on that was stopped, if it is alive.
    pub(crate) fn wake(&self, number: u32) {
        let mut members = self.members();
        let Some(member) = members.of(number) else { return };
        let Some(from) = member.stands_since.take() else { return };
        let span = Span { from, to: BootClock::system().now() };
        // Before it can say anything.
        self.history().stands.push(Stand { number, span });
        // One that has died meanwhile does not wake.
        let _ = member.child.resume();
    }

    /// The worker of a seat, if there is one.
    pub(crate) fn number(&self, seat: u32) -> Option<u32> {
        self.members().seats.get(&seat).map(|member| member.number)
    }

    /// Kills all workers.
    pub(crate) fn end(&self) {
        (0..SEATS).for_each(|seat| self.kill(seat));
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members {
    fn of(&mut self, number: u32) -> Option<&mut Member> {
        self.seats.get_mut(&(number % SEATS)).filter(|member| member.number == number)
    }
}
