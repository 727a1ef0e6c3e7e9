//! One of the processes that compete for the lease.

use std::{future::pending, net::SocketAddr, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use steadfast::{
    BootClock, BootInstant,
    lease::{
        Election, FenceMark, HolderName, Leadership, LeaseClient, LeaseClientConfig, LeaseName,
        Status,
    },
};
use steadfast_chaos::process;
use tokio::time::{sleep, timeout};

use crate::{
    Failure, LEASE, TTL, VALIDITY,
    line::{Line, Voice},
    registers::{Denied, Registers},
    way::Way,
    word::{Outcome, Word},
};

/// A call of a register that takes longer is given up: its outcome is not known.
const CALL: Duration = Duration::from_millis(600);
/// Between a read and the write that depends on it, in milliseconds.
const THOUGHT_MS: std::ops::RangeInclusive<u64> = 2..=30;
/// So many rounds a term has, if the lease is not lost before.
const ROUNDS: std::ops::RangeInclusive<u32> = 10..=80;
/// After something failed.
const PAUSE: Duration = Duration::from_millis(50);

struct Worker {
    voice: Voice,
    clock: BootClock,
    registers: Registers,
    rng: SmallRng,
    written: u64,
}

/// Competes until it is killed. `args`: its number and seed, where the stage is, the leases and the
/// registers.
pub(crate) async fn compete(args: &[&str]) -> Result<(), Failure> {
    process::exit_when_orphaned();
    let [number, seed, stage, leases, registers] = args else {
        return Err("a worker needs a number, a seed, a stage, leases and registers".into());
    };
    let (number, seed) = (number.parse::<u32>()?, seed.parse::<u64>()?);
    let stage: SocketAddr = stage.parse()?;
    let voice = Voice { line: Line::new(stage), number };
    let rng = SmallRng::seed_from_u64(seed ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    // It serves nothing, and so has no port. What it connects to may be down.
    process::announce_ready(0)?;
    let (clock, written) = (BootClock::system(), 0);
    let registers = loop {
        match Registers::reach(registers).await {
            Ok(registers) => break registers,
            Err(failure) => failed(&voice, &clock, failure).await?,
        }
    };
    let election = loop {
        let config = LeaseClientConfig::new().ttl(TTL);
        let config = config.holder(HolderName::new(format!("worker {number}"))?);
        match LeaseClient::connect(config, leases).await {
            Ok(client) => break Election::new(client, LeaseName::new(LEASE)?),
            Err(error) => failed(&voice, &clock, error.into()).await?,
        }
    };
    Worker { voice, clock, registers, rng, written }.campaign(&election).await?;
    pending().await
}

impl Worker {
    async fn campaign(&mut self, election: &Election) -> Result<(), Failure> {
        loop {
            let asked_at = self.clock.now();
            match election.campaign(None).await {
                Ok(leader) => {
                    let (why, at) = self.lead(&leader, asked_at).await?;
                    self.voice.say(at, leader.token().get(), Word::Ended { why }).await?;
                    // It is over for this process before the first await.
                    if let Err(error) = leader.resign().await {
                        failed(&self.voice, &self.clock, error.into()).await?;
                    }
                }
                Err(error) => failed(&self.voice, &self.clock, error.into()).await?,
            }
        }
    }

    /// Says why it ended, and from when on it claims nothing.
    async fn lead(
        &mut self,
        leader: &Leadership,
        asked_at: BootInstant,
    ) -> Result<(String, BootInstant), Failure> {
        let (token, mut calls) = (leader.token(), Calls { leader, number: 0 });
        // The clock is read first: a stop in between makes both earlier than they were.
        let received = self.clock.now();
        let until = received.saturating_add(leader.remaining());
        let is_held = until > received;
        let sent = if is_held { until.saturating_sub(VALIDITY).max(asked_at) } else { asked_at };
        self.voice.say(received, token.get(), Word::Granted { sent, until }).await?;
        let mut is_first = true;
        for _ in 0..self.rng.random_range(ROUNDS) {
            let bases = match self.read(&mut calls).await {
                Ok(bases) => bases,
                Err(Denied::Fenced) => {
                    let at = self.clock.now();
                    self.voice.say(at, token.get(), Word::Rejected).await?;
                    return Ok(("a read was refused".to_owned(), at));
                }
                Err(Denied::Failed(failure)) => {
                    failed(&self.voice, &self.clock, failure).await?;
                    continue;
                }
            };
            sleep(Duration::from_millis(self.rng.random_range(THOUGHT_MS))).await;
            // The check: by the clock of before, so no more is claimed than is believed.
            let at = self.clock.now();
            let remaining = leader.remaining();
            if remaining.is_zero() {
                break;
            }
            self.written += 1;
            let id = u64::from(self.voice.number) << 24 | self.written;
            let until = at.saturating_add(remaining);
            let about = Word::About { is_first, until, id, bases };
            // Here the stage may stop the process: its answer is there when it wakes.
            self.voice.say(at, token.get(), about).await?;
            is_first = false;
            let at = self.clock.now();
            let is_valid = leader.is_valid();
            let outcomes = self.write(&mut calls, id).await;
            self.voice.say(at, token.get(), Word::Wrote { is_valid, id, outcomes }).await?;
        }
        let why = if leader.is_valid() { "resigns".to_owned() } else { said(leader.status()) };
        Ok((why, self.clock.now()))
    }

    async fn read(&self, calls: &mut Calls<'_>) -> Result<[u64; 3], Denied> {
        let mut bases = [0; 3];
        for (base, way) in bases.iter_mut().zip(Way::ALL) {
            *base = within(self.registers.read(way, calls.next())).await?;
        }
        Ok(bases)
    }

    async fn write(&self, calls: &mut Calls<'_>, id: u64) -> [Outcome; 3] {
        let mut outcomes = [Outcome::Unknown; 3];
        for (outcome, way) in outcomes.iter_mut().zip(Way::ALL) {
            *outcome = match within(self.registers.write(way, calls.next(), id)).await {
                Ok(()) => Outcome::Acknowledged,
                Err(Denied::Fenced) => Outcome::Refused,
                Err(Denied::Failed(_)) => Outcome::Unknown,
            };
        }
        outcomes
    }
}

/// The calls under one lease. Each has a number: what the holder has given up on does not land
/// behind its next.
struct Calls<'a> {
    leader: &'a Leadership,
    number: u64,
}

impl Calls<'_> {
    fn next(&mut self) -> FenceMark {
        self.number += 1;
        FenceMark::new(self.leader.token()).numbered(self.number)
    }
}

async fn within<T>(call: impl Future<Output = Result<T, Denied>>) -> Result<T, Denied> {
    match timeout(CALL, call).await {
        Ok(result) => result,
        Err(_) => Err(Denied::Failed("a register does not answer".into())),
    }
}

fn said(status: Status) -> String {
    match status {
        Status::Lost(loss) => format!("{loss:?}").to_lowercase(),
        status => format!("{status:?}").to_lowercase(),
    }
}

async fn failed(voice: &Voice, clock: &BootClock, failure: Failure) -> Result<(), Failure> {
    let mut why = failure.to_string();
    let mut source = failure.source();
    while let Some(because) = source {
        why = format!("{why}: {because}");
        source = because.source();
    }
    let why = why.replace(['\n', '\r'], " ");
    voice.say(clock.now(), 0, Word::Failed { why }).await?;
    sleep(PAUSE).await;
    Ok(())
}
