//! Whose fault it is that a caller's deadline cut a call.
//!
//! A cut says only that the answer takes longer than the caller's patience, and callers may be as
//! impatient as they like: one of them must not make a healthy service look dead to the others. So
//! a cut is the service's failure only where it shows more than that.
//!
//! One cut does so by itself: the call had waited longer than nearly all answers take. That is the
//! learned quantile without the limit's factor, if it is the 99 % quantile or a higher one, and one
//! bucket of the histogram on top. Both are needed. Where most callers give up after d, the answers
//! that are left all took less than d, and any quantile of them lies below d. Their 95 % lies so
//! far below that each further cut would count; their 99 % lies at most a bucket below, for
//! latencies from σ = 0.25 to σ = 2.
//!
//! Many together do so by their *run*. A service that has died for callers whose deadlines all lie
//! below the quantile is found because no answer comes between the cuts for as long as fifty
//! answers take to come otherwise. Time alone, or a number of latencies, would not do: where nearly
//! all calls are cut, the few answers lie far apart, and it is their distance that counts.
//!
//! Nothing here is written by an answer. A cut compares the count of answers with what it was when
//! the run began. All state is touched by cuts only, under a lock, in constant time.

use std::time::{Duration, Instant};

use steadfast_core::parts::lock;

use crate::sync::{AtomicBool, Mutex, Ordering};

/// So many mean intervals between answers without one. Independent answers leave such a gap once in
/// e^50 intervals; half of it would do for them, and the rest is for those that come in bursts.
const INTERVALS: u128 = 50;
/// However close the answers come: pauses of this length are ordinary, in a collector or a network.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);
/// With no answer to tell how often one is to be expected, calls further apart than this do not
/// belong together: the circuit may have been open in between.
const LONGEST_GAP: Duration = Duration::from_secs(10);

/// A count that every answer changes. Only whether two of them are equal means anything.
pub(crate) type Mark = (u64, u64);

/// The present run, as calls share it.
#[derive(Debug)]
pub(crate) struct CutRun {
    /// No foreign code runs under the lock, and a run is replaced as a whole: no panic can leave it
    /// half changed.
    cuts: Mutex<Cuts>,
    /// Whether there is a run. Written under the lock only; read by answers, which take the lock
    /// only where there is something to end.
    running: AtomicBool,
}

impl CutRun {
    pub(crate) fn new() -> Self {
        Self { cuts: Mutex::new(Cuts::default()), running: AtomicBool::new(false) }
    }

    /// As [`Cuts::cut`]. `mark` is read under the lock, so that no thread goes back behind an
    /// answer that another one has seen.
    pub(crate) fn cut(
        &self,
        now: Instant,
        window: Duration,
        mark: impl FnOnce() -> Mark,
        pace: impl FnOnce() -> Pace,
    ) -> bool {
        let mut cuts = lock(&self.cuts);
        // Relaxed: a hint. An answer that misses it came while the run began.
        self.running.store(true, Ordering::Relaxed);
        cuts.cut(now, mark(), window, pace)
    }

    /// The service has answered in a way that no count shows.
    pub(crate) fn interrupt(&self) {
        if self.running.load(Ordering::Relaxed) {
            let mut cuts = lock(&self.cuts);
            self.running.store(false, Ordering::Relaxed);
            *cuts = Cuts::default();
        }
    }
}

/// The present run of cuts without an answer between them.
#[derive(Debug, Default)]
pub(crate) struct Cuts(Option<Run>);

#[derive(Clone, Copy, Debug)]
struct Run {
    /// The count of answers when it began.
    mark: Mark,
    since: Instant,
    /// The last cut before this one.
    last: Instant,
    /// Worked out once the run is long enough for it to matter.
    pace: Option<Pace>,
}

/// How long a silence must be before it says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Cuts of a run that has lasted this long are the service's failures.
    patience: Duration,
    /// Cuts further apart than this are not of one run: nothing says that the service was called
    /// meanwhile.
    gap: Duration,
}

impl Pace {
    /// `answers` came in the time that was `covered` of a `window`.
    pub(crate) fn of(answers: u64, covered: Duration, window: Duration) -> Self {
        let least = Self::least(window);
        if answers == 0 {
            return Self { patience: least, gap: LONGEST_GAP.min(window) };
        }
        let nanos = covered.as_nanos() * INTERVALS / u128::from(answers);
        let patience = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let patience = patience.clamp(least, window);
        Self { patience, gap: patience }
    }

    /// No run is any longer than this without [`Pace::of`] being asked.
    fn least(window: Duration) -> Duration {
        LEAST_PATIENCE.min(window)
    }
}

impl Cuts {
    /// A call was cut `now`, after at least the floor. Whether no answer has interrupted the run
    /// for so long that the service has failed. `mark` is the count of answers; `pace` is asked
    /// once in a run, and only in a long one.
    pub(crate) fn cut(
        &mut self,
        now: Instant,
        mark: Mark,
        window: Duration,
        pace: impl FnOnce() -> Pace,
    ) -> bool {
        let Some(run) = self.0.as_mut().filter(|run| run.mark == mark) else {
            return self.begin(now, mark);
        };
        let (age, gap) =
            (now.saturating_duration_since(run.since), now.saturating_duration_since(run.last));
        run.last = run.last.max(now);
        if age < Pace::least(window) {
            return false;
        }
        let pace = *run.pace.get_or_insert_with(pace);
        if gap > pace.gap { self.begin(now, mark) } else { age >= pace.patience }
    }

    fn begin(&mut self, now: Instant, mark: Mark) -> bool {
        self.0 = Some(Run { mark, since: now, last: now, pace: None });
        false
    }
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod simulation;

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shared::CLOCK;

    const MS: Duration = Duration::from_millis(1);
    const WINDOW: Duration = Duration::from_secs(60);

    #[test]
    fn patience_is_fifty_intervals_within_a_second_and_a_window() {
        let ms = |answers, covered, window| {
            let Pace { patience, gap } = Pace::of(answers, covered * MS, window * MS);
            (patience.as_millis(), gap.as_millis())
        };
        assert_eq!(ms(600, 60_000, 60_000), (5000, 5000), "ten a second");
        assert_eq!(ms(6000, 60_000, 60_000), (1000, 1000), "a hundred a second");
        assert_eq!(ms(6, 60_000, 60_000), (60_000, 60_000), "one in ten seconds");
        assert_eq!(ms(10, 1000, 60_000), (5000, 5000), "ten a second, since a second");
        assert_eq!(ms(0, 60_000, 60_000), (1000, 10_000), "cold");
        assert_eq!(ms(0, 60, 60), (60, 60), "a window below a second");
        assert_eq!(ms(3, 60, 60), (60, 60));
        assert_eq!(ms(u64::MAX, 3_600_000, 3_600_000), (1000, 1000));
    }

    #[test]
    fn a_straggler_makes_a_run_no_longer_and_no_younger() {
        let (start, mut cuts) = (CLOCK.now(), Cuts::default());
        let pace = || Pace::of(6000, WINDOW, WINDOW);
        for (at, failed) in
            [(1000, false), (500, false), (1900, false), (1400, false), (2000, true)]
        {
            let now = start + at * MS;
            assert_eq!(cuts.cut(now, (7, 0), WINDOW, pace), failed, "at {at} ms");
        }
    }

    #[test]
    fn pace_is_asked_once_in_a_run_and_never_in_a_short_one() {
        let (start, mut cuts, mut asked) = (CLOCK.now(), Cuts::default(), 0);
        for at in (0..5000).step_by(10) {
            cuts.cut(start + at * MS, (7, 0), WINDOW, || {
                asked += 1;
                assert_eq!(at, 1000);
                Pace::of(0, WINDOW, WINDOW)
            });
        }
        assert_eq!(asked, 1);
    }

    proptest! {
        #[test]
        fn a_run_is_what_a_naive_list_says(
            answers in prop_oneof![Just(0u64), 1u64..20_000],
            events in prop::collection::vec(
                (prop_oneof![6 => 0u64..300, 2 => 0u64..5000, 1 => 0u64..100_000], prop::bool::weighted(0.1)),
                1..200,
            ),
        ) {
            let (start, mut cuts) = (CLOCK.now(), Cuts::default());
            let pace = Pace::of(answers, WINDOW, WINDOW);
            let (mut list, mut now, mut mark) = (Vec::new(), start, 0);
            for (step, is_answer) in events {
                now += Duration::from_millis(step);
                if is_answer {
                    mark += 1;
                    continue;
                }
                list.push((now, mark));
                // Back over all cuts that no answer and no long gap parts from this one.
                let mut first = now;
                for &(at, its) in list.iter().rev() {
                    if its != mark || first - at > pace.gap {
                        break;
                    }
                    first = at;
                }
                let failed = now - first >= pace.patience;
                prop_assert_eq!(cuts.cut(now, (mark, 0), WINDOW, || pace), failed, "{:?}", pace);
            }
        }
    }
}

#[cfg(all(test, steadfast_loom))]
mod loom_tests {
    use loom::{sync::Arc, thread};

    use super::*;
    use crate::shared::CLOCK;

    #[test]
    fn loom_an_answer_ends_the_run_and_the_flag_says_whether_there_is_one() {
        let start = CLOCK.now();
        loom::model(move || {
            let run = Arc::new(CutRun::new());
            let window = Duration::from_secs(60);
            let pace = move || Pace::of(0, window, window);
            let cutting = thread::spawn({
                let run = Arc::clone(&run);
                move || run.cut(start, window, || (0, 0), pace)
            });
            run.interrupt();
            assert!(!cutting.join().unwrap());
            // One that comes after the cut is never missed.
            run.interrupt();
            assert!(lock(&run.cuts).0.is_none() && !run.running.load(Ordering::Relaxed));
            let later = start + Duration::from_secs(2);
            assert!(!run.cut(later, window, || (0, 0), pace), "a run of its own");
        });
    }
}
