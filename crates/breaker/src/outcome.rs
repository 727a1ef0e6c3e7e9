//! What the end of a call means: the table of the README as one function. Pure.

use std::time::Duration;

use steadfast_core::{
    Verdict,
    parts::{Labels, Mark},
};

use crate::probes::Probe;

/// How a call that was let in has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was judged.
    Judged(Verdict),
    /// Its permit was dropped, with or without its future.
    Dropped,
    /// The code of the service panicked.
    Panicked,
}

/// What the end of a call does to the circuit that let it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    /// To the window, if the circuit is closed.
    pub(crate) entry: Entry,
    /// To the round of probes, if it is half-open.
    pub(crate) probe: Probe,
}

/// What enters the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Nothing. Under the lock: the window is judged again as it is.
    Nothing,
    /// An answer of the service, or its panic; the plain mark is a success that was not slow.
    Answer(Mark),
    /// A slow call that was dropped or ignored: it neither adds to the failures in a row nor ends
    /// them.
    Hung,
    /// A success that was entered before, as its head came at `head`, has failed after all: no
    /// outcome more, one failure more. The failures in a row go by heads alone.
    Turned {
        /// Nanoseconds of the circuit's clock.
        head: u64,
    },
}

impl Entry {
    pub(crate) const SUCCESS: Self = Self::Answer(Mark { failed: false, slow: false });

    /// The outcome that it adds.
    pub(crate) const fn mark(self) -> Option<Mark> {
        match self {
            Self::Nothing | Self::Turned { .. } => None,
            Self::Answer(mark) => Some(mark),
            Self::Hung => Some(Mark { failed: false, slow: true }),
        }
    }
}

impl End {
    pub(crate) fn effect(self, slow: bool, throttled_fails_probe: bool) -> Effect {
        let answer = |failed| Entry::Answer(Mark { failed, slow });
        let (entry, probe) = match self {
            // The service is healthy where the caller is at fault, or came at the wrong moment.
            Self::Judged(Verdict::Success | Verdict::Permanent | Verdict::Repeatable { .. }) => {
                (answer(false), Probe::Succeeded)
            }
            Self::Judged(Verdict::Throttled { .. }) if !throttled_fails_probe => {
                (answer(true), Probe::Succeeded)
            }
            Self::Judged(Verdict::Transient { .. } | Verdict::Throttled { .. })
            | Self::Panicked => (answer(true), Probe::Failed),
            // It ended for a reason of the caller's (it left, or its deadline passed), but how long
            // the service had kept it waiting by then is the service's doing.
            Self::Judged(Verdict::Ignored) | Self::Dropped if slow => (Entry::Hung, Probe::Failed),
            Self::Judged(Verdict::Ignored) | Self::Dropped => (Entry::Nothing, Probe::GivenBack),
        };
        // A slow probe has failed, if it says anything.
        let probe = if slow && probe == Probe::Succeeded { Probe::Failed } else { probe };
        Effect { entry, probe }
    }

    /// For how long a service that has failed asks to be left alone, if it says so.
    pub(crate) const fn told(self) -> Option<Duration> {
        match self {
            Self::Judged(verdict) if verdict.is_failure() => verdict.retry_after(),
            _ => None,
        }
    }

    /// What is counted.
    pub(crate) const fn outcome(self) -> Outcome {
        match self {
            Self::Judged(Verdict::Success) => Outcome::Success,
            Self::Judged(Verdict::Permanent) => Outcome::Permanent,
            Self::Judged(Verdict::Transient { .. }) | Self::Panicked => Outcome::Failure,
            Self::Judged(Verdict::Throttled { .. }) => Outcome::Throttled,
            Self::Judged(Verdict::Repeatable { .. }) => Outcome::Repeatable,
            Self::Judged(Verdict::Ignored) => Outcome::Ignored,
            Self::Dropped => Outcome::Cancelled,
        }
    }
}

/// The closed set of what becomes of a call; the labels are part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Failure,
    Throttled,
    Permanent,
    Ignored,
    Cancelled,
    Refused,
    WouldRefuse,
    Repeatable,
}

impl Labels for Outcome {
    const KEY: &'static str = "outcome";
    const ALL: &'static [Self] = &[
        Self::Success,
        Self::Failure,
        Self::Throttled,
        Self::Permanent,
        Self::Ignored,
        Self::Cancelled,
        Self::Refused,
        Self::WouldRefuse,
        Self::Repeatable,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Throttled => "throttled",
            Self::Permanent => "permanent",
            Self::Ignored => "ignored",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
            Self::WouldRefuse => "would_refuse",
            Self::Repeatable => "repeatable",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use steadfast_core::Executed;

    use super::*;

    const FAILURE: Entry = Entry::Answer(Mark { failed: true, slow: false });
    const SLOW: Entry = Entry::Answer(Mark { failed: false, slow: true });
    const SLOW_FAILURE: Entry = Entry::Answer(Mark { failed: true, slow: true });

    /// Row by row: the end, its label, what it is in the window and as a probe, and what it is in
    /// both when it was slow.
    #[test]
    fn the_table_of_the_readme() {
        use Probe::{Failed, GivenBack, Succeeded};

        let (transient, throttled) = (Verdict::transient(Executed::Maybe), Verdict::throttled());
        let repeatable = Verdict::Repeatable { executed: Executed::No, retry_after: None };
        let table = [
            (End::Judged(Verdict::Success), "success", (Entry::SUCCESS, Succeeded), (SLOW, Failed)),
            (
                End::Judged(Verdict::Permanent),
                "permanent",
                (Entry::SUCCESS, Succeeded),
                (SLOW, Failed),
            ),
            (End::Judged(repeatable), "repeatable", (Entry::SUCCESS, Succeeded), (SLOW, Failed)),
            (End::Judged(transient), "failure", (FAILURE, Failed), (SLOW_FAILURE, Failed)),
            (End::Judged(throttled), "throttled", (FAILURE, Succeeded), (SLOW_FAILURE, Failed)),
            (
                End::Judged(Verdict::Ignored),
                "ignored",
                (Entry::Nothing, GivenBack),
                (Entry::Hung, Failed),
            ),
            (End::Dropped, "cancelled", (Entry::Nothing, GivenBack), (Entry::Hung, Failed)),
            (End::Panicked, "failure", (FAILURE, Failed), (SLOW_FAILURE, Failed)),
        ];
        for (end, label, quick, slow) in table {
            assert_eq!(end.outcome().label(), label, "{end:?}");
            for (is_slow, (entry, probe)) in [(false, quick), (true, slow)] {
                assert_eq!(
                    end.effect(is_slow, false),
                    Effect { entry, probe },
                    "{end:?}, slow: {is_slow}"
                );
                let probe = if end == End::Judged(throttled) { Failed } else { probe };
                assert_eq!(
                    end.effect(is_slow, true),
                    Effect { entry, probe },
                    "{end:?}, slow: {is_slow}"
                );
            }
        }
    }

    #[test]
    fn a_hung_call_is_slow_in_the_window_and_no_failure() {
        assert_eq!(Entry::Hung.mark(), Some(Mark { failed: false, slow: true }));
        assert_eq!(Entry::Nothing.mark(), None);
        assert_eq!(Entry::Turned { head: 7 }.mark(), None);
    }
}
