//! Plans in TOML files, to be read by a person.

mod tables;
mod values;

use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

use steadfast_core::ConfigError;

use crate::{Plan, file::tables::File};

/// A file that is no plan: which line, field and value, or which file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanFileError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not TOML, or has a field that a plan has not, or one of another type.
    #[error("line {line}, `{text}`: {message}")]
    Format {
        /// Counted from 1.
        line: usize,
        /// What stands there.
        text: String,
        /// What is wrong with it.
        message: String,
    },
    /// A value cannot be.
    #[error("line {line}: {source}")]
    Config {
        /// Counted from 1: where the value stands, or the table it is missing in.
        line: usize,
        /// Field, value and rule.
        source: ConfigError,
    },
}

impl Plan {
    /// Reads a plan.
    ///
    /// Tables and fields are named as the setters of [`Plan`], [`Rule`](crate::Rule) and
    /// [`Outage`](crate::Outage), faults and failure modes as by their `name()`. `seed` is 0 where
    /// it is left out. Lengths of time are as `2s`, `150ms` or `1m 30s`, ranges as `3s..11s`,
    /// `3s..` or `..11s`.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let plan = steadfast_chaos::Plan::from_toml(
    ///     r#"
    ///     seed = 7
    ///
    ///     [[rule]]
    ///     name = "replies get lost"
    ///     fault = "reply_lost"
    ///     probability = 0.01
    ///     only = "orders"
    ///
    ///     [[rule]]
    ///     name = "bursts of slowness"
    ///     fault = "busy"
    ///     delay = "200ms"
    ///     jitter = "1s"
    ///     burst = { enter = 0.002, leave = 0.1 }
    ///     requests = "1000.."
    ///
    ///     [[outage]]
    ///     target = "a"
    ///     mode = "paused"
    ///     during = "3s..11s"
    ///
    ///     [[outage]]
    ///     target = "b"
    ///     mode = "limited"
    ///     bytes_per_second = 10_000
    ///     direction = "downstream"
    ///     at_random = { mean_up = "1m", mean_down = "5s", until = "1h" }
    ///     "#,
    /// )?;
    /// assert_eq!(plan.rules().len(), 2);
    /// assert_eq!(plan.timeline()?[0].at.as_secs(), 3);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When it is not TOML, has fields that a plan has not, or values that cannot be.
    pub fn from_toml(text: &str) -> Result<Self, PlanFileError> {
        let file: File =
            toml::from_str(text).map_err(|error| PlanFileError::format(text, &error))?;
        let mut plan = Self::new(file.seed);
        plan.name = file.name.map(Into::into);
        for (place, table) in file.rules.into_iter().enumerate() {
            let at = |source: ConfigError| {
                let line = table.get_ref().span(source.field).unwrap_or_else(|| table.span());
                PlanFileError::config(text, line, source)
            };
            plan = plan.rule(table.get_ref().rule().map_err(at)?);
            plan.check_rule(place).map_err(at)?;
        }
        for (place, table) in file.outages.into_iter().enumerate() {
            let at = |source: ConfigError| {
                let line = table.get_ref().span(source.field).unwrap_or_else(|| table.span());
                PlanFileError::config(text, line, source)
            };
            plan = plan.outage(table.get_ref().outage().map_err(at)?);
            plan.check_outage(place).map_err(at)?;
        }
        Ok(plan)
    }

    /// Reads a plan from a file, as [`from_toml`](Self::from_toml). It blocks.
    ///
    /// # Errors
    /// When the file cannot be read, or is no plan.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, PlanFileError> {
        let path = path.as_ref();
        let text = fs::read_to_string(path)
            .map_err(|source| PlanFileError::Read { path: path.to_owned(), source })?;
        Self::from_toml(&text)
    }
}

impl PlanFileError {
    fn format(text: &str, error: &toml::de::Error) -> Self {
        let (line, there) = line(text, error.span().map_or(0, |span| span.start));
        let message = error.message().to_owned();
        Self::Format { line, text: there.trim().to_owned(), message }
    }

    fn config(text: &str, span: Range<usize>, source: ConfigError) -> Self {
        Self::Config { line: line(text, span.start).0, source }
    }
}

/// The line in which this byte stands, counted from 1, and its text.
fn line(text: &str, at: usize) -> (usize, &str) {
    let before = text.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count();
    (before + 1, text.lines().nth(before).unwrap_or(""))
}

#[cfg(test)]
mod tests;
