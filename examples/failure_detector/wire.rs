//! What the processes tell each other and their parent: a line of words in each datagram.

use std::{
    fmt,
    net::SocketAddr,
    str::{FromStr, SplitWhitespace},
};

use steadfast::{phi::Status, quorum::Decision};

use crate::MEMBERS;

/// A datagram.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// From the parent: where all are, in order.
    Peers(Vec<SocketAddr>),
    /// From the parent: from now on nothing arrives at that one, or all does again.
    Cut(usize, bool),
    /// From a process to another.
    Beat(Beat),
    /// From a process to its parent, now and then.
    View(View),
    /// From a process to its parent, at once.
    Turn(Turn),
}

/// A heartbeat, and what its sender says of its peers.
#[derive(Clone, Debug)]
pub(crate) struct Beat {
    pub(crate) from: usize,
    pub(crate) incarnation: u64,
    pub(crate) number: u64,
    /// Of what it says.
    pub(crate) sequence: u64,
    pub(crate) suspicions: Vec<(usize, bool)>,
}

/// What an observer holds of all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) observer: usize,
    /// How often it was found to have stood still.
    pub(crate) pauses: u64,
    pub(crate) peers: [Held; MEMBERS],
}

/// What an observer holds of one. Of itself it holds nothing but what the others say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) phi: f64,
    pub(crate) status: Status,
    /// From now until it is convicted if no heartbeat arrives; negative if that is past.
    pub(crate) convict_in_us: i64,
    /// Whether it is dead by the votes.
    pub(crate) decision: Decision,
    /// Heartbeats heard, and sent as far as it knows.
    pub(crate) heard: u64,
    pub(crate) sent: u64,
}

impl Held {
    pub(crate) const NOTHING: Self = Self {
        phi: 0.0,
        status: Status::Unknown,
        convict_in_us: i64::MAX,
        decision: Decision::Pending,
        heard: 0,
        sent: 0,
    };
}

/// A transition of an observer's detector.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) observer: usize,
    pub(crate) peer: usize,
    pub(crate) to: Status,
    /// How long ago it was when it was told.
    pub(crate) age_us: u64,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peers(addresses) => {
                f.write_str("peers")?;
                addresses.iter().try_for_each(|address| write!(f, " {address}"))
            }
            Self::Cut(to, is_cut) => write!(f, "cut {to} {is_cut}"),
            Self::Beat(Beat { from, incarnation, number, sequence, suspicions }) => {
                write!(f, "beat {from} {incarnation} {number} {sequence}")?;
                suspicions.iter().try_for_each(|(peer, dead)| write!(f, " {peer} {dead}"))
            }
            Self::View(View { observer, pauses, peers }) => {
                write!(f, "view {observer} {pauses}")?;
                peers.iter().try_for_each(|held| {
                    let Held { phi, status, convict_in_us, decision, heard, sent } = held;
                    let status = status.name();
                    write!(f, " {phi} {status} {convict_in_us} {decision:?} {heard} {sent}")
                })
            }
            Self::Turn(Turn { observer, peer, to, age_us }) => {
                write!(f, "turn {observer} {peer} {} {age_us}", to.name())
            }
        }
    }
}

impl FromStr for Message {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        read(&mut line.split_whitespace()).ok_or_else(|| format!("not a message: {line}"))
    }
}

fn read(words: &mut SplitWhitespace<'_>) -> Option<Message> {
    Some(match words.next()? {
        "peers" => Message::Peers(words.map(|word| word.parse().ok()).collect::<Option<_>>()?),
        "cut" => Message::Cut(next(words)?, next(words)?),
        "beat" => {
            let (from, incarnation) = (next(words)?, next(words)?);
            let (number, sequence) = (next(words)?, next(words)?);
            let mut suspicions = Vec::new();
            while let Some(peer) = next(words) {
                suspicions.push((peer, next(words)?));
            }
            Message::Beat(Beat { from, incarnation, number, sequence, suspicions })
        }
        "view" => {
            let (observer, pauses) = (next(words)?, next(words)?);
            let held = (0..MEMBERS).map(|_| read_held(words)).collect::<Option<Vec<_>>>()?;
            Message::View(View { observer, pauses, peers: held.try_into().ok()? })
        }
        "turn" => Message::Turn(Turn {
            observer: next(words)?,
            peer: next(words)?,
            to: read_status(words)?,
            age_us: next(words)?,
        }),
        _ => return None,
    })
}

fn read_held(words: &mut SplitWhitespace<'_>) -> Option<Held> {
    Some(Held {
        phi: next(words)?,
        status: read_status(words)?,
        convict_in_us: next(words)?,
        decision: match words.next()? {
            "Won" => Decision::Won,
            "Lost" => Decision::Lost,
            _ => Decision::Pending,
        },
        heard: next(words)?,
        sent: next(words)?,
    })
}

fn read_status(words: &mut SplitWhitespace<'_>) -> Option<Status> {
    let name = words.next()?;
    Status::ALL.into_iter().find(|status| status.name() == name)
}

fn next<T: FromStr>(words: &mut SplitWhitespace<'_>) -> Option<T> {
    words.next()?.parse().ok()
}
