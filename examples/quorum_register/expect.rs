//! What the clients are expected to say.

use std::time::Duration;

use steadfast::quorum::{CallError, NodeSet};
use tokio::time::Instant;

use crate::{
    Failure,
    denied::Denied,
    entry::Entry,
    register::{PATIENCE, Register, Replies},
};

pub(crate) const KEY: &str = "tea";

/// What is certain is said in a few milliseconds. The bound leaves room for a busy machine, and is
/// far from the deadline.
const AT_ONCE: Duration = Duration::from_millis(500);

/// Writes at one client and reads at the other. Says how long either took.
pub(crate) async fn write_and_read(
    at: &Register,
    then_at: &Register,
    value: &str,
) -> Result<(Duration, Duration), Failure> {
    let start = Instant::now();
    at.write(KEY, value).await?;
    let wrote = Instant::now() - start;
    Ok((wrote, sees(then_at, value).await?))
}

pub(crate) async fn sees(register: &Register, value: &str) -> Result<Duration, Failure> {
    let start = Instant::now();
    let read = register.read(KEY).await?;
    let took = Instant::now() - start;
    expect(read, value).map(|()| took)
}

pub(crate) fn expect(read: Option<Entry>, value: &str) -> Result<(), Failure> {
    match read {
        Some(entry) if entry.value == value => Ok(()),
        other => Err(format!("{value} was written last, and read was {other:?}").into()),
    }
}

pub(crate) async fn sees_nothing(register: &Register) -> Result<(), Failure> {
    match register.read(KEY).await? {
        None => Ok(()),
        Some(entry) => Err(format!("no client has written, and read was {entry}").into()),
    }
}

/// Checks that it was lost, far from the deadline, by errors of just these nodes, and before
/// anything was written. Says how.
pub(crate) fn lost<T>(outcome: Result<T, Denied>, by: NodeSet) -> Result<String, Failure> {
    let failure = match outcome {
        Err(Denied::Asking(failure)) => failure,
        Err(other) => return Err(other.into()),
        Ok(_) => return Err("there was a quorum where none is possible".into()),
    };
    let CallError::Lost { answers, .. } = &*failure else { return Err(failure.into()) };
    if NodeSet::of(answers.errors().map(|(node, _)| node))? != by {
        return Err(format!("lost by other nodes than {by}: {failure}").into());
    }
    if answers.elapsed() >= AT_ONCE {
        return Err(format!(
            "certain long before the deadline of {PATIENCE:?}, and said late: {failure}"
        )
        .into());
    }
    Ok(summary(answers))
}

pub(crate) fn summary(answers: &Replies) -> String {
    let out = answers.out();
    let out = if out.is_empty() { String::new() } else { format!(", {out} still out") };
    format!("{} failed{out}, after {:.1?}", answers.no(), answers.elapsed())
}
