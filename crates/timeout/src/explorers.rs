//! Which calls are let go on beyond their limit, and what that may cost.
//!
//! A call that is given up at its limit has shown no latency, only that it is above the limit. What
//! lies there is found by *explorers*: calls that are not given up at their limit, but let go on to
//! 2, 4, 8 … times that, up to the ceiling, doubled after each try in vain. An explorer that gets
//! its answer speaks for all that expired unexplored since the last one that told something: its
//! latency is recorded with the weight of 1 + their number (the *cohort*). One that has waited for
//! the whole ceiling in vain tells that they were hangs, which no limit would have helped, and
//! clears the cohort. Without the weight the calls beyond the limit would be under-represented, by
//! all that found no place, and a limit learned from answers alone spirals *down*.
//!
//! There are two places, so that explorers add at most two calls to those that wait.
//!
//! - *Paid.* Its time beyond the own limit is paid from a credit: each answer earns a 200th of the
//!   ceiling, which is half a percent of the calls if each went to the ceiling. The credit starts
//!   full and keeps one ceiling at most. After an exploration in vain at the ceiling it stays
//!   closed for a while, so that an upstream of which one part hangs is not explored by every call
//!   to that part.
//! - *Row.* From the third expiry in a row on, with no answer between. Then there is nothing to
//!   lose: this is a step in latency, or silence.
//!
//! All of it happens at expiries and at the end of explorations, under a lock. An answer reads one
//! word, and writes it only after an expiry.

use std::time::{Duration, Instant};

use steadfast_core::parts::{Tick, lock};

use crate::sync::{AtomicU64, Mutex, Ordering};

/// The first exploration goes to twice the limit, and each in vain doubles that.
const FIRST_RUNG: f64 = 2.0;
/// So many answers earn one ceiling of credit.
const ANSWERS_FOR_A_CEILING: f64 = 200.0;
/// From this expiry in a row on, the second place is open: two may be chance.
const LONG_ROW: u64 = 3;
/// How long the paid place stays closed after an exploration in vain at the ceiling.
const CLOSED_EXPIRIES: u32 = 16;
const CLOSED: Duration = Duration::from_secs(10);
/// The most that one answer weighs: more expiries than this between two answers change no quantile.
const MOST_WEIGHT: u64 = 1 << 20;

/// The places, and what they remember. Shared by all calls of a limit.
#[derive(Debug)]
pub(crate) struct Explorers {
    ceiling: Duration,
    /// How many ticks make a window.
    window: u32,
    /// Expiries since the last answer. All that an answer reads, and writes when it is not zero.
    row: AtomicU64,
    /// Taken at expiries and at the end of explorations. Nothing foreign is called under it, so no
    /// panic can leave it half changed. Boxed, for what an answer reads stays small.
    state: Box<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    paid: Place,
    row: Place,
    /// Counts the rows, so that an exploration knows whether its row has ended.
    rows: u64,
    /// In seconds; below zero when the last exploration took more than there was.
    credit: f64,
    /// All answers up to which the credit was granted.
    granted: u64,
    /// The paid place is closed.
    closed: Option<Closed>,
    /// How many expired unexplored since the last exploration that told something.
    cohort: u64,
    /// The tick of the newest expiry.
    newest: Option<Tick>,
    begun: u64,
}

#[derive(Debug)]
struct Place {
    taken: bool,
    /// How many times its limit the next explorer may wait.
    rung: f64,
}

#[derive(Clone, Copy, Debug)]
struct Closed {
    since: Instant,
    /// How many more expiries it lasts, at most.
    expiries: u32,
}

/// A call has waited for its limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expiry {
    pub(crate) tick: Tick,
    pub(crate) now: Instant,
    /// What the call was given.
    pub(crate) limit: Duration,
    /// How long it has really waited: longer than its limit where the process stood still.
    pub(crate) waited: Duration,
    /// How long it may wait in all, by its deadline.
    pub(crate) most: Duration,
}

/// One call beyond its limit. It holds a place until [`Explorers`] hears of its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exploration {
    /// How long the call may wait in all.
    pub(crate) until: Duration,
    limit: Duration,
    reach: Reach,
    /// The row it belongs to, if it holds that place.
    row: Option<u64>,
}

/// What an exploration in vain will have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// No answer within a multiple of the limit.
    Part,
    /// No answer within the ceiling.
    Ceiling,
    /// Nothing: the deadline ends it before.
    Deadline,
}

impl Exploration {
    /// How long it lasts beyond the call's limit.
    pub(crate) const fn length(&self) -> Duration {
        self.until.saturating_sub(self.limit)
    }

    /// Whether it tells something if it is in vain: not where the deadline cuts it short.
    pub(crate) fn tells(&self) -> bool {
        self.reach != Reach::Deadline
    }
}

impl Explorers {
    pub(crate) fn new(ceiling: Duration, window: u32) -> Self {
        let place = || Place { taken: false, rung: FIRST_RUNG };
        let state = State {
            paid: place(),
            row: place(),
            rows: 0,
            credit: ceiling.as_secs_f64(),
            granted: 0,
            closed: None,
            cohort: 0,
            newest: None,
            begun: 0,
        };
        Self { ceiling, window, row: AtomicU64::new(0), state: Box::new(Mutex::new(state)) }
    }

    /// A call was answered in time.
    #[inline]
    pub(crate) fn answered(&self) {
        // Relaxed: the word is a count alone. An expiry at the same instant may be counted into
        // the row that ends or into the next.
        if self.row.load(Ordering::Relaxed) != 0 {
            self.row.store(0, Ordering::Relaxed);
        }
    }

    /// A call was given up at its limit, where none could go on.
    pub(crate) fn unexplored(&self, tick: Tick, limit: Duration) {
        let mut state = lock(&self.state);
        self.count(&mut state, tick);
        state.cohort += u64::from(limit < self.ceiling);
    }

    /// A call has waited for its limit: whether it may go on. `current` is the limit of a call that
    /// would begin now, `answers` how many there were in all.
    pub(crate) fn expired(
        &self,
        expiry: &Expiry,
        current: Duration,
        answers: u64,
    ) -> Option<Exploration> {
        let mut state = lock(&self.state);
        let row = self.count(&mut state, expiry.tick);
        state.grant(answers, self.ceiling);
        let open = state.is_open(expiry.now);
        let limit = expiry.limit;
        // Beyond the ceiling there is nothing to find: what expires there is in no cohort.
        if limit >= self.ceiling {
            return None;
        }
        let paid = open && !state.paid.taken && state.credit > 0.0;
        let in_row = row >= LONG_ROW && !state.row.taken;
        let rung = if paid { state.paid.rung } else { state.row.rung };
        let whole = (current.max(limit).as_secs_f64() * rung).min(self.ceiling.as_secs_f64());
        let whole = Duration::from_secs_f64(whole).min(self.ceiling);
        let until = whole.min(expiry.most);
        if !(paid || in_row) || until <= limit.max(expiry.waited) {
            state.cohort += 1;
            return None;
        }
        let reach = match () {
            () if until < whole => Reach::Deadline,
            () if whole < self.ceiling => Reach::Part,
            () => Reach::Ceiling,
        };
        state.begun += 1;
        let place = if paid { &mut state.paid } else { &mut state.row };
        place.taken = true;
        Some(Exploration { until, limit, reach, row: (!paid).then_some(state.rows) })
    }

    /// An explorer has ended after it had waited for `waited` in all, and gives its place back. By
    /// itself that says nothing.
    pub(crate) fn ended(&self, exploration: &Exploration, waited: Duration) {
        lock(&self.state).give_back(exploration, waited);
    }

    /// An explorer has waited in vain.
    pub(crate) fn in_vain(&self, exploration: &Exploration, now: Instant) {
        let row = self.row.load(Ordering::Relaxed);
        let mut state = lock(&self.state);
        state.give_back(exploration, exploration.until);
        match (exploration.reach, exploration.row) {
            // It only gives its place back.
            (Reach::Deadline, _) => {}
            (Reach::Ceiling, _) => {
                state.cohort = 0;
                state.closed = Some(Closed { since: now, expiries: CLOSED_EXPIRIES });
            }
            (Reach::Part, None) => state.paid.rung *= 2.0,
            // An answer has ended its row: the next row starts over.
            (Reach::Part, Some(of)) if row == 0 || of != state.rows => {}
            (Reach::Part, Some(_)) => state.row.rung *= 2.0,
        }
    }

    /// An explorer that has ended had got its answer. `record` takes it with the weight it is
    /// given, and returns how many answers there are then.
    pub(crate) fn found(&self, answers: u64, record: impl FnOnce(u32) -> u64) {
        self.answered();
        let mut state = lock(&self.state);
        state.grant(answers.saturating_add(1), self.ceiling);
        let weight = state.cohort.min(MOST_WEIGHT) + 1;
        (state.cohort, state.closed) = (0, None);
        // Those it speaks for were no answers, and earn nothing.
        state.granted = record(u32::try_from(weight).unwrap_or(u32::MAX));
    }

    /// How many explorations have begun.
    pub(crate) fn begun(&self) -> u64 {
        lock(&self.state).begun
    }

    /// Counts an expiry, and returns the how manieth it is in its row.
    fn count(&self, state: &mut State, tick: Tick) -> u64 {
        let row = self.row.fetch_add(1, Ordering::Relaxed) + 1;
        if row == 1 {
            state.rows += 1;
            state.row.rung = FIRST_RUNG;
        }
        if let Some(newest) = state.newest
            && tick.0.saturating_sub(newest.0) >= self.window.into()
        {
            state.paid.rung = FIRST_RUNG;
        }
        state.newest = state.newest.max(Some(tick));
        row
    }
}

impl State {
    /// Grants what the answers up to `answers` have earned.
    fn grant(&mut self, answers: u64, ceiling: Duration) {
        // An average starts to count anew after an idle window.
        let new = answers.checked_sub(self.granted).unwrap_or(answers);
        self.granted = answers;
        let ceiling = ceiling.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "200 of them are as good as any more")]
        let earned = new as f64 * (ceiling / ANSWERS_FOR_A_CEILING);
        self.credit = (self.credit + earned).min(ceiling);
    }

    /// Whether the paid place is open to an expiry at `now`.
    fn is_open(&mut self, now: Instant) -> bool {
        let Some(closed) = &mut self.closed else { return true };
        if closed.expiries > 0 && now.saturating_duration_since(closed.since) < CLOSED {
            closed.expiries -= 1;
            return false;
        }
        self.closed = None;
        true
    }

    fn give_back(&mut self, exploration: &Exploration, waited: Duration) {
        if exploration.row.is_some() {
            self.row.taken = false;
        } else {
            self.paid.taken = false;
            let beyond = waited.min(exploration.until).saturating_sub(exploration.limit);
            self.credit -= beyond.as_secs_f64();
        }
    }
}
