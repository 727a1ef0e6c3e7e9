//! Two that take turns.

use std::{fmt, time::Duration};

use crate::BoxError;

/// What the bare statement and the store's took, each time.
pub(crate) struct Pair {
    name: &'static str,
    bare: Vec<Duration>,
    ours: Vec<Duration>,
}

impl Pair {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, bare: Vec::new(), ours: Vec::new() }
    }

    pub(crate) async fn bare<T, E: Into<BoxError>>(
        &mut self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<(), BoxError> {
        self.bare.push(time(call).await?);
        Ok(())
    }

    pub(crate) async fn ours<T, E: Into<BoxError>>(
        &mut self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<(), BoxError> {
        self.ours.push(time(call).await?);
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
async fn time<T, E: Into<BoxError>>(
    call: impl Future<Output = Result<T, E>>,
) -> Result<Duration, BoxError> {
    let began = std::time::Instant::now();
    call.await.map_err(Into::into)?;
    Ok(began.elapsed())
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let median = |times: &[Duration]| {
            let mut times = times.to_vec();
            times.sort_unstable();
            times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
        };
        let (bare, ours) = (median(&self.bare), median(&self.ours));
        write!(f, "{:38} {bare:7.1} {ours:7.1}  {:.2}", self.name, ours / bare)
    }
}
