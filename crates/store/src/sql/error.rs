//! What a server or a driver reports, as one error.

use std::{error::Error, fmt};

use steadfast_core::Executed;

use crate::{StoreError, StoreErrorKind};

/// A statement failed: a [`StoreError`], and the SQLSTATE if the server has answered.
///
/// | SQLSTATE | is |
/// |---|---|
/// | 08, 57P01, 57P02, 57P05, 40003, 58 | unavailable, and perhaps executed |
/// | 55P03, 57014 | timed out, not executed |
/// | 53100, 54 | full |
/// | XX001, XX002, 22 | corrupt |
/// | 0A, 26, 28, 34, 3D, 3F, 42, 23 | misconfigured |
/// | any other, such as 25, 40 and 53300 | unavailable, not executed |
///
/// An error that the server reports has rolled its statement back. The exceptions are those of the
/// first row, and whatever has the severity `FATAL` or `PANIC`: they end a connection, or the
/// server, perhaps between a commit and its answer.
///
/// The server's message is kept and its detail is not, because a detail quotes values.
#[derive(Debug)]
pub struct SqlError {
    state: Option<State>,
    error: StoreError,
}

type State = [u8; 5];

/// What the server said.
#[derive(Debug)]
struct Answer {
    state: String,
    message: String,
}

impl SqlError {
    /// The server's answer with this SQLSTATE, to a statement that it has rolled back unless the
    /// state says otherwise: one of the severity `FATAL` or `PANIC` has
    /// [perhaps executed](Self::perhaps_executed) it. The message must quote no value.
    #[must_use]
    pub fn of_state(state: &str, message: impl Into<String>) -> Self {
        let error = classify(state);
        let answer = Answer { state: state.into(), message: message.into() };
        Self { state: state.as_bytes().try_into().ok(), error: error.because(answer) }
    }

    /// The SQLSTATE, if the server has answered.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        str::from_utf8(self.state.as_ref()?).ok()
    }

    /// Whether the server has rolled it back for the sake of others (SQLSTATEs 40001 and 40P01):
    /// where the isolation is stricter than READ COMMITTED, and in a deadlock. The whole
    /// transaction may be run again.
    #[must_use]
    pub fn is_rolled_back(&self) -> bool {
        self.state().is_some_and(|state| ["40001", "40P01"].contains(&state))
    }

    /// In which way the statement failed.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.error.kind()
    }

    /// Whether the statement may have been executed.
    #[must_use]
    pub const fn executed(&self) -> Executed {
        self.error.executed()
    }

    /// The same error, about a statement that may have been executed: of the severity `FATAL` or
    /// `PANIC`, which comes behind a commit as well, whose log could not be synced for one.
    #[must_use]
    pub fn perhaps_executed(self) -> Self {
        Self { error: self.error.executed_as(Executed::Maybe), ..self }
    }

    /// The same error, about a statement that was certainly not executed, such as one that found no
    /// connection.
    #[must_use]
    pub fn before_execution(self) -> Self {
        Self { error: self.error.executed_as(Executed::No), ..self }
    }
}

/// By the table that stands with [`SqlError`], out of appendix A of PostgreSQL's manual.
fn classify(state: &str) -> StoreError {
    match state {
        "40003" | "57P01" | "57P02" | "57P05" => StoreError::unavailable(Executed::Maybe),
        "55P03" | "57014" => StoreError::timed_out().executed_as(Executed::No),
        "53100" => StoreError::full(),
        "XX001" | "XX002" => StoreError::corrupt(),
        _ => match state.get(..2) {
            Some("08" | "58") => StoreError::unavailable(Executed::Maybe),
            Some("54") => StoreError::full(),
            Some("22") => StoreError::corrupt(),
            Some("0A" | "23" | "26" | "28" | "34" | "3D" | "3F" | "42") => {
                StoreError::misconfigured()
            }
            _ => StoreError::unavailable(Executed::No),
        },
    }
}

impl From<StoreError> for SqlError {
    fn from(error: StoreError) -> Self {
        Self { state: None, error }
    }
}

impl From<SqlError> for StoreError {
    fn from(error: SqlError) -> Self {
        error.error
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for SqlError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SQLSTATE {}: {}", self.state, self.message)
    }
}

impl Error for Answer {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlstate_says_in_which_way_and_whether_it_was_executed() {
        use Executed::{Maybe, No};
        use StoreErrorKind::{Corrupt, Full, Misconfigured, TimedOut, Unavailable};
        for (state, kind, executed) in [
            ("08006", Unavailable, Maybe),
            ("57P01", Unavailable, Maybe),
            ("58030", Unavailable, Maybe),
            ("57P03", Unavailable, No),
            ("40001", Unavailable, No),
            ("40P01", Unavailable, No),
            ("53300", Unavailable, No),
            ("25006", Unavailable, No),
            ("55P03", TimedOut, No),
            ("57014", TimedOut, No),
            ("53100", Full, No),
            ("54000", Full, No),
            ("42P01", Misconfigured, No),
            ("42501", Misconfigured, No),
            ("28P01", Misconfigured, No),
            ("26000", Misconfigured, No),
            ("XX001", Corrupt, No),
            ("XX000", Unavailable, No),
            ("", Unavailable, No),
            ("é", Unavailable, No),
        ] {
            let error = SqlError::of_state(state, "no");
            assert_eq!((error.kind(), error.executed()), (kind, executed), "{state}");
            assert_eq!(error.state(), Some(state).filter(|state| state.len() == 5));
        }
    }

    #[test]
    fn the_servers_message_is_in_the_chain() {
        let error = StoreError::from(SqlError::of_state("42P01", "no such table"));
        assert_eq!(error.source().unwrap().to_string(), "SQLSTATE 42P01: no such table");
    }
}
