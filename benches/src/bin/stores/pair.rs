//! Two that take turns.

use std::{fmt, time::Duration};

use crate::BoxError;

/// What the bare operation and the store's took, each time.
pub(crate) struct Pair {
    name: &'static str,
    bar: Option<f64>,
    bare: Vec<Duration>,
    ours: Vec<Duration>,
}

impl Pair {
    /// With what the store's may cost at most of the bare one.
    pub(crate) const fn new(name: &'static str, bar: Option<f64>) -> Self {
        Self { name, bar, bare: Vec::new(), ours: Vec::new() }
    }

    /// One of each; the one that was first is second the next time.
    pub(crate) async fn turn<A, E: Into<BoxError>, B, F: Into<BoxError>>(
        &mut self,
        bare: impl Future<Output = Result<A, E>>,
        ours: impl Future<Output = Result<B, F>>,
    ) -> Result<(), BoxError> {
        if self.bare.len().is_multiple_of(2) {
            self.bare.push(time(bare).await?);
            self.ours.push(time(ours).await?);
        } else {
            self.ours.push(time(ours).await?);
            self.bare.push(time(bare).await?);
        }
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

fn median(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bare, ours) = (median(&self.bare), median(&self.ours));
        let ratio = ours / bare;
        write!(f, "{:38} {bare:7.1} {ours:7.1}  {ratio:.2}", self.name)?;
        match self.bar {
            Some(bar) if ratio <= bar => write!(f, "  at most {bar}: met"),
            Some(bar) => write!(f, "  at most {bar}: NOT met"),
            None => Ok(()),
        }
    }
}
