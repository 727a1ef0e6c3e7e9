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
//! A place is held until the call ends, but not by a call that its caller no longer polls, and that
//! hears neither of its answer nor of its timer: a ceiling after its end was due the place is free.
//! Two such calls would otherwise end all exploring.
//!
//! All of it happens at expiries and at the end of explorations, under a lock. An answer reads one
//! word, and writes it only after an expiry.

use std::time::{Duration, Instant};

use steadfast_core::{
    Deadline,
    parts::{Tick, lock},
};

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
    ceiling: Duration,
    paid: Place,
    row: Place,
    /// Counts the rows, so that the end of an exploration shows whether its row has ended.
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
    holder: Option<Holder>,
    /// How many times its limit the next explorer may wait.
    rung: f64,
}

/// The explorer that has a place.
#[derive(Clone, Copy, Debug)]
struct Holder {
    number: u64,
    /// The row it began in.
    row: u64,
    length: Duration,
    /// When it has the place no more, even if it was not heard of.
    overdue: Instant,
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
    /// What it was given.
    pub(crate) limit: Duration,
    /// The how manieth it is.
    number: u64,
    reach: Reach,
    /// Whether it holds the place of the row.
    in_row: bool,
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
        let place = || Place { holder: None, rung: FIRST_RUNG };
        let state = State {
            ceiling,
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
        Self { window, row: AtomicU64::new(0), state: Box::new(Mutex::new(state)) }
    }

    /// Goes on with another ceiling. Those under way keep theirs.
    pub(crate) fn change(&self, ceiling: Duration) {
        let mut state = lock(self.state.as_ref());
        state.ceiling = ceiling;
        state.credit = state.credit.min(ceiling.as_secs_f64());
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
        let mut state = lock(self.state.as_ref());
        self.count(&mut state, tick);
        state.cohort += u64::from(limit < state.ceiling);
    }

    /// A call has waited for its limit: whether it may go on. `current` is the limit of a call that
    /// would begin now, `answers` how many there were in all.
    pub(crate) fn expired(
        &self,
        expiry: &Expiry,
        current: Duration,
        answers: u64,
    ) -> Option<Exploration> {
        let mut state = lock(self.state.as_ref());
        let row = self.count(&mut state, expiry.tick);
        let ceiling = state.ceiling;
        state.grant(answers);
        let open = state.is_open(expiry.now);
        state.take_overdue(expiry.now);
        let limit = expiry.limit;
        // Beyond the ceiling there is nothing to find: what expires there is in no cohort.
        if limit >= ceiling {
            return None;
        }
        let paid = open && state.paid.holder.is_none() && state.credit > 0.0;
        let in_row = row >= LONG_ROW && state.row.holder.is_none();
        let rung = if paid { state.paid.rung } else { state.row.rung };
        let whole = (current.max(limit).as_secs_f64() * rung).min(ceiling.as_secs_f64());
        let whole = Duration::from_secs_f64(whole).min(ceiling);
        let until = whole.min(expiry.most);
        if !(paid || in_row) || until <= limit.max(expiry.waited) {
            state.cohort += 1;
            return None;
        }
        let reach = match () {
            () if until < whole => Reach::Deadline,
            () if whole < ceiling => Reach::Part,
            () => Reach::Ceiling,
        };
        state.begun += 1;
        let exploration = Exploration { until, limit, number: state.begun, reach, in_row: !paid };
        let length = exploration.length();
        let overdue = Deadline::after(expiry.now, length + ceiling).instant();
        let holder = Holder { number: state.begun, row: state.rows, length, overdue };
        state.place(exploration.in_row).holder = Some(holder);
        Some(exploration)
    }

    /// An explorer has ended after it had waited for `waited` in all, and gives its place back. By
    /// itself that says nothing.
    pub(crate) fn ended(&self, exploration: &Exploration, waited: Duration) {
        lock(self.state.as_ref()).give_back(exploration, waited);
    }

    /// An explorer has waited in vain.
    pub(crate) fn in_vain(&self, exploration: &Exploration, now: Instant) {
        let row = self.row.load(Ordering::Relaxed);
        let mut state = lock(self.state.as_ref());
        let Some(holder) = state.give_back(exploration, exploration.until) else { return };
        match exploration.reach {
            // It only gives its place back.
            Reach::Deadline => {}
            Reach::Ceiling => {
                state.cohort = 0;
                state.closed = Some(Closed { since: now, expiries: CLOSED_EXPIRIES });
            }
            // An answer has ended its row: the next row starts over.
            Reach::Part if exploration.in_row && (row == 0 || holder.row != state.rows) => {}
            Reach::Part => state.place(exploration.in_row).rung *= 2.0,
        }
    }

    /// An explorer that has ended had got its answer. `record` takes it with the weight it is
    /// given, and returns how many answers there are then.
    pub(crate) fn found(&self, answers: u64, record: impl FnOnce(u32) -> u64) {
        self.answered();
        let mut state = lock(self.state.as_ref());
        state.grant(answers.saturating_add(1));
        let weight = state.cohort.min(MOST_WEIGHT) + 1;
        (state.cohort, state.closed) = (0, None);
        // Those it speaks for were no answers, and earn nothing.
        state.granted = record(u32::try_from(weight).unwrap_or(u32::MAX));
    }

    /// How many explorations have begun.
    pub(crate) fn begun(&self) -> u64 {
        lock(self.state.as_ref()).begun
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
    fn grant(&mut self, answers: u64) {
        // An average starts to count anew after an idle window.
        let new = answers.checked_sub(self.granted).unwrap_or(answers);
        self.granted = answers;
        let ceiling = self.ceiling.as_secs_f64();
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

    const fn place(&mut self, in_row: bool) -> &mut Place {
        if in_row { &mut self.row } else { &mut self.paid }
    }

    /// Takes the places of explorers that should have ended long ago.
    fn take_overdue(&mut self, now: Instant) {
        self.row.holder.take_if(|holder| now >= holder.overdue);
        if let Some(holder) = self.paid.holder.take_if(|holder| now >= holder.overdue) {
            self.credit -= holder.length.as_secs_f64();
        }
    }

    /// The place of an explorer that has waited for so long in all; `None` if it had that no more.
    fn give_back(&mut self, exploration: &Exploration, waited: Duration) -> Option<Holder> {
        let number = exploration.number;
        let place = self.place(exploration.in_row);
        let holder = place.holder.take_if(|holder| holder.number == number)?;
        if !exploration.in_row {
            let beyond = waited.saturating_sub(exploration.limit).min(holder.length);
            self.credit -= beyond.as_secs_f64();
        }
        Some(holder)
    }
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shared::CLOCK;

    const MS: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);
    const LIMIT: Duration = Duration::from_millis(100);
    const CEILING: Duration = Duration::from_secs(5);

    /// Explorers with a clock and a count of answers.
    struct Bench {
        explorers: Explorers,
        tick: u64,
        now: Instant,
        answers: u64,
    }

    impl Bench {
        fn new() -> Self {
            let explorers = Explorers::new(CEILING, 6);
            Self { explorers, tick: 1, now: CLOCK.now(), answers: 0 }
        }

        fn answer(&mut self, times: u64) {
            self.answers += times;
            self.explorers.answered();
        }

        fn expire(&self) -> Option<Exploration> {
            self.expire_of(LIMIT, Duration::MAX)
        }

        fn expire_of(&self, limit: Duration, most: Duration) -> Option<Exploration> {
            let (tick, now, waited) = (Tick(self.tick), self.now, limit);
            let expiry = Expiry { tick, now, limit, waited, most };
            self.explorers.expired(&expiry, LIMIT, self.answers)
        }

        fn in_vain(&self, exploration: &Exploration) {
            self.explorers.in_vain(exploration, self.now);
        }

        /// Expires and waits in vain until the whole ceiling was waited for.
        fn reach_the_ceiling(&mut self) {
            loop {
                self.answer(1_000);
                let exploration = self.expire().expect("the credit is full");
                self.in_vain(&exploration);
                if exploration.until == CEILING {
                    return;
                }
            }
        }

        /// The weight of an answer that an explorer finds now.
        fn weight(&mut self) -> u32 {
            let mut weight = 0;
            self.explorers.found(self.answers, |times| {
                weight = times;
                self.answers += u64::from(times);
                self.answers
            });
            weight
        }
    }

    #[test]
    fn the_credit_is_what_answers_have_earned_and_one_ceiling_at_most() {
        let mut bench = Bench::new();
        bench.answer(1_000_000);
        let mut beyond = Duration::ZERO;
        while let Some(exploration) = bench.expire() {
            bench.answer(0);
            bench.in_vain(&exploration);
            beyond += exploration.length();
        }
        // 0.1 + 0.3 + 0.7 + 1.5 + 3.1 s: the last one took more than there was.
        assert_eq!(beyond, 5700 * MS);
        // Each answer earns 25 ms; the debt is 700 ms.
        bench.answer(27);
        assert!(bench.expire().is_none(), "25 ms are not paid back");
        bench.answer(2);
        assert!(bench.expire().is_some());
    }

    #[test]
    fn in_vain_at_the_ceiling_it_stays_closed_for_sixteen_expiries_or_ten_seconds() {
        for wait in [false, true] {
            let mut bench = Bench::new();
            bench.reach_the_ceiling();
            bench.now += if wait { 10 * SECOND } else { 9 * SECOND };
            for n in 0..16 {
                bench.answer(1_000);
                let exploration = bench.expire();
                assert_eq!(exploration.is_some(), wait, "expiry {n}");
                if let Some(exploration) = exploration {
                    bench.explorers.ended(&exploration, LIMIT);
                }
            }
            bench.answer(1_000);
            assert!(bench.expire().is_some(), "after sixteen");
        }
    }

    #[test]
    fn an_answer_found_opens_it_again() {
        let mut bench = Bench::new();
        bench.reach_the_ceiling();
        bench.answer(1_000);
        assert!(bench.expire().is_none());
        assert_eq!(bench.weight(), 2);
        assert!(bench.expire().is_some());
    }

    #[test]
    fn after_a_window_without_an_expiry_the_paid_place_starts_over() {
        for (ticks, times) in [(5, 4), (6, 2)] {
            let mut bench = Bench::new();
            let exploration = bench.expire().unwrap();
            bench.in_vain(&exploration);
            bench.tick += ticks;
            bench.answer(1_000);
            assert_eq!(bench.expire().unwrap().until, times * LIMIT, "{ticks} ticks later");
        }
    }

    #[test]
    fn the_place_of_the_row_opens_at_the_third_expiry_and_starts_over_with_any_answer() {
        let mut bench = Bench::new();
        let paid = bench.expire().unwrap();
        assert!(bench.expire().is_none(), "the second in a row");
        for times in [2, 4, 8] {
            let in_row = bench.expire().unwrap();
            assert_eq!(in_row.until, times * LIMIT);
            assert!(bench.expire().is_none(), "both are taken");
            bench.in_vain(&in_row);
        }
        let of_this_row = bench.expire().unwrap();
        bench.answer(1);
        assert!(bench.expire().is_none() && bench.expire().is_none());
        bench.in_vain(&of_this_row);
        assert_eq!(bench.expire().unwrap().until, 2 * LIMIT, "what the old row found is over");
        bench.explorers.ended(&paid, LIMIT);
    }

    #[test]
    fn at_the_ceiling_there_is_nothing_to_explore_and_nothing_to_speak_for() {
        let mut bench = Bench::new();
        assert!(bench.expire_of(CEILING, Duration::MAX).is_none());
        bench.explorers.unexplored(Tick(1), CEILING);
        assert_eq!(bench.weight(), 1);
        bench.explorers.unexplored(Tick(1), LIMIT);
        assert!(bench.expire_of(LIMIT, LIMIT).is_none(), "its deadline ends it");
        assert_eq!(bench.weight(), 3);
    }

    #[test]
    fn a_place_whose_explorer_is_not_heard_of_is_free_a_ceiling_after_its_end_was_due() {
        let mut bench = Bench::new();
        let paid = bench.expire().unwrap();
        assert!(bench.expire().is_none());
        let in_row = bench.expire().unwrap();
        assert!(in_row.in_row && paid.length() == LIMIT && in_row.length() == LIMIT);
        bench.now += LIMIT + CEILING - MS;
        assert!(bench.expire().is_none(), "they may be late");
        bench.now += MS;
        let again = [bench.expire().unwrap(), bench.expire().unwrap()];
        assert!(!again[0].in_row && again[1].in_row);
        assert!(bench.expire().is_none(), "two at most");
        // What comes of the first two later says nothing, and takes no place from the others.
        bench.in_vain(&paid);
        bench.explorers.ended(&in_row, SECOND);
        assert!(bench.expire().is_none());
        again.iter().for_each(|exploration| bench.in_vain(exploration));
        let next = [bench.expire().unwrap(), bench.expire().unwrap()];
        assert_eq!(next.map(|exploration| exploration.until), [4 * LIMIT; 2], "once in vain each");
        // Both first explorations are paid for, and the second ones.
        next.iter().for_each(|exploration| bench.explorers.ended(exploration, LIMIT));
        let credit = lock(bench.explorers.state.as_ref()).credit;
        assert!((credit - 4.8).abs() < 1e-9, "{credit}");
    }

    proptest! {
        /// Stragglers, idle years, counts that begin anew, and calls that are heard of twice.
        #[test]
        fn the_credit_and_the_places_keep_their_bounds_whatever_comes(
            steps in prop::collection::vec(
                (0u8..6, any::<u64>(), any::<u32>(), 1u64..1 << 42, 1u64..1 << 42),
                1..200,
            ),
        ) {
            let explorers = Explorers::new(CEILING, 6);
            let mut begun = Vec::new();
            for (what, big, small, first, second) in steps {
                let now = CLOCK.now() + Duration::from_secs(u64::from(small));
                let [first, second] = [first, second].map(Duration::from_nanos);
                let limit = first.min(CEILING);
                match (what, begun.last().copied()) {
                    (0, Some(last)) => explorers.in_vain(&last, now),
                    (1, Some(last)) => explorers.ended(&last, second),
                    (2, _) => explorers.found(big, |weight| big.wrapping_add(weight.into())),
                    (3, _) => explorers.unexplored(Tick(big), limit),
                    _ => {
                        let most = if what == 4 { second } else { Duration::MAX };
                        let expiry = Expiry { tick: Tick(big), now, limit, waited: limit, most };
                        let exploration = explorers.expired(&expiry, second.min(CEILING), big >> 8);
                        if let Some(exploration) = exploration {
                            let until = exploration.until;
                            prop_assert!(limit < until && until <= CEILING.min(most));
                            begun.push(exploration);
                        }
                    }
                }
                let state = lock(explorers.state.as_ref());
                prop_assert!((-5.0..=5.0).contains(&state.credit), "{:?}", state);
                prop_assert!(state.paid.rung >= 2.0 && state.row.rung >= 2.0, "{:?}", state);
            }
        }

        /// The naive model keeps every expiry in a list, and adds the credit up anew.
        #[test]
        fn it_does_what_a_naive_model_does(
            steps in prop::collection::vec((0u8..8, 0u64..40), 1..200),
        ) {
            let mut bench = Bench::new();
            let mut under_way: Vec<(Exploration, Instant)> = Vec::new();
            let mut overdue: Vec<Exploration> = Vec::new();
            let (mut unexplored, mut row) = (Vec::new(), 0);
            let (mut credit, mut granted) = (5.0f64, 0);
            for (n, (what, number)) in steps.into_iter().enumerate() {
                bench.now += SECOND / 10;
                match what {
                    0 => {
                        bench.answer(number);
                        row = 0;
                    }
                    1 | 2 if !under_way.is_empty() => {
                        // What ends after its place was taken changes nothing.
                        overdue.pop().iter().for_each(|late| bench.in_vain(late));
                        let (ended, _) = under_way.remove(number as usize % under_way.len());
                        if !ended.in_row {
                            credit -= ended.length().as_secs_f64();
                        }
                        if what == 1 {
                            bench.in_vain(&ended);
                            if ended.until == CEILING {
                                unexplored.clear();
                            }
                        } else {
                            bench.explorers.ended(&ended, ended.until);
                            credit = (credit + (bench.answers + 1 - granted) as f64 / 40.0).min(5.0);
                            prop_assert_eq!(bench.weight() as usize, unexplored.len() + 1);
                            granted = bench.answers;
                            unexplored.clear();
                            row = 0;
                        }
                    }
                    _ => {
                        row += 1;
                        credit = (credit + (bench.answers - granted) as f64 / 40.0).min(5.0);
                        granted = bench.answers;
                        let now = bench.now;
                        for (late, _) in under_way.extract_if(.., |(_, until)| *until <= now) {
                            if !late.in_row {
                                credit -= late.length().as_secs_f64();
                            }
                            overdue.push(late);
                        }
                        match bench.expire() {
                            Some(exploration) => {
                                let may = if exploration.in_row { row >= 3 } else { credit > -1e-9 };
                                prop_assert!(may, "row {}, credit {}", row, credit);
                                let until = now + exploration.length() + CEILING;
                                under_way.push((exploration, until));
                            }
                            None => unexplored.push(n),
                        }
                        let paid = under_way.iter().filter(|(one, _)| !one.in_row).count();
                        prop_assert!(paid <= 1 && under_way.len() <= 2);
                        let length = |one: &Exploration| one.until > LIMIT && one.until <= CEILING;
                        prop_assert!(under_way.iter().all(|(one, _)| length(one)));
                    }
                }
            }
        }
    }
}

#[cfg(steadfast_loom)]
#[cfg(test)]
mod loom_tests {
    use loom::{sync::Arc, thread};

    use super::*;
    use crate::shared::CLOCK;

    const LIMIT: Duration = Duration::from_millis(100);

    fn expire(explorers: &Explorers, now: Instant) -> Option<Exploration> {
        let most = Duration::MAX;
        let expiry = Expiry { tick: Tick(1), now, limit: LIMIT, waited: LIMIT, most };
        explorers.expired(&expiry, LIMIT, 0)
    }

    #[test]
    fn of_two_expiries_at_once_one_has_the_place_and_an_answer_between_ends_their_row() {
        let now = CLOCK.now();
        loom::model(move || {
            let explorers = Arc::new(Explorers::new(Duration::from_secs(5), 6));
            let expiries: Vec<_> = (0..2)
                .map(|_| {
                    let explorers = Arc::clone(&explorers);
                    thread::spawn(move || expire(&explorers, now))
                })
                .collect();
            explorers.answered();
            let places: Vec<_> =
                expiries.into_iter().filter_map(|expiry| expiry.join().unwrap()).collect();
            assert_eq!(places.len(), 1);
            // The answer came before both, between them, at the same instant as one, or after both.
            assert!(explorers.row.load(Ordering::Relaxed) <= 2);
            explorers.answered();
            assert_eq!(explorers.row.load(Ordering::Relaxed), 0);
            explorers.ended(&places[0], 2 * LIMIT);
            assert!(expire(&explorers, now).is_some(), "the place is free again");
        });
    }

    #[test]
    fn of_an_end_and_an_expiry_at_once_the_place_is_neither_lost_nor_given_twice() {
        let now = CLOCK.now();
        loom::model(move || {
            let explorers = Arc::new(Explorers::new(Duration::from_secs(5), 6));
            let first = expire(&explorers, now).unwrap();
            let other = Arc::clone(&explorers);
            let end = thread::spawn(move || other.in_vain(&first, now));
            let second = expire(&explorers, now);
            end.join().unwrap();
            // A third in a row has the row's place beside it.
            let third = expire(&explorers, now).unwrap();
            assert_eq!(third.in_row, second.is_some());
        });
    }
}
