//! What goes wrong, when and for how long: drawn from the seed before the run begins.

use std::{fmt, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::SliceRandom};

use crate::place::Kind;

/// One fault after the other, each over before the next begins.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) faults: Vec<Planned>,
    pub(crate) span: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Planned {
    /// Since the run began.
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    pub(crate) fault: Fault,
    /// Which worker, or which server of several, where the fault leaves it open.
    pub(crate) which: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Fault {
    /// The holder's process is killed, and another starts in its place.
    KillHolder,
    StopHolder,
    /// One server of the leases.
    KillServer,
    StopServer,
    KillRegisters,
    StopRegisters,
    /// A worker's link. It is the holder's if there is one.
    Cut(Far),
    Delay(Far),
    /// Requests arrive late, and answers do not.
    NoWayThere(Far),
    NoWayBack(Far),
    /// The wall clock of the leases' server is set by so many seconds, and set back.
    Step(i64),
    /// A replica that has missed the last grants takes the place of the leases' server.
    Promote,
    /// The server of the leases starts again without its file.
    Forget,
}

/// The far end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Far {
    Leases,
    Registers,
}

/// In milliseconds: up to one and a half times as long as a lease.
const LASTS_MS: std::ops::Range<u64> = 200..1_500;
const GAP_MS: std::ops::Range<u64> = 200..700;
/// Of clocks, in seconds.
const STEPS: [i64; 4] = [60, -60, 3_600, -3_600];

impl Plan {
    /// All faults of this store, over and over, in an order that is drawn.
    ///
    /// What loses the record of leases comes in the first half, and what sets clocks in the second:
    /// a token is above the record or the clock, so either is enough, and both together, a record
    /// that is lost and a clock that was set back, are what no token outlives.
    pub(crate) fn draw(kind: Kind, span: Duration, seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let (mut faults, mut at) = (Vec::new(), Duration::ZERO);
        let mut often = Deck::new(common(kind));
        let mut rare = [Deck::new(losses(kind)), Deck::new(steps(kind))];
        loop {
            let half = usize::from(at > span / 2);
            let is_rare = faults.len() % rarity(kind)[half] == 1;
            let fault = is_rare.then(|| rare[half].draw(&mut rng)).flatten();
            let Some(fault) = fault.or_else(|| often.draw(&mut rng)) else { break };
            let [gap, lasts] =
                [GAP_MS, LASTS_MS].map(|range| Duration::from_millis(rng.random_range(range)));
            let which = rng.random_range(0..u32::MAX);
            at += gap;
            if at + lasts > span {
                break;
            }
            faults.push(Planned { at, lasts, fault, which });
            at += lasts + beyond(kind, fault);
        }
        Self { faults, span }
    }
}

/// Faults, each of which comes once before one comes again.
struct Deck {
    all: Vec<Fault>,
    left: Vec<Fault>,
}

impl Deck {
    const fn new(all: Vec<Fault>) -> Self {
        Self { all, left: Vec::new() }
    }

    fn draw(&mut self, rng: &mut SmallRng) -> Option<Fault> {
        if self.left.is_empty() {
            self.left.clone_from(&self.all);
            self.left.shuffle(rng);
        }
        self.left.pop()
    }
}

fn common(kind: Kind) -> Vec<Fault> {
    use Fault::{Cut, Delay, NoWayBack, NoWayThere};
    let mut faults =
        vec![Fault::KillHolder, Fault::StopHolder, Fault::KillRegisters, Fault::StopRegisters];
    let links = |far| [Cut(far), Delay(far), NoWayThere(far), NoWayBack(far)];
    faults.extend(links(Far::Registers));
    // Files have no server and no link.
    if kind != Kind::File {
        faults.extend([Fault::KillServer, Fault::StopServer]);
        faults.extend(links(Far::Leases));
    }
    faults
}

/// What may lose the record of the leases.
fn losses(kind: Kind) -> Vec<Fault> {
    match kind {
        Kind::Redis => vec![Fault::Forget, Fault::Promote],
        Kind::Postgres => vec![Fault::Promote],
        Kind::File | Kind::Etcd => vec![],
    }
}

/// One of so many faults is of those that each half has for itself.
const fn rarity(kind: Kind) -> [usize; 2] {
    // A promotion of PostgreSQL takes seconds, and little else happens meanwhile.
    let losses = if matches!(kind, Kind::Postgres) { 16 } else { 4 };
    [losses, 2]
}

/// What it takes to make it so, on a busy machine.
fn beyond(kind: Kind, fault: Fault) -> Duration {
    match (kind, fault) {
        // A copy of the data, and a start.
        (Kind::Postgres, Fault::Promote) => Duration::from_secs(4),
        _ => Duration::ZERO,
    }
}

/// Of stores that expire leases by a server's wall clock.
fn steps(kind: Kind) -> Vec<Fault> {
    match kind {
        Kind::Redis | Kind::Postgres => STEPS.map(Fault::Step).to_vec(),
        Kind::File | Kind::Etcd => vec![],
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillHolder => f.write_str("holder killed"),
            Self::StopHolder => f.write_str("holder stopped"),
            Self::KillServer => f.write_str("server of leases killed"),
            Self::StopServer => f.write_str("server of leases stopped"),
            Self::KillRegisters => f.write_str("server of registers killed"),
            Self::StopRegisters => f.write_str("server of registers stopped"),
            Self::Cut(far) => write!(f, "link to {far} cut"),
            Self::Delay(far) => write!(f, "link to {far} delayed"),
            Self::NoWayThere(far) => write!(f, "no way to {far}"),
            Self::NoWayBack(far) => write!(f, "no way back from {far}"),
            Self::Step(by) => write!(f, "clock set by {by:+} s"),
            Self::Promote => f.write_str("replica promoted"),
            Self::Forget => f.write_str("restarted without its file"),
        }
    }
}

impl fmt::Display for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leases => "leases",
            Self::Registers => "registers",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(60);

    #[test]
    fn a_seed_repeats_its_plan_and_another_has_another() {
        let plan = |seed| Plan::draw(Kind::Redis, SPAN, seed).faults;
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
    }

    #[test]
    fn faults_follow_each_other_and_are_over_in_time() {
        for seed in 0..100 {
            let faults = Plan::draw(Kind::Etcd, SPAN, seed).faults;
            assert!(faults.windows(2).all(|two| two[0].at + two[0].lasts < two[1].at));
            let last = faults.last().unwrap();
            assert!(last.at + last.lasts <= SPAN && faults.len() > 25, "{}", faults.len());
        }
    }

    #[test]
    fn a_minute_has_every_fault_of_a_store() {
        for kind in Kind::ALL {
            let faults = Plan::draw(kind, SPAN, 7).faults;
            let has = |fault| faults.iter().any(|planned| planned.fault == fault);
            assert!([common(kind), losses(kind), steps(kind)].concat().into_iter().all(has));
        }
    }

    #[test]
    fn no_record_is_lost_behind_a_step_of_the_clock_that_its_tokens_came_from() {
        for (kind, seed) in Kind::ALL.into_iter().flat_map(|kind| (0..50).map(move |n| (kind, n))) {
            let faults = Plan::draw(kind, SPAN, seed).faults;
            let step = faults.iter().position(|planned| matches!(planned.fault, Fault::Step(_)));
            let then = &faults[step.unwrap_or(faults.len())..];
            assert!(then.iter().all(|planned| !losses(kind).contains(&planned.fault)));
        }
    }
}
