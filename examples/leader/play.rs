//! An act under way: three processes that compete, and what the stage does to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io, mem,
    net::SocketAddr,
    time::Duration,
};

use steadfast::{BootClock, BootInstant};
use steadfast_chaos::process::Child;
use tokio::task::block_in_place;

use crate::{
    Failure,
    act::{Act, SILENCE},
    line::Cue,
    stage::Heard,
    timeline::{Event, What},
    word::{Message, Word},
};

pub(crate) const PROCESSES: [char; 3] = ['a', 'b', 'c'];
/// So many writes are acknowledged before one is stopped; while it is; and behind its own.
const BEFORE: i64 = 3;
const MEANWHILE: i64 = 4;
const BEHIND: i64 = 3;

/// An act under way.
pub(crate) struct Play {
    processes: BTreeMap<char, Child>,
    began: BootInstant,
    phase: Phase,
    events: Vec<Event>,
    acknowledged: i64,
    /// The balance that was acknowledged last.
    latest: i64,
    /// Whose write is not answered yet.
    under_way: BTreeSet<char>,
}

enum Phase {
    /// Until so many writes were acknowledged: the next is one before which its process is stopped.
    Before,
    /// So many others were acknowledged since.
    Stopped(char, i64),
    /// It has woken, and its write is under way.
    Woken(char),
    /// Its write is answered, and it has not looked at its lease yet.
    Acted(char),
    /// Until so many were acknowledged.
    Behind(i64),
    Over,
}

impl Play {
    pub(crate) fn begin(act: Act, stage: SocketAddr, place: &str) -> Result<Self, Failure> {
        let stage = stage.to_string();
        let start = |who: char| {
            let name = who.to_string();
            let child = Child::spawn(["--process", &name, &stage, act.name(), place])?;
            Ok::<_, Failure>((who, child))
        };
        let processes: Result<_, Failure> =
            block_in_place(|| PROCESSES.into_iter().map(start).collect());
        Ok(Self {
            processes: processes?,
            began: BootClock::system().now(),
            phase: Phase::Before,
            events: Vec::new(),
            acknowledged: 0,
            latest: 0,
            under_way: BTreeSet::new(),
        })
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over) && self.under_way.is_empty()
    }

    /// Ends the processes; what happened, and how many writes were acknowledged.
    pub(crate) fn end(self) -> (Vec<Event>, i64) {
        let Self { processes, mut events, acknowledged, .. } = self;
        block_in_place(|| drop(processes));
        events.sort_by_key(|event| event.at);
        (events, acknowledged)
    }

    pub(crate) fn hear(&mut self, heard: Heard) -> Result<(), Failure> {
        let Message { at, who, token, word } = heard.message.clone();
        let what = match word {
            Word::AboutToWrite { balance, good_until } => {
                if matches!(self.phase, Phase::Over) {
                    heard.answer(Cue::Exit);
                    return Ok(());
                }
                self.under_way.insert(who);
                let is_next = matches!(self.phase, Phase::Before) && self.acknowledged >= BEFORE;
                let good_until = self.since(good_until);
                is_next.then_some(What::Stopped { balance, good_until })
            }
            Word::Wrote { balance } => Some(self.wrote(who, balance)),
            Word::Rejected { why } => {
                self.under_way.remove(&who);
                self.has_acted(who);
                Some(What::Rejected { why })
            }
            Word::Leads => Some(What::Leads),
            Word::Deposed { why } => {
                if matches!(self.phase, Phase::Acted(acted) if acted == who) {
                    self.phase = Phase::Behind(self.acknowledged + BEHIND);
                }
                Some(What::Deposed { why })
            }
            Word::Failed { why } => return Err(format!("process {who}: {why}").into()),
        };
        let is_stopped = matches!(what, Some(What::Stopped { .. }));
        let at = self.since(at);
        self.events.extend(what.map(|what| Event { at, who, token, what }));
        if is_stopped {
            self.phase = Phase::Stopped(who, 0);
            self.signal(who, Child::pause)?;
        }
        // It is in the connection of a process that stands still.
        heard.answer(Cue::GoOn);
        match self.phase {
            Phase::Stopped(who, MEANWHILE..) => self.wake(who, Phase::Woken(who)),
            Phase::Behind(until) if self.acknowledged >= until => {
                self.phase = Phase::Over;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn wrote(&mut self, who: char, balance: i64) -> What {
        self.under_way.remove(&who);
        self.acknowledged += 1;
        let was = mem::replace(&mut self.latest, balance);
        if let Phase::Stopped(stopped, others) = &mut self.phase {
            *others += i64::from(*stopped != who);
        }
        let is_late = self.has_acted(who) && balance <= was;
        if is_late { What::WroteOver { balance, was } } else { What::Wrote { balance } }
    }

    /// Whether it is the one that has woken.
    fn has_acted(&mut self, who: char) -> bool {
        let has_woken = matches!(self.phase, Phase::Woken(woken) if woken == who);
        if has_woken {
            self.phase = Phase::Acted(who);
        }
        has_woken
    }

    fn wake(&mut self, who: char, phase: Phase) -> Result<(), Failure> {
        self.phase = phase;
        // Its token is that of its last event.
        let last = self.events.iter().rev().find(|event| event.who == who);
        let token = last.ok_or("one was stopped that had said nothing")?.token;
        let at = self.since(BootClock::system().now());
        self.events.push(Event { at, who, token, what: What::Woken });
        self.signal(who, Child::resume)
    }

    /// None could take over: lets it go on, and stops the next.
    pub(crate) fn wake_in_vain(&mut self) -> Result<(), Failure> {
        match self.phase {
            Phase::Stopped(who, _) => self.wake(who, Phase::Before),
            _ => Err(format!("none of the processes has said anything for {SILENCE:?}").into()),
        }
    }

    fn signal(
        &mut self,
        who: char,
        signal: fn(&mut Child) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let process = self.processes.get_mut(&who).ok_or("there is no such process")?;
        Ok(block_in_place(|| signal(process))?)
    }

    fn since(&self, at: BootInstant) -> Duration {
        at.saturating_duration_since(self.began)
    }
}
