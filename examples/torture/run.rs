//! One run, from its beginning to its verdict.

use std::{collections::BTreeMap, time::Duration};

use steadfast::BootClock;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    Failure, SEATS, VALIDITY,
    checker::{self, Verdict},
    director::{Director, Done},
    history::History,
    links::Links,
    nemesis::{self, Counts},
    place::{Act, Kind, Place},
    plan::Plan,
    registers::Registers,
    stage::Stage,
    troupe::Troupe,
    way::Way,
    word::Word,
};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) kind: Kind,
    pub(crate) span: Duration,
    pub(crate) seed: u64,
}

/// What came of it.
pub(crate) struct Seen {
    pub(crate) history: History,
    pub(crate) verdict: Verdict,
    pub(crate) faults: Counts,
    pub(crate) stops: Done,
    pub(crate) took: Duration,
    /// When the twins were known to have lost updates, and how many directed stops it took.
    pub(crate) bite: Option<(Duration, u32)>,
    /// What failed under the faults, and how often.
    pub(crate) failures: Failures,
}

pub(crate) type Failures = BTreeMap<String, u64>;

/// So many kinds of failures are told apart.
const KINDS: usize = 100;
/// For so long it goes on without faults but directed stops until the twins have lost updates.
pub(crate) const MORE: Duration = Duration::from_secs(60);
/// How often it is seen that nothing more is said.
const LOOK: Duration = Duration::from_millis(100);
/// For what is under way when the workers die.
const SETTLE: Duration = Duration::from_millis(500);
const PEEK: Duration = Duration::from_secs(10);

pub(crate) async fn run(options: Options) -> Result<Seen, Failure> {
    let Options { kind, span, seed } = options;
    let place = Place::set(kind).await?;
    let links = Links::open(&place, SEATS, seed)?;
    let mut stage = Stage::open().await?;
    let troupe = Troupe::assemble(place, links, seed, stage.address)?;
    let mut director = Director::new(troupe.clone(), seed);
    // It ends with this future.
    let mut nemesis = JoinSet::new();
    nemesis.spawn(nemesis::play(troupe.clone(), Plan::draw(kind, span, seed)));
    let clock = BootClock::system();
    let began = clock.now();
    let elapsed = || clock.now().saturating_duration_since(began);
    let (mut faults, mut bite, mut failures) = (None, None, Failures::new());
    loop {
        let took = elapsed();
        if faults.is_some() && took >= span && (bite.is_some() || took >= span + MORE) {
            break;
        }
        let due = director.due();
        tokio::select! {
            heard = stage.next() => {
                let heard = heard?;
                if let Word::Failed { why } = &heard.message.word {
                    count(&mut failures, why);
                }
                troupe.history().hear(&heard.message);
                director.hear(&heard.message);
                heard.answer();
                let stops = director.done.late + director.done.crossed;
                if bite.is_none() && troupe.history().bites() {
                    bite = Some((elapsed(), stops));
                }
            }
            Some(played) = nemesis.join_next() => faults = Some(played??),
            () = clock.wait_until(due.unwrap_or_default()), if due.is_some() => director.look(),
            () = sleep(LOOK) => {}
        }
    }
    let took = elapsed();
    troupe.end();
    sleep(SETTLE).await;
    let finals = finals(&troupe).await?;
    let mut history = std::mem::take(&mut *troupe.history());
    history.finals = finals;
    let verdict = checker::check(&history, VALIDITY);
    let (faults, stops) = (faults.unwrap_or_default(), director.done);
    Ok(Seen { history, verdict, faults, stops, took, bite, failures })
}

fn count(failures: &mut Failures, why: &str) {
    let is_known = failures.contains_key(why) || failures.len() < KINDS;
    *failures.entry(if is_known { why } else { "others" }.to_owned()).or_default() += 1;
}

/// What is in the registers, past all links.
async fn finals(troupe: &Troupe) -> Result<[u64; 3], Failure> {
    let place = &troupe.place;
    // A wake is nothing to a server that is awake.
    place.to_registers(Act::Resume)?;
    let registers = Registers::reach(&place.registers_url(place.registers())).await?;
    let mut finals = [0; 3];
    for (found, way) in finals.iter_mut().zip(Way::ALL) {
        *found = timeout(PEEK, registers.peek(way)).await??;
    }
    Ok(finals)
}
