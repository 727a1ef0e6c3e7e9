//! What a worker tells the stage, as a line of text.

use std::{fmt, str::FromStr};

use steadfast::BootInstant;

use crate::Failure;

/// Which worker says it, under which token, and when: on the clock that all processes of a machine
/// share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) at: BootInstant,
    /// Of the process: no two have the same.
    pub(crate) number: u32,
    /// Zero where there is none.
    pub(crate) token: u64,
    pub(crate) word: Word,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// It holds the lease, which it asked for no earlier than `sent`, and which is good `until`
    /// then unless it is renewed.
    Granted { sent: BootInstant, until: BootInstant },
    /// It has read what these writes are based on, and looked at its lease. It writes next.
    About { is_first: bool, until: BootInstant, id: u64, bases: [u64; 3] },
    /// It has looked at its lease once more, and written all the same, as one does that was stopped
    /// behind its check: whether the lease was valid, and what became of the writes.
    Wrote { is_valid: bool, id: u64, outcomes: [Outcome; 3] },
    /// A read was refused.
    Rejected,
    /// It holds the lease no more, and does not claim to.
    Ended { why: String },
    /// Something failed, as things do under faults. It goes on.
    Failed { why: String },
}

/// What became of a write, as far as its worker knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Acknowledged,
    /// By the fence: it was not executed.
    Refused,
    Unknown,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Acknowledged, Self::Refused, Self::Unknown];

    const fn name(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.at.as_nanos(), self.number, self.token)?;
        match &self.word {
            Word::Granted { sent, until } => {
                write!(f, "granted {} {}", sent.as_nanos(), until.as_nanos())
            }
            Word::About { is_first, until, id, bases: [one, two, three] } => {
                let until = until.as_nanos();
                write!(f, "about {is_first} {until} {id} {one} {two} {three}")
            }
            Word::Wrote { is_valid, id, outcomes } => {
                let [one, two, three] = outcomes.map(Outcome::name);
                write!(f, "wrote {is_valid} {id} {one} {two} {three}")
            }
            Word::Rejected => f.write_str("rejected"),
            Word::Ended { why } => write!(f, "ended {why}"),
            Word::Failed { why } => write!(f, "failed {why}"),
        }
    }
}

impl FromStr for Message {
    type Err = Failure;

    fn from_str(line: &str) -> Result<Self, Failure> {
        let mut words = line.split(' ');
        let mut next = || words.next().ok_or("a message is too short");
        let (at, number, token) = (instant(next()?)?, next()?.parse()?, next()?.parse()?);
        let word = match next()? {
            "granted" => Word::Granted { sent: instant(next()?)?, until: instant(next()?)? },
            "about" => Word::About {
                is_first: next()?.parse()?,
                until: instant(next()?)?,
                id: next()?.parse()?,
                bases: [next()?.parse()?, next()?.parse()?, next()?.parse()?],
            },
            "wrote" => Word::Wrote {
                is_valid: next()?.parse()?,
                id: next()?.parse()?,
                outcomes: [next()?.parse()?, next()?.parse()?, next()?.parse()?],
            },
            "rejected" => Word::Rejected,
            "ended" => Word::Ended { why: words.collect::<Vec<_>>().join(" ") },
            "failed" => Word::Failed { why: words.collect::<Vec<_>>().join(" ") },
            word => return Err(format!("{word:?} says nothing").into()),
        };
        Ok(Self { at, number, token, word })
    }
}

impl FromStr for Outcome {
    type Err = Failure;

    fn from_str(word: &str) -> Result<Self, Failure> {
        let outcome = Self::ALL.into_iter().find(|outcome| outcome.name() == word);
        outcome.ok_or_else(|| format!("{word:?} is no outcome").into())
    }
}

fn instant(nanos: &str) -> Result<BootInstant, Failure> {
    Ok(BootInstant::from_nanos(nanos.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard() {
        let at = BootInstant::from_nanos;
        let words = [
            Word::Granted { sent: at(7), until: at(9) },
            Word::About { is_first: true, until: at(8), id: 5, bases: [1, 2, 3] },
            Word::Wrote { is_valid: false, id: 5, outcomes: Outcome::ALL },
            Word::Rejected,
            Word::Ended { why: "it was not renewed".to_owned() },
            Word::Failed { why: "the store failed".to_owned() },
        ];
        for word in words {
            let said = Message { at: at(3), number: 4, token: 1_790_000_000_000_000, word };
            assert_eq!(said.to_string().parse::<Message>().unwrap(), said);
        }
        assert!("3 4 5 about true".parse::<Message>().is_err());
    }
}
