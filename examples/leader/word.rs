//! What a process tells the stage, as a line of text.

use std::{fmt, str::FromStr};

use steadfast::{BootInstant, FencingToken};

use crate::Failure;

/// Who says it, under which token, and when: on the clock that all processes of a machine share.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) at: BootInstant,
    pub(crate) who: char,
    pub(crate) token: FencingToken,
    pub(crate) word: Word,
}

#[derive(Clone, Debug)]
pub(crate) enum Word {
    /// It leads.
    Leads,
    /// It has read this balance, and looked at its lease, which is good until then. It writes next.
    AboutToWrite { balance: i64, good_until: BootInstant },
    /// Its write of this balance was acknowledged.
    Wrote { balance: i64 },
    /// What it read or wrote was rejected.
    Rejected { why: String },
    /// It has seen that it leads no more.
    Deposed { why: String },
    /// It cannot go on.
    Failed { why: String },
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.at.as_nanos(), self.who, self.token)?;
        match &self.word {
            Word::Leads => f.write_str("leads "),
            Word::AboutToWrite { balance, good_until } => {
                write!(f, "about-to-write {balance} {}", good_until.as_nanos())
            }
            Word::Wrote { balance } => write!(f, "wrote {balance}"),
            Word::Rejected { why } => write!(f, "rejected {why}"),
            Word::Deposed { why } => write!(f, "deposed {why}"),
            Word::Failed { why } => write!(f, "failed {why}"),
        }
    }
}

impl FromStr for Message {
    type Err = Failure;

    fn from_str(line: &str) -> Result<Self, Failure> {
        let mut words = line.splitn(5, ' ');
        let mut next = || words.next().ok_or("a message is too short");
        let (at, who, token, word, rest) = (next()?, next()?, next()?, next()?, next()?);
        let why = rest.to_owned();
        let word = match word {
            "leads" => Word::Leads,
            "about-to-write" => {
                let (balance, until) = rest.split_once(' ').ok_or("a number is missing")?;
                Word::AboutToWrite { balance: balance.parse()?, good_until: instant(until)? }
            }
            "wrote" => Word::Wrote { balance: rest.parse()? },
            "rejected" => Word::Rejected { why },
            "deposed" => Word::Deposed { why },
            "failed" => Word::Failed { why },
            _ => return Err(format!("{word:?} says nothing").into()),
        };
        Ok(Self { at: instant(at)?, who: who.parse()?, token: token.parse()?, word })
    }
}

fn instant(nanos: &str) -> Result<BootInstant, Failure> {
    Ok(BootInstant::from_nanos(nanos.parse()?))
}
