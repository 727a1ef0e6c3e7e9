//! Whether a node is dead, by the nodes that watch it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use steadfast_core::ConfigError;

use super::Cast;
use crate::{Decision, Nodes, Rule};

/// What one node says of another: plain data, for any failure detector to fill in and for any wire
/// to carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Suspicion {
    /// The node that says it.
    pub observer: usize,
    /// The node it speaks of.
    pub suspect: usize,
    /// Whether the observer takes the suspect for dead.
    pub suspected: bool,
    /// Grows with each report of the observer's on the suspect, so that a late one does not stand
    /// for a newer one. An observer that restarts begins above what it used before, such as at its
    /// wall clock; or it is not heard until its last report is eight times as old as a report may
    /// be.
    pub sequence: u64,
}

/// What observers say of each other: a node is dead when a quorum of observers takes it for dead.
///
/// A node cannot judge itself, and one observer cannot tell a dead node from a broken link of its
/// own. Unlike votes, reports change: the newest of each observer counts, and none counts once it
/// is older than `max_age`: an observer that stops reporting loses its vote.
///
/// Holds at most one report for each pair of members.
///
/// ```
/// use std::time::{Duration, Instant};
/// use steadfast_quorum::{Decision, Suspicion, SuspicionTally, Threshold};
///
/// let mut tally = SuspicionTally::new(Threshold::majority_of(5)?, Duration::from_secs(10))?;
/// # #[allow(clippy::disallowed_methods)]
/// let now = Instant::now();
/// for observer in [0, 1] {
///     let _ = tally.report(Suspicion { observer, suspect: 4, suspected: true, sequence: 1 }, now);
/// }
/// assert_eq!(tally.decide(4, now), Decision::Pending);
/// let _ = tally.report(Suspicion { observer: 2, suspect: 4, suspected: true, sequence: 1 }, now);
/// assert_eq!(tally.decide(4, now), Decision::Won);
/// // No observer has said so lately.
/// assert_eq!(tally.decide(4, now + Duration::from_secs(11)), Decision::Pending);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SuspicionTally<R, const WORDS: usize = 1> {
    rule: R,
    members: Nodes<WORDS>,
    max_age: Duration,
    /// By suspect and observer.
    reports: BTreeMap<(usize, usize), Report>,
}

/// How many times as long as a report counts its sequence is remembered: a message that was held up
/// for longer than this is taken for an observer that began anew.
const FORGET: u32 = 8;

#[derive(Clone, Copy, Debug)]
struct Report {
    suspected: bool,
    sequence: u64,
    received: Instant,
}

impl<R: Rule<WORDS>, const WORDS: usize> SuspicionTally<R, WORDS> {
    /// No reports. A report counts for `max_age` after it was received: several times as long as
    /// observers take from one to the next.
    ///
    /// # Errors
    /// When `max_age` is zero.
    pub fn new(rule: R, max_age: Duration) -> Result<Self, ConfigError> {
        ConfigError::require(!max_age.is_zero(), "max_age", max_age, "above zero")?;
        Ok(Self { members: rule.members(), rule, max_age, reports: BTreeMap::new() })
    }

    /// Takes a report that is received now.
    pub fn report(&mut self, report: Suspicion, now: Instant) -> Cast {
        let Suspicion { observer, suspect, suspected, sequence } = report;
        if !self.members.contains(observer) || !self.members.contains(suspect) {
            return Cast::Stranger;
        }
        if observer == suspect {
            return Cast::OfItself;
        }
        let last = self.reports.get(&(suspect, observer));
        if last.is_some_and(|last| last.sequence >= sequence && self.is_within(last, now, FORGET)) {
            return Cast::Repeated;
        }
        self.reports.insert((suspect, observer), Report { suspected, sequence, received: now });
        Cast::Counted
    }

    /// Won if the suspect is dead by a quorum of observers; lost if so many say that it lives, of
    /// late, that no quorum can say otherwise; else pending. The suspect itself has no vote.
    #[must_use]
    pub fn decide(&self, suspect: usize, now: Instant) -> Decision {
        let mut alive = self.observers(suspect, now, false);
        alive.insert(suspect);
        self.rule.decide(self.observers(suspect, now, true), alive)
    }

    /// Which nodes are dead by a quorum of observers.
    #[must_use]
    pub fn dead(&self, now: Instant) -> Nodes<WORDS> {
        let mut dead = Nodes::EMPTY;
        for suspect in
            self.members.iter().filter(|suspect| self.decide(*suspect, now) == Decision::Won)
        {
            dead.insert(suspect);
        }
        dead
    }

    /// The nodes that have said of this one of late that it is dead, or that it is not.
    #[must_use]
    pub fn observers(&self, suspect: usize, now: Instant, suspected: bool) -> Nodes<WORDS> {
        let mut observers = Nodes::EMPTY;
        for ((_, observer), report) in self.reports.range((suspect, 0)..=(suspect, usize::MAX)) {
            if report.suspected == suspected && self.is_fresh(report, now) {
                observers.insert(*observer);
            }
        }
        observers
    }

    fn is_fresh(&self, report: &Report, now: Instant) -> bool {
        self.is_within(report, now, 1)
    }

    /// Whether a report is at most so many times as old as one that counts.
    fn is_within(&self, report: &Report, now: Instant, times: u32) -> bool {
        now.saturating_duration_since(report.received) <= self.max_age.saturating_mul(times)
    }
}
