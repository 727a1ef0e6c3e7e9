//! What happened, and when.

use std::{fmt, time::Duration};

use steadfast::FencingToken;

#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Since the act began.
    pub(crate) at: Duration,
    pub(crate) who: char,
    pub(crate) token: FencingToken,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Leads,
    Wrote {
        balance: i64,
    },
    /// After it has read this balance and seen that its lease is good until then.
    Stopped {
        balance: i64,
        good_until: Duration,
    },
    Woken,
    /// The write of the one that has woken, where this was the balance.
    WroteOver {
        balance: i64,
        was: i64,
    },
    Rejected {
        why: String,
    },
    Deposed {
        why: String,
    },
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leads => f.write_str("leads"),
            Self::Wrote { balance } => write!(f, "writes {balance}"),
            Self::Stopped { balance, good_until } => write!(
                f,
                "has read {balance}, its lease is good until {:.2} s: is STOPPED before it writes",
                good_until.as_secs_f64()
            ),
            Self::Woken => f.write_str("goes on, with its write"),
            Self::WroteOver { balance, was } => {
                write!(f, "WRITES {balance}, where {was} was: updates are lost")
            }
            Self::Rejected { why } => write!(f, "is REJECTED: {why}"),
            Self::Deposed { why } => write!(f, "looks: {why}"),
        }
    }
}

/// Prints it, with the writes of one process in a row in one line.
pub(crate) fn print(events: &[Event]) {
    let mut rest = events;
    while let Some(first) = rest.first() {
        let is_next =
            |event: &&Event| event.who == first.who && matches!(event.what, What::Wrote { .. });
        let run = match first.what {
            What::Wrote { .. } => rest.iter().take_while(is_next).count(),
            _ => 1,
        };
        let (row, others) = rest.split_at(run);
        let what = match (&first.what, &row[run - 1].what) {
            (What::Wrote { balance: from }, What::Wrote { balance: to }) if run > 1 => {
                format!("writes {from} to {to}")
            }
            (what, _) => what.to_string(),
        };
        let Event { at, who, token, .. } = first;
        println!("  {:>5.2} s  {who}  {token}  {what}", at.as_secs_f64());
        rest = others;
    }
}
